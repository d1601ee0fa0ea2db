"""A CT volume on the working grid: what a network sees of a patient, with or without labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import grids, intensity, resampling
from organbench.data.formats.kind import LARGEST_BYTES, LARGEST_SIZE
from organbench.data.grids import Array, Grid


@dataclass(frozen=True)
class Scan:
    """A CT volume on the working grid, and the way back.

    Attributes:
        image: int16 HU, axes z y x.
        working: the grid of the image.
        oriented: the original grid with its axes brought to the working orientation.
        original: the grid of the scanner's volume.
        orientation: the code of the original's axes, such as LPS.
    """

    image: Array
    working: Grid
    oriented: Grid
    original: Grid
    orientation: str


def check_size(path: str | Path, scanned: Grid, spacing: Sequence[float | None]) -> None:
    """Check that a volume is no larger than any scan once it is on the working grid.

    Args:
        path: of the volume, for the message.
        scanned: the grid of the volume.
        spacing: working spacing in mm, x y z; None keeps the scanner's.

    Raises:
        InputError: it is.
    """
    wanted = scanned.with_spacing(spacing)
    if max(wanted.size) > LARGEST_SIZE or wanted.voxels * 2 > LARGEST_BYTES:
        raise InputError(
            f"{path}: at preprocessing.spacing it would have {' x '.join(map(str, wanted.size))} voxels; "
            "choose a coarser one, or export the volume with its true spacing"
        )


def of(volume: sitk.Image, path: str | Path, spacing: Sequence[float | None]) -> Scan:
    """Bring a CT volume (HU) to the working grid.

    Args:
        volume: as it was read.
        path: where from, for the message.
        spacing: working spacing in mm, x y z; None keeps the scanner's.

    Raises:
        InputError: its voxels are no HU.
    """
    hu, oriented = grids.oriented(volume)
    intensity.check_hu(path, float(hu.min()), float(hu.max()))
    working = oriented.with_spacing(spacing)
    image = resampling.resample_volume(hu, oriented, working)
    return Scan(image, working, oriented, Grid.of(volume), grids.orientation(volume))
