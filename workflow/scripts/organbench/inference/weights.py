"""Weights on disk, with the recipe that rebuilds their network."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from organbench import networks
from organbench.core import files, runs
from organbench.core.errors import InputError
from organbench.hardware import devices


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a network looks like and what it is fed: the part of a recipe that is known before any case is.

    Attributes:
        network: its entry in the config's `models`, without training settings.
        in_channels: channels of the image.
        classes: of the logits, background included.
        norm: normalisation layers.
        deep_supervision: whether coarser levels give logits, too, in training.
        patch: voxels that it sees, [z] y x.
        context: neighbouring slices on each side that a 2D network sees as channels.
        organs: names of the organs, in order.
    """

    network: Mapping[str, Any]
    in_channels: int
    classes: int
    norm: str
    deep_supervision: bool = False
    patch: tuple[int, ...]
    context: int
    organs: tuple[str, ...]

    def build(self) -> nn.Module:
        """The network, initialised from torch's global random state; raises what `networks.build` does."""
        return networks.build(
            self.network,
            in_channels=self.in_channels,
            classes=self.classes,
            norm=self.norm,
            patch=self.patch,
            deep_supervision=self.deep_supervision,
        )


@dataclass(frozen=True, kw_only=True)
class Recipe(Design):
    """All that a file of weights holds beside the weights.

    Attributes:
        window: HU that the network sees as -1 and 1.
        precision: that it was trained in.
        organ_ml: each organ's usual volume in the training cases, ml.
        parameters: of the network.
        multiply_adds_per_voxel: of a forward pass.
        run: in whose folder they were written; empty where in none.
        training: a hash of all that shaped the weights, which the `cost.json` beside them tells too; empty: not known.
        mirrored: pairs of organ indices that changed places in its flips along x.
        flips: axes (x, y, z) along which it was trained with flips.
    """

    window: tuple[float, float]
    precision: str
    organ_ml: tuple[float, ...]
    parameters: int
    multiply_adds_per_voxel: float
    run: str = ""
    training: str = ""
    mirrored: tuple[tuple[int, int], ...] = ()
    flips: tuple[str, ...] = ("x", "y", "z")


def run_of(weights: str | Path) -> str:
    """The run, such as unet/fold0-seed0, in whose folder a file lies."""
    return "/".join(Path(weights).parts[-3:-1])


def belongs(weights: str | Path, recipe: Recipe) -> bool:
    """Whether weights are those of the training whose `cost.json` lies beside them.

    Where that does not tell, whether they were written into the folder of this name.
    """
    named = runs.name_of(Path(weights).parent)
    return recipe.training == named if named and recipe.training else recipe.run == run_of(weights)


def save(path: str | Path, network: nn.Module, recipe: Recipe) -> None:
    """Write weights with all that is needed to rebuild the network: plain values only; whole or not at all."""
    weights = {key: value.detach().cpu() for key, value in network.state_dict().items()}
    write_archive({"recipe": json.loads(json.dumps(vars(recipe))), "state_dict": weights}, path)


def write_archive(content: Mapping[str, Any], path: str | Path) -> None:
    """Write what `read_archive` reads; whole or not at all."""
    buffer = io.BytesIO()  # so that the archive does not hold the file's temporary name
    torch.save(content, buffer)
    with files.atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_archive(path: str | Path) -> dict[str, Any]:
    """Read what `write_archive` wrote, once all checksums in it agree, which torch does not look at.

    Raises:
        OSError: the file cannot be read now, as when a network drive fails; that says nothing about its content.
        ValueError: the file is damaged. Torch and zipfile raise others, but no `OSError`.
    """
    content = io.BytesIO(Path(path).read_bytes())
    with zipfile.ZipFile(content) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"{damaged} is damaged in it")
    content.seek(0)
    found: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
    return found


@contextmanager
def imports_explained(path: str | Path) -> Iterator[None]:
    """Say of weights whose network is not installed, or whose file is not there any more, that they are good ones.

    Raises:
        InputError: it is not.
    """
    try:
        yield
    except (networks.NotThereError, InputError) as error:
        raise InputError(f"{path}: holds the weights of a network that is not there: {error}") from None


def load(path: str | Path, device: torch.device, network_name: str | None = None) -> tuple[nn.Module, Recipe]:
    """Rebuild a network from `weights.pt`.

    Args:
        path: of the file.
        device: where the network is to be.
        network_name: of its network, where the file of an imported one may have been moved since.

    Returns:
        The network, on the device and in its memory format, and the recipe that `save` was given.

    Raises:
        InputError: the file is damaged or holds something else, or an imported network is not there.
        OSError: it cannot be read now.
    """
    try:
        content = read_archive(path)
        recipe = Recipe(**files.tuples(content["recipe"]))
        if network_name:
            recipe = replace(recipe, network={**recipe.network, "network": network_name})
        with imports_explained(path):
            network = recipe.build()
        network.load_state_dict(content["state_dict"])
    except (OSError, MemoryError, InputError):
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: holds no weights of this workflow ({reason}); delete it to train again") from None
    return devices.place(network, device, len(recipe.patch)), recipe
