"""Several files in one, as a zip that can be read from a stranger: nothing in it is compressed, unpacked or executed.

Weights do not shrink anyway. As every entry is stored as it is, the entries of an honest archive together are smaller
than the archive, which is what zip bombs, those with entries that overlap too, are not.
"""

import mmap
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from organbench.core.errors import InputError, plain
from organbench.core.files import atomic

NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*")
MOST_FILES = 10_000
ENTRY = b"PK\1\2"  # begins each entry of an archive's list
DATE = (1980, 1, 1, 0, 0, 0)  # of every entry, so that the same content is the same archive


def write(files: Mapping[str, bytes], path: str | Path) -> None:
    """Write files, by their names in the archive, as one; whole or not at all.

    Raises:
        InputError: it cannot be written, or a name has other than letters, digits, dots, dashes and underscores.
    """
    if strange := [name for name in files if not NAME.fullmatch(name)]:
        raise InputError(f"{plain(strange[0])}: cannot be packed under this name; use letters, digits, _ - and .")
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), content)


def read(path: str | Path) -> dict[str, bytes]:
    """The files of an archive that `write` wrote, by their names.

    Raises:
        InputError: it is no such archive, is damaged or cut short, or holds what `write` does not write: compressed,
            locked or doubled entries, or names that lead out of a folder.
        OSError: it cannot be read now.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give one that was packed by snakemake model")
    try:
        if most_files(path) > MOST_FILES:
            raise InputError(f"{path}: holds over {MOST_FILES} files, as no model does; take the file anew")
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if wrong := fault(entries, path.stat().st_size):
                raise InputError(f"{path}: {wrong}; take the file as it was packed, from whom you trust")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (OSError, MemoryError, InputError):
        raise
    except Exception as error:  # zipfile and struct raise many
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: is no archive of organbench, or damaged ({reason}); copy the file again") from None


def most_files(path: Path) -> int:
    """How many files an archive holds at most, counted up to `MOST_FILES` + 1: zipfile takes a minute for millions."""
    count, place = 0, -1
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while count <= MOST_FILES and (place := content.find(ENTRY, place + 1)) >= 0:
            count += 1
    return count


def fault(entries: list[zipfile.ZipInfo], size: int) -> str:
    """What is wrong with the entries of an archive of a size in bytes; nothing of one that `write` wrote."""
    if sum(entry.file_size for entry in entries) > size:
        return "claims to hold more than its own size"
    if len({entry.filename for entry in entries}) < len(entries):
        return "holds two files of one name"
    for entry in entries:
        name = plain(entry.filename)
        if not NAME.fullmatch(entry.filename):
            return f"holds a file {name}, whose name may lead out of a folder"
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
            return f"holds {name} compressed or locked"
    return ""
