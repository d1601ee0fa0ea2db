"""A training from files to files: what the rule `train` does."""

import io
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from organbench.core.errors import DivergedError
from organbench.core.files import atomic, write_json
from organbench.core.jobs import job_log
from organbench.data import cases
from organbench.hardware import devices
from organbench.inference import weights
from organbench.inference.prediction import Prediction
from organbench.learning import kept, processes, tuned
from organbench.learning.sampling import WHOLE, Shard
from organbench.learning.settings import Task, Training
from organbench.learning.trainer import CHECKPOINT_SECONDS, Trained, Trainer


@dataclass(frozen=True)
class Job:
    """A training of prepared cases.

    Attributes:
        training: folders of the cases to train on.
        validation: folders of the cases to validate on.
        skip_bad: whether cases that could not be prepared are left out, or else refused.
        task: what is to be learned.
        threads: that the workflow granted.
        gpus: that the workflow granted.
        identity: all that shapes the weights, under `sha256` the hash of it; empty where nothing is kept.
        candidate: whether this is a candidate of tuning, which may diverge.
        trained: the folder of the candidate that was chosen, if one was.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    skip_bad: bool
    task: Task
    threads: int
    gpus: int
    identity: Mapping[str, Any]
    candidate: bool
    trained: str | None

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> "Job":
        """The job that a script, or a process of its own, was given as plain values."""
        settings = job["settings"]
        return cls(
            training=tuple(job["training"]),
            validation=tuple(job["validation"]),
            skip_bad=job["skip_bad"],
            task=Task(
                network=settings["network"],
                settings=Training.of(settings["training"]),
                prediction=Prediction.of(job["prediction"]),
                window=tuple(job["window"]),
                organs=tuple(job["organs"]),
                seed=job["seed"],
            ),
            threads=job["threads"],
            gpus=job["gpus"],
            identity=job.get("identity", {}),
            candidate=job.get("candidate", False),
            trained=job.get("trained"),
        )


@dataclass(frozen=True)
class Places:
    """The files that a job writes."""

    checkpoint: Path
    log: Path
    weights: Path
    history: Path
    cost: Path

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> "Places":
        """Where the job that a script was given writes."""
        return cls(*(Path(job[name]) for name in ("checkpoint", "log", "weights", "history", "cost")))


def run(job_values: Mapping[str, Any]) -> None:
    """Train a model from prepared cases and write what comes of it: the rule `train`, or one of its processes.

    Args:
        job_values: what `Job` and `Places` are made of, as plain values. The environment variable
            ORGANBENCH_CHECKPOINT_SECONDS changes the time between checkpoints, which changes no result.
    """
    job, places = Job.of(job_values), Places.of(job_values)
    rank, started = processes.local_rank(), time.monotonic()
    with job_log(places.log, quiet=rank > 0) as logger:
        device = devices.prepare(threads=job.threads, gpus=job.gpus, rank=rank)
        with processes.joined(device) as shard:
            logger.info("training on %d x %s, %d threads", shard.world, device, job.threads)
            seconds = float(os.environ.get("ORGANBENCH_CHECKPOINT_SECONDS", CHECKPOINT_SECONDS))
            try:
                found = train_files(
                    job, places.checkpoint, device=device, checkpoint_seconds=seconds, shard=shard, logger=logger
                )
            except DivergedError as error:
                if not job.candidate:
                    raise
                logger.warning("this candidate fails: %s", error)
                if rank == 0:
                    kept.set_aside(places.cost.parent, logger)
                    write_failure(places, job.task.organs, job.identity, error, time.monotonic() - started)
                return
        if rank == 0:
            kept.set_aside(places.cost.parent, logger)
            write(found, places, job.identity)


def train_files(
    job: Job,
    checkpoint: Path,
    *,
    device: torch.device,
    checkpoint_seconds: float,
    until: int | None = None,
    shard: Shard = WHOLE,
    logger: logging.Logger,
) -> Trained:
    """Train a model from prepared cases, or take over what a candidate of tuning has learned; see `Trainer`."""
    training, validation = (cases.load_all(role, skip_bad=job.skip_bad) for role in (job.training, job.validation))
    name = job.identity.get("sha256", "")
    if job.trained and (found := tuned.trained(job.trained, name, device, logger)):
        return found
    return Trainer(
        job.task,
        training,
        validation,
        device=device,
        checkpoint=checkpoint,
        stamp=name,
        workers=max(1, job.threads // 2),
        checkpoint_seconds=checkpoint_seconds,
        until=until,
        shard=shard,
        logger=logger,
    ).train()


def write(found: Trained, places: Places, identity: Mapping[str, Any]) -> None:
    """Write what a training leaves; its cost, which says what it was named by, at last."""
    buffer = io.BytesIO()  # so that the archive does not hold the file's temporary name
    recipe = replace(found.recipe, run=weights.run_of(places.weights), training=identity.get("sha256", ""))
    weights.save(buffer, found.network, recipe)
    with atomic(places.weights) as path:
        path.write_bytes(buffer.getbuffer())
    with atomic(places.history) as path:
        pd.DataFrame(found.rows).to_csv(path, index=False)
    write_json({**found.cost, "identity": identity}, places.cost)


def write_failure(
    places: Places, organs: Sequence[str], identity: Mapping[str, Any], error: DivergedError, seconds: float
) -> None:
    """Write what a candidate leaves that diverged: a history without rows, and a cost that says why.

    Args:
        places: the files to write.
        organs: names of the organs, in order.
        identity: what the training is named by.
        error: what it ended with.
        seconds: how long that took.
    """
    columns = ["step", "learning_rate", "loss", *(f"dice_{organ}" for organ in organs), "seconds"]
    with atomic(places.history) as path:
        pd.DataFrame(columns=columns).to_csv(path, index=False)
    told = {"failed": str(error), "training_seconds": round(seconds, 3), "identity": identity}
    write_json(told, places.cost)
