"""Kinds of files with a volume, one a module: what their headers claim, checked before any other program believes it.

SimpleITK takes a spacing of 0 or NaN for 1 mm and an unknown magic for another format, and sets aside memory for as
many voxels as a header asks for. Such files are refused here, from their first few hundred bytes and their size.

A module defines `FORMAT`, and so adds its files to those that are read; SimpleITK then reads the voxels, and
`Header.check_voxels` sees that they are all there. Plain Python, because the workflow reads headers while it is parsed.
"""

from pathlib import Path

from organbench.core.folders import modules
from organbench.data.formats import nifti
from organbench.data.formats.kind import Format, Header

FORMATS: list[Format] = [module.FORMAT for module in modules(__name__) if hasattr(module, "FORMAT")]


def suffix_of(path: Path) -> str:
    """The suffix that tells the format of a file, as it is known here; empty where none does."""
    suffixes = [suffix for known in FORMATS for suffix in known.suffixes if path.name.lower().endswith(suffix)]
    return max(suffixes, key=len, default="")


def read_header(path: Path) -> Header:
    """Read and check the header of a file; its name tells its format, or else it has to be NIfTI.

    Raises:
        InputError: the header is damaged, or claims what cannot be, or the file is of another format.
    """
    named = next((known for known in FORMATS if path.name.lower().endswith(known.suffixes)), None)
    if named:
        return named.read_header(path)
    others = [known for known in FORMATS if known is not nifti.FORMAT]
    suffixes = " ".join(suffix for known in others for suffix in known.suffixes)
    return nifti.read_header(path, f"nor named as {' or '.join(known.name for known in others)} ({suffixes})")
