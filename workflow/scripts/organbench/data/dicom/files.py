"""DICOM files, read so that a hostile one is refused in one line and in seconds."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from organbench.core.errors import InputError, plain

PREAMBLE, MAGIC = 128, b"DICM"
DEFERRED = 1 << 16  # bytes of a value from which on it stays in the file until it is asked for


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do, whatever its name."""
    with sound(path), path.open("rb") as stream:
        stream.seek(PREAMBLE)
        return stream.read(len(MAGIC)) == MAGIC


def read_header(path: Path, tags: Sequence[str] = ()) -> tuple[pydicom.Dataset, int]:
    """Read a file up to its pixels.

    Args:
        path: the file.
        tags: keywords of the values that are wanted; all where none is named.

    Returns:
        The values; and the bytes up to the pixels.

    Raises:
        InputError: the file is damaged, or packed as a whole (a few bytes could become many).
    """
    with sound(path):
        meta = read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise InputError(f"{path}: is deflated, which is not read here; export it uncompressed")
        with path.open("rb") as stream:
            wanted = [*tags, "TransferSyntaxUID"] if tags else None
            header = pydicom.dcmread(
                stream, stop_before_pixels=True, specific_tags=wanted, defer_size=None if tags else DEFERRED
            )
            return header, stream.tell()


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Turn all that comes of reading a damaged file into one line: pydicom raises whatever its parts do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that break a rule that nothing here rests on
            yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except Exception as error:  # MemoryError and RecursionError among them
        reason = plain(error) or type(error).__name__
        raise InputError(f"{path}: no sound DICOM file ({reason}); copy or export it again") from None
