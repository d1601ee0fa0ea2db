"""NIfTI-1: `.nii`, `.nii.gz`, or `.hdr` with the voxels in `.img`.

Offsets and meanings are those of nifti1.h and nifti2.h (https://nifti.nimh.nih.gov).
"""

import gzip
import math
import os
import struct
import zlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from organbench.core.errors import InputError
from organbench.data.formats.kind import LARGEST_BYTES, LARGEST_SIZE, Format, rounded, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_HEADER = 64 << 20  # bytes before the first voxel
SMALLEST_SLOPE = 1e-6  # SimpleITK takes a much smaller one for 1
SPARE_BYTES = 64 << 20  # that may follow the last voxel
PACKING = 1032  # to so few bytes deflate can pack one (zlib's "maximum compression factor")

GZIP = b"\x1f\x8b"
BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
BITS |= {1536: 128, 1792: 128, 2048: 256, 2304: 32}  # of a voxel of NIfTI's datatypes
INTEGERS = {2: "u1", 4: "i2", 8: "i4", 256: "i1", 512: "u2", 768: "u4"}  # those that are rescaled to HU
FLOATS = {16: "f4", 64: "f8"}

PLACES = "i36x8h14x2h2x8f3f132x2h6f12f"  # of the fields, for `struct`
LENGTH = 348


@dataclass(frozen=True)
class Fields:
    """The fields of a header as they stand there, unchecked, under the names that nifti1.h gives to them, or nearly.

    Attributes:
        order: `<` or `>`, the byte order of header and voxels.
        slope: by which stored values are multiplied; 0 or NaN: not at all.
        intercept: that is added then.
        quaternion: b, c, d, and the origin.
        rows: of the matrix of `sform`, 3 x 4.
    """

    order: str
    length: int
    dim: tuple[int, ...]
    datatype: int
    bits: int
    pixdim: tuple[float, ...]
    vox_offset: float
    slope: float
    intercept: float
    qform: int
    sform: int
    quaternion: tuple[float, ...]
    rows: tuple[float, ...]

    @classmethod
    def of(cls, content: bytes) -> "Fields":
        """The fields in a file's first bytes, where these are unpacked.

        Raises:
            struct.error: they are too few.
        """
        order = "<" if int.from_bytes(content[40:42], "little") in range(1, 8) else ">"
        v = struct.unpack_from(order + PLACES, content)
        numbers = v[0], v[1:9], v[9], v[10], v[11:19], *v[19:24], v[24:30], v[30:]
        return cls(order, *numbers)


@dataclass(frozen=True)
class Header:
    """What a NIfTI file's header claims.

    Attributes:
        fields: that were checked.
        voxels: how many there are.
        file: that holds the voxels.
        packed: whether it is compressed by gzip.
    """

    fields: Fields
    voxels: int
    file: Path
    packed: bool

    @property
    def stop(self) -> int:
        """Bytes up to the last voxel."""
        return int(self.fields.vox_offset) + self.voxels * self.fields.bits // 8

    def check_voxels(self, voxels: "NDArray[Any]") -> None:
        """Check that all voxels are there, undamaged, and numbers.

        Needed because SimpleITK's reader of NIfTI turns what is missing, damaged, NaN or infinite into 0 without a
        word. The checksum at the end of a gzip file is compared with that of what was read, which costs a few percent
        of the reading. Only where they differ, perhaps for no worse reason than a byte order, is the file unpacked
        again.

        Args:
            voxels: what SimpleITK has read (z y x).

        Raises:
            InputError: the file is damaged or cut short, goes on long after the last voxel, or a voxel is NaN or
                infinite.
        """
        with self.file.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            checksum = int.from_bytes(file.read(4), "little")
        with whole(self.file), gzip.open(self.file) if self.packed else self.file.open("rb") as stream:
            before = stream.read(int(self.fields.vox_offset))
            if self.packed and checksum == stored_checksum(voxels, self.fields, zlib.crc32(before)):
                return
            self.check_stream(stream, len(before))

    def check_stream(self, stream: gzip.GzipFile | BufferedReader, found: int) -> None:
        """Read the voxels once more, behind the bytes that were found, to the end, where gzip compares its checksum."""
        import numpy as np

        order, datatype = self.fields.order, self.fields.datatype
        kind = np.dtype(order + FLOATS[datatype]) if datatype in FLOATS else None
        while block := stream.read(min(1 << 20, self.stop - found)):
            found += len(block)
            if kind and not np.isfinite(np.frombuffer(block, kind, len(block) // kind.itemsize)).all():
                raise InputError(f"{self.file}: has NaN or infinite voxels; replace them by numbers (air is -1024 HU)")
        spare = SPARE_BYTES
        while block := stream.read(1 << 20):
            spare -= len(block)
            if spare < 0:
                raise InputError(
                    f"{self.file}: goes on long after the last voxel that its header tells of; export it again"
                )
        if found < self.stop:
            raise InputError(f"{self.file}: cut short, {found} of {self.stop} bytes are there; copy the file again")


def stored_checksum(voxels: "NDArray[Any]", fields: Fields, checksum: int) -> int:
    """Go on with the checksum of a file's first bytes over its voxels, as they must be stored to be read like this."""
    import numpy as np

    kind, slope, intercept = INTEGERS.get(fields.datatype), fields.slope, fields.intercept
    number = voxels.dtype.type
    for stored in voxels:  # a slice at a time: what it becomes stays in the cache
        if kind and voxels.dtype.kind == "f" and slope:  # integers that were rescaled to HU
            with np.errstate(all="ignore"):  # where it is not so, the checksum tells
                stored = np.rint((stored - number(intercept)) / number(slope)).astype(kind)
        checksum = zlib.crc32(stored.data, checksum)
    return checksum


def read_header(path: Path, but: str = "whatever its name says") -> Header:
    """Read and check a header.

    Args:
        path: the file.
        but: what else is to be said of a file that is no NIfTI file.

    Raises:
        InputError: the header is damaged, or claims what cannot be, or the file is of another format.
    """
    with whole(path), path.open("rb") as file:
        packed = file.read(2) == GZIP
    with whole(path), gzip.open(path) if packed else path.open("rb") as stream:
        content = stream.read(540)
    if not content:
        raise InputError(f"{path}: is empty; copy the file again")
    name, magic = path.name.lower(), content[344:348]
    if packed and name.endswith(".nii"):
        raise InputError(f"{path}: is compressed; name it {path.name}.gz")
    if content[4:7] in (b"n+2", b"ni2"):
        raise InputError(f"{path}: is in NIfTI-2, which is not read here; convert it to NIfTI-1")
    pair = magic == b"ni1\0" and path.suffix == ".hdr" and not packed
    together = magic == b"n+1\0" and not name.endswith((".hdr", ".img"))  # of which SimpleITK reads the other
    if not (together or pair):
        raise InputError(f"{path}: is no NIfTI file, {but}; copy or export it again")
    voxels = path if together else path.with_suffix(".img")
    fields = Fields.of(content)
    header = Header(fields, check(path, fields, together), voxels, packed)
    if not voxels.is_file():
        raise InputError(f"{path}: its voxels are not there; put {voxels.name} beside it, or export one .nii.gz")
    size = voxels.stat().st_size
    if size * (PACKING if packed else 1) < header.stop:
        raise InputError(
            f"{path}: its header claims {header.voxels} voxels, for which {size} bytes are too few; copy the file again"
        )
    return header


def check(path: Path, fields: Fields, together: bool) -> int:
    """Check the fields of a header one by one; the number of voxels.

    Args:
        path: the file, for the message.
        fields: of its header.
        together: whether it holds the voxels, too.

    Raises:
        InputError: the sizes, the spacing, the voxels' type, their place or the orientation cannot be.
    """
    dimensions = fields.dim[0]
    size = fields.dim[1 : 1 + max(0, dimensions)]
    if fields.length != LENGTH or not 1 <= dimensions <= 7 or min(size) < 1:
        raise InputError(f"{path}: its header is damaged (size {rounded(size)}); export the volume again")
    spacing = fields.pixdim[1 : 1 + min(3, dimensions)]
    if not all(0 < mm < math.inf for mm in spacing):  # also where it is NaN
        raise InputError(f"{path}: its header gives a spacing of {rounded(spacing)} mm; export the volume again")
    datatype, bits, start = fields.datatype, fields.bits, fields.vox_offset
    if BITS.get(datatype) != bits:
        raise InputError(f"{path}: its header gives voxels of type {datatype} {bits} bits; export the volume again")
    voxels = math.prod(size)
    if max(size) > LARGEST_SIZE or voxels * bits // 8 > LARGEST_BYTES:
        raise InputError(
            f"{path}: its header claims {' x '.join(map(str, size))} voxels of {bits} bits; more than {LARGEST_SIZE} "
            f"along an axis, or {LARGEST_BYTES >> 30} GiB in all, are not read; crop the volume or export it again"
        )
    least = LENGTH + 4 if together else 0
    if not (math.isfinite(start) and start.is_integer() and least <= start <= LARGEST_HEADER):
        raise InputError(f"{path}: its header puts the first voxel at byte {start:g}; export the volume again")
    slope, intercept = fields.slope, fields.intercept
    scaled = abs(slope) >= SMALLEST_SLOPE and math.isfinite(slope) and math.isfinite(intercept)
    if not scaled and not all(value == 0 or math.isnan(value) for value in (slope, intercept)):
        raise InputError(f"{path}: its header rescales voxels by {slope:g} and {intercept:g}; export the volume again")
    check_orientation(path, fields)
    return voxels


def check_orientation(path: Path, fields: Fields) -> None:
    """Check that a header's orientation is made of numbers, and turns a volume without flattening it.

    Raises:
        InputError: it is not, or does.
    """
    rows, quaternion = fields.rows, fields.quaternion
    if fields.sform > 0:
        a, b, c = (rows[axis:12:4] for axis in range(3))  # columns: the steps along x, y and z
        normal = (b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0])
        box = math.prod(math.hypot(*axis) for axis in (a, b, c))
        # their volume is that of the box for axes at right angles, and 0 for a flat volume
        if not (all(map(math.isfinite, rows)) and abs(sum(x * y for x, y in zip(a, normal, strict=True))) > 1e-3 * box):
            raise InputError(f"{path}: its orientation (sform) {rounded(rows)} is none; export the volume again")
    if fields.qform > 0 and not (all(map(math.isfinite, quaternion)) and sum(q * q for q in quaternion[:3]) < 1.01):
        raise InputError(f"{path}: its orientation (qform) {rounded(quaternion)} is none; export the volume again")


FORMAT = Format("NIfTI", (".nii", ".nii.gz"), read_header)  # .hdr is told by its content
