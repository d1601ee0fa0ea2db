"""A program of another, run as a part of a job."""

import os
import platform
import resource
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from organbench.core.jobs import LOGGER

LAST_LINES = 3  # that are told again
GRACE_SECONDS = 5.0  # from SIGTERM to SIGKILL


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it took.

    Attributes:
        status: 0 where it went well.
        seconds: by the clock.
        cpu_seconds: of processors, by it and all that it started and waited for.
        peak_host_mib: most memory of one of its processes.
        last_lines: of what it printed.
    """

    status: int
    seconds: float
    cpu_seconds: float
    peak_host_mib: float
    last_lines: tuple[str, ...] = ()


def run(command: str, places: Mapping[str, str], environment: Mapping[str, str] | None = None) -> Ended:
    """Run a command in a shell; what it prints goes to the job's log.

    It is ended, with all that it started, when the job is.

    Args:
        command: with placeholders such as {image}; other braces stay.
        places: what stands for them; each is quoted for the shell.
        environment: variables that it gets besides those of this process.
    """
    for key, value in places.items():
        command = command.replace(f"{{{key}}}", shlex.quote(value))
    LOGGER.info("$ %s", command)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(  # noqa: S602 (a command of the study is a line for a shell)
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | dict(environment or {}),
        start_new_session=True,  # so that all of it can be ended
    )
    last: deque[str] = deque(maxlen=LAST_LINES)
    try:
        for line in process.stdout or ():
            LOGGER.info("| %s", line.rstrip())
            last.append(line.strip())
        status = process.wait()
    except BaseException:
        end(process)
        raise
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    factor = 1024 if platform.system() == "Linux" else 1024**2  # kilobytes, but bytes on macOS
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ended(status, time.monotonic() - started, cpu, after.ru_maxrss / factor, tuple(last))


def end(process: "subprocess.Popen[str]") -> None:
    """End a process and all of its session, which it leads."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
