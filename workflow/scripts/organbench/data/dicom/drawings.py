"""Masks as a file that refers to the CT's slices, of either kind."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import elsewhere, images
from organbench.data.dicom import rtstruct, seg
from organbench.data.dicom.series import Series
from organbench.data.grids import Array, Grid
from organbench.data.labels import whole_numbers


def of_labels(path: Path, organs: Mapping[str, Sequence[int]], series: Series) -> tuple[dict[str, Array], list[str]]:
    """The masks of a label map on a series' grid, by nearest neighbour where its own is another.

    Args:
        path: the label map.
        organs: name of each structure and its label values, which are merged.
        series: the CT.

    Returns:
        Boolean masks (z y x), empty where a structure has no voxel; and what a person should know, a line each.

    Raises:
        InputError: the label map cannot be read, or lies beside the series.
    """
    image = images.read(path)
    labels = whole_numbers(sitk.GetArrayViewFromImage(image), path)
    values, offset, covered = elsewhere.on_grid(labels, Grid.of(image), series.grid)
    if not covered:
        raise InputError(f"{path}: lies beside the CT in {series.folder}; give the CT to which it belongs")
    notes = elsewhere.moved(str(path), labels, Grid.of(image), series.grid, offset, onto="CT", what="labelled voxels")
    named = {0, *(value for own in organs.values() for value in own)}
    if others := sorted(set(np.unique(values).tolist()) - named):
        notes.append(f"{path}: values without a name are left out: {', '.join(map(str, others))}")
    return {name: np.isin(values, list(own)) for name, own in organs.items()}, notes


def write(
    kind: str,
    masks: Mapping[str, Array],
    series: Series,
    path: Path,
    *,
    colors: Mapping[str, str],
    algorithm: str,
    version: str,
    keyholes: bool = False,
) -> None:
    """Write masks as a file of a kind, `rtstruct` or `seg`; the modules of these names say the rest."""
    if kind == "seg":
        seg.write(masks, series, path, colors=colors, algorithm=algorithm, version=version)
    else:
        rtstruct.write(masks, series, path, colors=colors, algorithm=algorithm, version=version, keyholes=keyholes)
