"""The random numbers of augmentations: a pure function of (name, seed, step)."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from organbench.data.grids import Array
from organbench.learning.sampling import Shard


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

    def some(self, setting: Mapping[str, Any]) -> tuple[Array, Array]:
        """Whether each image is changed (batch), and by which number of the range (batch)."""
        chosen = self.stream.random(self.whole) < setting["probability"]
        return chosen[self.shard.part], self.between(*setting["range"])


def stream(name: str, seed: int, step: int) -> np.random.Generator:
    """The random numbers of the augmentation of a name in a step."""
    return np.random.default_rng([seed, step, zlib.crc32(name.encode())])


def per_image(values: Array, images: Tensor) -> Tensor:
    """A number per image, float32, that works on all its voxels."""
    return torch.tensor(values, dtype=torch.float32, device=images.device).reshape(-1, *(1,) * (images.dim() - 1))
