"""Whether what a case was prepared from is still the same: its files, wherever they lie and whatever their dates.

Plain Python, because the workflow needs it while it is parsed.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from organbench.core import files
from organbench.core.errors import InputError

UNUSABLE = "it could not be used"
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


def note(folder: str | Path, originals: Mapping[str, str | Path]) -> None:
    """Write down what a case is prepared from.

    Args:
        folder: the prepared case's.
        originals: the volume and the labels, by what they are.

    Raises:
        InputError, OSError: a file cannot be written, or read.
    """
    files.write_json({what: describe(file) for what, file in originals.items()}, Path(folder, NAME))


def read(folder: str | Path) -> dict[str, Any]:
    """What was written down of the files that a case was prepared from; nothing where it cannot be read."""
    return files.sound_json(Path(folder, NAME))


def same(folder: str | Path, originals: Mapping[str, str | Path]) -> bool:
    """Whether a case was prepared from just these files.

    Files of the same size and date are taken for the same. Others are read; their new date is written down, so that the
    next call need not read them again.
    """
    known = files.sound_json(Path(folder, NAME))
    try:
        found = {what: Path(file).stat() for what, file in originals.items()}
        if any(there.st_size != known[what]["bytes"] for what, there in found.items()):
            return False
        moved = [what for what, there in found.items() if there.st_mtime_ns != known[what]["mtime_ns"]]
        if any(describe(originals[what])["sha256"] != known[what]["sha256"] for what in moved):
            return False
    except (OSError, KeyError, TypeError):
        return False
    if moved:
        with suppress(InputError, OSError):  # results that may be read only
            note(folder, originals)
    return True


def why_anew(info: Mapping[str, Any], wanted: Mapping[str, Any], *, skip_bad: bool) -> str:
    """Why settings have a case prepared anew that was prepared before; empty where they do not.

    Args:
        info: what its `case.json` holds.
        wanted: the label `values` of each organ, those that are `ignored`, and the `spacing`, as JSON holds them.
        skip_bad: whether the study goes on without cases that cannot be used.
    """
    if "bad" in info:
        return "" if skip_bad and info.get("tried") == wanted else UNUSABLE
    if list(info["organs"].values()) != wanted["values"]:
        return "dataset.organs has other label values"
    if info.get("spacing") != wanted["spacing"]:
        return "preprocessing.spacing is another"
    lacking = set(info.get("ignored", [])) - set(wanted["ignored"])
    return "dataset.ignore_labels lacks labels that it has" if lacking else ""
