"""A study whose networks are named by digits, end to end: nothing takes their names for numbers."""

import csv
import os
import subprocess
import sys

import pytest
import yaml
from smoke import checkout

NAMES = ["2", "007", "1e3"]
STUDY = {
    "study": "digits",
    "dataset": {
        "source": "phantom",
        "root": "resources/digits",
        "organs": {"liver": 1, "lungs": 3},
        "ignore_labels": [2, 4, 5, 6],
        "phantom": {"cases": 4, "seed": 1, "size": [32, 32, 32]},
    },
    "preprocessing": {"spacing": [12.0, 12.0, 12.0]},
    "split": {"method": "holdout", "test_fraction": 0.5, "validation_fraction": 0.4},
    "models": {
        "2": {"network": "unet", "features": [4, 8]},
        "007": {"network": "ghostunet", "features": [4, 8]},
        "1e3": {"ensemble": ["2", "007"]},
    },
    "training": {"steps": 2, "batch_size": 2, "patch": [16, 16], "warmup": 1, "validate_every": 1},
}
FIGURES = ["dice_by_organ", "paired_differences", "average_ranks", "pareto", "dice_by_volume", "learning_curves"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = checkout(tmp_path_factory.mktemp("digits"))
    (folder / "digits.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    targets = [f"tables/{name}.csv" for name in ("cost", "advice", "examples", "convergence")]
    targets += [f"figures/{name}.png" for name in (*FIGURES, "overlays")] + ["viewer/index.html", "report/ranks.html"]
    command = [sys.executable, "-m", "snakemake", "--configfile", "digits.yaml", "--resources", "gpu=0", "--cores", "2"]
    done = subprocess.run(
        [*command, *(f"results/digits/{target}" for target in targets)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder / "results/digits"


@pytest.mark.parametrize(
    ("table", "column", "names"),
    [
        ("per_case", "model", NAMES),
        ("summary", "model", NAMES),
        ("cost", "model", NAMES),
        ("pareto", "model", NAMES),
        ("comparison", "model_a", NAMES[:2]),
        ("comparison", "model_b", NAMES[1:]),
        ("ranks", "model", NAMES),
        ("examples", "model", NAMES),
        ("convergence", "model", NAMES[:2]),
    ],
)
def test_every_table_has_the_names_as_they_are(results, table, column, names):
    with (results / f"tables/{table}.csv").open(newline="") as rows:
        found = {row[column] for row in csv.DictReader(rows)}
    assert found == set(names)


def test_costs_stand_beside_their_network(results):
    with (results / "tables/cost.csv").open(newline="") as rows:
        costs = {row["model"]: row for row in csv.DictReader(rows)}
    assert all(row["parameters"] and row["training_seconds"] for row in costs.values())
    assert float(costs["1e3"]["parameters"]) == float(costs["2"]["parameters"]) + float(costs["007"]["parameters"])


def test_advice_names_networks(results):
    with (results / "tables/advice.csv").open(newline="") as rows:
        assert {name for row in csv.DictReader(rows) for name in (row["take"], row["best"])} <= set(NAMES)


def test_the_viewer_and_the_report_show_the_names(results):
    assert '"models": ["2", "007", "1e3"]' in (results / "viewer/study.js").read_text()
    page = (results / "report/ranks.html").read_text()
    assert "<td>007</td>" in page
    assert "<td>1e3</td>" in page
