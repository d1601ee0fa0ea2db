"""How weights change: the learning rate, the optimizer, and one step of gradient descent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from organbench.core.errors import InputError
from organbench.hardware import devices
from organbench.learning import choices, losses
from organbench.learning.sampling import Shard
from organbench.learning.settings import Training


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
        loss_of: the loss.
        clip: largest norm of all gradients together.
        precision: `fp32`, `bf16` or `fp16`.
        shard: what of every batch this process computes.
    """

    network: nn.Module
    computed: Callable[[Tensor], Tensor | list[Tensor]]
    kept: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    averaged: AveragedModel | None
    loss_of: losses.Loss
    clip: float
    precision: str
    shard: Shard

    @property
    def states(self) -> dict[str, Any]:
        """What has a state that a checkpoint holds, by name."""
        parts = {name: getattr(self, name) for name in ("network", "optimizer", "scaler", "averaged")}
        return {name: part for name, part in parts.items() if part is not None}


def make_learner(
    network: nn.Module, settings: Training, *, device: torch.device, precision: str, shard: Shard
) -> Learner:
    """All that a training changes, for a network that was just built.

    Args:
        network: with its first weights, on the CPU.
        settings: how it is trained.
        device: where to compute.
        precision: `fp32`, `bf16` or `fp16`.
        shard: what of every batch this process computes.

    Raises:
        InputError: a setting does not allow several processes.
    """
    cuda = device.type == "cuda"
    if settings.batch_size % shard.world:
        raise InputError(
            f"config, training.batch_size: {settings.batch_size} is not a multiple of the {shard.world} devices"
        )
    if shard.world > 1 and settings.norm == "batch":
        if not cuda:
            raise InputError(
                "config, training.norm: batch norm over several processes needs GPUs; use instance or group"
            )
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # statistics of the whole batch; the same weights
    network = devices.place(network, device, len(settings.patch)).train()
    averaged = None
    if settings.ema:
        averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema), use_buffers=True)
    computed: Callable[[Tensor], Tensor | list[Tensor]] = network
    if shard.world > 1:
        computed = DistributedDataParallel(network, device_ids=[device] if cuda else None)
    return Learner(
        network=network,
        computed=torch.compile(computed) if settings.compile else computed,
        kept=averaged.module if averaged else network,
        optimizer=make_optimizer(network, settings),
        scaler=torch.amp.GradScaler(device.type, enabled=precision == "fp16"),
        averaged=averaged,
        loss_of=losses.loss(settings.loss),
        clip=settings.gradient_clip,
        precision=precision,
        shard=shard,
    )


def make_optimizer(network: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """The study's optimizer."""
    make: Callable[..., torch.optim.Optimizer] = choices.load("optimizer", settings.optimizer)
    return make(network.parameters(), settings.learning_rate, settings.weight_decay)


def learning_rate(step: int, settings: Training) -> float:
    """The learning rate of a step (from 0): a linear warm-up, then what the schedule says."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    schedule: Callable[[float], float] = choices.load("schedule", settings.schedule)
    return settings.learning_rate * schedule(done)


def learn(learner: Learner, images: Tensor, labels: Tensor, rate: float) -> Tensor:
    """Take one step of gradient descent.

    Args:
        learner: what learns.
        images: what the network sees (batch, channel, [z,] y, x).
        labels: organ indices, int64 (batch, [z,] y, x).
        rate: the learning rate.

    Returns:
        The loss of the whole batch, which may still be under way on the device.
    """
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    learner.optimizer.zero_grad(set_to_none=True)
    with devices.autocast(images.device, learner.precision):
        logits = learner.computed(images.contiguous(memory_format=devices.memory_format(images.dim() - 2)))
    loss = supervised(learner.loss_of, logits, labels)
    learner.scaler.scale(loss).backward()
    learner.scaler.unscale_(learner.optimizer)
    nn.utils.clip_grad_norm_(learner.network.parameters(), learner.clip)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.averaged:
        learner.averaged.update_parameters(learner.network)
    value = loss.detach()
    if learner.shard.world > 1:
        distributed.all_reduce(value)
        value = value / learner.shard.world
    return value


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
