"""The planned dose of a case, on the scan's own grid.

NIfTI, MetaImage and NRRD hold Gy on a grid of their own; an RTDOSE is found by what it is, also among the other files
of a folder.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import grids, images, shared_voxels
from organbench.data.grids import Array, Grid

HIGHEST_GY = 1000.0  # what is higher is in cGy
LOWEST_GY = -0.1  # interpolation leaves doses a little below 0
PREAMBLE, MAGIC = 128, b"DICM"


def read(paths: Sequence[str | Path], frame_of_reference: str = "") -> sitk.Image:
    """Read a planned dose.

    Args:
        paths: its file, or all files of a folder in which its RTDOSE is.
        frame_of_reference: UID of the scan's, where that is DICOM.

    Returns:
        Gy, float32, on the dose's own grid.

    Raises:
        InputError: there is no dose, or more than one; or it is damaged, or is none in Gy.
    """
    files = [Path(path) for path in paths]
    if len(files) > 1 or is_dicom(files[0]):
        from organbench.data.dicom import rtdose  # slow to import

        path = rtdose.find(files) if len(files) > 1 else files[0]
        dose = rtdose.read(path, frame_of_reference)
    else:
        path = files[0]
        dose = images.read(path)
        if dose.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
            raise InputError(f"{path}: complex voxels; a dose in Gy is needed")
        dose = sitk.Cast(dose, sitk.sitkFloat32)
    voxels = sitk.GetArrayViewFromImage(dose)
    low, high = float(voxels.min()), float(voxels.max())
    if not LOWEST_GY <= low <= high <= HIGHEST_GY:  # also where there is NaN
        raise InputError(f"{path}: holds doses from {low:g} to {high:g}; give Gy (100 cGy are 1 Gy), all 0 or more")
    return dose


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do, or is named as they often are."""
    if not path.is_file():
        raise InputError(f"{path}: {images.missing(path)}")
    with path.open("rb") as stream:
        stream.seek(PREAMBLE)
        return stream.read(len(MAGIC)) == MAGIC or path.suffix.lower() == ".dcm"


def on(scan: Grid, dose: sitk.Image) -> sitk.Image:
    """A dose on the grid of a scan.

    Args:
        scan: the grid.
        dose: Gy, float32, on any grid.

    Returns:
        Gy, float32, linearly interpolated between the centres of the dose's voxels; NaN where a voxel's centre lies
        outside of all of them. The dose itself where it lies on the scan's grid.
    """
    if not any(grids.differences(scan, Grid.of(dose))):
        grids.place(dose, scan)
        return dose
    result: sitk.Image = sitk.Resample(
        dose,
        scan.size,
        sitk.Transform(),
        sitk.sitkLinear,
        scan.origin,
        scan.spacing,
        scan.direction,
        float("nan"),
        sitk.sitkFloat32,
    )
    return result


def unknown(scan: Grid) -> sitk.Image:
    """The dose of a case that has none: NaN."""
    return grids.to_image(np.full(scan.shape, np.nan, np.float32), scan)


def frame_of(info: Mapping[str, Any]) -> str:
    """FrameOfReferenceUID of a case's CT, from what its `case.json` holds; empty where that was no DICOM."""
    return str(info.get("series", {}).get("frame_of_reference", ""))


def uncovered(labels: Array, dose: Array, organs: Sequence[str], drawn: Mapping[int, Array] | None = None) -> list[str]:
    """The organs that a dose does not cover whole.

    Args:
        labels: organ indices, axes z y x.
        dose: Gy, the same shape; NaN where there is none.
        organs: the organs' names, in the order of their indices.
        drawn: bool masks, the same shape, by organ index, of organs that the labels do not show whole.
    """
    bare = np.zeros(len(organs) + 1, bool)
    for here, gray in zip(grids.slabs(labels), grids.slabs(dose), strict=True):
        bare[np.unique(here[np.isnan(gray)])] = True
    for index, mask in (drawn or {}).items():
        bare[index] = np.isnan(dose[mask]).any()
    return [organ for organ, is_bare in zip(organs, bare[1:], strict=True) if is_bare]


def survey(
    paths: Sequence[str | Path],
    label_path: str | Path,
    organs: Mapping[str, Sequence[int]],
    ignored: Sequence[int] = (),
    *,
    frame_of_reference: str = "",
    drawn_path: str | Path | None = None,
) -> dict[str, Any]:
    """What a case's dose is like.

    Args:
        paths: as for `read`.
        label_path: the case's labels.
        organs: name of each organ and its label values.
        ignored: label values that count as background.
        frame_of_reference: as for `read`.
        drawn_path: the masks that the labels do not show whole, see `shared_voxels`; None where there are none.

    Returns:
        `highest`, Gy, and `uncovered`, the organs that it does not cover.

    Raises:
        InputError: the dose or the labels cannot be used.
    """
    dose = read(paths, frame_of_reference)
    highest = float(sitk.GetArrayViewFromImage(dose).max())
    labels = images.read_labels(label_path, organs, ignored)
    there = on(Grid.of(labels), dose)
    (indices, _), (gray, _) = (grids.oriented(image) for image in (labels, there))  # views, while the images live
    drawn, _ = shared_voxels.read_drawn(drawn_path, Grid.of(labels))
    return {"highest": highest, "uncovered": uncovered(indices, gray, list(organs), drawn)}


def told(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What the doses of a study are like: a line over all cases, and one for each that is not scored in Gy.

    Args:
        found: of each case what `survey` says; empty where there is no dose, and `bad` where it cannot be used.
    """
    highest = [dose["highest"] for dose in found.values() if "highest" in dose]
    of_all = f", the highest of each {min(highest):.1f} to {max(highest):.1f} Gy" if highest else ""
    yield f"dose: {len(highest)} of {len(found)} cases have one{of_all}"
    for case, dose in found.items():
        if not dose:
            yield f"note: case {case} has no dose, and is not scored in Gy"
        elif dose.get("uncovered"):
            organs = ", ".join(dose["uncovered"])
            yield f"note: the dose of case {case} does not cover {organs}, which is not scored in Gy"
