"""RTSTRUCT: the contours of planning systems."""

from pathlib import Path

from organbench.data.structures import Drawing, Frame, Kind


def is_one(path: Path) -> bool:
    """Whether a file is an RTSTRUCT."""
    from pydicom.uid import RTStructureSetStorage

    from organbench.data.dicom import files

    return files.is_dicom(path) and files.read_header(path, ["SOPClassUID"])[0].get("SOPClassUID") == (
        RTStructureSetStorage
    )


def series(path: Path) -> str:
    """The series on which it was drawn."""
    from organbench.data.dicom import rtstruct

    return rtstruct.read(path).series


def read(path: Path, frame: Frame) -> Drawing:
    """Its structures; one without contours was named, but never drawn."""
    from organbench.data.dicom import rtstruct, structures

    found = rtstruct.read(path)
    notes = [*found.notes, *(rtstruct.check_series(found, frame.series) if frame.series else [])]
    drawn = [structure for structure in found.structures if structure.contours]
    names = tuple(structure.name for structure in drawn)
    return Drawing(
        path,
        names,
        lambda place: structures.drawn(drawn[place], frame.grid, path),
        tuple(notes),
        {place: one.color for place, one in enumerate(drawn) if one.color},
        tuple(structure.name for structure in found.structures if not structure.contours),
        found.series,
    )


KIND = Kind("RTSTRUCT", is_one, series, read)
