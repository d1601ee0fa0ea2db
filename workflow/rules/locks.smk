"""Who has locked this folder: a lock that a killed run has left is removed, where that can be told for sure."""

import json
import platform
import shutil

import psutil
from snakemake.logging import logger

LOCKS = Path(".snakemake/locks")  # Snakemake removes the folder when it unlocks


def place():
    """Where a process number means one process, and whose processes can be seen."""
    return {
        "host": platform.node(),
        "namespace": namespace(),
        "user": os.getuid(),
    }


def sign_lock():
    """Say beside Snakemake's lock which process holds it."""
    if any(LOCKS.glob("*.lock")):  # there is none with --nolock
        process = psutil.Process()
        note = {"process": process.pid, "command": process.cmdline()} | place()
        (LOCKS / f"owner-{process.pid}.json").write_text(json.dumps(note))


def remove_dead_lock():
    """Remove Snakemake's lock if all who hold it were killed; say who holds it if one lives.

    Where a holder is another machine's or user's, or none has signed, the lock stays: `snakemake --unlock` removes it.
    """
    notes = []
    for file in LOCKS.glob("owner-*.json"):
        try:
            notes.append(json.loads(file.read_text()))
        except (OSError, ValueError):  # being written, or removed
            return
    if not notes or any(note | place() != note for note in notes):
        return
    for note in notes:
        try:
            process = psutil.Process(note["process"])
            # not this one: in a container that starts again it has the number of the run that was killed there
            lives = process.pid != os.getpid() and process.cmdline() == note["command"]
        except psutil.NoSuchProcess:
            lives = False
        if lives:
            logger.warning(
                f"Process {note['process']} runs this workflow in this folder; wait for it, or end it."
            )
            return
    logger.warning(
        "The run that had locked this folder was killed; its lock is removed, and this run goes on from there."
    )
    shutil.rmtree(LOCKS, ignore_errors=True)


if workflow.is_main_process:
    remove_dead_lock()
