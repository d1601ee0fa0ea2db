"""`organbench contours`: structures of planning systems as label maps, and label maps as structures."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from organbench.core.errors import InputError, plain

if TYPE_CHECKING:
    from organbench.data.grids import Array, Grid
    from organbench.data.structures import Drawing, Frame

MOST_LABELS = 255  # structures of a label map


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands `contours read` and `contours write`."""
    parser = commands.add_parser(
        "contours",
        help="turn a DICOM structure set into a label map, and a label map into a structure set",
        description="Between the structures of planning systems (RTSTRUCT, SEG) and label maps (docs/contours.md).",
    )
    ways = parser.add_subparsers(dest="way", required=True)
    reading = ways.add_parser(
        "read",
        help="structures to a label map",
        description=(
            "Write the structures of an RTSTRUCT or SEG as a label map on the CT's grid, and print a table of their "
            "names, values and volumes, which `contours write` can be given as names.csv. The volume is that of the "
            "structure as it was drawn; where structures overlap, the first named has the voxel in the label map: the "
            "first in the file, or in names.csv. An output named .seg.nrrd keeps all of each, with names and colours, "
            "for 3D Slicer."
        ),
    )
    reading.add_argument("structures", type=Path, metavar="RTSTRUCT", help="the file with the structures")
    reading.add_argument("ct", type=Path, metavar="CT_FOLDER", help="the folder of the CT on which they were drawn")
    reading.add_argument("--output", type=Path, required=True, metavar="LABELS", help="a .nii.gz, .mha or .nrrd")
    reading.add_argument(
        "--names",
        type=Path,
        metavar="names.csv",
        help="with columns value and name (or a pattern, such as liver_*): which structures, their values and order",
    )
    reading.set_defaults(run=read)
    writing = ways.add_parser(
        "write",
        help="a label map to an RTSTRUCT or SEG",
        description="Write the structures of a label map as an RTSTRUCT, or as a SEG, that refers to the CT's slices.",
    )
    writing.add_argument("labels", type=Path, metavar="LABELS", help="a label map, on the CT's grid, or a .seg.nrrd")
    writing.add_argument("ct", type=Path, metavar="CT_FOLDER", help="the folder of the CT")
    writing.add_argument(
        "--names",
        type=Path,
        required=True,
        metavar="names.csv",
        help="with columns value and name; of a .seg.nrrd the names alone decide",
    )
    writing.add_argument("--output", type=Path, required=True, metavar="rtss.dcm", help="what is written")
    writing.add_argument("--format", choices=["rtstruct", "seg"], default="rtstruct", help="default: rtstruct")
    writing.add_argument(
        "--keyholes",
        action="store_true",
        help="join holes to what is around them, for systems that fill every contour of an RTSTRUCT",
    )
    writing.add_argument("--algorithm", default="OrganBench", metavar="NAME", help="what drew the label map")
    writing.add_argument("--algorithm-version", metavar="VERSION", help="its version; default: that of OrganBench")
    writing.set_defaults(run=write)


def read(given: argparse.Namespace) -> None:
    """Write structures as a label map, and print what they are.

    Raises:
        InputError: the CT, the structures or their names cannot be read, or do not belong together.
    """
    from organbench.core import files
    from organbench.data import images, slicer, structures

    images.check_name(given.output)
    files.check_new(given.output, [given.structures, given.ct, *([given.names] if given.names else [])])
    ct = images.series_in(given.ct)
    frame = structures.Frame(given.ct, ct.grid, ct)
    drawing = structures.read(given.structures, frame)
    notes: list[str] = []
    wanted = chosen(given.names, drawing, notes) if given.names else in_order(drawing)
    masks = masks_of(drawing, wanted, frame, notes)
    for note in notes:
        print(note, file=sys.stderr)
    if not masks:
        raise InputError(f"{given.structures}: no structure was drawn; there is nothing to write")
    if slicer.is_one(given.output):
        colors = {one.name: drawing.colors[one.places[0]] for one in wanted if one.places[0] in drawing.colors}
        slicer.write(masks, ct.grid, given.output, colors=colors)
    else:
        write_label_map(given, ct.grid, masks, [one.value for one in wanted])
    print("value,name,ml")
    for one in wanted:
        print(f"{one.value},{quoted(one.name)},{masks[one.name].sum() * ct.grid.voxel_ml:.2f}")


@dataclass(frozen=True)
class Wanted:
    """What becomes a structure of the label map: its value there, its name, and its places among the file's."""

    value: int
    name: str
    places: Sequence[int]


def in_order(drawing: "Drawing") -> list[Wanted]:
    """All structures of a file, in its order."""
    found: dict[str, int] = {}
    for place, name in enumerate(drawing.names):
        found[free_name(plain(name), found)] = place
    return [Wanted(value, name, [place]) for value, (name, place) in enumerate(found.items(), start=1)]


def chosen(names: Path, drawing: "Drawing", notes: list[str]) -> list[Wanted]:
    """The structures of a file that names.csv has, in its order; what is in one of the two only is noted.

    Raises:
        InputError: names.csv cannot be used, or has none of the structures.
    """
    from organbench.data import structures
    from organbench.evaluation.folders import read_organs

    values = read_organs(names)
    if several := [name for name, own in values.items() if len(own) > 1]:
        raise InputError(f"{names}: {plain(several[0])} has {len(values[several[0]])} values; leave one")
    found = structures.matched(drawing, {name: [name] for name in values}, str(names))
    used = {place for places in found.values() for place in places}
    if lacking := [plain(name) for name, places in found.items() if not places]:
        notes.append(f"{drawing.path}: nothing was drawn that is called {' or '.join(lacking)}")
    if others := [plain(name) for place, name in enumerate(drawing.names) if place not in used]:
        notes.append(f"{drawing.path}: left out, as {names} does not have it: {', '.join(others)}")
    return [Wanted(values[name][0], name, places) for name, places in found.items() if places]


def masks_of(drawing: "Drawing", wanted: Sequence[Wanted], frame: "Frame", notes: list[str]) -> dict[str, "Array"]:
    """The masks of wanted structures by their names, boolean (z y x); notes get what a person should know of them."""
    from organbench.data import structures

    undrawn = [f"{drawing.path}: {plain(name)}: is named, but was never drawn" for name in drawing.undrawn]
    notes[:0] = [*drawing.notes, *undrawn]
    return {one.name: structures.merged(drawing, one.places, frame, notes) for one in wanted}


def free_name(name: str, taken: "Mapping[str, int]") -> str:
    """The name, with a number where it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def write_label_map(given: argparse.Namespace, grid: "Grid", masks: "Mapping[str, Array]", values: list[int]) -> None:
    """Write masks as one label map, and tell what of which is lost."""
    import numpy as np

    from organbench.data import grids, images
    from organbench.data.shared_voxels import label_map

    if len(masks) > MOST_LABELS:
        raise InputError(f"{given.structures}: has {len(masks)} structures; a label map holds up to {MOST_LABELS}")
    found = label_map(masks.items(), grid.shape)
    if told := found.told(grid.voxel_ml):
        print(f"{given.structures}: {told}", file=sys.stderr)
    stored = np.array([0, *values], np.uint8 if max(values) <= MOST_LABELS else np.uint16)
    images.write(grids.to_image(stored[found.labels], grid), given.output)


def quoted(name: str) -> str:
    """A cell of a CSV."""
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"') else name


def write(given: argparse.Namespace) -> None:
    """Write a label map's structures for planning systems, and print what they are.

    Raises:
        InputError: the CT, the label map or the names cannot be used.
    """
    from organbench.core import files
    from organbench.core.version import VERSION
    from organbench.data import images, slicer, structures
    from organbench.data.dicom import drawings
    from organbench.evaluation.folders import read_organs
    from organbench.reporting.colours import ORGAN_COLOURS, palette

    files.check_new(given.output, [given.labels, given.ct, given.names])
    names = read_organs(given.names)
    ct = images.series_in(given.ct)
    if slicer.is_one(given.labels):  # its names say what is which, and values may differ from case to case
        frame, notes = structures.Frame(given.ct, ct.grid, ct), list[str]()
        drawing = structures.read(given.labels, frame)
        masks = masks_of(drawing, chosen(given.names, drawing, notes), frame, notes)
    else:
        masks, notes = drawings.of_labels(given.labels, names, ct)
    for note in notes:
        print(note, file=sys.stderr)
    drawings.write(
        given.format,
        masks,
        ct,
        given.output,
        colors=palette(names, ORGAN_COLOURS),
        algorithm=given.algorithm,
        version=given.algorithm_version or VERSION,
        keyholes=given.keyholes,
    )
    for name, voxels in masks.items():
        print(f"{name}: {voxels.sum() * ct.grid.voxel_ml:.2f} ml")
