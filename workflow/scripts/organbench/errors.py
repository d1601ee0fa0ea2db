"""The exception that speaks to the user, the log of a job and its end, and writing files that are whole or absent."""

import datetime
import glob
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from organbench import orphans

TERMINATED = 128 + signal.SIGTERM  # what a shell reports of a process that SIGTERM ended
LOG_SECONDS = 10.0  # a progress line at most this often
LOGGER = logging.getLogger("organbench")
LEFT_SECONDS = 60.0  # a temporary file that nobody has written to for so long was left behind by a job that was killed


class StoppedError(BaseException):
    """The job was asked to end and has left behind what it needs to go on; no error that someone might handle."""


class InputError(ValueError):
    """Something the user can mend: the message is one line that names the file or key, what is wrong and what to do."""


@contextmanager
def job_log(path: str | Path, *, quiet: bool = False) -> Iterator[logging.Logger]:
    """Log a job to its own file and to stderr; turn any exception into one last line that says what to do.

    SIGTERM and `StoppedError` end the job with the exit status of SIGTERM, and so does the end of the workflow that
    started it; everything else with 1. The traceback of what is no `InputError` is in the log. A `quiet` process leaves
    all that to another process of the same job.
    """
    logger = LOGGER
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
        with stopped_by_sigterm(), orphans.ended_with_workflow():
            yield logger
    except InputError as error:
        logger.error("error: %s", error)
        sys.exit(1)
    except StoppedError as stopped:
        logger.error("stopped: %s", stopped)
        sys.exit(TERMINATED)
    except Exception as error:
        to_screen.setLevel(logging.CRITICAL)
        logger.exception("the job failed")
        logger.critical("failed: %s", remedy(error, path))
        sys.exit(1)
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def remedy(error: Exception, log: str | Path) -> str:
    """What to do about an error that no one foresaw, on one line."""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200].removesuffix(":")
    if type(error).__name__ == "OutOfMemoryError":  # torch's
        return f"the GPU's memory ran out ({what}); lower training.batch_size or training.patch, or use a larger GPU"
    if isinstance(error, MemoryError) or any(words in what for words in ("bad_alloc", "allocate memory")):
        return f"memory ran out ({what}); give this rule more with --set-resources <rule>:mem_mb=<MB>"
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


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Raise `StoppedError` on SIGTERM, so that what the job has begun to write is removed; in the main thread only."""

    def stop(*_: object) -> None:
        raise StoppedError("told to end; the next run makes what is missing")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def termination() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether SIGTERM has come, which schedulers send at the time limit, or Ctrl-C.

    The signals no longer end the process inside the block. Only the main thread can catch them; others are told False.
    """
    came = False

    def note(*_: object) -> None:
        nonlocal came
        came = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: came
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it to `path` when the block ends well, remove it when it does not.

    The temporary name keeps the suffixes of `path`, because writers choose a format by them. What jobs that were killed
    have left of the same file is removed.

    Raises:
        InputError: the file cannot be written; what was there before is still there.
    """
    path = Path(path)
    name, dot, suffixes = path.name.partition(".")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(glob.escape(f".{name}-") + "?" * 8 + glob.escape(dot + suffixes)):
            with suppress(FileNotFoundError):  # another job may be at it too
                if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                    left.unlink()
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
    except OSError as error:
        reason = error.strerror or str(error)  # NumPy gives none when a disk is full
        raise InputError(f"{path}: cannot be written ({reason}); mend the disk or its rights and run again") from error


@contextmanager
def unchanged(*paths: str | Path) -> Iterator[None]:
    """Refuse files that change inside the block: what was made of the old ones would be newer than the new ones.

    Raises:
        InputError: a file has another size or time than before.
    """

    def look(path: str | Path) -> tuple[int, int] | None:
        try:
            found = os.stat(path)
        except OSError:  # whoever reads it says so
            return None
        return found.st_size, found.st_mtime_ns

    before = [look(path) for path in paths]
    yield
    for path, then in zip(paths, before, strict=True):
        if look(path) != then:
            raise InputError(f"{path}: was changed while it was being read; run again when it is complete")
