"""Reading, checking, orienting, resampling and writing CT volumes and label maps.

Arrays have axes z y x, everything that SimpleITK says of a grid is x y z. A case is worked on in a grid whose axes
point to the patient's left, posterior and superior as nearly as the scanner's allow (LPS). All grids of a case share
its direction cosines, so going from one to another is separable: one small matrix an axis, also for an oblique volume.
"""

import gzip
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.core.files import atomic
from organbench.data import headers
from organbench.data.headers import Header, TextHeader, rounded

ORIENTATION = "LPS"
AIR_HU = -1024.0  # padding outside the scanner's circle (-2048, -3024) counts as air
MAX_LABEL = 65535
SLAB = 16  # slices worked on at a time
BAND = 32  # voxels of an axis resampled at a time
GRID_TOLERANCE_MM = 0.05  # two grids are the same where no voxel lies farther off: headers are rounded differently

SPACING_MM = (0.01, 100.0)  # of a scan, from micro-CT to what no scanner does
GREATEST_HU = 1e5  # metal has some 30000
LEAST_HU = 50  # a scan has air and tissue, so its voxels are farther apart
FARTHEST_MM = 1e5  # from the scanner's origin
SPARE_BYTES = 64 << 20  # that may follow the last voxel
ANY_PACKING = 47  # zlib's wbits for streams of its own (MetaImage) and of gzip (NRRD)
INTEGERS = {2: np.uint8, 4: np.int16, 8: np.int32, 256: np.int8, 512: np.uint16, 768: np.uint32}  # NIfTI's datatypes
IGNORED = "ignored"  # key of the metadata of a label map that was read
UNKNOWN = 255  # no organ's index

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Grid:
    """A voxel grid in the patient: size (voxels), spacing (mm) and origin (mm, LPS), each x y z, and nine cosines."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> "Grid":
        """The grid of an image, or of the file that a reader has looked into."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Grid":
        """The grid that `asdict` wrote."""
        return cls(**{name: tuple(np.asarray(value).tolist()) for name, value in fields.items()})

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in the order of array axes, z y x."""
        x, y, z = self.size
        return z, y, x

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml."""
        return float(np.prod(self.spacing)) / 1000.0

    def with_spacing(self, spacing: Sequence[float | None]) -> "Grid":
        """The grid over the same box (to half a voxel, with the same centre) at another spacing (mm, x y z).

        None keeps an axis. Asking for the spacing that is there gives this very grid.
        """
        wanted = [old if new is None else float(new) for old, new in zip(self.spacing, spacing, strict=True)]
        size = [
            n if np.isclose(old, new, rtol=1e-6) else max(1, round(n * old / new))
            for n, old, new in zip(self.size, self.spacing, wanted, strict=True)
        ]
        wanted = [
            old if np.isclose(old, new, rtol=1e-6) else new for old, new in zip(self.spacing, wanted, strict=True)
        ]
        first = [
            ((n - 1) * old - (m - 1) * new) / 2
            for n, m, old, new in zip(self.size, size, self.spacing, wanted, strict=True)
        ]
        origin = np.asarray(self.origin) + np.reshape(self.direction, (3, 3)) @ np.asarray(first)
        return Grid(
            (size[0], size[1], size[2]),
            (wanted[0], wanted[1], wanted[2]),
            tuple(float(value) for value in origin),  # type: ignore[arg-type]
            self.direction,
        )


def read_header(path: str | Path) -> sitk.ImageFileReader:
    """Read where the voxels of a 3D image lie, but not the voxels; `Execute` then reads these.

    Raises:
        InputError: the file cannot be read, is not 3D, is larger than any CT, lies nowhere in the patient, or a file of
            the same name without .gz lies beside it (SimpleITK would take the voxels from there).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {missing(path)}")
    plain = path.with_suffix("")
    if path.suffix == ".gz" and plain.is_file():
        raise InputError(f"{path}: {plain.name} lies beside it and would be read in its place; remove one of the two")
    headers.read(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with readable(path):
        reader.ReadImageInformation()
    dimensions, components = reader.GetDimension(), reader.GetNumberOfComponents()
    if dimensions != 3 or components != 1:
        found = f"{dimensions}D" if components == 1 else f"{components} values a voxel"
        raise InputError(f"{path}: a 3D volume with one value a voxel is needed, this has {found}; extract one volume")
    check_grid(path, Grid.of(reader), sitk.Image(1, 1, 1, reader.GetPixelID()).GetSizeOfPixelComponent())
    return reader


def missing(path: Path) -> str:
    """Why a path is no file, and what to do."""
    if path.is_symlink():
        return f"is a link to {os.readlink(path)}, which is no file; mend the link"
    return "is no file; put one there" if path.exists() else "there is no such file"


def check_grid(path: Path, grid: Grid, voxel_bytes: int) -> None:
    """Check that a volume has a size, and a place in the patient, as scans have them.

    Args:
        path: the file, for the message.
        grid: where its voxels lie.
        voxel_bytes: of a voxel in memory.

    Raises:
        InputError: it has not.
    """
    low, high = SPACING_MM
    axes = np.reshape(grid.direction, (3, 3))
    if not all(low <= spacing <= high for spacing in grid.spacing):  # also where it is NaN
        found = f"a spacing of {rounded(grid.spacing)} mm"
    elif not (
        1 <= min(grid.size) <= max(grid.size) <= headers.LARGEST_SIZE
        and math.prod(grid.size) * voxel_bytes <= 2 * headers.LARGEST_BYTES
    ):
        found = f"{' x '.join(map(str, grid.size))} voxels"
    elif not np.isfinite(grid.origin).all() or np.abs(grid.origin).max() > FARTHEST_MM:
        found = f"its origin at {rounded(grid.origin)} mm"
    elif not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        found = f"axes that are not at right angles, {rounded(grid.direction)}"
    else:
        return
    raise InputError(f"{path}: has {found}, as no scan has; export the volume again")


def read(path: str | Path) -> sitk.Image:
    """Read a 3D image.

    Raises:
        InputError: as `read_header`, or the file is damaged or cut short, or has voxels that are no numbers.
    """
    path = Path(path)
    reader = read_header(path)
    with readable(path):
        image = reader.Execute()
    header = headers.read(path)
    if isinstance(header, Header):
        check_content(header.file, image, header)
    elif header.packed:
        check_packed(path, image, header)
    return image


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what SimpleITK says of a file that it cannot read into one line."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{path}: cannot be read ({reason}); copy the file again, or export it anew") from None


def check_content(path: Path, image: sitk.Image, header: Header) -> None:
    """Check that all voxels of a NIfTI file are there, undamaged, and numbers.

    Needed because SimpleITK's reader of NIfTI turns what is missing, damaged, NaN or infinite into 0 without a word.
    The checksum at the end of a gzip file is compared with that of what was read, which costs a few percent of the
    reading. Only where they differ, perhaps for no worse reason than a byte order, is the file unpacked again.

    Args:
        path: the file.
        image: what SimpleITK read of it.
        header: what its header claims.

    Raises:
        InputError: the file is damaged or cut short, goes on long after the last voxel, or a voxel is NaN or infinite.
    """
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        checksum = int.from_bytes(file.read(4), "little")
    kind = {16: np.dtype(f"{header.order}f4"), 64: np.dtype(f"{header.order}f8")}.get(header.datatype)
    spare = SPARE_BYTES
    with headers.whole(path), gzip.open(path) if header.packed else path.open("rb") as stream:
        before = stream.read(header.start)
        if header.packed and checksum == stored_checksum(image, header, zlib.crc32(before)):
            return
        found = len(before)
        while block := stream.read(min(1 << 20, header.stop - found)):
            found += len(block)
            if kind and not np.isfinite(np.frombuffer(block, kind, len(block) // kind.itemsize)).all():
                raise InputError(f"{path}: has NaN or infinite voxels; replace them by numbers (air is -1024 HU)")
        while block := stream.read(1 << 20):  # to the end, where gzip compares its checksum
            spare -= len(block)
            if spare < 0:
                raise InputError(f"{path}: goes on long after the last voxel that its header tells of; export it again")
    if found < header.stop:
        raise InputError(f"{path}: cut short, {found} of {header.stop} bytes are there; copy the file again")


def check_packed(path: Path, image: sitk.Image, header: TextHeader) -> None:
    """Check that the voxels of a compressed MetaImage or NRRD file are those that were read.

    SimpleITK reads garbage where they are damaged, or where a MetaImage does not say how many bytes they take.

    Args:
        path: the file.
        image: what SimpleITK read of it.
        header: where its voxels are.

    Raises:
        InputError: they are damaged or cut short, or others were read.
    """
    voxels = sitk.GetArrayViewFromImage(image)
    unpacker, checksum, left = zlib.decompressobj(ANY_PACKING), 0, voxels.nbytes
    with headers.whole(path), header.file.open("rb") as file:
        file.seek(header.start)
        while not unpacker.eof and left >= 0:
            block = unpacker.unconsumed_tail or file.read(1 << 20)
            if not block:
                raise EOFError("the file ends before its voxels do")
            content = unpacker.decompress(block, 1 << 20)  # compares the checksum at the end
            checksum, left = zlib.crc32(content, checksum), left - len(content)
    as_read, swapped = 0, 0
    for voxel_slice in voxels:
        as_read, swapped = zlib.crc32(voxel_slice.data, as_read), zlib.crc32(voxel_slice.byteswap().data, swapped)
    if checksum not in (as_read, swapped):
        raise InputError(f"{path}: damaged, its voxels are not those that were packed; export the volume again")


def stored_checksum(image: sitk.Image, header: Header, checksum: int) -> int:
    """Go on with the checksum of a file's first bytes over its voxels, as they must be stored to be read like this."""
    kind, slope, intercept = INTEGERS.get(header.datatype), header.slope, header.intercept
    for voxels in sitk.GetArrayViewFromImage(image):  # a slice at a time: what it becomes stays in the cache
        if kind and voxels.dtype.kind == "f" and slope:  # integers that were rescaled to HU
            with np.errstate(all="ignore"):  # where it is not so, the checksum tells
                stored = np.rint((voxels - voxels.dtype.type(intercept)) / voxels.dtype.type(slope)).astype(kind)
            checksum = zlib.crc32(stored.data, checksum)
        else:
            checksum = zlib.crc32(voxels.data, checksum)
    return checksum


def check_hu(path: str | Path, low: float, high: float) -> None:
    """Check that the least and the greatest voxel of a volume may be HU.

    Raises:
        InputError: all voxels are nearly the same, as in a volume scaled to 1, none is below water, or one is denser
            than any metal. Below air may be anything: what lies outside the scanner's circle.
    """
    if high - low < LEAST_HU or low >= 0 or high > GREATEST_HU:
        raise InputError(
            f"{path}: its voxels are from {low:g} to {high:g}, which are no HU (air is -1000, water 0); "
            "export the volume in HU, without a window and without scaling"
        )


def read_volume(path: str | Path) -> sitk.Image:
    """Read a CT volume (HU) as float32 or an integer type.

    Raises:
        InputError: as `read`, or a voxel is NaN or infinite.
    """
    image = read(path)
    voxels = sitk.GetArrayViewFromImage(image)
    if voxels.dtype.kind == "c":
        raise InputError(f"{path}: complex voxels; a CT volume in HU is needed")
    if voxels.dtype.kind == "f":
        for slab in slabs(voxels):
            if not np.isfinite(slab).all():
                raise InputError(f"{path}: has NaN or infinite voxels; replace them by numbers (air is -1024 HU)")
    return image


def read_labels(path: str | Path, organs: Mapping[str, Sequence[int]], ignored: Sequence[int] = ()) -> sitk.Image:
    """Read a label map as organ indices: 0 background, then the organs in their order.

    Args:
        path: the label map; its voxels are whole numbers, stored as integers or floats.
        organs: name of each organ and its label values, which are merged.
        ignored: label values that become background.

    Returns:
        uint8 image on the file's own grid; see also `ignored_in`.

    Raises:
        InputError: as `read`, or a value that is no whole number or stands neither for an organ nor for background.
    """
    image = read(path)
    voxels = sitk.GetArrayViewFromImage(image)
    indices = {0: 0} | dict.fromkeys(ignored, 0)
    for index, values in enumerate(organs.values(), start=1):
        indices |= dict.fromkeys(values, index)
    result = np.empty(voxels.shape, np.uint8)
    there: set[int] = set()
    for slab, target in zip(slabs(voxels), slabs(result), strict=True):
        target[...] = lookup(whole_numbers(slab, path), indices, path)
        there |= {value for value in ignored if value not in there and (slab == value).any()}
    labels = sitk.GetImageFromArray(result)
    labels.CopyInformation(image)
    labels.SetMetaData(IGNORED, " ".join(map(str, sorted(there))))
    return labels


def ignored_in(labels: sitk.Image) -> list[int]:
    """Which of the label values that are ignored a label map had, as `read_labels` has read it."""
    return [int(value) for value in labels.GetMetaData(IGNORED).split()]


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


def lookup(values: Array, indices: Mapping[int, int], path: str | Path) -> Array:
    """Replace label values (integers) by organ indices (uint8, same shape)."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > MAX_LABEL:
        raise InputError(
            f"{path}: a label map holds values from 0 to {MAX_LABEL}, this has {low} to {high}; export the labels again"
        )
    table = np.full(max(high + 1, 256), UNKNOWN, np.uint8)
    for value, index in indices.items():
        if value <= high:
            table[value] = index
    if high < 256:
        small = values.astype(np.uint8, copy=False)
        result = np.frombuffer(small.tobytes().translate(table[:256].tobytes()), np.uint8).reshape(values.shape)
    else:
        result = table[values]
    if (unknown := result == UNKNOWN).any():
        raise InputError(
            f"{path}: label value {', '.join(map(str, np.unique(values[unknown])))} is in no dataset.organs; "
            "map it to an organ there, or list it in dataset.ignore_labels"
        )
    return result


def check_pair(
    volume: sitk.Image | sitk.ImageFileReader, labels: sitk.Image, volume_path: str | Path, label_path: str | Path
) -> None:
    """Check that a volume, of which the header is enough, and its labels lie on the same grid.

    Raises:
        InputError: size, spacing, origin or direction differ by more than rounding.
    """
    a, b = Grid.of(volume), Grid.of(labels)
    length = max(n * spacing for n, spacing in zip(a.size, a.spacing, strict=True))
    for what, ours, theirs, tolerance in (
        ("size", a.size, b.size, 0.0),
        ("spacing", a.spacing, b.spacing, GRID_TOLERANCE_MM / max(a.size)),
        ("origin", a.origin, b.origin, GRID_TOLERANCE_MM),
        ("direction", a.direction, b.direction, GRID_TOLERANCE_MM / length),
    ):
        if not np.allclose(ours, theirs, rtol=0, atol=tolerance):
            raise InputError(
                f"{label_path}: its {what} {rounded(theirs)} is not that of {volume_path}, {rounded(ours)}; "
                "resample the labels onto the volume's grid"
            )


def slabs(array: Array) -> Iterator[Array]:
    """The array's slices (axis z), a few at a time, as views."""
    for start in range(0, len(array), SLAB):
        yield array[start : start + SLAB]


def orientation(image: sitk.Image) -> str:
    """The code of the image's nearest orientation, such as LPS: where its x, y and z axes point."""
    return sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())


def orient(image: sitk.Image, code: str = ORIENTATION) -> sitk.Image:
    """Permute and flip the axes to an orientation; no voxel changes."""
    return image if orientation(image) == code else sitk.DICOMOrient(image, code)


def oriented(image: sitk.Image) -> tuple[Array, Grid]:
    """The voxels (z y x) of an image and their grid as `orient` gives them, but as a view: nothing is copied.

    The view is valid only while the image lives.
    """
    grid = Grid.of(image)
    small = sitk.Image(2, 2, 2, sitk.sitkUInt8)  # has the same axes
    small.SetDirection(grid.direction)
    orienter = sitk.DICOMOrientImageFilter()
    orienter.SetDesiredCoordinateOrientation(ORIENTATION)
    orienter.Execute(small)
    order = [int(axis) for axis in orienter.GetPermuteOrder()]  # x y z
    flips = orienter.GetFlipAxes()
    steps = np.reshape(grid.direction, (3, 3))[:, order] * np.where(flips, -1.0, 1.0)
    size, spacing = ([values[axis] for axis in order] for values in (grid.size, grid.spacing))
    lengths = [(n - 1) * mm if flip else 0.0 for n, mm, flip in zip(size, spacing, flips, strict=True)]
    origin = np.asarray(grid.origin) - steps @ np.asarray(lengths)  # the corner that was the far one
    voxels = sitk.GetArrayViewFromImage(image).transpose([2 - axis for axis in reversed(order)])
    voxels = voxels[tuple(slice(None, None, -1 if flip else 1) for flip in reversed(flips))]
    return voxels, Grid.from_json({"size": size, "spacing": spacing, "origin": origin, "direction": steps.ravel()})


def axis_weights(source: Grid, target: Grid, axis: int) -> Array:
    """The matrix (target voxels, source voxels) that resamples one axis (0 x, 1 y, 2 z) linearly.

    A triangle as wide as the coarser of the two spacings, so shrinking does not alias (as in Pillow's and torch's
    antialiased resize), cut and renormalised at the border. Rows sum to 1.
    """
    cosines = np.reshape(source.direction, (3, 3))[:, axis]
    shift = float(np.dot(np.asarray(target.origin) - np.asarray(source.origin), cosines))
    spacing = source.spacing[axis]
    centres = (shift + np.arange(target.size[axis]) * target.spacing[axis]) / spacing
    reach = max(1.0, target.spacing[axis] / spacing)
    centres = np.clip(centres, 0, source.size[axis] - 1) if reach == 1.0 else centres
    distance = np.abs(np.arange(source.size[axis])[None, :] - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distance / reach)
    weights[weights < 1e-6] = 0.0  # a shift of rounding errors is none
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Resampler:
    """Linear, antialiased resampling between two grids that share their directions, a slab of slices at a time."""

    z: Array
    y: Array
    x: Array

    @classmethod
    def between(cls, source: Grid, target: Grid) -> "Resampler":
        """From `source` to `target`."""
        x, y, z = (axis_weights(source, target, axis) for axis in range(3))
        return cls(z, y, x)

    def needs(self, start: int, stop: int) -> slice:
        """The source slices that the target slices start to stop are made of."""
        return used(self.z[start:stop])

    def part(self, rows: slice, columns: slice) -> tuple["Resampler", slice, slice]:
        """The resampler of some target rows and columns alone, and the source rows and columns that it works on."""
        y, x = self.y[rows], self.x[columns]
        return Resampler(self.z, y[:, used(y)], x[:, used(x)]), used(y), used(x)

    def slab(self, block: Array, start: int, stop: int) -> Array:
        """The target slices start to stop, float32, from the source slices that they need, `block` (z y x)."""
        weights = self.z[start:stop, self.needs(start, stop)]
        block = block.astype(np.float32, copy=False)
        if len(weights) < len(block):  # the fewer slices, the less there is to do in their planes
            return within(across(block, weights), self.y, self.x)
        return across(within(block, self.y, self.x), weights)

    def spans(self) -> Iterator[tuple[int, int]]:
        """First and past-last of the target slices that are worked on together."""
        for start in range(0, len(self.z), SLAB):
            yield start, min(start + SLAB, len(self.z))


def is_identity(weights: Array) -> bool:
    """Whether a matrix of weights leaves an axis as it is."""
    return weights.shape[0] == weights.shape[1] and bool((np.diagonal(weights) == 1.0).all())


def used(weights: Array) -> slice:
    """The source voxels, from the first to the last, that some target voxels of an axis are made of."""
    found = np.flatnonzero(weights.any(axis=0))
    return slice(int(found[0]), int(found[-1]) + 1)


def reached(weights: Array, low: int, high: int) -> slice:
    """The target voxels of an axis that the source voxels low to high contribute to."""
    found = np.flatnonzero(weights[:, low:high].any(axis=1))
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0)


def across(block: Array, z: Array) -> Array:
    """Resample slices (z y x) along z."""
    return block if is_identity(z) else np.tensordot(z, block, axes=(1, 0))


def within(block: Array, y: Array, x: Array) -> Array:
    """Resample slices (z y x) in their plane.

    A voxel is made of its few neighbours, so most weights are 0. Products of a band of target voxels with just the
    source voxels that it needs leave most of these out.
    """
    for weights, axis in ((x, 2), (y, 1)):
        if is_identity(weights):
            continue
        shape = list(block.shape)
        shape[axis] = len(weights)
        result = np.empty(shape, np.float32)
        for start in range(0, len(weights), BAND):
            band = slice(start, start + BAND)
            needed = used(weights[band])
            if axis == 2:
                np.matmul(block[:, :, needed], weights[band, needed].T, out=result[:, :, band])
            else:
                np.matmul(weights[band, needed], block[:, needed], out=result[:, band])
        block = result
    return block


def resample_volume(volume: Array, source: Grid, target: Grid) -> Array:
    """A CT volume (z y x, HU) on another grid, int16 HU; below air counts as air."""
    result = np.empty(target.shape, np.int16)
    resampler = Resampler.between(source, target)
    top = np.iinfo(np.int16).max
    for start, stop in resampler.spans():
        block = np.clip(volume[resampler.needs(start, stop)], AIR_HU, top, dtype=np.float32)
        result[start:stop] = np.rint(resampler.slab(block, start, stop))
    return result


def resample_labels(labels: Array, source: Grid, target: Grid, organs: int) -> Array:
    """A label map (z y x, organ indices) on another grid, uint8.

    A target voxel gets the organ, or background, with the largest share of it: no value is invented, and shrinking
    keeps an organ's volume where picking the nearest voxel would make its border ragged.
    """
    result = np.zeros(target.shape, np.uint8)
    resampler = Resampler.between(source, target)
    for start, stop in resampler.spans():
        block = labels[resampler.needs(start, stop)]

        def share(organ: int, rows: slice, columns: slice, block: Array = block) -> Array:
            return (block[:, rows, columns] == organ).astype(np.float32)

        able = {organ: (block == organ).any(axis=0) for organ in range(1, organs + 1)}
        elect(result[start:stop], resampler, start, stop, able, share)
    return result


def restore(probabilities: Iterable[Array], source: Grid, target: Grid) -> Array:
    """The most probable class of each voxel of another grid, one class and a few slices at a time.

    Args:
        probabilities: consecutive slabs of slices (class z y x, class 0 background; they sum to 1 over classes) that
            make up the source grid.
        source: the grid of the probabilities.
        target: the grid that is wanted; same directions.

    Returns:
        uint8 class indices, target.shape (z y x). The first of equally probable classes.
    """
    result = np.zeros(target.shape, np.uint8)
    resampler = Resampler.between(source, target)
    arriving = iter(probabilities)
    kept: Array | None = None  # source slices from `first_kept` on
    first_kept = 0
    for start, stop in resampler.spans():
        needed = resampler.needs(start, stop)
        while kept is None or first_kept + kept.shape[1] < needed.stop:
            slab = next(arriving)
            kept = slab if kept is None else np.concatenate([kept, slab], axis=1)
        kept, first_kept = kept[:, needed.start - first_kept :], needed.start
        block = kept[:, : needed.stop - first_kept]

        def share(k: int, rows: slice, columns: slice, block: Array = block) -> Array:
            return block[k][:, rows, columns]

        # to win, a class needs 1 / classes somewhere among the voxels that are averaged
        able = {k: (block[k] >= 1.0 / len(block)).any(axis=0) for k in range(1, len(block))}
        elect(result[start:stop], resampler, start, stop, able, share)
    return result


def elect(
    result: Array,
    resampler: Resampler,
    start: int,
    stop: int,
    able: Mapping[int, Array],
    share: Callable[[int, slice, slice], Array],
) -> None:
    """Write the organs that have the largest share in target slices start to stop into `result` (z y x, zeros).

    Args:
        result: the target slices.
        resampler: from the source grid to the target grid.
        start: first target slice.
        stop: past-last target slice.
        able: for each organ the source rows and columns (mask y x) where its share is large enough to win somewhere.
        share: the share of an organ, or of background (0), in some rows and columns of the source slices that are
            needed, float32 (z y x).
    """
    areas = {}
    for organ, mask in able.items():
        if mask.any():
            y0, y1, x0, x1 = box(mask)
            areas[organ] = reached(resampler.y, y0, y1), reached(resampler.x, x0, x1)
    areas = {organ: area for organ, area in areas.items() if all(axis.stop for axis in area)}
    if not areas:
        return

    def resampled(organ: int, rows: slice, columns: slice) -> Array:
        part, *source = resampler.part(rows, columns)
        return part.slab(share(organ, *source), start, stop)

    low = [min(area[axis].start for area in areas.values()) for axis in (0, 1)]
    high = [max(area[axis].stop for area in areas.values()) for axis in (0, 1)]
    best = resampled(0, slice(low[0], high[0]), slice(low[1], high[1]))
    for organ, (rows, columns) in areas.items():
        mine = resampled(organ, rows, columns)
        there = best[:, rows.start - low[0] : rows.stop - low[0], columns.start - low[1] : columns.stop - low[1]]
        wins = mine > there
        result[:, rows, columns][wins] = organ
        np.copyto(there, mine, where=wins)


def box(mask: Array) -> tuple[int, int, int, int]:
    """First and past-last row and column (y0, y1, x0, x1) of a mask (y x) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def to_image(array: Array, grid: Grid) -> sitk.Image:
    """An array (z y x) as an image on a grid."""
    image = sitk.GetImageFromArray(array)
    place(image, grid)
    return image


def place(image: sitk.Image, grid: Grid) -> None:
    """Say where an image's voxels lie: on a grid of its size."""
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)


def write(image: sitk.Image, path: str | Path) -> None:
    """Write an image, compressed where its suffix says so; whole or not at all.

    Raises:
        InputError: the file cannot be written, for one because the disk is full.
    """
    with atomic(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True, compressionLevel=1)
            read(temporary)  # SimpleITK's writer of NIfTI does not say that a disk is full
        except (InputError, RuntimeError) as error:
            raise OSError(f"the disk may be full: {str(error).strip().splitlines()[-1]}") from error


def write_json(content: Any, path: str | Path) -> None:
    """Write JSON that a person can read; whole or not at all. Tuples become lists, NaN is refused."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def grid_json(grid: Grid) -> dict[str, Any]:
    """A grid's fields, as `Grid.from_json` reads them."""
    return asdict(grid)


def remove_parts(labels: Array, organ: int, *, smallest: int = 1, only_largest: bool = False) -> None:
    """Turn connected parts (faces touching) of an organ into background, in place.

    Args:
        labels: organ indices (z y x).
        organ: the organ's index.
        smallest: parts of fewer voxels go.
        only_largest: all but the largest go.
    """
    found = labels == organ
    box = tuple(
        slice(lines[0], lines[-1] + 1) if len(lines) else slice(0)
        for lines in (np.flatnonzero(found.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    )
    if not found[box].size:
        return
    mask = sitk.GetImageFromArray(found[box].astype(np.uint8))
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(mask), minimumObjectSize=smallest, sortByObjectSize=True)
    kept = sitk.GetArrayViewFromImage(parts)  # a view is valid only while its image lives
    labels[box][found[box] & ((kept != 1) if only_largest else (kept == 0))] = 0
