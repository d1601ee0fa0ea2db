"""A network in a file outside the repository, end to end: checked, trained, predicted, and after edits of the file."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from smoke import checkout

NET = """
from torch import nn
from layers import block

class Net(nn.Module):
    def __init__(self, in_channels, num_classes, width=4):
        super().__init__()
        self.body, self.head = block(in_channels, width), nn.Conv2d(width, num_classes, 1)
    def forward(self, image):
        return [self.head(self.body(image))]
"""
LAYERS = """
from torch import nn

def block(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())
"""
STUDY = {
    "study": "mine",
    "dataset": {
        "source": "phantom",
        "root": "resources/mine",
        "organs": {"lungs": 3, "bone": 5},
        "ignore_labels": [1, 2, 4, 6],
        "phantom": {"cases": 3, "seed": 1, "size": [32, 32, 32]},
    },
    "preprocessing": {"spacing": [14.0, 14.0, 30.0]},
    "split": {"test_fraction": 0.25, "validation_fraction": 0.3},
    "models": {"mine": {"network": "own/net.py:Net", "width": 6}},
    "training": {"steps": 4, "batch_size": 2, "patch": [32, 32], "warmup": 2, "validate_every": 4},
}
RUN = "results/mine/runs/mine/fold0-seed0"


def snakemake(folder, *arguments, code=0, **models):
    """Run the study until its table of costs; gives what was said."""
    (folder / "study.yaml").write_text(yaml.safe_dump({**STUDY, "models": STUDY["models"] | models}))
    command = [sys.executable, "-m", "snakemake", "--configfile", "study.yaml", "--resources", "gpu=0", "--cores", "2"]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    targets = ["results/mine/tables/cost.csv", "results/mine/methods.md"]
    done = subprocess.run([*command, *targets, *arguments], cwd=folder, capture_output=True, text=True, env=environment)
    output = done.stdout + done.stderr
    assert done.returncode == code, output[-3000:]
    return output


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = checkout(tmp_path_factory.mktemp("imported"))
    (folder / "own").mkdir()
    (folder / "own" / "net.py").write_text(NET)
    (folder / "own" / "layers.py").write_text(LAYERS)
    snakemake(folder)
    return folder


def test_it_is_checked_trained_and_predicts(study):
    (row,) = pd.read_csv(study / "results/mine/tables/networks.csv").to_dict("records")
    assert row["notes"] == "gives 1 output in a list: the first is used"
    (cost,) = pd.read_csv(study / "results/mine/tables/cost.csv").to_dict("records")
    assert cost["parameters"] == row["parameters"] == (3 * 9 + 1 + 2) * 6 + (6 + 1) * 3
    named = json.loads((study / RUN / "cost.json").read_text())["identity"]
    assert {"imported/net.py", "imported/layers.py", "networks/imported.py"} <= named["code"].keys()
    assert named["network"] == {"network": "net.py:Net", "width": 6}
    assert "mine was the network net.py:Net (2D, width 6;" in (study / "results/mine/methods.md").read_text()


def test_moving_the_file_trains_nothing_and_an_edit_is_told(study):
    (study / "own").rename(study / "moved")
    moved = {"network": "moved/net.py:Net", "width": 6}
    assert "rule train" not in snakemake(study, "-n", mine=moved)
    next(study.glob(f"{RUN}/predictions/*.nii.gz")).unlink()
    assert "rule train" not in snakemake(study, mine=moved)
    layers = study / "moved" / "layers.py"
    layers.write_text("# a comment\n" + LAYERS)
    assert "rule train" not in snakemake(study, "-n", mine=moved)
    layers.write_text(LAYERS.replace("ReLU", "ELU"))
    assert "the code of imported/layers.py is another" in snakemake(study, "-n", mine=moved, code=1)
    layers.write_text(LAYERS)


def test_a_typo_of_a_training_setting_is_told_before_anything_trains(study):
    network = {"network": "moved/net.py:Net", "width": 6}
    said = snakemake(study, "-k", mine=network, typo=network | {"learning_rat": 0.1}, code=1)
    assert "model typo: config, models: learning_rat is no training setting, and" in said
    assert "did you mean learning_rate?" in said
    assert not (study / "results/mine/runs/typo/fold0-seed0/weights.pt").exists()
