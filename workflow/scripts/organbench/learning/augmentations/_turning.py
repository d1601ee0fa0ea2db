"""Turns in the plane of two axes."""

from collections.abc import Sequence

import numpy as np

from organbench.data.grids import Array


def turning(angle: Array, dims: int, first: int, second: int) -> Array:
    """Matrices (batch, dims, dims) on the axes x y [z] that turn two of them by an angle per image, radians."""
    matrices = np.tile(np.eye(dims), (len(angle), 1, 1))
    cos, sin = np.cos(angle), np.sin(angle)
    matrices[:, first, first], matrices[:, first, second] = cos, -sin
    matrices[:, second, first], matrices[:, second, second] = sin, cos
    return matrices


def turned(size: Sequence[float], largest: float, first: int, second: int) -> list[float]:
    """The box that holds a box of some size after turns of two of its axes by angles up to one, radians."""

    def reach(along: float, across: float) -> float:
        angle = min(largest, np.arctan2(across, along))  # where the turned box is longest
        return float(along * np.cos(angle) + across * np.sin(angle))

    found = [float(length) for length in size]
    found[first], found[second] = reach(size[first], size[second]), reach(size[second], size[first])
    return found
