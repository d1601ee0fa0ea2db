"""Label maps that were made elsewhere, brought to a scan's grid."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import grids, images
from organbench.data.formats.kind import rounded
from organbench.data.grids import Array, Grid
from organbench.data.labels import lookup, whole_numbers
from organbench.data.shared_voxels import label_map


@dataclass
class Collected:
    """What the files of a case hold.

    Attributes:
        indices: organ indices on the scan's grid (uint8, z y x).
        drawn: masks (bool, z y x) of the organs that lost voxels to others, by their indices.
        offset_mm: the largest distance between a voxel's centre and the one that its label was taken from; None of
            structures with names, of which `notes` tell.
        covered: share of the scan's voxels that lie in the frame of every file; None of structures.
        missing: organs whose file is not there, or that are not in it by name.
        others: label values that stand for no organ.
        claimed_twice: voxels that an organ lost to another.
        notes: what else a person should know, a line each.
    """

    indices: Array
    drawn: Mapping[int, Array] = field(default_factory=dict)
    offset_mm: float | None = 0.0
    covered: float | None = 1.0
    missing: list[str] = field(default_factory=list)
    others: set[int] = field(default_factory=set)
    claimed_twice: int = 0
    notes: list[str] = field(default_factory=list)

    def flatten(self, masks: Iterable[tuple[str, Array]], scan: Grid) -> None:
        """Take the organs from their masks (bool, z y x), in the study's order; see `shared_voxels.label_map`."""
        flat = label_map(masks, scan.shape)
        self.indices, self.drawn, self.claimed_twice = flat.labels, flat.drawn, sum(flat.lost.values())
        if told := flat.told(scan.voxel_ml):
            self.notes.append(told)

    def told(self) -> dict[str, Any]:
        """What the cost of the prediction says of it."""
        offset_mm = None if self.offset_mm is None else round(self.offset_mm, 3)
        covered = None if self.covered is None else round(self.covered, 4)
        return {"offset_mm": offset_mm, "covered": covered, "missing": self.missing}

    def lines(self) -> list[str]:
        """What its log says of it."""
        told = []
        if self.missing:
            told.append(f"no file or structure with {', '.join(self.missing)}: counted as missed")
        if self.offset_mm:
            told.append(
                "its grid is another: brought to the scan's by nearest neighbour, "
                f"with offsets of up to {self.offset_mm:.2f} mm"
            )
        if self.covered is not None and self.covered < 1:
            told.append(f"its frame covers {self.covered:.0%} of the scan's voxels; outside is background")
        if self.others:
            told.append(f"label values that stand for no organ: {', '.join(map(str, sorted(self.others)))}")
        return [*told, *self.notes]


def collect(
    files: Mapping[str, Mapping[str, Sequence[int]]], organs: Sequence[str], scan: Grid, volume: str | Path
) -> Collected:
    """Read the label maps of a case that are there, and bring them to the scan's grid.

    Args:
        files: of each file its organs with their label values; no values: every voxel but 0 is the organ's.
        organs: the study's, in the order of their indices.
        scan: the scan's own grid.
        volume: what the scan is called in messages.

    Returns:
        See `Collected`; an organ whose file is not there is in none of its voxels. Where files of organs overlap, the
        study's first organ has the voxels.

    Raises:
        InputError: a file cannot be read, holds no labels, or lies beside the scan.
    """
    found = Collected(np.zeros(scan.shape, np.uint8))
    position = {organ: index for index, organ in enumerate(organs, start=1)}
    alone: dict[str, list[str]] = {organ: [] for organ in organs}
    lacking = {organ for path, held in files.items() if not Path(path).is_file() for organ in held}
    found.missing = [organ for organ in organs if organ in lacking]
    for path, held in files.items():
        if not Path(path).is_file():
            continue
        if not all(held.values()):
            (organ,) = held
            alone[organ].append(path)
            continue
        values, source = read_values(path)
        indices = {0: 0} | {value: position[organ] for organ, own in held.items() for value in own}
        labels = lookup(values, indices, path, others=0)
        found.others |= set(np.unique(values[labels == 0]).tolist()) - {0}
        found.indices = brought(labels, source, scan, path, volume, found)

    def mask_in(paths: Sequence[str]) -> Array:
        mask = np.zeros(scan.shape, bool)
        for path in paths:
            values, source = read_values(path)
            mask |= brought(values != 0, source, scan, path, volume, found)
        return mask

    if any(alone.values()):
        found.flatten(((organ, mask_in(paths)) for organ, paths in alone.items()), scan)
    return found


def read_values(path: str) -> tuple[Array, Grid]:
    """The label values (integers, z y x) of a file, and where they lie."""
    image = images.read(path)
    return whole_numbers(sitk.GetArrayFromImage(image), path), Grid.of(image)


def brought(labels: Array, source: Grid, scan: Grid, path: str, volume: str | Path, found: Collected) -> Array:
    """A file's labels on the scan's grid; how far off they were and what they cover is added to `found`."""
    labels, offset, covered = on_grid(labels, source, scan)
    if not covered:
        raise InputError(
            f"{path}: its frame, from {rounded(source.origin)} mm, does not overlap that of {volume}, from "
            f"{rounded(scan.origin)} mm; export it in the scan's frame of reference"
        )
    found.offset_mm = offset if found.offset_mm is None else max(found.offset_mm, offset)
    found.covered = covered if found.covered is None else min(found.covered, covered)
    return labels


def on_grid(labels: Array, source: Grid, target: Grid) -> tuple[Array, float, float]:
    """A label map on another grid, by nearest neighbour.

    Args:
        labels: on the source grid (z y x).
        source: where they lie.
        target: where they are wanted; any directions.

    Returns:
        The labels on the target grid (z y x), 0 outside of the source; the largest distance in mm between a target
        voxel's centre and the one it was taken from; and the share of the target's voxels that lie in the source. The
        labels themselves, 0 and 1 where both grids are the same but for rounding.
    """
    if not any(grids.differences(target, source)):
        return labels, 0.0, 1.0
    result = np.zeros(target.shape, labels.dtype)
    to_source = np.linalg.inv(np.reshape(source.direction, (3, 3)) * source.spacing)  # mm to voxels, x y z
    steps = to_source @ (np.reshape(target.direction, (3, 3)) * target.spacing)
    first = to_source @ (np.asarray(target.origin) - source.origin)
    nx, ny, nz = target.size
    plane = steps[:, 0, None, None] * np.arange(nx) + steps[:, 1, None, None] * np.arange(ny)[:, None]
    farthest, inside = 0.0, 0
    for z in range(nz):
        places = plane + (first + steps[:, 2] * z)[:, None, None]  # axes: x y z of the source, then y and x
        nearest = np.floor(places.round(6) + 0.5).astype(np.int64)  # halves all go the same way
        there = ((nearest >= 0) & (nearest < np.reshape(source.size, (3, 1, 1)))).all(axis=0)
        if not there.any():
            continue
        x, y, z_source = nearest[:, there]
        result[z][there] = labels[z_source, y, x]
        off = (places - nearest)[:, there] * np.reshape(source.spacing, (3, 1))
        farthest = max(farthest, float(np.sqrt((off**2).sum(axis=0)).max()))
        inside += int(np.count_nonzero(there))
    return result, farthest, inside / target.voxels


def beyond(labels: Array, source: Grid, target: Grid) -> int:
    """How many voxels of a label map (z y x, on the source grid), background apart, have no place on another grid."""
    if not any(grids.differences(target, source)):
        return 0
    to_target = np.linalg.inv(np.reshape(target.direction, (3, 3)) * target.spacing)  # mm to voxels, x y z
    steps = to_target @ (np.reshape(source.direction, (3, 3)) * source.spacing)
    first = to_target @ (np.asarray(source.origin) - target.origin)
    count = 0
    for z, labelled in enumerate(labels):
        y, x = np.nonzero(labelled)
        places = np.column_stack([x, y, np.full(len(x), z)]) @ steps.T + first
        nearest = np.floor(places.round(6) + 0.5)
        count += int(np.count_nonzero(((nearest < 0) | (nearest >= target.size)).any(axis=1)))
    return count


def moved(said: str, labels: Array, source: Grid, target: Grid, offset: float, *, onto: str, what: str) -> list[str]:
    """What a person should know of labels that came to another grid by `on_grid`, a line each.

    Args:
        said: what they are called.
        labels: as they were (z y x), on the source grid.
        source: the grid they were on.
        target: the grid they came to.
        offset: in mm, as `on_grid` returned it.
        onto: what the target is called, `CT` or `scan`.
        what: what was labelled is called.
    """
    notes = []
    if offset > grids.GRID_TOLERANCE_MM:
        notes.append(
            f"{said}: on another grid than the {onto}: brought there by nearest neighbour, up to {offset:.2f} mm"
        )
    if outside := beyond(labels, source, target):
        notes.append(f"{said}: {outside} of its {what} lie outside the {onto} and were left out")
    return notes
