"""Two folders of label maps, measured against one another: for files that no study has made."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from organbench.core.errors import InputError, plain
from organbench.data import formats, grids, images
from organbench.data.grids import Array, Grid
from organbench.data.labels import MAX_LABEL, lookup, whole_numbers
from organbench.data.names import EMPTY
from organbench.evaluation import metrics

Organs = Mapping[str, Sequence[int]]
"""Name of each organ and its label values, which are merged."""


def read_organs(path: Path) -> dict[str, list[int]]:
    """Which label values are which organ: a CSV with the columns `value` and `name`; rows of one name are one organ.

    Raises:
        InputError: it is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, skipinitialspace=True))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a CSV with the columns value and name") from None
    if not rows or not {"value", "name"} <= rows[0].keys():
        raise InputError(f"{path}: is no table with the columns value and name, and a row for each value of an organ")
    organs: dict[str, list[int]] = {}
    for number, row in enumerate(rows, start=2):
        value, name = (row["value"] or "").strip(), (row["name"] or "").strip()
        if name in EMPTY or not name.isprintable():
            raise InputError(f"{path}, line {number}: names no organ; give it a name")
        if not value.isdecimal() or not 0 < int(value) <= MAX_LABEL:
            raise InputError(
                f"{path}, line {number}: {plain(value)} is no label value; give a whole number from 1 to {MAX_LABEL}"
            )
        if any(int(value) in values for values in organs.values()):
            raise InputError(f"{path}, line {number}: value {value} is named twice; leave one of the two")
        organs.setdefault(name, []).append(int(value))
    if len(organs) > 255:
        raise InputError(f"{path}: names {len(organs)} organs; at most 255 can be measured at a time")
    return organs


def files_in(folder: Path) -> dict[str, Path]:
    """The label maps in a folder, by the names of their cases.

    Raises:
        InputError: there are none, or two of one case.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; name one with label maps")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = formats.suffix_of(path)
        if not suffix or path.name.startswith(".") or not path.is_file():
            continue
        case = path.name[: -len(suffix)]
        if case in found:
            raise InputError(f"{path}: {found[case].name} beside it has the same name; leave one of the two")
        found[case] = path
    if not found:
        raise InputError(f"{folder}: holds no label map; name a folder with some (NIfTI, MetaImage, NRRD)")
    return found


def pairs(reference: Path, prediction: Path, *, missing: str) -> dict[str, tuple[Path, Path | None]]:
    """The files of each case in two folders.

    Args:
        reference: folder of what is measured against; it says which cases there are.
        prediction: folder of what is measured.
        missing: what becomes of a case without a prediction: `refuse`, `failure` (it has None) or `skip`.

    Raises:
        InputError: no case is in both, or one has no prediction and that is refused.
    """
    ours, theirs = files_in(reference), files_in(prediction)
    lacking = [case for case in ours if case not in theirs]
    if len(lacking) == len(ours):
        raise InputError(
            f"{prediction}: holds no file named as one of {reference}, such as {next(iter(ours.values())).name}"
        )
    if lacking and missing == "refuse":
        raise InputError(
            f"{prediction}: has no prediction of {len(lacking)} of {len(ours)} cases, the first is {lacking[0]}; "
            "put them there, or say --missing failure or --missing skip"
        )
    return {case: (path, theirs.get(case)) for case, path in ours.items() if missing != "skip" or case in theirs}


def measure(
    reference: Path, prediction: Path | None, organs: Organs, *, tolerance_mm: float, workers: int = 1
) -> tuple[pd.DataFrame, set[int]]:
    """Measure a case, see `metrics.measure`.

    Args:
        reference: its label map.
        prediction: what is measured; None where there is nothing.
        organs: which label values are which organ; all others are background.
        tolerance_mm: how far off a surface or contour is acceptable, mm.
        workers: threads that search for distant surfaces.

    Returns:
        The metrics, a row per organ; and the label values that are no organ's.

    Raises:
        InputError: a file is damaged, or they do not lie on the same grid.
    """
    ours, others = organ_indices(reference, organs)
    if prediction is None:
        theirs = sitk.Image(ours.GetSize(), sitk.sitkUInt8)
        theirs.CopyInformation(ours)
    else:
        theirs, more = organ_indices(prediction, organs)
        others |= more
        grids.check_pair(Grid.of(ours), Grid.of(theirs), reference, prediction)
    (true, grid), (predicted, _) = (grids.oriented(image) for image in (ours, theirs))  # so that z is axial
    return (
        metrics.measure(
            true,
            predicted,
            organs=list(organs),
            spacing=grid.spacing,
            tolerance_mm=tolerance_mm,
            workers=workers,
        ),
        others,
    )


def organ_indices(path: Path, organs: Organs) -> tuple[sitk.Image, set[int]]:
    """A label map as organ indices, in which all other values are background; and these values."""
    image = images.read(path)
    indices = {0: 0} | {value: index for index, values in enumerate(organs.values(), start=1) for value in values}
    voxels = sitk.GetArrayViewFromImage(image)
    result, there = np.empty(voxels.shape, np.uint8), set[int]()
    for slab, target in zip(grids.slabs(voxels), grids.slabs(result), strict=True):
        values: Array = whole_numbers(slab, path)
        target[...] = lookup(values, indices, path, others=0)
        there.update(np.flatnonzero(np.bincount(values.ravel())).tolist())
    labels = sitk.GetImageFromArray(result)
    labels.CopyInformation(image)
    return labels, there - indices.keys()


def joined(found: Sequence[tuple[str, pd.DataFrame]], model: str) -> pd.DataFrame:
    """The metrics of all cases as a study's `tables/per_case.csv`, with the columns that `organbench compare` needs."""
    named = []
    for case, table in found:
        for position, (column, value) in enumerate({"model": model, "fold": 0, "seed": 0, "case": case}.items()):
            table.insert(position, column, value)
        named.append(table)
    return pd.concat(named, ignore_index=True)
