"""Any `nn.Module` as a network: of another package by its import path, or in a file of one's own.

Its constructor gets what all networks of a study share under the names that it has for them, and every other option as
it is written. Nothing of the module is changed but two things: plain 3D convolutions become `blocks.Conv3d`, which is
right in bf16 on a CPU, and of several outputs the first becomes the logits, see `logits_of`.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from organbench.core import outside
from organbench.core.errors import suggestion
from organbench.networks import NotThereError, UnknownOptionError
from organbench.networks.blocks import Conv3d

NAMES = {
    "in_channels": ("in_channels", "in_chans", "in_chs", "input_channels", "n_channels"),
    "classes": ("classes", "out_channels", "num_classes", "n_classes", "out_chans", "out_chs"),
    "dims": ("dims", "spatial_dims", "dimensions", "ndim"),
    "norm": ("norm", "norm_name"),
    "patch": ("patch", "img_size", "image_size"),
}
"""What networks share, and the names that constructors have for it."""

MONAI_NORMS = {"instance": ("instance", {"affine": True}), "group": ("group", {"num_groups": 8})}
"""Norms as MONAI writes those of `blocks.normalisation`; `batch` is `batch`."""

DEEP = "deep_supervision"


def build(
    options: Mapping[str, Any],
    *,
    in_channels: int,
    classes: int,
    norm: str,
    patch: Sequence[int] | None,
    deep_supervision: bool,
) -> nn.Module:
    """Build a network that is not of this library; the arguments are those of `networks.build`.

    Args:
        options: `network`, an import path or `file.py:Class`; `dims`; `map`, names for what all networks share (null:
            it is not passed); `divisor`; and the constructor's own options.
        in_channels: channels of the image.
        classes: channels of the logits.
        norm: of the study.
        patch: voxels that it is trained on, [z] y x.
        deep_supervision: in training, logits of several levels.

    Returns:
        The network. From now on operations without a deterministic version on CUDA warn and do not fail.

    Raises:
        ValueError: it cannot be found or built from the options.
    """
    own = dict(options)
    name, renamed, divisor = own.pop("network"), dict(own.pop("map", None) or {}), own.pop("divisor", None)
    dims = own.pop("dims", 2)
    make = load(name)
    written = MONAI_NORMS.get(norm, norm) if _is_of_monai(make) else norm
    shared = {"in_channels": in_channels, "classes": classes, "dims": dims, "norm": written, "patch": patch}
    arguments = {**_mapped(name, make, shared, renamed), **_checked(name, make, own)}
    if deep_supervision:
        if DEEP not in _parameters(make)[0]:
            raise ValueError(f"network {name}: offers no deep supervision; set training.deep_supervision to false")
        arguments[DEEP] = True
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(True, warn_only=True)
    network = make(**arguments)
    if not isinstance(network, nn.Module):
        raise ValueError(f"network {name}: makes a {type(network).__name__}; name a class of torch.nn.Module")
    mend_convolutions(network)
    network.register_forward_hook(partial(_as_logits, dims=dims, several=deep_supervision))
    if divisor is not None:
        network.divisor = divisor
    network.may_leave_out = True  # type: ignore[assignment]  # parameters, which several devices have to look for
    return network


def load(name: str) -> Callable[..., Any]:
    """The class, or function that makes a network, which an import path or `file.py:Class` names.

    Raises:
        NotThereError: it is not there, or importing it fails.
    """
    try:
        if outside.is_file(name):
            module, attribute = _load_file(outside.file_of(name)), name.rpartition(":")[2]
        else:
            path, _, attribute = name.rpartition(".")
            module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        hint = "; run pip install --no-deps -r requirements-monai.txt" if error.name == "monai" else ""
        raise NotThereError(f"network {name}: there is no module {error.name}{hint}") from None
    except (ImportError, SyntaxError) as error:
        raise NotThereError(f"network {name}: cannot be imported: {' '.join(str(error).split())}") from None
    if not hasattr(module, attribute):
        known = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, nn.Module)]
        hint = suggestion(attribute, known, f"it defines {', '.join(known[:8]) or 'no network'}")
        raise NotThereError(f"network {name}: there is no {attribute} in it; {hint}")
    found: Callable[..., Any] = getattr(module, attribute)
    if not callable(found):
        raise NotThereError(f"network {name}: is no class")
    return found


def _load_file(file: Path) -> Any:
    """Import a file that lies anywhere, with the files beside it that it imports.

    Of two files in different folders each gets the modules of its own folder, also where their names are the same.
    """
    folder = file.resolve().parent
    beside = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    for module in [key for key in sys.modules if key.partition(".")[0] in beside]:
        origin = getattr(sys.modules[module], "__file__", None)
        if origin and Path(origin).parent != folder and str(Path(origin).parent) in _FOLDERS:
            del sys.modules[module]  # of another network
    name = f"organbench_network_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module_of_file = importlib.util.module_from_spec(spec)
    sys.modules[name] = module_of_file
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module_of_file)
    finally:
        sys.path.remove(str(folder))
        _FOLDERS.add(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))  # for what it imports later
    return module_of_file


_FOLDERS: set[str] = set()  # of the files that were imported


def _parameters(make: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """The parameters of a constructor by name, and whether it takes any other keyword.

    Where a class hands its keywords on to the class that it is derived from, those of that class count too.
    """
    found: dict[str, inspect.Parameter] = {}
    classes = inspect.getmro(make) if inspect.isclass(make) else (make,)
    for part in classes:
        if part is nn.Module or part is object:
            break
        if inspect.isclass(part) and "__init__" not in vars(part):
            continue
        parameters = inspect.signature(part).parameters.values()
        found = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return found, False
    return found, True


def _mapped(
    name: str, make: Callable[..., Any], shared: Mapping[str, Any], renamed: Mapping[str, str | None]
) -> dict[str, Any]:
    """What networks share, under the constructor's names for it.

    Raises:
        ValueError: it has no name for the channels or the classes, or `map` names what is not there.
    """
    known, takes_any = _parameters(make)
    if wrong := sorted(renamed.keys() - NAMES.keys()):
        raise ValueError(f"network {name}: map has no {wrong[0]}; it may name {', '.join(NAMES)}")
    arguments = {}
    for key, value in shared.items():
        argument = renamed[key] if key in renamed else next((n for n in NAMES[key] if n in known), None)
        if argument is not None and value is not None:
            if argument not in known and not takes_any:
                raise UnknownOptionError(name, argument, list(known))
            arguments[argument] = value
        elif key in ("in_channels", "classes") and key not in renamed:
            what = "any keyword" if takes_any else ", ".join(known)
            raise ValueError(
                f"network {name}: it is not known what it calls {key} (it takes {what}); say so, as in "
                f"map: {{in_channels: in_channels, classes: out_channels, dims: spatial_dims}}"
            )
    return arguments


def _checked(name: str, make: Callable[..., Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """The constructor's own options, all of which it takes."""
    known, takes_any = _parameters(make)
    if not takes_any and (unknown := sorted(own.keys() - known.keys())):
        raise UnknownOptionError(name, unknown[0], list(known))
    return own


def _is_of_monai(make: Callable[..., Any]) -> bool:
    """Whether a class is MONAI's, or derived from one of them."""
    classes = inspect.getmro(make) if inspect.isclass(make) else (make,)
    return any(getattr(part, "__module__", "").startswith("monai.") for part in classes)


def mend_convolutions(network: nn.Module) -> None:
    """Have plain 3D convolutions compute as `blocks.Conv3d`, with the same weights under the same names."""
    for layer in network.modules():
        if type(layer) is nn.Conv3d:
            layer.__class__ = Conv3d


def logits_of(output: Any, dims: int) -> list[Tensor]:
    """The logits among a network's outputs, the full size first.

    Args:
        output: a tensor (batch, class, [z,] y, x), several in a list or tuple, or several of one size stacked in a
            tensor (batch, level, class, [z,] y, x).
        dims: spatial dimensions.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(output, Tensor):
        return list(output.unbind(1)) if output.ndim == dims + 3 else [output]
    if isinstance(output, list | tuple) and output:
        first = [part for part in output if isinstance(part, Tensor)]
        if isinstance(output[0], Tensor):
            return first
        return logits_of(output[0], dims)
    raise ValueError(
        f"the network gives a {type(output).__name__}, and not logits; name a class in a file of your own whose "
        "forward returns them (docs/adding-a-network.md)"
    )


def _as_logits(network: nn.Module, _: Any, output: Any, *, dims: int, several: bool) -> Tensor | list[Tensor]:
    """A forward hook: one tensor of logits, or in training with deep supervision all."""
    found = logits_of(output, dims)
    return found if several and network.training and len(found) > 1 else found[0]
