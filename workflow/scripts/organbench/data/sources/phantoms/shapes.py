"""Shapes: signed distances in mm, negative inside, and parts with the HU of their rind and core.

Distances to ellipsoids and capsules, and the smooth maximum, follow Inigo Quilez (iquilezles.org/articles).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

OTHER = 0  # tissue that no one segments: it takes its voxels away from what was painted before
Array = NDArray[np.floating]
Vector = Sequence[float] | NDArray[np.floating]
Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]  # lowest and highest x, y, z, mm


class Place(NamedTuple):
    """Where the voxels of a slab lie in the patient; arrays z y x, mm, distances negative inside."""

    x: Array
    y: Array
    z: Array
    skin: Array
    wall: Array  # the muscles' outer surface
    cage: Array  # the ribs' outer surface
    cavity: Array  # of abdomen and pelvis
    couch: Array  # depth below the couch's top


Distance = Callable[[Place], Array]


@dataclass(frozen=True)
class Part:
    """What is painted: HU `hu` in a rind of `rind` mm, `core` deeper; a label, or none to keep what is there."""

    box: Box  # holds all of the part, in the frame before warping
    distance: Distance
    hu: float
    label: int | None = OTHER
    core: float | None = None
    rind: float = 2.5
    within: int | None = None  # paint only over this label


def smooth_max(first: Array, *others: Array, blend: float = 8.0) -> Array:
    """Intersection of distances whose edges are rounded over `blend` mm."""
    for other in others:
        overlap = np.maximum(blend - np.abs(first - other), 0)
        first = np.maximum(first, other) + overlap * overlap * np.float32(0.25 / blend)
    return first


def ellipsoid(centre: Vector, radii: Vector, tilt: float = 0.0) -> Distance:
    """Distance to an ellipsoid turned by `tilt` radians in the coronal (x z) plane."""
    (cx, cy, cz), (rx, ry, rz) = map(float, centre), map(float, radii)
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))

    def distance(place: Place) -> Array:
        x, y, z = place.x - cx, place.y - cy, place.z - cz
        u, v, w = (cos * x + sin * z) / rx, y / ry, (cos * z - sin * x) / rz
        norm = np.maximum(np.sqrt(u * u + v * v + w * w), 1e-3)
        result: Array = norm * (norm - 1) / np.maximum(np.sqrt((u / rx) ** 2 + (v / ry) ** 2 + (w / rz) ** 2), 1e-5)
        return result

    return distance


def minus(shape: Distance, hole: Distance) -> Distance:
    """A shape without another, with a rounded edge."""
    return lambda place: smooth_max(shape(place), -hole(place), blend=5)


def span(low: Vector, high: Vector) -> Box:
    """The box between two corners."""
    (ax, ay, az), (bx, by, bz) = map(float, low), map(float, high)
    return (ax, bx), (ay, by), (az, bz)


def around(centre: Vector, radii: Vector) -> Box:
    """The box of an ellipsoid, however it is tilted in the x z plane."""
    reach = np.array([max(radii[0], radii[2]), radii[1], max(radii[0], radii[2])])
    return span(centre - reach, centre + reach)


def blob(centre: Vector, radii: Vector, hu: float, label: int | None = OTHER, tilt: float = 0, **rest: Any) -> Part:
    """An ellipsoid as a part."""
    return Part(around(centre, radii), ellipsoid(centre, radii, tilt), hu, label, **rest)


def rod(start: Vector, end: Vector, radius: float, hu: float, label: int | None = OTHER, **rest: Any) -> Part:
    """A capsule as a part: all points within `radius` of a segment."""
    (ax, ay, az), (ux, uy, uz) = map(float, start), map(float, np.subtract(end, start))

    def distance(place: Place) -> Array:
        x, y, z = place.x - ax, place.y - ay, place.z - az
        t = np.clip((x * ux + y * uy + z * uz) / (ux * ux + uy * uy + uz * uz), 0, 1)
        result: Array = np.sqrt((x - t * ux) ** 2 + (y - t * uy) ** 2 + (z - t * uz) ** 2) - radius
        return result

    return Part(span(np.minimum(start, end) - radius, np.maximum(start, end) + radius), distance, hu, label, **rest)


def lines(table: Sequence[Sequence[float]], z: Array) -> Array:
    """The columns of a table of (z, a, b ...), mm, interpolated at heights z; first axis: columns after z."""
    knots = np.asarray(table, dtype=float)
    return np.stack([np.interp(z, knots[:, 0], column) for column in knots[:, 1:].T]).astype(np.float32)


def column(table: Sequence[Sequence[float]], x: Array, y: Array, z: Array) -> Array:
    """Distance to a superellipse that a table of (z, half-widths in x and y, centre in y) gives at each slice's z."""
    a, b, centre = (values[:, None, None] for values in lines(table, z))
    y = y - centre
    u, v = np.abs(x / a), np.abs(y / b)
    norm = np.power(u * u * np.sqrt(u) + v * v * np.sqrt(v), np.float32(0.4))
    result: Array = np.hypot(x, y) * (1 - 1 / np.maximum(norm, 1e-6))
    return result
