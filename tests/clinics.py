"""A clinic of five tiny patients, as NIfTI and as DICOM, and studies of it."""

import os
import subprocess
import sys

import pandas as pd
import SimpleITK as sitk
import yaml
from conftest import ROOT
from dicoms import as_series, write_structures

from organbench.data.sources.phantoms.scan import phantom

CASES = ["0", "1", "2", "3", "4"]
VALUES = {"liver": 1, "lungs": 3, "bone": 5}
SPELLED = {"liver": " LIVER", "lungs": "Lungs both", "bone": "bone_1"}  # as a clinic may have named them
NAMES = {"liver": ["Liver", "hepar"], "lungs": "lungs*", "bone": "Bone_?"}
OTHERS = [2, 4, 6]


def study(name, **dataset):
    return {
        "study": name,
        "dataset": {"source": "nifti", **dataset},
        "preprocessing": {"spacing": [9.0, 9.0, 12.0]},
        "split": {"method": "holdout", "test_fraction": 0.4, "validation_fraction": 0.3},
        "models": {
            "unet": {"network": "unet", "features": [4, 8]},
            "ghost": {"network": "ghostunet", "features": [4, 8]},
        },
        "training": {"steps": 8, "batch_size": 2, "patch": [32, 32], "learning_rate": 0.01, "warmup": 1},
    }


def run(folder, given, *targets):
    (folder / f"{given['study']}.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--resources", "gpu=0"]
    done = subprocess.run(
        [*command, "--configfile", f"{given['study']}.yaml", "--cores", "1", *targets],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
    return done.returncode, done.stdout


def read(folder, name, table="per_case"):
    return pd.read_csv(folder / "results" / name / "tables" / f"{table}.csv")


def make(folder):
    """Phantoms as NIfTI, and as a CT series and an RTSTRUCT each, which has other structures, too."""
    for case in CASES:
        volume, labels = phantom(int(case), seed=1, size=[44, 40, 30])
        for kind, image in (("volume", volume), ("labels", labels)):
            image = sitk.DICOMOrient(sitk.Cast(image, sitk.sitkInt16 if kind == "volume" else sitk.sitkUInt8), "LPS")
            image.SetSpacing((9.5, 10.25, 12.5))  # numbers that NIfTI and DICOM can both hold
            image.SetOrigin((-180.5, -201.25, 40.0))
            image.SetDirection((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
            (folder / "nifti").mkdir(exist_ok=True)
            sitk.WriteImage(image, str(folder / "nifti" / f"{kind}-{case}.nii.gz"))
        ct = folder / "dicom" / case / "CT"
        as_series(folder / "nifti" / f"volume-{case}.nii.gz", folder=ct)
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "nifti" / f"labels-{case}.nii.gz")))
        masks = {SPELLED[organ]: values == value for organ, value in VALUES.items()}
        write_structures(ct, {**masks, "PTV": values > 4, "Couch": values == 99}, ct.parent / "RTSTRUCT" / "rs")
