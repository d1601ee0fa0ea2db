"""Turn out of the axial plane: about the x and the y axis, in 3D. With `rotation` that is a turn about all axes.

It turns voxels, not millimetres, as in nnU-Net (Isensee et al. 2021): leave it off where slices are far apart.

In methods.md: rotation out of the axial plane in 3D ({:g} to {:g} degrees about x and y, of {:.0%} of them).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from organbench.data.grids import Array
from organbench.learning.augmentations._draws import Draw
from organbench.learning.augmentations._turning import turned, turning

PLACE = ("space", 1)
RANGE = {
    "of": "turns about the x and the y axis of 3D crops, degrees",
    "minimum": -45,
    "maximum": 45,
    "default": [-15, 15],
}


def change(setting: Mapping[str, Any], draw: Draw, dims: int) -> Array:
    """Matrices that turn about x and about y, each by an angle of its own."""
    chosen, about_x = draw.some(setting)
    about_y = draw.between(*setting["range"])
    if dims < 3:
        return turning(np.zeros(len(chosen)), dims, 0, 1)
    radians = [np.deg2rad(angle) * chosen for angle in (about_x, about_y)]
    return turning(radians[0], dims, 1, 2) @ turning(radians[1], dims, 0, 2)


def reach(size: Sequence[float], setting: Mapping[str, Any]) -> list[float]:
    """The size, [z] y x, that fills one after both turns."""
    largest = np.deg2rad(max(map(abs, setting["range"])))
    return turned(turned(size, largest, -3, -1), largest, -3, -2) if len(size) > 2 else list(size)
