"""A training from files to files: what the rule `train` does, and what it finds done already.

Finished trainings stay: one that is there is not done again, also as a candidate; what is replaced is set aside.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from organbench.core import tables
from organbench.core.errors import DivergedError, InputError
from organbench.core.files import atomic, tuples, write_json
from organbench.core.jobs import LOGGER, job_log
from organbench.core.runs import name_of, read_cost
from organbench.data import cases
from organbench.hardware import devices
from organbench.inference import weights
from organbench.inference.settings import Prediction
from organbench.learning import processes
from organbench.learning.checkpoint import unused
from organbench.learning.sampling import WHOLE, Shard
from organbench.learning.settings import Task, Training
from organbench.learning.trainer import CHECKPOINT_SECONDS, Trained, Trainer

FILES = {"weights": "weights.pt", "history": "history.csv", "cost": "cost.json"}
ASIDE = "set-aside"


@dataclass(frozen=True)
class Job(Task):
    """A training of prepared cases: the task, and with what it is done.

    Attributes:
        training: folders of the cases to train on.
        validation: folders of the cases to validate on.
        skip_bad: whether cases that could not be prepared are left out, or else refused.
        threads: that the workflow granted.
        gpus: that the workflow granted.
        folder: where the checkpoint is left, and what is made, see `FILES`.
        log: of the job.
        identity: all that shapes the weights, under `sha256` the hash of it; empty where nothing is kept.
        candidate: whether this is a candidate of tuning, which may diverge.
        trained: the folder of the candidate that was chosen, if one was.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    skip_bad: bool
    threads: int
    gpus: int
    folder: str
    log: str = os.devnull
    identity: Mapping[str, Any] = field(default_factory=dict)
    candidate: bool = False
    trained: str | None = None

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> "Job":
        """The job that a script, or a process of its own, was given as plain values."""
        own = {field.name: job[field.name] for field in fields(cls) if field.name in job}
        own["network"] = job["settings"]["network"]
        own["settings"] = Training(**tuples(job["settings"]["training"]))
        own["mirrored"] = tuple((one, other) for one, other in job["settings"].get("mirrored", ()))
        own["prediction"] = Prediction(**tuples(job["prediction"]))
        return cls(**tuples(own))


def run(job_values: Mapping[str, Any]) -> None:
    """Train a model from prepared cases and write what comes of it: the rule `train`, or one of its processes.

    Args:
        job_values: what `Job` is made of, as plain values. The environment variable ORGANBENCH_CHECKPOINT_SECONDS
            changes the time between checkpoints, which changes no result.
    """
    job, started = Job.of(job_values), time.monotonic()
    rank = int(os.environ.get("LOCAL_RANK", 0))  # among the processes of a launch, as torchrun says
    with job_log(job.log, quiet=rank > 0):
        device = devices.prepare(threads=job.threads, gpus=job.gpus, rank=rank)
        with processes.joined(device) as shard:
            LOGGER.info("training on %d x %s, %d threads", shard.world, device, job.threads)
            seconds = float(os.environ.get("ORGANBENCH_CHECKPOINT_SECONDS", CHECKPOINT_SECONDS))
            found: Trained | DivergedError
            try:
                found = train_files(job, device=device, checkpoint_seconds=seconds, shard=shard)
            except DivergedError as error:
                if not job.candidate:
                    raise
                LOGGER.warning("this candidate fails: %s", error)
                found = error
        if rank == 0:
            set_aside(Path(job.folder))
            if isinstance(found, DivergedError):
                write_failure(job, found, time.monotonic() - started)
            else:
                write(job, found)


def train_files(
    job: Job, *, device: torch.device, checkpoint_seconds: float, until: int | None = None, shard: Shard = WHOLE
) -> Trained:
    """Train a model from prepared cases, or take over what a candidate of tuning has learned; see `Trainer`.

    Raises:
        InputError: an organ was annotated in none of the cases to train on, as in a share of them; or as `Trainer`.
    """
    training, validation = (cases.load_all(role, skip_bad=job.skip_bad) for role in (job.training, job.validation))
    name = job.identity.get("sha256", "")
    if job.trained and (found := trained(job.trained, name, device)):
        return found
    annotated_in_some(training, job.organs)
    return Trainer(
        job,
        training,
        validation,
        device=device,
        checkpoint=Path(job.folder, "checkpoint.pt"),
        stamp=name,
        workers=max(1, job.threads // 2),
        checkpoint_seconds=checkpoint_seconds,
        until=until,
        shard=shard,
    ).train()


def annotated_in_some(training: Sequence[cases.Case], organs: Sequence[str]) -> None:
    """Check that each organ was annotated in a case that is trained on, and tell where some were not."""
    cases.check_annotated([case.info for case in training], organs)
    for index, organ in enumerate(organs, start=1):
        if without := sum(index in case.unannotated for case in training):
            LOGGER.info("%s: not annotated in %d of %d training cases, background there", organ, without, len(training))


def write(job: Job, found: Trained) -> None:
    """Write what a training leaves; its cost, which says what it was named by, at last."""
    path = Path(job.folder, FILES["weights"])
    recipe = replace(found.recipe, run=weights.run_of(path), training=job.identity.get("sha256", ""))
    weights.save(path, found.network, recipe)
    write_history(job, pd.DataFrame(found.rows), found.cost)


def write_failure(job: Job, error: DivergedError, seconds: float) -> None:
    """Write what a candidate leaves that diverged after some seconds: a history without rows, and why."""
    columns = ["step", "learning_rate", "loss", *(f"dice_{organ}" for organ in job.organs), "seconds"]
    cost = {"failed": str(error), "training_seconds": round(seconds, 3)}
    write_history(job, pd.DataFrame(columns=columns), cost)


def write_history(job: Job, rows: pd.DataFrame, cost: Mapping[str, Any]) -> None:
    """Write a training's history, and then what it cost and was named by."""
    with atomic(Path(job.folder, FILES["history"])) as path:
        rows.to_csv(path, index=False)
    write_json({**cost, "identity": job.identity}, Path(job.folder, FILES["cost"]))


def is_there(job: Mapping[str, Any]) -> bool:
    """Whether a training has been done already, whatever asks for it again.

    Args:
        job: as for `run`; its `identity` is compared with that of the training in its folder.

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
