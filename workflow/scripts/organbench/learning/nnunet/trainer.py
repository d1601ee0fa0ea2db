"""nnU-Net's trainer with what a job of this workflow needs: a seed, a length, an end, and no lost work."""

import math
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.utils.data import DataLoader, Dataset

from organbench.core.errors import DivergedError, StoppedError
from organbench.core.jobs import Pace
from organbench.learning.nnunet.recipe import Schedule

TRAINING, VALIDATION = 0, 1  # streams of random numbers
FINAL, LATEST, BEST = (f"checkpoint_{name}.pth" for name in ("final", "latest", "best"))


def seed_all(*key: int) -> None:
    """Seed all that nnU-Net draws random numbers from, by a key of whole numbers."""
    (seed,) = np.random.SeedSequence(key).generate_state(1)
    random.seed(int(seed))
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(int(seed))


def added(before: float | None, now: float | None) -> float | None:
    """The sum of two energies, where both were measured."""
    return None if before is None or now is None else before + now


class Batches(Dataset[Any]):
    """nnU-Net's batches, each a pure function of the seed and its number: so resuming is exact, with any workers.

    Args:
        loader: nnU-Net's.
        seed: of the training.
        stream: `TRAINING` or `VALIDATION`.
    """

    def __init__(self, loader: Any, seed: int, stream: int) -> None:
        self.loader, self.seed, self.stream = loader, seed, stream

    def __getitem__(self, number: int) -> Any:
        seed_all(self.seed, self.stream, number)
        return self.loader.generate_train_batch()

    def read(self, first: int, end: int, workers: int, pinned: bool) -> Iterator[Any]:
        """Read batches in order; a worker that dies ends the training with an error."""
        numbers = range(first, end)
        return iter(
            DataLoader(self, None, sampler=numbers, num_workers=workers, pin_memory=pinned, collate_fn=as_it_is)
        )


def as_it_is(batch: Any) -> Any:
    """A batch, which needs no collating."""
    return batch


class Trainer(nnUNetTrainer):  # type: ignore[misc]
    """nnU-Net's trainer; its signature has to be the same, so the rest comes by `set_up`."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.device = device  # it takes the first GPU, which may be another job's

    def set_up(
        self, schedule: Schedule, *, seed: int, stamp: str, workers: int, meter: Any, save_seconds: float, ending: Any
    ) -> None:
        """Take what nnU-Net's signature has no place for.

        Args:
            schedule: how long to train.
            seed: decides the initial weights and all batches.
            stamp: of all that shapes the weights; a checkpoint with another is not gone on from.
            workers: processes that read batches; 0 reads them in this one.
            meter: of energy.
            save_seconds: time between checkpoints, which are written after an epoch.
            ending: says whether the job was told to end.
        """
        self.schedule, self.seed, self.stamp, self.workers = schedule, seed, stamp, workers
        self.meter, self.save_seconds, self.ending = meter, save_seconds, ending
        self.num_epochs = schedule.epochs
        self.num_val_iterations_per_epoch = schedule.validation
        self.seconds = 0.0
        self.joules: dict[str, float | None] = dict.fromkeys(meter.joules(), 0.0)
        self.resumed_at: list[int] = []
        seed_all(seed)
        self.initialize()

    @staticmethod
    def get_training_transforms(*args: Any, **options: Any) -> Any:
        """Its augmentation, but the way to blur is not chosen by a stopwatch, which would change last bits."""
        transforms = nnUNetTrainer.get_training_transforms(*args, **options)
        for part in transforms.transforms:
            if hasattr(getattr(part, "transform", None), "benchmark"):
                part.transform.benchmark = False
        return transforms

    def get_dataloaders(self) -> tuple[Iterator[Any], Iterator[Any]]:
        """Its batches by their numbers, from where training goes on."""
        training, validation = super().get_dataloaders()
        pinned, epoch = self.device.type == "cuda", self.current_epoch
        batches = Batches(training.data_loader, self.seed, TRAINING)
        validating = Batches(validation.data_loader, self.seed, VALIDATION)
        each = self.num_val_iterations_per_epoch
        return (
            batches.read(self.schedule.steps_before(epoch), self.schedule.steps, self.workers, pinned),
            validating.read(epoch * each, self.num_epochs * each, min(1, self.workers), pinned),
        )

    def plot_network_architecture(self) -> None:
        """Nothing: nobody looks at it."""

    def run_training(self) -> None:
        """Train; time and energy count from here."""
        self.started, self.saved = time.monotonic(), time.monotonic()
        self.before = self.seconds, dict(self.joules)
        done = self.schedule.steps_before(self.current_epoch)
        self.pace = Pace(self.schedule.steps, "step", done=done)
        self.logger.plot_progress_png = lambda folder: None  # takes longer than a short epoch
        super().run_training()

    def on_epoch_start(self) -> None:
        """Set the epoch's length."""
        self.num_iterations_per_epoch = self.schedule.iterations_of(self.current_epoch)
        super().on_epoch_start()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Learn from a batch, unless the job is to end."""
        self._check_for_end()
        found: dict[str, Any] = super().train_step(batch)
        return found

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Validate on a batch, unless the job is to end."""
        self._check_for_end()
        found: dict[str, Any] = super().validation_step(batch)
        return found

    def _check_for_end(self) -> None:
        """End where the job was told to; what the epoch has learned so far is lost."""
        if self.ending():
            raise StoppedError(
                f"told to end in epoch {self.current_epoch + 1} of {self.num_epochs}; the next run goes on from its "
                "last checkpoint"
            )

    def on_epoch_end(self) -> None:
        """Say how it goes, and save where it is time."""
        loss = float(self.logger.get_value("train_losses", step=-1))
        if not math.isfinite(loss):
            raise DivergedError(
                f"nnU-Net's loss is {loss} in epoch {self.current_epoch + 1}; check that the HU in tables/cases.csv "
                "are those of CT (the same settings would end here again)"
            )
        self._take_stock()
        self.save_every = 1 if time.monotonic() - self.saved > self.save_seconds else self.num_epochs + 1
        super().on_epoch_end()
        self.pace.done = self.schedule.steps_before(self.current_epoch)
        print(self.pace.line(f"loss {loss:.4f}"), flush=True)

    def _take_stock(self) -> None:
        """Count time and energy so far, with those of earlier attempts."""
        seconds, joules = self.before
        self.seconds = seconds + time.monotonic() - self.started
        spent = self.meter.joules()
        self.joules = {key: added(joules[key], spent[key]) for key in spent}

    def save_checkpoint(self, filename: str) -> None:
        """Write a checkpoint, whole or not at all; not that of the best validation, which nobody uses."""
        if Path(filename).name == BEST:
            return
        self._take_stock()
        self.saved = time.monotonic()
        # Of what a checkpoint holds this is the one part that takes guests, and it is restored as it was.
        own = {"stamp": self.stamp, "seconds": self.seconds, "joules": self.joules, "resumed_at": self.resumed_at}
        self.my_init_kwargs["organbench"] = own
        super().save_checkpoint(f"{filename}.part")
        os.replace(f"{filename}.part", filename)

    def resume(self) -> None:
        """Go on from the last checkpoint of this training where there is one; those of another are removed."""
        for path in (Path(self.output_folder, FINAL), Path(self.output_folder, LATEST)):
            if path.exists() and (found := self._of_this_training(path)):
                self.load_checkpoint(str(path))
                self.seconds, self.joules = found["seconds"], found["joules"]
                self.resumed_at = [*found["resumed_at"], self.current_epoch]
                print(f"resumed after epoch {self.current_epoch} of {self.num_epochs}", flush=True)
                return

    def _of_this_training(self, path: Path) -> dict[str, Any] | None:
        """What was added to a checkpoint, if it can be gone on from."""
        try:
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False)["init_args"]["organbench"]
            if found["stamp"] == self.stamp:
                return found
            reason = "it is of another configuration, data or code"
        except (OSError, MemoryError):
            raise
        except Exception as error:
            reason = f"it cannot be read ({type(error).__name__})"
        print(f"{path}: not used, because {reason}", flush=True)
        path.unlink()
        return None

    def rows(self, organs: list[str]) -> list[dict[str, Any]]:
        """The history: a row an epoch, with the columns of any other training's history."""
        keys = ("lrs", "train_losses", "dice_per_class_or_region", "epoch_start_timestamps", "epoch_end_timestamps")
        rates, losses, dices, starts, ends = (self.logger.get_value(key, step=None) for key in keys)
        seconds = np.cumsum(np.subtract(ends, starts))
        return [
            {
                "step": self.schedule.steps_before(epoch + 1),
                "learning_rate": float(rate),
                "loss": float(loss),
                **{f"dice_{organ}": float(value) for organ, value in zip(organs, dice, strict=True)},
                "seconds": round(float(so_far), 3),
            }
            for epoch, (rate, loss, dice, so_far) in enumerate(zip(rates, losses, dices, seconds, strict=True))
        ]
