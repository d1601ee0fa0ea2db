"""Add noise, which is drawn on the device.

In methods.md: Gaussian noise (standard deviation up to {:g} HU).
"""

import torch
from torch import Tensor

from organbench.learning.augmentations._draws import Draw, per_image

PLACE = ("hu", 3)
SETTING = {
    "description": "largest standard deviation of added noise, HU",
    "type": "number",
    "minimum": 0,
    "default": 20,
}


def change(images: Tensor, largest: float, draw: Draw) -> Tensor:
    """Each image with noise of its own strength."""
    deviation = per_image(draw.between(0.0, largest), images)
    source = torch.Generator(images.device).manual_seed(int(draw.stream.integers(2**62)))
    grain = torch.randn((draw.whole, *images.shape[1:]), generator=source, device=images.device)
    return images + grain[draw.shard.part] * deviation
