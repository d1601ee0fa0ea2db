"""How weights change: the learning rate, the optimizer, and one step of gradient descent."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from organbench.core.errors import InputError
from organbench.hardware import devices
from organbench.learning import choices
from organbench.learning.losses._marginal import merged
from organbench.learning.sampling import WHOLE, Shard
from organbench.learning.settings import Training

Loss = Callable[[Tensor, Tensor], Tensor]


class Learner:
    """A network and what changes its weights.

    Args:
        network: with its first weights, on the CPU.
        settings: how it is trained.
        device: where to compute.
        precision: `fp32`, `bf16` or `fp16`.
        shard: what of every batch this process computes.

    Attributes:
        network: what is trained, on its device.
        computed: the network as it is called: over several processes, compiled.
        averaged: the moving average of its weights, if one is wanted.
        kept: whose weights are validated and kept: the network, or the moving average.

    Raises:
        InputError: a setting does not allow several processes.
    """

    def __init__(
        self, network: nn.Module, settings: Training, *, device: torch.device, precision: str, shard: Shard = WHOLE
    ) -> None:
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
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # statistics of the whole batch; same weights
        self.settings, self.precision, self.shard = settings, precision, shard
        self.network = devices.place(network, device, len(settings.patch)).train()
        self.averaged = None
        if settings.ema:
            update = get_ema_multi_avg_fn(settings.ema)
            self.averaged = AveragedModel(self.network, multi_avg_fn=update, use_buffers=True)
        self.kept = self.averaged.module if self.averaged else self.network
        self.computed: Callable[[Tensor], Tensor | list[Tensor]] = self.network
        if shard.world > 1:
            self.computed = DistributedDataParallel(
                self.network,
                device_ids=[device] if cuda else None,
                find_unused_parameters=getattr(network, "may_leave_out", False),
            )
        if settings.compile:
            self.computed = torch.compile(self.computed)
        make_optimizer = choices.load("optimizer", settings.optimizer)
        self.optimizer = make_optimizer(self.network.parameters(), settings.learning_rate, settings.weight_decay)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.loss_of: Loss = choices.load("loss", settings.loss)

    @property
    def states(self) -> dict[str, Any]:
        """What has a state that a checkpoint holds, by name."""
        parts = {name: getattr(self, name) for name in ("network", "optimizer", "scaler", "averaged")}
        return {name: part for name, part in parts.items() if part is not None}

    def learn(self, images: Tensor, labels: Tensor, step: int, unannotated: Tensor | None = None) -> Tensor:
        """Take one step of gradient descent.

        Args:
            images: what the network sees (batch, channel, [z,] y, x).
            labels: organ indices, int64 (batch, [z,] y, x).
            step: from 0; the learning rate depends on it.
            unannotated: which classes were not annotated in each image (batch, class), bool; None: all were.

        Returns:
            The loss of the whole batch, which may still be under way on the device.
        """
        rate = learning_rate(step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with devices.autocast(images.device, self.precision):
            logits = self.computed(images.contiguous(memory_format=devices.memory_format(images.dim() - 2)))
        loss = supervised(self.loss_of, logits, labels, unannotated)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.averaged:
            self.averaged.update_parameters(self.network)
        value = loss.detach()
        if self.shard.world > 1:
            distributed.all_reduce(value)
            value = value / self.shard.world
        return value


def learning_rate(step: int, settings: Training) -> float:
    """The learning rate of a step (from 0): a linear warm-up, then what the schedule says."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * float(choices.load("schedule", settings.schedule)(done))


def supervised(
    loss_of: Loss, logits: Tensor | Sequence[Tensor], labels: Tensor, unannotated: Tensor | None = None
) -> Tensor:
    """The loss of a network's logits; of several sizes the mean, each size with half the weight of the one before.

    Args:
        loss_of: a loss of logits (batch, class, [z,] y, x) and labels (batch, [z,] y, x).
        logits: one, or the full size and coarser ones (deep supervision, weighted as in nnU-Net).
        labels: of the full size; coarser ones take every second, fourth, ... voxel.
        unannotated: which classes were not annotated in each image (batch, class), bool; they are part of the
            background there, see `losses._marginal`. None: all were annotated.
    """
    if isinstance(logits, Tensor):
        return loss_of(logits if unannotated is None else merged(logits, unannotated), labels)
    total, weights = torch.zeros((), device=labels.device), 0.0
    for level, part in enumerate(logits):
        steps = [slice(None, None, full // n) for full, n in zip(labels.shape[1:], part.shape[2:], strict=True)]
        total = total + supervised(loss_of, part, labels[:, *steps], unannotated) / 2**level
        weights += 1 / 2**level
    return total / weights
