"""NRRD: `.nrrd`, or `.nhdr` with the voxels in another file."""

from functools import partial

from organbench.data.formats.kind import Format
from organbench.data.formats.text import Syntax, read_header

SYNTAX = Syntax(
    last=rb"",
    long=rb"#.*|[^:]*:=.*",  # comments, and pairs of `key:=value`
    packing=rb"(?i)\s*encoding:\s*gz(ip)?\s*",
    naming=rb"(?i)\s*data ?file\s*:(.*)",
)
SEGMENTATION = ".seg.nrrd"  # of 3D Slicer: its values are told by names
FORMAT = Format("NRRD", (".nrrd", ".nhdr"), partial(read_header, syntax=SYNTAX))
