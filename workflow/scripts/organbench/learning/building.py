"""A network for a study: made from its settings, counted, and told from others by its weights."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from organbench.core.errors import InputError
from organbench.inference.weights import Design
from organbench.learning.settings import Training


def design(network: Mapping[str, Any], settings: Training, organs: Sequence[str]) -> Design:
    """What a network looks like and what it is fed.

    Args:
        network: its entry in the config's `models`, without training settings.
        settings: how it is trained.
        organs: names of the organs, in order.
    """
    return Design(
        network=dict(network),
        in_channels=2 * settings.context + 1,
        classes=len(organs) + 1,
        norm=settings.norm,
        deep_supervision=settings.deep_supervision,
        patch=settings.patch,
        context=settings.context,
        organs=tuple(organs),
    )


def build(design: Design) -> nn.Module:
    """Build a network, and see that it takes the patch.

    Raises:
        InputError: an option has a value that the network does not allow, or the patch cannot be halved as often as the
            network does.
    """
    try:
        network = design.build()
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"config, models: {dict(design.network)}: {error}") from None
    divisor = divisor_of(network)
    if any(length % divisor for length in design.patch):
        raise InputError(
            f"config, training.patch: {list(design.patch)} must be divisible by {divisor} for {dict(design.network)}"
        )
    return network


def divisor_of(network: nn.Module) -> int:
    """The number by which every spatial size of a network's image must be divisible."""
    return int(network.divisor)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Size:
    """How large a network is.

    Attributes:
        parameters: how many it has.
        multiply_adds_per_voxel: of a forward pass.
    """

    parameters: int
    multiply_adds_per_voxel: float


def count(network: nn.Module, in_channels: int, patch: Sequence[int]) -> Size:
    """The size of a network that sees a patch ([z] y x); of torch's FLOPs two are a multiply-add."""
    shapes = copy.deepcopy(network).to("meta").eval()  # computes shapes only: no time, no memory
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(torch.zeros(1, in_channels, *patch, device="meta"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Size(parameters, round(counter.get_total_flops() / 2 / float(np.prod(patch)), 1))


def fingerprint(network: nn.Module) -> str:
    """A hash of all weights and buffers, to the last bit."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def all_numbers(network: nn.Module) -> bool:
    """Whether all weights and buffers are finite numbers."""
    values = [value for value in network.state_dict().values() if value.is_floating_point()]
    return all(bool(torch.isfinite(value).all()) for value in values)
