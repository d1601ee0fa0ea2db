"""A patient is scanned: a CT volume and its label map from nothing but a seed.

A patient is a list of parts (liver, a rib cage, a loop of bowel ...), each a signed distance with the HU of its rind
and core. Parts are painted one over the other, so the painting order settles every conflict: couch, body, fat, lungs,
vessels, bowel, stomach, spleen, liver, kidneys, bladder, bone, head. The CT side blends by how much of a voxel a part
covers (partial volume), blurs and adds noise; the label side takes the part at the voxel's centre.

A patient scales and smoothly warps the frame of `anatomy`. The volume is painted in slabs, so that a full-size patient
needs little more memory than its two arrays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from organbench.data.grids import STRAIGHT, Grid, orient, to_image
from organbench.data.sources.phantoms import anatomy, patient
from organbench.data.sources.phantoms.shapes import OTHER, Array, Part, Place, column, lines, smooth_max

PADDING, LOWEST = -2048.0, -1024.0  # HU; scanners clip at LOWEST
ORIENTATIONS = ("LAS", "RAS", "LPS")  # those that CT-ORG mixes; SimpleITK's and NIfTI's codes
BRAIN_RATE = 0.28  # of patients scanned up to the crown; CT-ORG has 9 in 140, too few for a study of 24
NO_BLADDER_RATE = 0.2  # of patients scanned from above the bladder; CT-ORG has 26 in 140
# steps of two Weyl sequences, sqrt 2 and the golden ratio: any eight cases in a row get a share of both
SPREAD = np.array([2**0.5 - 1, (5**0.5 - 1) / 2])
PADDED_RATE = 0.4  # of patients with PADDING outside the scanner's circle
KNOT_MM, TEXTURE_MM = 70.0, 22.0  # spacing of the knots of the warp and of the tissue's texture
WARP_MM = 10.0  # no point moves further than this
SLAB_VOXELS = 500_000  # painted at once; small enough for a slab's arrays to stay in cache


@dataclass(frozen=True)
class Scan:
    """What is scanned, and how.

    Attributes:
        parts: of the patient, in painting order.
        scale: of the patient's frame, x y z.
        fat: thickness, mm.
        warp: knots of the displacements in x, y and z, mm (3, z y x).
        texture: knots of the tissue's texture, HU (z y x).
        extent: field of view, mm, x y z.
        centre: of the field of view in the patient, mm, x y z.
        noise_sd: HU.
        grain: of the noise, voxels.
        padded: whether what lies outside the scanner's circle has no HU.
        orientation: of the stored axes.
        origin: mm, x y z.
    """

    parts: list[Part]
    scale: Array
    fat: float
    warp: Array
    texture: Array
    extent: Array
    centre: Array
    noise_sd: float
    grain: float
    padded: bool
    orientation: str
    origin: Array


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
    scan = draw(case, seed)
    hu, labels = painted(scan, size)
    x, y = (axis_of(scan, size, axis) for axis in (0, 1))
    outside = np.hypot(x, y[:, None]) > scan.extent[0] / 2  # of the scanner's circle, axes y x
    for number, (image, label) in enumerate(zip(hu, labels, strict=True)):
        image[:] = ndimage.gaussian_filter(image, 0.5) + noise(scan, image.shape, seed, case, number)
        np.maximum(np.rint(image, out=image), LOWEST, out=image)
        if scan.padded:
            image[outside] = PADDING
            label[outside] = OTHER
    spacing = scan.extent / size
    grid = Grid.from_json({"size": size, "spacing": spacing, "origin": scan.origin, "direction": STRAIGHT})
    volume, label_map = (orient(to_image(array, grid), scan.orientation) for array in (hu, labels))
    return volume, label_map


def draw(case: int, seed: int) -> Scan:
    """Draw a patient (build, contrast phase, shape, parts) and its scan (field of view, noise, stored geometry)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(case, 0)))
    scale = np.clip(rng.normal(1, 0.05), 0.9, 1.1) * rng.uniform((0.96, 0.96, 0.96), (1.08, 1.08, 1.04))
    fat = rng.uniform(6, 30)
    phase = patient.PHASES[rng.choice(len(patient.PHASES), p=patient.PHASE_RATES)]
    muscle = rng.normal(54, 4) + 0.04 * (phase.blood - 42)
    warp = np.clip(rng.normal(0, 6, (3, 19, 9, 9)), -WARP_MM, WARP_MM).astype(np.float32)
    texture = rng.normal(0, 9, (61, 27, 27)).astype(np.float32)
    parts = patient.draw(rng, phase, muscle)

    head, no_bladder = (np.random.default_rng(seed).random(2) + case * SPREAD) % 1 < (BRAIN_RATE, NO_BLADDER_RATE)
    low = rng.uniform(-255, -175) if no_bladder else rng.uniform(-440, -405)
    high = rng.uniform(510, 530) if head else rng.uniform(40, 240)
    in_plane = np.clip(2 * scale[0] * (162 + fat) * rng.uniform(0.98, 1.15), 340, 460)
    return Scan(  # in the order in which they are drawn
        parts=parts,
        scale=scale,
        fat=fat,
        warp=warp,
        texture=texture,
        extent=np.array([in_plane, in_plane, scale[2] * (high - low)]),
        centre=np.array([*rng.normal(0, 6, 2), scale[2] * (high + low) / 2]),
        noise_sd=rng.uniform(8, 25),
        grain=rng.uniform(0.6, 1.1),
        padded=bool(rng.random() < PADDED_RATE),
        orientation=ORIENTATIONS[rng.integers(len(ORIENTATIONS))],
        origin=rng.uniform((-300, -300, -1200), (0, 0, 300)),
    )


def axis_of(scan: Scan, size: Sequence[int], axis: int) -> Array:
    """Where the voxels of an axis (0 x, 1 y, 2 z) lie in the field of view, mm from its centre."""
    length = scan.extent[axis]
    result: Array = (np.arange(size[axis]) + 0.5) * (length / size[axis]) - length / 2
    return result


def noise(scan: Scan, shape: tuple[int, ...], seed: int, case: int, number: int) -> Array:
    """The noise of a slice (y x), HU; a generator a slice, so that it does not know of slabs."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(case, 1, number)))
    grains = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), scan.grain, mode="wrap")
    result: Array = np.float32(scan.noise_sd / grains.std()) * grains
    return result


def painted(scan: Scan, size: Sequence[int]) -> tuple[Array, NDArray[np.uint8]]:
    """HU (float32) and labels of all voxels (z y x), slab by slab, without blur and noise."""
    x, y, z = (
        ((axis_of(scan, size, axis) + scan.centre[axis]) / scan.scale[axis]).astype(np.float32) for axis in range(3)
    )
    soft = float(np.mean(scan.extent / size / scan.scale)) + 1
    hu = np.empty(tuple(reversed(size)), np.float32)
    labels = np.zeros(hu.shape, np.uint8)
    slices = max(1, SLAB_VOXELS // (size[0] * size[1]))
    warping = [smooth_field(knots, KNOT_MM, x, y) for knots in scan.warp]
    mottle = smooth_field(scan.texture, TEXTURE_MM, x, y)
    cuts = [voxels_of(part, (x, y, z), soft) for part in scan.parts]
    for start in range(0, size[2], slices):
        slab = slice(start, start + slices)
        place = locate(x, y, z[slab], warping, scan.fat)
        body = hu[slab]
        body[:] = patient.AIR
        for part, (along, rows, columns) in zip(scan.parts, cuts, strict=True):
            cut = slice(max(along.start - start, 0), max(along.stop - start, 0)), rows, columns
            if body[cut].size:
                paint(part, cut, place, body, labels[slab], soft)
        body += (body > -950) * mottle(z[slab])
    return hu, labels


def smooth_field(knots: Array, spacing: float, x: Array, y: Array) -> Callable[[Array], Array]:
    """A cubic B-spline with knots (axes z y x, centred on x = y = z = 0) at a grid's axes in mm.

    Returns:
        The field, axes z y x, as a function of z.
    """

    def weights(axis: Array, count: int) -> Array:
        t = np.abs(axis[:, None] / spacing + (count - 1) / 2 - np.arange(count))
        result: Array = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6).astype(np.float32)
        return result

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


def paint(
    part: Part, cut: tuple[slice, slice, slice], place: Place, hu: Array, labels: NDArray[np.uint8], soft: float
) -> None:
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


def locate(x: Array, y: Array, z: Array, warping: Sequence[Callable[[Array], Array]], fat: float) -> Place:
    """Warp a slab's axes (mm) and measure its voxels' distances to the surfaces that parts share."""
    shape = (len(z), len(y), len(x))
    grid = (np.broadcast_to(axis, shape) for axis in (x, y[:, None], z[:, None, None]))
    px, py, pz = (axis + shift(z) for axis, shift in zip(grid, warping, strict=True))
    wall, cage, cavity = (column(table, px, py, z) for table in (anatomy.WALL, anatomy.CAGE, anatomy.CAVITY))
    # the back lies flat on a shallow couch
    couch = np.broadcast_to(y[:, None] - np.float32(92 + 0.5 * fat) + 10 * (x / 200) ** 2, shape)
    skin = smooth_max(wall - fat * lines(anatomy.FAT, z)[0][:, None, None], couch + 1, blend=6)
    skin = np.maximum(skin, (z[:, None, None] - 345).astype(np.float32))  # above, the head has its own
    return Place(px, py, pz, skin, wall, cage, cavity, couch)
