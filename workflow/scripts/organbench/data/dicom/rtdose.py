"""RTDOSE: a planned dose as planning systems export it (DICOM PS3.3, C.8.8.3), a file with all planes of a grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk

from organbench.core.errors import InputError, plain
from organbench.data.dicom.files import is_dicom, read_header, sound
from organbench.data.formats.kind import LARGEST_SIZE
from organbench.data.grids import Array, Grid, check_grid, to_image

STORAGE = "1.2.840.10008.5.1.4.1.1.481.2"  # SOPClassUID
TYPES = ("PHYSICAL", "EFFECTIVE")  # DoseType: no error of a dose
WHOLE = ("PLAN", "MULTI_PLAN", "PLAN_OVERVIEW")  # DoseSummationType: not of one beam, fraction or control point
EVEN_MM = 0.01  # planes may lie so far from their place at even steps
SAME_MM = 0.01  # an absolute first offset is the first plane's z within this
BITS = (16, 32)
TAGS = ("SOPClassUID", "DoseSummationType")


def find(paths: Sequence[Path]) -> Path:
    """Find the one dose of a whole plan among files, most of which may be something else.

    Args:
        paths: the files of a folder.

    Returns:
        Its path.

    Raises:
        InputError: there is none, or more than one; or a file is damaged.
    """
    found: dict[Path, str] = {}
    for path in filter(is_dicom, paths):
        header, _ = read_header(path, TAGS)
        if text(path, header, "SOPClassUID") == STORAGE:
            found[path] = text(path, header, "DoseSummationType")
    whole = [path for path, summation in found.items() if summation in WHOLE] or list(found)
    if not whole:
        raise InputError(f"{paths[0].parent}: holds no RTDOSE; export the plan's dose there")
    if len(whole) > 1:
        names = ", ".join(path.name for path in whole[:5])
        of_what = " of whole plans" if found[whole[0]] in WHOLE else ", none of a whole plan"
        raise InputError(f"{paths[0].parent}: holds {len(whole)} RTDOSE{of_what} ({names}); leave that of the plan")
    return whole[0]


def read(path: Path, frame_of_reference: str = "") -> sitk.Image:
    """Read a planned dose.

    Args:
        path: an RTDOSE file.
        frame_of_reference: UID of the scan's, in which the dose has to lie; empty where it is not known.

    Returns:
        Gy, float32, on the dose's own grid.

    Raises:
        InputError: it is no dose of a whole plan in Gy; it lies in another frame of reference, or does not say where;
            or it is damaged.
    """
    header, start = read_header(path)
    check_meaning(path, header)
    frame = text(path, header, "FrameOfReferenceUID")
    if frame and frame_of_reference and frame != frame_of_reference:
        raise InputError(f"{path}: lies in another frame of reference than the scan; export the dose on this scan")
    with sound(path):
        columns, rows, frames = (int(header.get(key) or 1) for key in ("Columns", "Rows", "NumberOfFrames"))
        bits, samples = int(header.get("BitsAllocated") or 0), int(header.get("SamplesPerPixel") or 1)
        scaling = float(header.get("DoseGridScaling") or 0)
        packed = header.file_meta.TransferSyntaxUID.is_encapsulated
    if not (min(columns, rows) >= 1 and frames >= 2 and max(columns, rows, frames) <= LARGEST_SIZE):
        raise InputError(
            f"{path}: has {columns} x {rows} x {frames} voxels, which is no dose of a volume; export it again"
        )
    if bits not in BITS or samples != 1:
        raise InputError(
            f"{path}: has {samples} values of {bits} bits a voxel and not one of 16 or 32; export it again"
        )
    if not (np.isfinite(scaling) and scaling > 0):
        raise InputError(f"{path}: does not say by what its values become Gy (DoseGridScaling); export it again")
    size = (columns, rows, frames)
    grid, is_reversed = grid_of(path, header, size)
    check_grid(path, grid, bits // 8)
    if not packed and path.stat().st_size - start < grid.voxels * bits // 8:
        raise InputError(f"{path}: is cut short, or claims voxels that are not there; copy the file again")
    with sound(path):
        stored: Array = pydicom.dcmread(path).pixel_array
    if stored.shape != grid.shape:
        raise InputError(f"{path}: holds {stored.shape} voxels (z y x) and not {grid.shape}; export it again")
    dose = stored.astype(np.float32) if bits == BITS[0] else stored.astype(np.float64)
    dose = (dose * scaling).astype(np.float32)
    return to_image(np.ascontiguousarray(dose[::-1]) if is_reversed else dose, grid)


def check_meaning(path: Path, header: pydicom.Dataset) -> None:
    """Check that a file is the dose of a whole plan in Gy.

    Raises:
        InputError: it is not.
    """
    if text(path, header, "SOPClassUID") != STORAGE:
        raise InputError(
            f"{path}: is no RTDOSE but {plain(text(path, header, 'Modality') or 'something else')}; name the dose"
        )
    for keyword, known, remedy in (
        ("DoseUnits", ("GY",), "export it in Gy"),
        ("DoseType", TYPES, "export the dose itself"),
        ("DoseSummationType", WHOLE, "export the dose of the whole plan"),
    ):
        found = text(path, header, keyword).upper()
        if found not in known:
            raise InputError(
                f"{path}: its {keyword} is {plain(found) or 'not told'} and not {' or '.join(known)}; {remedy}"
            )


def grid_of(path: Path, header: pydicom.Dataset, size: tuple[int, int, int]) -> tuple[Grid, bool]:
    """Where a dose lies.

    Args:
        path: the file, for messages.
        header: what it says.
        size: voxels, x y z.

    Returns:
        Its grid, z along the planes' normal; and whether its planes are stored against that.

    Raises:
        InputError: it does not say so, or its planes are not at even steps.
    """
    origin, axes, between = (
        numbers(path, header, keyword, count)
        for keyword, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
    )
    offsets = numbers(path, header, "GridFrameOffsetVector", size[2])
    axial = np.allclose(axes, (1, 0, 0, 0, 1, 0), atol=1e-6)
    if offsets[0] != 0:  # z of each plane, as older systems write it
        if not (axial and abs(offsets[0] - origin[2]) <= SAME_MM):
            raise InputError(
                f"{path}: its GridFrameOffsetVector begins with {offsets[0]:g} mm, which is neither 0 nor the z of "
                "axial planes; export the dose again"
            )
        offsets = offsets - offsets[0]
    step = offsets[-1] / (size[2] - 1)
    if not step or np.abs(offsets - step * np.arange(size[2])).max() > EVEN_MM:
        raise InputError(f"{path}: its planes are not at even steps (GridFrameOffsetVector); export an even grid")
    normal = np.cross(axes[:3], axes[3:])
    if step < 0:
        origin = origin + offsets[-1] * normal
    place: dict[str, Any] = {"origin": origin, "direction": np.column_stack([axes[:3], axes[3:], normal]).ravel()}
    # of PixelSpacing the first is between rows, that is along y
    return Grid.from_json({"size": size, "spacing": (between[1], between[0], abs(step)), **place}), bool(step < 0)


def numbers(path: Path, header: pydicom.Dataset, keyword: str, count: int) -> Array:
    """A value of a header as so many finite numbers."""
    with sound(path):
        found = np.atleast_1d(np.asarray(header.get(keyword, []), float))
    if found.shape != (count,) or not np.isfinite(found).all():
        raise InputError(f"{path}: has no {keyword} of {count} numbers; export the dose again")
    return found


def text(path: Path, header: pydicom.Dataset, keyword: str) -> str:
    """A value of a file's header as text; empty where it is not there."""
    with sound(path):  # values are decoded when they are asked for
        return str(header.get(keyword) or "").strip()
