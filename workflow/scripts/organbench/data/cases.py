"""The prepared case on disk: memory-mapped arrays on the working grid, and the geometry that leads back."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from organbench.core.errors import InputError
from organbench.core.files import atomic, read_json, write_json
from organbench.data.annotations import indices, unannotated
from organbench.data.grids import Array, Grid

POINTS = 1024  # voxels of each organ that are remembered for sampling
NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)  # other `OSError`s may pass


@dataclass(frozen=True)
class Case:
    """One patient, ready for training.

    Attributes:
        name: the case's name.
        image: int16 HU, axes z y x, memory-mapped.
        label: uint8 organ indices, axes z y x, memory-mapped.
        points: int16, (organ, point, 3): z y x of up to `POINTS` random voxels of each organ, repeated where there are
            fewer, -1 where there is none; memory-mapped.
        info: what `case.json` holds.
        working: the grid of the arrays.
        oriented: the original grid with its axes brought to the working orientation.
        original: the grid of the scanner's volume.
    """

    name: str
    image: Array
    label: Array
    points: Array
    info: Mapping[str, Any]
    working: Grid
    oriented: Grid
    original: Grid

    @property
    def unannotated(self) -> tuple[int, ...]:
        """The indices of the organs that were not annotated; in `label` they are background."""
        return indices(self.info)


def write(image: Array, label: Array, info: Mapping[str, Any], folder: str | Path) -> None:
    """Write what `prepare` returns as a case."""
    folder = Path(folder)
    arrays = {"image": image, "label": label, "points": organ_points(label, len(info["organs"]))}
    info = {**info, "checksums": {file: zlib.crc32(array.data) for file, array in arrays.items()}}
    for file, array in arrays.items():
        with atomic(folder / f"{file}.npy") as temporary, temporary.open("wb") as stream:
            np.save(stream, array)
    write_json(info, folder / "case.json")


def excluded(name: str, reason: str, tried: Mapping[str, Any]) -> tuple[Array, Array, dict[str, Any]]:
    """What is written in place of a case that cannot be prepared: empty arrays, and why, with which settings."""
    nothing = np.zeros((0, 0, 0), np.int16)
    return nothing, nothing, {"case": name, "bad": reason, "organs": {}, "tried": dict(tried)}


def organ_points(label: Array, organs: int) -> Array:
    """Random voxels of each organ: int16 (organ, POINTS, 3), z y x, -1 where the organ is absent."""
    points = np.full((organs, POINTS, 3), -1, np.int16)
    flat = label.ravel()
    for index in range(organs):
        found = np.flatnonzero(flat == index + 1)
        if len(found):
            chosen = np.random.default_rng(index).choice(found, POINTS, replace=len(found) < POINTS)
            points[index] = np.stack(np.unravel_index(chosen, label.shape), axis=1)
    return points


def read_info(path: str | Path) -> dict[str, Any]:
    """What a `case.json` holds; with a key `bad`, which says why, where the case could not be prepared.

    Raises:
        InputError: the file is missing or damaged.
        OSError: it cannot be read now.
    """
    path = Path(path)
    try:
        info: dict[str, Any] = read_json(path)
        if "bad" not in info:
            overview(info), Grid.from_json(info["working"]), Grid.from_json(info["oriented"]), info["organs"].values()
            sum(info[key][organ] for key in ("voxels", "original_voxels") for organ in info["organs"])
            info["hu"]["volume"]["p0.5"]
        elif not isinstance(info["bad"], str):
            raise TypeError(info["bad"])
        return info
    except (*NO_FILE, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: damaged ({error!r}); delete the folder {path.parent} and run again") from None


def sort_out(
    paths: Sequence[str | Path], incomplete: Mapping[str, str], organs: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What the `case.json` of each usable case holds, and why each excluded case cannot be used.

    Args:
        paths: of all `case.json`.
        organs: what the organs are called now, in order.
        incomplete: cases that lack a file and so have none, and why.

    Raises:
        InputError: as `read_info`.
    """
    infos = [read_info(path) for path in paths]
    excluded = {info["case"]: info["bad"] for info in infos if "bad" in info}
    return [named(info, organs) for info in infos if "bad" not in info], {**incomplete, **excluded}


def named(info: Mapping[str, Any], organs: Sequence[str]) -> dict[str, Any]:
    """What a `case.json` holds, with the organs called as they are now: new names make no other case."""
    names = dict(zip(info["organs"], organs, strict=True))
    keyed = ("organs", "voxels", "original_voxels", "hu")
    result = {**info, **{key: {names.get(name, name): value for name, value in info[key].items()} for key in keyed}}
    result["unannotated"] = [names[organ] for organ in unannotated(info)]
    if drawn := info.get("structures"):
        called = {
            "matched": {names[organ]: found for organ, found in drawn["matched"].items()},
            "overlaps": [{**row, **{key: names[row[key]] for key in ("kept", "lost")}} for row in drawn["overlaps"]],
        }
        result["structures"] = {**drawn, **called}
    return result


def load(folder: str | Path) -> Case:
    """Open a case; its arrays are read once to see that they are whole, and then stay on disk.

    Raises:
        InputError: the case is missing or damaged, could not be prepared, or an array is not the one that was written
            with `case.json`.
        OSError: it cannot be read now, as when a network drive fails; that says nothing about its content.
    """
    folder = Path(folder)
    remedy = f"delete the folder {folder} and run again"
    file = folder / "case.json"
    info = read_info(file)
    if info["case"] != folder.name:
        raise InputError(f"{file}: is of case {info['case']}; {remedy}")
    if "bad" in info:
        raise InputError(info["bad"])
    parts: dict[str, Any] = {name: Grid.from_json(info[name]) for name in ("working", "oriented", "original")}
    wanted = {
        "image": (parts["working"].shape, np.int16),
        "label": (parts["working"].shape, np.uint8),
        "points": ((len(info["organs"]), POINTS, 3), np.int16),
    }
    for name, what in wanted.items():
        file = folder / f"{name}.npy"
        try:
            parts[name] = array = np.load(file, mmap_mode="r")
            found, written = checksum(file, array.offset), info["checksums"][name]
        except (*NO_FILE, EOFError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: the prepared case is damaged ({error}); {remedy}") from None
        if (array.shape, array.dtype) != what:
            raise InputError(f"{file}: is not what case.json says of it; {remedy}")
        if found != written:
            raise InputError(f"{file}: damaged, its content is not what was written; {remedy}")
    return Case(info["case"], info=info, **parts)


def checksum(file: Path, start: int) -> int:
    """The CRC-32 of a file from a byte on; read in blocks, as pages of a memory map would count as the job's memory."""
    found = 0
    with file.open("rb") as stream:
        stream.seek(start)
        while block := stream.read(1 << 22):
            found = zlib.crc32(block, found)
    return found


def load_all(folders: Sequence[str | Path], *, skip_bad: bool = False) -> list[Case]:
    """Open cases, with `skip_bad` all but those that could not be prepared.

    Raises:
        InputError: as `load`.
    """
    return [load(folder) for folder in folders if not (skip_bad and "bad" in read_info(Path(folder, "case.json")))]


def check_fold(infos: Sequence[Mapping[str, Any]], fold: Mapping[str, Sequence[str]], organs: Sequence[str]) -> None:
    """Check that a fold's training cases show every organ.

    Args:
        infos: what the `case.json` of each case holds.
        fold: the cases of each role.
        organs: names of the organs.

    Raises:
        InputError: an organ was annotated in no training case, none has it, or none has it on the working grid.
    """
    trained = [info for info in infos if info["case"] in set(fold["train"])]
    check_annotated(trained, organs)
    for organ in organs:
        if not any(info["voxels"][organ] for info in trained):
            lost = [info["case"] for info in trained if info["original_voxels"][organ]]
            if lost:
                raise InputError(
                    f"config, preprocessing.spacing: {organ} is lost at the working spacing, "
                    f"in training cases {', '.join(lost[:5])}; choose a finer one, or leave the organ out"
                )
            elsewhere = [info["case"] for info in infos if info["original_voxels"][organ]]
            where = f"only cases {', '.join(elsewhere[:5])} have it" if elsewhere else "no case has it"
            raise InputError(
                f"config, dataset.organs: no training case has {organ} ({where}); "
                "change the split (split.seed), add cases, or leave the organ out"
            )


def check_annotated(infos: Sequence[Mapping[str, Any]], organs: Sequence[str]) -> None:
    """Check that each organ was annotated in one of the cases that are trained on.

    Args:
        infos: what the `case.json` of each of these cases holds.
        organs: names of the organs, in order.

    Raises:
        InputError: one was annotated in none, so that nothing can be learned of it.
    """
    for index, organ in enumerate(organs, start=1):
        if infos and all(index in indices(info) for info in infos):
            raise InputError(
                f"config, dataset.organs: {organ} was annotated in none of the {len(infos)} training cases; "
                "change the split (split.seed), add cases or the structure's name, or leave the organ out"
            )


def check_whole(
    infos: Sequence[Mapping[str, Any]], folds: Sequence[Mapping[str, Sequence[str]]], models: Sequence[str]
) -> None:
    """Check that all organs were annotated in the cases that models learn from which cannot leave one out.

    Args:
        infos: what the `case.json` of each case holds.
        folds: the cases of each role.
        models: names of these models.

    Raises:
        InputError: an organ was not annotated in a case that is trained or validated on.
    """
    learned = {case for fold in folds for role in ("train", "validation") for case in fold[role]}
    lacking: dict[str, list[str]] = {}
    for info in infos:
        for organ in unannotated(info) if info["case"] in learned else ():
            lacking.setdefault(organ, []).append(info["case"])
    if models and lacking:
        where = "; ".join(f"{organ} in case {', '.join(names)}" for organ, names in lacking.items())
        raise InputError(
            f"config, models.{models[0]}: nnU-Net takes an organ for absent that was not annotated ({where}); "
            f"remove {' and '.join(models)}, leave these cases out (dataset.cases), or make them test cases (split)"
        )


def overview(info: Mapping[str, Any]) -> dict[str, Any]:
    """A case's row in `cases.csv`: its original grid, each organ's volume in ml (0: absent, NaN: unknown) and its HU.

    `<organ>_hu` is the median of its voxels on the working grid, `_low` and `_high` hold 99 % of them (NaN: absent).
    """
    original = Grid.from_json(info["original"])
    grid = {
        f"{what}_{axis}": value
        for what in ("size", "spacing")
        for axis, value in zip("xyz", getattr(original, what), strict=True)
    }
    unknown = unannotated(info)
    volumes_ml = {
        f"{organ}_ml": float("nan") if organ in unknown else voxels * original.voxel_ml
        for organ, voxels in info["original_voxels"].items()
    }
    hu = {
        f"{organ}_hu{end}": float("nan") if info["hu"][organ] is None else info["hu"][organ][percentile]
        for organ in info["organs"]
        for end, percentile in (("", "p50"), ("_low", "p0.5"), ("_high", "p99.5"))
    }
    return {"case": info["case"], "orientation": info["orientation"]} | grid | volumes_ml | hu


def survey(infos: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a data set holds, a line a topic: cases, organs, spacing, sizes and HU.

    Args:
        infos: what the `case.json` of each case holds.
    """
    if not infos:
        return ["no case can be used"]
    lines = [f"{len(infos)} cases can be used"]
    grids = [Grid.from_json(info["original"]) for info in infos]
    for what, unit in (("spacing", "mm"), ("size", "voxels")):
        values = np.array([getattr(grid, what) for grid in grids])
        axes = zip("xyz", values.min(axis=0), values.max(axis=0), strict=True)
        lines.append(f"{what}: " + ", ".join(f"{axis} {low:g} to {high:g}" for axis, low, high in axes) + f" {unit}")
    scans = [info["hu"]["volume"] for info in infos]
    low, high = min(scan["p0.5"] for scan in scans), max(scan["p99.5"] for scan in scans)
    lines.append(f"HU: 99 % of each scan's voxels are within {low:g} to {high:g}")
    for organ in infos[0]["organs"]:
        annotated = sum(organ not in unannotated(info) for info in infos)
        of_those = f" of the {annotated} in which it was annotated" if annotated < len(infos) else ""
        lines.append(f"{organ}: in {sum(info['original_voxels'][organ] > 0 for info in infos)} cases{of_those}")
    if empty := [info["case"] for info in infos if not any(info["original_voxels"].values())]:
        lines.append(f"note: none of the organs is labelled in case {', '.join(empty)}")
    return lines


def disk_bytes(info: Mapping[str, Any]) -> int:
    """What the arrays of a case take on disk: image, label and points."""
    return Grid.from_json(info["working"]).voxels * 3 + len(info["organs"]) * POINTS * 6
