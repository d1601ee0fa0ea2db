"""Structures that overlap, where a label map needs one a voxel: the first named has it.

First named is, in a study, who comes first in `dataset.organs`; without one, who comes first in a file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from organbench.core.errors import plain
from organbench.data.grids import Array


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
