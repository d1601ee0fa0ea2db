"""RTSTRUCT, the structures of planning systems: read, turned into masks, and written (DICOM PS3.3, A.19)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from organbench.core.errors import InputError, plain
from organbench.core.files import atomic
from organbench.data.dicom import contours, references
from organbench.data.dicom.files import is_dicom, read_header, sound
from organbench.data.dicom.series import Series
from organbench.data.dicom.structures import Structure, StructureSet, drawn, mask
from organbench.data.grids import FARTHEST_MM, Array, Grid

if TYPE_CHECKING:
    from organbench.data.structures import Known

__all__ = ["Structure", "StructureSet", "check_series", "drawn", "mask", "read", "write"]

LARGEST_FILE = 1 << 30  # bytes
MOST_NUMBERS = 1 << 25  # of all points: of a hundred structures on a thousand slices there are 11 million
MOST_ITEMS = 400_000  # of all sequences; a hundred structures on a thousand slices have fewer
ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # what begins an item, as either order of bytes writes it
READ = (
    *("SOPClassUID", "Modality", "ReferencedFrameOfReferenceSequence", "FrameOfReferenceUID"),
    *("StructureSetROISequence", "ROIContourSequence"),
)
UNDEFINED = 0xFFFFFFFF  # length of what ends with a mark
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
CONTOUR_DATA = Tag("ContourData")
DIGITS = 4  # of mm
LONGEST_NAME = 64  # letters of a ROI's name (LO)
LONGEST_LABEL = 16  # letters (SH)
COPIED = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"),
    "StudyDescription",
)
NEEDED = {  # there even where nothing is known (type 2)
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"),
    *("ReferringPhysicianName", "StudyID"),
}


def read(path: Path) -> StructureSet:
    """Read the structures of an RTSTRUCT.

    Args:
        path: the file.

    Returns:
        Its structures with their closed contours; points, open lines and what belongs to no structure are left out,
        and noted.

    Raises:
        InputError: the file is no sound RTSTRUCT: another kind, damaged, or with contours that are none.
    """
    if not is_dicom(path):
        raise InputError(f"{path}: is no DICOM file; give an RTSTRUCT")
    with sound(path):
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path}: is larger than {LARGEST_FILE >> 30} GiB, as no RTSTRUCT is; export it again")
        content = path.read_bytes()
        if (items := max(content.count(mark) for mark in ITEMS)) > MOST_ITEMS:
            raise InputError(f"{path}: holds {items} contours and more, as no RTSTRUCT does; export it again")
        if (numbers := content.count(b"\\")) > MOST_NUMBERS:
            raise InputError(f"{path}: holds {numbers} numbers and more, as no RTSTRUCT does; export it again")
        header, _ = read_header(path, READ)
        if header.get("SOPClassUID") != RTStructureSetStorage:
            raise InputError(f"{path}: is no RTSTRUCT but {plain(header.get('Modality') or 'unknown')}; give another")
        if any(is_cut(header.get_item(tag)) for tag in header.keys()) or "ROIContourSequence" not in header:  # noqa: SIM118
            raise InputError(f"{path}: is cut short, so that contours are lacking; copy the file again")
        return structures_of(path, header)


def is_cut(element: pydicom.DataElement | RawDataElement | None) -> bool:
    """Whether the file ends before an element that was read from it does: pydicom takes what is there."""
    if not isinstance(element, RawDataElement) or element.value is None or element.length == UNDEFINED:
        return False
    return len(element.value) != element.length


def structures_of(path: Path, header: pydicom.Dataset) -> StructureSet:
    """The structures of a data set; raises whatever a damaged one makes pydicom raise."""
    frame, series = reference(header)
    notes: list[str] = []
    entries: dict[int, pydicom.Dataset] = {}
    for entry in header.get("StructureSetROISequence") or []:
        if entries.setdefault(int(entry.ROINumber), entry) is not entry:
            raise InputError(f"{path}: has two structures of number {int(entry.ROINumber)}; export it again")
    if not entries:
        raise InputError(f"{path}: names no structure; export it again")
    lines: dict[int, list[Array]] = {number: [] for number in entries}
    colors: dict[int, str | None] = {}
    for group in header.get("ROIContourSequence") or []:
        number = int(group.ReferencedROINumber)
        if number not in entries:
            notes.append(f"{path}: has contours of structure number {number}, which has no name; left out")
            continue
        name = plain(entries[number].get("ROIName") or number)
        own = str(entries[number].get("ReferencedFrameOfReferenceUID") or "")
        if own and frame and own != frame:
            notes.append(f"{path}: {name}: drawn in another frame of reference than the others; left out")
            continue
        colors[number] = color(group)
        lines[number] += closed(f"{path}: {name}", group, notes)
    structures = (
        Structure(str(entry.get("ROIName") or number).strip(), number, colors.get(number), tuple(lines[number]))
        for number, entry in entries.items()
    )
    return StructureSet(path, series, frame, tuple(structures), tuple(notes))


def reference(header: pydicom.Dataset) -> tuple[str, str]:
    """The frame of reference and the series on which structures were drawn; empty where they are not named."""
    frames = list(header.get("ReferencedFrameOfReferenceSequence") or [])
    for frame in frames:
        for study in frame.get("RTReferencedStudySequence") or []:
            for series in study.get("RTReferencedSeriesSequence") or []:
                return str(frame.get("FrameOfReferenceUID") or ""), str(series.get("SeriesInstanceUID") or "")
    named = [str(frame.get("FrameOfReferenceUID") or "") for frame in frames]
    named += [str(header.get("FrameOfReferenceUID") or "")]
    named += [
        str(entry.get("ReferencedFrameOfReferenceUID") or "") for entry in header.get("StructureSetROISequence") or []
    ]
    return next(filter(None, named), ""), ""


def color(group: pydicom.Dataset) -> str | None:
    """The colour in which a structure is shown; None where there is none, or it is no colour."""
    try:
        red, green, blue = (int(value) for value in group.ROIDisplayColor)
        return "#" + bytes([red, green, blue]).hex().upper()
    except (AttributeError, TypeError, ValueError):  # of bytes also what is not from 0 to 255
        return None


def closed(said: str, group: pydicom.Dataset, notes: list[str]) -> Iterator[Array]:
    """The closed contours (n, 3) of a structure, in mm; of others a note is made."""
    skipped: dict[str, int] = {}
    for item in group.get("ContourSequence") or []:
        kind = str(item.get("ContourGeometricType") or "without a type").strip()
        if kind not in CLOSED:
            skipped[kind] = skipped.get(kind, 0) + 1
            continue
        points = points_of(said, item)
        if len(points) < 3:
            skipped["of fewer than 3 points"] = skipped.get("of fewer than 3 points", 0) + 1
            continue
        yield points
    for kind, count in sorted(skipped.items()):
        notes.append(f"{said}: {count} contours {plain(kind)} enclose nothing and were left out")


def points_of(said: str, item: pydicom.Dataset) -> Array:
    """The points (n, 3) of a contour, in mm.

    Raises:
        InputError: its numbers are none, or not three a point, or another count than it says.
    """
    raw = item.get_item(CONTOUR_DATA)
    value = b"" if raw is None or raw.value is None else raw.value
    if not isinstance(value, bytes):
        raise InputError(f"{said}: a contour's points are no text; export it again")
    parts = value.strip(b" \0").split(b"\\") if value.strip(b" \0") else []
    try:
        numbers = np.fromiter(map(float, parts), np.float64, len(parts))
    except ValueError:
        raise InputError(f"{said}: a contour holds what is no number; export it again") from None
    claimed = item.get("NumberOfContourPoints")
    if len(numbers) % 3 or (claimed is not None and int(claimed) * 3 != len(numbers)):
        raise InputError(
            f"{said}: a contour has {len(numbers)} numbers for {plain(claimed)} points of three; "
            "it was cut, so export it again"
        )
    if not (np.abs(numbers) < FARTHEST_MM).all():  # also where one is NaN
        raise InputError(f"{said}: a contour has a point that lies nowhere (NaN, or too far off); export it again")
    return numbers.reshape(-1, 3)


def check_series(found: StructureSet, series: "Series | Known") -> list[str]:
    """Check that structures belong to a CT series; see `references.check`."""
    return references.check(found.path, found.series, found.frame_of_reference, series)


def write(
    masks: Mapping[str, Array],
    series: Series,
    path: Path,
    *,
    colors: Mapping[str, str],
    algorithm: str,
    version: str,
    keyholes: bool = False,
) -> None:
    """Write masks as an RTSTRUCT of a series, whole or not at all.

    Args:
        masks: of each structure, by its name: boolean (z y x), on the series' grid; they may overlap.
        series: the CT, to which the file refers.
        path: the file.
        colors: of structures, such as #E69F00; one without has none in the file.
        algorithm: the name of what drew them.
        version: of that.
        keyholes: join each hole to what is around it, for systems that fill every contour; without, a hole is a contour
            of its own, to be read by the even-odd rule.

    Raises:
        InputError: the series cannot be referred to, a name cannot be stored, or the file cannot be written.
    """
    check_masks(masks, series, path)
    check_drawer(algorithm, version, path)
    with sound(series.folder):
        result = described(series, algorithm, version)
    result.StructureSetROISequence, result.ROIContourSequence = Sequence(), Sequence()
    result.RTROIObservationsSequence = Sequence()
    for number, (name, voxels) in enumerate(masks.items(), start=1):
        result.StructureSetROISequence.append(named(number, name, series, algorithm, version))
        result.ROIContourSequence.append(contoured(number, voxels, series, colors.get(name), keyholes))
        observed = pydicom.Dataset()
        observed.ObservationNumber = observed.ReferencedROINumber = number
        observed.RTROIInterpretedType, observed.ROIInterpreter = "ORGAN", ""
        result.RTROIObservationsSequence.append(observed)
    with atomic(path) as temporary:
        result.save_as(temporary, enforce_file_format=True)


def check_masks(masks: Mapping[str, Array], series: Series, path: Path) -> None:
    """Check that masks can be written as structures of a series.

    Raises:
        InputError: there is none, the series has no UIDs to refer to, a name cannot be stored, or a mask lies on
            another grid.
    """
    if not masks:
        raise InputError(f"{path}: there is no structure to write; name one or more")
    uids = {
        "SOPInstanceUID": all(series.instances),
        "SeriesInstanceUID": series.uid,
        "StudyInstanceUID": series.study,
        "FrameOfReferenceUID": series.frame_of_reference,
    }
    for what, known in uids.items():
        if not known:
            raise InputError(f"{series.folder}: its slices have no {what}, to which contours refer; export them again")
    for name, voxels in masks.items():
        if not is_storable(name):
            raise InputError(
                f"{path}: {plain(name)!r} cannot be a structure's name, which has 1 to {LONGEST_NAME} letters and no "
                "backslash; name it otherwise"
            )
        if voxels.shape != series.grid.shape:
            raise InputError(f"{path}: {name} is a mask of {voxels.shape} voxels, the CT has {series.grid.shape}")


def check_drawer(algorithm: str, version: str, path: Path) -> None:
    """Check that what drew structures can be named in a file.

    Raises:
        InputError: its name or version cannot be stored.
    """
    for what, text in (("the name", algorithm), ("the version", version)):
        if not is_storable(text):
            raise InputError(
                f"{path}: {plain(text)!r} cannot be {what} of an algorithm, which has 1 to {LONGEST_NAME} letters and "
                "no backslash; give another"
            )


def is_storable(text: str) -> bool:
    """Whether a text can be a value of DICOM's VR LO."""
    return bool(text.strip()) and len(text) <= LONGEST_NAME and "\\" not in text and text.isprintable()


def described(series: Series, algorithm: str, version: str) -> pydicom.Dataset:
    """A data set with everything but the structures: the patient's, the study's, what it is and to what it refers."""
    result, now = pydicom.Dataset(), datetime.now()
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # an explicit one has no room for long contours
    result.SpecificCharacterSet = "ISO_IR 192"
    for keyword in COPIED:
        value = series.header.get(keyword)
        if value not in (None, "") or keyword in NEEDED:
            setattr(result, keyword, "" if value is None else value)
    result.SOPClassUID, result.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    result.StudyInstanceUID, result.SeriesInstanceUID = series.study, generate_uid()
    result.Modality, result.SeriesNumber, result.InstanceNumber = "RTSTRUCT", 1, 1
    result.SeriesDescription = plain(algorithm)[:LONGEST_NAME]
    result.OperatorsName, result.FrameOfReferenceUID = "", series.frame_of_reference
    result.PositionReferenceIndicator = ""
    result.Manufacturer = result.ManufacturerModelName = "OrganBench"
    result.SoftwareVersions = version
    result.InstanceCreationDate = result.StructureSetDate = result.SeriesDate = now.strftime("%Y%m%d")
    result.InstanceCreationTime = result.StructureSetTime = result.SeriesTime = now.strftime("%H%M%S")
    result.StructureSetLabel = plain(algorithm)[:LONGEST_LABEL]
    result.StructureSetDescription = "Drawn by a program and checked by nobody"
    result.ApprovalStatus = "UNAPPROVED"
    of_series, of_study, frame = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    of_series.SeriesInstanceUID = series.uid
    of_series.ContourImageSequence = Sequence(image(series, z) for z in range(len(series.instances)))
    of_study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # of a study, as planning systems write it
    of_study.ReferencedSOPInstanceUID = series.study
    of_study.RTReferencedSeriesSequence = Sequence([of_series])
    frame.FrameOfReferenceUID = series.frame_of_reference
    frame.RTReferencedStudySequence = Sequence([of_study])
    result.ReferencedFrameOfReferenceSequence = Sequence([frame])
    return result


def image(series: Series, z: int) -> pydicom.Dataset:
    """A reference to a slice."""
    result = pydicom.Dataset()
    result.ReferencedSOPClassUID, result.ReferencedSOPInstanceUID = series.sop_class, series.instances[z]
    return result


def named(number: int, name: str, series: Series, algorithm: str, version: str) -> pydicom.Dataset:
    """What a structure is called and what drew it."""
    family, code = pydicom.Dataset(), codes.DCM.ArtificialIntelligence
    family.CodeValue, family.CodingSchemeDesignator = code.value, code.scheme_designator
    family.CodeMeaning = code.meaning
    drawer = pydicom.Dataset()
    drawer.AlgorithmFamilyCodeSequence = Sequence([family])
    drawer.AlgorithmName, drawer.AlgorithmVersion, drawer.AlgorithmSource = algorithm, version, "OrganBench"
    result = pydicom.Dataset()
    result.ROINumber, result.ROIName = number, name
    result.ReferencedFrameOfReferenceUID = series.frame_of_reference
    result.ROIGenerationAlgorithm = "AUTOMATIC"
    result.ROIGenerationDescription = f"{plain(algorithm)} {plain(version)}"[:LONGEST_NAME]
    result.ROIDerivationAlgorithmIdentificationSequence = Sequence([drawer])
    return result


def contoured(number: int, voxels: Array, series: Series, shown: str | None, keyholes: bool) -> pydicom.Dataset:
    """The contours of a mask (z y x); none where it is empty."""
    result = pydicom.Dataset()
    result.ReferencedROINumber = number
    if shown is not None:
        result.ROIDisplayColor = list(bytes.fromhex(shown.removeprefix("#")))
    items: list[pydicom.Dataset] = []
    for z in np.flatnonzero(voxels.any(axis=(1, 2))).tolist():
        lines = contours.outlines(voxels[z])
        for line in contours.keyholes(lines) if keyholes else lines:
            items.append(contour(len(items) + 1, points(line, z, series.grid), image(series, z)))
    if items:
        result.ContourSequence = Sequence(items)
    return result


def points(line: Array, z: int, grid: Grid) -> Array:
    """A polygon (n, 2), x y in voxels, of a slice as points (n, 3) in mm (LPS)."""
    steps = np.reshape(grid.direction, (3, 3)) * grid.spacing
    found: Array = np.column_stack([line, np.full(len(line), z)]) @ steps.T + grid.origin
    return found


def contour(number: int, places: Array, on: pydicom.Dataset) -> pydicom.Dataset:
    """A closed contour of points (n, 3) in mm on a slice."""
    result = pydicom.Dataset()
    result.ContourNumber, result.ContourGeometricType, result.NumberOfContourPoints = number, CLOSED[0], len(places)
    result.ContourImageSequence = Sequence([on])
    written = "\\".join(map(repr, np.round(places, DIGITS).ravel().tolist()))
    # As text, which pydicom would else make of each number by itself, a hundred times slower.
    result[CONTOUR_DATA] = pydicom.DataElement(CONTOUR_DATA, "DS", written, already_converted=True)
    return result
