"""Stretch about the image's mean, within its range; as in nnU-Net (Isensee et al. 2021).

In methods.md: contrast (times {:g} to {:g}, of {:.0%} of them).
"""

from torch import Tensor

PLACE = ("window", 3)
RANGE = {"of": "factor of contrast about the crop's mean", "minimum": 0.1, "maximum": 4, "default": [0.75, 1.25]}


def change(image: Tensor, factor: float) -> Tensor:
    """The lowest and highest values of the image stay the limits."""
    mean = image.mean()
    return ((image - mean) * factor + mean).clamp(image.amin(), image.amax())
