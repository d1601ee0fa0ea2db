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
from organbench.data import annotations

UNUSABLE = "it could not be used"
NAME = "source.json"  # beside case.json, which is the same wherever its files lay


def describe(path: str | Path) -> dict[str, Any]:
    """What tells a file from others: its size in bytes, its date in ns, and a hash of its content.

    Of a folder that is all of its files' size, the newest date, and a hash of their hashes: what they are called says
    nothing.

    Raises:
        OSError: it cannot be read.
    """
    held = []
    for part in files.parts(path):
        with part.open("rb") as stream:
            held.append(hashlib.file_digest(stream, "sha256").hexdigest())
    content = hashlib.sha256("".join(sorted(held)).encode()).hexdigest() if Path(path).is_dir() else held[0]
    return {**look(path), "sha256": content}


def look(path: str | Path) -> dict[str, int]:
    """The size in bytes and the date in ns of a file, or of all files in a folder."""
    found = files.stamp(path)
    return {"bytes": sum(size for _, size, _ in found), "mtime_ns": max((date for *_, date in found), default=0)}


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
        found = {what: look(file) for what, file in originals.items()}
        if any(there["bytes"] != known[what]["bytes"] for what, there in found.items()):
            return False
        moved = [what for what, there in found.items() if there["mtime_ns"] != known[what]["mtime_ns"]]
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
        wanted: the label `values` of each organ, those that are `ignored`, and the `spacing`, as JSON holds them; where
            organs are structures with names, what is asked of these (`structures`), else the indices of those that
            were not annotated (`unannotated`).
        skip_bad: whether the study goes on without cases that cannot be used.
    """
    if "bad" in info:
        return "" if skip_bad and info.get("tried") == wanted else UNUSABLE
    if list(info["organs"].values()) != wanted["values"]:
        return "dataset.organs has other label values"
    if info.get("structures", {}).get("asked") != wanted.get("structures"):
        return "dataset.organs has other names of structures, or dataset.missing_structures is another"
    if list(annotations.indices(info)) != wanted.get("unannotated", list(annotations.indices(info))):
        return "dataset.annotated has other organs of it"
    if info.get("spacing") != wanted["spacing"]:
        return "preprocessing.spacing is another"
    lacking = set(info.get("ignored", [])) - set(wanted["ignored"])
    return "dataset.ignore_labels lacks labels that it has" if lacking else ""
