"""Segmentations of 3D Slicer (`.seg.nrrd`): label maps that say what their segments are called, in layers that overlap.

A segment has a layer and, in it, a value; its name says which organ it is, and the values may differ from case to case
(https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html).
"""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from organbench.core.errors import InputError, plain
from organbench.core.files import atomic
from organbench.data import elsewhere, images
from organbench.data.formats import nrrd, text
from organbench.data.grids import Array, Grid, check_grid

MOST_LAYERS = 255
COLOR = 255.0  # stored from 0 to 1


@dataclass(frozen=True)
class Segment:
    """A structure of a segmentation.

    Attributes:
        name: as the file spells it.
        layer: in which it lies.
        value: of its voxels there.
        color: such as #E69F00; None where the file has none.
    """

    name: str
    layer: int
    value: int
    color: str | None


@dataclass(frozen=True)
class Segmentation:
    """What a file holds.

    Attributes:
        path: the file.
        segments: in the file's order.
        grid: where its voxels lie; Slicer may have cut it to what is drawn.
        layers: label values (z y x layer).
    """

    path: Path
    segments: tuple[Segment, ...]
    grid: Grid
    layers: Array


def is_one(path: Path) -> bool:
    """Whether a file is a segmentation, by its name."""
    return path.name.lower().endswith(nrrd.SEGMENTATION)


def read(path: Path) -> Segmentation:
    """Read a segmentation.

    Raises:
        InputError: the file is damaged, names no segment, or names one that has no place in it.
    """
    if not path.is_file():
        raise InputError(f"{path}: {images.missing(path)}")
    header = text.read_header(path, nrrd.SYNTAX)
    with images.readable(path):
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        components = reader.GetNumberOfComponents()
        if reader.GetDimension() != 3 or not 1 <= components <= MOST_LAYERS:
            raise InputError(f"{path}: is no 3D segmentation; export it again")
        grid = Grid.of(reader)
        size = sitk.Image([1, 1, 1], reader.GetPixelID(), components).GetSizeOfPixelComponent()
        check_grid(path, grid, components * size)
        header.check_length(grid.voxels * components * size)
        image = reader.Execute()
    voxels = sitk.GetArrayFromImage(image)
    header.check_voxels(voxels)
    layers = voxels if components > 1 else voxels[..., None]
    if layers.dtype.kind not in "iu":
        raise InputError(f"{path}: its voxels are no whole numbers; export the segmentation again")
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    segments = tuple(segment(path, fields, number, components) for number in numbers(fields))
    if not segments:
        raise InputError(f"{path}: names no segment; export it from 3D Slicer, or give a label map as .nrrd")
    return Segmentation(path, segments, grid, layers)


def numbers(fields: Mapping[str, str]) -> list[int]:
    """The numbers of a file's segments."""
    found = (re.fullmatch(r"Segment(\d{1,6})_(ID|Name|LabelValue)", key) for key in fields)
    return sorted({int(match[1]) for match in found if match})


def segment(path: Path, fields: Mapping[str, str], number: int, layers: int) -> Segment:
    """What a file says of a segment; before Slicer 4.11 each had a layer of its own and the value 1.

    Raises:
        InputError: its layer or value is none.
    """
    own = {key.partition("_")[2]: value for key, value in fields.items() if key.startswith(f"Segment{number}_")}
    name = own.get("Name", own.get("ID", str(number))).strip()
    layer, value = own.get("Layer", str(min(number, layers - 1))), own.get("LabelValue", "1")
    if not (layer.isdecimal() and int(layer) < layers) or not value.isdecimal() or not int(value):
        raise InputError(f"{path}: {plain(name)} has no layer or value in the file; export the segmentation again")
    return Segment(name, int(layer), int(value), color_of(own.get("Color", "")))


def color_of(text: str) -> str | None:
    """A colour from three numbers of 0 to 1; None where they are none."""
    try:
        stored = [float(part) for part in text.split()]
    except ValueError:
        return None
    if len(stored) != 3 or not all(0 <= part <= 1 for part in stored):
        return None
    return "#" + bytes(round(part * COLOR) for part in stored).hex().upper()


def drawn(segment: Segment, found: Segmentation, grid: Grid) -> tuple[Array, list[str]]:
    """The voxels of a segment on a scan's grid, by nearest neighbour where its own is another.

    Returns:
        Boolean mask (z y x); and what a person should know of it, a line each.

    Raises:
        InputError: its file lies beside the scan.
    """
    said = f"{found.path}: {plain(segment.name)}"
    own = found.layers[..., segment.layer] == segment.value
    mask, offset, covered = elsewhere.on_grid(own, found.grid, grid)
    if not covered:
        raise InputError(f"{said}: lies beside the scan; give the scan on which it was drawn")
    return mask, elsewhere.moved(said, own, found.grid, grid, offset, onto="scan", what="voxels")


def write(masks: Mapping[str, Array], grid: Grid, path: Path, *, colors: Mapping[str, str]) -> None:
    """Write masks as a segmentation, whole or not at all; those that overlap are in layers of their own.

    Args:
        masks: of each structure, by its name: boolean (z y x), on the grid.
        grid: where they lie.
        path: the file, named `.seg.nrrd`, or else Slicer takes it for a volume.
        colors: of structures, such as #E69F00.

    Raises:
        InputError: the file is named otherwise, a name cannot be stored, or it cannot be written.
    """
    if not is_one(path):
        raise InputError(f"{path}: a segmentation for 3D Slicer has a name that ends in {nrrd.SEGMENTATION}")
    layers: list[Array] = []
    used: list[int] = []  # the highest value in each layer
    lines: list[str] = []
    for number, (name, voxels) in enumerate(masks.items()):
        if not name.strip() or not name.isprintable():
            raise InputError(f"{path}: {plain(name)} cannot be a segment's name; name it otherwise")
        layer = next((i for i, taken in enumerate(layers) if not taken[voxels].any()), len(layers))
        if layer == len(layers):
            layers.append(np.zeros(grid.shape, np.uint8 if len(masks) < 256 else np.uint16))
            used.append(0)
        value = used[layer] = used[layer] + 1  # also of a mask that is empty
        layers[layer][voxels] = value
        lines += described(number, name, layer, value, colors.get(name), voxels.shape[::-1])
    stored = np.stack(layers, axis=-1) if len(layers) > 1 else layers[0]
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.write("\n".join([*geometry(grid, stored), *lines, "", ""]).encode())
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=1, mtime=0) as packed:
            packed.write(stored.tobytes())


def described(number: int, name: str, layer: int, value: int, color: str | None, size: tuple[int, ...]) -> list[str]:
    """The lines of a header on a segment."""
    shown = [part / COLOR for part in bytes.fromhex(color.removeprefix("#"))] if color else []
    extent = " ".join(f"0 {n - 1}" for n in size)
    fields = {
        "ID": f"Segment_{number + 1}",
        "Name": name,
        "NameAutoGenerated": "0",
        "Color": " ".join(f"{part:.6g}" for part in shown),
        "ColorAutoGenerated": "0" if color else "1",
        "Extent": extent,
        "LabelValue": str(value),
        "Layer": str(layer),
        "Tags": "",
    }
    return [f"Segment{number}_{key}:={text}" for key, text in fields.items() if text or key == "Tags"]


def geometry(grid: Grid, stored: Array) -> list[str]:
    """The lines of a header on where voxels lie (of stored, z y x or z y x layer), and how they are stored."""
    several = stored.ndim == 4
    steps = np.reshape(grid.direction, (3, 3)) * grid.spacing
    directions = ["({})".format(",".join(map(repr, steps[:, axis].tolist()))) for axis in range(3)]
    listed = ["none"] if several else []
    return [
        "NRRD0004",
        f"type: {'unsigned char' if stored.itemsize == 1 else 'unsigned short'}",
        f"dimension: {stored.ndim}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, [*stored.shape[3:], *grid.size]))}",
        f"space directions: {' '.join([*listed, *directions])}",
        f"kinds: {' '.join((['list'] if several else []) + ['domain'] * 3)}",
        "endian: little",
        "encoding: gzip",
        f"space origin: ({','.join(map(repr, map(float, grid.origin)))})",
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_SourceRepresentation:=Binary labelmap",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
