"""A network for a study: made from its settings, counted, and told from others by its weights."""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from organbench.core.errors import InputError, suggestion
from organbench.inference.weights import Design
from organbench.learning import pretrained
from organbench.learning.settings import Training
from organbench.networks import UnknownOptionError

OWN = ("dims", "map", "divisor")  # what an entry may say of an imported network beside its options


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


def build(design: Design, begin: Callable[[nn.Module], None] | None = None) -> nn.Module:
    """Build a network, with the weights that it starts from where there are any, and see that it takes the patch.

    Args:
        design: of the network.
        begin: changes the first weights before any that are given replace them.

    Raises:
        InputError: an option is unknown or has a value that the network does not allow, the weights do not fit, or the
            patch cannot be halved as often as the network does.
    """
    try:
        network = design.build()
    except UnknownOptionError as error:
        training = [field.name for field in fields(Training)]
        hint = suggestion(error.option, [*training, *error.known, *OWN], f"it takes {', '.join(error.known)}")
        raise InputError(
            f"config, models: {error.option} is no training setting, and {design.network['network']} takes no such "
            f"option; {hint}"
        ) from None
    except InputError:
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"config, models: {dict(design.network)}: {reason}") from None
    if begin is not None:
        begin(network)
    if "pretrained" in design.network:
        pretrained.start_from(network, **design.network["pretrained"])
    check_patch(design, divisor_of(network))
    return network


def check_patch(design: Design, divisor: int) -> None:
    """Check that a network can halve the patch as often as it does.

    Raises:
        InputError: it cannot.
    """
    if any(length % divisor for length in design.patch):
        near = [max(divisor, round(length / divisor) * divisor) for length in design.patch]
        raise InputError(
            f"config, training.patch: {list(design.patch)} must be divisible by {divisor} for {dict(design.network)}; "
            f"give {near}"
        )


def divisor_of(network: nn.Module) -> int:
    """The number by which every spatial size of a network's image must be divisible; 1 where it does not say."""
    found = getattr(network, "divisor", 1)
    return found if isinstance(found, int) else 1


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
    try:  # computes shapes only: no time, no memory
        flops = _flops(copy.deepcopy(network).to("meta"), torch.zeros(1, in_channels, *patch, device="meta"))
    except (NotImplementedError, RuntimeError) as error:
        if not asks_for_values(error):
            raise
        flops = _flops(copy.deepcopy(network), torch.zeros(1, in_channels, *patch))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Size(parameters, round(flops / 2 / float(np.prod(patch)), 1))


def _flops(network: nn.Module, image: Tensor) -> int:
    """Torch's FLOPs of a forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.random.fork_rng(devices=[]):
        network.eval()(image)
    return int(counter.get_total_flops())


def asks_for_values(error: Exception) -> bool:
    """Whether a network failed on the device `meta` because that has no values, and not for its shapes."""
    reason = str(error)
    mixed = "meta" in reason and "device" in reason  # of what the network makes on the CPU
    return isinstance(error, NotImplementedError) or "meta tensor" in reason or mixed


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
