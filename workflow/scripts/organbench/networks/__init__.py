"""The networks: one file each, found by its name; or any `nn.Module`, see `imported`.

A network file defines a class `Network`, a plain `nn.Module` whose constructor takes keyword arguments only:

- `in_channels`, `classes` and `norm`, which are the same for all models of a study;
- the network's own options, under the names they have in the study's `models` entry.

`forward` takes an image of (batch, in_channels, [z,] y, x) and returns logits of (batch, classes, [z,] y, x).
A constructor that also takes `deep_supervision` offers it: in training mode `forward` then returns a list of logits,
the full size first, then each half the size of the one before. The attribute `divisor` is the number by which every
spatial size of the image must be divisible.

Importing this package does not import torch; building a network does.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from organbench.core.outside import is_outside

if TYPE_CHECKING:
    from torch import nn

# What all models of a study share, and what is therefore no network's own option.
_SHARED = {"in_channels", "classes", "norm", "deep_supervision"}
_NO_NETWORKS = {"blocks", "imported"}  # files that are none


class NotThereError(ValueError):
    """A network of another package, or in a file of one's own, that cannot be imported."""


class UnknownOptionError(ValueError):
    """An option that a network does not take.

    Attributes:
        option: its name.
        known: what the network takes.
    """

    def __init__(self, name: str, option: str, known: Sequence[str]) -> None:
        super().__init__(f"network {name}: unknown option {option}; it takes {', '.join(known)}")
        self.option, self.known = option, known


def available() -> list[str]:
    """Names of the networks: the files of this package, without the blocks they are made of."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NO_NETWORKS)


def options_of(name: str) -> list[str]:
    """The options that a network's file offers, in its order, read from its source without importing torch.

    Raises:
        ValueError: there is no such network, or its file defines no class `Network`.
    """
    if name not in available():
        raise ValueError(f"unknown network {name!r}; available: {', '.join(available())}")
    file = next(path for folder in __path__ if (path := Path(folder) / f"{name}.py").is_file())
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == "Network":
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    return [argument.arg for argument in item.args.kwonlyargs if argument.arg not in _SHARED]
    raise ValueError(f"{file}: defines no class Network with a constructor of keyword arguments")


def build(
    options: Mapping[str, Any],
    *,
    in_channels: int,
    classes: int,
    norm: str = "batch",
    patch: Sequence[int] | None = None,
    deep_supervision: bool = False,
) -> nn.Module:
    """Build a model's network from its entry in the study's `models`.

    Args:
        options: the network's file name under `network`, and the network's own options, for example
            `{network: unet, dims: 2, features: [16, 32, 64, 128, 256]}`; or an import path, or `file.py:Class`, under
            `network`, see `imported.build`. `pretrained` is for whoever loads weights, and left out.
        in_channels: channels of the image, 1 for a CT.
        classes: channels of the logits, background included.
        norm: normalisation layers of the whole network: `batch`, `instance` or `group`.
        patch: voxels that it is to see, [z] y x, for an imported network that is made for one size.
        deep_supervision: in training, logits of coarser levels too.

    Returns:
        The network, initialised from torch's global random state, in training mode. Its attribute `divisor` is the
        number by which every spatial size of the input must be divisible.

    Raises:
        ValueError: if there is no such network, an option is unknown or missing, its value is not allowed, or the
            network offers no deep supervision and is asked for it.
    """
    own = {key: value for key, value in options.items() if key != "pretrained"}
    name = own.pop("network", None)
    if is_outside(name):
        imported: nn.Module = importlib.import_module(f"{__name__}.imported").build(
            {"network": name, **own},
            in_channels=in_channels,
            classes=classes,
            norm=norm,
            patch=patch,
            deep_supervision=deep_supervision,
        )
        return imported
    known = options_of(name)
    if unknown := sorted(own.keys() - set(known)):
        raise ValueError(f"network {name}: unknown option {', '.join(unknown)}; it takes {', '.join(known)}")
    network = importlib.import_module(f"{__name__}.{name}").Network
    parameters = inspect.signature(network).parameters
    needed = {key for key in known if parameters[key].default is inspect.Parameter.empty}
    if missing := sorted(needed - own.keys()):
        raise ValueError(f"network {name}: missing option {', '.join(missing)}")
    if deep_supervision:
        if "deep_supervision" not in parameters:
            raise ValueError(f"network {name}: offers no deep supervision; set training.deep_supervision to false")
        own["deep_supervision"] = True
    built: nn.Module = network(**own, in_channels=in_channels, classes=classes, norm=norm)
    return built
