"""`organbench contours`: structures of planning systems as label maps, and label maps as structures."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from organbench.core.errors import InputError, plain

if TYPE_CHECKING:
    from organbench.data.grids import Array, Grid

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
            "structure as it was drawn; where structures overlap, the smaller one has the voxel in the label map. "
            "An output named .seg.nrrd keeps all of each, with names and colours, for 3D Slicer."
        ),
    )
    reading.add_argument("structures", type=Path, metavar="RTSTRUCT", help="the file with the structures")
    reading.add_argument("ct", type=Path, metavar="CT_FOLDER", help="the folder of the CT on which they were drawn")
    reading.add_argument("--output", type=Path, required=True, metavar="LABELS", help="a .nii.gz, .mha or .nrrd")
    reading.set_defaults(run=read)
    writing = ways.add_parser(
        "write",
        help="a label map to an RTSTRUCT or SEG",
        description="Write the structures of a label map as an RTSTRUCT, or as a SEG, that refers to the CT's slices.",
    )
    writing.add_argument("labels", type=Path, metavar="LABELS", help="a label map, on the CT's grid")
    writing.add_argument("ct", type=Path, metavar="CT_FOLDER", help="the folder of the CT")
    writing.add_argument("--names", type=Path, required=True, metavar="names.csv", help="with columns value and name")
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
        InputError: the CT or the structures cannot be read, or do not belong together.
    """
    from organbench.data import images, slicer, structures

    ct = images.series_in(given.ct)
    drawing = structures.read(given.structures, structures.Frame(given.ct, ct.grid, ct))
    masks: dict[str, Array] = {}
    colors: dict[str, str] = {}
    notes = list(drawing.notes)
    notes += [f"{given.structures}: {plain(name)}: is named, but was never drawn" for name in drawing.undrawn]
    for place, name in enumerate(drawing.names):
        free = free_name(plain(name), masks)
        masks[free], said = drawing.mask(place)
        notes += said
        colors |= {free: drawing.colors[place]} if place in drawing.colors else {}
    for note in notes:
        print(note, file=sys.stderr)
    if not masks:
        raise InputError(f"{given.structures}: no structure was drawn; there is nothing to write")
    if slicer.is_one(given.output):
        slicer.write(masks, ct.grid, given.output, colors=colors)
    else:
        write_label_map(given, ct.grid, masks)
    print("value,name,ml")
    for value, (name, voxels) in enumerate(masks.items(), start=1):
        print(f"{value},{quoted(name)},{voxels.sum() * ct.grid.voxel_ml:.2f}")


def free_name(name: str, taken: "Mapping[str, Array]") -> str:
    """The name, with a number where it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def write_label_map(given: argparse.Namespace, grid: "Grid", masks: "Mapping[str, Array]") -> None:
    """Write masks as one label map, and tell what of which is lost."""
    from organbench.data import grids, images, labels

    if len(masks) > MOST_LABELS:
        raise InputError(f"{given.structures}: has {len(masks)} structures; a label map holds up to {MOST_LABELS}")
    values, lost = labels.label_map(masks)
    for name, count in lost.items():
        print(
            f"{given.structures}: {name}: {count * grid.voxel_ml:.2f} of "
            f"{masks[name].sum() * grid.voxel_ml:.2f} ml belong to smaller structures in the label map",
            file=sys.stderr,
        )
    images.write(grids.to_image(values, grid), given.output)


def quoted(name: str) -> str:
    """A cell of a CSV."""
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"') else name


def write(given: argparse.Namespace) -> None:
    """Write a label map's structures for planning systems, and print what they are.

    Raises:
        InputError: the CT, the label map or the names cannot be used.
    """
    from organbench.core.version import VERSION
    from organbench.data import images
    from organbench.data.dicom import drawings
    from organbench.evaluation.folders import read_organs
    from organbench.reporting.colours import ORGAN_COLOURS, palette

    names = read_organs(given.names)
    ct = images.series_in(given.ct)
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
