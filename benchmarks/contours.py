"""Masks to an RTSTRUCT and back: OrganBench and rt-utils, on ten structures of the CT as a DICOM series.

Eight organs of the CT, a ring with a hole and 3000 single voxels. Seconds are those of a process that has its imports.
`worst_dice` and `volume_error` say of the structure that came back worst how well it did.
"""

import time
from pathlib import Path
from typing import Any

import contest
import inputs

ORGANS = ("liver", "lungs", "kidneys", "bone", "heart", "aorta", "spleen", "trachea")
PROGRAM = {"colors": {}, "algorithm": "benchmark", "version": "1"}


def organbench_writes(work: Path) -> dict[str, float]:
    """organbench.data.dicom.rtstruct.write of masks in memory, the finding of the series included."""
    from organbench.data.dicom import rtstruct, series

    found = masks(work)
    started = time.perf_counter()
    rtstruct.write(found, series.find(work / "contours" / "ct"), work / "contours" / "again.dcm", **PROGRAM)
    return {"seconds": time.perf_counter() - started}


def organbench_reads(work: Path) -> dict[str, float]:
    """organbench.data.dicom.rtstruct.read and .mask of all structures of what OrganBench has written."""
    from organbench.data.dicom import rtstruct, series

    path = work / "contours" / "organbench.dcm"
    started = time.perf_counter()
    ct, read = series.find(work / "contours" / "ct"), rtstruct.read(path)
    found = {one.name: rtstruct.mask(one, ct.grid, path) for one in read.structures}
    return {"seconds": time.perf_counter() - started, **compared(masks(work), found)}


def rt_utils_writes(work: Path) -> dict[str, float]:
    """rt-utils: RTStructBuilder.create_new on the series, add_roi for each structure, save."""
    from rt_utils import RTStructBuilder

    found = masks(work)
    started = time.perf_counter()
    built = RTStructBuilder.create_new(dicom_series_path=str(work / "contours" / "ct"))
    for name, mask in found.items():
        built.add_roi(mask=mask.transpose(1, 2, 0), name=name)
    built.save(str(work / "contours" / "again-rt-utils.dcm"))
    return {"seconds": time.perf_counter() - started}


def rt_utils_reads(work: Path) -> dict[str, float]:
    """rt-utils: RTStructBuilder.create_from and get_roi_mask_by_name of all structures of what it has written."""
    from rt_utils import RTStructBuilder

    path = work / "contours" / "rt-utils.dcm"
    started = time.perf_counter()
    read = RTStructBuilder.create_from(dicom_series_path=str(work / "contours" / "ct"), rt_struct_path=str(path))
    found = {name: read.get_roi_mask_by_name(name).transpose(2, 0, 1) for name in read.get_roi_names()}
    return {"seconds": time.perf_counter() - started, **compared(masks(work), found)}


def compared(wanted: Any, found: Any) -> dict[str, float]:
    """How well the structure did that came back worst: its Dice, and the share of its volume that is off."""
    dice = [2 * (mask & found[name]).sum() / (mask.sum() + found[name].sum()) for name, mask in wanted.items()]
    off = [abs(int(found[name].sum()) / int(mask.sum()) - 1) for name, mask in wanted.items()]
    return {"worst_dice": float(min(dice)), "volume_error": float(max(off))}


def masks(work: Path) -> dict[str, Any]:
    """The structures by name (bool, z y x), along the series."""
    import numpy as np

    held = np.load(work / "contours" / "masks.npz")
    return {name: held[name] for name in held.files}


def prepare(work: Path, ct: Path) -> None:
    """The CT as a DICOM series, its structures, and an RTSTRUCT of them by either program."""
    import sys

    import numpy as np
    import SimpleITK as sitk

    from organbench.data import grids, images
    from organbench.data.dicom import series

    sys.path.insert(0, str(contest.HERE.parent / "tests"))
    from dicoms import write_series

    folder = work / "contours"
    if (folder / "rt-utils.dcm").exists():
        return
    folder.mkdir(exist_ok=True)
    made = inputs.make_ct(work, ct, 14)
    volume, labels = images.read_volume(made / "volume.nii.gz"), sitk.ReadImage(made / "labels.nii.gz")
    hu, grid = grids.oriented(volume)
    indices, _ = grids.oriented(labels)
    write_series(folder / "ct", np.rint(hu), grid)
    found = {organ: indices == list(inputs.MORE_ORGANS).index(organ) + 1 for organ in ORGANS}
    z, y, x = np.ogrid[tuple(map(slice, indices.shape))]
    away = np.hypot(y - 256, x - 256)
    found["ring"] = (z > 20) & (z < 100) & (away > 60) & (away < 110)
    bits = np.zeros(indices.size, bool)
    bits[np.random.default_rng(0).choice(bits.size, 3000, replace=False)] = True
    found["bits"] = bits.reshape(indices.shape)
    found = {name: mask for name, mask in found.items() if mask.any()}
    np.savez_compressed(folder / "masks.npz", **found)
    assert series.find(folder / "ct").grid.shape == indices.shape
    for write, name in ((organbench_writes, "organbench"), (rt_utils_writes, "rt-utils")):
        write(work)
        again = folder / ("again.dcm" if name == "organbench" else "again-rt-utils.dcm")
        again.rename(folder / f"{name}.dcm")


WRITING = {"what": "ten structures to an RTSTRUCT", "measure": "seconds", "ours": "writing"}
READING = {"what": "ten structures from an RTSTRUCT", "measure": "seconds", "ours": "reading"}

if __name__ == "__main__":
    contest.main(
        "contours",
        {
            "writing": organbench_writes,
            "rt-utils, writing": rt_utils_writes,
            "reading": organbench_reads,
            "rt-utils, reading": rt_utils_reads,
        },
        claims=[WRITING | {"most": 7}, READING | {"most": 4}],
        prepare=prepare,
    )
