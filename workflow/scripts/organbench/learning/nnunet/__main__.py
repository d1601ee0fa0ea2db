"""Do one of nnU-Net's tasks, as a program of its own: `python -m organbench.learning.nnunet prepare job.json`."""

import importlib.metadata
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from organbench.core import jobs
from organbench.core.errors import InputError, StoppedError

NEEDED = ("torch", "filelock", "pynvml", "pandas")


def main(task: str, path: str) -> int:
    """Do a task; the last line that is printed says what was wrong.

    Args:
        task: prepare, train or predict.
        path: a JSON file with what the task is about.

    Returns:
        The exit status: 0, that of SIGTERM where it was told to end, or 1.
    """
    job = json.loads(Path(path).read_text())
    os.environ.update(job["environment"])  # nnU-Net reads it when it is imported
    jobs.let_children_end()  # nnU-Net's, which it ends itself
    try:
        check(job["entry"]["version"])
        with jobs.told_to_end(jobs.stop), jobs.ended_with_workflow():
            do(task, job)
        return 0
    except StoppedError as stopped:
        print(f"stopped: {stopped}", flush=True)
        return jobs.TERMINATED
    except InputError as error:
        print(f"error: {error}", flush=True)
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        print(f"failed: {jobs.remedy(error, job['log'])}", flush=True)
    return 1


def check(version: str) -> None:
    """Check that this interpreter has the nnU-Net that is wanted.

    Raises:
        InputError: it has not.
    """
    mend = "pip install -r requirements-nnunet.txt there, or run with --sdm conda"
    try:
        found = importlib.metadata.version("nnunetv2")
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            f"config, models: {sys.executable} has no nnunetv2; {mend}, or name another interpreter by the key python"
        ) from None
    if found != version:
        raise InputError(f"config, models: {sys.executable} has nnunetv2 {found}, and {version} is wanted; {mend}")
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if missing:
        raise InputError(f"config, models: {sys.executable} has no {missing[0]}; {mend}")


def do(task: str, job: Mapping[str, Any]) -> None:
    """Import what a task needs, which takes nnU-Net some seconds, and do it."""
    if task == "prepare":
        from organbench.learning.nnunet.preparing import prepare

        prepare(job)
    elif task == "train":
        from organbench.learning.nnunet.training import train

        train(job)
    else:
        from organbench.inference.nnunet import predict

        predict(job)


if __name__ == "__main__":  # nnU-Net's processes import this file, too
    sys.exit(main(*sys.argv[1:]))
