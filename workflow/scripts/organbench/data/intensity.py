"""Intensities of CT volumes, in HU."""

from pathlib import Path

from organbench.core.errors import InputError

AIR_HU = -1024.0  # padding outside the scanner's circle (-2048, -3024) counts as air
GREATEST_HU = 1e5  # metal has some 30000
LEAST_HU = 50  # a scan has air and tissue, so its voxels are farther apart


def check_hu(path: str | Path, low: float, high: float) -> None:
    """Check that the least and the greatest voxel of a volume may be HU.

    Raises:
        InputError: all voxels are nearly the same, as in a volume scaled to 1, none is below water, or one is denser
            than any metal. Below air may be anything: what lies outside the scanner's circle.
    """
    if high - low < LEAST_HU or low >= 0 or high > GREATEST_HU:
        raise InputError(
            f"{path}: its voxels are from {low:g} to {high:g}, which are no HU (air is -1000, water 0); "
            "export the volume in HU, without a window and without scaling"
        )
