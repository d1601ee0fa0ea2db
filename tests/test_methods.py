"""The methods in words: they follow the study's configuration, data and versions, and cite what exists."""

import copy
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from organbench import methods, study

ROOT = Path(__file__).parent.parent
REFERENCES = (ROOT / "workflow" / "report" / "references.bib").read_text()
COST = {
    "parameters": 1942662,
    "multiply_adds_per_voxel": 46352.0,
    "training_seconds": 5400.0,
    "precision": "bf16",
    "device": "NVIDIA H100",
    "versions": {"python": "3.11.7", "torch": "2.13.0", "cuda": "13.0"},
}
FOLDS = [{"train": ["1", "2", "3"], "validation": ["4"], "test": ["5", "6"]}]


@pytest.fixture
def config():
    """The default study, resolved."""
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
    return lambda changes: study.resolve(copy.deepcopy(changes), defaults, schema)


def written(config, folds=FOLDS, bad=()):
    organs = {f"{organ}_ml": [100.0, 0.0] for organ in config["dataset"]["organs"]}
    grid = {"size_z": [90, 100], "spacing_x": 0.7, "spacing_y": 0.7, "spacing_z": [1.0, 5.0]}
    settings = {
        name: dict(zip(("network", "training"), study.model_settings(config, name), strict=True))
        for name in study.trained(config)
    }
    cases = pd.DataFrame({"case": ["1", "2"], **grid, **organs})
    left_out = pd.DataFrame([(case, "is damaged") for case in bad], columns=["case", "reason"])
    return methods.text(config, settings, folds, cases, left_out, dict.fromkeys(settings, COST), REFERENCES)


def test_it_says_what_the_study_did(config):
    text = written(config({}))
    for phrase in (
        "2 generated patients (procedural phantoms, seed 4; not clinical data)",
        "0.7 mm in plane and 3 (1 to 5) mm between slices",
        "bladder (1 of 2 cases)",
        "3 for training, 1 for validation and 2 for testing",
        "resampled to 3 x 3 x 5 mm",
        "ghostunet was a GhostUNet",
        "1.94 million parameters, 46.4 thousand multiply-adds a voxel",
        "400 steps on batches of 14 crops of 96 x 96 voxels with 1 neighbouring slice on each side",
        "a tolerance of 2 mm",
        "PyTorch 2.13.0 [@paszke2019pytorch] with CUDA 13.0",
        "unet 90 min; ghostunet 90 min",
    ):
        assert phrase in text


def test_cases_that_were_left_out_are_said_and_not_counted(config):
    text = written(config({}), bad=["3", "6"])
    assert "Of 4 cases 2 could not be used and were left out: 3 and 6 (`tables/bad_cases.csv` says why)." in text
    assert "2 for training, 1 for validation and 1 for testing" in text
    assert "left out: " not in written(config({}))


def test_what_a_contender_has_otherwise_is_said(config):
    models = {
        "plain": {"network": "unet"},
        "slow": {"network": "unet", "learning_rate": 1e-5, "augmentation": {"rotation": 0}},
        "both": {"ensemble": ["plain", "slow"]},
    }
    text = written(config({"models": models}))
    assert "For slow it was learning rate 1e-05 and augmentation rotation 0." in text
    assert "both averaged the probabilities of all runs of plain and slow" in text
    assert "For plain" not in text


def test_tuned_settings_are_not_said_to_have_the_common_value(config):
    tune = {
        "learning_rate": [0.123, 0.2],
        "weight_decay": [0.345, 0.4],
        "gradient_clip": [0.567, 1],
        "foreground": [0.1, 0.2],
        "ema": [0, 0.9],
        "loss": ["dice", "ce"],
        "optimizer": ["adam", "sgd"],
    }
    text = written(config({"training": {"tune": {key: values for key, values in tune.items() if key < "loss"}}}))
    assert "a tuned share of them near an organ" in text
    assert "gradients clipped to a tuned norm" in text
    assert "rose over 20 steps to a tuned value" in text
    assert "An exponential moving average of the weights (a tuned decay, where 0 is none) was kept" in text
    text = written(config({"training": {"tune": {key: tune[key] for key in ("loss", "optimizer", "weight_decay")}}}))
    assert (
        "minimised a tuned loss with a tuned optimizer (a tuned weight decay, gradients clipped to a norm of 1)" in text
    )
    assert (
        "among the same 8 candidates (loss dice or ce; optimizer adam or sgd; weight decay 0.345 or 0.4; all comb"
        in text
    )


def test_folds_seeds_and_tolerances_are_said(config):
    tolerance = {"liver": 3, "bladder": 2, "lungs": 3, "kidneys": 2, "bone": 1, "brain": 2}
    changes = {
        "split": {"method": "kfold"},
        "training": {"seeds": [0, 1]},
        "evaluation": {"tolerance_mm": tolerance},
    }
    folds = [*FOLDS, {"train": ["5", "6"], "validation": [], "test": ["1", "2", "3", "4"]}]
    text = written(config(changes), folds)
    assert "In 2-fold cross-validation" in text
    assert "2 to 3 for training, 0 to 1 for validation and 2 to 4 for testing" in text
    assert "trained with 2 seeds a fold" in text
    assert "3 mm (liver), 2 mm (bladder)" in text


@pytest.mark.parametrize(
    "changes",
    [{}, {"training": {"norm": "instance", "optimizer": "adam", "loss": "dice", "ema": 0.9, "deep_supervision": True}}],
)
def test_every_citation_has_its_entry_and_no_other(config, changes):
    body, references = written(config(changes)).split("## References")
    assert set(re.findall(r"@(\w+)", body)) == set(re.findall(r"@\w+{(\w+),", references))


def test_the_studies_that_come_with_it_are_described(config):
    for path in (ROOT / "config").glob("*.yaml"):
        resolved = config(yaml.safe_load(path.read_text()))
        text = written(resolved)
        assert "[@" in text
        assert text.startswith(f"# Methods of the study {resolved['study']}\n")
        assert all(f"{name} was a " in text for name in study.trained(resolved))
