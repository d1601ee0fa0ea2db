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

from organbench.core.errors import InputError, plain
from organbench.core.files import atomic
from organbench.data import grids, structures
from organbench.data.grids import Array, Grid, box
from organbench.data.overlaps import label_map
from organbench.data.structures import Frame

MISSING = "missing"  # in the file of masks as drawn: the indices of organs that were not annotated

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
            "unannotated": list(self.unannotated),
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
    drawing = structures.read(path, frame)
    found, notes = structures.matched(drawing, organs), list(drawing.notes)
    masks = ((organ, structures.merged(drawing, places, frame, notes)) for organ, places in found.items())
    flat = label_map(masks, frame.grid.shape)
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
    held = {MISSING: np.array([organs.index(organ) + 1 for organ in unknown], np.uint8)}
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


def survey(infos: Sequence[Mapping[str, Any]]) -> list[str]:
    """What structures a data set has: a line per name, name that matches nothing, organ that was not drawn, overlap.

    Args:
        infos: what the `case.json` of each usable case holds.

    Returns:
        The lines; none where the study has label maps.
    """
    drawn = {info["case"]: info["structures"] for info in infos if "structures" in info}
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
            unknown = any(organ in drawn[case]["unannotated"] for case in without)
            meaning = "so it is not scored there" if unknown else "so it is absent there"
            lines.append(f"note: {organ} was not drawn in case {', '.join(without)}, {meaning}")
        if several := [case for case, found in drawn.items() if len(found["matched"].get(organ, [])) > 1]:
            lines.append(f"note: {organ} is several structures, which are merged, in case {', '.join(several)}")
    overlaps: dict[tuple[str, str], list[str]] = {}
    for case, found in drawn.items():
        for row in found["overlaps"]:
            size = f"{row['voxels']} voxels, {row['voxels'] * found['voxel_ml']:.2f} ml"
            overlaps.setdefault((row["kept"], row["lost"]), []).append(f"{case} ({size})")
    for (kept, lost), where in overlaps.items():
        lines.append(f"note: {lost} overlaps {kept}, which has these voxels in training, in case {', '.join(where)}")
    return [*lines, *(f"note: case {case}: {note}" for case, found in drawn.items() for note in found["notes"])]
