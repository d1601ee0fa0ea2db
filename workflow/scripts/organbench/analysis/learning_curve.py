"""Would more patients help? The Dice of the same test cases after trainings on nested shares of the patients."""

from collections.abc import Mapping, Sequence

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
    shares = sorted(per_case["share"].unique())
    scores = per_case.filter(["model", "fold", "seed", "case", "patient", "organ", "dice"])
    values = {share: statistics.patient_values(scores[per_case["share"] == share]) for share in shares}
    trainings = per_case.drop_duplicates(["share", "model", "fold", "seed"]).groupby(["share", "model"]).size()
    models, organs = per_case["model"].unique(), values[shares[0]]["organ"].unique()
    for model in models:
        for organ in organs:
            before = None
            for share in shares:
                dice = _dice(values[share], model, organ)
                low, high = statistics.interval(dice.to_numpy())
                row = {"model": model, "share": share, "patients": np.mean(patients[share]), "organ": organ}
                row |= {"trainings": trainings.get((share, model), 0), "n": len(dice)}
                row |= {"dice": dice.mean(), "ci_low": low, "ci_high": high}
                if before is not None:
                    gained = (dice - before).dropna()
                    low, high = statistics.interval(gained.to_numpy())
                    row |= {"gain": gained.mean(), "gain_low": low, "gain_high": high}
                rows.append(row)
                before = dice
    return pd.DataFrame(rows, columns=COLUMNS)


def _dice(values: pd.DataFrame, model: str, organ: str) -> pd.Series:
    """A model's Dice of an organ, by case; cases without a value are left out."""
    chosen = values[(values["model"] == model) & (values["organ"] == organ)]
    return chosen.set_index("case")["dice"].dropna()
