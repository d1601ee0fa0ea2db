"""nnU-Net in a study beside a network: from prepared folds to tables and words; and where it is not installed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from smoke import checkout

PYTHON = os.environ.get("ORGANBENCH_NNUNET_PYTHON")
RUN = Path("results/tiny/runs/nnunet/fold0-seed3")
TOLD = [f"results/tiny/{file}" for file in ("tables/cost.csv", "tables/comparison.csv", "methods.md")]
STUDY = {
    "study": "tiny",
    "dataset": {
        "source": "phantom",
        "root": "resources/tiny",
        "organs": {"soft": [1, 2, 4, 6], "bone": 5},
        "ignore_labels": [3],
        "phantom": {"cases": 4, "seed": 1, "size": [20, 20, 20]},
    },
    "preprocessing": {"spacing": [24.0, 24.0, 50.0]},
    "split": {"test_fraction": 0.25, "validation_fraction": 0.3},
    "models": {
        "unet": {"network": "unet", "dims": 2, "features": [4, 8]},
        "nnunet": {"nnunet": "3d_fullres", "steps": 2, "patch": [16, 16, 16], "batch_size": 2, "python": PYTHON},
    },
    "training": {"steps": 4, "batch_size": 2, "patch": [16, 16], "warmup": 2, "validate_every": 2, "seeds": [3]},
}


def snakemake(folder, *arguments, code=0, entry=None, **changes):
    """Run the study with changes; gives what was said."""
    study = {**STUDY, **changes}
    if entry:
        study["models"] = STUDY["models"] | {"nnunet": STUDY["models"]["nnunet"] | entry}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "snakemake", "--configfile", "study.yaml", "--resources", "gpu=0", "--cores", "2"]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, env=environment)
    output = done.stdout + done.stderr
    assert done.returncode == code, output[-3000:]
    return output


def jobs(output):
    """How many jobs of each rule a dry run lists."""
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.M)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkout(tmp_path_factory.mktemp("tiny"))


def test_each_fold_is_prepared_from_its_training_and_validation_cases_alone(folder):
    output = snakemake(folder, "-n", *TOLD)
    found = jobs(output)
    assert (found["nnunet_prepare"], found["nnunet_train"], found["nnunet_predict"]) == (1, 1, 1)
    (inputs,) = re.findall(r"^rule nnunet_prepare:\n +input: (.*)$", output, flags=re.M)
    (tested,) = re.findall(r"^rule nnunet_predict:\n +input: resources/tiny/volume-(\d+)", output, flags=re.M)
    read = set(re.findall(r"volume-(\d+)|labels-(\d+)|cases/(\d+)/", inputs))
    assert {case for found in read for case in found if case} == {"0", "1", "2", "3"} - {tested}


@pytest.mark.skipif(not PYTHON, reason="ORGANBENCH_NNUNET_PYTHON names no interpreter with nnunetv2")
def test_nnunet_competes(folder):
    snakemake(folder, *TOLD)
    cost = json.loads((folder / RUN / "cost.json").read_text())
    assert cost["planning"]["planning_seconds"] > 0
    assert cost["versions"]["nnunetv2"] == "2.8.1"
    assert not (folder / "results/tiny/nnunet/nnunet/fold0").exists()
    assert not (folder / RUN / "nnunet").exists()
    (prediction,) = (folder / RUN / "predictions").glob("*.nii.gz")
    case = prediction.name.removesuffix(".nii.gz")
    found, scan = (sitk.ReadImage(str(path)) for path in (prediction, folder / f"resources/tiny/volume-{case}.nii.gz"))
    assert (found.GetSize(), found.GetDirection()) == (scan.GetSize(), scan.GetDirection())
    assert set(sitk.GetArrayViewFromImage(found).ravel()) <= {0, 1, 5}
    costs = pd.read_csv(folder / "results/tiny/tables/cost.csv").set_index("model")
    measured = ["parameters", "multiply_adds_per_voxel", "training_seconds", "prediction_seconds"]
    assert (costs.loc[["unet", "nnunet"], measured] > 0).all(axis=None)
    comparison = pd.read_csv(folder / "results/tiny/tables/comparison.csv")
    assert {"unet", "nnunet"} == {*comparison["model_a"], *comparison["model_b"]}
    words = (folder / "results/tiny/methods.md").read_text()
    assert "nnunet was nnU-Net 2.8.1 [@isensee2021nnunet] in its 3D full-resolution configuration" in words
    assert "but for a patch of 16 x 16 x 16 and a batch of 2, which we set" in words

    # What shapes nothing of it: another spacing of the study, other names, another place of the interpreter.
    named = cost["identity"]["sha256"]
    other = STUDY["dataset"] | {"organs": {"flesh": [1, 2, 4, 6], "bone": 5}}
    output = snakemake(folder, "-n", str(RUN / "weights.pt"), dataset=other)
    assert jobs(output) == {}
    output = snakemake(folder, str(RUN / "weights.pt"), preprocessing={"spacing": [30.0, 30.0, 50.0]})
    assert "nnunet_train" not in output
    # Other scans are told also where what was prepared of them is another anyway.
    drawn_anew = STUDY["dataset"] | {"phantom": STUDY["dataset"]["phantom"] | {"seed": 2}}
    changes = {"dataset": drawn_anew, "preprocessing": {"spacing": [20.0, 20.0, 50.0]}}
    output = snakemake(folder, "-n", str(RUN / "weights.pt"), code=1, **changes)
    assert re.search(rf"^- {RUN}: case .* is prepared anew: dataset\.phantom, or the code", output, flags=re.M)
    # What shapes it is asked for, and done when that is allowed; the old weights stay.
    output = snakemake(folder, "-n", str(RUN / "weights.pt"), entry={"steps": 3}, code=1)
    assert "network.steps was 2 and is 3" in output
    snakemake(folder, str(RUN / "weights.pt"), "--config", "replace_trainings=true", entry={"steps": 3})
    assert json.loads((folder / RUN / "cost.json").read_text())["steps"] == 3
    assert (folder / RUN / "set-aside" / named[:8] / "weights.pt").exists()


def test_without_it_the_study_says_what_to_do(folder, tmp_path):
    copied = checkout(tmp_path)
    target = "results/tiny/nnunet/nnunet/fold0"
    output = snakemake(copied, target, entry={"python": None, "version": "0.0"}, code=1)
    assert "nnU-Net, prepare: config, models: " in output
    assert "pip install -r requirements-nnunet.txt there, or run with --sdm conda" in output
