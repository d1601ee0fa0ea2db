"""The structures of a file of either kind, RTSTRUCT or SEG, as masks on the CT on which they were drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from organbench.core.errors import plain
from organbench.data.dicom import rtstruct, seg
from organbench.data.dicom.series import Series
from organbench.data.grids import Array


@dataclass
class Drawings:
    """What a file holds.

    Attributes:
        masks: of each structure that was drawn, by its name: boolean (z y x), as drawn; they may overlap.
        colors: of those that have one, such as #E69F00.
        notes: what a person should know, a line each.
    """

    masks: dict[str, Array] = field(default_factory=dict)
    colors: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(path: Path, series: Series) -> Drawings:
    """Read all structures of an RTSTRUCT or SEG.

    Args:
        path: the file.
        series: the CT.

    Returns:
        See `Drawings`. Of several structures of one name, the second is called `name (2)`.

    Raises:
        InputError: the file cannot be read, or does not belong to the CT.
    """
    return read_seg(path, series) if seg.is_seg(path) else read_rtstruct(path, series)


def write(
    kind: str,
    masks: Mapping[str, Array],
    series: Series,
    path: Path,
    *,
    colors: Mapping[str, str],
    algorithm: str,
    version: str,
) -> None:
    """Write masks as a file of a kind, `rtstruct` or `seg`; the modules of these names say the rest."""
    if kind == "seg":
        seg.write(masks, series, path, colors=colors, algorithm=algorithm, version=version)
    else:
        rtstruct.write(masks, series, path, colors=colors, algorithm=algorithm, version=version)


def read_rtstruct(path: Path, series: Series) -> Drawings:
    """As `read`, of an RTSTRUCT."""
    structures = rtstruct.read(path)
    found = Drawings(notes=[*structures.notes, *rtstruct.check_series(structures, series)])
    for structure in structures.structures:
        if not structure.contours:
            found.notes.append(f"{path}: {plain(structure.name)}: is named, but has no contours; left out")
            continue
        name = free_name(plain(structure.name), found.masks)
        found.masks[name], notes = rtstruct.drawn(structure, series.grid, path)
        found.notes += notes
        if structure.color is not None:
            found.colors[name] = "#" + bytes(structure.color).hex().upper()
    return found


def read_seg(path: Path, series: Series) -> Drawings:
    """As `read`, of a SEG."""
    segments = seg.read(path)
    found = Drawings(notes=seg.check_series(segments, series))
    for segment in segments.segments:
        name = free_name(plain(segment.name), found.masks)
        found.masks[name], notes = seg.drawn(segment, segments, series.grid)
        found.notes += notes
        if segment.color is not None:
            found.colors[name] = segment.color
    return found


def free_name(name: str, taken: Mapping[str, object]) -> str:
    """The name, with a number where it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def label_map(masks: Mapping[str, Array]) -> tuple[Array, dict[str, int]]:
    """Masks as a label map: of voxels of several, the smallest mask has them.

    Args:
        masks: boolean (z y x), up to 255.

    Returns:
        Values 1, 2, ... in the masks' order (uint8, z y x); and how many voxels each has lost to smaller ones.
    """
    labels = np.zeros(next(iter(masks.values())).shape, np.uint8)
    sizes = {name: int(np.count_nonzero(voxels)) for name, voxels in masks.items()}
    values = {name: value for value, name in enumerate(masks, start=1)}
    for name in sorted(masks, key=lambda name: -sizes[name]):
        labels[masks[name]] = values[name]
    left = np.bincount(labels.ravel(), minlength=len(masks) + 1)
    lost = {name: sizes[name] - int(left[values[name]]) for name in masks}
    return labels, {name: count for name, count in lost.items() if count}
