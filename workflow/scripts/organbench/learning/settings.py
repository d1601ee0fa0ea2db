"""What a training is told: the checked config's settings, as values with a type."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from organbench.inference.settings import Prediction


@dataclass(frozen=True)
class Training:
    """The config's `training` as it is for one model; config/README.md says what each key is.

    Attributes:
        augmentation: the largest random change of each kind, by the name of its function in `augmentation`.
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
        largest, grow = np.deg2rad(self.augmentation["rotation"]), 1.0 + self.augmentation["scale"]

        def reach(along: int, across: int) -> float:
            angle = min(largest, np.arctan2(across, along))  # where the turned patch is longest
            return float(along * np.cos(angle) + across * np.sin(angle))

        y, x = self.patch[-2:]
        reaches = [*map(float, self.patch[:-2]), reach(y, x), reach(x, y)]
        return tuple(int(np.ceil((grow * r - n) / 2)) for r, n in zip(reaches, self.patch, strict=True))


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
    """

    network: Mapping[str, Any]
    settings: Training
    prediction: Prediction
    window: tuple[float, float]
    organs: tuple[str, ...]
    seed: int
