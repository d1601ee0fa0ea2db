"""What a network sees of a CT: HU on its scale, and windows that are moved over the body."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from organbench.data.grids import Array
from organbench.data.intensity import AIR_HU

BODY_HU = -500  # half-way between air and water; lungs lie within the body's box


def scaled(images: Tensor, window: Sequence[float]) -> Tensor:
    """HU as the network sees them: the window's ends become -1 and 1, what lies beyond is cut; float32."""
    low, high = window
    return (images.float().clamp(low, high) - low) * (2.0 / (high - low)) - 1.0


def neighbours(z: int, context: int, slices: int) -> list[int]:
    """The slices from `context` below to `context` above z; the outermost is repeated beyond the volume."""
    return [min(max(z + offset, 0), slices - 1) for offset in range(-context, context + 1)]


def exchanging(pairs: Sequence[Sequence[int]], classes: int) -> list[int]:
    """For each class the one whose place it takes in a left-right flip: the other of its pair, or itself.

    Args:
        pairs: organ indices that change places.
        classes: how many there are, background included.
    """
    order = list(range(classes))
    for one, other in pairs:
        order[one], order[other] = other, one
    return order


def body_box(image: Array, least: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns with anything denser than air in some slice of an image (HU, z y x).

    Where the image allows it they are at least so many (y x), so that a window shows what surrounds the body.
    """
    dense = np.zeros(image.shape[1:], bool)
    for plane in image:
        dense |= plane > BODY_HU
    box = []
    for axis, size in enumerate(least):
        lines = np.flatnonzero(dense.any(axis=1 - axis))
        low, high = (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, 0)
        length = image.shape[1 + axis]
        low = max(0, min(low - max(0, size - (high - low)) // 2, length - size))
        box.append(slice(low, min(length, max(high, low + size))))
    return box[0], box[1]


def padded(image: Array, size: Sequence[int]) -> tuple[Array, tuple[slice, ...]]:
    """An image (HU, z y x) with air around it where it is smaller than the size, and where in it the image lies."""
    pads = [max(0, s - n) for n, s in zip(image.shape, size, strict=True)]
    inner = tuple(slice(pad // 2, pad // 2 + n) for n, pad in zip(image.shape, pads, strict=True))
    around = [(pad // 2, pad - pad // 2) for pad in pads]
    return (np.pad(image, around, constant_values=int(AIR_HU)) if any(pads) else image), inner


def starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows start along an axis: evenly spread from 0 to the end, overlapping by at least that share."""
    stride = max(1, int(window * (1.0 - overlap) + 1e-6))  # whole voxels; 20 * (1 - 0.9) is a bit less than 2
    steps = -(-(length - window) // stride)
    return [round((length - window) * step / max(1, steps)) for step in range(steps + 1)]


def gaussian(patch: Sequence[int]) -> Array:
    """The weight of a window's voxels (z y x), float32: 1 in the centre, sigma an eighth of each axis; never 0."""
    axes = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in patch]
    weight = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    return np.asarray(np.maximum(weight, 1e-4), np.float32)
