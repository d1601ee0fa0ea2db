"""Where a training stands, on disk: all that it needs to go on."""

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from organbench.core.files import atomic
from organbench.inference.weights import read_archive


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


@dataclass(frozen=True)
class Checkpoint:
    """A file to leave progress in; whoever knows that the results are safe removes it.

    Attributes:
        path: of the file.
        stamp: of everything that shapes the weights.
    """

    path: Path
    stamp: str

    def write(self, states: Mapping[str, Any], progress: Progress) -> None:
        """Write all that training needs to go on; whole or not at all.

        Args:
            states: what has a `state_dict`, by name.
            progress: the rest.
        """
        content = {name: part.state_dict() for name, part in states.items()}
        buffer = io.BytesIO()
        torch.save({**content, "stamp": self.stamp, "progress": vars(progress)}, buffer)
        with atomic(self.path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def resume(self, states: Mapping[str, Any], logger: logging.Logger) -> Progress:
        """Load the file into `states`, if it is there; one that is damaged or of another training is set aside."""
        if not self.path.exists():
            return Progress()
        try:
            content = read_archive(self.path)
            reason = None if content["stamp"] == self.stamp else "it is of another configuration, data or code"
        except (OSError, MemoryError):
            raise  # it may be a good one
        except Exception as error:
            reason = f"it cannot be read ({type(error).__name__})"
        if reason:
            aside = self.path.with_name(f"{self.path.name}.set-aside")
            self.path.replace(aside)
            logger.warning("%s: set aside as %s, because %s; training starts anew", self.path, aside.name, reason)
            return Progress()
        for name, part in states.items():
            part.load_state_dict(content[name])
        progress = Progress(**content["progress"])
        logger.info("resumed at step %d, from %s", progress.step, self.path)
        return progress
