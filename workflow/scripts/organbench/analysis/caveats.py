"""What to look at before the tables are believed: runs that learned nothing, doubled scans, labels, doses."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from organbench.data import splits

WARNINGS = ["model", "fold", "seed", "cases", "words"]


def only_background(trainings: pd.DataFrame, per_case: pd.DataFrame) -> pd.DataFrame:
    """Find the runs whose predictions hold no organ in any case that was looked at.

    Such a network has not learned; what it is compared with seems better than it is.

    Args:
        trainings: a row per run of a trained model: model, fold, seed, and predicts_only_background of its
            `cost.json`, which is None where nothing was validated.
        per_case: `tables/per_case.csv`.

    Returns:
        A row per run and kind of cases: model, fold, seed, cases (validation or test) and words.
    """
    runs = trainings.reindex(columns=["model", "fold", "seed", "predicts_only_background"])
    validated = runs[runs.pop("predicts_only_background").eq(True)].assign(cases="validation")
    volumes = per_case.groupby(["model", "fold", "seed"], sort=False)[["reference_ml", "predicted_ml"]].max()
    nothing = (volumes["reference_ml"] > 0) & (volumes["predicted_ml"] == 0)
    tested = volumes[nothing].reset_index()[["model", "fold", "seed"]].assign(cases="test")
    found = pd.concat([validated, tested], ignore_index=True).astype({"fold": int, "seed": int})
    found["words"] = [
        f"{row.model}, fold {row.fold}, seed {row.seed}: predicts nothing but background in all {row.cases} cases"
        for row in found.itertuples()
    ]
    return found[WARNINGS]


def duplicates(folds: Sequence[splits.Fold], scans: Mapping[str, Any]) -> pd.DataFrame:
    """Find the test cases whose scan is also among what is learned from, voxel by voxel: their scores are too good.

    Args:
        folds: who trains, validates and tests.
        scans: of each case what only the same voxels have in common, such as a checksum.

    Returns:
        A row per fold and such a test case, with the columns of `only_background`; model and seed are
        empty, as it is true of all that are trained.
    """
    rows = []
    for number, fold in enumerate(folds):
        learned = [(scans[case], case, role) for role in ("train", "validation") for case in fold[role]]
        for case in fold["test"]:
            other, role = next(((other, role) for scan, other, role in learned if scan == scans[case]), ("", ""))
            if role:
                words = f"fold {number}: test case {case} has the very scan of case {other} ({role}), voxel by voxel"
                rows.append({"fold": number, "cases": "test", "words": words})
    return pd.DataFrame(rows, columns=WARNINGS)


def unlabelled(lacking: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Tell of models that have no label for an organ that they do not say not to offer, and so miss it everywhere.

    Args:
        lacking: of a model such organs.

    Returns:
        A row per model that has some, with the columns of `only_background`.
    """
    rows = [
        {
            "model": model,
            "cases": "test",
            "words": f"{model}: has no label for {', '.join(organs)}, which counts as missed",
        }
        for model, organs in lacking.items()
        if organs
    ]
    return pd.DataFrame(rows, columns=WARNINGS)


def never_found(per_case: pd.DataFrame, labelled: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Find the organs of which a segmenter that is made elsewhere has no voxel in any case: is its label right?

    Args:
        per_case: `tables/per_case.csv`.
        labelled: of each such model the organs that it has labels for.

    Returns:
        A row per model that has some, with the columns of `only_background`.
    """
    volumes = per_case.groupby(["model", "organ"], sort=False)[["reference_ml", "predicted_ml"]].max()
    missed = {place for place, row in volumes.iterrows() if row["reference_ml"] > 0 and row["predicted_ml"] == 0}
    rows = [
        {
            "model": model,
            "cases": "test",
            "words": f"{model}: has no voxel of {', '.join(found)} in any case; are its labels right?",
        }
        for model, organs in labelled.items()
        if (found := [organ for organ in organs if (model, organ) in missed])
    ]
    return pd.DataFrame(rows, columns=WARNINGS)


def undosed(per_case: pd.DataFrame) -> pd.DataFrame:
    """Find the organs that are not scored in Gy in some cases, as no planned dose covers them.

    Args:
        per_case: `tables/per_case.csv`.

    Returns:
        A row per organ that is there without a dose in some case, with the columns of `only_background`; no rows of a
        study without planned doses.
    """
    if "reference_dmean_gy" not in per_case:
        return pd.DataFrame(columns=WARNINGS)
    bare = per_case[(per_case["reference_ml"] > 0) & per_case["reference_dmean_gy"].isna()]
    rows = [
        {
            "cases": "test",
            "words": f"{organ}: no planned dose covers it in case {', '.join(found.unique())}, not scored in Gy there",
        }
        for organ, found in bare.groupby("organ", sort=False)["case"]
    ]
    return pd.DataFrame(rows, columns=WARNINGS)
