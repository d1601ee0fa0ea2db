"""Masks as outlines and back: polygons in a slice, x y in voxels from the first voxel's centre.

An outline runs at the half level, midway between voxels of a mask and others (marching squares, Lorensen and Cline
1987), so it touches no voxel's centre. A polygon is filled by the even-odd rule on scanlines through the voxels'
centres (Foley et al. 1990): a mask comes back to the last voxel, with its holes and single voxels.
"""

from collections.abc import Sequence
from itertools import pairwise

import contourpy
import numpy as np

from organbench.data.grids import Array, box

LEVEL = 0.5
DIGITS = 6  # of voxels: points that differ less are one, or else rounding decides which side of a centre an edge is on
CROSSINGS = 1 << 22  # of edges and scanlines that are worked on at a time
CHANNEL = 0.25  # rows from the nearest voxel's centre to the channel of a keyhole


def outlines(mask: Array) -> list[Array]:
    """The outlines of a mask at the half level; holes are outlines of their own.

    Args:
        mask: boolean (y x).

    Returns:
        Polygons (n, 2), x y in voxels, without the points between on straight lines and without the first one again at
        the end. Outer ones turn from x to y, holes the other way.
    """
    place = box(mask)
    if not mask[place].size:
        return []
    levels = np.pad(mask[place].astype(np.float64), 1)
    corner = np.array([place[1].start - 1, place[0].start - 1])
    lines = contourpy.contour_generator(z=levels, name="serial").lines(LEVEL)
    return [corners(np.asarray(line)[:-1]) + corner for line in lines]


def corners(polygon: Array) -> Array:
    """A closed polygon (n, 2) without the points at which it goes straight on."""
    into, out = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
    kept: Array = polygon[into[:, 0] * out[:, 1] != into[:, 1] * out[:, 0]]
    return kept


def filled(contours: Sequence[Array], shape: tuple[int, int]) -> Array:
    """The voxels whose centres an odd number of polygons encloses.

    Args:
        contours: polygons (n, 2), x y in voxels; their first point may be there again at the end.
        shape: of the slice, y x.

    Returns:
        Boolean mask (y x). Of a centre on an edge, one is inside where the polygon lies to its right or below.
    """
    mask: Array = stacked(contours, [0] * len(contours), (1, *shape))[0]
    return mask


def stacked(contours: Sequence[Array], slices: Sequence[int], shape: tuple[int, int, int]) -> Array:
    """As `filled`, for polygons of many slices at once.

    Args:
        contours: polygons (n, 2), x y in voxels.
        slices: the slice (z, within the volume) of each.
        shape: of the volume, z y x.

    Returns:
        Boolean mask (z y x).
    """
    volume = np.zeros(shape, np.uint8)
    if not len(contours):
        return volume.view(bool)
    first, last, z = edges(contours, slices)
    down = (
        first[:, 1] > last[:, 1]
    )  # an edge is worked out the same both ways, so that the channel of a keyhole is none
    first[down], last[down] = last[down], first[down]
    above = np.clip(np.ceil(first[:, 1]), 0, shape[1]).astype(np.int64)  # rows y with first <= y < last
    counts = np.clip(np.ceil(last[:, 1]), 0, shape[1]).astype(np.int64) - above
    for part in parts(counts):
        edge = np.repeat(np.arange(part.start, part.stop), counts[part])
        y = np.arange(len(edge)) - np.repeat(np.cumsum(counts[part]) - counts[part], counts[part]) + above[edge]
        start, end = first[edge], last[edge]
        x = start[:, 0] + (y - start[:, 1]) * (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1])
        column = np.clip(np.ceil(np.round(x, DIGITS)), 0, shape[2]).astype(np.int64)
        there = column < shape[2]
        places = np.ravel_multi_index((z[edge[there]], y[there], column[there]), shape)
        np.bitwise_xor.at(volume.reshape(-1), places, np.uint8(1))
    touched = box(volume)
    inside = volume[touched[0], touched[1], touched[2].start :]
    np.bitwise_xor.accumulate(inside, axis=2, out=inside)
    return volume.view(bool)


def edges(contours: Sequence[Array], slices: Sequence[int]) -> tuple[Array, Array, Array]:
    """The two ends (n, 2) of every edge of polygons, and its slice (n)."""
    points = np.round(np.concatenate(contours), DIGITS)
    lengths = np.array([len(contour) for contour in contours])
    ends = np.cumsum(lengths)
    following = np.arange(1, len(points) + 1)
    following[ends[lengths > 0] - 1] = (ends - lengths)[lengths > 0]
    return points, points[following], np.repeat(slices, lengths)


def parts(counts: Array) -> list[slice]:
    """Cut edges, of which each has a count of crossings, into runs with few crossings in all."""
    total = np.cumsum(counts)
    cuts = np.searchsorted(total, np.arange(CROSSINGS, int(counts.sum()) + CROSSINGS, CROSSINGS))
    places = np.unique([0, *np.minimum(cuts + 1, len(counts))])
    return [slice(int(start), int(stop)) for start, stop in pairwise(places)]


def keyholes(contours: Sequence[Array]) -> list[Array]:
    """Outlines with each hole joined to what is around it by a channel without width.

    For programs that take every polygon of a slice as filled. The channel runs between voxels' centres, to the left of
    the hole.

    Args:
        contours: what `outlines` gave of one mask.

    Returns:
        Polygons (n, 2) that enclose the same voxels, none of them a hole.
    """
    polygons = [contour for contour in contours if area(contour) > 0]
    holes = [contour for contour in contours if area(contour) < 0]
    for hole in sorted(holes, key=lambda contour: float(contour[:, 0].min())):  # what is to the left is joined before
        opened = opened_left(hole)
        start = opened[0]
        number, edge, x = nearest_left(polygons, start)
        gate = np.array([[x, start[1]]])
        around = polygons[number]
        polygons[number] = np.concatenate([around[: edge + 1], gate, opened, opened[:1], gate, around[edge + 1 :]])
    return polygons


def area(polygon: Array) -> float:
    """The area (square voxels) that a polygon encloses; negative where it turns from y to x."""
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def opened_left(hole: Array) -> Array:
    """A hole's outline (n, 2) from a point on its left side, which lies off the rows of the voxels' centres."""
    leftmost = int(np.lexsort((hole[:, 1], hole[:, 0]))[0])
    hole = np.roll(hole, -leftmost, axis=0)
    corner = hole[0]
    for number in (1, len(hole) - 1):
        step = hole[number] - corner
        if step[1] > 0:
            start = corner + step * CHANNEL / step[1]
            return np.concatenate([[start], hole[1:], [corner]] if number == 1 else [[start], hole])
    raise AssertionError("an outline goes on in the next row")


def nearest_left(polygons: Sequence[Array], point: Array) -> tuple[int, int, float]:
    """The polygon, its edge and the x at which the ray from a point to the left first meets one."""
    found = (-1, -1, -np.inf)
    for number, polygon in enumerate(polygons):
        following = np.roll(polygon, -1, axis=0)
        crossing = np.flatnonzero((polygon[:, 1] <= point[1]) != (following[:, 1] <= point[1]))
        start, end = polygon[crossing], following[crossing]
        x = start[:, 0] + (point[1] - start[:, 1]) * (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1])
        x[x >= point[0]] = -np.inf
        if len(x) and x.max() > found[2]:
            found = (number, int(crossing[x.argmax()]), float(x.max()))
    return found
