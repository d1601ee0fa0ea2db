"""`.seg.nrrd`: segmentations of 3D Slicer, whose values may differ from case to case."""

from pathlib import Path

from organbench.data import slicer
from organbench.data.structures import Drawing, Frame, Kind


def read(path: Path, frame: Frame) -> Drawing:
    """Its segments."""
    found = slicer.read(path)
    return Drawing(
        path,
        tuple(segment.name for segment in found.segments),
        lambda place: slicer.drawn(found.segments[place], found, frame.grid),
        colors={place: one.color for place, one in enumerate(found.segments) if one.color},
    )


KIND = Kind("segmentation of 3D Slicer (.seg.nrrd)", slicer.is_one, lambda path: "", read)
