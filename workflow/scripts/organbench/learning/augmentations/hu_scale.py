"""Stretch all HU.

In methods.md: stretching of HU (up to {:.0%}).
"""

from torch import Tensor

from organbench.learning.augmentations._draws import Draw, per_image

PLACE = ("hu", 1)
SETTING = {
    "description": "largest stretch of all HU, share",
    "type": "number",
    "minimum": 0,
    "maximum": 0.9,
    "default": 0.1,
}


def change(images: Tensor, largest: float, draw: Draw) -> Tensor:
    """Each image by a factor of its own."""
    return images * per_image(1.0 + draw.between(-largest, largest), images)
