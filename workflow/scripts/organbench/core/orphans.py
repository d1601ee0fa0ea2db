"""Jobs end with the workflow that started them.

A workflow that is killed leaves its jobs behind, and its next run does them again. Two processes would then do the same
job, on one GPU, and the older one with an older configuration.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORKFLOW = "ORGANBENCH_WORKFLOW"  # in a job's environment: the workflow's process, and the namespace of its number
WATCH_SECONDS = 0.5


def adopt() -> None:
    """Make this process the one that its children's jobs end with."""
    os.environ[WORKFLOW] = f"{os.getpid()} {namespace()}"


def namespace() -> str:
    """What process numbers count in: containers may have their own; empty where there is no such thing."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@contextmanager
def ended_with_workflow() -> Iterator[None]:
    """Send this process SIGTERM once the workflow that started it is gone; nothing where none can be seen."""
    process, _, seen_from = os.environ.get(WORKFLOW, "").partition(" ")
    if not process or seen_from != namespace():
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(WATCH_SECONDS):
            if not alive(int(process)):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def alive(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)  # another user's
    return True
