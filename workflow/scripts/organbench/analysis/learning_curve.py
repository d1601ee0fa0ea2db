"""Would more patients help? The Dice of the same test cases after trainings on nested shares of the patients."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from organbench.analysis import statistics


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
    wide = pd.concat(values, axis=1)
    trainings = per_case.drop_duplicates(["share", "model", "fold", "seed"]).groupby(["share", "model"]).size()
    for model, organ in product(per_case["model"].unique(), wide.index.unique("organ")):
        own = wide.xs((model, organ), level=("model", "organ"))
        before = pd.Series(dtype=float)
        for share in own:
            now = own[share].dropna()
            dice, gain = statistics.described(now), statistics.described(now - before)
            before = now
            row = {"model": model, "share": share, "patients": np.mean(patients[share])}
            row |= {"trainings": trainings.get((share, model), 0), "organ": organ, "n": dice["n"]}
            row |= {"dice": dice["mean"], "ci_low": dice["ci_low"], "ci_high": dice["ci_high"]}
            rows.append(row | {"gain": gain["mean"], "gain_low": gain["ci_low"], "gain_high": gain["ci_high"]})
    return pd.DataFrame(rows)
