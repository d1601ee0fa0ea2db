"""Random spatial and intensity changes of a batch, on the training device; a pure function of (seed, step).

Turning and scaling are about the patch's centre and in the axial plane (3D scales along z too), because patients are
turned on the couch that way; flips are only those that the study allows, for an organ may have a side.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from organbench.data.grids import Array
from organbench.inference.windows import scaled
from organbench.learning.sampling import WHOLE, Shard
from organbench.learning.settings import Task

AXES = ("x", "y", "z")

Change = Callable[..., Any]


@dataclass(frozen=True)
class Draw:
    """The random numbers of one augmentation in one step: a stream of its own, so that no other shifts them.

    Attributes:
        stream: where they come from.
        whole: images of the whole batch, for which all processes draw.
        shard: what of it is changed here.
    """

    stream: np.random.Generator
    whole: int
    shard: Shard

    def between(self, low: float, high: float) -> Array:
        """A number per image (batch)."""
        return self.stream.uniform(low, high, self.whole)[self.shard.part]


def stream(name: str, seed: int, step: int) -> np.random.Generator:
    """The random numbers of the augmentation of a name in a step."""
    return np.random.default_rng([seed, step, zlib.crc32(name.encode())])


# Each augmentation is a function that has the name of its key in the config, gets the largest change and its draw, and
# says how methods.md tells of it. Those in space give matrices (batch, dims, dims) from the axes x y [z] of the result
# to those of the crop; the others change images (batch, channel, [z,] y, x).


def rotation(largest: float, draw: Draw, dims: int) -> Array:
    """Turn in the axial plane.

    In methods.md: rotation in the axial plane (up to {:g} degrees).
    """
    angle = np.deg2rad(draw.between(-largest, largest))
    matrices = np.tile(np.eye(dims), (len(angle), 1, 1))
    cos, sin = np.cos(angle), np.sin(angle)
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1] = cos, -sin, sin, cos
    return matrices


def scale(largest: float, draw: Draw, dims: int) -> Array:
    """Let a larger or smaller region become the patch.

    In methods.md: scaling (up to {:.0%}).
    """
    return np.eye(dims) * (1.0 + draw.between(-largest, largest))[:, None, None]


def flip(axes: Sequence[str], draw: Draw, dims: int) -> Array:
    """Flip every other image along each of the axes.

    In methods.md: flips along {}.
    """
    flipped = draw.stream.random((len(AXES), draw.whole)) < 0.5  # for all axes, so that none shifts another's
    allowed = [axis in axes for axis in AXES]
    signs = np.where(flipped[:, draw.shard.part].T & allowed, -1.0, 1.0)
    return np.eye(dims) * signs[:, None, :dims]


def hu_shift(images: Tensor, largest: float, draw: Draw) -> Tensor:
    """Shift all HU.

    In methods.md: shifts of up to {:g} HU.
    """
    return images + per_image(draw.between(-largest, largest), images)


def hu_scale(images: Tensor, largest: float, draw: Draw) -> Tensor:
    """Stretch all HU.

    In methods.md: stretching of HU (up to {:.0%}).
    """
    return images * per_image(1.0 + draw.between(-largest, largest), images)


def hu_noise(images: Tensor, largest: float, draw: Draw) -> Tensor:
    """Add noise, which is drawn on the device.

    In methods.md: Gaussian noise (standard deviation up to {:g} HU).
    """
    deviation = per_image(draw.between(0.0, largest), images)
    source = torch.Generator(images.device).manual_seed(int(draw.stream.integers(2**62)))
    grain = torch.randn((draw.whole, *images.shape[1:]), generator=source, device=images.device)
    return images + grain[draw.shard.part] * deviation


def gamma(images: Tensor, largest: float, draw: Draw) -> Tensor:
    """Bend the window, of which images are 0 to 1.

    In methods.md: gamma (up to {:.0%}).
    """
    return images.pow(per_image(1.0 + draw.between(-largest, largest), images))


IN_SPACE, IN_HU, IN_WINDOW = (rotation, scale, flip), (hu_scale, hu_shift, hu_noise), (gamma,)  # in this order


def augment(images: Tensor, labels: Tensor, task: Task, step: int, shard: Shard = WHOLE) -> tuple[Tensor, Tensor]:
    """Change a batch at random and cut it to the patch.

    Args:
        images: HU, any number type (batch, channel, [z,] y, x), patch plus margins in size.
        labels: organ indices, uint8 (batch, [z,] y, x).
        task: patch, largest changes, window and seed.
        step: of the batch.
        shard: what of the whole batch is given; it is changed as it would be within the whole.

    Returns:
        Images, float32 from -1 to 1 (batch, channel, [z,] y, x), and labels, int64 (batch, [z,] y, x).
    """
    patch, count = task.settings.patch, len(images)
    dims = len(patch)

    def wanted(kind: Iterable[Change]) -> Iterator[tuple[Change, Any, Draw]]:
        """Those that are not turned off, with their largest change and their draw."""
        for change in kind:
            name = change.__name__
            if largest := task.settings.augmentation[name]:
                yield change, largest, Draw(stream(name, task.seed, step), count * shard.world, shard)

    matrices = np.tile(np.eye(dims), (count, 1, 1))
    for change, largest, draw in wanted(IN_SPACE):
        matrices = matrices @ change(largest, draw, dims)
    theta = affine(matrices, patch, images.shape[2:])
    images, labels = warp(images.float(), labels, theta.to(images.device), patch)
    for change, largest, draw in wanted(IN_HU):
        images = change(images, largest, draw)
    images = (scaled(images, task.window) + 1.0) / 2.0
    for change, largest, draw in wanted(IN_WINDOW):
        images = change(images, largest, draw)
    return images * 2.0 - 1.0, labels


def per_image(values: Array, images: Tensor) -> Tensor:
    """A number per image, float32, that works on all its voxels."""
    return torch.tensor(values, dtype=torch.float32, device=images.device).reshape(-1, *(1,) * (images.dim() - 1))


def affine(matrices: Array, patch: Sequence[int], crop: Sequence[int]) -> Tensor:
    """Matrices for `F.affine_grid`, float32 (batch, dims, dims + 1): from the patch's coordinates to the larger crop's.

    Args:
        matrices: how voxels move about the centre (batch, dims, dims), axes x y [z].
        patch: size of the result, [z] y x.
        crop: size of what is sampled, [z] y x.
    """
    ours, theirs = np.array(patch[::-1]), np.array(crop[::-1])
    moved = matrices * ours[None, None, :] / theirs[None, :, None]
    return torch.tensor(np.pad(moved, ((0, 0), (0, 0), (0, 1))), dtype=torch.float32)


def warp(images: Tensor, labels: Tensor, theta: Tensor, patch: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Sample images (linear) and labels (nearest, int64) through affine matrices; border voxels continue outside."""
    grid = F.affine_grid(theta, [len(images), 1, *patch], align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    classes = F.grid_sample(labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return moved, classes[:, 0].long()
