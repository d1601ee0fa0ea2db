"""From a CT volume and its labels to a prepared case, and from its prediction back to the scanner's grid."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import cases, grids, images, references, resampling, scans, structures
from organbench.data.grids import Array, Grid


def prepare(
    name: str,
    volume_path: str | Path,
    label_path: str | Path,
    *,
    organs: Mapping[str, Sequence[int]],
    ignored: Sequence[int] = (),
    spacing: Sequence[float | None],
    reference: references.Reference | None = None,
    unannotated: Sequence[str] = (),
) -> tuple[Array, Array, dict[str, Any]]:
    """Check a CT volume and its labels, and bring them to the working grid.

    Args:
        name: the case's name.
        volume_path: CT volume in HU, or a folder with a CT series.
        label_path: label map on the same grid.
        organs: name of each organ and its label values, which are merged.
        ignored: label values that count as background.
        spacing: working spacing in mm, x y z; None keeps the scanner's.
        reference: what was drawn on the scan, where organs are structures with names; `label_path` is not read then.
        unannotated: organs of which the label map says nothing, as they were not annotated in this case.

    Returns:
        Of a case its image, its label and what `case.json` holds; see `Case`.

    Raises:
        InputError: the volume or the labels are unfit; see `images`; or an organ is there that was not annotated.
    """
    frame = structures.Frame.of(volume_path)
    scanned = frame.grid
    scans.check_size(volume_path, scanned, spacing)

    def prepare_labels() -> tuple[Array, dict[str, int], list[int]]:
        if reference:
            labels, ignored_there = grids.to_image(reference.labels, scanned), []
        else:
            labels = images.read_labels(label_path, organs, ignored)
            grids.check_pair(scanned, Grid.of(labels), volume_path, label_path)
            grids.place(labels, scanned)
            ignored_there = images.ignored_in(labels)
        indices, grid = grids.oriented(labels)
        resampled = resampling.resample_labels(indices, grid, grid.with_spacing(spacing), len(organs))
        voxels = voxels_of(indices, organs)
        for organ in unannotated:
            if voxels[organ]:
                raise InputError(
                    f"{label_path}: has {organ}, which was not annotated in case {name} by dataset.annotated; add it "
                    "there, or remove it here"
                )
        for index, mask in reference.drawn.items() if reference else ():
            voxels[list(organs)[index - 1]] = int(mask.sum())
        return resampled, voxels, ignored_there

    with ThreadPoolExecutor(1) as pool:  # while the volume is unpacked
        preparing = pool.submit(prepare_labels)
        volume = images.read_volume(volume_path)
        label, original_voxels, ignored_there = preparing.result()
    scan = scans.of(volume, volume_path, spacing)
    info = {
        "case": name,
        "orientation": scan.orientation,
        "original": asdict(scan.original),
        "oriented": asdict(scan.oriented),
        "working": asdict(scan.working),
        "spacing": list(spacing),
        "organs": {organ: list(values) for organ, values in organs.items()},
        "ignored": ignored_there,
        "unannotated": list(reference.unannotated if reference else unannotated),
        "original_voxels": original_voxels,
        "voxels": voxels_of(label, organs),
        "hu": hu_statistics(scan.image, label, organs),
        **({"structures": reference.told()} if reference else {}),
        **({"series": images.series_in(volume_path).told()} if frame.series else {}),
    }
    return scan.image, label, info


def convert(name: str, volume_path: str | Path, label_path: str | Path, folder: str | Path, **options: Any) -> None:
    """Check a CT volume and its labels, bring them to the working grid, and write a case.

    Args:
        name: the case's name.
        volume_path: CT volume in HU.
        label_path: label map on the same grid.
        folder: where `image.npy`, `label.npy`, `points.npy` and `case.json` go.
        options: as for `prepare`.

    Raises:
        InputError: the volume or the labels are unfit; see `images`.
    """
    image, label, info = prepare(name, volume_path, label_path, **options)
    cases.write(image, label, info, folder)


def voxels_of(label: Array, organs: Mapping[str, Any]) -> dict[str, int]:
    """Voxels of each organ in an array of organ indices."""
    counts = np.zeros(len(organs) + 1, np.int64)
    for slab in grids.slabs(label):
        counts += np.bincount(slab.ravel(), minlength=len(organs) + 1)
    return {organ: int(counts[index]) for index, organ in enumerate(organs, start=1)}


def hu_statistics(image: Array, label: Array, organs: Mapping[str, Any]) -> dict[str, dict[str, float] | None]:
    """Mean, deviation and 0.5, 50 and 99.5 percentiles of HU of the volume and of each organ (None: absent)."""

    def describe(histogram: Array) -> dict[str, float] | None:
        count = histogram.sum()
        if not count:
            return None
        values = np.arange(low, high + 1, dtype=np.float64)
        mean = float((histogram * values).sum() / count)
        below = np.cumsum(histogram)
        percentiles = {f"p{p:g}": float(values[np.searchsorted(below, count * p / 100)]) for p in (0.5, 50, 99.5)}
        return {"mean": mean, "std": float(np.sqrt((histogram * (values - mean) ** 2).sum() / count))} | percentiles

    low, high = int(image.min()), int(image.max())
    levels = high - low + 1
    joint = np.zeros((len(organs) + 1) * levels, np.int64)
    for slab, where in zip(grids.slabs(image), grids.slabs(label), strict=True):
        places = where.astype(np.int64) * levels + (slab.astype(np.int64) - low)
        joint += np.bincount(places.ravel(), minlength=len(joint))
    table = joint.reshape(-1, levels)
    histograms = (table.sum(axis=0), *table[1:])
    return {name: describe(found) for name, found in zip(("volume", *organs), histograms, strict=True)}


def write_prediction(prediction: Array, case: cases.Case, path: str | Path) -> None:
    """Write organ indices (uint8, z y x, oriented grid) on the scanner's grid with the original label values."""
    values = label_values(case.info["organs"])
    images.write(on_scanner(values[prediction], case.oriented, case.original, case.info["orientation"]), path)


def on_scanner(labels: Array, oriented: Grid, original: Grid, orientation: str) -> sitk.Image:
    """An array (z y x) on the original grid in the working orientation, as an image on the scanner's grid.

    Args:
        labels: the array.
        oriented: its grid.
        original: the scanner's.
        orientation: of the scanner's axes.
    """
    image = grids.orient(grids.to_image(labels, oriented), orientation)
    grids.place(image, original)
    return image


def write_labels(indices: Array, grid: Grid, organs: Mapping[str, Sequence[int]], path: str | Path) -> None:
    """Write organ indices (uint8, z y x) that lie on the scanner's grid with the original label values."""
    images.write(grids.to_image(label_values(organs)[indices], grid), path)


def label_values(organs: Mapping[str, Sequence[int]]) -> Array:
    """The label value of each organ index; organs that were merged go out under their first value."""
    values = np.array([0, *(merged[0] for merged in organs.values())], np.uint16)
    return values.astype(np.uint8) if values.max() < 256 else values
