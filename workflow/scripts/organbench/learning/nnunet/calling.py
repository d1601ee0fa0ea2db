"""Call nnU-Net: one of the tasks of `python -m organbench.learning.nnunet`, by the interpreter that has it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from organbench.core import commands, jobs
from organbench.core.errors import InputError, StoppedError
from organbench.core.files import write_json
from organbench.learning.nnunet import layout, recipe

# -P: a file of the folder where the workflow runs must not stand in for a module
COMMAND = "{python} -P -m organbench.learning.nnunet {task} {job}"
KILLED = 137  # what a shell reports of a process that SIGKILL ended
SAYING = ("error: ", "failed: ")  # with which the line begins that says what was wrong
PLANNED = "prepare.json"  # what planning took
SCRIPTS = Path(__file__).parents[3]


def call(
    task: str,
    job: Mapping[str, Any],
    folder: str | Path,
    *,
    threads: int,
    log: str,
    own: str,
    results: Path | None = None,
) -> dict[str, Any]:
    """Do a task, with what it prints in this job's log.

    Args:
        task: prepare, train or predict.
        job: what it is about, see there.
        folder: of the fold, as `layout` writes it; for the task's own files too.
        threads: of the job.
        log: of the job.
        own: the interpreter to take where the entry names none.
        results: where nnU-Net leaves checkpoints.

    Returns:
        What the task says that it took; nothing of a training.

    Raises:
        InputError: it fails, with what it says last.
        StoppedError: it, or this process, was told to end.
    """
    folder = Path(folder).absolute()
    work = folder if results is None else results.absolute()
    work.mkdir(parents=True, exist_ok=True)
    raw, preprocessed = (str(folder / part) for part in (layout.RAW, layout.PREPROCESSED))
    told, cost = work / f"{task}-job.json", work / f"{task}.json"
    given = {
        **job,
        "threads": threads,
        "log": log,
        "preprocessed": preprocessed,
        "cost": str(cost),
        "environment": recipe.environment(task, raw, preprocessed, str(work / layout.RESULTS), threads),
    }
    write_json(given, told)
    jobs.adopt()  # so that it ends when this process is killed
    places = {"python": job["entry"]["python"] or own, "task": task, "job": str(told)}
    check(task, commands.run(COMMAND, places, {"PYTHONPATH": str(SCRIPTS)}))
    found: dict[str, Any] = json.loads(cost.read_text()) if cost.exists() else {}
    return found


def check(task: str, ended: commands.Ended) -> None:
    """Check that a task ended well; raises what `call` does."""
    said = [line.partition(": ")[2] for line in ended.last_lines if line.startswith(SAYING)]
    words = said[-1] if said else " | ".join(ended.last_lines)
    if ended.status == jobs.TERMINATED:
        raise StoppedError(words or "nnU-Net was told to end")
    if ended.status == KILLED:
        raise InputError(f"nnU-Net, {task}: was killed, as happens where memory runs out; give this rule more mem_mb")
    if ended.status:
        raise InputError(f"nnU-Net, {task}: {words or f'ended with status {ended.status}'}")
