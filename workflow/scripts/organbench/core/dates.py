"""The dates of a study's files, by which Snakemake tells what is out of date: kept, and restored in copies."""

import os
import zlib
from contextlib import suppress
from pathlib import Path

from organbench.core.errors import InputError
from organbench.core.files import sound_json, write_json

NAME = ".dates.json"
SMALL = 1 << 20  # bytes; of files up to this size the content is compared too


def keep(folder: str | Path, sign: str = ".") -> None:
    """Write down the dates of all files in a folder, and what they hold; nothing where that cannot be written.

    Args:
        folder: which.
        sign: what is in a folder of which dates matter.
    """
    folder = Path(folder)
    if not (folder / sign).exists():
        return
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name != NAME and path.is_file():
            with suppress(FileNotFoundError):
                found[path.relative_to(folder).as_posix()] = [path.stat().st_mtime_ns, content(path)]
    with suppress(InputError, OSError):
        write_json(found, folder / NAME)


def restore(folder: str | Path) -> None:
    """Give a folder's files their dates back, if it is a copy that was made without them.

    It is one if no file that was written down has its date, but each holds what it did. Snakemake would otherwise take
    for out of date what was copied before that of which it was made.
    """
    folder = Path(folder)
    known = sound_json(folder / NAME)
    try:
        there = {folder / name: (date, held) for name, (date, held) in known.items() if (folder / name).is_file()}
        if any(path.stat().st_mtime_ns == date or content(path) != held for path, (date, held) in there.items()):
            return
    except (OSError, ValueError, TypeError):
        return
    for path, (date, _) in there.items():
        with suppress(OSError):  # another's file: its date is then as the copy made it
            os.utime(path, ns=(date, date))


def content(path: Path) -> list[int]:
    """A file's size, and where that is small a checksum of what it holds."""
    size = path.stat().st_size
    return [size, zlib.crc32(path.read_bytes())] if size <= SMALL else [size]
