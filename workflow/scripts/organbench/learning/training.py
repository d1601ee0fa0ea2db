"""The loop that trains a contender, its checkpoint, its learning rate, and what it costs."""

import copy
import hashlib
import io
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.flop_counter import FlopCounterMode

from organbench import networks
from organbench.core.errors import DivergedError, InputError, StoppedError
from organbench.core.files import atomic, write_json
from organbench.core.jobs import Pace, job_log, termination
from organbench.data import cases
from organbench.data.cases import Case
from organbench.evaluation import overlaps
from organbench.hardware import devices
from organbench.inference.inference import (
    Ensemble,
    Predictor,
    predict_case,
    predictor_of,
    read_archive,
    removal,
    run_of,
    save,
)
from organbench.learning import augmentation, kept, losses, processes, rehearsal, sampling, tuned
from organbench.learning.sampling import WHOLE, Share

CHECKPOINT_SECONDS = 300.0  # between checkpoints; ORGANBENCH_CHECKPOINT_SECONDS changes it without changing results
FINGERPRINT_STEP = 10  # after which the weights' hash is kept, so that a later run can be told to be the same
POLYNOMIAL = 0.9  # exponent of the polynomial decay, as in nnU-Net


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
class Validation:
    """How validation cases are predicted.

    Attributes:
        dice: the mean Dice of each organ over the cases that score it; NaN where none does.
        only_background: whether no organ is predicted in any case, although some case has one.
    """

    dice: Mapping[str, float]
    only_background: bool

    @property
    def mean(self) -> float:
        """The mean Dice over the organs that have one; NaN where none has."""
        return mean_of(list(self.dice.values()))


@dataclass(frozen=True)
class Learner:
    """A network and what changes its weights.

    Attributes:
        network: what is trained, on its device.
        computed: the network as it is called: over several processes, compiled.
        kept: whose weights are validated and kept: the network, or the moving average of its weights.
        optimizer: of the network's weights.
        scaler: of the loss, for fp16.
        averaged: the moving average, if one is wanted.
    """

    network: nn.Module
    computed: Callable[[Tensor], Tensor | list[Tensor]]
    kept: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    averaged: AveragedModel | None

    @property
    def states(self) -> dict[str, Any]:
        """What has a state that a checkpoint holds, by name."""
        parts = {name: getattr(self, name) for name in ("network", "optimizer", "scaler", "averaged")}
        return {name: part for name, part in parts.items() if part is not None}


def make_learner(
    network: nn.Module, settings: Mapping[str, Any], *, device: torch.device, precision: str, share: Share
) -> Learner:
    """All that a training changes, for a network that was just built.

    Args:
        network: with its first weights, on the CPU.
        settings: the config's `training`, with the contender's own settings applied.
        device: where to compute.
        precision: `fp32`, `bf16` or `fp16`.
        share: what of every batch this process computes.

    Raises:
        InputError: a setting does not allow several processes.
    """
    cuda = device.type == "cuda"
    if settings["batch_size"] % share.world:
        raise InputError(
            f"config, training.batch_size: {settings['batch_size']} is not a multiple of the {share.world} devices"
        )
    if share.world > 1 and settings["norm"] == "batch":
        if not cuda:
            raise InputError(
                "config, training.norm: batch norm over several processes needs GPUs; use instance or group"
            )
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # statistics of the whole batch; the same weights
    network = devices.place(network, device, len(settings["patch"])).train()
    averaged = None
    if settings["ema"]:
        averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings["ema"]), use_buffers=True)
    computed: Callable[[Tensor], Tensor | list[Tensor]] = network
    if share.world > 1:
        computed = DistributedDataParallel(network, device_ids=[device] if cuda else None)
    return Learner(
        network=network,
        computed=torch.compile(computed) if settings["compile"] else computed,
        kept=averaged.module if averaged else network,
        optimizer=make_optimizer(network, settings),
        scaler=torch.amp.GradScaler(device.type, enabled=precision == "fp16"),
        averaged=averaged,
    )


def learn(
    learner: Learner,
    loss_of: losses.Loss,
    images: Tensor,
    labels: Tensor,
    *,
    rate: float,
    clip: float,
    precision: str,
    share: Share,
) -> Tensor:
    """Take one step of gradient descent.

    Args:
        learner: what learns.
        loss_of: the loss.
        images: what the network sees (batch, channel, [z,] y, x).
        labels: organ indices, int64 (batch, [z,] y, x).
        rate: the learning rate.
        clip: largest norm of all gradients together.
        precision: `fp32`, `bf16` or `fp16`.
        share: what of the batch this is.

    Returns:
        The loss of the whole batch, which may still be under way on the device.
    """
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    learner.optimizer.zero_grad(set_to_none=True)
    with devices.autocast(images.device, precision):
        logits = learner.computed(images.contiguous(memory_format=devices.memory_format(images.dim() - 2)))
    loss = supervised(loss_of, logits, labels)
    learner.scaler.scale(loss).backward()
    learner.scaler.unscale_(learner.optimizer)
    nn.utils.clip_grad_norm_(learner.network.parameters(), clip)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.averaged:
        learner.averaged.update_parameters(learner.network)
    value = loss.detach()
    if share.world > 1:
        distributed.all_reduce(value)
        value = value / share.world
    return value


def learning_rate(step: int, settings: Mapping[str, Any]) -> float:
    """The learning rate of a step (from 0): a linear warm-up, then polynomial or cosine decay to 0, or constant."""
    steps, warmup = settings["steps"], settings["warmup"]
    if step < warmup:
        return settings["learning_rate"] * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    decay = {"polynomial": (1 - done) ** POLYNOMIAL, "cosine": (1 + np.cos(np.pi * done)) / 2, "constant": 1.0}
    return float(settings["learning_rate"] * decay[settings["schedule"]])


def make_optimizer(network: nn.Module, settings: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The study's optimizer, fused: one kernel for all weights."""
    rate, decay = settings["learning_rate"], settings["weight_decay"]
    if settings["optimizer"] == "sgd":
        return torch.optim.SGD(network.parameters(), rate, momentum=0.99, nesterov=True, weight_decay=decay, fused=True)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[settings["optimizer"]]
    return kind(network.parameters(), rate, weight_decay=decay, fused=True)


def stamp(*parts: Any) -> str:
    """A hash of everything that shapes the weights; values that JSON holds, and files by their content."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else json.dumps(part, sort_keys=True).encode()
        digest.update(hashlib.sha256(content).digest())  # so that 1, 23 differs from 12, 3
    return digest.hexdigest()


def run(job: Mapping[str, Any]) -> None:
    """Train a contender from prepared cases and write what comes of it: the rule `train`, or one of its processes.

    Args:
        job: training and validation (folders of prepared cases) and skip_bad (whether those that could not be prepared
            are left out, or else refused); settings, prediction, window, organs and seed as for `train`;
            threads and gpus that the workflow granted; code (a hash of what shapes the weights); checkpoint, log;
            weights, history and cost (the files to write). Where settings are tuned, candidate (whether this is one, which may
            diverge) or else trained (the folder of the candidate that was chosen).
    """
    rank, started = processes.local_rank(), time.monotonic()
    with job_log(job["log"], quiet=rank > 0) as logger:
        device = devices.prepare(threads=job["threads"], gpus=job["gpus"], rank=rank)
        checkpoint = Path(job["checkpoint"])
        with processes.joined(device) as share:
            logger.info("training on %d x %s, %d threads", share.world, device, job["threads"])
            seconds = float(os.environ.get("ORGANBENCH_CHECKPOINT_SECONDS", CHECKPOINT_SECONDS))
            try:
                network, recipe, rows, cost = train_files(
                    job, device=device, checkpoint=checkpoint, checkpoint_seconds=seconds, share=share, logger=logger
                )
            except DivergedError as error:
                if not job.get("candidate"):
                    raise
                logger.warning("this candidate fails: %s", error)
                if rank == 0:
                    tuned.write_failure(job, error, time.monotonic() - started)
                return
        if rank > 0:
            return
        kept.set_aside(job, logger)
        buffer = io.BytesIO()  # so that the archive does not hold the file's temporary name
        save(buffer, network, recipe | {"run": run_of(job["weights"]), "training": job["identity"]["sha256"]})
        with atomic(job["weights"]) as path:
            path.write_bytes(buffer.getbuffer())
        with atomic(job["history"]) as path:
            pd.DataFrame(rows).to_csv(path, index=False)
        write_json(cost | {"identity": job["identity"]}, job["cost"])


def train_files(
    job: Mapping[str, Any], *, device: torch.device, share: Share = WHOLE, **options: Any
) -> tuple[nn.Module, dict[str, Any], list[dict[str, float]], dict[str, Any]]:
    """Train a contender from prepared cases: `train`, for a job as `run` describes it."""
    train_on, validate_on = (cases.load_all(job[role], skip_bad=job["skip_bad"]) for role in ("training", "validation"))
    name = job["identity"]["sha256"]
    if job.get("trained") and (found := tuned.trained(job["trained"], name, device, options["logger"])):
        return found
    return train(
        train_on,
        validate_on,
        options=job["settings"]["network"],
        settings=job["settings"]["training"],
        prediction=job["prediction"],
        window=job["window"],
        organs=job["organs"],
        seed=job["seed"],
        device=device,
        stamp=name,
        workers=max(1, job["threads"] // 2),
        share=share,
        **options,
    )


def train(
    training: Sequence[Case],
    validation: Sequence[Case],
    *,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    prediction: Mapping[str, Any],
    window: Sequence[float],
    organs: Sequence[str],
    seed: int,
    device: torch.device,
    checkpoint: Path,
    stamp: str,
    workers: int = 1,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    until: int | None = None,
    share: Share = WHOLE,
    logger: logging.Logger,
) -> tuple[nn.Module, dict[str, Any], list[dict[str, float]], dict[str, Any]]:
    """Train a contender, going on from its checkpoint where there is one.

    Args:
        training: cases to train on.
        validation: cases to validate on; may be empty.
        options: the network's entry in the config's `models`, without training settings.
        settings: the config's `training`, with the contender's own settings applied.
        prediction: the config's `prediction`, by which validation cases are predicted. With `weights: best` it shapes
            the weights, so whoever calls has it in the stamp; otherwise it shapes the history alone.
        window: HU that the network sees as -1 and 1.
        organs: names of the organs, in order.
        seed: decides the initial weights and all batches.
        device: where to compute.
        checkpoint: file to leave progress in; whoever knows that the results are safe removes it.
        stamp: of everything that shapes the weights; a checkpoint with another is set aside.
        workers: threads that read batches.
        checkpoint_seconds: time between checkpoints.
        until: stop after this many steps of the schedule.
        share: what of every batch this process computes; the first process alone validates and writes.
        logger: gets a line a moment.

    Returns:
        The trained network; its recipe for `inference.save`; a row a step: step, learning_rate, loss, the validation
        Dice of each organ (NaN between validations) and seconds since the start; and the cost.

    The weights that are kept are those after the last step, or, with `weights: best`, those of the validation with the
    highest mean Dice over organs; with `ema` their exponential moving average (Polyak and Juditsky 1992).

    Raises:
        InputError: the network does not allow an option's value or the patch; or a loss, or a weight that would be
            kept, is no number.
        StoppedError: SIGTERM came; the checkpoint is written.
    """
    precision = devices.precision(settings["precision"], device)
    patch, first = tuple(settings["patch"]), share.rank == 0
    recipe = {
        **design(options, settings, organs),
        "window": list(window),
        "precision": precision,
        "organ_ml": organ_ml(training, organs),
    }
    torch.manual_seed(seed)
    network = build(recipe)
    loss_of = losses.loss(settings["loss"])

    def explain() -> None:
        rehearsal.shapes(build(recipe), partial(supervised, loss_of), recipe, settings["batch_size"])

    with rehearsal.explained(explain):
        size = count(network, recipe["in_channels"], patch)
    learner = make_learner(network, settings, device=device, precision=precision, share=share)
    predictor = predictor_of(learner.kept, recipe, prediction, device)
    specks = removal(prediction, recipe["organ_ml"], organs)
    sampler = sampling.Sampling(
        seed=seed,
        batch_size=settings["batch_size"],
        patch=patch,
        margin=augmentation.margin(patch, settings["augmentation"]),
        context=settings["context"],
        foreground=settings["foreground"],
        middle=settings["slices"] == "middle",
    )
    if not first:
        distributed.barrier()  # the first process decides whether the checkpoint is good
    progress = resume(checkpoint, stamp, learner.states, logger)
    if share.world > 1 and first:
        distributed.barrier()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    steps = min(until or settings["steps"], settings["steps"])
    waiting: list[tuple[int, float, Tensor]] = []  # losses that are still on the device
    started = saved = time.monotonic()
    pace = Pace(steps, "step", done=progress.step)
    before, joules_before = progress.seconds, dict(progress.joules)

    def take_stock() -> None:
        """Bring the waiting losses into the history."""
        progress.seconds = before + time.monotonic() - started
        for counter, joules in meter.joules().items():
            earlier = joules_before[counter]
            progress.joules[counter] = None if joules is None or earlier is None else round(earlier + joules, 3)
        for at, used, value in waiting:
            row = {"step": at + 1, "learning_rate": used, "loss": float(value)}
            progress.rows.append(row | dict.fromkeys((f"dice_{organ}" for organ in organs), float("nan")))
            progress.rows[-1]["seconds"] = round(progress.seconds, 3)
            if not math.isfinite(row["loss"]):
                raise diverged(f"the loss of step {at + 1} of {steps} is {row['loss']}", used, precision)
        waiting.clear()

    def check_weights() -> None:
        if not all_numbers(learner.network) or not all_numbers(learner.kept):
            what = f"the weights after step {progress.step} of {steps} are no numbers any more"
            raise diverged(what, learning_rate(progress.step - 1, settings), precision)

    def leave_progress() -> None:
        """Write a checkpoint: one that training can go on from."""
        take_stock()
        check_weights()
        write_checkpoint(checkpoint, stamp, learner.states, progress)

    def check_for_end() -> None:
        if first and ending():
            leave_progress()
            raise StoppedError(f"told to end after step {progress.step} of {steps}; the next run goes on from there")

    def validate_now() -> str:
        """Validate, and say how it went."""
        found = validate(predictor, validation, organs, specks=specks, between=check_for_end)
        progress.rows[-1].update({f"dice_{organ}": value for organ, value in found.dice.items()})
        progress.validation_due = False
        better = found.mean > progress.best_dice
        if better or settings["weights"] == "last" or progress.best_weights is None:
            progress.only_background = found.only_background
        if better and settings["weights"] == "best":
            progress.best_dice = found.mean
            progress.best_weights = {
                key: value.detach().cpu().clone() for key, value in learner.kept.state_dict().items()
            }
        return "  Dice " + ", ".join(f"{organ} {value:.3f}" for organ, value in found.dice.items())

    with termination() as ending, devices.energy_meter(device) as meter:
        if first and progress.validation_due:
            logger.info(f"step {progress.step}/{steps}{validate_now()}")
        for images, labels in sampling.batches(training, sampler, progress.step, steps, share=share, workers=workers):
            step, rate = progress.step, learning_rate(progress.step, settings)
            inputs, targets = augmentation.augment(
                to_device(images, device),
                to_device(labels, device),
                patch,
                settings["augmentation"],
                window,
                seed=seed,
                step=step,
                share=share,
            )
            clip = settings["gradient_clip"]
            with rehearsal.explained(explain):
                value = learn(learner, loss_of, inputs, targets, rate=rate, clip=clip, precision=precision, share=share)
            if first:
                waiting.append((step, rate, value))
            progress.step += 1
            pace.done = progress.step
            if progress.step == min(FINGERPRINT_STEP, settings["steps"]):
                progress.fingerprint = {"step": progress.step, "sha256": fingerprint(learner.network)}
            now = time.monotonic()
            last = progress.step == steps
            pause = pace.due or now - saved > checkpoint_seconds or due(progress.step, settings)
            if first and (last or pause):
                take_stock()
                message = pace.line(f"loss {progress.rows[-1]['loss']:.4f}", f"learning rate {rate:.2e}")
                progress.validation_due = bool(validation) and (last or due(progress.step, settings))
                if progress.validation_due:
                    message += validate_now()
                logger.info(message)
                if not last and time.monotonic() - saved > checkpoint_seconds:
                    leave_progress()
                    saved = time.monotonic()
            if not last:
                check_for_end()
        take_stock()
    if first:
        check_weights()
    if progress.only_background:
        logger.warning(
            f"warning: the weights predict nothing but background in all {len(validation)} validation cases; before "
            "you compare them, train for more steps, or with another learning_rate or loss, and see that "
            "preprocessing.window and prediction.smallest_part leave something to find"
        )
    if progress.best_weights is not None:
        learner.kept.load_state_dict(progress.best_weights)
    cost = {
        **size,
        "training_seconds": round(progress.seconds, 3),
        "samples_per_second": round(steps * settings["batch_size"] / max(progress.seconds, 1e-9), 3),
        "precision": precision,
        **progress.joules,
        "fingerprint": progress.fingerprint,
        "predicts_only_background": progress.only_background,
        "stamp": stamp,
        **devices.peak_memory(device),
        **devices.describe(device),
    }
    return learner.kept, recipe | size, progress.rows, cost


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


def all_numbers(network: nn.Module) -> bool:
    """Whether all weights and buffers are finite numbers."""
    values = [value for value in network.state_dict().values() if value.is_floating_point()]
    return all(bool(torch.isfinite(value).all()) for value in values)


def design(options: Mapping[str, Any], settings: Mapping[str, Any], organs: Sequence[str]) -> dict[str, Any]:
    """The part of a recipe that is known before any case is: what the network looks like and what it is fed.

    Args:
        options: the network's entry in the config's `models`, without training settings.
        settings: the config's `training`, with the contender's own settings applied.
        organs: names of the organs, in order.
    """
    return {
        "network": dict(options),
        "in_channels": 2 * settings["context"] + 1,
        "classes": len(organs) + 1,
        "norm": settings["norm"],
        "deep_supervision": settings["deep_supervision"],
        "patch": list(settings["patch"]),
        "context": settings["context"],
        "organs": list(organs),
    }


def build(recipe: Mapping[str, Any]) -> nn.Module:
    """Build the network of a recipe, and see that it takes the patch.

    Raises:
        InputError: an option has a value that the network does not allow, or the patch cannot be halved as often as the
            network does.
    """
    try:
        network = networks.build(
            recipe["network"],
            in_channels=recipe["in_channels"],
            classes=recipe["classes"],
            norm=recipe["norm"],
            deep_supervision=recipe["deep_supervision"],
        )
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"config, models: {dict(recipe['network'])}: {error}") from None
    divisor = int(network.divisor)  # type: ignore[arg-type]
    if any(length % divisor for length in recipe["patch"]):
        raise InputError(
            f"config, training.patch: {recipe['patch']} must be divisible by {divisor} for {dict(recipe['network'])}"
        )
    return network


def rehearse(options: Mapping[str, Any], settings: Mapping[str, Any], organs: Sequence[str]) -> dict[str, float | int]:
    """Take a study's first training step before hours are spent on it; on the CPU, in a moment and in little memory.

    The shapes are the study's own. A step on random values follows, on fewer or smaller crops where the study's own are
    too much for a small machine; it shows whether norm, loss, optimizer and precision go together. See `rehearsal`.

    Args:
        options: the network's entry in the config's `models`, without training settings.
        settings: the config's `training`, with the contender's own settings applied.
        organs: names of the organs, in order.

    Returns:
        What `count` says of the network.

    Raises:
        InputError: the network does not allow an option's value or the patch, or the step fails.
    """
    recipe = design(options, settings, organs)
    network = build(recipe)
    loss_of = losses.loss(settings["loss"])
    size = rehearsal.affordable(network, partial(supervised, loss_of), recipe, settings["batch_size"])
    if size is not None:
        step_on_random_crops(network, loss_of, *size, settings)
    return count(network, recipe["in_channels"], recipe["patch"])


def step_on_random_crops(
    network: nn.Module, loss_of: losses.Loss, recipe: Mapping[str, Any], batch_size: int, settings: Mapping[str, Any]
) -> None:
    """Take one step of gradient descent on the CPU, on random images and labels.

    Raises:
        InputError: it fails, or the loss or the weights are no numbers afterwards.
    """
    cpu, wanted = torch.device("cpu"), settings["precision"]
    precision = devices.precision("auto" if wanted == "fp16" else wanted, cpu)  # which needs the GPU that trains
    with torch.random.fork_rng(devices=[]), rehearsal.refusing(recipe, batch_size):
        learner = make_learner(network, {**settings, "compile": False}, device=cpu, precision=precision, share=WHOLE)
        loss = learn(
            learner,
            loss_of,
            2 * torch.rand(batch_size, recipe["in_channels"], *recipe["patch"]) - 1,
            torch.randint(recipe["classes"], (batch_size, *recipe["patch"])),
            rate=learning_rate(0, settings),
            clip=settings["gradient_clip"],
            precision=precision,
            share=WHOLE,
        )
        if not math.isfinite(loss):
            raise ValueError(f"the loss of a first step on random images is {float(loss)}")
        if not all_numbers(learner.network):
            raise ValueError("the weights are no numbers after a first step on random images")


def fingerprint(network: nn.Module) -> str:
    """A hash of all weights and buffers, to the last bit."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def supervised(loss_of: losses.Loss, logits: Tensor | Sequence[Tensor], labels: Tensor) -> Tensor:
    """The loss of a network's logits; of several sizes the mean, each size with half the weight of the one before.

    Args:
        loss_of: a loss of logits (batch, class, [z,] y, x) and labels (batch, [z,] y, x).
        logits: one, or the full size and coarser ones (deep supervision, weighted as in nnU-Net).
        labels: of the full size; coarser ones take every second, fourth, ... voxel.
    """
    if isinstance(logits, Tensor):
        return loss_of(logits, labels)
    total, weights = torch.zeros((), device=labels.device), 0.0
    for level, part in enumerate(logits):
        steps = [slice(None, None, full // n) for full, n in zip(labels.shape[1:], part.shape[2:], strict=True)]
        total = total + loss_of(part, labels[:, *steps]) / 2**level
        weights += 1 / 2**level
    return total / weights


def organ_ml(cases: Sequence[Case], organs: Sequence[str]) -> list[float]:
    """Each organ's usual volume in ml: the median over the cases that show it, 0 where none does."""
    counts = [list(case.info["original_voxels"].values()) for case in cases]  # by position: names may be new
    volumes = [
        [count[k] * case.original.voxel_ml for count, case in zip(counts, cases, strict=True)]
        for k in range(len(organs))
    ]
    return [float(np.median([v for v in values if v > 0] or [0.0])) for values in volumes]


def due(step: int, settings: Mapping[str, Any]) -> bool:
    """Whether to validate after this many steps."""
    return step % settings["validate_every"] == 0


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """An array on the device; to a GPU through pinned memory, without waiting."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def validate(
    predictor: Predictor | Ensemble,
    cases: Sequence[Case],
    organs: Sequence[str],
    *,
    specks: Mapping[str, Any] = MappingProxyType({}),
    between: Callable[[], None] = lambda: None,
) -> Validation:
    """Predict validation cases as test cases are predicted, and score them on the working grid, the one of `label.npy`.

    Args:
        predictor: as the study predicts.
        cases: the validation cases.
        organs: names of the organs, in order.
        specks: which parts of a prediction go, from `inference.removal`.
        between: called every few slices.
    """
    tables = []
    for number, case in enumerate(cases, start=1):
        predicted = predict_case(
            predictor,
            case,
            **specks,
            grid=case.working,
            what=f"validation case {number}/{len(cases)}, slice",
            between=between,
        )
        tables.append(
            overlaps.overlap(np.asarray(case.label), predicted, organs=organs, voxel_ml=case.working.voxel_ml)
        )
    scores = pd.concat(tables)
    return Validation(
        dice={organ: mean_of(scores["dice"][scores["organ"] == organ].tolist()) for organ in organs},
        only_background=bool(scores["reference_ml"].any() and not scores["predicted_ml"].any()),
    )


def mean_of(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; NaN where none is."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")


def count(network: nn.Module, in_channels: int, patch: Sequence[int]) -> dict[str, float | int]:
    """Parameters, and multiply-adds of one forward pass a voxel (torch's FlopCounterMode counts two FLOPs for each)."""
    shapes = copy.deepcopy(network).to("meta").eval()  # computes shapes only: no time, no memory
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(torch.zeros(1, in_channels, *patch, device="meta"))
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "multiply_adds_per_voxel": round(counter.get_total_flops() / 2 / float(np.prod(patch)), 1),
    }


def write_checkpoint(path: Path, stamp: str, states: Mapping[str, Any], progress: Progress) -> None:
    """Write all that training needs to go on; whole or not at all.

    Args:
        path: the checkpoint's file.
        stamp: of everything that shapes the weights.
        states: what has a `state_dict`, by name.
        progress: the rest.
    """
    content = {name: part.state_dict() for name, part in states.items()}
    buffer = io.BytesIO()
    torch.save({**content, "stamp": stamp, "progress": vars(progress)}, buffer)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def resume(path: Path, stamp: str, states: Mapping[str, Any], logger: logging.Logger) -> Progress:
    """Load a checkpoint into `states`; one that is damaged or of another training is set aside."""
    if not path.exists():
        return Progress()
    try:
        content = read_archive(path)
        reason = None if content["stamp"] == stamp else "it is of another configuration, data or code"
    except (OSError, MemoryError):
        raise  # it may be a good one
    except Exception as error:
        reason = f"it cannot be read ({type(error).__name__})"
    if reason:
        aside = path.with_name(f"{path.name}.set-aside")
        path.replace(aside)
        logger.warning("%s: set aside as %s, because %s; training starts anew", path, aside.name, reason)
        return Progress()
    for name, part in states.items():
        part.load_state_dict(content[name])
    progress = Progress(**content["progress"])
    logger.info("resumed at step %d, from %s", progress.step, path)
    return progress
