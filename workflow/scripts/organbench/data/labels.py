"""Label maps as organ indices."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data.grids import Array, box

MAX_LABEL = 65535
UNKNOWN = 255  # no organ's index


def whole_numbers(values: Array, path: str | Path) -> Array:
    """Label values as integers (same shape)."""
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind != "f" or not np.isfinite(values).all() or np.abs(values).max() > MAX_LABEL:
        raise InputError(
            f"{path}: a label map holds whole numbers from 0 to {MAX_LABEL}, this holds others; export the labels again"
        )
    result = values.astype(np.int32)
    if (result != values).any():
        raise InputError(f"{path}: has values between whole numbers; export the labels without interpolation")
    return result


def lookup(values: Array, indices: Mapping[int, int], path: str | Path, others: int = UNKNOWN) -> Array:
    """Replace label values (integers) by organ indices (uint8, same shape); others become an index, or are refused."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > MAX_LABEL:
        raise InputError(
            f"{path}: a label map holds values from 0 to {MAX_LABEL}, this has {low} to {high}; export the labels again"
        )
    table = np.full(max(high, 255, *indices) + 1, others, np.uint8)
    table[list(indices)] = list(indices.values())
    if high < 256:
        small = values.astype(np.uint8, copy=False)
        result = np.frombuffer(small.tobytes().translate(table[:256].tobytes()), np.uint8).reshape(values.shape)
    else:
        result = table[values]
    if others == UNKNOWN and (unknown := result == UNKNOWN).any():
        raise InputError(
            f"{path}: label value {', '.join(map(str, np.unique(values[unknown])))} is in no dataset.organs; "
            "map it to an organ there, or list it in dataset.ignore_labels"
        )
    return result


def remove_parts(labels: Array, organ: int, *, smallest: int = 1, only_largest: bool = False) -> None:
    """Turn connected parts (faces touching) of an organ into background, in place.

    Args:
        labels: organ indices (z y x).
        organ: the organ's index.
        smallest: parts of fewer voxels go.
        only_largest: all but the largest go.
    """
    found = labels == organ
    place = box(found)
    if not found[place].size:
        return
    mask = sitk.GetImageFromArray(found[place].astype(np.uint8))
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(mask), minimumObjectSize=smallest, sortByObjectSize=True)
    kept = sitk.GetArrayViewFromImage(parts)  # a view is valid only while its image lives
    labels[place][found[place] & ((kept != 1) if only_largest else (kept == 0))] = 0
