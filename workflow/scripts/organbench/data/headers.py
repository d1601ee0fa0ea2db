"""What the header of a file claims, checked before any other program believes it.

SimpleITK takes a spacing of 0 or NaN for 1 mm and an unknown magic for another format, and sets aside memory for as
many voxels as a header asks for. Such files are refused here, from their first few hundred bytes and their size. It
never comes back from a MetaImage of 10^9 dimensions, breaks down at an NRRD with a long line that it cannot read, and
takes the name of the file that holds the voxels for a format of printf: of these formats the header is refused unless
it is short lines of text that name a plain file.
Offsets and meanings are those of nifti1.h and nifti2.h (https://nifti.nimh.nih.gov).
"""

import gzip
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from organbench.core.errors import InputError

LARGEST_SIZE = 4096  # voxels of an axis; photon-counting scanners have 2048
LARGEST_BYTES = 4 << 30  # of all voxels as they are stored: 1024 x 1024 x 2048 of 16 bits
LARGEST_HEADER = 64 << 20  # bytes before the first voxel
SMALLEST_SLOPE = 1e-6  # SimpleITK takes a much smaller one for 1
METAIMAGE, NRRD = (".mha", ".mhd"), (".nrrd", ".nhdr")
LOCAL = (b"LOCAL", b"Local", b"local")  # where MetaImages have their voxels in the same file
LARGEST_TEXT = 1 << 20  # bytes of a header of text
LONGEST_LINE = 500  # bytes
PACKING = 1032  # to so few bytes deflate can pack one (zlib's "maximum compression factor")

GZIP = b"\x1f\x8b"
BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
BITS |= {1536: 128, 1792: 128, 2048: 256, 2304: 32}  # of a voxel of NIfTI's datatypes

FIELDS = {  # name: format, offset
    "length": ("i4", 0),
    "dim": ("8i2", 40),
    "datatype": ("i2", 70),
    "bits": ("i2", 72),
    "pixdim": ("8f4", 76),
    "vox_offset": ("f4", 108),
    "slope": ("f4", 112),
    "intercept": ("f4", 116),
    "qform": ("i2", 252),
    "sform": ("i2", 254),
    "quaternion": ("6f4", 256),  # b c d, and the origin
    "rows": ("(3,4)f4", 280),
    "magic": ("S4", 344),
}
LENGTH = 348


@dataclass(frozen=True)
class Header:
    """What a NIfTI file's header claims.

    Attributes:
        order: `<` or `>`, the byte order of header and voxels.
        datatype: NIfTI's number for the voxels' type.
        bits: of a voxel.
        voxels: how many there are.
        start: bytes before the first voxel.
        slope: by which stored values are multiplied; 0 or NaN: not at all.
        intercept: that is added then.
        file: that holds the voxels.
        packed: whether it is compressed by gzip.
    """

    order: str
    datatype: int
    bits: int
    voxels: int
    start: int
    slope: float
    intercept: float
    file: Path
    packed: bool

    @property
    def stop(self) -> int:
        """Bytes up to the last voxel."""
        return self.start + self.voxels * self.bits // 8


@dataclass(frozen=True)
class TextHeader:
    """Where a MetaImage or an NRRD file has its voxels.

    Attributes:
        file: that holds them.
        start: bytes before the first voxel.
        packed: whether they are compressed.
    """

    file: Path
    start: int
    packed: bool


def read(path: Path) -> Header | TextHeader:
    """Read and check the header of a NIfTI file; `read_text` does that of a MetaImage or an NRRD file.

    Raises:
        InputError: the header is damaged, or claims what cannot be, or the file is of another format.
    """
    with whole(path), path.open("rb") as file:
        packed = file.read(2) == GZIP
    with whole(path), gzip.open(path) if packed else path.open("rb") as stream:
        content = stream.read(540)
    if not content:
        raise InputError(f"{path}: is empty; copy the file again")
    name = path.name.lower()
    if name.endswith(METAIMAGE + NRRD):
        return read_text(path)
    if packed and name.endswith(".nii"):
        raise InputError(f"{path}: is compressed; name it {path.name}.gz")
    if content[4:7] in (b"n+2", b"ni2"):
        raise InputError(f"{path}: is in NIfTI-2, which is not read here; convert it to NIfTI-1")
    magic, named = content[344:348], name.endswith((".nii", ".nii.gz"))
    pair = magic == b"ni1\0" and path.suffix == ".hdr" and not packed
    together = magic == b"n+1\0" and not name.endswith((".hdr", ".img"))  # of which SimpleITK reads the other
    if not (together or pair):
        but = "whatever its name says" if named else f"nor named as MetaImage or NRRD ({' '.join(METAIMAGE + NRRD)})"
        raise InputError(f"{path}: is no NIfTI file, {but}; copy or export it again")
    order = "<" if int.from_bytes(content[40:42], "little") in range(1, 8) else ">"
    kind = np.dtype(
        {
            "names": list(FIELDS),
            "formats": [form if form.startswith("S") else with_order(form, order) for form, _ in FIELDS.values()],
            "offsets": [offset for _, offset in FIELDS.values()],
            "itemsize": LENGTH,
        }
    )
    fields = np.frombuffer(content[:LENGTH], kind)[0]
    voxels = path if together else path.with_suffix(".img")
    header = check(path, fields, order, packed=packed, file=voxels)
    if not voxels.is_file():
        raise InputError(f"{path}: its voxels are not there; put {voxels.name} beside it, or export one .nii.gz")
    size = voxels.stat().st_size
    if size * (PACKING if packed else 1) < header.stop:
        raise InputError(
            f"{path}: its header claims {header.voxels} voxels, for which {size} bytes are too few; copy the file again"
        )
    return header


def read_text(path: Path) -> TextHeader:
    """Check that a MetaImage or an NRRD file begins with short lines of text, and see where its voxels are.

    These end with `ElementDataFile`, or with an empty line. Longer than `LONGEST_LINE` may only be NRRD's comments and
    its pairs of `key:=value`. `NDims`, a MetaImage's number of dimensions, has one digit. Voxels that are elsewhere are
    in a file: pipes do not end, and a name with % (of one file a slice) is a format in which printf writes to memory.

    Raises:
        InputError: it does not.
    """
    is_nrrd = path.name.lower().endswith(NRRD)
    last = rb"" if is_nrrd else rb"\s*ElementDataFile\s*[=:].*"
    long = rb"#.*|[^:]*:=.*" if is_nrrd else rb"(?!)"  # nothing
    with whole(path), path.open("rb") as file:
        content = file.read(LARGEST_TEXT + 1)
    lines = content.split(b"\n")
    end = next((i for i, line in enumerate(lines, start=1) if re.fullmatch(last, line.rstrip(b"\r"))), None)
    header = [line.rstrip(b"\r") for line in lines[:end]]
    if (end is None and len(content) > LARGEST_TEXT) or any(
        b"\0" in line or (len(line) > LONGEST_LINE and not re.fullmatch(long, line)) for line in header
    ):
        raise InputError(f"{path}: its header is not the short lines of text that it should be; copy the file again")
    dimensions = re.findall(rb"NDims(.*)", b"\n".join(header))
    if not is_nrrd and not (dimensions and all(re.fullmatch(rb"\s*[=:]\s*[1-9]\s*", given) for given in dimensions)):
        raise InputError(f"{path}: its header does not give the number of dimensions (NDims); export the volume again")
    packing = rb"(?i)\s*encoding:\s*gz(ip)?\s*" if is_nrrd else rb"\s*CompressedData\s*[=:]\s*[Tt1].*"
    naming = rb"(?i)\s*data ?file\s*:(.*)" if is_nrrd else rb".*ElementDataFile[\s=:]*(.*)"
    voxels, start = path, sum(len(line) + 1 for line in lines[:end])
    for found in filter(None, (re.fullmatch(naming, line) for line in header)):
        name = found[1].strip()
        if is_nrrd or name not in LOCAL:
            voxels, start = path.parent / os.fsdecode(name), 0
            if re.match(rb"LIST|-|.*%", name) or not os.path.isfile(voxels):
                raise InputError(
                    f"{path}: its voxels are in {os.fsdecode(name)!r}, which is no file; export the volume as one file"
                )
    return TextHeader(voxels, start, any(re.fullmatch(packing, line) for line in header))


def with_order(form: str, order: str) -> str:
    """A numpy format with a byte order: `8i2` becomes `8<i2`."""
    return form[:-2] + order + form[-2:]


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Turn what Python says of a file that cannot be read, or unpacked, into one line."""
    try:
        yield
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged or cut short ({error}); copy the file again") from None


def check(path: Path, fields: Any, order: str, *, packed: bool, file: Path) -> Header:
    """Check the fields of a header one by one.

    Args:
        path: the file, for the message.
        fields: a record of `FIELDS`.
        order: `<` or `>`.
        packed: whether the file is compressed.
        file: that holds the voxels.

    Raises:
        InputError: the sizes, the spacing, the voxels' type, their place or the orientation cannot be.
    """
    dimensions = int(fields["dim"][0])
    size = [int(n) for n in fields["dim"][1 : 1 + max(0, dimensions)]]
    if int(fields["length"]) != LENGTH or not 1 <= dimensions <= 7 or min(size) < 1:
        raise InputError(f"{path}: its header is damaged (size {rounded(size)}); export the volume again")
    spacing = fields["pixdim"][1 : 1 + min(3, dimensions)]
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise InputError(f"{path}: its header gives a spacing of {rounded(spacing)} mm; export the volume again")
    datatype, bits = int(fields["datatype"]), int(fields["bits"])
    if BITS.get(datatype) != bits:
        raise InputError(f"{path}: its header gives voxels of type {datatype} {bits} bits; export the volume again")
    voxels = math.prod(size)
    if max(size) > LARGEST_SIZE or voxels * bits // 8 > LARGEST_BYTES:
        raise InputError(
            f"{path}: its header claims {' x '.join(map(str, size))} voxels of {bits} bits; more than {LARGEST_SIZE} "
            f"along an axis, or {LARGEST_BYTES >> 30} GiB in all, are not read; crop the volume or export it again"
        )
    start = float(fields["vox_offset"])
    least = LENGTH + 4 if file == path else 0
    if not (math.isfinite(start) and start.is_integer() and least <= start <= LARGEST_HEADER):
        raise InputError(f"{path}: its header puts the first voxel at byte {start:g}; export the volume again")
    slope, intercept = float(fields["slope"]), float(fields["intercept"])
    scaled = abs(slope) >= SMALLEST_SLOPE and math.isfinite(slope) and math.isfinite(intercept)
    if not scaled and not (nothing(slope) and nothing(intercept)):
        raise InputError(f"{path}: its header rescales voxels by {slope:g} and {intercept:g}; export the volume again")
    check_orientation(path, fields)
    return Header(order, datatype, bits, voxels, int(start), slope, intercept, file, packed)


def check_orientation(path: Path, fields: Any) -> None:
    """Check that a header's orientation is made of numbers, and turns a volume without flattening it.

    Raises:
        InputError: it is not, or does.
    """
    rows, quaternion = fields["rows"].astype(float), fields["quaternion"].astype(float)
    if fields["sform"] > 0:
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(rows[:, :3], axis=0)
            volume = abs(np.linalg.det(rows[:, :3] / lengths))  # 1 for axes at right angles, 0 for a flat volume
        if not (np.isfinite(rows).all() and volume > 1e-3):
            raise InputError(
                f"{path}: its orientation (sform) {rounded(rows.ravel())} is none; export the volume again"
            )
    if fields["qform"] > 0 and not (np.isfinite(quaternion).all() and (quaternion[:3] ** 2).sum() < 1.01):
        raise InputError(f"{path}: its orientation (qform) {rounded(quaternion)} is none; export the volume again")


def nothing(value: float) -> bool:
    """Whether a factor or a summand of a header says that there is none."""
    return value == 0 or math.isnan(value)


def rounded(values: Iterable[float]) -> str:
    """Numbers as a person wants to read them."""
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
