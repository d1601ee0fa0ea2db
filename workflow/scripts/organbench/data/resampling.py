"""From one grid of a case to another.

All grids of a case share its direction cosines, so this is separable: one small matrix an axis, also for an oblique
volume.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from organbench.data.grids import SLAB, Array, Grid, box, span
from organbench.data.intensity import AIR_HU

BAND = 32  # voxels of an axis resampled at a time
TARGET, SOURCE = 0, 1  # axes of a matrix of weights


def axis_weights(source: Grid, target: Grid, axis: int) -> Array:
    """The matrix (target voxels, source voxels) that resamples one axis (0 x, 1 y, 2 z) linearly.

    A triangle as wide as the coarser of the two spacings, so shrinking does not alias (as in Pillow's and torch's
    antialiased resize), cut and renormalised at the border. Rows sum to 1.
    """
    cosines = np.reshape(source.direction, (3, 3))[:, axis]
    shift = float(np.dot(np.asarray(target.origin) - np.asarray(source.origin), cosines))
    spacing = source.spacing[axis]
    centres = (shift + np.arange(target.size[axis]) * target.spacing[axis]) / spacing
    reach = max(1.0, target.spacing[axis] / spacing)
    centres = np.clip(centres, 0, source.size[axis] - 1) if reach == 1.0 else centres
    distance = np.abs(np.arange(source.size[axis])[None, :] - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distance / reach)
    weights[weights < 1e-6] = 0.0  # a shift of rounding errors is none
    result: Array = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


@dataclass(frozen=True)
class Resampler:
    """Linear, antialiased resampling between two grids that share their directions, a slab of slices at a time."""

    z: Array
    y: Array
    x: Array

    @classmethod
    def between(cls, source: Grid, target: Grid) -> "Resampler":
        """From `source` to `target`."""
        x, y, z = (axis_weights(source, target, axis) for axis in range(3))
        return cls(z, y, x)

    def needs(self, slices: slice) -> slice:
        """The source slices that some target slices are made of."""
        return span(self.z[slices], SOURCE)

    def part(self, rows: slice, columns: slice) -> tuple["Resampler", slice, slice]:
        """The resampler of some target rows and columns alone, and the source rows and columns that it works on."""
        y, x = self.y[rows], self.x[columns]
        source_rows, source_columns = span(y, SOURCE), span(x, SOURCE)
        return Resampler(self.z, y[:, source_rows], x[:, source_columns]), source_rows, source_columns

    def slab(self, block: Array, slices: slice) -> Array:
        """Some target slices, float32, from the source slices that they need, `block` (z y x)."""
        weights = self.z[slices, self.needs(slices)]
        block = block.astype(np.float32, copy=False)
        if len(weights) < len(block):  # the fewer slices, the less there is to do in their planes
            return within(across(block, weights), self.y, self.x)
        return across(within(block, self.y, self.x), weights)

    def spans(self) -> Iterator[slice]:
        """The target slices that are worked on together."""
        return (slice(start, start + SLAB) for start in range(0, len(self.z), SLAB))


def is_identity(weights: Array) -> bool:
    """Whether a matrix of weights leaves an axis as it is."""
    return weights.shape[0] == weights.shape[1] and bool((np.diagonal(weights) == 1.0).all())


def across(block: Array, z: Array) -> Array:
    """Resample slices (z y x) along z."""
    return block if is_identity(z) else np.tensordot(z, block, axes=(1, 0))


def within(block: Array, y: Array, x: Array) -> Array:
    """Resample slices (z y x) in their plane.

    A voxel is made of its few neighbours, so most weights are 0. Products of a band of target voxels with just the
    source voxels that it needs leave most of these out.
    """
    for weights, axis in ((x, 2), (y, 1)):
        if is_identity(weights):
            continue
        shape = list(block.shape)
        shape[axis] = len(weights)
        result = np.empty(shape, np.float32)
        for start in range(0, len(weights), BAND):
            band = slice(start, start + BAND)
            needed = span(weights[band], SOURCE)
            if axis == 2:
                np.matmul(block[:, :, needed], weights[band, needed].T, out=result[:, :, band])
            else:
                np.matmul(weights[band, needed], block[:, needed], out=result[:, band])
        block = result
    return block


def resample_volume(volume: Array, source: Grid, target: Grid) -> Array:
    """A CT volume (z y x, HU) on another grid, int16 HU; below air counts as air."""
    result = np.empty(target.shape, np.int16)
    resampler = Resampler.between(source, target)
    top = np.iinfo(np.int16).max
    for slices in resampler.spans():
        block = np.clip(volume[resampler.needs(slices)], AIR_HU, top, dtype=np.float32)
        result[slices] = np.rint(resampler.slab(block, slices))
    return result


def resample_labels(labels: Array, source: Grid, target: Grid, organs: int) -> Array:
    """A label map (z y x, organ indices) on another grid, uint8.

    A target voxel gets the organ, or background, with the largest share of it: no value is invented, and shrinking
    keeps an organ's volume where picking the nearest voxel would make its border ragged.
    """
    result = np.zeros(target.shape, np.uint8)
    resampler = Resampler.between(source, target)
    for slices in resampler.spans():
        block = labels[resampler.needs(slices)]
        able = {organ: (block == organ).any(axis=0) for organ in range(1, organs + 1)}
        elect(result, resampler, slices, block, able, lambda block, organ, y, x: block[:, y, x] == organ)
    return result


def restore(probabilities: Iterable[Array], source: Grid, target: Grid) -> Array:
    """The most probable class of each voxel of another grid, one class and a few slices at a time.

    Args:
        probabilities: consecutive slabs of slices (class z y x, class 0 background; they sum to 1 over classes) that
            make up the source grid.
        source: the grid of the probabilities.
        target: the grid that is wanted; same directions.

    Returns:
        uint8 class indices, target.shape (z y x). The first of equally probable classes.
    """
    result = np.zeros(target.shape, np.uint8)
    resampler = Resampler.between(source, target)
    arriving = iter(probabilities)
    kept: Array | None = None  # source slices from `first_kept` on
    first_kept = 0
    for slices in resampler.spans():
        needed = resampler.needs(slices)
        while kept is None or first_kept + kept.shape[1] < needed.stop:
            slab = next(arriving)
            kept = slab if kept is None else np.concatenate([kept, slab], axis=1)
        kept, first_kept = kept[:, needed.start - first_kept :], needed.start
        block = kept[:, : needed.stop - first_kept]
        # to win, a class needs 1 / classes somewhere among the voxels that are averaged
        able = {k: (block[k] >= 1.0 / len(block)).any(axis=0) for k in range(1, len(block))}
        elect(result, resampler, slices, block, able, lambda block, k, y, x: block[k, :, y, x])
    return result


def elect(
    result: Array,
    resampler: Resampler,
    slices: slice,
    block: Array,
    able: Mapping[int, Array],
    share: Callable[[Array, int, slice, slice], Array],
) -> None:
    """Write the organs that have the largest share in some slices of `result` (z y x, zeros).

    Args:
        result: the target grid's voxels.
        resampler: from the source grid to the target grid.
        slices: of the target grid.
        block: the source slices that these need.
        able: for each organ the source rows and columns (mask y x) where its share is large enough to win somewhere.
        share: the share of an organ, or of background (0), in some rows and columns of the block (z y x), numbers or
            truth values.
    """
    areas = {}
    for organ, mask in able.items():
        rows, columns = box(mask)
        area = span(resampler.y[:, rows], TARGET), span(resampler.x[:, columns], TARGET)
        if all(axis.stop for axis in area):
            areas[organ] = area
    if not areas:
        return

    def resampled(organ: int, rows: slice, columns: slice) -> Array:
        part, *source = resampler.part(rows, columns)
        return part.slab(share(block, organ, *source), slices)

    low = [min(area[axis].start for area in areas.values()) for axis in (0, 1)]
    high = [max(area[axis].stop for area in areas.values()) for axis in (0, 1)]
    best = resampled(0, slice(low[0], high[0]), slice(low[1], high[1]))
    for organ, (rows, columns) in areas.items():
        mine = resampled(organ, rows, columns)
        there = best[:, rows.start - low[0] : rows.stop - low[0], columns.start - low[1] : columns.stop - low[1]]
        wins = mine > there
        result[slices, rows, columns][wins] = organ
        np.copyto(there, mine, where=wins)
