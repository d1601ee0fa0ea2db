"""Shift the window, of which images are 0 to 1.

In methods.md: shifts of brightness ({:g} to {:g} of the window, of {:.0%} of them).
"""

from torch import Tensor

PLACE = ("window", 2)
RANGE = {"of": "shift of the windowed image, share of the window", "minimum": -1, "maximum": 1, "default": [-0.1, 0.1]}


def change(image: Tensor, shift: float) -> Tensor:
    """What goes beyond the window is cut."""
    return (image + shift).clamp(0.0, 1.0)
