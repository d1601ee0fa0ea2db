"""Bringing a CT and its labels to 1.5 mm: OrganBench, nnU-Net v2, and only reading the two files.

Seconds are those of the work in one process, from the two files to the prepared case; imports excluded.
"""

import os
import tempfile
import time
from pathlib import Path

import contest
import inputs

CLASSES = 7


def organbench(work: Path) -> dict[str, float]:
    """OrganBench's conversion.convert.

    Both files read and checked; volume resampled linearly with antialiasing, labels by the largest share; HU
    statistics, voxel counts and sampling points; the case written. BLAS has one thread, as in the rule `convert`.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported
    from organbench.data import conversion

    folder = work / f"ct-{CLASSES}"
    started = time.perf_counter()
    conversion.convert(
        "ct",
        folder / "volume.nii.gz",
        folder / "labels.nii.gz",
        folder / "converted",
        organs=inputs.indices(CLASSES),
        spacing=inputs.SPACING,
    )
    return {"seconds": time.perf_counter() - started}


def nnunet(work: Path) -> dict[str, float]:
    """nnU-Net v2's DefaultPreprocessor.run_case_save.

    Both files read; cropped to non-zero; normalised; resampled as its default planner chooses (volume cubic; labels
    linear, label by label; nearest along z, as slices are thick); sampling points; the case written (Blosc2).
    """
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    folder = work / f"ct-{CLASSES}"
    plans, configuration, dataset = inputs.nnunet_plans(CLASSES)
    with tempfile.TemporaryDirectory(dir=folder) as empty:  # it does not write over a case
        started = time.perf_counter()
        DefaultPreprocessor(verbose=False).run_case_save(
            f"{empty}/preprocessed",
            [str(folder / "volume.nii.gz")],
            str(folder / "labels.nii.gz"),
            plans,
            configuration,
            dataset,
        )
        return {"seconds": time.perf_counter() - started}


def reading(work: Path) -> dict[str, float]:
    """SimpleITK.ReadImage of the two files: reading and unzipping, nothing else."""
    import SimpleITK as sitk

    folder = work / f"ct-{CLASSES}"
    started = time.perf_counter()
    for file in ("volume", "labels"):
        sitk.ReadImage(folder / f"{file}.nii.gz")
    return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    contest.main(
        "conversion",
        {"organbench": organbench, "nnunet": nnunet, "reading": reading},
        claims=[
            {"what": "conversion to 1.5 mm", "measure": "seconds", "ours": "organbench", "against": [other], "least": n}
            for other, n in (("nnunet", 8), ("reading", 0.4))
        ],
        prepare=lambda work, ct: inputs.make_ct(work, ct, CLASSES),
    )
