"""DICOM SEG, structures as voxels (DICOM PS3.3, A.51), by highdicom: an extra, only for who has such files."""

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.sr.codedict import codes
from pydicom.uid import (
    ExplicitVRLittleEndian,
    RLELossless,
    SegmentationStorage,
    generate_uid,
)

from organbench.core.errors import InputError, plain
from organbench.core.files import atomic
from organbench.data import elsewhere
from organbench.data.dicom import references
from organbench.data.dicom.files import is_dicom, read_header, sound
from organbench.data.dicom.rtstruct import NEEDED, check_drawer, check_masks
from organbench.data.dicom.series import Series
from organbench.data.formats.kind import LARGEST_BYTES
from organbench.data.grids import Array, Grid, check_grid

if TYPE_CHECKING:
    from organbench.data.structures import Known

KINDS = (SegmentationStorage, "1.2.840.10008.5.1.4.1.1.66.7")  # BINARY and, which pydicom does not name yet, LABELMAP
MOST_FRAMES = 200_000
READ = ("SOPClassUID", "Modality", "Rows", "Columns", "NumberOfFrames", "SegmentationType")


@dataclass(frozen=True)
class Segment:
    """A structure of a SEG.

    Attributes:
        name: as the file spells it.
        number: by which the file's frames refer to it.
        color: such as #E69F00; None where the file has none.
    """

    name: str
    number: int
    color: str | None


@dataclass(frozen=True)
class Segments:
    """The structures of one file.

    Attributes:
        path: the file.
        series: SeriesInstanceUID of the CT on which they were drawn; empty where the file names none.
        frame_of_reference: its UID; empty where the file names none.
        segments: in the file's order.
        data: highdicom's view of the file.
    """

    path: Path
    series: str
    frame_of_reference: str
    segments: tuple[Segment, ...]
    data: Any


def library(path: Path) -> ModuleType:
    """The package highdicom.

    Raises:
        InputError: it is not installed.
    """
    try:
        importlib.import_module("highdicom.seg")
        return importlib.import_module("highdicom")  # not by name: it is in no environment of jobs without SEG
    except ImportError:
        raise InputError(f"{path}: a SEG needs the package highdicom; pip install -r requirements-seg.txt") from None


def is_seg(path: Path) -> bool:
    """Whether a file is a SEG; raises an `InputError` where it is damaged."""
    return is_dicom(path) and read_header(path, ["SOPClassUID"])[0].get("SOPClassUID") in KINDS


def read(path: Path) -> Segments:
    """Read the structures of a SEG, whether each has voxels of its own (BINARY) or all share them (LABELMAP).

    Raises:
        InputError: the file is no sound SEG, holds shares between 0 and 1 (FRACTIONAL), or highdicom is not there.
    """
    if not is_dicom(path):
        raise InputError(f"{path}: is no DICOM file; give a SEG")
    with sound(path):
        header, start = read_header(path, READ)
        if header.get("SOPClassUID") not in KINDS:
            raise InputError(f"{path}: is no SEG but {plain(header.get('Modality') or 'unknown')}; give another")
        kind = str(header.get("SegmentationType"))
        if kind not in ("BINARY", "LABELMAP"):
            raise InputError(f"{path}: is a SEG of type {plain(kind)}; export it as BINARY or LABELMAP")
        frames = int(header.NumberOfFrames)
        voxels = frames * int(header.Rows) * int(header.Columns)
        packed = header.file_meta.TransferSyntaxUID not in (ExplicitVRLittleEndian, "1.2.840.10008.1.2")
        if not 0 < voxels <= LARGEST_BYTES or frames > MOST_FRAMES:
            raise InputError(f"{path}: claims {frames} frames and {voxels} voxels, as no SEG has; export it again")
        if not packed and path.stat().st_size - start < voxels // 8:
            raise InputError(f"{path}: is cut short, or claims pixels that are not there; copy the file again")
        data = library(path).seg.segread(path)
        found = [data.get_segment_description(number) for number in data.segment_numbers if number]
        segments = tuple(
            Segment(str(one.segment_label).strip(), int(one.segment_number), color_of(path, one)) for one in found
        )
        uid = next((str(one.SeriesInstanceUID) for one in data.get("ReferencedSeriesSequence") or []), "")
        return Segments(path, uid, str(data.get("FrameOfReferenceUID") or ""), segments, data)


def color_of(path: Path, segment: Any) -> str | None:
    """The colour in which a segment is shown; None where there is none."""
    stored = segment.get("RecommendedDisplayCIELabValue")
    if stored is None:
        return None
    color = library(path).color.CIELabColor.from_dicom_value([int(value) for value in stored])
    return "#" + bytes(color.to_rgb(clip=True)).hex().upper()


def check_series(found: Segments, series: "Series | Known") -> list[str]:
    """Check that segments belong to a CT series; see `references.check`."""
    return references.check(found.path, found.series, found.frame_of_reference, series)


def drawn(segment: Segment, segments: Segments, grid: Grid) -> tuple[Array, list[str]]:
    """The voxels of a segment on a series' grid, by nearest neighbour where its own is another.

    Args:
        segment: one of `segments`.
        segments: as `read` has read them.
        grid: the series' grid.

    Returns:
        Boolean mask (z y x); and what a person should know of it, a line each.

    Raises:
        InputError: its frames are damaged, or lie on no grid or beside the series.
    """
    said = f"{segments.path}: {plain(segment.name)}"
    with sound(segments.path):
        geometry = segments.data.get_volume_geometry(allow_missing_positions=True)
        if geometry is not None and math.prod(geometry.spatial_shape) > LARGEST_BYTES:
            raise InputError(f"{said}: its frames lie so far apart as in no SEG; export it again")
        volume = segments.data.get_volume(segment_numbers=[segment.number], combine_segments=False)
        voxels, affine = volume.array[..., 0] > 0, volume.affine
        steps = affine[:3, [2, 1, 0]]  # highdicom's axes are z y x
        spacing = np.linalg.norm(steps, axis=0)
        own = Grid.from_json(
            {
                "size": voxels.shape[::-1],
                "spacing": spacing,
                "origin": affine[:3, 3],
                "direction": (steps / spacing).ravel(),
            }
        )
    check_grid(segments.path, own, 1)
    mask, offset, covered = elsewhere.on_grid(voxels, own, grid)
    if not covered:
        raise InputError(f"{said}: all of it lies outside the CT; give the series on which it was drawn")
    return mask, elsewhere.moved(said, voxels, own, grid, offset, onto="CT", what="voxels")


def write(
    masks: Mapping[str, Array],
    series: Series,
    path: Path,
    *,
    colors: Mapping[str, str],
    algorithm: str,
    version: str,
    label_map: bool = False,
) -> None:
    """Write masks as a SEG of a series, whole or not at all.

    Args:
        masks: of each structure, by its name: boolean (z y x), on the series' grid; they may overlap.
        series: the CT, to which the file refers.
        path: the file.
        colors: of structures, such as #E69F00; one without has none in the file.
        algorithm: the name of what drew them.
        version: of that.
        label_map: as LABELMAP, which is smaller, but younger (2024), so that few programs read it; else as BINARY.

    Raises:
        InputError: a name cannot be stored, masks overlap in a label map, highdicom is not there, or the file cannot be
            written.
    """
    check_masks(masks, series, path)
    check_drawer(algorithm, version, path)
    hd = library(path)
    with sound(series.folder):
        sources = [read_header(file)[0] for file in series.files]
    for source, instance in zip(sources, series.instances, strict=True):  # highdicom takes no file without these
        source.SOPClassUID, source.SOPInstanceUID = series.sop_class, instance
        for keyword in NEEDED:
            source.setdefault(keyword, "")
        source.decode()
        source.SpecificCharacterSet = "ISO_IR 192"  # highdicom takes no file that changes between several
    result = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=labels_of(masks, path) if label_map else np.stack([*masks.values()], axis=-1).astype(np.uint8),
        segmentation_type="LABELMAP" if label_map else "BINARY",
        segment_descriptions=[
            described(hd, number, name, colors.get(name), algorithm, version)
            for number, name in enumerate(masks, start=1)
        ],
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="OrganBench",
        manufacturer_model_name="OrganBench",
        software_versions=version,
        device_serial_number="0",
        content_description="Drawn by a program, unapproved",
        transfer_syntax_uid=RLELossless if label_map else ExplicitVRLittleEndian,
    )
    result.SpecificCharacterSet = "ISO_IR 192"
    result.SeriesDescription = plain(algorithm)[:64]
    with atomic(path) as temporary:
        result.save_as(temporary)


def labels_of(masks: Mapping[str, Array], path: Path) -> Array:
    """Masks as the values 1, 2, ... of one array (uint8 or uint16, z y x)."""
    result = np.zeros(next(iter(masks.values())).shape, np.uint8 if len(masks) < 256 else np.uint16)
    for value, (name, voxels) in enumerate(masks.items(), start=1):
        if result[voxels].any():
            raise InputError(f"{path}: {plain(name)} overlaps another structure, which a label map cannot hold")
        result[voxels] = value
    return result


def described(hd: ModuleType, number: int, name: str, color: str | None, algorithm: str, version: str) -> Any:
    """What a segment is called and what drew it."""
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Organ,
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=algorithm, family=codes.DCM.ArtificialIntelligence, version=version, source="OrganBench"
        ),
        tracking_uid=generate_uid(),
        tracking_id=name,
        display_color=hd.color.CIELabColor.from_rgb(*bytes.fromhex(color.removeprefix("#"))) if color else None,
    )
