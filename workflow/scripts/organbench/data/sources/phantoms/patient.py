"""One patient: its parts in painting order, so that each takes its voxels from those before it."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from organbench.data.sources.phantoms import anatomy
from organbench.data.sources.phantoms.shapes import Part, Vector, around, blob, ellipsoid, minus, rod, smooth_max, span

ORGANS: dict[str, int] = {"liver": 1, "bladder": 2, "lungs": 3, "kidneys": 4, "bone": 5, "brain": 6}
LIVER, BLADDER, LUNGS, KIDNEYS, BONE, BRAIN = ORGANS.values()
AIR = -1000.0  # HU


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


def vessel(
    rng: np.random.Generator, start: Vector, way: Vector, length: float, radius: float, hu: float, within: int
) -> Iterator[Part]:
    """A vessel in an organ that forks until it is thinner than a mm."""
    end = np.add(start, np.multiply(way, length))
    yield rod(start, end, radius, hu, None, within=within)
    if radius > 1.3:
        for _ in range(2):
            turned = np.asarray(way) + rng.normal(0, 0.55, 3)
            yield from vessel(rng, end, turned / np.linalg.norm(turned), 0.8 * length, 0.72 * radius, hu, within)


def draw(rng: np.random.Generator, phase: Phase, muscle: float) -> list[Part]:
    """All parts, in painting order; `muscle` in HU."""
    inside = (draw_chest(rng, phase, muscle), draw_bowel(rng), draw_organs(rng, phase, muscle))
    return [part for drawn in (draw_trunk(rng, muscle), *inside, draw_skeleton(rng), draw_head(rng)) for part in drawn]


def draw_trunk(rng: np.random.Generator, muscle: float) -> Iterator[Part]:
    """Couch, skin, muscle, fat of the belly and the chest, lungs."""
    couch, body = span((-210, 0, -700), (210, 400, 700)), span((-400, -400, -700), (400, 400, 700))
    yield Part(couch, lambda p: np.maximum(-p.couch, p.couch - 26), 60, core=-930, rind=3)
    yield Part(body, lambda p: p.skin, rng.normal(20, 10), core=rng.normal(-102, 5), rind=2)
    yield Part(span((-200, -120, -700), (200, 120, 370)), lambda p: p.wall, muscle)
    belly, chest = span((-135, -100, -415), (135, 95, 30)), span((-95, -90, -40), (95, 90, 226))
    yield Part(belly, lambda p: smooth_max(p.cavity, anatomy.under_domes(p)), rng.normal(-95, 6))
    yield Part(chest, lambda p: np.maximum(p.cage + 12, -25 - p.z), rng.normal(-40, 20))
    back = span((-60, 50, -340), (60, 130, 30))
    yield Part(back, lambda p: smooth_max(p.wall, np.abs(p.x) - 56, 56 - p.y), muscle)
    air = rng.uniform(-870, -780)
    for side in (-1, 1):
        yield rod((side * 34, 36, -110), (side * 66, 10, -320), 19, muscle)  # psoas
        box = span((side * 72 - 67, -95, -140), (side * 72 + 67, 95, 230))
        yield Part(box, anatomy.lung(side), air + 60, LUNGS, core=air, rind=6)


def draw_chest(rng: np.random.Generator, phase: Phase, muscle: float) -> Iterator[Part]:
    """Heart, aorta, cava, airways, and the vessels in the lungs."""
    for side in (-1, 1):
        for way in ((0.5, -0.3, 0.8), (0.8, -0.6, 0), (0.6, 0.1, -0.8), (0.7, 0.6, -0.2), (0.5, 0.5, 0.6)):
            mirrored = np.multiply(way, (side, 1, 1))
            yield from vessel(rng, (side * 30, 12, 88), mirrored, 34, 5.5, phase.blood, LUNGS)
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
    yield Part(around(centre, radii), lambda p: smooth_max(stomach(p), anatomy.under_domes(p)), 48, core=meal, rind=4)
    level = centre[1] - rng.uniform(0, 0.8) * radii[1]  # gas floats to the front of a patient on the back
    yield Part(around(centre, radii), lambda p: np.maximum(stomach(p) + 4, p.y - level), AIR + 60)


def draw_organs(rng: np.random.Generator, phase: Phase, muscle: float) -> Iterator[Part]:
    """Spleen, liver, kidneys, bladder and the soft parts beside them."""
    liver_hu = phase.liver + rng.normal(0, 9)
    centre, radii = rng.normal((92, 34, -52), 5), rng.uniform(0.85, 1.2) * np.array([30, 46, 50])
    spleen = ellipsoid(centre, radii, 0.35)
    spleen_hu = liver_hu + rng.normal(0, 5)
    yield Part(around(centre, radii), lambda p: smooth_max(spleen(p), anatomy.under_domes(p), p.cage + 14), spleen_hu)
    yield blob(rng.normal((10, -14, -100), 4), (58, 13, 15), liver_hu - 12, tilt=-0.35)  # pancreas
    lobes = anatomy.liver(rng.normal(54, 14), rng.normal(-176, 14))
    yield Part(span((-135, -95, -215), (100, 85, 10)), lobes, liver_hu, LIVER)
    for way in ((-0.9, 0, 0.3), (-0.6, -0.6, 0.4), (0.4, -0.8, 0.2), (-0.7, 0.3, -0.5)):
        yield from vessel(rng, (-28, -4, -78), way, 26, 4.2, liver_hu + 0.35 * (phase.blood - 42), LIVER)
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
    """Spine, anatomy.ribs, sternum, shoulders, pelvis and femora: cortical bone around trabecular bone."""
    cortical, trabecular = rng.uniform(380, 650), rng.uniform(130, 240)
    column_box = span((-48, -10, -262), (48, 120, 352))
    yield Part(column_box, lambda p: np.maximum(anatomy.spine(p)[1] + 1, -258 - p.z), 85)  # discs
    yield Part(column_box, lambda p: np.maximum(anatomy.spine(p)[0], -258 - p.z), cortical, BONE, core=trabecular)
    yield Part(column_box, lambda p: np.maximum(anatomy.spine(p)[2], -330 - p.z), 32)
    chest = span((-150, -110, -150), (150, 110, 226))
    yield Part(chest, anatomy.ribs, 95)
    yield Part(chest, anatomy.bony_ribs, cortical, BONE, core=trabecular, rind=2)
    yield Part(span((-25, -110, 20), (25, 0, 180)), anatomy.sternum, cortical, BONE, core=trabecular, rind=2)
    yield Part(span((-140, -90, -345), (140, 90, -195)), anatomy.iliac_wings, cortical, BONE, core=trabecular)
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
    yield Part(span((-55, -110, 290), (55, -30, 330)), anatomy.jaw, bone, BONE, core=400)
    yield blob((0, -76, 347), (34, 20, 22), bone - 200, BONE, core=300)
    for side in (-1, 1):
        yield rod((side * 44, -32, 318), (side * 46, -26, 362), 7, bone, BONE, core=400)
        yield blob((side * 25, -68, 362), (13, 15, 15), bone - 300, BONE, core=AIR, rind=2)
    yield blob((0, -84, 366), (11, 22, 20), 40, core=AIR)
    yield Part(box, anatomy.cranium, bone, BONE, core=bone - 350)
    yield Part(box, lambda p: anatomy.cranium(p) + 7, 14, BRAIN, core=37, rind=2)
    yield Part(box, lambda p: anatomy.cranium(p) + 15, 30, None, within=BRAIN)  # white matter
    for side in (-1, 1):
        yield rod((side * 12, -30, 428), (side * 16, 28, 424), rng.uniform(4, 8), 8, None, within=BRAIN)
        yield blob((side * 31, -80, 388), (13, 13, 13), 15)  # eye
