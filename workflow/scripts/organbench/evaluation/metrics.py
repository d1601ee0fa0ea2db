"""Metrics of one case's predicted and reference organs, on the scan's own grid; which there are is in `registry`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from organbench.evaluation import dvh, surfaces
from organbench.evaluation.overlaps import joint_histogram, scores
from organbench.evaluation.registry import measured


@dataclass(frozen=True)
class Pair:
    """What is known of one organ of one case.

    Attributes:
        counted: what `overlaps.scores` tells of it.
        reference: bool mask of the reference, axes z y x with z along the patient, in a box around both masks.
        prediction: bool mask of the prediction, the same shape.
        spacing: mm, x y z.
        tolerance_mm: how far off a surface or contour is acceptable, mm.
        workers: threads that search for distant surfaces.
        dose: the planned dose, Gy, the same shape; NaN where there is none. None: the study has none.
    """

    counted: Mapping[str, float]
    reference: NDArray[Any]
    prediction: NDArray[Any]
    spacing: Sequence[float]
    tolerance_mm: float
    workers: int = 1
    dose: NDArray[Any] | None = None

    @cached_property
    def doses(self) -> tuple[dvh.Doses, dvh.Doses]:
        """What dose the reference and the prediction receive, see `registry` for contours that are not covered."""
        none, voxel_ml = np.empty(0, np.float32), float(np.prod(self.spacing)) / 1000
        inside = none if self.dose is None else self.dose[self.reference]
        is_covered = len(inside) > 0 and not np.isnan(inside).any()
        predicted = np.nan_to_num(self.dose[self.prediction]) if self.dose is not None and is_covered else none
        return dvh.statistics(inside, voxel_ml), dvh.statistics(predicted, voxel_ml)

    @cached_property
    def distances(self) -> surfaces.Distances | None:
        """The distances between both surfaces; None unless both are there."""
        if not (self.reference.any() and self.prediction.any()):
            return None
        return surfaces.distances(self.reference, self.prediction, self.spacing, workers=self.workers)

    def added_path_length(self) -> float:
        """The length of contour that has to be drawn anew, mm, see `surfaces.added_path_length`."""
        return surfaces.added_path_length(self.reference, self.prediction, self.spacing, self.tolerance_mm)


def measure(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    *,
    organs: Sequence[str],
    spacing: Sequence[float],
    tolerance_mm: float | Mapping[str, float],
    workers: int = 1,
    dose: NDArray[Any] | None = None,
    drawn: Mapping[int, NDArray[Any]] | None = None,
    predicted_drawn: Mapping[int, NDArray[Any]] | None = None,
) -> pd.DataFrame:
    """Measure how well a prediction agrees with the reference, organ by organ.

    Args:
        reference: organ indices of the reference, axes z y x with z along the patient, on the original grid: 0 is
            background, k is `organs[k - 1]`. uint8.
        prediction: predicted organ indices, the same shape and meaning.
        organs: the organs' names, in the order of their indices.
        spacing: mm, x y z.
        tolerance_mm: how far off a surface or contour is acceptable, mm; one number, or a number per organ.
        workers: threads that search for distant surfaces.
        dose: the planned dose, Gy, float32, the same shape; NaN where there is none. None: the study has none, and the
            table no columns of doses.
        drawn: bool masks of the reference, the same shape, by organ index, of organs that overlap others, so that the
            label map does not show them whole; these are measured in place of what it shows.
        predicted_drawn: those of the prediction, likewise, where it is made of structures that overlap.

    Returns:
        A row per organ, in the order of `organs`, with the columns organ; those of `registry.measured`, see there for
        the empty-mask rule; false_positive (bool: predicted where there is none); and legacy (see `legacy_score`),
        which is the whole case's and so the same in every row.

    Raises:
        ValueError: as `overlaps.overlap`; or the dose has another shape.
    """
    if dose is not None and dose.shape != reference.shape:
        raise ValueError(f"reference and dose differ in shape: {reference.shape} and {dose.shape} (z y x)")
    wanted = measured(dosed=dose is not None)
    counts = joint_histogram(reference, prediction, len(organs))
    voxel_ml = float(np.prod(spacing)) / 1000
    counted = scores(counts, organs, voxel_ml).to_dict("records")
    sides = Side(reference, drawn or {}), Side(prediction, predicted_drawn or {})
    boxes = [side.boxes(len(organs)) for side in sides]
    for index in {index for side in sides for index in side.drawn}:
        ours, theirs = (side.mask(index).view(np.uint8) for side in sides)
        pairs = joint_histogram(ours, theirs, 1)
        (counted[index - 1],) = scores(pairs, [organs[index - 1]], voxel_ml).to_dict("records")
    legacy, rows = legacy_score(counts), []
    for index, (organ, of_organ) in enumerate(zip(organs, counted, strict=True), start=1):
        box = enclosing([found for side in boxes if (found := side[index - 1])])
        tolerance = tolerance_mm[organ] if isinstance(tolerance_mm, Mapping) else tolerance_mm
        ours, theirs = (side.mask(index, box) for side in sides)
        pair = Pair(of_organ, ours, theirs, spacing, tolerance, workers, None if dose is None else dose[box])
        values = {name: metric.of(pair) for name, metric in wanted.items()}
        rows.append({"organ": organ, **values, "false_positive": of_organ["false_positive"], "legacy": legacy})
    return pd.DataFrame(rows, columns=["organ", *wanted, "false_positive", "legacy"])


@dataclass(frozen=True)
class Side:
    """A reference, or a prediction.

    Attributes:
        labels: organ indices (z y x).
        drawn: bool masks, the same shape, by organ index, of organs that these do not show whole.
    """

    labels: NDArray[Any]
    drawn: Mapping[int, NDArray[Any]]

    def mask(self, index: int, box: tuple[slice, ...] = ()) -> NDArray[Any]:
        """Where an organ is (bool), within a box."""
        found: NDArray[Any] = self.drawn[index][box] if index in self.drawn else self.labels[box] == index
        return found

    def boxes(self, organs: int) -> list[tuple[slice, ...] | None]:
        """The box around each organ; None where there is none of it."""
        found = list(ndimage.find_objects(self.labels, organs))
        for index, mask in self.drawn.items():
            found[index - 1] = ndimage.find_objects(mask.view(np.uint8), 1)[0]
        return found


def enclosing(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """The smallest box (z y x) around boxes; empty where there are none."""
    if not boxes:
        return (slice(0),) * 3
    return tuple(
        slice(min(part.start for part in axis), max(part.stop for part in axis)) for axis in zip(*boxes, strict=True)
    )


def legacy_score(counts: NDArray[Any]) -> float:
    """The "Dice" of the project that this one redoes: summed over classes at each voxel, then averaged over voxels.

        2 * sum_c |p * y| / (sum_c p^2 + sum_c y^2 + 1e-6)

    with one-hot p and y. That is 2 / (2 + 1e-6) where a voxel is labelled correctly and 0 elsewhere, background
    included: the fraction of voxels that are right. Predicting nothing scores high wherever organs are small.

    Args:
        counts: of the whole case, as `overlaps.joint_histogram` gives them.
    """
    return float(2 / (2 + 1e-6) * counts.trace() / counts.sum())
