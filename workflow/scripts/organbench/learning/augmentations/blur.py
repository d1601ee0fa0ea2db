"""Gaussian blur, as a smoother kernel of reconstruction gives; as in nnU-Net (Isensee et al. 2021).

In methods.md: Gaussian blur (standard deviation {:g} to {:g} voxels, of {:.0%} of them).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

PLACE = ("hu", 4)
RANGE = {"of": "standard deviation of Gaussian blur, voxels", "minimum": 0.1, "maximum": 4, "default": [0.5, 1.0]}
DEVIATIONS = 3.0  # to where the kernel goes


def change(image: Tensor, deviation: float) -> Tensor:
    """Along each axis; border voxels continue outside. A 2D crop's channels, which are its slices, do not mix.

    Slices of the image are added up in place of a convolution, so that every device does it alike.
    """
    radius = math.ceil(DEVIATIONS * deviation)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / deviation) ** 2)
    shares = (weights / weights.sum()).tolist()
    dims = image.dim() - 1
    for axis in range(1, dims + 1):
        around = [0] * (2 * dims)
        around[2 * (dims - axis)] = around[2 * (dims - axis) + 1] = radius  # pairs from the last axis on
        wide, length = F.pad(image[None], around, mode="replicate")[0], image.shape[axis]
        image = torch.stack([share * wide.narrow(axis, k, length) for k, share in enumerate(shares)]).sum(0)
    return image
