"""Random spatial and intensity changes of a batch, on the training device; a pure function of (seed, step).

Turning and scaling are about the patch's centre and in the axial plane (3D scales along z too), because patients are
turned on the couch that way; flips are only those that the study allows, for an organ may have a side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from organbench.inference.windows import scaled
from organbench.learning.sampling import WHOLE, Shard

AXES = {"x": -1, "y": -2, "z": -3}


@dataclass(frozen=True)
class Augmentation:
    """The config's `training.augmentation`: the largest random change of each kind.

    Attributes:
        rotation: in the axial plane, degrees.
        scale: of size, shard.
        flip: axes (x, y, z) that may be flipped.
        hu_shift: of all HU.
        hu_scale: stretch of all HU, shard.
        hu_noise: standard deviation of added noise, HU.
        gamma: of the windowed image, shard.
    """

    rotation: float
    scale: float
    flip: tuple[str, ...]
    hu_shift: float
    hu_scale: float
    hu_noise: float
    gamma: float

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Augmentation":
        """The settings of a checked config."""
        return cls(**{**settings, "flip": tuple(settings["flip"])})


def margin(patch: Sequence[int], changes: Augmentation) -> tuple[int, ...]:
    """Voxels to read beyond the patch on every side of each axis, so that its corners stay in the crop ([z] y x)."""
    largest, grow = np.deg2rad(changes.rotation), 1.0 + changes.scale

    def reach(along: int, across: int) -> float:
        angle = min(largest, np.arctan2(across, along))  # where the turned patch is longest
        return float(along * np.cos(angle) + across * np.sin(angle))

    y, x = patch[-2:]
    reaches = [*map(float, patch[:-2]), reach(y, x), reach(x, y)]
    return tuple(int(np.ceil((grow * r - n) / 2)) for r, n in zip(reaches, patch, strict=True))


def augment(
    images: Tensor,
    labels: Tensor,
    patch: Sequence[int],
    changes: Augmentation,
    window: Sequence[float],
    *,
    seed: int,
    step: int,
    shard: Shard = WHOLE,
) -> tuple[Tensor, Tensor]:
    """Change a batch at random and cut it to the patch.

    Args:
        images: HU, any number type (batch, channel, [z,] y, x), patch plus margins in size.
        labels: organ indices, uint8 (batch, [z,] y, x).
        patch: size of what is returned, [z] y x.
        changes: the largest of each kind.
        window: HU that become -1 and 1.
        seed: of the whole training.
        step: of the batch.
        shard: what of the whole batch is given; it is changed as it would be within the whole.

    Returns:
        Images, float32 from -1 to 1 (batch, channel, [z,] y, x), and labels, int64 (batch, [z,] y, x).
    """
    random = np.random.default_rng([seed, step, 1])
    count, dims = len(images), len(patch)
    whole = count * shard.world

    def draw(largest: float) -> Tensor:
        return torch.tensor(random.uniform(-largest, largest, whole)[shard.part], dtype=torch.float32)

    angle, scale = torch.deg2rad(draw(changes.rotation)), 1.0 + draw(changes.scale)
    signs = torch.ones(count, dims)
    for axis in changes.flip:
        if -AXES[axis] <= dims:
            flips = np.where(random.random(whole) < 0.5, -1.0, 1.0)[shard.part]
            signs[:, -1 - AXES[axis]] = torch.tensor(flips).float()
    theta = affine(angle, scale, signs, patch, images.shape[2:])
    images, labels = warp(images.float(), labels, theta.to(images.device), patch)

    def per_image(values: Tensor) -> Tensor:
        return values.to(images.device).reshape(count, *(1,) * (images.dim() - 1))

    shift, contrast, gamma = draw(changes.hu_shift), 1.0 + draw(changes.hu_scale), 1.0 + draw(changes.gamma)
    noise = torch.tensor(random.uniform(0.0, changes.hu_noise, whole)[shard.part], dtype=torch.float32)
    images = images * per_image(contrast) + per_image(shift)
    if changes.hu_noise:
        source = torch.Generator(images.device).manual_seed(int(random.integers(2**62)))
        grain = torch.randn((whole, *images.shape[1:]), generator=source, device=images.device)[shard.part]
        images = images + grain * per_image(noise)
    unit = (scaled(images, window) + 1.0) / 2.0
    return unit.pow(per_image(gamma)) * 2.0 - 1.0, labels


def affine(angle: Tensor, scale: Tensor, signs: Tensor, patch: Sequence[int], crop: Sequence[int]) -> Tensor:
    """Matrices for `F.affine_grid` (batch, dims, dims + 1): from the patch's coordinates to the larger crop's.

    Args:
        angle: radians, in the axial plane (batch).
        scale: how much larger a region becomes the patch (batch).
        signs: -1 flips that axis (batch, dims), in the order x y [z].
        patch: size of the result, [z] y x.
        crop: size of what is sampled, [z] y x.
    """
    count, dims = signs.shape
    matrix = torch.zeros(count, dims, dims + 1)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 0], matrix[:, 1, 1] = cos, -sin, sin, cos
    if dims == 3:
        matrix[:, 2, 2] = scale
    matrix[:, :, :dims] *= signs[:, None, :]
    ours = torch.tensor(list(patch)[::-1], dtype=torch.float32)
    theirs = torch.tensor(list(crop)[::-1], dtype=torch.float32)
    matrix[:, :, :dims] *= ours[None, None, :] / theirs[None, :, None]
    return matrix


def warp(images: Tensor, labels: Tensor, theta: Tensor, patch: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Sample images (linear) and labels (nearest, int64) through affine matrices; border voxels continue outside."""
    grid = F.affine_grid(theta, [len(images), 1, *patch], align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    classes = F.grid_sample(labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return moved, classes[:, 0].long()
