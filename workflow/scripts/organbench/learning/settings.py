"""What a training is told: the checked config's settings, as values with a type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from organbench.inference.settings import Prediction
from organbench.learning import augmentations


@dataclass(frozen=True)
class Training:
    """The config's `training` as it is for one model; config/README.md says what each key is.

    Attributes:
        augmentation: the setting of each, by the name of its file in `augmentations`.
    """

    steps: int
    batch_size: int
    patch: tuple[int, ...]
    context: int
    slices: str
    foreground: float
    loss: str
    norm: str
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: str
    warmup: int
    gradient_clip: float
    precision: str
    ema: float
    deep_supervision: bool
    compile: bool
    validate_every: int
    weights: str
    augmentation: Mapping[str, Any]

    @property
    def margin(self) -> tuple[int, ...]:
        """Voxels to read beyond the patch on each side, so that its corners stay in the crop ([z] y x)."""
        size = [float(length) for length in self.patch]
        for name, augmentation in reversed(augmentations.on(self.augmentation, "space").items()):
            if hasattr(augmentation, "reach"):
                size = augmentation.reach(size, self.augmentation[name])
        return tuple(int(np.ceil((needed - n) / 2)) for needed, n in zip(size, self.patch, strict=True))


@dataclass(frozen=True)
class Task:
    """What is to be learned: all that shapes a network's weights, but the cases.

    Attributes:
        network: the network's entry in the config's `models`, without training settings.
        settings: how it is trained.
        prediction: how validation cases are predicted. With `weights: best` it shapes the weights, so whoever calls has
            it in the stamp; otherwise it shapes the history alone.
        window: HU that the network sees as -1 and 1.
        organs: names of the organs, in order.
        seed: decides the initial weights and all batches.
        mirrored: pairs of organ indices that change places in a flip along x.
    """

    network: Mapping[str, Any]
    settings: Training
    prediction: Prediction
    window: tuple[float, float]
    organs: tuple[str, ...]
    seed: int
    mirrored: tuple[tuple[int, int], ...] = field(default=(), kw_only=True)
