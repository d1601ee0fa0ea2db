"""Whether the files that a case was prepared from are still the same, wherever they lie and whatever their dates."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from organbench.core.errors import InputError
from organbench.core.files import atomic

NAME = "source.json"  # beside case.json, which is the same wherever its files lay


def describe(path: str | Path) -> dict[str, Any]:
    """What tells a file from others: its size in bytes, its date in ns, and a hash of its content.

    Raises:
        OSError: it cannot be read.
    """
    found = Path(path).stat()
    with Path(path).open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": content}


def note(folder: str | Path, files: Mapping[str, str | Path]) -> None:
    """Write down what a case is prepared from.

    Args:
        folder: the prepared case's.
        files: the volume and the labels, by what they are.

    Raises:
        InputError, OSError: a file cannot be written, or read.
    """
    with atomic(Path(folder, NAME)) as path:
        path.write_text(json.dumps({what: describe(file) for what, file in files.items()}, indent=1))


def same(folder: str | Path, files: Mapping[str, str | Path]) -> bool:
    """Whether a case was prepared from just these files.

    Files of the same size and date are taken for the same. Others are read; their new date is written down, so that the
    next call need not read them again.
    """
    try:
        known = json.loads(Path(folder, NAME).read_text())
        for what, file in files.items():
            found = Path(file).stat()
            if found.st_size != known[what]["bytes"]:
                return False
        moved = [what for what, file in files.items() if Path(file).stat().st_mtime_ns != known[what]["mtime_ns"]]
        if any(describe(files[what])["sha256"] != known[what]["sha256"] for what in moved):
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if moved:
        with suppress(InputError, OSError):  # results that may be read only
            note(folder, files)
    return True
