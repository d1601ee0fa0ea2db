"""What the formats have in common."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from organbench.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SIZE = 4096  # voxels of an axis; photon-counting scanners have 2048
LARGEST_BYTES = 4 << 30  # of all voxels as they are stored: 1024 x 1024 x 2048 of 16 bits


class Header(Protocol):
    """What a file's header claims."""

    def check_voxels(self, voxels: "NDArray[Any]") -> None:
        """Check that what SimpleITK has read (z y x) is all that the file holds, undamaged.

        Raises:
            InputError: it is not.
        """


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: what it is called.
        suffixes: of its files, in small letters.
        read_header: reads and checks the header of a file, or raises an `InputError`.
    """

    name: str
    suffixes: tuple[str, ...]
    read_header: Callable[[Path], Header]


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Turn what Python says of a file that cannot be read, or unpacked, into one line."""
    try:
        yield
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged or cut short ({error}); copy the file again") from None


def rounded(values: Iterable[float]) -> str:
    """Numbers as a person wants to read them."""
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
