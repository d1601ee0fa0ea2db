"""Finished trainings stay: one that is there already is not done again, and what is replaced is set aside."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from organbench.core.errors import InputError
from organbench.inference.weights import read_archive
from organbench.learning.checkpoint import unused

FILES = {"weights": "weights.pt", "history": "history.csv", "cost": "cost.json"}
ASIDE = "set-aside"


def is_there(job: Mapping[str, Any], logger: logging.Logger) -> bool:
    """Whether a training has been done already, whatever asks for it again.

    Args:
        job: as for `training.run`; its `identity` is compared with that of the training in its folder.
        logger: hears of it.

    Raises:
        InputError: there is another finished training, and nobody has said that it may be replaced.
    """
    cost = read_cost(Path(job["cost"]))
    if cost is None:
        return False
    named = cost.get("identity", {}).get("sha256")
    if named == job["identity"]["sha256"] or (named is None and job["replace"] is False):
        if not all(Path(job[name]).exists() for name in FILES if name != "weights" or "failed" not in cost):
            return False
        if "failed" not in cost and not whole(Path(job["weights"])):
            logger.warning("%s: damaged, so this training is done again", job["weights"])
            return False
        logger.info("trained before, as the study asks: nothing is done again. To train anew, move its weights away")
        return True
    if not job["replace"]:
        raise InputError(
            f"{job['folder']}: holds a finished training that is not what the study asks for; "
            "--config replace_trainings=true trains anew and sets it aside"
        )
    return False


def read_cost(path: Path) -> dict[str, Any] | None:
    """What a `cost.json` holds; None where there is none, or it is damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def whole(weights: Path) -> bool:
    """Whether a file holds weights.

    Raises:
        OSError: it cannot be read now.
    """
    try:
        return "state_dict" in read_archive(weights)
    except OSError:
        raise
    except Exception:  # torch and zipfile raise many
        return False


def set_aside(folder: Path, logger: logging.Logger) -> None:
    """Move what an earlier training has left in a folder into a folder of its own in it."""
    there = [folder / file for file in FILES.values() if (folder / file).exists()]
    if not there:
        return
    name = ((read_cost(folder / FILES["cost"]) or {}).get("identity") or {}).get("sha256", "unknown")[:8]
    place = unused(folder / ASIDE / name)
    place.mkdir(parents=True)
    for path in there:
        path.replace(place / path.name)
    logger.warning("the training that was there is set aside, in %s", place)
