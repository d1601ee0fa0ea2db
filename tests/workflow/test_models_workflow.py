"""`snakemake model` packs the smoke study, and what the file makes of new scans is what the study made of them."""

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from smoke import copy_of, jobs_to_run, snakemake

from organbench import cli
from organbench.inference import models
from organbench.study import identity

MODELS = ("unet", "ghostunet3d", "both")
PREDICTION_THREADS = 2  # of the study's own predictions: --cores 2


@pytest.fixture(scope="module")
def packed(smoke_study, tmp_path_factory):
    folder = copy_of(smoke_study, tmp_path_factory.mktemp("packed") / "study")
    code, output = snakemake(folder, "model")
    assert code == 0, output[-3000:]
    return folder


def test_every_model_is_packed_once(packed):
    found = sorted(path.name for path in (packed / "results/smoke/models").iterdir())
    assert found == sorted(f"{model}.{suffix}" for model in MODELS for suffix in ("zip", "md"))
    assert jobs_to_run(packed, "model") == {}
    assert jobs_to_run(packed) == {}
    single = "results/smoke/models/unet-fold0-seed0.zip"
    assert jobs_to_run(packed, single) == {"pack": 1}


@pytest.mark.parametrize("model", MODELS)
def test_new_scans_are_segmented_as_the_study_does_to_the_last_voxel(packed, tmp_path, model):
    results = packed / "results/smoke"
    predictions = sorted((results / f"runs/{model}/fold0-seed0/predictions").glob("*.nii.gz"))
    scans = [packed / f"resources/smoke/volume-{path.name}" for path in predictions]
    given = ["segment", results / f"models/{model}.zip", *scans, "--output", tmp_path, "--device", "cpu"]
    assert cli.main([*map(str, given), "--threads", str(PREDICTION_THREADS)]) == 0
    assert len(predictions) == 2
    for path in predictions:
        ours, theirs = (sitk.ReadImage(str(file)) for file in (tmp_path / f"volume-{path.name}", path))
        for part in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection", "GetPixelID"):
            assert getattr(ours, part)() == getattr(theirs, part)()
        assert np.array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
        assert sitk.GetArrayFromImage(ours).any()


def test_a_packed_model_says_what_it_is_and_names_no_case(packed):
    results = packed / "results/smoke"
    read = models.read(results / "models/both.zip")
    assert list(read.model.organs) == ["liver", "lungs", "bone"]
    assert [member.recipe.run for member in read.model.members] == ["unet/fold0-seed0", "ghostunet3d/fold0-seed0"]
    split = pd.read_csv(results / "split.csv", dtype={"case": str})
    for member in read.model.members:
        for role, hashes in (("train", member.training), ("validation", member.validation)):
            infos = [
                json.loads((results / f"cases/{case}/case.json").read_text())
                for case in split.loc[split["role"] == role, "case"]
            ]
            assert list(hashes) == [identity.arrays_of(info) for info in infos]
    assert read.files[models.METHODS].decode() == (results / "methods.md").read_text()
    scores = read.files[models.SCORES].decode().splitlines()
    summary = (results / "tables/summary.csv").read_text().splitlines()
    assert scores == [summary[0], *(line for line in summary[1:] if line.split(",")[1] == "both")]
    card = (results / "models/both.md").read_text()
    assert read.files[models.CARD].decode() == card
    assert "They are of the mean of those trainings that had not learned from the case." in card
    assert str(packed) not in json.dumps(json.loads(read.files[models.MANIFEST]))


def test_a_training_scan_is_known_again(packed, tmp_path, capsys):
    results = packed / "results/smoke"
    split = pd.read_csv(results / "split.csv", dtype={"case": str})
    case = split.loc[split["role"] == "train", "case"].iloc[0]
    scan = packed / f"resources/smoke/volume-{case}.nii.gz"
    assert cli.main(["segment", str(results / "models/unet.zip"), str(scan), "--output", str(tmp_path)]) == 0
    assert "the model has learned from this very scan" in capsys.readouterr().err
