"""Turn in the axial plane, as patients are turned on the couch.

In methods.md: rotation in the axial plane (up to {:g} degrees).
"""

from collections.abc import Sequence

import numpy as np

from organbench.data.grids import Array
from organbench.learning.augmentations._draws import Draw
from organbench.learning.augmentations._turning import turned, turning

PLACE = ("space", 2)
SETTING = {
    "description": "largest turn in the axial plane, degrees",
    "type": "number",
    "minimum": 0,
    "maximum": 45,
    "default": 15,
}


def change(largest: float, draw: Draw, dims: int) -> Array:
    """Matrices that turn about z."""
    return turning(np.deg2rad(draw.between(-largest, largest)), dims, 0, 1)


def reach(size: Sequence[float], largest: float) -> list[float]:
    """The size, [z] y x, that fills one after a turn."""
    return turned(size, np.deg2rad(largest), -2, -1)
