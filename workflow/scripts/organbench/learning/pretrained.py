"""Weights that a training starts from: fine-tuning, or an encoder that was trained on something else."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from organbench.core.errors import InputError, plain
from organbench.core.jobs import LOGGER

INNER = ("state_dict", "model_state_dict", "model", "network_weights")  # keys under which files hold a state_dict


def start_from(network: nn.Module, weights: str, sha256: str) -> tuple[int, int]:
    """Load those weights that a network has by name and shape; the others stay as they are. Says how many they are.

    Args:
        network: changed in place.
        weights: a file that `torch.save` wrote: a state_dict, also under one of `INNER`. Nothing in it is executed.
        sha256: of the file.

    Returns:
        How many of the network's weights and buffers were loaded, and how many there are.

    Raises:
        InputError: the file cannot be read, has another sha256 or holds something else, or nothing in it fits.
    """
    given = read(weights, sha256)
    own = network.state_dict()
    fitting = {key: given[key] for key in own if key in given and given[key].shape == own[key].shape}
    if not fitting:
        raise InputError(
            f"{weights}: none of its {len(given)} weights fits the network by name and shape (its first is "
            f"{plain(next(iter(given), 'none'))}, the network's {plain(next(iter(own), 'none'))}); give weights of the "
            "same network"
        )
    network.load_state_dict(fitting, strict=False)
    LOGGER.info("%s: %d of %d weights and buffers of the network are taken from it", weights, len(fitting), len(own))
    return len(fitting), len(own)


def read(weights: str, sha256: str) -> dict[str, Tensor]:
    """The tensors of a file by name, without the `module.` that training on several devices puts before each.

    Raises:
        InputError: as `start_from`.
    """
    try:
        content = Path(weights).read_bytes()
    except OSError as error:
        raise InputError(
            f"config, models: weights: {weights} cannot be read ({error.strerror}); correct the path, which begins "
            "where snakemake runs"
        ) from None
    if (found := hashlib.sha256(content).hexdigest()) != sha256.lower():
        raise InputError(f"{weights}: has sha256 {found}, and not the one that the config says; get the right file")
    try:
        held: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and zipfile raise many
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(f"{weights}: holds no weights that can be read safely ({reason}); give a state_dict") from None
    for key in INNER:
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
            break
    tensors = {str(k): v for k, v in held.items() if isinstance(v, Tensor)} if isinstance(held, Mapping) else {}
    if tensors and all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors
