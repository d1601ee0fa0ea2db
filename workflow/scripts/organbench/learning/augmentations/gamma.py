"""Bend the window, of which images are 0 to 1.

In methods.md: gamma (up to {:.0%}).
"""

from torch import Tensor

from organbench.learning.augmentations._draws import Draw, per_image

PLACE = ("window", 4)
SETTING = {
    "description": "largest change of gamma (of the windowed image), share",
    "type": "number",
    "minimum": 0,
    "maximum": 0.9,
    "default": 0.15,
}


def change(images: Tensor, largest: float, draw: Draw) -> Tensor:
    """Each image by a power of its own."""
    return images.pow(per_image(1.0 + draw.between(-largest, largest), images))
