"""Procedural CT-ORG-like patients: a CT volume and its label map from nothing but a seed.

A patient is a list of parts (liver, a rib cage, a loop of bowel ...), each a signed distance in mm with the HU of its
rind and core. Parts are painted one over the other, so the painting order settles every conflict: couch, body, fat,
lungs, vessels, bowel, stomach, spleen, liver, kidneys, bladder, bone, head. The CT side blends by how much of a voxel
a part covers (partial volume), blurs and adds noise; the label side takes the part at the voxel's centre.

Anatomy lives in a reference frame in mm, LPS: x to the patient's left (0 is the midline), y to the back (0 is
mid-trunk), z to the head (0 is the top of the right diaphragm). A patient scales and smoothly warps that frame. The
volume is painted in slabs, so that a full-size patient needs little more memory than its two arrays.

Distances to ellipsoids and capsules, and the smooth maximum, follow Inigo Quilez (iquilezles.org/articles).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

ORGANS: dict[str, int] = {"liver": 1, "bladder": 2, "lungs": 3, "kidneys": 4, "bone": 5, "brain": 6}
LIVER, BLADDER, LUNGS, KIDNEYS, BONE, BRAIN = ORGANS.values()
OTHER = 0  # tissue that no one segments: it takes its voxels away from what was painted before

AIR, PADDING, LOWEST = -1000.0, -2048.0, -1024.0  # HU; scanners clip at LOWEST
ORIENTATIONS = ("LAS", "RAS", "LPS")  # those that CT-ORG mixes; SimpleITK's and NIfTI's codes
BRAIN_RATE = 0.28  # of patients scanned up to the crown; CT-ORG has 9 in 140, too few for a study of 24
NO_BLADDER_RATE = 0.2  # of patients scanned from above the bladder; CT-ORG has 26 in 140
# steps of two Weyl sequences, sqrt 2 and the golden ratio: any eight cases in a row get a share of both
SPREAD = np.array([2**0.5 - 1, (5**0.5 - 1) / 2])
PADDED_RATE = 0.4  # of patients with PADDING outside the scanner's circle
KNOT_MM, TEXTURE_MM = 70.0, 22.0  # spacing of the knots of the warp and of the tissue's texture
WARP_MM = 10.0  # no point moves further than this
SLAB_VOXELS = 500_000  # painted at once; small enough for a slab's arrays to stay in cache

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


# --- shapes: functions of a place, in mm -----------------------------------------------------------


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
        return norm * (norm - 1) / np.maximum(np.sqrt((u / rx) ** 2 + (v / ry) ** 2 + (w / rz) ** 2), 1e-5)

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
        return np.sqrt((x - t * ux) ** 2 + (y - t * uy) ** 2 + (z - t * uz) ** 2) - radius

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
    return np.hypot(x, y) * (1 - 1 / np.maximum(norm, 1e-6))


# --- the reference anatomy: (z, half-width in x, half-width in y, centre in y), mm -----------------

WALL = [(-520, 150, 88, 0), (-400, 160, 94, 0), (-340, 162, 95, 0), (-230, 142, 88, 0), (-150, 132, 86, 0),
        (-60, 142, 94, 0), (60, 150, 98, 0), (150, 160, 94, 4), (190, 184, 86, 8), (215, 182, 72, 10),
        (240, 110, 60, 8), (262, 66, 54, 4), (290, 58, 56, 0), (330, 55, 56, -2), (350, 30, 35, 0)]  # fmt: skip
CAGE = [(-110, 126, 86, 0), (-60, 134, 90, 0), (0, 138, 92, 0), (80, 132, 88, 2), (140, 112, 76, 8),
        (190, 74, 56, 14), (215, 46, 38, 16), (226, 10, 8, 18)]  # fmt: skip
CAVITY = [(-410, 5, 5, 0), (-396, 32, 30, 0), (-350, 70, 62, -2), (-300, 84, 66, -6), (-230, 108, 71, -10),
          (-150, 114, 72, -10), (-60, 124, 80, -4), (30, 126, 80, -2)]  # fmt: skip
FAT = [(-520, 1.2), (-300, 1.2), (-100, 1.0), (60, 0.6), (200, 0.5), (260, 0.2)]  # share of the patient's fat thickness
# (z, vertebra's number, half-width of its body, y of its centre); from the sacrum's top to the skull's base
SPINE = [(-258, 0, 25, 38), (-160, 3, 24, 30), (-85, 5, 22, 36), (60, 11, 18, 54), (209, 17, 15, 42), (270, 21, 12, 22),
         (350, 26, 11, 18)]  # fmt: skip


def dome(place: Place, side: int) -> Array:
    """Height, in mm, of the diaphragm on the patient's right (side -1) or left (side 1)."""
    peak = 0.0 if side < 0 else -14.0
    depth = place.y + 5
    back = np.where(depth > 0, depth / 72, depth / 105)  # the recess behind is the deeper one
    return np.float32(peak) - 38 * (((place.x - side * 64) / 70) ** 2 + back * back)


def under_domes(place: Place) -> Array:
    """Distance to the room under the diaphragm, a muscle of 4 mm."""
    return 0.8 * (place.z + 4 - np.maximum(dome(place, -1), dome(place, 1)))


def lung(side: int) -> Distance:
    """One lung: in the rib cage, above the diaphragm, beside the mediastinum."""

    def distance(place: Place) -> Array:
        mediastinum = 14 + 14 * np.clip((place.y + 50) / 100, 0, 1)
        return smooth_max(place.cage + 12, 0.8 * (dome(place, side) - place.z), mediastinum - side * place.x)

    return distance


def liver(left_end: float, lower: float) -> Distance:
    """A wedge under the diaphragm: thick on the right, ending at x = `left_end`; its right tip at z = `lower`."""

    def distance(place: Place) -> Array:
        slope = np.float32((-45 - lower) / (left_end + 110))
        below = 0.75 * (lower + slope * (place.x + 110) - 0.25 * (place.y + 20) - place.z)
        behind = 0.75 * (place.y - 58 + 0.55 * np.maximum(place.x + 50, 0))  # the left lobe lies in front
        return smooth_max(place.cavity + 1, under_domes(place), below, behind, place.x - left_end, blend=14)

    return distance


def ribs(place: Place) -> Array:
    """Twelve rings that fall from back to front, on the cage's surface."""
    height = place.z - 0.42 * place.y + 0.35 * np.abs(place.x)
    ring = np.remainder(height, 25) - 12.5
    ends = np.maximum(np.abs(height - 100) - 150, place.z - 214)
    return np.maximum(np.sqrt((ring / 1.5) ** 2 + (place.cage + 7) ** 2) - 4.2, ends)


def bony_ribs(place: Place) -> Array:
    """The ribs without the cartilage in front, which reaches further out the lower it lies."""
    front = np.where(place.y < 0, 48 + 0.7 * np.maximum(30 - place.z, 0) - np.abs(place.x), -10)
    return np.maximum(ribs(place), front)


def sternum(place: Place) -> Array:
    """A plate in front of the cage."""
    ends = np.maximum(np.abs(place.x) - 19, np.abs(place.z - 100) - 72)
    return smooth_max(np.abs(place.cage + 5) - 6, ends, place.y, blend=4)


def spine(place: Place) -> tuple[Array, Array, Array]:
    """Distances to the vertebrae, to the column of bodies and discs, and to the canal."""
    number, half, centre = lines(SPINE, place.z)
    period = np.interp(place.z, [-258, -85, 209, 350], [34, 29, 22, 15]).astype(np.float32)
    t = np.remainder(number, 1) - np.float32(0.5)
    y, x, size = place.y - centre, np.abs(place.x), half / 20
    bodies = np.hypot(x, y / 0.78) - half
    y = y - 0.78 * half - 8
    canal = np.hypot(x, y) - 8.5
    arch = np.maximum(np.abs(canal - 2.5) - 3, (np.abs(t) - 0.42) * period)
    spinous = np.maximum(np.maximum(x - 4, np.abs(y - 22 * size) - 13 * size), np.abs(t + 0.1) * period - 9 * size)
    across = np.hypot(y / 1.2, t * period) - 5.5 * size
    transverse = np.maximum(np.maximum(across, x - half - 16 * size), 9 - x)
    vertebra = np.maximum(bodies, (np.abs(t) - 0.39) * period)
    bone = np.minimum(np.minimum(vertebra, arch), np.minimum(spinous, transverse))
    return np.maximum(bone, place.wall + 2), bodies, canal


def iliac_wings(place: Place) -> Array:
    """Two plates around the pelvic cavity, from the sacrum to the front, with an arched crest."""
    crest = place.z + 208 + 40 * ((place.y - 5) / 60) ** 2
    ends = np.maximum(np.maximum(0.8 * crest, -338 - place.z), 34 - np.abs(place.x))
    front = 0.8 * (-52 + 0.5 * np.maximum(-270 - place.z, 0) - place.y)
    return smooth_max(np.abs(place.cavity - 4) - 5, ends, front, blend=5)


def jaw(place: Place) -> Array:
    """The mandible's horseshoe."""
    arch = np.abs(np.hypot(place.x / 0.95, place.y + 50) - 40) - 5
    return np.maximum(arch, np.maximum(place.y + 40, np.abs(place.z - 312) - 12))


def cranium(place: Place) -> Array:
    """The skull's outer surface: an ellipsoid on a base that rises to the front."""
    dome_of_skull = ellipsoid((0, 0, 424), (73, 91, 79))(place)
    return smooth_max(dome_of_skull, 0.94 * (362 - 0.35 * place.y - place.z), blend=20)


# --- one patient: its parts in painting order ------------------------------------------------------


class Phase(NamedTuple):
    """What contrast agent makes of the organs, HU."""

    blood: float
    liver: float
    cortex: float
    medulla: float
    calyx: float


# native, arterial, portal venous, excretory; and how often each is scanned
PHASES = (
    Phase(42, 56, 34, 31, 8),
    Phase(260, 68, 165, 75, 8),
    Phase(150, 108, 185, 150, 12),
    Phase(95, 86, 140, 130, 420),
)
PHASE_RATES = (0.25, 0.2, 0.4, 0.15)


def branches(rng: np.random.Generator, start: Vector, way: Vector, length: float, radius: float) -> Iterator[Any]:
    """Segments (start, end, radius) of a vessel that forks until it is thinner than a mm."""
    end = np.add(start, np.multiply(way, length))
    yield start, end, radius
    if radius > 1.3:
        for _ in range(2):
            turned = np.asarray(way) + rng.normal(0, 0.55, 3)
            yield from branches(rng, end, turned / np.linalg.norm(turned), 0.8 * length, 0.72 * radius)


def draw_trunk(rng: np.random.Generator, muscle: float) -> Iterator[Part]:
    """Couch, skin, muscle, fat of the belly and the chest, lungs."""
    couch, body = span((-210, 0, -700), (210, 400, 700)), span((-400, -400, -700), (400, 400, 700))
    yield Part(couch, lambda p: np.maximum(-p.couch, p.couch - 26), 60, core=-930, rind=3)
    yield Part(body, lambda p: p.skin, rng.normal(20, 10), core=rng.normal(-102, 5), rind=2)
    yield Part(span((-200, -120, -700), (200, 120, 370)), lambda p: p.wall, muscle)
    belly, chest = span((-135, -100, -415), (135, 95, 30)), span((-95, -90, -40), (95, 90, 226))
    yield Part(belly, lambda p: smooth_max(p.cavity, under_domes(p)), rng.normal(-95, 6))
    yield Part(chest, lambda p: np.maximum(p.cage + 12, -25 - p.z), rng.normal(-40, 20))
    back = span((-60, 50, -340), (60, 130, 30))
    yield Part(back, lambda p: smooth_max(p.wall, np.abs(p.x) - 56, 56 - p.y), muscle)
    air = rng.uniform(-870, -780)
    for side in (-1, 1):
        yield rod((side * 34, 36, -110), (side * 66, 10, -320), 19, muscle)  # psoas
        box = span((side * 72 - 67, -95, -140), (side * 72 + 67, 95, 230))
        yield Part(box, lung(side), air + 60, LUNGS, core=air, rind=6)


def draw_chest(rng: np.random.Generator, phase: Phase, muscle: float) -> Iterator[Part]:
    """Heart, aorta, cava, airways, and the vessels in the lungs."""
    for side in (-1, 1):
        for way in ((0.5, -0.3, 0.8), (0.8, -0.6, 0), (0.6, 0.1, -0.8), (0.7, 0.6, -0.2), (0.5, 0.5, 0.6)):
            for start, end, radius in branches(rng, (side * 30, 12, 88), np.multiply(way, (side, 1, 1)), 34, 5.5):
                yield rod(start, end, radius, phase.blood, None, within=LUNGS)
    heart = rng.normal((20, -30, 34), 5), rng.uniform(0.9, 1.1) * np.array([60, 46, 54])
    yield blob(*heart, muscle + 0.45 * (phase.blood - 42), tilt=0.4, core=phase.blood, rind=11)
    for start, end, radius in (
        ((6, -16, 80), (4, -22, 150), 14), ((4, -22, 150), (18, 26, 150), 13), ((18, 26, 150), (20, 30, 30), 12),
        ((20, 30, 30), (10, 6, -110), 11), ((10, 6, -110), (4, 4, -225), 9), ((-22, -20, 70), (-24, -18, 175), 9),
        ((-20, 8, 20), (-18, 4, -225), 11), ((2, 10, 230), (14, 28, 0), 8)):  # fmt: skip
        yield rod(start, end, radius, muscle if radius == 8 else phase.blood)  # the thinnest is the oesophagus
    for start, end, radius in (
        ((0, -8, 320), (0, 2, 110), 9), ((0, 2, 110), (-34, 14, 88), 7), ((0, 2, 110), (34, 14, 90), 7)):  # fmt: skip
        yield rod(start, end, radius, 60, core=AIR, rind=1.5)


def draw_bowel(rng: np.random.Generator) -> Iterator[Part]:
    """Colon, small bowel and stomach: soft walls around fluid, stool, gas or oral contrast."""
    contents = [15, 35, rng.uniform(120, 350), -150, -900]  # fluid, chyme, contrast, stool, gas
    given = rng.random() < 0.4  # oral contrast
    shares = np.array([0.35, 0.3, 0.35 * given, 0.1, 0.15])
    for x, y, z in rng.uniform((-88, -62, -300), (88, 20, -115), (38, 3)):
        inside = rng.choice(contents, p=shares / shares.sum())
        yield blob((x, y, z), rng.uniform(10, 24, 3), rng.normal(45, 8), tilt=rng.uniform(-1, 1), core=inside)
    colon = [(-84, 22, -265), (-92, 16, -175), (-60, -52, -160), (0, -66, -175), (55, -56, -140), (94, 14, -110),
             (94, 22, -200), (88, 14, -265), (40, 10, -300), (0, 46, -330), (0, 52, -385)]  # fmt: skip
    for start, end in pairwise(colon):
        wobble = rng.normal(0, 4, 3)
        yield rod(wobble + start, wobble + end, rng.uniform(13, 20), 40, core=rng.choice([20, -150, -880, 60]))
    centre, radii = rng.normal((54, -34, -62), 6), rng.uniform(0.75, 1.15) * np.array([44, 36, 50])
    meal = rng.choice([10, 30, contents[2] if given else 45])
    stomach = ellipsoid(centre, radii, -0.5)
    yield Part(around(centre, radii), lambda p: smooth_max(stomach(p), under_domes(p)), 48, core=meal, rind=4)
    level = centre[1] - rng.uniform(0, 0.8) * radii[1]  # gas floats to the front of a patient on the back
    yield Part(around(centre, radii), lambda p: np.maximum(stomach(p) + 4, p.y - level), AIR + 60)


def draw_organs(rng: np.random.Generator, phase: Phase, muscle: float) -> Iterator[Part]:
    """Spleen, liver, kidneys, bladder and the soft parts beside them."""
    liver_hu = phase.liver + rng.normal(0, 9)
    centre, radii = rng.normal((92, 34, -52), 5), rng.uniform(0.85, 1.2) * np.array([30, 46, 50])
    spleen = ellipsoid(centre, radii, 0.35)
    spleen_hu = liver_hu + rng.normal(0, 5)
    yield Part(around(centre, radii), lambda p: smooth_max(spleen(p), under_domes(p), p.cage + 14), spleen_hu)
    yield blob(rng.normal((10, -14, -100), 4), (58, 13, 15), liver_hu - 12, tilt=-0.35)  # pancreas
    lobes = liver(rng.normal(54, 14), rng.normal(-176, 14))
    yield Part(span((-135, -95, -215), (100, 85, 10)), lobes, liver_hu, LIVER)
    for way in ((-0.9, 0, 0.3), (-0.6, -0.6, 0.4), (0.4, -0.8, 0.2), (-0.7, 0.3, -0.5)):
        for start, end, radius in branches(rng, (-28, -4, -78), way, 26, 4.2):
            yield rod(start, end, radius, liver_hu + 0.35 * (phase.blood - 42), None, within=LIVER)
    for x, y, z in rng.uniform((-110, -60, -130), (20, 40, -20), (rng.poisson(1.5), 3)):
        yield blob((x, y, z), rng.uniform(5, 18, 3), liver_hu - rng.uniform(15, 50), None, within=LIVER)
    yield blob(rng.normal((-42, -40, -125), 4), rng.uniform(9, 17, 3), 12, tilt=0.4)  # gallbladder
    for side in (-1, 1):
        x, y, z = rng.normal((side * 66, 40, -128 + 10 * side), (3, 3, 6))
        kidney = ellipsoid((x, y, z), rng.uniform(0.9, 1.12, 3) * (29, 26, 54), -0.22 * side)
        hilum = ellipsoid((x - side * 31, y - 10, z), (17, 16, 19))
        yield Part(
            around((x, y, z), (34, 32, 64)), minus(kidney, hilum), phase.cortex, KIDNEYS, core=phase.medulla, rind=8
        )
        yield blob((x - side * 8, y - 3, z), (9, 8, 22), phase.calyx, None, tilt=-0.22 * side, within=KIDNEYS)
    yield blob(rng.normal((0, 18, -372), 3), rng.uniform(16, 26, 3), muscle - 4)  # prostate or uterus
    radius = (rng.uniform(60, 420) * 1000 * 0.75 / np.pi) ** (1 / 3)  # from the drawn filling in ml
    radii = radius * rng.uniform(0.9, 1.12, 3)
    centre = np.array([rng.normal(0, 4), -26 + rng.normal(0, 3), -384 + radii[2]])
    urine = rng.normal(8, 4)
    yield blob(centre, radii, 32, BLADDER, core=urine, rind=3.5)
    if phase.calyx > 100 and rng.random() < 0.7:  # contrast agent sinks to the back of the bladder
        level, full = centre[1] - rng.uniform(-0.4, 1) * radii[1], ellipsoid(centre, radii)
        agent = rng.uniform(120, 500)
        yield Part(around(centre, radii), lambda p: np.maximum(full(p) + 3.5, level - p.y), agent, None, within=BLADDER)


def draw_skeleton(rng: np.random.Generator) -> Iterator[Part]:
    """Spine, ribs, sternum, shoulders, pelvis and femora: cortical bone around trabecular bone."""
    cortical, trabecular = rng.uniform(380, 650), rng.uniform(130, 240)
    column_box = span((-48, -10, -262), (48, 120, 352))
    yield Part(column_box, lambda p: np.maximum(spine(p)[1] + 1, -258 - p.z), 85)  # discs
    yield Part(column_box, lambda p: np.maximum(spine(p)[0], -258 - p.z), cortical, BONE, core=trabecular)
    yield Part(column_box, lambda p: np.maximum(spine(p)[2], -330 - p.z), 32)
    chest = span((-150, -110, -150), (150, 110, 226))
    yield Part(chest, ribs, 95)
    yield Part(chest, bony_ribs, cortical, BONE, core=trabecular, rind=2)
    yield Part(span((-25, -110, 20), (25, 0, 180)), sternum, cortical, BONE, core=trabecular, rind=2)
    yield Part(span((-140, -90, -345), (140, 90, -195)), iliac_wings, cortical, BONE, core=trabecular)
    yield blob((0, 60, -292), (54, 19, 56), cortical, BONE, core=trabecular)
    yield rod((0, 72, -330), (0, 62, -368), 8, cortical, BONE, core=trabecular)
    for side in (-1, 1):
        bones = [
            ((78, -2, -338), (86, 4, -348), 31),  # acetabulum
            ((72, -26, -345), (9, -64, -374), 9), ((9, -62, -378), (52, 8, -416), 8),  # pubis
            ((74, 20, -352), (58, 22, -408), 14),  # ischium
            ((20, -58, 184), (90, -46, 205), 7), ((90, -46, 205), (140, -6, 218), 7),  # clavicle
            ((128, 30, 205), (146, 24, 205), 14), ((100, 82, 118), (118, 66, 200), 7),  # scapula
        ]  # fmt: skip
        for start, end, radius in bones:
            mirror = np.array([side, 1, 1])
            yield rod(mirror * start, mirror * end, radius, cortical, BONE, core=trabecular)
        yield blob((side * 106, 76, 152), (36, 6, 50), cortical, BONE, core=trabecular)
        yield blob((side * 90, -4, -347), (28, 28, 28), 70)  # joint
        yield blob((side * 90, -4, -347), (25, 25, 25), cortical, BONE, core=trabecular + 60)
        yield rod((side * 94, -4, -350), (side * 128, 4, -388), 15, cortical, BONE, core=trabecular)
        yield rod((side * 128, 4, -388), (side * 126, 0, -600), 16, cortical + 200, BONE, core=20, rind=6)
        yield blob((side * 160, 16, 204), (23, 23, 25), cortical, BONE, core=trabecular)


def draw_head(rng: np.random.Generator) -> Iterator[Part]:
    """Face, skull and brain."""
    bone, box = rng.uniform(700, 1000), span((-90, -110, 310), (90, 110, 520))
    yield blob((0, -8, 412), (84, 104, 104), 45, core=40)
    yield blob((0, -48, 348), (62, 56, 66), 45, core=35)
    yield rod((0, -20, 335), (0, -12, 310), 10, 50, core=AIR)  # throat
    yield Part(span((-55, -110, 290), (55, -30, 330)), jaw, bone, BONE, core=400)
    yield blob((0, -76, 347), (34, 20, 22), bone - 200, BONE, core=300)
    for side in (-1, 1):
        yield rod((side * 44, -32, 318), (side * 46, -26, 362), 7, bone, BONE, core=400)
        yield blob((side * 25, -68, 362), (13, 15, 15), bone - 300, BONE, core=AIR, rind=2)
    yield blob((0, -84, 366), (11, 22, 20), 40, core=AIR)
    yield Part(box, cranium, bone, BONE, core=bone - 350)
    yield Part(box, lambda p: cranium(p) + 7, 14, BRAIN, core=37, rind=2)
    yield Part(box, lambda p: cranium(p) + 15, 30, None, within=BRAIN)  # white matter
    for side in (-1, 1):
        yield rod((side * 12, -30, 428), (side * 16, 28, 424), rng.uniform(4, 8), 8, None, within=BRAIN)
        yield blob((side * 31, -80, 388), (13, 13, 13), 15)  # eye


# --- from the parts to a volume --------------------------------------------------------------------


def smooth_field(knots: Array, spacing: float, x: Array, y: Array) -> Callable[[Array], Array]:
    """A cubic B-spline with knots (axes z y x, centred on x = y = z = 0) at a grid's axes in mm.

    Returns:
        The field, axes z y x, as a function of z.
    """

    def weights(axis: Array, count: int) -> Array:
        t = np.abs(axis[:, None] / spacing + (count - 1) / 2 - np.arange(count))
        return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6).astype(np.float32)

    rows = np.einsum("jy,zyx->zjx", weights(y, knots.shape[1]), knots)
    columns = weights(x, knots.shape[2]).T
    return lambda z: np.tensordot(weights(z, knots.shape[0]), rows, 1) @ columns


def voxels_of(part: Part, axes: tuple[Array, Array, Array], soft: float) -> tuple[slice, slice, slice]:
    """The voxels, z y x, that a part's box holds, with room for the warp and for a border that is `soft` mm wide."""
    reach = WARP_MM + soft
    x, y, z = (
        slice(*np.searchsorted(axis, (low - reach, high + reach)))
        for axis, (low, high) in zip(axes, part.box, strict=True)
    )
    return z, y, x


def paint(part: Part, cut: tuple[slice, slice, slice], place: Place, hu: Array, labels: NDArray, soft: float) -> None:
    """Paint a part over the HU and labels of a slab's voxels, in place; `soft` is the width of a border in mm."""
    distance = part.distance(Place(*(values[cut] for values in place)))
    cover = np.clip(0.5 - distance / soft, 0, 1)
    inside = distance < 0
    if part.within is not None:
        allowed = labels[cut] == part.within
        cover, inside = cover * allowed, inside & allowed
    core = part.hu if part.core is None else part.core
    tissue = part.hu + (core - part.hu) * np.clip(0.5 - (distance + part.rind) / soft, 0, 1)
    hu[cut] += cover * (tissue - hu[cut])
    if part.label is not None:
        labels[cut][inside] = part.label


def phantom(case: int, *, seed: int, size: Sequence[int]) -> tuple[sitk.Image, sitk.Image]:
    """Make one patient, the same for a (seed, case, size) whatever else is made.

    Args:
        case: number of the patient, 0 or more.
        seed: of the study, 0 or more.
        size: voxels in x y z. Anatomy and field of view (about 340 to 460 mm in plane; from 250 mm of an abdomen to
            1 m of a whole body along z) do not depend on it, so the spacing is field of view / size.

    Returns:
        The volume (float32, HU, whole numbers) and the labels (uint8, 0 and the values of ORGANS), on one grid,
        stored in one of ORIENTATIONS.

    Raises:
        ValueError: if case or seed is negative, or size is not three numbers of at least 8.
    """
    if case < 0 or seed < 0 or len(size) != 3 or min(size) < 8:
        raise ValueError(f"need case >= 0, seed >= 0 and size of three numbers >= 8, got {case}, {seed}, {size}")
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(case, 0)))

    # the patient: size, build, contrast phase, shape
    scale = np.clip(rng.normal(1, 0.05), 0.9, 1.1) * rng.uniform((0.96, 0.96, 0.96), (1.08, 1.08, 1.04))
    fat = rng.uniform(6, 30)
    phase = PHASES[rng.choice(len(PHASES), p=PHASE_RATES)]
    muscle = rng.normal(54, 4) + 0.04 * (phase.blood - 42)
    warp = np.clip(rng.normal(0, 6, (3, 19, 9, 9)), -WARP_MM, WARP_MM).astype(np.float32)
    texture = rng.normal(0, 9, (61, 27, 27)).astype(np.float32)
    parts = [*draw_trunk(rng, muscle), *draw_chest(rng, phase, muscle), *draw_bowel(rng)]
    parts += [*draw_organs(rng, phase, muscle), *draw_skeleton(rng), *draw_head(rng)]

    # the scan: field of view, noise, stored geometry
    head, no_bladder = (np.random.default_rng(seed).random(2) + case * SPREAD) % 1 < (BRAIN_RATE, NO_BLADDER_RATE)
    low = rng.uniform(-255, -175) if no_bladder else rng.uniform(-440, -405)
    high = rng.uniform(510, 530) if head else rng.uniform(40, 240)
    in_plane = np.clip(2 * scale[0] * (162 + fat) * rng.uniform(0.98, 1.15), 340, 460)
    extent = np.array([in_plane, in_plane, scale[2] * (high - low)])
    centre = np.array([*rng.normal(0, 6, 2), scale[2] * (high + low) / 2])
    noise_sd, grain = rng.uniform(8, 25), rng.uniform(0.6, 1.1)  # HU, voxels
    padded = bool(rng.random() < PADDED_RATE)
    orientation = ORIENTATIONS[rng.integers(len(ORIENTATIONS))]
    origin = rng.uniform((-300, -300, -1200), (0, 0, 300))

    spacing = extent / size
    grid = [(np.arange(n) + 0.5) * step - length / 2 for n, step, length in zip(size, spacing, extent, strict=True)]
    circle = np.hypot(grid[0], grid[1][:, None]) > in_plane / 2  # axes y x
    x, y, z = ((axis + c) / s for axis, c, s in zip(grid, centre, scale, strict=True))
    x, y, z = x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)
    soft = float(np.mean(spacing / scale)) + 1

    hu = np.empty(tuple(reversed(size)), np.float32)
    labels = np.zeros(hu.shape, np.uint8)
    slices = max(1, SLAB_VOXELS // (size[0] * size[1]))
    warping = [smooth_field(knots, KNOT_MM, x, y) for knots in warp]
    mottle = smooth_field(texture, TEXTURE_MM, x, y)
    cuts = [voxels_of(part, (x, y, z), soft) for part in parts]
    for start in range(0, size[2], slices):
        slab = slice(start, start + slices)
        place = locate(x, y, z[slab], warping, fat)
        body = hu[slab]
        body[:] = AIR
        for part, (along, rows, columns) in zip(parts, cuts, strict=True):
            cut = slice(max(along.start - start, 0), max(along.stop - start, 0)), rows, columns
            if body[cut].size:
                paint(part, cut, place, body, labels[slab], soft)
        body += (body > -950) * mottle(z[slab])
    for number, image in enumerate(hu):
        # a generator a slice: noise that does not know of slabs
        noise_rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(case, 1, number)))
        noise = ndimage.gaussian_filter(noise_rng.standard_normal(image.shape, np.float32), grain, mode="wrap")
        image[:] = ndimage.gaussian_filter(image, 0.5) + np.float32(noise_sd / noise.std()) * noise
        np.maximum(np.rint(image, out=image), LOWEST, out=image)
        if padded:
            image[circle] = PADDING
            labels[number][circle] = OTHER

    volume, label_map = sitk.GetImageFromArray(hu), sitk.GetImageFromArray(labels)
    for made in (volume, label_map):
        made.SetSpacing(spacing.tolist())
        made.SetOrigin(origin.tolist())
    return sitk.DICOMOrient(volume, orientation), sitk.DICOMOrient(label_map, orientation)


def locate(x: Array, y: Array, z: Array, warping: Sequence[Callable[[Array], Array]], fat: float) -> Place:
    """Warp a slab's axes (mm) and measure its voxels' distances to the surfaces that parts share."""
    shape = (len(z), len(y), len(x))
    grid = (np.broadcast_to(axis, shape) for axis in (x, y[:, None], z[:, None, None]))
    px, py, pz = (axis + shift(z) for axis, shift in zip(grid, warping, strict=True))
    wall = column(WALL, px, py, z)
    # the back lies flat on a shallow couch
    couch = np.broadcast_to(y[:, None] - np.float32(92 + 0.5 * fat) + 10 * (x / 200) ** 2, shape)
    skin = smooth_max(wall - fat * lines(FAT, z)[0][:, None, None], couch + 1, blend=6)
    skin = np.maximum(skin, (z[:, None, None] - 345).astype(np.float32))  # above, the head has its own
    return Place(px, py, pz, skin, wall, column(CAGE, px, py, z), column(CAVITY, px, py, z), couch)
