"""Structures that overlap, where a label map needs one a voxel: the first named has it.

First named is, in a study, who comes first in `dataset.organs`; without one, who comes first in a file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from organbench.core.errors import InputError, plain
from organbench.core.files import atomic
from organbench.data import grids
from organbench.data.grids import Array, Grid, box

MISSING = "missing"  # in the file of masks as drawn: the indices of organs that were not annotated


@dataclass(frozen=True)
class LabelMap:
    """Structures as one label map; `label_map` says who has the voxels of several.

    Attributes:
        labels: 1, 2, ... in the structures' order (uint8, z y x); 0 where none is.
        sizes: how many voxels each structure has as it was drawn.
        drawn: masks (bool, z y x) of the structures that lost voxels, by their labels.
        lost: of each pair of structures that overlap, first who has the voxels, how many they are.
    """

    labels: Array
    sizes: Mapping[str, int]
    drawn: Mapping[int, Array]
    lost: Mapping[tuple[str, str], int]

    def told(self, voxel_ml: float) -> str:
        """Which structures lost how much to which others, in one line; empty where none did."""
        parts: dict[str, list[str]] = {}
        for (kept, name), count in self.lost.items():
            parts.setdefault(name, []).append(f"{count} voxels ({count * voxel_ml:.2f} ml) to {plain(kept)}")
        if not parts:
            return ""
        lines = [
            f"{plain(name)} ({self.sizes[name] * voxel_ml:.2f} ml) lost {' and '.join(own)}"
            for name, own in parts.items()
        ]
        return f"structures overlap, of which the first named has the voxels in the label map: {', '.join(lines)}"


def label_map(masks: Iterable[tuple[str, Array]], shape: tuple[int, ...]) -> LabelMap:
    """Structures, which may overlap, as a label map, which has one a voxel: of several, the first named has it.

    Args:
        masks: of each structure, up to 255, its name and where it is (bool, z y x); each is looked at once.
        shape: of all of them.
    """
    labels, names = np.zeros(shape, np.uint8), [""]
    sizes: dict[str, int] = {}
    drawn: dict[int, Array] = {}
    lost: dict[tuple[str, str], int] = {}
    for label, (name, mask) in enumerate(masks, start=1):
        names.append(name)
        counts = np.bincount(labels[mask], minlength=label)
        sizes[name] = int(counts.sum())
        if counts[1:].any():
            drawn[label] = mask
            lost |= {(names[k], name): int(counts[k]) for k in range(1, label) if counts[k]}
        labels[mask & (labels == 0)] = label
    return LabelMap(labels, sizes, drawn, lost)


def write_drawn(drawn: Mapping[int, Array], path: str | Path, unannotated: Sequence[int] = ()) -> None:
    """Write the masks that a label map cannot show, whole or not at all.

    Args:
        drawn: masks (bool, z y x) by their labels.
        path: the file, an .npz.
        unannotated: the labels of organs that were not annotated.

    Raises:
        InputError: the file cannot be written.
    """
    held = {MISSING: np.array(unannotated, np.uint8)}
    for index, mask in drawn.items():
        place = box(mask)
        held[f"box{index}"] = np.array([(part.start, part.stop) for part in place])
        held[f"mask{index}"] = np.packbits(mask[place])
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **held)


def read_drawn(path: str | Path | None, grid: Grid) -> tuple[dict[int, Array], set[int]]:
    """Read what `write_drawn` has written.

    Args:
        path: the file; None where the study has label maps, which say all.
        grid: the scan's.

    Returns:
        Masks as drawn of the organs that the label map does not show whole, by their indices (bool, z y x, along the
        patient as `grids.oriented` gives them); and the indices of those that were not annotated.

    Raises:
        InputError: the file is damaged.
    """
    masks: dict[int, Array] = {}
    if path is None:
        return masks, set()
    try:
        with np.load(path) as held:
            for name in held.files:
                if name.startswith("box"):
                    place = tuple(slice(int(start), int(stop)) for start, stop in held[name])
                    size = [part.stop - part.start for part in place]
                    mask = np.zeros(grid.shape, bool)
                    bits = np.unpackbits(held[f"mask{name[3:]}"], count=int(np.prod(size)))
                    mask[place] = bits.reshape(size)
                    image = grids.to_image(mask.view(np.uint8), grid)  # a view of it is valid only while it lives
                    masks[int(name[3:])] = grids.oriented(image)[0].copy().view(bool)
            return masks, set(held[MISSING].tolist())
    except (EOFError, KeyError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); delete the folder {Path(path).parent} and run again") from None
