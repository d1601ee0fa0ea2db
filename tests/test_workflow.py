"""The smallest study, end to end, through Snakemake; then again, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch

REPOSITORY = Path(__file__).parent.parent


def snakemake(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "-s", REPOSITORY / "Snakefile", "--directory", folder, "--cores", "2"]
    command += ["--configfile", REPOSITORY / "config/smoke.yaml", "--resources", "gpu=0", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    code, output = snakemake(folder)
    assert code == 0, output[-3000:]
    return folder


def test_every_file_of_the_contract_is_there(finished):
    results = finished / "results/smoke"
    for model in ("unet", "ghostunet3d"):
        run = results / f"runs/{model}/fold0-seed0"
        for file in ("weights.pt", "history.csv", "cost.json"):
            assert (run / file).stat().st_size > 0
        assert len(list((run / "predictions").glob("*.nii.gz"))) == len(list((run / "metrics").glob("*.csv"))) == 2
        assert not (run / "checkpoint.pt").exists()
    assert (results / "split.csv").read_text().startswith("case,fold,role\n")
    per_case = pd.read_csv(results / "tables/per_case.csv")
    assert len(per_case) == 2 * 2 * 3
    assert per_case["reference_ml"].gt(0).any()
    for table in ("summary", "comparison", "cases"):
        assert len(pd.read_csv(results / f"tables/{table}.csv"))
    for name in ("dice_by_organ", "learning_curves", "overlays", "paired_differences"):
        for suffix in ("png", "svg"):
            assert (results / f"figures/{name}.{suffix}").stat().st_size > 5000


def test_predictions_lie_on_the_scanners_grid(finished):
    for path in finished.glob("results/smoke/runs/*/*/predictions/*.nii.gz"):
        prediction = sitk.ReadImage(path)
        volume = sitk.ReadImage(finished / f"resources/smoke/volume-{path.name}")
        assert prediction.GetSize() == volume.GetSize()
        for what in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(prediction, what)(), getattr(volume, what)(), atol=1e-5)
        assert set(np.unique(sitk.GetArrayViewFromImage(prediction))) <= {0, 1, 3, 5}


def test_nothing_is_left_to_do(finished):
    code, output = snakemake(finished, "-n")
    assert code == 0
    assert "Nothing to be done" in output


def test_a_second_run_agrees_bit_for_bit(finished, tmp_path):
    code, output = snakemake(tmp_path)
    assert code == 0, output[-3000:]
    compared = 0
    for first in finished.glob("results/smoke/runs/*/*/weights.pt"):
        second = tmp_path / first.relative_to(finished)
        ours, theirs = (torch.load(path, weights_only=True)["state_dict"] for path in (first, second))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        compared += 1
    for first in finished.glob("results/smoke/runs/*/*/predictions/*.nii.gz"):
        assert first.read_bytes() == (tmp_path / first.relative_to(finished)).read_bytes()
        compared += 1
    assert compared == 2 + 4
