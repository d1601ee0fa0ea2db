"""A training step before hours are spent on one: does it work, and what does it need?

It is done on torch's device `meta`, which knows the shapes of tensors and holds no values. So a step of any size takes
a moment and no memory, and what depends on shapes fails as it would in training: layers that do not fit each other, a
normalisation of a single value.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from organbench.core.errors import InputError
from organbench.core.jobs import LOGGER
from organbench.core.outside import is_outside
from organbench.hardware import devices
from organbench.inference.weights import Design
from organbench.learning import building, choices, inspection, optimisation
from organbench.learning.settings import Training

MOST_BYTES = 1 << 30  # that a real step on a small node may keep for its backward pass
EDGE = 32  # voxels of a small patch, at least, where nothing is known of a step
MOST_MULTIPLY_ADDS = 3e11  # of a real step: some ten seconds of one core

Logits = Tensor | Sequence[Tensor]


@dataclass(frozen=True)
class Rehearsed(building.Size):
    """What a rehearsal has shown.

    Attributes:
        notes: what is to be known of the network before it trains, in a line; empty where nothing is.
    """

    notes: str


@dataclass(frozen=True)
class Need:
    """What a training step needs.

    Attributes:
        stored_bytes: of float32 tensors that the forward pass keeps for the backward pass, weights among them.
        multiply_adds: of both passes.
    """

    stored_bytes: int
    multiply_adds: int

    @property
    def small(self) -> bool:
        """Whether any machine can take the step in a moment."""
        return self.stored_bytes < MOST_BYTES and self.multiply_adds < MOST_MULTIPLY_ADDS


def rehearse(network: Mapping[str, Any], settings: Training, organs: Sequence[str]) -> Rehearsed:
    """Take a study's first training step before hours are spent on it; on the CPU, in a moment and in little memory.

    The shapes are the study's own. A step on random values follows, on fewer or smaller crops where the study's own are
    too much for a small machine; it shows whether norm, loss, optimizer and precision go together.

    Args:
        network: its entry in the config's `models`, without training settings.
        settings: how it is trained.
        organs: names of the organs, in order.

    Returns:
        How large the network is, and what is to be told of it.

    Raises:
        InputError: the network does not allow an option's value or the patch, or the step fails.
    """
    design = building.design(network, settings, organs)
    built = building.build(design)
    outside, notes = is_outside(network["network"]), []
    if outside:
        notes = [find_divisor(built, design)]
    part = affordable(built, design, settings)
    if part is not None:
        step_on_random_crops(built, *part)
    if outside:
        notes += inspection.notes(built, design, stepped=part is not None)
    if part is None:
        notes.append("no step was taken on values: too large for this check")
    elif part[0].patch != design.patch:
        notes.append(f"a step on values was taken on {times(part[0].patch)} voxels only")
    size = building.count(built, design.in_channels, design.patch)
    return Rehearsed(**vars(size), notes="; ".join(note for note in notes if note))


def find_divisor(network: nn.Module, design: Design) -> str:
    """Find by what sizes must be divisible, where an imported network does not say, and check the patch; a note.

    Raises:
        InputError: the patch is not divisible by it.
    """
    if isinstance(getattr(network, "divisor", None), int):
        return ""
    divisor = inspection.divisor(network, design)
    if divisor is None:
        return "takes no image of another size than the patch, or none at all"
    building.check_patch(design, divisor)
    network.divisor = divisor  # type: ignore[assignment]
    return f"sizes must be divisible by {divisor}" if divisor > 1 else ""


def step_on_random_crops(network: nn.Module, design: Design, settings: Training) -> None:
    """Take one step of gradient descent on the CPU, on random images and labels.

    Raises:
        InputError: it fails, or the loss or the weights are no numbers afterwards.
    """
    cpu, wanted = torch.device("cpu"), settings.precision
    precision = devices.precision("auto" if wanted == "fp16" else wanted, cpu)  # which needs the GPU that trains
    with torch.random.fork_rng(devices=[]), refusing(design, settings.batch_size):
        learner = optimisation.Learner(network, replace(settings, compile=False), device=cpu, precision=precision)
        images = 2 * torch.rand(settings.batch_size, design.in_channels, *design.patch) - 1
        labels = torch.randint(design.classes, (settings.batch_size, *design.patch))
        loss = learner.learn(images, labels, step=0)
        if not math.isfinite(loss):
            raise ValueError(f"the loss of a first step on random images is {float(loss)}")
        if not building.all_numbers(learner.network):
            raise ValueError("the weights are no numbers after a first step on random images")


def shapes(network: nn.Module, design: Design, settings: Training) -> Need | None:
    """Take a training step, and predict a window, without values.

    Args:
        network: with its weights; stays as it is, and so does torch's global random state.
        design: of the network.
        settings: how it is trained.

    Returns:
        What the step needs; None where the network does what only values allow, so that nothing is known.

    Raises:
        InputError: the step fails, or the logits are not of the crops' size; one line says what to change.
    """
    actor = copy.deepcopy(network).to("meta").train()
    batch_size, loss_of = settings.batch_size, choices.load("loss", settings.loss)
    images = torch.zeros((batch_size, design.in_channels, *design.patch), device="meta")
    labels = torch.zeros((batch_size, *design.patch), dtype=torch.int64, device="meta")
    stored: dict[int, Tensor] = {}  # by the identity of their storage; held, so that none is given again

    def keep(tensor: Tensor) -> Tensor:
        stored.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    counter = FlopCounterMode(display=False)
    try:
        with torch.random.fork_rng(devices=[]), refusing(design, batch_size):
            with saved_tensors_hooks(keep, lambda tensor: tensor), counter:
                logits = actor(images)
                check_logits(logits, (batch_size, design.classes, *design.patch))
                optimisation.supervised(loss_of, logits, labels).backward()
            with torch.no_grad(), refusing(design, 1, "window"):
                actor.eval()(images[:1])
    except UnknownShapesError as error:
        LOGGER.info("%s: known only once there are values (%s)", design.network, error)
        return None
    held = sum(tensor.untyped_storage().nbytes() for tensor in stored.values())
    return Need(held, counter.get_total_flops() // 2)


def affordable(network: nn.Module, design: Design, settings: Training) -> tuple[Design, Training] | None:
    """What a small machine can take a real step on, as much like the study's own as possible.

    Args:
        network: with its attribute `divisor`.
        design: of the network.
        settings: how it is trained.

    Returns:
        The design, with a smaller patch where need be, and the settings, with fewer crops; None where even few small
        crops are too much.

    Raises:
        InputError: the study's own step fails.
    """
    need = shapes(network, design, settings)
    if need and need.small:
        return design, settings
    few, divisor = replace(settings, batch_size=min(settings.batch_size, 2)), building.divisor_of(network)
    edge = 2 * divisor if need else divisor * max(2, -(-EDGE // divisor))
    small = replace(design, patch=tuple(min(length, edge) for length in design.patch))
    unknown = small if hasattr(network, "divisor") else design  # what is made for its patch takes no other
    for part in (design, small) if need else (unknown,):
        try:
            need = shapes(network, part, few)
        except InputError:
            continue  # it is made for its own patch
        if need is None or need.small:
            return part, few
    return None


@contextmanager
def explained(design: Design, settings: Training) -> Iterator[None]:
    """Ask, where the block fails, whether the study's shapes are at fault; if they are not, its own error goes on.

    Raises:
        InputError: they are, as `shapes` says.
    """
    try:
        yield
    except (InputError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:
        shapes(building.build(design), design, settings)
        raise


class UnknownShapesError(Exception):
    """A network asks for values on a device that has none."""


def check_logits(logits: Logits, size: Sequence[int]) -> None:
    """Check the size (batch, class, [z,] y, x) of a network's logits, of several those of the first.

    Raises:
        ValueError: it is another.
    """
    found = tuple((logits if isinstance(logits, Tensor) else logits[0]).shape)
    if found != tuple(size):
        raise ValueError(f"the network gives logits of {times(found)}, not {times(size)} (batch, class, voxels)")


@contextmanager
def refusing(design: Design, batch_size: int, what: str = "crop") -> Iterator[None]:
    """Say in one line what is wrong with a study whose step fails within the block, and what to do.

    Raises:
        InputError: the step fails for its shapes.
        UnknownShapesError: values are needed.
    """
    try:
        yield
    except (InputError, MemoryError, torch.OutOfMemoryError):
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        if building.asks_for_values(error):
            raise UnknownShapesError(reason) from None
        if "allocate memory" in reason or "CUDA" in reason:
            raise  # no fault of the study's shapes
        raise InputError(refusal(reason, design, batch_size, what)) from None


def refusal(reason: str, design: Design, batch_size: int, what: str) -> str:
    """What is wrong, by what torch says of it, and which key of the config to change."""
    number = "a single window" if what == "window" else f"a batch of {batch_size} {what}{'s' * (batch_size > 1)}"
    batch = f"{number} of {times(design.patch)} voxels"
    otherwise = "or let the network's features have fewer levels"
    if "more than 1 spatial element" in reason or ("more than 1 value per channel" in reason and what == "window"):
        return (
            f"config, training.patch: {batch} leaves a single voxel at the network's coarsest level, which its norm "
            f"cannot work on ({reason}); enlarge it, {otherwise}, or choose another training.norm"
        )
    if "more than 1 value per channel" in reason:
        return (
            f"config, training.batch_size: {batch} leaves a single value per channel at the network's coarsest level, "
            f"which its norm cannot work on ({reason}); raise it, enlarge training.patch, {otherwise}"
        )
    return (
        f"config, models: {dict(design.network)}: a step on {batch} fails: {reason}; "
        "correct the network or its options, or training.patch"
    )


def times(size: Sequence[int]) -> str:
    """A size as a person writes it: `2 x 3`."""
    return " x ".join(map(str, size))
