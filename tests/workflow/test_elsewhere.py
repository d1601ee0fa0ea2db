"""Segmenters that are made elsewhere, in a whole study: the smoke study's own predictions, a program, an observer."""

import json
import shlex
import shutil
import sys

import pandas as pd
import pytest
import yaml
from smoke import copy_of, snakemake

PYTHON = shlex.quote(sys.executable)  # the one that is called python may lack packages
UNET = "results/smoke/runs/unet/fold0-seed0"
PROGRAM = """\
import sys
import numpy as np
import SimpleITK as sitk
image = sitk.ReadImage(sys.argv[1])
hu = sitk.GetArrayFromImage(image)
labels = np.where(hu > 150, 7, np.where((hu > -950) & (hu < -500), 9, 0)).astype(np.uint8)
found = sitk.GetImageFromArray(labels)
found.CopyInformation(image)
sitk.WriteImage(found, sys.argv[2])
print("segmented", sys.argv[1])
"""


@pytest.fixture(scope="module")
def study(smoke_study, tmp_path_factory):
    """A study of what was made elsewhere, run to its end."""
    folder = copy_of(smoke_study, tmp_path_factory.mktemp("elsewhere") / "study")
    own = yaml.safe_load((folder / "config" / "smoke.yaml").read_text())
    first, *_ = sorted((folder / UNET / "predictions").glob("*.nii.gz"))
    (folder / "made").mkdir()
    shutil.copy(first, folder / "made")  # of the other test case there is no file
    (folder / "program.py").write_text(PROGRAM)
    own["study"] = "elsewhere"
    own["models"] = {
        "product": {"predictions": f"{UNET}/predictions/{{case}}.nii.gz"},
        "lazy": {"predictions": "made/{case}.nii.gz", "labels": {"liver": 1, "lungs": 3}, "offers": ["liver", "lungs"]},
        "second": {
            "predictions": f"{UNET.replace('unet', 'ghostunet3d')}/predictions/{{case}}.nii.gz",
            "observer": True,
        },
        "program": {
            "command": f"{PYTHON} program.py {{image}} {{output}}",
            "labels": {"lungs": 9, "bone": 7},
            "gpu": False,
        },
    }
    (folder / "config" / "elsewhere.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
    code, output = snakemake(folder, "--configfile", "config/elsewhere.yaml")
    assert code == 0, output[-3000:]
    return folder


def table(study, name):
    return pd.read_csv(study / "results" / "elsewhere" / "tables" / f"{name}.csv")


def test_predictions_of_another_study_have_its_metrics_to_the_last_digit(study):
    originals = sorted((study / UNET / "metrics").glob("*.csv"))
    assert len(originals) == 2
    for original in originals:
        ours = study / "results" / "elsewhere" / "runs" / "product" / "fold0-seed0" / "metrics" / original.name
        assert ours.read_text() == original.read_text().replace("unet,", "product,")


def test_a_missing_case_is_a_failure_and_what_is_not_offered_is_not_scored(study):
    rows = table(study, "per_case").query("model == 'lazy'")
    assert set(rows["organ"]) == {"liver", "lungs"}
    assert len(rows) == 4
    missed = rows[rows["predicted_ml"] == 0].groupby("case").size()
    assert missed.max() == 2  # both organs of the case without a file
    assert (rows[rows["case"] == missed.idxmax()]["dice"] == 0).all()
    summary = table(study, "summary").query("model == 'lazy' and metric == 'dice'").set_index("organ")
    assert summary.loc["bone", "n"] == summary.loc["all", "n"] == 0
    pairs = table(study, "comparison").query("model_a == 'product' and model_b == 'lazy' and metric == 'dice'")
    assert pairs.set_index("organ")["n"].to_dict() == {"liver": 2, "lungs": 2, "bone": 0, "all": 2}


def test_a_program_is_run_once_per_case_and_its_cost_measured(study):
    run = study / "results" / "elsewhere" / "runs" / "program" / "fold0-seed0"
    for path in sorted((run / "predictions").glob("*.json")):
        cost = json.loads(path.read_text())
        assert cost["prediction_seconds"] > 0
        assert cost["cpu_seconds"] > 0
        log = study / "results" / "elsewhere" / "logs" / "predict" / "program-fold0-seed0" / f"{path.stem}.log"
        assert "| segmented " in log.read_text()
    assert table(study, "per_case").query("model == 'program' and organ == 'lungs'")["dice"].min() > 0.1
    assert (table(study, "warnings")["words"] == "program: has no label for liver, which counts as missed").any()


def test_costs_say_that_nothing_was_trained_here(study):
    costs = table(study, "cost").set_index("model")
    assert (costs["training"] == "not trained here").all()
    assert costs["training_seconds"].isna().all()
    assert costs["prediction_seconds"].notna().to_dict() == {
        "product": False,
        "lazy": False,
        "second": False,
        "program": True,
    }
    methods = (study / "results" / "elsewhere" / "methods.md").read_text()
    assert "product was made elsewhere" in methods
    assert "second was another observer" in methods
    assert "It offers liver, lungs only" in methods
    assert "Networks were trained" not in methods


def test_who_reaches_the_observer_is_told(study):
    observers = table(study, "observers")
    assert set(observers["model"]) == {"product", "lazy", "program"}
    assert set(observers["observer"]) == {"second"}
    assert set(observers["within"]) <= {"yes", "no", "undecided"}
    rows = observers.query("metric == 'dice' and organ == 'liver'").set_index("model")
    means = table(study, "summary").query("metric == 'dice' and organ == 'liver'").set_index("model")["mean"]
    assert rows["mean_difference"]["product"] == pytest.approx(means["product"] - means["second"])


def test_a_changed_command_is_run_again_and_one_that_fails_says_so_in_a_line(study, tmp_path):
    folder = copy_of(study, tmp_path / "study")
    own = yaml.safe_load((folder / "config" / "elsewhere.yaml").read_text())
    case = next((folder / UNET / "predictions").glob("*.nii.gz")).name
    target = f"results/elsewhere/runs/program/fold0-seed0/predictions/{case}"
    log = f"results/elsewhere/logs/predict/program-fold0-seed0/{case.removesuffix('.nii.gz')}.log"
    for command, message in (
        ("echo wrong; false {image} {output}", "its command ended with status 1"),
        ("true {image} {output}", "its command wrote no output.nii.gz"),
    ):
        own["models"]["program"]["command"] = command
        (folder / "config" / "elsewhere.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
        code, output = snakemake(folder, target, "--configfile", "config/elsewhere.yaml")
        assert code != 0
        assert f"{message}; see {log}" in output
        assert (folder / log).read_text().splitlines()[-1].endswith(f"{message}; see {log}")


def test_a_path_without_any_case_is_refused(study, tmp_path):
    folder = copy_of(study, tmp_path / "study")
    own = yaml.safe_load((folder / "config" / "elsewhere.yaml").read_text())
    own["models"]["product"]["predictions"] = "mistyped/{case}.nii.gz"
    (folder / "config" / "elsewhere.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
    code, output = snakemake(folder, "-n", "--configfile", "config/elsewhere.yaml")
    assert code != 0
    assert "config, models.product.predictions: of 2 test cases none is there, the first would be mistyped/" in output
