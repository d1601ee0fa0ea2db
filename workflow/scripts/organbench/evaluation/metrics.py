"""Metrics of one case's predicted and true organs, on the scan's own grid: overlap, surfaces, volumes.

One rule for empty masks, which decides the means of organs that few scans show:

| reference | prediction | Dice, IoU | precision | recall | hd, hd95, assd | nsd | apl | volume_error |
|---|---|---|---|---|---|---|---|---|
| empty | empty | NaN | NaN | NaN | NaN | NaN | NaN | NaN |
| empty | there | 0 | 0 | NaN | NaN | 0 | NaN | NaN |
| there | empty | 0 | NaN | 0 | NaN | 0 | the whole contour | -1 |
| there | there | measured | measured | measured | measured | measured | measured | measured |

An organ that is predicted where there is none is marked as a `false_positive`.

NaN means "nothing to score": it is left out of every mean, and `n` says how many cases were left in. So a network that
misses an organ altogether is not punished by its distances: read them together with Dice or NSD.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from organbench.evaluation import surfaces
from organbench.evaluation.overlaps import joint_histogram, scores

METRICS = ("dice", "iou", "precision", "recall", "hd", "hd95", "assd", "nsd", "apl", "volume_error")
"""The measured columns of a metrics table, in the order in which tables and figures show them."""

COLUMNS = ("organ", *METRICS, "reference_ml", "predicted_ml", "false_positive", "legacy")


def measure(
    reference: np.ndarray,
    prediction: np.ndarray,
    *,
    organs: Sequence[str],
    spacing: Sequence[float],
    tolerance_mm: float | Mapping[str, float],
    workers: int = 1,
) -> pd.DataFrame:
    """Measure how well a prediction agrees with the reference, organ by organ.

    Overlap as `overlaps.overlap` defines it, surfaces as `surfaces` does; the empty-mask rule is at the top of this
    module.

    Args:
        reference: true organ indices, axes z y x with z along the patient, on the original grid: 0 is background, k is
            `organs[k - 1]`. uint8.
        prediction: predicted organ indices, the same shape and meaning.
        organs: the organs' names, in the order of their indices.
        spacing: mm, x y z.
        tolerance_mm: how far off a surface or contour is acceptable, mm; one number, or a number an organ.
        workers: threads that search for distant surfaces.

    Returns:
        A row an organ, in the order of `organs`, with the columns organ; dice, iou, precision and recall (0 to 1); hd,
        hd95 and assd (mm); nsd (0 to 1); apl (mm); volume_error ((predicted - reference) / reference); reference_ml and
        predicted_ml (millilitres); false_positive (bool); and legacy (see `legacy_score`), which is the whole case's
        and so the same in every row.

    Raises:
        ValueError: as `overlaps.overlap`.
    """
    counts = joint_histogram(reference, prediction, len(organs))
    table = scores(counts, organs, voxel_ml=float(np.prod(spacing)) / 1000)
    boxes = [ndimage.find_objects(labels, len(organs)) for labels in (reference, prediction)]
    rows = []
    for index, organ in enumerate(organs, start=1):
        box = enclosing([found[index - 1] for found in boxes if found[index - 1]])
        rows.append(
            surface_metrics(
                reference[box] == index,
                prediction[box] == index,
                spacing=spacing,
                tolerance_mm=tolerance_mm[organ] if isinstance(tolerance_mm, Mapping) else tolerance_mm,
                workers=workers,
            )
        )
    true = table["reference_ml"].where(table["reference_ml"] > 0)
    table = table.join(pd.DataFrame(rows)).assign(
        volume_error=(table["predicted_ml"] - true) / true, legacy=legacy_score(counts)
    )
    return table[list(COLUMNS)]


def surface_metrics(
    reference: np.ndarray, prediction: np.ndarray, *, spacing: Sequence[float], tolerance_mm: float, workers: int
) -> dict[str, float]:
    """hd, hd95, assd, nsd and apl of one organ, from its masks (bool, z y x)."""
    result = dict.fromkeys(("hd", "hd95", "assd", "nsd", "apl"), np.nan)
    there, predicted = bool(reference.any()), bool(prediction.any())
    if there:
        result["apl"] = surfaces.added_path_length(reference, prediction, spacing, tolerance_mm)
    if there and predicted:
        found = surfaces.distances(reference, prediction, spacing, workers=workers)
        result["hd"] = surfaces.hausdorff(found)
        result["hd95"] = surfaces.hausdorff_95(found)
        result["assd"] = surfaces.mean_distance(found)
        result["nsd"] = surfaces.surface_dice(found, tolerance_mm)
    elif there or predicted:
        result["nsd"] = 0.0
    return result


def enclosing(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """The smallest box (z y x) around boxes; empty where there are none."""
    if not boxes:
        return (slice(0),) * 3
    return tuple(
        slice(min(part.start for part in axis), max(part.stop for part in axis)) for axis in zip(*boxes, strict=True)
    )


def legacy_score(counts: np.ndarray) -> float:
    """The "Dice" of the project that this one redoes: summed over classes at each voxel, then averaged over voxels.

        2 * sum_c |p * y| / (sum_c p^2 + sum_c y^2 + 1e-6)

    with one-hot p and y. That is 2 / (2 + 1e-6) where a voxel is labelled correctly and 0 elsewhere, background
    included: the fraction of voxels that are right. Predicting nothing scores high wherever organs are small.

    Args:
        counts: of the whole case, as `overlaps.joint_histogram` gives them.
    """
    return float(2 / (2 + 1e-6) * counts.trace() / counts.sum())
