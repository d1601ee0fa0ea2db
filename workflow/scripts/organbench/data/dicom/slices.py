"""The slices of CT series in a folder: what their headers say, checked, and whether all pixels are there."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from organbench.core.errors import InputError, plain
from organbench.data.dicom.files import is_dicom, read_header, sound
from organbench.data.formats.kind import LARGEST_SIZE
from organbench.data.grids import Array, Grid

PACKING = 1000  # no compression of a slice gains more
UNDEFINED = 0xFFFFFFFF  # length of pixels that are compressed
NEXT_ITEM, LAST_ITEM = 0xE000FFFE, 0xE0DDFFFE  # tags, as they lie in a file
TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "SeriesInstanceUID", "StudyInstanceUID"),
    *("SeriesDescription", "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation", "RescaleSlope"),
    *("RescaleIntercept", "NumberOfFrames", "BitsStored", "PixelRepresentation"),
)
MULTIFRAME = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)


@dataclass(frozen=True)
class Slice:
    """What a file of a CT series says of its slice.

    Attributes:
        path: the file.
        instance: SOPInstanceUID.
        series: SeriesInstanceUID.
        description: of the series, for people.
        study: StudyInstanceUID.
        frame: FrameOfReferenceUID.
        position: of the first voxel's centre, mm (LPS).
        row: unit vector along a row (x).
        column: unit vector along a column (y).
        spacing: mm, x y.
        size: voxels, x y.
        rescale: slope and intercept from stored values to HU.
        stored: bits of a value, and whether it has a sign.
    """

    path: Path
    instance: str
    series: str
    description: str
    study: str
    frame: str
    position: Array
    row: Array
    column: Array
    spacing: tuple[float, float]
    size: tuple[int, int]
    rescale: tuple[float, float]
    stored: tuple[int, int]


def slices_in(folder: Path) -> tuple[list[Slice], Counter[str]]:
    """The slices of all CT series in a folder, scouts left out; and how many files of which other kinds there are."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; name one with the DICOM files of a CT series")
    found, others = [], Counter[str]()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if not is_dicom(path):
            others["no DICOM"] += 1
            continue
        header, start = read_header(path, TAGS)
        with sound(path):
            kind, modality = header.get("SOPClassUID") or of_meta(header, "Class"), text(header, "Modality")
            scout = "LOCALIZER" in [str(word).upper() for word in header.get("ImageType") or []]
        if kind in MULTIFRAME:
            others["several slices in one file"] += 1
        elif kind != CTImageStorage or modality != "CT":
            others[f"modality {plain(modality) or 'unknown'}" if kind != CTImageStorage else "no CT"] += 1
        elif scout:
            others["scout view"] += 1
        else:
            found.append(slice_of(path, header, start))
    return found, others


def text(header: pydicom.Dataset, keyword: str) -> str:
    """A value of a header as text; empty where it is not there."""
    return str(header.get(keyword) or "").strip()


def of_meta(header: pydicom.Dataset, what: str) -> UID:
    """The UID that the file's own header gives, where the data set was robbed of it when names were removed."""
    keyword = {"Class": "MediaStorageSOPClassUID", "Instance": "MediaStorageSOPInstanceUID"}[what]
    return UID(str(header.file_meta.get(keyword) or ""))


def slice_of(path: Path, header: pydicom.Dataset, start: int) -> Slice:
    """What a slice's header says, checked.

    Raises:
        InputError: it does not say where its pixels lie, or what they mean; or the file is too short for them.
    """
    with sound(path):
        size = int(header.get("Columns") or 0), int(header.get("Rows") or 0)
        stored = int(header.get("BitsStored") or 0), int(header.get("PixelRepresentation") or 0)
        bits, samples = int(header.get("BitsAllocated") or 0), int(header.get("SamplesPerPixel") or 1)
        kind = text(header, "PhotometricInterpretation")
        frames = int(header.get("NumberOfFrames") or 1)
        position, axes, between = (
            numbers(path, header, keyword, count)
            for keyword, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
        )
        rescale = tuple(float(header.get(f"Rescale{part}", math.nan)) for part in ("Slope", "Intercept"))
        packed = header.file_meta.TransferSyntaxUID.is_encapsulated
        described = plain(text(header, "SeriesDescription"))
        names = [text(header, f"{what}UID") for what in ("SeriesInstance", "StudyInstance", "FrameOfReference")]
        instance = text(header, "SOPInstanceUID") or str(of_meta(header, "Instance"))
    if samples != 1 or kind not in ("MONOCHROME2", "") or bits not in (8, 16, 32) or frames != 1:
        raise InputError(f"{path}: is no grey slice of 8, 16 or 32 bits; export the CT series again")
    if min(size) < 1 or max(size) > LARGEST_SIZE:
        raise InputError(f"{path}: claims {size[0]} x {size[1]} pixels; export the CT series again")
    if (path.stat().st_size - start) * (PACKING if packed else 1) < size[0] * size[1] * bits // 8:
        raise InputError(f"{path}: is cut short, or claims pixels that are not there; copy the file again")
    if not (all(map(math.isfinite, rescale)) and rescale[0] > 0):
        raise InputError(f"{path}: does not say what its values are in HU (RescaleSlope, RescaleIntercept)")
    row, column = axes[:3], axes[3:]
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if not np.allclose([*lengths, 1 + float(row @ column)], 1, atol=1e-3):
        raise InputError(f"{path}: its ImageOrientationPatient is none; export the CT series again")
    row = row / lengths[0]
    column = column - row * (row @ column)
    return Slice(
        path=path,
        instance=instance,
        series=names[0],
        description=described,
        study=names[1],
        frame=names[2],
        position=position,
        row=row,
        column=column / np.linalg.norm(column),
        spacing=(float(between[1]), float(between[0])),  # of PixelSpacing the first is between rows, that is along y
        size=size,
        rescale=(rescale[0], rescale[1]),
        stored=stored,
    )


def numbers(path: Path, header: pydicom.Dataset, keyword: str, count: int) -> Array:
    """A value of a header as so many numbers."""
    found = np.atleast_1d(np.asarray(header.get(keyword, []), float))
    if found.shape != (count,) or not np.isfinite(found).all():
        raise InputError(f"{path}: has no {keyword} of {count} numbers; export the CT series again")
    return found


def check_pixels(path: Path, grid: Grid) -> None:
    """Check that the pixels of a slice are all there: GDCM reads what is missing as anything.

    Raises:
        InputError: the file is damaged or cut short, or was changed since its header was read.
    """
    header, start = read_header(path, TAGS)
    with sound(path), path.open("rb") as stream:
        size, syntax = (int(header.Columns), int(header.Rows)), header.file_meta.TransferSyntaxUID
        if size != grid.size[:2]:
            raise InputError(f"{path}: was changed while it was being read; run again when it is complete")
        stream.seek(start)
        tag = stream.read(8 if syntax.is_implicit_VR else 12)
        length = int.from_bytes(tag[-4:], "little" if syntax.is_little_endian else "big")
        left = path.stat().st_size - stream.tell()
        if not syntax.is_encapsulated:
            whole = size[0] * size[1] * int(header.BitsAllocated) // 8 <= length <= left
        else:
            whole = length == UNDEFINED and fragments_end(stream, left)
    if not whole:
        raise InputError(f"{path}: is cut short, or claims pixels that are not there; copy the file again")


def fragments_end(stream: BinaryIO, left: int) -> bool:
    """Whether the fragments of compressed pixels (PS3.5, A.4), of which so many bytes are left, come to their end."""
    while len(item := stream.read(8)) == 8:
        tag, length = int.from_bytes(item[:4], "little"), int.from_bytes(item[4:], "little")
        left -= 8 + length
        if tag == LAST_ITEM:
            return True
        if tag != NEXT_ITEM or left < 0:
            return False
        stream.seek(length, 1)
    return False
