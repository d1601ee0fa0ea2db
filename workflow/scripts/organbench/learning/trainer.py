"""The loop that trains a model's network on one fold with one seed, and validates it as test cases are predicted."""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, distributed, nn

from organbench.core.errors import DivergedError, StoppedError
from organbench.core.jobs import LOGGER, Pace, termination
from organbench.data.cases import Case
from organbench.data.grids import Array
from organbench.evaluation import overlaps
from organbench.hardware import devices
from organbench.inference import weights
from organbench.inference.prediction import Predictor, predict_case
from organbench.inference.settings import Specks
from organbench.learning import augmentation, beginning, building, checkpoint, optimisation, rehearsal, sampling
from organbench.learning.settings import Task

CHECKPOINT_SECONDS = 300.0  # between checkpoints
FINGERPRINT_STEP = 10  # after which the weights' hash is kept, so that a later run can be told to be the same


class Trained(NamedTuple):
    """What comes of a training.

    Attributes:
        network: the trained network.
        recipe: of the network, for `weights.save`.
        rows: a row a step: step, learning_rate, loss, the validation Dice per organ (NaN between validations) and
            seconds since the start.
        cost: what `cost.json` holds.
    """

    network: nn.Module
    recipe: weights.Recipe
    rows: list[dict[str, float]]
    cost: dict[str, Any]


@dataclass(eq=False)
class Trainer:
    """A training, which goes on from its checkpoint where there is one.

    The weights that are kept are those after the last step, or, with `weights: best`, those of the validation with the
    highest mean Dice over organs; with `ema` their exponential moving average (Polyak and Juditsky 1992).

    Args:
        task: what is to be learned.
        training_cases: cases to train on.
        validation_cases: cases to validate on; may be empty.
        device: where to compute.
        checkpoint: file to leave progress in; whoever knows that the results are safe removes it.
        stamp: of everything that shapes the weights; a checkpoint with another is set aside.
        workers: threads that read batches.
        checkpoint_seconds: time between checkpoints.
        until: stop after this many steps of the schedule.
        shard: what of every batch this process computes; the first process alone validates and writes.

    Raises:
        InputError: the network does not allow an option's value or the patch.
    """

    task: Task
    training_cases: Sequence[Case]
    validation_cases: Sequence[Case]
    _: KW_ONLY
    device: torch.device
    checkpoint: Path
    stamp: str
    workers: int = 1
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    until: int | None = None
    shard: sampling.Shard = sampling.WHOLE

    def __post_init__(self) -> None:
        """Make what learns and what validates, with the weights of the seed."""
        task, self.settings, self.first = self.task, self.task.settings, self.shard.rank == 0
        self.steps = min(self.until or self.settings.steps, self.settings.steps)
        self.precision = devices.precision(self.settings.precision, self.device)
        conditions = checkpoint.conditions(self.device, self.precision, self.shard)
        self.file = checkpoint.Checkpoint(self.checkpoint, self.stamp, conditions)
        self.progress = checkpoint.Progress()
        self.waiting: list[tuple[int, Tensor]] = []  # losses that are still on the device
        self.design = building.design(task.network, self.settings, task.organs)
        torch.manual_seed(task.seed)
        network = building.build(
            self.design, lambda network: beginning.begin(network, self.design, self.training_cases, self.task)
        )
        with rehearsal.explained(self.design, self.settings):
            size = building.count(network, self.design.in_channels, self.design.patch)
        self.recipe = weights.Recipe(
            **vars(self.design),
            window=task.window,
            precision=self.precision,
            organ_ml=organ_ml(self.training_cases, task.organs),
            mirrored=task.mirrored,
            flips=tuple(self.settings.augmentation["flip"]),
            **vars(size),
        )
        self.learner = optimisation.Learner(
            network, self.settings, device=self.device, precision=self.precision, shard=self.shard
        )
        self.predictor = Predictor(self.learner.kept, self.recipe, task.prediction, self.device)

    def train(self) -> Trained:
        """Take all steps that are left.

        Raises:
            InputError: a loss, or a weight that would be kept, is no number; or the study's shapes do not fit.
            StoppedError: SIGTERM came; the checkpoint is written.
        """
        self._resume()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.started = self.saved = time.monotonic()
        self.pace = Pace(self.steps, "step", done=self.progress.step)
        self.before = copy.copy(self.progress)
        with termination() as self.ending, devices.energy_meter(self.device) as self.meter:
            if self.first and self.progress.validation_due:
                LOGGER.info(f"step {self.progress.step}/{self.steps}{self._validate()}")
            steps = range(self.progress.step, self.steps)
            for batch in sampling.batches(self.training_cases, self.task, steps, self.shard, self.workers):
                self._take_step(batch)
                if self.first and self._is_time_to_tell():
                    self._tell()
                if self.progress.step < self.steps:
                    self._check_for_end()
            self._take_stock()
        return self._finish()

    def _resume(self) -> None:
        """Go on from the checkpoint; the first process decides whether it is good."""
        if not self.first:
            distributed.barrier()
        self.progress = self.file.resume(self.learner.states)
        if self.shard.world > 1 and self.first:
            distributed.barrier()

    def _take_step(self, batch: sampling.Batch) -> None:
        """Learn from a batch as it was read."""
        step, device = self.progress.step, self.device
        images, labels = to_device(batch.images, device), to_device(batch.labels, device)
        inputs, targets, unknown = augmentation.augment(images, labels, self.task, step, self.shard, batch.unannotated)
        unannotated = None if unknown is None else to_device(unknown, device)
        with rehearsal.explained(self.design, self.settings):
            loss = self.learner.learn(inputs, targets, step, unannotated)
        if self.first:
            self.waiting.append((step, loss))
        self.progress.step = self.pace.done = step + 1
        if self.progress.step == min(FINGERPRINT_STEP, self.settings.steps):
            sha256 = building.fingerprint(self.learner.network)
            self.progress.fingerprint = {"step": self.progress.step, "sha256": sha256}

    def _is_time_to_tell(self) -> bool:
        """Whether the history is to be brought up to date: rarely, as that waits for the device."""
        ended = self.progress.step == self.steps
        return ended or self.pace.due or self._is_time_to_save() or self._is_time_to_validate()

    def _is_time_to_validate(self) -> bool:
        return self.progress.step % self.settings.validate_every == 0

    def _is_time_to_save(self) -> bool:
        return time.monotonic() - self.saved > self.checkpoint_seconds

    def _tell(self) -> None:
        """Say how training goes, and validate and save where it is time."""
        self._take_stock()
        last, row = self.progress.step == self.steps, self.progress.rows[-1]
        message = self.pace.line(f"loss {row['loss']:.4f}", f"learning rate {row['learning_rate']:.2e}")
        self.progress.validation_due = bool(self.validation_cases) and (last or self._is_time_to_validate())
        if self.progress.validation_due:
            message += self._validate()
        LOGGER.info(message)
        if not last and self._is_time_to_save():
            self._save()
            self.saved = time.monotonic()

    def _take_stock(self) -> None:
        """Bring the losses that wait, and what was spent, into the progress."""
        progress = self.progress
        progress.seconds = self.before.seconds + time.monotonic() - self.started
        progress.joules = {
            counter: added(self.before.joules[counter], now) for counter, now in self.meter.joules().items()
        }
        for step, value in self.waiting:
            rate = optimisation.learning_rate(step, self.settings)
            row = {"step": step + 1, "learning_rate": rate, "loss": float(value)}
            dice = {f"dice_{organ}": math.nan for organ in self.task.organs}
            progress.rows.append({**row, **dice, "seconds": round(progress.seconds, 3)})
            if not math.isfinite(row["loss"]):
                what = f"the loss of step {step + 1} of {self.steps} is {row['loss']}"
                raise diverged(what, rate, self.precision)
        self.waiting.clear()

    def _validate(self) -> str:
        """Validate, remember the best weights, and say how it went."""
        found = validate(
            self.predictor,
            self.validation_cases,
            self.task.organs,
            specks=self.task.prediction.specks(self.recipe.organ_ml, self.task.organs),
            between=self._check_for_end,
        )
        progress, keep_best = self.progress, self.settings.weights == "best"
        progress.rows[-1].update({f"dice_{organ}": value for organ, value in found.dice.items()})
        progress.validation_due = False
        mean = mean_of(list(found.dice.values()))
        better = mean > progress.best_dice
        if better or not keep_best or progress.best_weights is None:
            progress.only_background = found.only_background
        if better and keep_best:
            best = self.learner.kept.state_dict()
            progress.best_dice = mean
            progress.best_weights = {key: value.detach().cpu().clone() for key, value in best.items()}
        return "  Dice " + ", ".join(f"{organ} {value:.3f}" for organ, value in found.dice.items())

    def _check_for_end(self) -> None:
        """End where the job was told to, and leave a checkpoint."""
        if self.first and self.ending():
            self._save()
            raise StoppedError(
                f"told to end after step {self.progress.step} of {self.steps}; the next run goes on from there"
            )

    def _save(self) -> None:
        """Write a checkpoint: one that training can go on from."""
        self._take_stock()
        self._check_weights()
        self.file.write(self.learner.states, self.progress)

    def _check_weights(self) -> None:
        if not building.all_numbers(self.learner.network) or not building.all_numbers(self.learner.kept):
            what = f"the weights after step {self.progress.step} of {self.steps} are no numbers any more"
            raise diverged(what, optimisation.learning_rate(self.progress.step - 1, self.settings), self.precision)

    def _finish(self) -> Trained:
        """Choose the weights that are kept, and say what they cost."""
        progress = self.progress
        if self.first:
            self._check_weights()
        if progress.only_background:
            LOGGER.warning(
                f"warning: the weights predict nothing but background in all {len(self.validation_cases)} validation "
                "cases; before you compare them, train for more steps, or with another learning_rate or loss, and see "
                "that preprocessing.window and prediction.smallest_part leave something to find"
            )
        if progress.best_weights is not None:
            self.learner.kept.load_state_dict(progress.best_weights)
        samples = self.steps * self.settings.batch_size
        cost = {
            "parameters": self.recipe.parameters,
            "multiply_adds_per_voxel": self.recipe.multiply_adds_per_voxel,
            "training_seconds": round(progress.seconds, 3),
            "samples_per_second": round(samples / max(progress.seconds, 1e-9), 3),
            "precision": self.precision,
            **progress.joules,
            "fingerprint": progress.fingerprint,
            "predicts_only_background": progress.only_background,
            "stamp": self.stamp,
            "bit_exact": not progress.resumed,
            "resumed": progress.resumed,
            **devices.peak_memory(self.device),
            **devices.describe(self.device),
        }
        return Trained(self.learner.kept, self.recipe, progress.rows, cost)


class Validation(NamedTuple):
    """How validation cases are predicted.

    Attributes:
        dice: the mean Dice per organ over the cases that score it; NaN where none does.
        only_background: whether no organ is predicted in any case, although some case has one; organs that were not
            annotated in a case count in neither.
    """

    dice: Mapping[str, float]
    only_background: bool


def validate(
    predictor: Predictor,
    cases: Sequence[Case],
    organs: Sequence[str],
    *,
    specks: Specks | None = None,
    between: Callable[[], None] = lambda: None,
) -> Validation:
    """Predict validation cases as test cases are predicted, and score them on the working grid, the one of `label.npy`.

    Args:
        predictor: as the study predicts.
        cases: the validation cases.
        organs: names of the organs, in order.
        specks: which parts of a prediction go.
        between: called every few slices.
    """
    tables = []
    for number, case in enumerate(cases, start=1):
        what = f"validation case {number}/{len(cases)}, slice"
        predicted = predict_case(predictor, case, specks, grid=case.working, what=what, between=between)
        table = overlaps.overlap(np.asarray(case.label), predicted, organs=organs, voxel_ml=case.working.voxel_ml)
        tables.append(table.drop(index=[organ - 1 for organ in case.unannotated]))
    scores = pd.concat(tables)
    return Validation(
        dice={organ: mean_of(scores["dice"][scores["organ"] == organ].tolist()) for organ in organs},
        only_background=bool(scores["reference_ml"].any() and not scores["predicted_ml"].any()),
    )


def mean_of(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; NaN where none is."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")


def diverged(what: str, rate: float, precision: str) -> DivergedError:
    """What to say of a training whose loss or weights are no numbers.

    Args:
        what: what is no number, and where.
        rate: the learning rate there.
        precision: that is computed in.
    """
    exact = "" if precision == "fp32" else ", set training.precision to fp32"
    return DivergedError(
        f"{what}, at a learning rate of {rate:.2e}; lower training.learning_rate{exact}, or check that the HU in "
        "tables/cases.csv are those that preprocessing.window expects (the same settings would end here again)"
    )


def organ_ml(cases: Sequence[Case], organs: Sequence[str]) -> tuple[float, ...]:
    """The usual volume per organ in ml: the median over the cases that show it, 0 where none does.

    Organs are counted by their positions, as they may have been renamed since the cases were prepared.
    """
    counts = [(case.original.voxel_ml, list(case.info["original_voxels"].values())) for case in cases]
    volumes = [[count[k] * voxel_ml for voxel_ml, count in counts] for k in range(len(organs))]
    return tuple(float(np.median([v for v in values if v > 0] or [0.0])) for values in volumes)


def added(earlier: float | None, now: float | None) -> float | None:
    """Energy of a training's parts together, J; None where one was not measured."""
    return None if earlier is None or now is None else round(earlier + now, 3)


def to_device(array: Array, device: torch.device) -> Tensor:
    """An array on the device; to a GPU through pinned memory, without waiting."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
