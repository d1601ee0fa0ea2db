"""Which run a file is of: its place says so."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from organbench.core.files import sound_json

PLACE = re.compile(
    r"(?:.*/)?results/[^/]+/(?:learning_curve/share(\d+)/)?runs/([^/]+)/(?:tuning/)?fold(\d+)-seed(\d+)/.*"
)


@dataclass(frozen=True)
class Run:
    """One training of a model, or what was predicted with it.

    Attributes:
        model: its name in the study.
        fold: from 0.
        seed: of the training.
        share: per cent of the fold's training patients that it was trained on.
    """

    model: str
    fold: int
    seed: int
    share: int = 100

    @classmethod
    def of(cls, path: str | Path) -> "Run":
        """The run in whose folder a file lies, or in whose tuning.

        Raises:
            ValueError: it lies in none.
        """
        place = PLACE.fullmatch(Path(path).as_posix())
        if not place:
            raise ValueError(f"{path} is no run's file")
        share, model, fold, seed = place.groups()
        return cls(model, int(fold), int(seed), int(share or 100))

    @property
    def key(self) -> dict[str, str | int]:
        """What tells it from others in tables of a study."""
        return {"model": self.model, "fold": self.fold, "seed": self.seed}

    def __str__(self) -> str:
        """Its folder, below runs/."""
        return f"{self.model}/fold{self.fold}-seed{self.seed}"


def read_cost(folder: str | Path) -> dict[str, Any]:
    """What the `cost.json` of a training holds; nothing where there is none, or it is damaged."""
    return sound_json(Path(folder, "cost.json"))


def name_of(folder: str | Path) -> str:
    """The hash that a training was named by, as its `cost.json` tells; empty where that does not."""
    identity = read_cost(folder).get("identity")
    return str(identity.get("sha256", "")) if isinstance(identity, dict) else ""
