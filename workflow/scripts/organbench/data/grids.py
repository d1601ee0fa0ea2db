"""Where voxels lie: grids, and the axes of images.

Arrays have axes z y x, everything that SimpleITK says of a grid is x y z. A case is worked on in a grid whose axes
point to the patient's left, posterior and superior as nearly as the scanner's allow (LPS).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organbench.core.errors import InputError
from organbench.data.formats.kind import LARGEST_BYTES, LARGEST_SIZE, rounded

ORIENTATION = "LPS"
SLAB = 16  # slices worked on at a time
GRID_TOLERANCE_MM = 0.05  # two grids are the same where no voxel lies farther off: headers are rounded differently
SPACING_MM = (0.01, 100.0)  # of a scan, from micro-CT to what no scanner does
FARTHEST_MM = 1e5  # from the scanner's origin
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)  # direction of axes along the patient's

Array = NDArray[Any]


@dataclass(frozen=True)
class Grid:
    """A voxel grid in the patient: size (voxels), spacing (mm) and origin (mm, LPS), each x y z, and nine cosines."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: Any) -> "Grid":
        """The grid of an `Image`, or of the file that an `ImageFileReader` has looked into."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Grid":
        """The grid that `asdict` wrote."""
        return cls(**{name: tuple(np.asarray(value).tolist()) for name, value in fields.items()})

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in the order of array axes, z y x."""
        return self.size[::-1]

    @property
    def voxels(self) -> int:
        """Their number."""
        return math.prod(self.size)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml."""
        return float(np.prod(self.spacing)) / 1000.0

    def with_spacing(self, spacing: Sequence[float | None]) -> "Grid":
        """The grid over the same box (to half a voxel, with the same centre) at another spacing (mm, x y z).

        None keeps an axis. Asking for the spacing that is there gives this very grid.
        """
        wanted = [
            old if new is None or np.isclose(old, new, rtol=1e-6) else float(new)
            for old, new in zip(self.spacing, spacing, strict=True)
        ]
        axes = list(zip(self.size, self.spacing, wanted, strict=True))
        size = [max(1, round(n * old / new)) for n, old, new in axes]
        first = [((n - 1) * old - (m - 1) * new) / 2 for m, (n, old, new) in zip(size, axes, strict=True)]
        origin = np.asarray(self.origin) + np.reshape(self.direction, (3, 3)) @ np.asarray(first)
        return Grid.from_json({"size": size, "spacing": wanted, "origin": origin, "direction": self.direction})


def check_grid(path: Path, grid: Grid, voxel_bytes: int) -> None:
    """Check that a volume has a size, and a place in the patient, as scans have them.

    Args:
        path: the file, for the message.
        grid: where its voxels lie.
        voxel_bytes: of a voxel in memory.

    Raises:
        InputError: it has not.
    """
    low, high = SPACING_MM
    axes = np.reshape(grid.direction, (3, 3))
    if not all(low <= spacing <= high for spacing in grid.spacing):  # also where it is NaN
        found = f"a spacing of {rounded(grid.spacing)} mm"
    elif min(grid.size) < 1 or max(grid.size) > LARGEST_SIZE or grid.voxels * voxel_bytes > 2 * LARGEST_BYTES:
        found = f"{' x '.join(map(str, grid.size))} voxels"
    elif not np.isfinite(grid.origin).all() or np.abs(grid.origin).max() > FARTHEST_MM:
        found = f"its origin at {rounded(grid.origin)} mm"
    elif not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        found = f"axes that are not at right angles, {rounded(grid.direction)}"
    else:
        return
    raise InputError(f"{path}: has {found}, as no scan has; export the volume again")


def check_pair(volume: Grid, labels: Grid, volume_path: str | Path, label_path: str | Path) -> None:
    """Check that a volume and its labels lie on the same grid.

    Raises:
        InputError: size, spacing, origin or direction differ by more than rounding.
    """
    for what, ours, theirs in differences(volume, labels):
        raise InputError(
            f"{label_path}: its {what} {rounded(theirs)} is not that of {volume_path}, {rounded(ours)}; "
            "resample the labels onto the volume's grid"
        )


def differences(volume: Grid, labels: Grid) -> Iterator[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    """In what two grids differ by more than rounding: what it is, and both of it."""
    length = max(n * spacing for n, spacing in zip(volume.size, volume.spacing, strict=True))
    for what, ours, theirs, tolerance in (
        ("size", volume.size, labels.size, 0.0),
        ("spacing", volume.spacing, labels.spacing, GRID_TOLERANCE_MM / max(volume.size)),
        ("origin", volume.origin, labels.origin, GRID_TOLERANCE_MM),
        ("direction", volume.direction, labels.direction, GRID_TOLERANCE_MM / length),
    ):
        if not np.allclose(ours, theirs, rtol=0, atol=tolerance):
            yield what, ours, theirs


def slabs(array: Array) -> Iterator[Array]:
    """The array's slices (axis z), a few at a time, as views."""
    for start in range(0, len(array), SLAB):
        yield array[start : start + SLAB]


def span(array: Array, axis: int) -> slice:
    """From the first to the last place of an axis where an array holds anything but 0; of length 0 where none is."""
    places = np.flatnonzero(array.any(axis=tuple({*range(array.ndim)} - {axis})))
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0)


def box(mask: Array) -> tuple[slice, ...]:
    """The smallest box around a mask, a slice an axis; empty where the mask is."""
    return tuple(span(mask, axis) for axis in range(mask.ndim))


def orientation(image: sitk.Image) -> str:
    """The code of the image's nearest orientation, such as LPS: where its x, y and z axes point."""
    return str(sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection()))


def orient(image: sitk.Image, code: str = ORIENTATION) -> sitk.Image:
    """Permute and flip the axes to an orientation; no voxel changes."""
    return image if orientation(image) == code else sitk.DICOMOrient(image, code)


def oriented(image: sitk.Image) -> tuple[Array, Grid]:
    """The voxels (z y x) of an image and their grid as `orient` gives them, but as a view: nothing is copied.

    The view is valid only while the image lives.
    """
    grid = Grid.of(image)
    small = sitk.Image(2, 2, 2, sitk.sitkUInt8)  # has the same axes
    small.SetDirection(grid.direction)
    orienter = sitk.DICOMOrientImageFilter()
    orienter.SetDesiredCoordinateOrientation(ORIENTATION)
    orienter.Execute(small)
    order = [int(axis) for axis in orienter.GetPermuteOrder()]  # x y z
    flips = orienter.GetFlipAxes()
    steps = np.reshape(grid.direction, (3, 3))[:, order] * np.where(flips, -1.0, 1.0)
    size, spacing = ([values[axis] for axis in order] for values in (grid.size, grid.spacing))
    lengths = [(n - 1) * mm if flip else 0.0 for n, mm, flip in zip(size, spacing, flips, strict=True)]
    origin = np.asarray(grid.origin) - steps @ np.asarray(lengths)  # the corner that was the far one
    voxels = sitk.GetArrayViewFromImage(image).transpose([2 - axis for axis in reversed(order)])
    voxels = voxels[tuple(slice(None, None, -1 if flip else 1) for flip in reversed(flips))]
    return voxels, Grid.from_json({"size": size, "spacing": spacing, "origin": origin, "direction": steps.ravel()})


def to_image(array: Array, grid: Grid) -> sitk.Image:
    """An array (z y x) as an image on a grid."""
    image = sitk.GetImageFromArray(array)
    place(image, grid)
    return image


def place(image: sitk.Image, grid: Grid) -> None:
    """Say where an image's voxels lie: on a grid of its size."""
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
