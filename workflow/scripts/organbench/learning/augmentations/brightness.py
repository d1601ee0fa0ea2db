"""Multiply the window, of which images are 0 to 1; as in nnU-Net (Isensee et al. 2021).

In methods.md: brightness (times {:g} to {:g}, of {:.0%} of them).
"""

from torch import Tensor

PLACE = ("window", 1)
RANGE = {"of": "factor of the windowed image", "minimum": 0.1, "maximum": 2, "default": [0.75, 1.25]}


def change(image: Tensor, factor: float) -> Tensor:
    """What grows beyond the window is cut."""
    return (image * factor).clamp(max=1.0)
