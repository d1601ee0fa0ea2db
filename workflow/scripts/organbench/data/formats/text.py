"""Files whose header is lines of text: MetaImage and NRRD.

SimpleITK never comes back from a MetaImage of 10^9 dimensions, breaks down at an NRRD with a long line that it cannot
read, and takes the name of the file that holds the voxels for a format of printf: the header is refused unless it is
short lines of text that name a plain file.
"""

import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from organbench.core.errors import InputError
from organbench.data.formats.kind import whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_TEXT = 1 << 20  # bytes of a header of text
LONGEST_LINE = 500  # bytes
MUCH = 1 << 28  # bytes of voxels, which unpack in a third of a second
ANY_PACKING = 47  # zlib's wbits for streams of its own (MetaImage) and of gzip (NRRD)


@dataclass(frozen=True)
class Syntax:
    """How a format writes its header: regular expressions of whole lines, and what they cannot say.

    Attributes:
        last: the line that ends the header.
        long: lines that may be longer than `LONGEST_LINE`.
        packing: the line that says that voxels are compressed.
        naming: the line that names the file of the voxels.
        here: what that line says where they are in the same file.
        check: what else has to be so, from the path and the lines; raises an `InputError` where it is not.
    """

    last: bytes
    long: bytes
    packing: bytes
    naming: bytes
    here: tuple[bytes, ...] = ()
    check: Callable[[Path, list[bytes]], None] = lambda path, lines: None


@dataclass(frozen=True)
class TextHeader:
    """Where a file has its voxels.

    Attributes:
        path: of the header.
        file: that holds the voxels.
        start: bytes before the first voxel.
        packed: whether they are compressed.
    """

    path: Path
    file: Path
    start: int
    packed: bool

    def check_voxels(self, voxels: "NDArray[Any]") -> None:
        """Check that the voxels of a compressed file are those that were read.

        SimpleITK reads garbage where they are damaged, or where a MetaImage does not say how many bytes they take.

        Raises:
            InputError: they are damaged or cut short, or others were read.
        """
        if not self.packed:
            return
        checksum = 0
        for content in self.unpacked(voxels.nbytes):
            checksum = zlib.crc32(content, checksum)
        as_read, swapped = 0, 0
        for voxel_slice in voxels:
            as_read = zlib.crc32(voxel_slice.data, as_read)
            swapped = zlib.crc32(voxel_slice.byteswap().data, swapped)
        if checksum not in (as_read, swapped):
            raise self.damaged()

    def check_length(self, length: int) -> None:
        """Check that voxels which take much memory are there, before any is set aside for them.

        Args:
            length: of all voxels, bytes.

        Raises:
            InputError: a compressed file holds more of them, or fewer.
        """
        if self.packed and length > MUCH and length != sum(map(len, self.unpacked(length))):
            raise self.damaged()

    def unpacked(self, length: int) -> Iterator[bytes]:
        """The content of a compressed file, in parts, up to its end or to a bit more than so many bytes.

        Raises:
            InputError: it is damaged or cut short.
        """
        unpacker = zlib.decompressobj(ANY_PACKING)
        with whole(self.path), self.file.open("rb") as file:
            file.seek(self.start)
            while not unpacker.eof and length >= 0:
                block = unpacker.unconsumed_tail or file.read(1 << 20)
                if not block:
                    raise EOFError("the file ends before its voxels do")
                content = unpacker.decompress(block, 1 << 20)  # compares the checksum at the end
                length -= len(content)
                yield content

    def damaged(self) -> InputError:
        """What is said where other voxels come out than were packed."""
        return InputError(f"{self.path}: damaged, its voxels are not those that were packed; export the volume again")


def read_header(path: Path, syntax: Syntax) -> TextHeader:
    """Check that a file begins with short lines of text, and see where its voxels are.

    Voxels that are elsewhere are in a file: pipes do not end, and a name with % (of one file a slice) is a format in
    which printf writes to memory.

    Raises:
        InputError: it does not.
    """
    with whole(path), path.open("rb") as file:
        content = file.read(LARGEST_TEXT + 1)
    if not content:
        raise InputError(f"{path}: is empty; copy the file again")
    stored = content.split(b"\n")
    end = next((i for i, line in enumerate(stored, start=1) if re.fullmatch(syntax.last, line.rstrip(b"\r"))), None)
    lines = [line.rstrip(b"\r") for line in stored[:end]]
    if (end is None and len(content) > LARGEST_TEXT) or any(
        b"\0" in line or (len(line) > LONGEST_LINE and not re.fullmatch(syntax.long, line)) for line in lines
    ):
        raise InputError(f"{path}: its header is not the short lines of text that it should be; copy the file again")
    syntax.check(path, lines)
    voxels, start = path, sum(len(line) + 1 for line in stored[:end])
    for found in filter(None, (re.fullmatch(syntax.naming, line) for line in lines)):
        name = found[1].strip()
        if name not in syntax.here:
            voxels, start = path.parent / os.fsdecode(name), 0
            if re.match(rb"LIST|-|.*%", name) or not os.path.isfile(voxels):
                raise InputError(
                    f"{path}: its voxels are in {os.fsdecode(name)!r}, which is no file; export the volume as one file"
                )
    return TextHeader(path, voxels, start, any(re.fullmatch(syntax.packing, line) for line in lines))
