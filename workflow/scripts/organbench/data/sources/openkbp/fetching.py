"""The patients of the OpenKBP challenge: their files, and fetching them from where they are published.

A. Babier et al., OpenKBP: The open-access knowledge-based planning grand challenge and dataset, Medical Physics 48,
2021; github.com/ababier/open-kbp. A patient is a folder of CSV files. Each lists voxels of one cube by their flat
index (C order; the cube's axes point to posterior, left and inferior): `ct.csv` with their HU + 1024, all others being
0, `dose.csv` with their Gy, likewise, and a file for each contour with the voxels inside it.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import grids, images
from organbench.data.grids import STRAIGHT, Array, Grid
from organbench.data.intensity import AIR_HU
from organbench.data.sources import downloads

CUBE = (128, 128, 128)
CONTOURS = {"Brainstem": 1, "SpinalCord": 2, "RightParotid": 3, "LeftParotid": 4, "Mandible": 5}  # label values
# Gy or mm that a dose's moments may be off: the listed ones are of hundredths of a Gy, the source has thousandths.
MOMENTS = 0.01
MARGIN = 2  # voxels kept around those that the CT knows
LIMIT = CUBE[0] * CUBE[1] * CUBE[2] * len("2097151,4095.0\n")  # bytes; no file lists a voxel twice

Images = tuple[sitk.Image, ...]


def fetch(
    case: str,
    address: str,
    folder: str | Path,
    volume_path: str | Path,
    label_path: str | Path,
    *,
    checksums: Mapping[str, str],
) -> None:
    """Download a patient and write its CT volume (int16 HU) and its label map (uint8, the values of `CONTOURS`).

    Args:
        case: the patient's number.
        address: of the folder that holds the patients' folders `pt_<case>`.
        folder: where the downloaded files wait; a later call goes on with them. Removed at the end.
        volume_path: where the volume goes.
        label_path: where the label map goes.
        checksums: what `checksum` gives for the `volume` and the `labels` of this patient.

    Raises:
        InputError: as `downloads.download`; or the server sends, twice, something else than this patient.
    """
    files = (*(f"{name}.csv" for name in CONTOURS), "ct.csv")
    wanted = [checksums[kind] for kind in ("volume", "labels")]

    def are_wanted(found: Images) -> bool:
        return [checksum(image) for image in found] == wanted

    volume, labels = download_and_read(f"{address.rstrip('/')}/pt_{case}", folder, files, read, are_wanted)
    images.write(volume, volume_path)
    images.write(labels, label_path)
    shutil.rmtree(folder)


def fetch_dose(
    case: str,
    address: str,
    folder: str | Path,
    volume_path: str | Path,
    dose_path: str | Path,
    *,
    moments: Sequence[float],
) -> None:
    """Download a patient's planned dose and write it (Gy, float32) on the grid of the volume that is there.

    Args:
        case: the patient's number.
        address: as for `fetch`.
        folder: likewise, but another one.
        volume_path: the patient's volume.
        dose_path: where the dose goes.
        moments: what `moments_of` gives for this patient's dose.

    Raises:
        InputError: as `fetch`; or the volume that is there is not the source's.
    """

    def is_wanted(found: Images) -> bool:
        return np.allclose(moments_of(found[0]), moments, rtol=0, atol=MOMENTS)

    def reading(path: Path) -> Images:
        return (read_dose(path),)

    source = f"{address.rstrip('/')}/pt_{case}"
    (dose,) = download_and_read(source, folder, ("ct.csv", "dose.csv"), reading, is_wanted)
    grids.check_pair(images.read_grid(volume_path), Grid.of(dose), volume_path, f"{source}/dose.csv")
    images.write(dose, dose_path)
    shutil.rmtree(folder)


def download_and_read(
    source: str,
    folder: str | Path,
    files: Sequence[str],
    reading: Callable[[Path], Images],
    are_wanted: Callable[[Images], bool],
) -> Images:
    """Download some of a patient's files and read them; a second time from the start, where they were damaged."""
    folder, reason = Path(folder), ""
    for _ in range(2):
        folder.mkdir(parents=True, exist_ok=True)
        with downloads.session() as connection:
            for file in ("voxel_dimensions.csv", *files):
                downloads.download(connection, f"{source}/{file}", folder / file, limit=LIMIT)
        try:
            found = reading(folder)
        except InputError as error:
            reason = str(error)
        else:
            if are_wanted(found):
                return found
            reason = "its voxels are others"
        shutil.rmtree(folder)
    raise InputError(f"{source}: is not the patient that it should be ({reason}); check dataset.openkbp.address")


def read(folder: str | Path) -> tuple[sitk.Image, sitk.Image]:
    """Read a patient's folder.

    Returns:
        The CT volume (int16 HU) and the label map (uint8, the values of `CONTOURS`; later ones win) on the same grid:
        LPS, cropped to what the CT knows and `MARGIN` voxels around it. The source has no position, so the grid's
        middle is at 0 along x and y, and its lowest slice at 0 along z.

    Raises:
        InputError: a file is not of the format.
    """
    folder = Path(folder)
    ct, box, grid = read_ct(folder)
    labels = np.zeros(CUBE, np.uint8)
    for name, value in CONTOURS.items():
        labels.flat[read_sparse(folder / f"{name}.csv")[0]] = value
    return grids.to_image(ct[box] + np.int16(AIR_HU), grid), grids.to_image(upright(labels)[box], grid)


def read_dose(folder: str | Path) -> sitk.Image:
    """Read a patient's planned dose: Gy, float32, on the grid that `read` gives; 0 where the source has none.

    Raises:
        InputError: a file is not of the format.
    """
    folder = Path(folder)
    _, box, grid = read_ct(folder)
    dose = np.zeros(CUBE, np.float32)
    index, values = read_sparse(folder / "dose.csv")
    if np.isnan(values).any():
        raise InputError(f"{folder / 'dose.csv'}: lists a voxel without its value; remove it and run again")
    if not len(index):
        raise InputError(f"{folder / 'dose.csv'}: has no voxels; remove it and run again")
    dose.flat[index] = values
    return grids.to_image(upright(dose)[box], grid)


def read_ct(folder: Path) -> tuple[Array, tuple[slice, ...], Grid]:
    """A patient's CT (HU + 1024, the whole cube, z y x), the box of it that is kept, and the grid of that."""
    try:
        y, x, z = np.loadtxt(folder / "voxel_dimensions.csv", ndmin=1).tolist()
    except ValueError as error:
        raise InputError(
            f"{folder / 'voxel_dimensions.csv'}: is not three numbers ({error}); remove it and run again"
        ) from None
    cube = np.zeros(CUBE, np.int16)
    index, values = read_sparse(folder / "ct.csv")
    if np.isnan(values).any():
        raise InputError(f"{folder / 'ct.csv'}: lists a voxel without its value; remove it and run again")
    cube.flat[index] = values
    ct = upright(cube)
    known = ct != 0
    if not known.any():
        raise InputError(f"{folder / 'ct.csv'}: has no voxels; remove it and run again")
    box = tuple(slice(max(side.start - MARGIN, 0), side.stop + MARGIN) for side in grids.box(known))
    depth, height, width = ct[box].shape
    return ct, box, Grid((width, height, depth), (x, y, z), (-width * x / 2, -height * y / 2, 0.0), STRAIGHT)


def upright(cube: Array) -> Array:
    """A cube of the source (posterior, left, inferior) with axes z y x, LPS."""
    return cube.transpose(2, 0, 1)[::-1]


def read_sparse(path: Path) -> tuple[Array, Array]:
    """The flat indices of the voxels that a file lists (int64) and their values (float64; NaN in a contour's file).

    Raises:
        InputError: the file is no such list.
    """
    try:
        table = pd.read_csv(path, index_col=0, dtype={"data": np.float64})
        index, values = table.index.to_numpy(np.int64), table["data"].to_numpy()
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: is not a list of voxels ({error}); remove it and run again") from None
    if len(index) and not 0 <= index.min() <= index.max() < np.prod(CUBE):
        raise InputError(f"{path}: lists voxels outside the cube of {CUBE}; remove it and run again")
    return index, values


def moments_of(dose: sitk.Image) -> list[float]:
    """The mean and the highest dose (Gy), and the centre of the dose (mm, x y z): they tell patients and places apart.

    Unlike a checksum they are the same, to `MOMENTS`, after doses were rounded.
    """
    voxels = sitk.GetArrayViewFromImage(dose).astype(np.float64)
    sums = [voxels.sum(axis=tuple({0, 1, 2} - {axis})) for axis in (2, 1, 0)]
    index = [float((np.arange(len(along)) * along).sum() / voxels.sum()) for along in sums]
    centre = dose.TransformContinuousIndexToPhysicalPoint(index)
    return [float(voxels.mean()), float(voxels.max()), *centre]


def checksum(image: sitk.Image) -> str:
    """SHA-256 of an image's size, spacing (mm, to three digits, as the source has it) and voxels (z y x)."""
    voxels = sitk.GetArrayFromImage(image)
    spacing = [f"{value:.3f}" for value in image.GetSpacing()]
    text = f"{image.GetSize()} {spacing} {voxels.dtype.newbyteorder('<').str}"
    return hashlib.sha256(text.encode() + voxels.astype(voxels.dtype.newbyteorder("<")).tobytes()).hexdigest()
