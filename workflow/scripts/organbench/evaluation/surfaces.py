"""How far two organs' surfaces lie from each other, in mm, and how much contour has to be drawn anew.

A surface is made of elements, as in Nikolov et al. 2021 (doi:10.2196/26151): at every corner between 2 x 2 x 2 voxels,
of which some lie inside the organ and some do not, a piece of surface whose area follows from which ones do (marching
cubes). All that is measured is weighted by these areas, so it does not depend on how densely a scanner's grid happens
to sample a surface. Areas and definitions are those of DeepMind's package surface-distance; how the distances are found
is not. A contour is the same in a slice: 2 x 2 voxels, pieces of line and their lengths.

Masks are bool arrays z y x, spacing is mm in the order x y z. What lies outside an array counts as outside the organ,
so an organ that touches the border of a scan has a surface there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from surface_distance import lookup_tables

from organbench.data.grids import Array

SLAB = 8  # slices whose elements are sought at a time
NEIGHBOURS = 250  # about as many corners around an element are looked at one by one
# As points of a lattice need it: the median splits that are SciPy's default can take minutes where many coordinates are
# equal, and tight boxes and small leaves make a search from afar ten times slower.
TREE = {"leafsize": 64, "balanced_tree": False, "compact_nodes": False}
BLOCK = 1 << 15  # elements that look at their neighbours at a time: what they look at stays in the cache


@dataclass(frozen=True)
class Elements:
    """The elements of a surface, or of the contours of all slices.

    Attributes:
        lattice: bool, axes z y x: the corners that have one, with a margin around them.
        at: their positions in the flattened lattice, ascending.
        codes: which of the voxels around each lie inside, a bit a voxel; uint8.
    """

    lattice: Array
    at: Array
    codes: Array


@dataclass(frozen=True)
class Distances:
    """The distance of every surface element to the nearest element of the other surface.

    Attributes:
        directions: from the reference's elements to the prediction's surface, and from the prediction's to the
            reference's: the distances (mm), and the elements' areas (mm²).
    """

    directions: tuple[tuple[Array, Array], tuple[Array, Array]]

    @property
    def area(self) -> float:
        """Of both surfaces, mm²."""
        return float(sum(mm2.sum() for _, mm2 in self.directions))

    def hausdorff(self) -> float:
        """The largest distance of a surface element to the other surface, in mm (Hausdorff distance)."""
        return float(max(mm.max() for mm, _ in self.directions))

    def hausdorff_95(self) -> float:
        """The larger of the two directions' 95th percentiles over surface area, in mm.

        A direction's percentile is the smallest distance such that 95 % of the surface's area lies no farther.
        """
        return max(percentile(mm, mm2, 0.95) for mm, mm2 in self.directions)

    def mean(self) -> float:
        """The mean distance over the area of both surfaces together, in mm (average symmetric surface distance).

        The sum of distance times area over all elements of both surfaces, divided by the area of both. (The mean of the
        two directions' means is another thing: there a small surface counts as much as a large one.)
        """
        return float(sum(mm @ mm2 for mm, mm2 in self.directions) / self.area)

    def share_within(self, tolerance_mm: float) -> float:
        """The share of the area of both surfaces that lies within the tolerance of the other one, 0 to 1 (NSD)."""
        return float(sum(mm2[mm <= tolerance_mm].sum() for mm, mm2 in self.directions) / self.area)


def percentile(mm: Array, mm2: Array, share: float) -> float:
    """The smallest distance within which a share of the area lies."""
    order = np.argsort(mm)
    area = np.cumsum(mm2[order])
    place = int(np.searchsorted(area / area[-1], share))
    return float(mm[order[min(place, len(order) - 1)]])


def distances(reference: Array, prediction: Array, spacing: Sequence[float], *, workers: int = 1) -> Distances:
    """Measure the distances between two surfaces, both ways.

    Exact: they are the distances between corners of the voxel grid, in float64.

    Args:
        reference: mask of the reference, not empty.
        prediction: mask of the predicted organ, the same shape, not empty.
        spacing: mm, x y z.
        workers: threads that search for the nearest element of those that lie far away.

    Raises:
        ValueError: a mask is empty.
    """
    if not (reference.any() and prediction.any()):
        raise ValueError("there is no distance to the surface of an empty mask")
    sides = np.asarray(spacing, dtype=float)[::-1]  # z y x, as the arrays' axes
    reach = np.cbrt(NEIGHBOURS * np.prod(sides) * 3 / (4 * np.pi))  # radius of the ball that holds them
    offsets = offsets_within(reach, sides)
    areas = lookup_tables.create_table_neighbour_code_to_surface_area(sides)
    ours, theirs = (elements(mask, margin=offsets.max(axis=1), axes=3) for mask in (reference, prediction))
    forth, back = (nearest(*pair, offsets, sides, workers) for pair in ((ours, theirs), (theirs, ours)))
    return Distances(((forth, areas[ours.codes]), (back, areas[theirs.codes])))


def added_path_length(reference: Array, prediction: Array, spacing: Sequence[float], tolerance_mm: float) -> float:
    """The length of contour that has to be drawn anew, in mm (Vaassen et al. 2020, doi:10.1016/j.phro.2019.12.001).

    Slice by slice (along z), the length of the reference's contour that lies farther than the tolerance, in the plane,
    from the predicted contour of the same slice; all of it in slices without prediction. The paper counts the contour's
    voxels. Here every piece of contour counts with its length, so that a finer grid does not change the result.

    Args:
        reference: mask of the reference; empty, there is nothing to draw.
        prediction: mask of the predicted organ, the same shape.
        spacing: mm, x y z.
        tolerance_mm: how far off a contour may lie without being drawn anew.
    """
    sides = np.asarray(spacing, dtype=float)[::-1]
    offsets = offsets_within(tolerance_mm, sides, axes=2)
    lengths = lookup_tables.create_table_neighbour_code_to_contour_length(sides[1:])
    ours, theirs = (elements(mask, margin=offsets.max(axis=1), axes=2) for mask in (reference, prediction))
    near = look_around(ours.at, theirs.lattice, offsets)
    return float(lengths[ours.codes[near < 0]].sum())


def offsets_within(reach: float, sides: Array, axes: int = 3) -> Array:
    """The steps on a lattice that are no longer than `reach`, shortest first.

    Args:
        reach: mm.
        sides: the lattice's steps along z y x, mm.
        axes: 3, or 2 for steps within a slice.

    Returns:
        Whole numbers, shape (3, steps), z y x.
    """
    counts = [int(reach / side) + 1 for side in sides]
    counts[: 3 - axes] = [0] * (3 - axes)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in counts), indexing="ij")).reshape(3, -1)
    length = lengths_of(steps, sides)
    order = np.argsort(length, kind="stable")
    return steps[:, order[length[order] <= reach]]


def lengths_of(steps: Array, sides: Array) -> Array:
    """Lengths in mm of steps (3, n) on a lattice; the same step has the same length, to the last bit, wherever."""
    return np.asarray(np.sqrt(np.square(steps * sides[:, None]).sum(axis=0)))


def elements(mask: Array, *, margin: Sequence[int], axes: int) -> Elements:
    """The elements of a mask's surface (3 axes), or of its contours in each slice (2 axes).

    Args:
        mask: bool, z y x.
        margin: corners to add to the lattice on either side of z y x.
        axes: 3 or 2.
    """
    deep = axes == 3
    z, y, x = mask.shape
    full = 255 if deep else 15
    lattice = np.zeros([n + 1 + 2 * int(more) for n, more in zip(mask.shape, margin, strict=True)], dtype=bool)
    core = lattice[tuple(slice(int(more), n - int(more)) for n, more in zip(lattice.shape, margin, strict=True))]
    codes = []
    for start in range(0, z + 1, SLAB):
        stop = min(start + SLAB, z + 1)
        inside = np.zeros((stop - start + 1, y + 2, x + 2), np.uint8)  # slices start - 1 to stop - 1
        low, high = max(start - 1, 0), min(stop, z)
        inside[low - start + 1 : high - start + 1, 1:-1, 1:-1] = mask[low:high]
        code = inside[:, :, 1:] | inside[:, :, :-1] << 1
        code = code[:, 1:] | code[:, :-1] << 2
        code = code[1:] | code[:-1] << 4 if deep else code[1:]
        found = (code - 1) < full - 1  # neither 0 nor full: 0 - 1 is 255
        core[start:stop] = found
        codes.append(code[found])
    return Elements(lattice, np.flatnonzero(lattice), np.concatenate(codes))


def nearest(ours: Elements, theirs: Elements, offsets: Array, sides: Array, workers: int) -> Array:
    """The distance of each of our elements to the nearest of theirs, in mm.

    Most have one near by: looking at the neighbours in turn, the nearest first, is then several times faster than a
    search tree. The others ask a tree.
    """
    found = look_around(ours.at, theirs.lattice, offsets)
    mm = lengths_of(offsets, sides)[found]
    far = np.flatnonzero(found < 0)
    if len(far):
        from_, to = (np.stack(np.unravel_index(at, ours.lattice.shape)) for at in (ours.at[far], theirs.at))
        _, index = cKDTree(to.T * sides, **TREE).query(from_.T * sides, workers=workers)
        mm[far] = lengths_of(from_ - to[:, index], sides)
    return mm


def look_around(at: Array, lattice: Array, offsets: Array) -> Array:
    """For each position, the first of the offsets that leads to an element; -1 where none does.

    Args:
        at: positions in the flattened lattice, at least as far from its border as any offset is long.
        lattice: bool, z y x.
        offsets: steps on the lattice, shape (3, steps), z y x.
    """
    flat = lattice.ravel()
    _, y, x = lattice.shape
    jumps = (offsets[0] * y + offsets[1]) * x + offsets[2]
    result = np.full(len(at), -1, np.int32)
    for start in range(0, len(at), BLOCK):
        here = at[start : start + BLOCK]
        rest = np.arange(start, start + len(here))
        for number, jump in enumerate(jumps):
            hit = flat.take(here + jump)
            result[rest[hit]] = number
            here, rest = here[~hit], rest[~hit]
            if not len(rest):
                break
    return result
