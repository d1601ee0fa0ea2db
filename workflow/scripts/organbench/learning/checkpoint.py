"""Where a training stands, on disk: all that it needs to go on."""

import itertools
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from organbench.core.jobs import LOGGER
from organbench.hardware import devices
from organbench.inference.weights import read_archive, write_archive
from organbench.learning.sampling import Shard


@dataclass
class Progress:
    """Where training stands: what a checkpoint holds beside the states of network, optimizer and the like."""

    step: int = 0
    seconds: float = 0.0
    joules: dict[str, float | None] = field(default_factory=lambda: {"gpu_energy_j": 0.0, "cpu_energy_j": 0.0})
    rows: list[dict[str, float]] = field(default_factory=list)
    fingerprint: dict[str, Any] | None = None
    validation_due: bool = False  # the last step's validation was not finished
    best_dice: float = -1.0
    best_weights: dict[str, Tensor] | None = None
    only_background: bool | None = None  # of the weights that would be kept now; None: nothing was validated
    resumed: list[dict[str, Any]] = field(default_factory=list)  # at which steps under what other conditions


@dataclass(frozen=True)
class Checkpoint:
    """A file to leave progress in; whoever knows that the results are safe removes it.

    Attributes:
        path: of the file.
        stamp: of everything that shapes the weights.
        conditions: what may move the last bits of a result, see `conditions`.
    """

    path: Path
    stamp: str
    conditions: Mapping[str, Any]

    def write(self, states: Mapping[str, Any], progress: Progress) -> None:
        """Write all that training needs to go on; whole or not at all.

        Args:
            states: what has a `state_dict`, by name.
            progress: the rest.
        """
        content = {name: part.state_dict() for name, part in states.items()}
        own = {"stamp": self.stamp, "conditions": dict(self.conditions), "progress": vars(progress)}
        write_archive(content | own, self.path)

    def resume(self, states: Mapping[str, Any]) -> Progress:
        """Load the file into `states`, if it is there; one that is damaged or of another training is set aside.

        Under other conditions training goes on, says so, and remembers it.
        """
        if not self.path.exists():
            return Progress()
        try:
            content = read_archive(self.path)
            reason = None if content["stamp"] == self.stamp else "it is of another configuration, data or code"
            progress, before = Progress(**content["progress"]), dict(content["conditions"])
        except (OSError, MemoryError):
            raise  # it may be a good one
        except Exception as error:
            reason = f"it cannot be read ({type(error).__name__})"
        if reason:
            aside = unused(self.path.with_name(f"{self.path.name}.set-aside"))
            self.path.replace(aside)
            LOGGER.warning("%s: set aside as %s, because %s; training starts anew", self.path, aside.name, reason)
            return Progress()
        for name, part in states.items():
            part.load_state_dict(content[name])
        LOGGER.info("resumed at step %d, from %s", progress.step, self.path)
        self._compare(before, progress)
        return progress

    def _compare(self, before: Mapping[str, Any], progress: Progress) -> None:
        """Tell what has changed since a checkpoint was written, and note it."""
        changed = {
            name: [before.get(name), value]
            for name, value in self.conditions.items()
            if name != "host" and before.get(name) != value  # another host of a kind is no change
        }
        if not changed:
            return
        progress.resumed.append({"step": progress.step, "changed": changed})
        others = ", ".join(f"{name}: {then}, now {value}" for name, (then, value) in changed.items())
        LOGGER.warning(
            f"{self.path}: was written on {before.get('host')} under other conditions ({others}); training goes on "
            f"from step {progress.step}, but its result is no longer to the last bit that of a training without "
            "interruption"
        )


def conditions(device: torch.device, precision: str, shard: Shard) -> dict[str, Any]:
    """What may move the last bits of a training and is not in its stamp: device, threads, versions; and the host."""
    described = devices.describe(device)
    versions = described.pop("versions")
    spread = {"number of devices": shard.world, "precision": precision, "host": platform.node()}
    return {**described, **versions, **spread}


def unused(path: Path) -> Path:
    """The path, or where it is taken the first of `path-2`, `path-3`, ... that is not."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(free for free in itertools.chain([path], numbered) if not os.path.lexists(free))
