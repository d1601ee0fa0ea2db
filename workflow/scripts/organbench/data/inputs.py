"""Scans that somebody points at: files, folders of files, folders of DICOM series, and folders of such folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import formats, images, scans

if TYPE_CHECKING:
    from organbench.data.dicom.series import Series


@dataclass(frozen=True)
class Input:
    """A scan that was pointed at.

    Attributes:
        name: what is made of it is called by; no other scan has the same.
        path: its file, or the folder of its DICOM series.
    """

    name: str
    path: Path

    @property
    def is_series(self) -> bool:
        """Whether it is a DICOM series."""
        return self.path.is_dir()


def find(places: Sequence[Path]) -> list[Input]:
    """The scans at some places.

    Of a folder all files of a known format are scans. Where it has none, all its DICOM files together are a series; and
    where it has none of these, its folders are looked into.

    Raises:
        InputError: there is nothing, or a scan is named twice.
    """
    paths = [path for place in places for path in scans_at(place)]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise InputError(f"{twice}: is given twice; leave one of the two out")
    return [Input(name, path) for name, path in zip(names_of(paths), paths, strict=True)]


def read(scan: Input, spacing: Sequence[float | None]) -> tuple[sitk.Image, "Series | None"]:
    """The voxels of a scan (HU); and of a DICOM series what it is.

    Args:
        scan: that was pointed at.
        spacing: mm, x y z, that it will be brought to; see `scans.check_size`.

    Raises:
        InputError: it is no sound volume, or no CT series.
    """
    scans.check_size(scan.path, images.read_grid(scan.path), spacing)
    return images.read_volume(scan.path), images.series_in(scan.path) if scan.is_series else None


def scans_at(place: Path) -> list[Path]:
    """The files and folders of series at a place, see `find`.

    Raises:
        InputError: there is nothing.
    """
    found = list(_walk(place))
    if not found:
        raise InputError(f"{place}: no scan is there; give a volume, a folder of volumes, or one of a DICOM series")
    return found


def _walk(place: Path) -> list[Path]:
    """The scans at a place."""
    if not place.is_dir():
        return [place] if place.exists() else []
    inside = sorted(path for path in place.iterdir() if not path.name.startswith("."))
    files = [path for path in inside if path.is_file()]
    volumes = [path for path in files if formats.suffix_of(path)]
    folders = [path for path in inside if path.is_dir()]
    if not volumes and files and (not folders or any(map(_is_dicom, files))):
        return [place]  # whether it is a series is seen when it is read
    return volumes or [path for folder in folders for path in _walk(folder)]


def _is_dicom(file: Path) -> bool:
    """Whether a file has the mark of DICOM after its first 128 bytes."""
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def names_of(paths: Sequence[Path]) -> list[str]:
    """A name for each path: its last part, and as many of those before it as it takes to tell all apart.

    p1/CT and p2/CT are p1-CT and p2-CT.
    """
    parts = [[*path.resolve().parts[1:-1], _stem(path)] for path in paths]
    different = len(set(map(tuple, parts))) == len(parts)  # and not files of two formats beside each other
    for count in range(1, max(map(len, parts), default=0) + 1) if different else ():
        names = ["-".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]}-{number}" for number, part in enumerate(parts)]


def _stem(path: Path) -> str:
    """A path's last part, without the suffix of its format."""
    suffix = "" if path.is_dir() else formats.suffix_of(path)
    name = path.resolve().name
    return name[: len(name) - len(suffix)] or name
