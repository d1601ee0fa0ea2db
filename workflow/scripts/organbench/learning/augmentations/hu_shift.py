"""Shift all HU.

In methods.md: shifts of up to {:g} HU.
"""

from torch import Tensor

from organbench.learning.augmentations._draws import Draw, per_image

PLACE = ("hu", 2)
SETTING = {"description": "largest shift of all HU", "type": "number", "minimum": 0, "default": 20}


def change(images: Tensor, largest: float, draw: Draw) -> Tensor:
    """Each image by a number of its own."""
    return images + per_image(draw.between(-largest, largest), images)
