"""Would more patients help? The Dice of the same test cases after trainings on nested shares of the patients."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from organbench.analysis import statistics

COLUMNS = [
    *("model", "share", "patients", "trainings", "organ", "n", "dice", "ci_low", "ci_high"),
    *("gain", "gain_low", "gain_high"),
]


def table(per_case: pd.DataFrame, patients: Mapping[int, Sequence[int]]) -> pd.DataFrame:
    """Set the Dice against the number of training patients.

    Args:
        per_case: the rows of all metrics tables, with the column share: percent of the training patients.
        patients: how many each share trains on in every fold.

    Returns:
        A row per model, organ (with `all`) and share, smallest share first: patients (mean over folds), trainings
        (folds times seeds), n (test patients with a value), dice (their mean) with its 95 % interval ci_low and
        ci_high; gain, the mean difference to the next smaller share on the same cases, with its interval gain_low and
        gain_high. See `statistics.patient_values` and `statistics.interval`; NaN where there is nothing to subtract.
    """
    rows = []
    scores = per_case.filter(["model", "fold", "seed", "case", "patient", "organ", "dice"])
    values = {
        share: statistics.patient_values(scores.loc[of_share]).set_index(["model", "organ", "case"])["dice"]
        for share, of_share in per_case.groupby("share").groups.items()
    }
    dice = pd.concat(values, axis=1)
    trainings = per_case.drop_duplicates(["share", "model", "fold", "seed"]).groupby(["share", "model"]).size()
    for model, organ in product(per_case["model"].unique(), dice.index.unique("organ")):
        own = dice.xs((model, organ), level=("model", "organ"))
        before = pd.Series(dtype=float)
        for share in dice:
            now = own[share].dropna()
            row = {"model": model, "share": share, "patients": np.mean(patients[share]), "organ": organ}
            row |= {"trainings": trainings.get((share, model), 0)}
            reached, gain = statistics.described(now), statistics.described(now - before)
            before = now
            row |= reached | {"dice": reached["mean"]}
            rows.append(row | {"gain": gain["mean"], "gain_low": gain["ci_low"], "gain_high": gain["ci_high"]})
    return pd.DataFrame(rows, columns=COLUMNS)
