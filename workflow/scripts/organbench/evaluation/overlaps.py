"""Overlap of one case's predicted and reference organs, from the counts of their voxels.

A module of its own, because training validates with it, and should not begin anew when the measuring of surfaces
changes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SLAB_VOXELS = 1 << 22  # voxels counted at a time: their temporary copies take about 50 MB


def overlap(
    reference: NDArray[Any], prediction: NDArray[Any], *, organs: Sequence[str], voxel_ml: float
) -> pd.DataFrame:
    """Measure how well a prediction overlaps the reference, organ by organ.

    With true positives TP, false positives FP and false negatives FN in voxels: Dice = 2 TP / (2 TP + FP + FN) (Dice
    1945), IoU = TP / (TP + FP + FN) (Jaccard 1912), precision = TP / (TP + FP) and recall = TP / (TP + FN). Empty masks
    follow the rule in `registry`:

    - absent from both: all four NaN;
    - absent from the reference but predicted: Dice, IoU and precision 0, recall NaN, `false_positive` true;
    - in the reference but not predicted: Dice, IoU and recall 0, precision NaN.

    Args:
        reference: organ indices of the reference, axes z y x, on the original grid: 0 is background, k is
            `organs[k - 1]`. uint8, in memory or memory-mapped.
        prediction: predicted organ indices, the same shape and meaning.
        organs: the organs' names, in the order of their indices.
        voxel_ml: volume of one voxel in millilitres (mm³ / 1000).

    Returns:
        A row per organ, in the order of `organs`, with the columns organ, dice, iou, precision, recall (0 to 1, or
        NaN), reference_ml, predicted_ml (millilitres) and false_positive (bool).

    Raises:
        ValueError: the shapes differ, an array does not hold integers, a value has no organ, or `voxel_ml` is not
            positive.
    """
    return scores(joint_histogram(reference, prediction, len(organs)), organs, voxel_ml)


def scores(counts: NDArray[Any], organs: Sequence[str], voxel_ml: float) -> pd.DataFrame:
    """The table of `overlap`, from the counts of `joint_histogram`."""
    if not voxel_ml > 0:
        raise ValueError(f"the volume of a voxel must be positive, not {voxel_ml} ml")
    hits = counts.diagonal()[1:]
    reference = counts.sum(axis=1)[1:]
    predicted = counts.sum(axis=0)[1:]
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        table = {
            "organ": list(organs),
            "dice": 2 * hits / (reference + predicted),
            "iou": hits / (reference + predicted - hits),
            "precision": hits / predicted,
            "recall": hits / reference,
            "reference_ml": reference * voxel_ml,
            "predicted_ml": predicted * voxel_ml,
            "false_positive": (reference == 0) & (predicted > 0),
        }
    return pd.DataFrame(table)


def joint_histogram(reference: NDArray[Any], prediction: NDArray[Any], organs: int) -> NDArray[Any]:
    """Count the voxels of every pair (organ in the reference, predicted organ), a slab of z planes at a time.

    Returns:
        int64 counts, shape (organs + 1, organs + 1), axes reference predicted, background first.

    Raises:
        ValueError: the shapes differ, an array does not hold integers, or a value has no organ.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"reference and prediction differ in shape: {reference.shape} and {prediction.shape} (z y x)")
    classes = organs + 1
    if classes > 256:
        raise ValueError(f"{organs} organs do not fit into uint8")
    counts = np.zeros(classes * classes, dtype=np.int64)
    planes = max(1, SLAB_VOXELS // max(1, reference[:1].size))
    for start in range(0, len(reference), planes):
        ours, theirs = reference[start : start + planes], prediction[start : start + planes]
        _check(ours, "reference", organs)
        _check(theirs, "prediction", organs)
        seen = (ours | theirs) != 0  # most voxels are background in both, and need not be counted one by one
        pairs = ours[seen].astype(np.uint16)  # 256 * 256 pairs are the most there can be
        pairs *= classes
        pairs += theirs[seen].astype(np.uint16)
        counts += np.bincount(pairs, minlength=counts.size)
    counts[0] = reference.size - counts.sum()
    return counts.reshape(classes, classes)


def _check(labels: NDArray[Any], name: str, organs: int) -> None:
    if labels.dtype.kind not in "ui":
        raise ValueError(f"the {name} holds {labels.dtype}, not organ indices")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > organs:
        raise ValueError(f"the {name} holds {low if low < 0 else high}, but there are {organs} organs")
