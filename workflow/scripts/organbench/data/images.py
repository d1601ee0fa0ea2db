"""Files of images: read, checked and written by SimpleITK."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.core.files import atomic
from organbench.data import formats
from organbench.data.grids import Grid, check_grid


def read_grid(path: str | Path) -> Grid:
    """Read where the voxels of a 3D image lie, but not the voxels.

    Raises:
        InputError: the file cannot be read, is not 3D, is larger than any CT, lies nowhere in the patient, or a file of
            the same name without .gz lies beside it (SimpleITK would take the voxels from there).
    """
    return open_image(Path(path))[1]


def open_image(path: Path) -> tuple[formats.Header, Grid, sitk.ImageFileReader]:
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
        image = reader.Execute()
    header.check_voxels(sitk.GetArrayViewFromImage(image))
    return image


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what SimpleITK says of a file that it cannot read into one line."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{path}: cannot be read ({reason}); copy the file again, or export it anew") from None


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
