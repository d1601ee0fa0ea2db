"""Predictions that are there already: label maps (see `elsewhere`), or structures with names, as references are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from organbench.core.errors import InputError
from organbench.data import elsewhere, finding, structures
from organbench.data.elsewhere import Collected
from organbench.data.structures import Drawing, Frame

Files = Mapping[str, Mapping[str, Sequence[int]] | Mapping[str, Sequence[str]]]
"""Of each file its organs, with their label values or the names of their structures; see `study.elsewhere.files`."""


def collect(files: Files, organs: Sequence[str], frame: Frame, where: str) -> Collected:
    """Read the predictions of a case that are there, and bring them to the scan's grid.

    Args:
        files: of each file its organs with their label values; neither these nor names: every voxel but 0 is the
            organ's. Or a file with structures, or a folder with one of the scan, and the names or patterns of these.
        organs: the study's, in the order of their indices.
        frame: the scan.
        where: the labels are given, for messages.

    Returns:
        See `Collected`; an organ that is not there is in none of its voxels. Where structures or files of organs
        overlap, the study's first organ has the voxels.

    Raises:
        InputError: a file cannot be read, does not hold what was said, or is not of this scan.
    """
    values: dict[str, dict[str, list[int]]] = {}
    for path, held in files.items():
        if not held:  # no organ that it offers has a label
            continue
        names = {organ: [one for one in own if isinstance(one, str)] for organ, own in held.items()}
        if any(names.values()) and finding.files_at(Path(path)):  # which then is the only one
            return named(path, names, organs, frame, where)
        values[path] = {organ: [one for one in own if isinstance(one, int)] for organ, own in held.items()}
    return elsewhere.collect(values, organs, frame.grid, frame.path)


def named(path: str, names: Mapping[str, Sequence[str]], organs: Sequence[str], frame: Frame, where: str) -> Collected:
    """What structures of a file are, see `collect`; an organ that it names but does not draw is not missing."""
    drawing = structures.read(path, frame)
    check_series(drawing, frame)
    places = structures.places_of(drawing, {organ: names.get(organ, []) for organ in organs}, where)
    there = (*drawing.names, *drawing.undrawn)
    found = Collected(np.zeros(frame.grid.shape, np.uint8), offset_mm=None, covered=None)
    found.missing = [organ for organ in names if not any(structures.fits(name, names[organ]) for name in there)]
    found.notes += drawing.notes
    if found.missing:
        found.notes.append(f"{drawing.path}: structures that were drawn: {structures.listed(drawing)}")
    masks = ((organ, structures.merged(drawing, own, frame, found.notes)) for organ, own in places.items())
    found.flatten(masks, frame.grid)
    return found


def check_series(drawing: Drawing, frame: Frame) -> None:
    """Check that structures were drawn on the very series of the scan, as others may share its frame of reference.

    Raises:
        InputError: they were not.
    """
    series = frame.series
    if series and series.uid and drawing.series and drawing.series != series.uid:
        raise InputError(
            f"{drawing.path}: was drawn on another series than that of the CT in {series.folder}; "
            "give the structures of that CT"
        )
