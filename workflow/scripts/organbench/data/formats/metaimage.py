"""MetaImage: `.mha`, or `.mhd` with the voxels in another file."""

import re
from functools import partial
from pathlib import Path

from organbench.core.errors import InputError
from organbench.data.formats.kind import Format
from organbench.data.formats.text import Syntax, read_header


def check_dimensions(path: Path, lines: list[bytes]) -> None:
    """Check that there is a number of dimensions, of one digit."""
    given = re.findall(rb"NDims(.*)", b"\n".join(lines))
    if not (given and all(re.fullmatch(rb"\s*[=:]\s*[1-9]\s*", number) for number in given)):
        raise InputError(f"{path}: its header does not give the number of dimensions (NDims); export the volume again")


SYNTAX = Syntax(
    last=rb"\s*ElementDataFile\s*[=:].*",
    long=rb"(?!)",  # nothing
    packing=rb"\s*CompressedData\s*[=:]\s*[Tt1].*",
    naming=rb".*ElementDataFile[\s=:]*(.*)",
    here=(b"LOCAL", b"Local", b"local"),
    check=check_dimensions,
)
FORMAT = Format("MetaImage", (".mha", ".mhd"), partial(read_header, syntax=SYNTAX))
