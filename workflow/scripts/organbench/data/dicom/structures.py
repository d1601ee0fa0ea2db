"""Structures as planning systems hold them, contours in mm, and as masks on a series' grid.

A contour belongs to the slice that is nearest to its plane. Within a plane the even-odd rule holds: a contour inside
another is a hole, and one inside that an island; a keyhole encloses what it encloses without its channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from organbench.core.errors import InputError, plain
from organbench.core.jobs import LOGGER
from organbench.data.dicom import contours
from organbench.data.grids import Array, Grid

MOST_CROSSINGS = 1 << 26  # of a structure's edges and rows of voxels; every second voxel of a chest CT has half as many
FLAT = 0.25  # slices: a contour is in their plane where it rises by no more
SAME_PLANE = 0.05  # slices: contours that are nearer are in one plane, however their z was rounded
DIGITS = 3  # of slices, so that planes halfway between two slices all go to the same side


@dataclass(frozen=True)
class Structure:
    """A structure as it was drawn.

    Attributes:
        name: as the file spells it.
        number: by which its file refers to it.
        color: such as #E69F00; None where the file has none.
        contours: closed polygons (n, 3), x y z in mm (LPS).
    """

    name: str
    number: int
    color: str | None
    contours: tuple[Array, ...]


@dataclass(frozen=True)
class StructureSet:
    """The structures of one file.

    Attributes:
        path: the file.
        series: SeriesInstanceUID of the CT on which they were drawn; empty where the file names none.
        frame_of_reference: its UID; empty where the file names none.
        structures: in the file's order; one without contours was named, but never drawn.
        notes: what of the file was left out, a line each.
    """

    path: Path
    series: str
    frame_of_reference: str
    structures: tuple[Structure, ...]
    notes: tuple[str, ...] = ()


def mask(structure: Structure, grid: Grid, path: Path) -> Array:
    """As `drawn`, which says more; its notes go to the log."""
    result, notes = drawn(structure, grid, path)
    for note in notes:
        LOGGER.warning("%s", note)
    return result


def drawn(structure: Structure, grid: Grid, path: Path) -> tuple[Array, list[str]]:
    """The voxels whose centres a structure's contours enclose.

    Of several planes that are nearest to the same slice, the nearest counts: a structure of 1 mm planes is seen on
    slices of 3 mm as every third plane. A slice without a plane stays empty: nothing is interpolated.

    Args:
        structure: as it was drawn.
        grid: the series' grid.
        path: the structure's file, for messages.

    Returns:
        Boolean mask (z y x); and what a person should know of it, a line each: planes that were not used, slices that
        are empty between others, what lies outside.

    Raises:
        InputError: a contour is not in the plane of the slices, none is on the series, or they go to and fro as none
            that was drawn does.
    """
    said = f"{path}: {plain(structure.name)}"
    if not structure.contours:
        return np.zeros(grid.shape, bool), []
    lines = [indices(contour, grid) for contour in structure.contours]
    low, high = (np.array([getattr(line, side)(axis=0) for line in lines]) for side in ("min", "max"))
    if (steep := high[:, 2] - low[:, 2]).max() > FLAT:
        raise InputError(
            f"{said}: a contour rises by {steep.max() * grid.spacing[2]:.1f} mm across the CT's slices; "
            "export contours in the plane of the slices (axial)"
        )
    inside = np.asarray(((high > -0.5) & (low < np.array(grid.size) - 0.5)).all(axis=1))
    if not inside.any():
        raise InputError(f"{said}: all of it lies outside the CT; give the series on which it was drawn")
    notes = []
    if not inside.all():
        notes.append(f"{said}: {(~inside).sum()} of its {len(lines)} contours lie outside the CT and were left out")
    elif (high[:, :2].max(axis=0) > np.array(grid.size[:2])).any() or (low[:, :2] < -1).any():
        notes.append(f"{said}: reaches beyond the CT's edge and was cut off there")
    kept, slices, found = placed((low[:, 2] + high[:, 2]) / 2, inside, grid.size[2], said)
    notes += found
    once = without_copies([lines[index][:, :2] for index in kept], slices)
    if len(once) < len(kept):
        notes.append(f"{said}: {len(kept) - len(once)} of its contours are there twice; each was taken once")
    used = [slices[number] for number in once]
    polygons = [lines[kept[number]][:, :2] for number in once]
    if sum(rise(polygon, grid.size[1]) for polygon in polygons) > MOST_CROSSINGS:
        raise InputError(f"{said}: its contours go to and fro as none that was drawn; export it again")
    result = contours.stacked(polygons, used, grid.shape)
    if not result.any():
        notes.append(f"{said}: encloses no voxel's centre, so no voxel is of it")
    return result, notes


def indices(points: Array, grid: Grid) -> Array:
    """Points in mm (n, 3) as voxels from the first one's centre, x y z."""
    steps = np.reshape(grid.direction, (3, 3)) * grid.spacing
    found: Array = (points - grid.origin) @ np.linalg.inv(steps).T
    return found


def placed(heights: Array, inside: Array, count: int, said: str) -> tuple[list[int], list[int], list[str]]:
    """Which contours count, the slice of each, and notes.

    Args:
        heights: of each contour, in slices.
        inside: whether it lies on the series.
        count: of slices.
        said: how notes begin.
    """
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order], prepend=heights[order[0]])
    plane = np.empty(len(order), int)
    plane[order] = np.cumsum(steps > SAME_PLANE)
    level = np.round(np.bincount(plane, heights) / np.bincount(plane), DIGITS)
    nearest = np.floor(level + 0.5).astype(int)
    inside = inside & (nearest[plane] >= 0) & (nearest[plane] < count)
    best: dict[int, int] = {}  # plane of each slice
    for number in np.unique(plane[inside]):
        z = int(nearest[number])
        if z not in best or abs(level[number] - z) < abs(level[best[z]] - z):
            best[z] = int(number)
    chosen = set(best.values())
    kept = [index for index in np.flatnonzero(inside).tolist() if plane[index] in chosen]
    slices = [int(nearest[plane[index]]) for index in kept]
    notes = []
    if unused := len(np.unique(plane[inside])) - len(chosen):
        notes.append(f"{said}: {unused} of its planes lie between those nearest to the CT's slices and were not used")
    if empty := max(best) - min(best) + 1 - len(best) if best else 0:
        notes.append(
            f"{said}: has no contour on {empty} of the {max(best) - min(best) + 1} slices that it spans; "
            "they stay empty, so interpolate it in the planning system if that is not meant"
        )
    return kept, slices, notes


def without_copies(lines: Sequence[Array], slices: Sequence[int]) -> list[int]:
    """The numbers of polygons, without those that are there a second time: by even-odd the two would be none."""
    there: dict[tuple[int, bytes], int] = {}
    for number, (line, z) in enumerate(zip(lines, slices, strict=True)):
        there.setdefault((z, from_first(np.round(line, contours.DIGITS)).tobytes()), number)
    return sorted(there.values())


def from_first(line: Array) -> Array:
    """A polygon (n, 2) from its first point by x and y on, wherever it begins and whichever way it turns."""
    if len(line) > 1 and (line[0] == line[-1]).all():
        line = line[:-1]
    line = np.roll(line, -int(np.lexsort(line.T[::-1])[0]), axis=0) + 0.0  # no -0
    back = np.roll(line[::-1], 1, axis=0)
    return line if tuple(line[1:].ravel()) <= tuple(back[1:].ravel()) else back


def rise(line: Array, rows: int) -> float:
    """How many rows of voxels the edges of a polygon (n, 2) cross in all, about."""
    y = np.clip(line[:, 1], 0, rows)
    return float(np.abs(y - np.roll(y, 1)).sum())
