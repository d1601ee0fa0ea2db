"""What the same predictions score under rules that others use, beside this workflow's own.

Published Dice coefficients differ by their rule for empty masks and by what they average over. These tables show how
far that alone would move a study's numbers.
"""

import numpy as np
import pandas as pd

from organbench.analysis.statistics import ALL, patient_values


def empty_masks(per_case: pd.DataFrame) -> pd.DataFrame:
    """Average the Dice coefficient under the common rules for empty masks.

    Args:
        per_case: see `statistics.case_values`; needs the columns dice, reference_ml and predicted_ml.

    Returns:
        Columns model, organ; predictions (a case in a run), and of those both_empty (the organ is in neither), invented
        (only in the prediction) and missed (only in the reference); and the mean over patients of

        - dice: this workflow's rule (see `metrics`), NaN where both are empty;
        - dice_one_if_both_empty: 1 there, which rewards a model for every organ that is not in the field of view;
        - dice_if_in_reference: NaN where the reference is empty, so inventions cost nothing (MONAI's default);
        - dice_if_in_both: NaN unless the organ is in both, so misses cost nothing either.

        A row per model and organ, in order of first appearance; organ `all` has the sums and the means over a
        patient's organs, and comes last.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    present, predicted, dice = per_case["reference_ml"] > 0, per_case["predicted_ml"] > 0, per_case["dice"]
    counts = per_case[["model", "organ"]].assign(
        predictions=1, both_empty=~present & ~predicted, invented=~present & predicted, missed=present & ~predicted
    )
    counts = pd.concat([counts, counts.assign(organ=ALL)]).groupby(["model", "organ"], sort=False).sum()
    rules = {
        "dice": dice,
        "dice_one_if_both_empty": dice.where(present | predicted, 1.0),
        "dice_if_in_reference": dice.where(present),
        "dice_if_in_both": dice.where(present & predicted),
    }
    for name, values in rules.items():
        patients = patient_values(per_case.filter(["model", "case", "patient", "organ"]).assign(dice=values))
        counts[name] = patients.groupby(["model", "organ"])["dice"].mean()
    models, organs = per_case["model"].unique(), [*per_case["organ"].unique(), ALL]
    return counts.reindex(pd.MultiIndex.from_product([models, organs], names=["model", "organ"])).reset_index()


def legacy(per_case: pd.DataFrame) -> pd.DataFrame:
    """Put the scores that mislead beside the mean Dice over organs.

    Args:
        per_case: see `statistics.case_values`; needs the columns dice, reference_ml, predicted_ml, and legacy, the
            original project's score of the whole case, the same in each row of a case and run.

    Returns:
        A row per model, in order of first appearance, with the columns model; cases; legacy (mean over cases: it counts
        the background, which is most of a scan, as one more organ that is nearly always right); pooled_dice (the
        "global" Dice: 2 TP / (2 TP + FP + FN) with the voxels of all organs and cases thrown together, weighted by
        volume, so that lungs and bone outvote a bladder); mean_dice (over a case's organs, then over cases: the row
        `all` of summary.csv); worst_organ and worst_dice (its mean over cases).

    Raises:
        ValueError: an organ is itself named `all`.
    """
    patients = patient_values(per_case)
    rows = []
    for model, own in per_case.groupby("model", sort=False):
        means = patients[patients["model"] == model].groupby("organ", sort=False)["dice"].mean()
        volumes = own["reference_ml"] + own["predicted_ml"]
        organs = means.drop(ALL, errors="ignore").dropna()
        pooled = (own["dice"] * volumes).sum() / volumes.sum() if volumes.any() else np.nan
        row = {"model": model, "cases": own["case"].nunique(), "legacy": own.groupby("case")["legacy"].mean().mean()}
        row |= {"pooled_dice": pooled, "mean_dice": means.get(ALL, np.nan)}
        rows.append(row | {"worst_organ": organs.idxmin() if len(organs) else "", "worst_dice": organs.min()})
    return pd.DataFrame(rows)
