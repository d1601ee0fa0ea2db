"""Files that hold structures by their names, one kind a module; structures may overlap, and each is a mask of its own.

A module defines `KIND`, and so adds its files to those that are read. Organs are found by names: case and spaces do not
matter, and a name may be a pattern (`liver_*`, `kidney_[lr]`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from organbench.core.errors import InputError, plain
from organbench.core.folders import modules
from organbench.data import images
from organbench.data.grids import Array, Grid

if TYPE_CHECKING:
    from organbench.data.dicom.series import Series

SHOWN = 20  # that many names are told


@dataclass(frozen=True)
class Known:
    """What a prepared case still knows of its CT series.

    Attributes:
        folder: where the series lies.
        uid: SeriesInstanceUID; empty where it is not known.
        frame_of_reference: its UID; empty where it is not known.
    """

    folder: Path
    uid: str
    frame_of_reference: str


@dataclass(frozen=True)
class Frame:
    """The scan on which structures are wanted.

    Attributes:
        path: its file or folder.
        grid: where its voxels lie.
        series: what is known of it where it is DICOM.
    """

    path: Path
    grid: Grid
    series: "Series | Known | None" = None

    @classmethod
    def of(cls, path: str | Path) -> "Frame":
        """The scan in a file or folder; raises as `images.read_grid`."""
        if Path(path).is_dir():
            series = images.series_in(path)
            return cls(Path(path), series.grid, series)
        return cls(Path(path), images.read_grid(path))

    @classmethod
    def of_case(cls, path: str | Path, info: Mapping[str, Any]) -> "Frame":
        """The scan of a prepared case, without reading it: its file or folder, and what its `case.json` holds."""
        uids = info.get("series")
        series = Known(Path(path), uids["uid"], uids["frame_of_reference"]) if uids else None
        return cls(Path(path), Grid.from_json(info["original"]), series)


@dataclass(frozen=True)
class Drawing:
    """The structures of one file.

    Attributes:
        path: the file.
        names: of the structures that were drawn, in the file's order.
        mask: of the structure at a place in `names`: bool (z y x) on the scan's grid; and notes, a line each.
        notes: on the file.
        colors: of the structures that have one, such as #E69F00, by their places in `names`.
        undrawn: names of structures that the file names, but that were never drawn.
        series: SeriesInstanceUID of the series on which they were drawn; empty where the file does not say.
    """

    path: Path
    names: tuple[str, ...]
    mask: Callable[[int], tuple[Array, list[str]]]
    notes: tuple[str, ...] = ()
    colors: Mapping[int, str] = field(default_factory=dict)
    undrawn: tuple[str, ...] = ()
    series: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of file with structures.

    Attributes:
        name: what it is called.
        is_one: whether a file is of this kind.
        series: SeriesInstanceUID of the series on which a file's structures were drawn; empty where it does not say.
        read: the structures of a file, on a scan.
    """

    name: str
    is_one: Callable[[Path], bool]
    series: Callable[[Path], str]
    read: Callable[[Path, Frame], Drawing]


KINDS: list[Kind] = [module.KIND for module in modules(__name__) if hasattr(module, "KIND")]


def read(path: str | Path, frame: Frame, remedy: str = "give another file") -> Drawing:
    """Read the structures that were drawn on a scan.

    Args:
        path: their file, or a folder in which one file refers to the scan's series; other files may lie there too.
        frame: on which they are wanted.
        remedy: what to do about a file that holds none, for messages.

    Raises:
        InputError: no file, or more than one, is of this scan; or it is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.is_file():
            raise InputError(f"{path}: {images.missing(path)}")
        if not (kind := kind_of(path)):
            raise InputError(
                f"{path}: is no {' or '.join(known.name for known in KINDS)}, in which structures have names; {remedy}"
            )
        return kind.read(path, frame)
    found = [(file, kind) for file in sorted(path.iterdir()) if file.is_file() and (kind := kind_of(file))]
    if not found:
        raise InputError(f"{path}: holds no {' or '.join(known.name for known in KINDS)}; put the structures there")
    if frame.series and frame.series.uid:
        uid, others = frame.series.uid, found
        found = [(file, kind) for file, kind in found if kind.series(file) in (uid, "")]
        if not found:
            raise InputError(
                f"{path}: none of {len(others)} files with structures refers to the series of {frame.path}, "
                f"{others[0][0].name} for one to {plain(others[0][1].series(others[0][0]))}; put the right one there"
            )
    if len(found) > 1:
        names = ", ".join(file.name for file, _ in found[:5])
        raise InputError(f"{path}: {len(found)} files with structures are of this scan ({names}); leave one")
    ((file, kind),) = found
    return kind.read(file, frame)


def kind_of(path: Path) -> Kind | None:
    """The kind of a file; None where it holds no structures with names."""
    return next((kind for kind in KINDS if kind.is_one(path)), None)


def matched(
    drawing: Drawing, organs: Mapping[str, Sequence[str]], where: str = "dataset.organs"
) -> dict[str, list[int]]:
    """Find organs among the structures of a file, by names.

    Args:
        drawing: the file's structures.
        organs: names or patterns of each organ.
        where: these are given, for messages.

    Returns:
        Of each organ the places in `drawing.names` of the structures that it is made of; none where it was not drawn.

    Raises:
        InputError: a structure is of two organs; or none of the organs was drawn.
    """
    found = places_of(drawing, organs, where)
    if not any(found.values()):
        raise InputError(f"{drawing.path}: has none of {where} but {listed(drawing)}; add their names there")
    return found


def places_of(drawing: Drawing, organs: Mapping[str, Sequence[str]], where: str) -> dict[str, list[int]]:
    """As `matched`, also where none of the organs was drawn."""
    found = {organ: [i for i, name in enumerate(drawing.names) if fits(name, own)] for organ, own in organs.items()}
    for place, name in enumerate(drawing.names):
        if len(claims := [organ for organ, places in found.items() if place in places]) > 1:
            raise InputError(
                f"{drawing.path}: structure {plain(name)} is of {' and of '.join(claims)} by {where}; "
                "give narrower names there"
            )
    return found


def listed(drawing: Drawing) -> str:
    """The names of a file's structures, as far as a line holds them."""
    names = ", ".join(plain(name) for name in drawing.names[:SHOWN]) or "no structure"
    return names + (", ..." if len(drawing.names) > SHOWN else "")


def merged(drawing: Drawing, places: Sequence[int], frame: Frame, notes: list[str]) -> Array:
    """The mask (bool, z y x) of several structures of a file together; what a person should know is added to notes."""
    result = np.zeros(frame.grid.shape, bool)
    for place in places:
        mask, said = drawing.mask(place)
        result |= mask
        notes += said
    return result


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Whether a structure's name is one of some names or patterns; case and spaces do not matter."""
    return any(
        own == pattern or fnmatchcase(own, pattern)
        for own in plainly(name)
        for one in patterns
        for pattern in plainly(one)
    )


def plainly(name: str) -> tuple[str, str]:
    """A name without case, with single spaces (for which a pattern may have a `?`), and with none."""
    words = name.casefold().split()
    return " ".join(words), "".join(words)
