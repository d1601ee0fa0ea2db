"""What a training is told: the checked config's settings, as values with a type."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from organbench.inference.prediction import Prediction
from organbench.learning.augmentation import Augmentation


@dataclass(frozen=True)
class Training:
    """The config's `training` as it is for one model; config/README.md says what each key is."""

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
    augmentation: Augmentation

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Training":
        """The settings of a checked config, with the model's own applied."""
        augmentation = Augmentation.of(settings["augmentation"])
        return cls(**{**settings, "patch": tuple(settings["patch"]), "augmentation": augmentation})


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
