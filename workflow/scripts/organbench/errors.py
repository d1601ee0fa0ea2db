"""The exception that speaks to the user, the log of a job, and writing files that are whole or absent."""

import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TERMINATED = 128 + signal.SIGTERM  # what a shell reports of a process that SIGTERM ended


class StoppedError(Exception):
    """The job was asked to end and has left behind what it needs to go on."""


class InputError(ValueError):
    """Something the user can mend: the message is one line that names the file or key, what is wrong and what to do."""


@contextmanager
def job_log(path: str | Path, *, quiet: bool = False) -> Iterator[logging.Logger]:
    """Log a job to its own file and to stderr; turn an `InputError` into one line and exit status 1.

    `StoppedError` ends the job with one line and the exit status of SIGTERM. Any other exception is written to the log
    with its traceback and raised on. A `quiet` process leaves all that to another process of the same job.
    """
    logger = logging.getLogger("organbench")
    if quiet:
        yield logger
        return
    logger.setLevel(logging.INFO)
    to_file = logging.FileHandler(path, mode="w")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    to_screen = logging.StreamHandler(sys.stderr)
    to_screen.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [to_file, to_screen]
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield logger
    except InputError as error:
        logger.error("error: %s", error)
        sys.exit(1)
    except StoppedError as stopped:
        logger.error("stopped: %s", stopped)
        sys.exit(TERMINATED)
    except Exception:
        to_screen.setLevel(logging.CRITICAL)  # Python prints the traceback itself
        logger.exception("the job failed")
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


@contextmanager
def termination() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether SIGTERM has come, which schedulers send at the time limit.

    The signal no longer ends the process inside the block. Only the main thread can catch it; others are told False.
    """
    came = False

    def note(*_: object) -> None:
        nonlocal came
        came = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: came
        return
    before = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it to `path` when the block ends well, remove it when it does not.

    The temporary name keeps the suffixes of `path`, because writers choose a format by them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    name, dot, suffixes = path.name.partition(".")
    handle, temporary = tempfile.mkstemp(prefix=f".{name}-", suffix=dot + suffixes, dir=path.parent)
    os.close(handle)
    try:
        yield Path(temporary)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner reads
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
