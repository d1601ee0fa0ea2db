"""Which of a machine's GPUs a job has to itself: a lock file per GPU, released by the system however the job ends."""

import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from organbench.core.jobs import LOGGER


def acquire(devices: Sequence[str], folder: Path | None = None, *, poll_seconds: float = 1.0) -> tuple[int, FileLock]:
    """Lock a free device, waiting for one while all are taken.

    Args:
        devices: what identifies each device on this machine, the same in every job: its index or UUID.
        folder: where the lock files are; None is the system's folder for temporary files, which all users of a
            machine share unless their TMPDIR differs.
        poll_seconds: time between two looks while all are taken.

    Returns:
        The locked device's position in `devices`, and its lock, which lasts until it is released, is collected
        as garbage, or the process ends. The system releases it even if the process is killed.
    """
    folder = Path(tempfile.gettempdir()) if folder is None else folder
    # All users may open a lock file, whoever made it; MIG devices have slashes in their names.
    locks = [
        FileLock(folder / f"organbench-gpu-{re.sub('[^A-Za-z0-9-]', '_', device)}.lock", mode=0o666, thread_local=False)
        for device in devices
    ]
    told = False
    while True:
        for position, lock in enumerate(locks):
            try:
                lock.acquire(blocking=False)
            except (Timeout, PermissionError):  # a file that only another user may open counts as taken
                continue
            LOGGER.info("locked GPU %s", devices[position])
            return position, lock
        if not told:
            files = ", ".join(lock.lock_file for lock in locks)
            LOGGER.warning("all %d GPUs are taken, waiting for one (lock files: %s)", len(devices), files)
            told = True
        time.sleep(poll_seconds)
