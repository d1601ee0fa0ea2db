"""Flip every other image along each of the axes that the study allows, for an organ may have a side.

In methods.md: flips along {}.
"""

from collections.abc import Sequence

import numpy as np

from organbench.data.grids import Array
from organbench.learning.augmentations._draws import Draw

PLACE = ("space", 4)
SETTING = {
    "description": "axes (x, y, z) along which crops may be flipped; along x only where organs that have a side are in "
    "dataset.mirrored",
    "type": "array",
    "items": {"enum": ["x", "y", "z"]},
    "uniqueItems": True,
    "default": [],
}
AXES = ("x", "y", "z")


def change(axes: Sequence[str], draw: Draw, dims: int) -> Array:
    """Matrices that flip."""
    flipped = draw.stream.random((len(AXES), draw.whole)) < 0.5  # for all axes, so that none shifts another's
    allowed = [axis in axes for axis in AXES]
    signs = np.where(flipped[:, draw.shard.part].T & allowed, -1.0, 1.0)
    return np.eye(dims) * signs[:, None, :dims]
