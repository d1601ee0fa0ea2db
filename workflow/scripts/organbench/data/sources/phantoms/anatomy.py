"""The reference anatomy that all patients share, in mm, LPS.

x points to the patient's left (0 is the midline), y to the back (0 is mid-trunk), z to the head (0 is the top of the
right diaphragm). A table has rows of (z, half-width in x, half-width in y, centre in y).
"""

import numpy as np

from organbench.data.sources.phantoms.shapes import Array, Distance, Place, ellipsoid, lines, smooth_max

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
    result: Array = np.float32(peak) - 38 * (((place.x - side * 64) / 70) ** 2 + back * back)
    return result


def under_domes(place: Place) -> Array:
    """Distance to the space under the diaphragm, a muscle of 4 mm."""
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
    result: Array = np.maximum(np.sqrt((ring / 1.5) ** 2 + (place.cage + 7) ** 2) - 4.2, ends)
    return result


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
    found: Array = np.maximum(arch, np.maximum(place.y + 40, np.abs(place.z - 312) - 12))
    return found


def cranium(place: Place) -> Array:
    """The skull's outer surface: an ellipsoid on a base that rises to the front."""
    dome_of_skull = ellipsoid((0, 0, 424), (73, 91, 79))(place)
    return smooth_max(dome_of_skull, 0.94 * (362 - 0.35 * place.y - place.z), blend=20)
