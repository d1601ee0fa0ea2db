"""Let a larger or smaller region become the patch.

In methods.md: scaling (up to {:.0%}).
"""

from collections.abc import Sequence

import numpy as np

from organbench.data.grids import Array
from organbench.learning.augmentations._draws import Draw

PLACE = ("space", 3)
SETTING = {
    "description": "largest change of size, share",
    "type": "number",
    "minimum": 0,
    "maximum": 0.5,
    "default": 0.15,
}


def change(largest: float, draw: Draw, dims: int) -> Array:
    """Matrices that stretch all axes alike."""
    return np.eye(dims) * (1.0 + draw.between(-largest, largest))[:, None, None]


def reach(size: Sequence[float], largest: float) -> list[float]:
    """The size, [z] y x, of the largest region that becomes one."""
    return [(1.0 + largest) * length for length in size]
