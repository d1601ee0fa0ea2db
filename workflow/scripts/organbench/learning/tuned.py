"""What tuning hands on to a training: the chosen settings, and what was trained with them already."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from organbench.core import tables
from organbench.inference import weights
from organbench.learning.trainer import Trained


def settings_with(settings: Mapping[str, Any], choice: str | Path | None) -> dict[str, Any]:
    """A model's settings with those that were chosen for it; as they are where nothing was tuned.

    Args:
        settings: its `network` options and its `training`.
        choice: the file that says what was chosen, if anything was.
    """
    chosen = json.loads(Path(choice).read_text())["settings"] if choice else {}
    return {**settings, "training": settings["training"] | chosen}


def folder_of(choice: str | Path | None) -> str | None:
    """Where the training of the chosen candidate lies: beside the file that says what was chosen."""
    return str(Path(choice).with_name(json.loads(Path(choice).read_text())["candidate"])) if choice else None


def trained(folder: str | Path, stamp: str, device: torch.device, logger: logging.Logger) -> Trained | None:
    """The training that a candidate has had, where it is the very one that is wanted, on whatever device it was.

    Args:
        folder: of the candidate: `weights.pt`, `history.csv` and `cost.json`, which is written last.
        stamp: of everything that shapes the weights that are wanted.
        device: where the network is to be.
        logger: hears where they come from.

    Returns:
        What comes of it; None where it was another training, or is not there any more.
    """
    folder = Path(folder)
    try:
        cost = json.loads((folder / "cost.json").read_text())
        if cost.get("stamp") != stamp:
            return None
        network, recipe = weights.load(folder / "weights.pt", device)
        if not weights.belongs(folder / "weights.pt", recipe):
            return None
        rows = tables.read(folder / "history.csv").to_dict("records")
    except (OSError, ValueError):  # an InputError is a ValueError
        return None
    logger.info("trained before, as a candidate of tuning: %s", folder)
    return Trained(network, recipe, rows, cost)
