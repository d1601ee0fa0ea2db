"""A training from files to files: what the rule `train` does."""

import io
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from organbench.core.errors import DivergedError
from organbench.core.files import atomic, tuples, write_json
from organbench.core.jobs import LOGGER, job_log
from organbench.data import cases
from organbench.hardware import devices
from organbench.inference import weights
from organbench.inference.settings import Prediction
from organbench.learning import kept, processes
from organbench.learning.sampling import WHOLE, Shard
from organbench.learning.settings import Task, Training
from organbench.learning.trainer import CHECKPOINT_SECONDS, Trained, Trainer


@dataclass(frozen=True)
class Job(Task):
    """A training of prepared cases: the task, and with what it is done.

    Attributes:
        training: folders of the cases to train on.
        validation: folders of the cases to validate on.
        skip_bad: whether cases that could not be prepared are left out, or else refused.
        threads: that the workflow granted.
        gpus: that the workflow granted.
        folder: where the checkpoint is left, and what is made, see `kept.FILES`.
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
        own["prediction"] = Prediction(**tuples(job["prediction"]))
        return cls(**tuples(own))

    def file(self, name: str) -> Path:
        """One of `kept.FILES` in the job's folder."""
        return Path(self.folder, kept.FILES[name])


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
            kept.set_aside(Path(job.folder))
            if isinstance(found, DivergedError):
                write_failure(job, found, time.monotonic() - started)
            else:
                write(job, found)


def train_files(
    job: Job, *, device: torch.device, checkpoint_seconds: float, until: int | None = None, shard: Shard = WHOLE
) -> Trained:
    """Train a model from prepared cases, or take over what a candidate of tuning has learned; see `Trainer`."""
    training, validation = (cases.load_all(role, skip_bad=job.skip_bad) for role in (job.training, job.validation))
    name = job.identity.get("sha256", "")
    if job.trained and (found := kept.trained(job.trained, name, device)):
        return found
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


def write(job: Job, found: Trained) -> None:
    """Write what a training leaves; its cost, which says what it was named by, at last."""
    buffer = io.BytesIO()  # so that the archive does not hold the file's temporary name
    path = job.file("weights")
    recipe = replace(found.recipe, run=weights.run_of(path), training=job.identity.get("sha256", ""))
    weights.save(buffer, found.network, recipe)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    write_history(job, pd.DataFrame(found.rows), found.cost)


def write_failure(job: Job, error: DivergedError, seconds: float) -> None:
    """Write what a candidate leaves that diverged after some seconds: a history without rows, and why."""
    columns = ["step", "learning_rate", "loss", *(f"dice_{organ}" for organ in job.organs), "seconds"]
    cost = {"failed": str(error), "training_seconds": round(seconds, 3)}
    write_history(job, pd.DataFrame(columns=columns), cost)


def write_history(job: Job, rows: pd.DataFrame, cost: Mapping[str, Any]) -> None:
    """Write a training's history, and then what it cost and was named by."""
    with atomic(job.file("history")) as path:
        rows.to_csv(path, index=False)
    write_json({**cost, "identity": job.identity}, job.file("cost"))
