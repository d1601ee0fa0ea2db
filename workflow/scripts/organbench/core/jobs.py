"""A job's log, its pace, its end, and what ends it.

Jobs end with the workflow that started them. A workflow that is killed leaves its jobs behind, and its next run does
them again. Two processes would then do the same job, on one GPU, and the older one with an older configuration.
"""

import datetime
import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from organbench.core.errors import InputError, StoppedError

ENDINGS = (signal.SIGTERM, signal.SIGINT)
TERMINATED = 128 + signal.SIGTERM  # what a shell reports of a process that SIGTERM ended
DISK = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO", "ESTALE")}
LOG_SECONDS = 10.0  # a progress line at most this often
WORKFLOW = "ORGANBENCH_WORKFLOW"  # in a job's environment: the workflow's process, and the namespace of its number
WATCH_SECONDS = 0.5
LOGGER = logging.getLogger("organbench")


@contextmanager
def job_log(path: str | Path, *, quiet: bool = False) -> Iterator[logging.Logger]:
    """Log a job to its own file and to stderr; turn any exception into one last line that says what to do.

    SIGTERM, Ctrl-C and `StoppedError` end the job with the exit status of SIGTERM, and so does the end of the workflow
    that started it; everything else with 1. The traceback of what is no `InputError` is in the log. A `quiet` process
    leaves all that to another process of the same job.
    """
    if quiet:
        yield LOGGER
        return
    LOGGER.setLevel(logging.INFO)
    to_file = logging.FileHandler(path, mode="w")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    to_screen = logging.StreamHandler(sys.stderr)
    to_screen.setLevel(logging.WARNING)
    for handler in (to_file, to_screen):
        LOGGER.addHandler(handler)
    try:
        with told_to_end(stop), ended_with_workflow():
            yield LOGGER
    except InputError as error:
        LOGGER.error("error: %s", error)
        sys.exit(1)
    except StoppedError as stopped:
        LOGGER.error("stopped: %s", stopped)
        sys.exit(TERMINATED)
    except Exception as error:
        to_screen.setLevel(logging.CRITICAL)
        LOGGER.exception("the job failed")
        LOGGER.critical("failed: %s", remedy(error, path))
        sys.exit(1)
    finally:
        for handler in (to_file, to_screen):
            LOGGER.removeHandler(handler)
            handler.close()


def remedy(error: Exception, log: str | Path) -> str:
    """What to do about an error that no one foresaw, on one line."""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200].removesuffix(":")
    if type(error).__name__ == "OutOfMemoryError":  # torch's
        return f"the GPU's memory ran out ({what}); lower training.batch_size or training.patch, or use a larger GPU"
    if isinstance(error, MemoryError) or any(words in what for words in ("bad_alloc", "allocate memory")):
        return f"memory ran out ({what}); give this rule more with --set-resources <rule>:mem_mb=<MB>"
    if isinstance(error, OSError) and error.errno in DISK:
        return f"{what}; mend the disk or its rights and run again"
    return f"{what}; if it happens again with the same command, this is a fault of ours: report it with {log}"


class Pace:
    """How far a job is, how fast it goes and how long the rest will take, for a line in its log now and then.

    Args:
        total: how many parts there are.
        what: what a part is, in one word at the end.
        done: how many parts another attempt did; they do not count for the speed.
    """

    def __init__(self, total: int, what: str, done: int = 0) -> None:
        self.total, self.what, self.done, self.before = total, what, done, done
        self.started = self.told = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last line is `LOG_SECONDS` old."""
        return time.monotonic() - self.told > LOG_SECONDS

    def advance(self, parts: int) -> None:
        """Some more parts are done; they are logged when a line is due."""
        self.done += parts
        if self.due:
            LOGGER.info(self.line())

    def line(self, *words: str) -> str:
        """A line such as `step 120/400  loss 0.1234  3.10 steps/s  0:01:30 left`; another is due after a while."""
        self.told = time.monotonic()
        speed = (self.done - self.before) / max(self.told - self.started, 1e-9)
        parts = [f"{self.what} {self.done}/{self.total}", *words, f"{speed:.2f} {self.what.split()[-1]}s/s"]
        if speed:
            parts.append(f"{datetime.timedelta(seconds=round((self.total - self.done) / speed))} left")
        return "  ".join(parts)


def stop(*_: object) -> None:
    """End a job that is told to, so that what it has begun to write is removed."""
    raise StoppedError("told to end; the next run makes what is missing")


@contextmanager
def told_to_end(handle: Callable[[int, object], object]) -> Iterator[None]:
    """Call a function on SIGTERM and Ctrl-C inside the block; only the main thread can, others go on as they were."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def let_children_end() -> None:
    """Have processes that this one forks end on SIGTERM and Ctrl-C, from their first moment, whatever it does itself.

    Python forgets a signal that comes while it forks; a pool that tells such a process to end then waits for ever.
    """

    def in_child() -> None:
        for number in ENDINGS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS),
        after_in_child=in_child,
    )


@contextmanager
def termination() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether SIGTERM has come, which schedulers send at the time limit, or Ctrl-C.

    The signals no longer end the process inside the block. Only the main thread can catch them; others are told False.
    """
    came: list[int] = []
    with told_to_end(lambda number, _: came.append(number)):
        yield lambda: bool(came)


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
