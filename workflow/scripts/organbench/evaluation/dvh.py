"""What dose a contour receives, from the doses of the voxels inside it: points of its dose-volume histogram.

A histogram with bins would round; here the voxels themselves are sorted. Each counts with its whole volume, where its
centre is inside the contour.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("dmean", "d2", "d1cc", "dmax")
HOT_PERCENT = 2  # of an organ's volume: ICRU report 83's near-maximum dose D2%
HOT_ML = 1.0  # D1cc

Doses = dict[str, float]
"""Gy of each of `STATISTICS`."""


def statistics(dose: NDArray[Any], voxel_ml: float) -> Doses:
    """Points of the dose-volume histogram of a contour.

    Args:
        dose: Gy of each voxel inside the contour, shape (n,).
        voxel_ml: volume of a voxel, ml.

    Returns:
        Gy: `dmean`, the mean; `d2`, what the hottest 2 % of the volume receive at least (ICRU report 83, 2010);
        `d1cc`, what its hottest 1 ml receives at least, NaN where the contour holds less; `dmax`, the hottest voxel's.
        All NaN where there is no voxel, or one without a dose (NaN).
    """
    if not len(dose) or np.isnan(dose).any():
        return dict.fromkeys(STATISTICS, math.nan)
    voxels, hot_ml = len(dose), math.ceil(round(HOT_ML / voxel_ml, 6))
    return {
        "dmean": float(dose.mean(dtype=np.float64)),
        "d2": least_of_hottest(dose, -(-HOT_PERCENT * voxels // 100)),
        "d1cc": least_of_hottest(dose, hot_ml) if voxels >= hot_ml else math.nan,
        "dmax": float(dose.max()),
    }


def least_of_hottest(dose: NDArray[Any], voxels: int) -> float:
    """The least dose of so many hottest voxels, Gy."""
    return float(np.partition(dose, len(dose) - voxels)[len(dose) - voxels])
