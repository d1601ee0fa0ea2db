"""3D Slicer's segmentations (`.seg.nrrd`): which value is which organ is told by names, in every file anew."""

from pathlib import Path

from organbench.data import slicer
from organbench.data.structures import Drawing, Frame, Kind


def read(path: Path, frame: Frame) -> Drawing:
    """Its segments."""
    found = slicer.read(path)
    names = tuple(segment.name for segment in found.segments)
    return Drawing(path, names, lambda place: slicer.drawn(found.segments[place], found, frame.grid))


KIND = Kind("segmentation of 3D Slicer (.seg.nrrd)", slicer.is_one, lambda path: "", read)
