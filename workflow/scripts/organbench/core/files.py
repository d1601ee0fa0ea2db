"""Files that are whole or absent: written beside their place and moved, and refused when they change while read."""

import glob
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from organbench.core.errors import InputError

LEFT_SECONDS = 60.0  # a temporary file that nobody has written to for so long was left behind by a job that was killed


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


def check_new(output: Path, given: Iterable[Path]) -> None:
    """Check that what is written replaces nothing of what it is made of.

    Args:
        output: a file.
        given: files, and folders whose files are read.

    Raises:
        InputError: it does, or is a folder.
    """
    if output.is_dir():
        raise InputError(f"--output {output}: is a folder; name a file")
    for path in given:
        if output.resolve() == path.resolve() or (output.exists() and output.resolve().parent == path.resolve()):
            raise InputError(f"--output {output}: would replace what is read; name another place")


def parts(path: str | Path) -> list[Path]:
    """The files that a path stands for: itself, or all that lie in the folder, hidden ones too."""
    path = Path(path)
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def stamp(path: str | Path) -> list[tuple[str, int, int]]:
    """Name, size (bytes) and date (ns) of each of the files that a path stands for.

    Raises:
        OSError: one cannot be looked at.
    """
    return [(part.name, found.st_size, found.st_mtime_ns) for part in parts(path) for found in [part.stat()]]


@contextmanager
def unchanged(*paths: str | Path) -> Iterator[None]:
    """Refuse files that change inside the block: what was made of the old ones would be newer than the new ones.

    Raises:
        InputError: a file, or one in a folder, has another size or time than before.
    """

    def look(path: str | Path) -> list[tuple[str, int, int]] | None:
        with suppress(OSError):  # whoever reads it says so
            return stamp(path)
        return None

    before = [look(path) for path in paths]
    yield
    for path, then in zip(paths, before, strict=True):
        if look(path) != then:
            raise InputError(f"{path}: was changed while it was being read; run again when it is complete")


def tuples(content: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON or YAML gave, as typed settings hold it: lists become tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError, ValueError: it cannot be read, or is damaged.
    """
    return json.loads(Path(path).read_text())


def sound_json(path: str | Path) -> dict[str, Any]:
    """The mapping that a JSON file holds; an empty one where there is none, or it is damaged."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(content: Any, path: str | Path) -> None:
    """Write JSON that a person can read; whole or not at all. Tuples become lists, NaN is refused."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
