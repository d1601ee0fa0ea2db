"""Random spatial and intensity changes of a batch, on the training device; a pure function of (seed, step).

What is changed, and how, is in `augmentations`. Changes in space are about the patch's centre.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from organbench.data.grids import Array
from organbench.inference.windows import exchanging, scaled
from organbench.learning import augmentations
from organbench.learning.augmentations._draws import Draw, stream
from organbench.learning.sampling import WHOLE, Shard
from organbench.learning.settings import Task


def augment(
    images: Tensor,
    labels: Tensor,
    task: Task,
    step: int,
    shard: Shard = WHOLE,
    unannotated: Array | None = None,
) -> tuple[Tensor, Tensor, Array | None]:
    """Change a batch at random and cut it to the patch.

    Args:
        images: HU, any number type (batch, channel, [z,] y, x), patch plus margins in size.
        labels: organ indices, uint8 (batch, [z,] y, x).
        task: patch, augmentations, window, seed, and which organs change places in a flip along x.
        step: of the batch.
        shard: what of the whole batch is given; it is changed as it would be within the whole.
        unannotated: which classes were not annotated in each image's case (batch, class), bool; None: all were.

    Returns:
        Images, float32 from -1 to 1 (batch, channel, [z,] y, x), labels, int64 (batch, [z,] y, x), and which classes
        were not annotated in the images as they are now.
    """
    patch, count = task.settings.patch, len(images)
    dims = len(patch)

    def wanted(stage: str) -> Iterator[tuple[ModuleType, Any, Draw]]:
        """Those of a stage that are on, with their setting and their draw."""
        for name, augmentation in augmentations.on(task.settings.augmentation, stage).items():
            draw = Draw(stream(name, task.seed, step), count * shard.world, shard)
            yield augmentation, task.settings.augmentation[name], draw

    matrices = np.tile(np.eye(dims), (count, 1, 1))
    for augmentation, setting, draw in wanted("space"):
        matrices = matrices @ augmentation.change(setting, draw, dims)
    theta = affine(matrices, patch, images.shape[2:])
    images, labels = warp(images.float(), labels, theta.to(images.device), patch)
    labels, unannotated = exchanged(labels, unannotated, task, matrices)
    for augmentation, setting, draw in wanted("hu"):
        images = changed(images, augmentation, setting, draw)
    images = (scaled(images, task.window) + 1.0) / 2.0
    for augmentation, setting, draw in wanted("window"):
        images = changed(images, augmentation, setting, draw)
    return images * 2.0 - 1.0, labels, unannotated


def changed(images: Tensor, augmentation: ModuleType, setting: Any, draw: Draw) -> Tensor:
    """Images after an augmentation: all of them, or those for which it is drawn."""
    if not isinstance(setting, Mapping):
        found: Tensor = augmentation.change(images, setting, draw)
        return found
    chosen, values = draw.some(setting)
    if not chosen.any():
        return images
    each = zip(images, chosen, values.tolist(), strict=True)
    return torch.stack([augmentation.change(image, value) if yes else image for image, yes, value in each])


def exchanged(labels: Tensor, unannotated: Array | None, task: Task, matrices: Array) -> tuple[Tensor, Array | None]:
    """Labels in which paired organs have changed places where an image is flipped along x: where the matrix says so.

    With them changes which of a pair was not annotated.
    """
    if not task.mirrored:
        return labels, unannotated
    order, flips = exchanging(task.mirrored, len(task.organs) + 1), matrices[:, 0, 0] < 0
    if unannotated is not None:
        unannotated = np.where(flips[:, None], unannotated[:, order], unannotated)
    others = torch.tensor(order, device=labels.device)
    flipped = torch.from_numpy(flips).to(labels.device)
    return torch.where(flipped.reshape(-1, *(1,) * (labels.dim() - 1)), others[labels], labels), unannotated


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
