"""The reference of a case whose organs are structures with names: each organ's mask as drawn, and a label map of all.

A label map has one organ a voxel. Where structures overlap, the study's first organ has the voxel there; metrics use
the masks as drawn.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from organbench.core.errors import plain
from organbench.data import grids, shared_voxels, structures
from organbench.data.annotations import unannotated
from organbench.data.grids import Array, Grid
from organbench.data.structures import Frame

REMEDY = "in dataset.organs give label values, or in dataset.label another file"

# Labels and grid of a case that cannot be used.
NOTHING = np.zeros((1, 1, 1), np.uint8), Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), grids.STRAIGHT)


@dataclass(frozen=True)
class Reference:
    """What was drawn on a scan.

    Attributes:
        labels: organ indices (uint8, z y x) on the scan's grid.
        grid: the scan's.
        drawn: masks (bool, z y x) of the organs that lost voxels to others, by their indices.
        names: of all structures in the file.
        matched: names of the structures that each organ is made of.
        lost: of each pair of organs that overlap, first who has the voxels, how many they are.
        unannotated: the organs that were not drawn, where that does not mean that they are absent.
        notes: what a person should know, a line each.
        overlaps: which organs lost how many voxels to which others, in one line; empty where none did.
        file: the name of the file.
    """

    labels: Array
    grid: Grid
    drawn: Mapping[int, Array] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    matched: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lost: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unannotated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    overlaps: str = ""
    file: str = ""

    def told(self) -> dict[str, Any]:
        """What `case.json` says of it."""
        return {
            "file": self.file,
            "names": list(self.names),
            "matched": {organ: list(names) for organ, names in self.matched.items()},
            "voxel_ml": self.grid.voxel_ml,
            "overlaps": [{"kept": kept, "lost": lost, "voxels": n} for (kept, lost), n in self.lost.items()],
            "notes": list(self.notes),
        }


def read(path: str | Path, frame: Frame, organs: Mapping[str, Sequence[str]], *, absent: bool = False) -> Reference:
    """Read what was drawn on a scan.

    Args:
        path: a file with structures, or a folder in which one is of the scan.
        frame: the CT.
        organs: names or patterns of each organ's structures, which are merged; in the order of their indices.
        absent: whether an organ that was not drawn is absent; else nobody knows.

    Raises:
        InputError: the structures are unfit; see `structures`.
    """
    drawing = structures.read(path, frame, REMEDY)
    found, notes = structures.matched(drawing, organs), list(drawing.notes)
    masks = ((organ, structures.merged(drawing, places, frame, notes)) for organ, places in found.items())
    flat = shared_voxels.label_map(masks, frame.grid.shape)
    # Whatever was named: what encloses no voxel was not drawn.
    there = [organ for organ in organs if flat.sizes[organ]]
    return Reference(
        labels=flat.labels,
        grid=frame.grid,
        drawn=flat.drawn,
        names=drawing.names,
        matched={organ: [drawing.names[place] for place in found[organ]] for organ in there},
        lost=flat.lost,
        unannotated=() if absent else tuple(organ for organ in organs if organ not in there),
        notes=tuple(notes),
        overlaps=flat.told(frame.grid.voxel_ml),
        file=drawing.path.name,
    )


def write_drawn(reference: Reference | None, organs: Sequence[str], path: str | Path) -> None:
    """Write the masks that the label map cannot show, and which organs were not annotated; whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    unknown, drawn = (reference.unannotated, reference.drawn) if reference else ((), {})
    shared_voxels.write_drawn(drawn, path, [organs.index(organ) + 1 for organ in unknown])


def survey(infos: Sequence[Mapping[str, Any]]) -> list[str]:
    """What structures a data set has: a line per name, name that matches nothing, organ that was not drawn, overlap.

    Args:
        infos: what the `case.json` of each usable case holds.

    Returns:
        The lines; none where the study has label maps.
    """
    drawn = {info["case"]: info["structures"] for info in infos if "structures" in info}
    unknown = {info["case"]: unannotated(info) for info in infos}
    uses = {name: organ for found in drawn.values() for organ, own in found["matched"].items() for name in own}
    names = Counter(name for found in drawn.values() for name in dict.fromkeys(found["names"]))
    lines = [
        f"structure {plain(name)!r}: in {count} cases, {f'taken as {uses[name]}' if name in uses else 'not used'}"
        for name, count in sorted(names.items())
    ]
    for found in list(drawn.values())[:1]:
        for organ, asked in zip(infos[0]["organs"], found["asked"]["names"], strict=True):
            unused = [one for one in asked if not any(structures.fits(name, [one]) for name in names)]
            if unused:
                said = ", ".join(repr(plain(one)) for one in unused)
                lines.append(f"note: dataset.organs: of {organ}, {said} matches no structure in any case")
    for organ in infos[0]["organs"] if drawn else ():
        if without := [case for case, found in drawn.items() if organ not in found["matched"]]:
            is_unknown = any(organ in unknown[case] for case in without)
            meaning = "so it is neither learned nor scored there" if is_unknown else "so it is absent there"
            lines.append(f"note: {organ} was not drawn in case {', '.join(without)}, {meaning}")
        if several := [case for case, found in drawn.items() if len(found["matched"].get(organ, [])) > 1]:
            lines.append(f"note: {organ} is several structures, which are merged, in case {', '.join(several)}")
    shared: dict[tuple[str, str], list[str]] = {}
    for case, found in drawn.items():
        for row in found["overlaps"]:
            size = f"{row['voxels']} voxels, {row['voxels'] * found['voxel_ml']:.2f} ml"
            shared.setdefault((row["kept"], row["lost"]), []).append(f"{case} ({size})")
    for (kept, lost), where in shared.items():
        lines.append(f"note: {lost} overlaps {kept}, which has these voxels in training, in case {', '.join(where)}")
    return [*lines, *(f"note: case {case}: {note}" for case, found in drawn.items() for note in found["notes"])]
