"""Coarser voxels, brought back to the grid; as in nnU-Net (Isensee et al. 2021), there with cubic interpolation.

In methods.md: lower resolution ({:.0%} to {:.0%} of the voxels along each axis, of {:.0%} of them).
"""

import torch.nn.functional as F
from torch import Tensor

PLACE = ("hu", 5)
RANGE = {
    "of": "share of voxels along each axis that lower resolution leaves",
    "minimum": 0.1,
    "maximum": 1,
    "default": [0.5, 1.0],
}


def change(image: Tensor, share: float) -> Tensor:
    """Every so many voxels, and between them linearly."""
    size = image.shape[1:]
    coarse = F.interpolate(image[None], size=[max(1, round(share * n)) for n in size], mode="nearest-exact")
    return F.interpolate(coarse, size=size, mode="bilinear" if len(size) == 2 else "trilinear", align_corners=False)[0]
