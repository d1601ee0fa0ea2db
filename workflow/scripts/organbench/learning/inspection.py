"""What has to be known of a network of another package before it trains: a line each.

It is looked at as it computes, and not only as it is built: what layers are called says little of what forward does.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from organbench.inference.weights import Design
from organbench.learning.building import asks_for_values

DIVISORS = (1, 2, 4, 8, 16, 32, 64)

NOT_REPEATING = {
    "avg_pool3d": "AvgPool3d",
    "_adaptive_avg_pool2d": "AdaptiveAvgPool2d",
    "_adaptive_avg_pool3d": "AdaptiveAvgPool3d",
    "adaptive_max_pool2d": "AdaptiveMaxPool2d",
    "adaptive_max_pool3d": "AdaptiveMaxPool3d",
    "upsample_linear1d": "linear interpolation",
    "upsample_bicubic2d": "bicubic interpolation",
    "reflection_pad2d": "reflection padding",
    "reflection_pad3d": "reflection padding",
    "grid_sampler_2d": "grid_sample",
    "grid_sampler_3d": "grid_sample",
}
"""Operations whose backward pass torch 2.13 has no deterministic version of on CUDA, and what people call them."""

SLOWLY = {
    "max_pool3d_with_indices": "MaxPool3d",
    "upsample_bilinear2d": "bilinear interpolation",
    "upsample_trilinear3d": "trilinear interpolation",
    "replication_pad2d": "replication padding",
    "replication_pad3d": "replication padding",
}
"""Operations that torch 2.13 makes of slow ones on CUDA where it has to be deterministic, as here it always has."""

NORMS: dict[str, type | tuple[type, ...]] = {
    "batch": (nn.modules.batchnorm._BatchNorm,),
    "instance": (nn.modules.instancenorm._InstanceNorm,),
    "group": (nn.GroupNorm,),
}
OTHER_NORMS = (*(kind for kinds in NORMS.values() for kind in kinds), nn.LayerNorm)  # type: ignore[union-attr]


class Operations(TorchDispatchMode):
    """Notes which of torch's operations are computed within its `with` block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute, and note the name."""
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@contextmanager
def as_written() -> Iterator[None]:
    """Have torch compute layers as they are, and not as others that are deterministic."""
    was, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warns)


def notes(network: nn.Module, design: Design, *, stepped: bool) -> list[str]:
    """What is to be told of an imported network.

    Args:
        network: after a training step, whose gradients it still holds.
        design: of the network.
        stepped: whether there was one.
    """
    found = [_outputs(network, design), _norms(network, design.norm), _left_out(network) if stepped else ""]
    return [line for line in found if line]


def _outputs(network: nn.Module, design: Design) -> str:
    """Several outputs, and operations that do not repeat."""
    raw, operations = forward(network, design)
    told = []
    if raw is None:
        return "could not be looked at without values"
    dims = design.network.get("dims", 2)
    if not isinstance(raw, Tensor) or raw.ndim == dims + 3:
        number = raw.shape[1] if isinstance(raw, Tensor) else len(raw)
        used = "all are supervised, and the first predicts" if design.deep_supervision else "the first is used"
        told.append(f"gives {number} output{'s' * (number > 1)} in a {type(raw).__name__}: {used}")
    for kinds, meaning in (
        (NOT_REPEATING, "does not repeat to the last bit on CUDA"),
        (SLOWLY, "slow on CUDA, to repeat"),
    ):
        if met := sorted({kinds[name] for name in operations & kinds.keys()}):
            told.append(f"{meaning} ({', '.join(met)})")
    return "; ".join(told)


def forward(network: nn.Module, design: Design) -> tuple[Any, set[str]]:
    """What a network gives in training, as it is, and which operations it computes; (None, none) where that fails."""
    for device in ("meta", "cpu"):
        actor = copy.deepcopy(network).to(device).train()
        image = torch.zeros((2, design.in_channels, *design.patch), device=device)
        try:
            with as_written(), Operations() as operations, torch.random.fork_rng(devices=[]):
                return actor.forward(image), operations.names  # past the hook that chooses among outputs
        except Exception as error:
            if not asks_for_values(error):
                break
    return None, set()


def _norms(network: nn.Module, norm: str) -> str:
    """Norms that are not the study's."""
    layers = [layer for layer in network.modules() if isinstance(layer, OTHER_NORMS)]
    others = Counter(type(layer).__name__ for layer in layers if not isinstance(layer, NORMS[norm]))
    if not others:
        return "" if layers else f"has no norm layers, so training.norm ({norm}) changes nothing"
    kinds = ", ".join(f"{number} {kind}" for kind, number in others.items())
    return f"does not follow training.norm ({norm}): {kinds}"


def _left_out(network: nn.Module) -> str:
    """Parameters that learn nothing."""
    idle = [name for name, value in network.named_parameters() if value.requires_grad and value.grad is None]
    first = f", the first is {idle[0]}" if idle else ""
    return f"{len(idle)} parameters get no gradient{first}" if idle else ""


def divisor(network: nn.Module, design: Design) -> int | None:
    """The least power of two by which sizes must be divisible, as forward passes without values show.

    Where values are needed, forward passes of small images.

    Returns:
        None where no size works, as of a network that is made for one size.
    """
    actor, device = copy.deepcopy(network).to("meta").eval(), "meta"
    for number in DIVISORS:
        for _ in range(2):
            try:
                fits = _takes(actor, design, sizes(number, len(design.patch), small=device == "cpu"), device)
            except Exception as error:
                if device == "meta" and asks_for_values(error):
                    actor, device = copy.deepcopy(network).eval(), "cpu"
                    continue
                fits = False
            if fits:
                return number
            break
    return None


def sizes(number: int, dims: int, *, small: bool) -> list[int]:
    """A size that a number divides along each axis, and twice the number does not along the first."""
    if small:
        return [3 * number, *[2 * number] * (dims - 1)]
    return [number * max(3, 96 // number // 2 * 2 + 1)] * dims


def _takes(network: nn.Module, design: Design, size: Sequence[int], device: str) -> bool:
    """Whether logits are of an image's size."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        logits = network(torch.zeros((1, design.in_channels, *size), device=device))
    return tuple(logits.shape) == (1, design.classes, *size)
