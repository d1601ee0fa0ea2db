"""What else to look at before the tables are believed: scans that are there twice, organs without a label."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from organbench.analysis.convergence import WARNINGS
from organbench.data import splits


def duplicates(folds: Sequence[splits.Fold], scans: Mapping[str, Any]) -> pd.DataFrame:
    """Find the test cases whose scan is also among what is learned from, voxel by voxel: their scores are too good.

    Args:
        folds: who trains, validates and tests.
        scans: of each case what only the same voxels have in common, such as a checksum.

    Returns:
        A row per fold and such a test case, with the columns of `convergence.only_background`; model and seed are
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
        A row per model that has some, with the columns of `convergence.only_background`.
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
