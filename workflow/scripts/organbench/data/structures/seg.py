"""SEG: segments as voxels, read by highdicom."""

from pathlib import Path

from organbench.data.structures import Drawing, Frame, Kind


def is_one(path: Path) -> bool:
    """Whether a file is a SEG."""
    from organbench.data.dicom import seg

    return seg.is_seg(path)


def series(path: Path) -> str:
    """The series on which it was drawn."""
    from organbench.data.dicom import seg

    return seg.read(path).series


def read(path: Path, frame: Frame) -> Drawing:
    """Its segments."""
    from organbench.data.dicom import seg

    found = seg.read(path)
    notes = seg.check_series(found, frame.series) if frame.series else []
    names = tuple(segment.name for segment in found.segments)
    return Drawing(
        path,
        names,
        lambda place: seg.drawn(found.segments[place], found, frame.grid),
        tuple(notes),
        {place: one.color for place, one in enumerate(found.segments) if one.color},
        series=found.series,
    )


KIND = Kind("SEG", is_one, series, read)
