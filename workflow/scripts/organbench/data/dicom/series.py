"""A CT series: the slices of one scan, a DICOM file each, in a folder.

Other files and other series may lie in the folder. Where voxels lie follows from the slices' positions, orientation
and pixel spacing (DICOM PS3.3, C.7.6.2), never from SliceThickness, file names or instance numbers.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import CTImageStorage

from organbench.core.errors import InputError, plain
from organbench.data import images
from organbench.data.dicom.files import read_header
from organbench.data.dicom.slices import Slice, check_pixels, slices_in
from organbench.data.formats.kind import LARGEST_BYTES
from organbench.data.grids import Array, Grid, check_grid, place

PLACE_MM = 0.1  # a slice may lie so far from its place on the grid: positions are often rounded to tenths
SAME_MM = 0.01  # slices that lie closer are at the same place
SAME_COSINE = 1e-4  # slices whose axes differ by less are parallel


@dataclass(frozen=True)
class Series:
    """One CT series, sorted along its slices' normal.

    Attributes:
        folder: where its files lie.
        files: one a slice, in the order of the image's slices (index z).
        instances: SOPInstanceUID of each slice, in the same order.
        sop_class: of the slices, a UID.
        uid: SeriesInstanceUID; empty where the files name none.
        study: StudyInstanceUID.
        frame_of_reference: its UID; empty where the files name none.
        grid: where the voxels lie; z goes along the slices' normal.
        header: of the first slice, without pixels; patient and study are told from it.
        pixels: SimpleITK's type that holds the HU of all slices; None where they are stored alike, so that the type
            that GDCM takes for the first one does.
    """

    folder: Path
    files: tuple[Path, ...]
    instances: tuple[str, ...]
    sop_class: str
    uid: str
    study: str
    frame_of_reference: str
    grid: Grid
    header: pydicom.Dataset
    pixels: int | None = None

    def told(self) -> dict[str, str]:
        """What `case.json` says of it: the UIDs of study, series and frame of reference."""
        return {"study": self.study, "uid": self.uid, "frame_of_reference": self.frame_of_reference}


def find(folder: Path, uid: str | None = None) -> Series:
    """Find the CT series in a folder, and where its voxels lie.

    Args:
        folder: holds the slices; what lies in folders inside it does not count.
        uid: SeriesInstanceUID of the one that is wanted; None where there is to be only one.

    Returns:
        The series, with its slices in order.

    Raises:
        InputError: there is no CT series, or more than one; slices are damaged, missing, doubled, unevenly spaced,
            shifted as by a tilted gantry, or do not belong together.
    """
    found, others = slices_in(folder)
    series = Counter(one.series for one in found)
    if uid is not None and uid not in series:
        raise InputError(f"{folder}: no CT series {plain(uid)} is there; put it there, or name another")
    if not found:
        raise InputError(f"{folder}: holds no CT series ({told(others)}); put the slices' DICOM files there")
    if uid is None and len(series) > 1:
        names = {one.series: one.description for one in found}
        listed = "; ".join(f"{plain(key)} {names[key]!r}: {n} slices" for key, n in sorted(series.items()))
        raise InputError(f"{folder}: holds {len(series)} CT series ({listed}); leave one, move the others away")
    chosen = ordered(folder, [one for one in found if uid is None or one.series == uid])
    first = chosen[0]
    header, _ = read_header(first.path)
    return Series(
        folder=folder,
        files=tuple(one.path for one in chosen),
        instances=tuple(one.instance for one in chosen),
        sop_class=str(CTImageStorage),
        uid=first.series,
        study=first.study,
        frame_of_reference=first.frame,
        grid=grid_of(folder, chosen),
        header=header,
        pixels=pixels_of(chosen),
    )


def read(series: Series) -> sitk.Image:
    """Read a series' voxels.

    Args:
        series: as `find` has found it.

    Returns:
        HU on the series' grid, of an integer type where all are whole numbers.

    Raises:
        InputError: a slice is damaged or cut short.
    """
    for path in series.files:
        check_pixels(path, series.grid)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in series.files])
    reader.SetImageIO("GDCMImageIO")
    if series.pixels is not None:
        reader.SetOutputPixelType(series.pixels)
    with images.readable(series.folder):
        image: sitk.Image = reader.Execute()
    if image.GetSize() != series.grid.size or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{series.folder}: its slices hold other pixels than they say; export the series again")
    place(image, series.grid)
    return image


def told(others: Counter[str]) -> str:
    """What else is in a folder, in words."""
    return ", ".join(f"{kind}: {n} file{'s' * (n > 1)}" for kind, n in sorted(others.items())) or "it is empty"


def ordered(folder: Path, found: Sequence[Slice]) -> list[Slice]:
    """Slices in their order along their normal.

    Raises:
        InputError: they do not belong together; some are missing, doubled, uneven or shifted.
    """
    first = found[0]
    for one in found:
        for what, ours, theirs, tolerance in (
            ("Rows and Columns", one.size, first.size, 0),
            ("ImageOrientationPatient", [*one.row, *one.column], [*first.row, *first.column], SAME_COSINE),
            ("PixelSpacing", one.spacing, first.spacing, SAME_COSINE),
        ):
            if not np.allclose(ours, theirs, rtol=0, atol=tolerance):
                raise InputError(
                    f"{folder}: {one.path.name} has another {what} than {first.path.name} of the same series; "
                    "leave the slices of one scan"
                )
        if one.frame != first.frame or one.study != first.study:
            raise InputError(
                f"{folder}: {one.path.name} and {first.path.name} are of one series, but of two studies or "
                "frames of reference; export the series again"
            )
    normal = np.cross(first.row, first.column)
    result = sorted(found, key=lambda one: float(one.position @ normal))
    check_places(folder, result, np.array([one.position @ normal for one in result]))
    check_shift(folder, result, normal)
    return result


def check_places(folder: Path, slices: Sequence[Slice], places: Array) -> None:
    """Check that slices, sorted, lie at even steps along their normal (mm)."""
    if len(slices) < 2:
        raise InputError(
            f"{folder}: has a single CT slice, so that the distance of slices is not known; copy all slices"
        )
    steps = np.diff(places)
    for index in map(int, np.flatnonzero(steps < SAME_MM)):
        one, other = slices[index], slices[index + 1]
        what = "the same slice" if one.instance == other.instance else "two slices at the same place"
        raise InputError(f"{folder}: {one.path.name} and {other.path.name} are {what}; leave one of them")
    usual = float(steps.min())
    wide = np.flatnonzero(steps > 1.5 * usual)
    whole = np.rint(steps / usual)
    if len(wide) and np.all(np.abs(steps - whole * usual) <= np.maximum(PLACE_MM, 0.1 * usual)):
        index = int(wide[0])
        raise InputError(
            f"{folder}: {int((whole - 1).sum())} slices are missing, the first after {slices[index].path.name}, "
            f"where the next one is {steps[index]:g} mm away and not {usual:g} mm; copy or export all slices"
        )
    even = np.linspace(places[0], places[-1], len(places))
    if (off := np.abs(places - even)).max() > PLACE_MM:
        raise InputError(
            f"{folder}: slices are unevenly spaced, {steps.min():g} to {steps.max():g} mm, at worst by "
            f"{off.max():.2f} mm at {slices[int(off.argmax())].path.name}; resample the scan, or export it evenly"
        )


def check_shift(folder: Path, slices: Sequence[Slice], normal: Array) -> None:
    """Check that slices lie straight above one another."""
    moved = np.array([one.position - slices[0].position for one in slices])
    along = moved @ normal
    aside = moved - along[:, None] * normal
    shift = np.linalg.norm(aside, axis=1)
    if shift.max() <= PLACE_MM:
        return
    if np.abs(aside - along[:, None] * (aside[-1] / along[-1])).max() <= PLACE_MM:
        angle = math.degrees(math.atan2(shift[-1], along[-1]))
        raise InputError(
            f"{folder}: the gantry was tilted by {angle:.1f} degrees, so that each slice is shifted against the one "
            "before; correct the tilt, for one in dcm2niix or 3D Slicer, and use what they write"
        )
    raise InputError(
        f"{folder}: slices are shifted against one another by up to {shift.max():.1f} mm; "
        "leave the slices of one scan, or export it again"
    )


def pixels_of(slices: Sequence[Slice]) -> int | None:
    """SimpleITK's type for the HU of slices: GDCM would give all the first one's, in which others may not fit."""
    if any(not number.is_integer() for one in slices for number in one.rescale):
        return int(sitk.sitkFloat32)
    return int(sitk.sitkInt32) if len({(one.rescale, one.stored) for one in slices}) > 1 else None


def grid_of(folder: Path, slices: Sequence[Slice]) -> Grid:
    """The grid of slices in their order."""
    first, last = slices[0], slices[-1]
    normal = np.cross(first.row, first.column)
    step = round(float((last.position - first.position) @ normal) / (len(slices) - 1), 6)
    grid = Grid.from_json(
        {
            "size": (*first.size, len(slices)),
            "spacing": (*first.spacing, step),
            "origin": first.position,
            "direction": np.column_stack([first.row, first.column, normal]).ravel(),
        }
    )
    check_grid(folder, grid, 2)
    if grid.voxels * 2 > LARGEST_BYTES:
        raise InputError(f"{folder}: its slices claim more voxels than any scan has; export the series again")
    return grid
