"""Files of images: read, checked and written by SimpleITK."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.core.files import atomic, stamp
from organbench.data import formats
from organbench.data.grids import Grid, check_grid, slabs
from organbench.data.labels import lookup, whole_numbers

if TYPE_CHECKING:
    from organbench.data.dicom.series import Series

WRITTEN = (".nii.gz", ".nii", ".mha", ".nrrd")  # in one file: voxels beside a header would keep a temporary name
IGNORED = "ignored"  # key of the metadata of a label map that was read


def read_grid(path: str | Path) -> Grid:
    """Read where the voxels of a 3D image lie, but not the voxels; of a folder those of the CT series in it.

    Raises:
        InputError: the file cannot be read, is not 3D, is larger than any CT, lies nowhere in the patient, or a file of
            the same name without .gz lies beside it (SimpleITK would take the voxels from there).
    """
    return series_in(path).grid if Path(path).is_dir() else open_image(Path(path))[1]


def series_in(folder: str | Path) -> "Series":
    """The CT series in a folder, which is looked through again only where a file has changed.

    Raises:
        InputError: there is none, or it is unfit, see `series.find`.
    """
    folder = Path(folder)
    return _series(folder, tuple(stamp(folder)) if folder.is_dir() else ())


@lru_cache(maxsize=4)
def _series(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> "Series":
    """The CT series in a folder whose files have this size and date."""
    from organbench.data.dicom import series  # slow to import

    return series.find(folder)


def open_image(path: Path) -> tuple[formats.kind.Header, Grid, sitk.ImageFileReader]:
    """A file's header as we and as SimpleITK read it, and a reader of its voxels; raises as `read_grid`."""
    if not path.is_file():
        raise InputError(f"{path}: {missing(path)}")
    plain = path.with_suffix("")
    if path.suffix == ".gz" and plain.is_file():
        raise InputError(f"{path}: {plain.name} lies beside it and would be read in its place; remove one of the two")
    header = formats.read_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with readable(path):
        reader.ReadImageInformation()
    dimensions, components = reader.GetDimension(), reader.GetNumberOfComponents()
    if dimensions != 3 or components != 1:
        found = f"{dimensions}D" if components == 1 else f"{components} values a voxel"
        raise InputError(f"{path}: a 3D volume with one value a voxel is needed, this has {found}; extract one volume")
    grid = Grid.of(reader)
    check_grid(path, grid, sitk.Image(1, 1, 1, reader.GetPixelID()).GetSizeOfPixelComponent())
    return header, grid, reader


def missing(path: Path) -> str:
    """Why a path is no file, and what to do."""
    if path.is_symlink():
        return f"is a link to {os.readlink(path)}, which is no file; mend the link"
    return "is no file; put one there" if path.exists() else "there is no such file"


def read(path: str | Path) -> sitk.Image:
    """Read a 3D image.

    Raises:
        InputError: as `read_grid`, or the file is damaged or cut short, or has voxels that are no numbers.
    """
    header, _, reader = open_image(Path(path))
    with readable(Path(path)):
        image: sitk.Image = reader.Execute()
    header.check_voxels(sitk.GetArrayViewFromImage(image))
    return image


def read_volume(path: str | Path) -> sitk.Image:
    """Read a CT volume (HU) as float32 or an integer type; from a folder the CT series in it.

    Raises:
        InputError: as `read` or `series_in`, or a voxel is NaN or infinite.
    """
    if Path(path).is_dir():
        from organbench.data.dicom import series  # slow to import

        return series.read(series_in(path))
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
        InputError: as `read`, or a value that is no whole number or stands neither for an organ nor for
            background.
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


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what SimpleITK says of a file that it cannot read into one line."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{path}: cannot be read ({reason}); copy the file again, or export it anew") from None


def check_name(path: str | Path) -> None:
    """Check that an image can be written under a name.

    Raises:
        InputError: its suffix is of no format, or of one whose header and voxels are two files.
    """
    if not str(path).lower().endswith(WRITTEN):
        raise InputError(f"{path}: cannot be written; name a file that ends in {', '.join(WRITTEN)}")


def write(image: sitk.Image, path: str | Path) -> None:
    """Write an image, compressed where its suffix says so; whole or not at all.

    Raises:
        InputError: as `check_name`, or the file cannot be written, for one because the disk is full.
    """
    check_name(path)
    with atomic(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True, compressionLevel=1)
            read(temporary)  # SimpleITK's writer of NIfTI does not say that a disk is full
        except (InputError, RuntimeError) as error:
            raise OSError(f"the disk may be full: {str(error).strip().splitlines()[-1]}") from error
