"""Finished trainings stay: one that is there is not done again, also as a candidate; what is replaced is set aside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from organbench.core import tables
from organbench.core.errors import InputError
from organbench.core.jobs import LOGGER
from organbench.core.runs import name_of, read_cost
from organbench.inference import weights
from organbench.learning.checkpoint import unused
from organbench.learning.trainer import Trained

FILES = {"weights": "weights.pt", "history": "history.csv", "cost": "cost.json"}
ASIDE = "set-aside"


def is_there(job: Mapping[str, Any]) -> bool:
    """Whether a training has been done already, whatever asks for it again.

    Args:
        job: as for `training.run`; its `identity` is compared with that of the training in its folder.

    Raises:
        InputError: there is another finished training, and nobody has said that it may be replaced.
    """
    folder = Path(job["folder"])
    cost, named = read_cost(folder), name_of(folder)
    if not cost:
        return False
    if named == job["identity"]["sha256"] or (not named and job["replace"] is False):
        file = folder / FILES["weights"]
        if not (folder / FILES["history"]).exists() or not ("failed" in cost or file.exists()):
            return False
        if "failed" not in cost and not whole(file):
            LOGGER.warning("%s: damaged, so this training is done again", file)
            return False
        LOGGER.info("trained before, as the study asks: nothing is done again. To train anew, move its weights away")
        return True
    if not job["replace"]:
        raise InputError(
            f"{job['folder']}: holds a finished training that is not what the study asks for; "
            "--config replace_trainings=true trains anew and sets it aside"
        )
    return False


def whole(path: Path) -> bool:
    """Whether a file holds weights.

    Raises:
        OSError: it cannot be read now.
    """
    try:
        return "state_dict" in weights.read_archive(path)
    except OSError:
        raise
    except Exception:  # torch and zipfile raise many
        return False


def set_aside(folder: Path) -> None:
    """Move what an earlier training has left in a folder into a folder of its own in it."""
    there = [folder / file for file in FILES.values() if (folder / file).exists()]
    if not there:
        return
    place = unused(folder / ASIDE / (name_of(folder) or "unknown")[:8])
    place.mkdir(parents=True)
    for path in there:
        path.replace(place / path.name)
    LOGGER.warning("the training that was there is set aside, in %s", place)


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


def trained(folder: str | Path, stamp: str, device: torch.device) -> Trained | None:
    """The training that a candidate has had, where it is the very one that is wanted, on whatever device it was.

    Args:
        folder: of the candidate: `weights.pt`, `history.csv` and `cost.json`, which is written last.
        stamp: of everything that shapes the weights that are wanted.
        device: where the network is to be.

    Returns:
        What comes of it; None where it was another training, or is not there any more.
    """
    cost, path = read_cost(folder), Path(folder, FILES["weights"])
    if cost.get("stamp") != stamp:
        return None
    try:
        network, recipe = weights.load(path, device)
        if not weights.belongs(path, recipe):
            return None
        rows = tables.read(path.with_name(FILES["history"])).to_dict("records")
    except (OSError, ValueError):  # an InputError is a ValueError
        return None
    LOGGER.info("trained before, as a candidate of tuning: %s", folder)
    return Trained(network, recipe, rows, cost)
