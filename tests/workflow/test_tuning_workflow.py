"""A study with tuned settings, end to end: what its candidates see, what is chosen, and what a changed list trains."""

import json
import os
import re
import subprocess
import sys

import pandas as pd
import pytest
import torch
import yaml
from smoke import checkout

STUDY = {
    "study": "tuned",
    "dataset": {
        "source": "phantom",
        "root": "resources/tuned",
        "organs": {"lungs": 3, "bone": 5},
        "ignore_labels": [1, 2, 4, 6],
        "phantom": {"cases": 4, "seed": 1, "size": [32, 32, 32]},
    },
    "preprocessing": {"spacing": [14.0, 14.0, 30.0]},
    "split": {"test_fraction": 0.25, "validation_fraction": 0.3},
    "models": {name: {"network": name, "dims": 2, "features": [4, 8]} for name in ("unet", "ghostunet")},
    "training": {"steps": 12, "batch_size": 4, "patch": [32, 32], "warmup": 2, "validate_every": 6, "seeds": [3, 5]},
}
RUNS = [f"results/tuned/runs/{model}/fold0-seed{seed}" for model in STUDY["models"] for seed in (3, 5)]
WEIGHTS = [f"{run}/weights.pt" for run in RUNS]
TOLD = [f"results/tuned/{file}" for file in ("split.csv", "tables/cost.csv", "methods.md", "figures/tuning.png")]
"""What says something of tuning; drawing the rest of a study takes its time and is tested elsewhere."""


def snakemake(folder, rates, *arguments, code=0):
    """Run the study with these learning rates to choose from; gives what was said."""
    study = {**STUDY, "training": STUDY["training"] | {"tune": {"learning_rate": rates}}}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "snakemake", "--configfile", "study.yaml", "--resources", "gpu=0", "--cores", "2"]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, env=environment)
    output = done.stdout + done.stderr
    assert done.returncode == code, output[-3000:]
    return output


def inputs(output, rule):
    """The input files of each job of a rule."""
    return [
        set(found.split(", ")) for found in re.findall(rf"^(?:local)?rule {rule}:\n +input: (.*)$", output, flags=re.M)
    ]


def times(folder):
    return {path: (folder / path).stat().st_mtime_ns for path in WEIGHTS}


def choices(folder):
    return {
        model: json.loads((folder / f"results/tuned/runs/{model}/tuning/fold0-seed3/chosen.json").read_text())[
            "settings"
        ]
        for model in STUDY["models"]
    }


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """The study when all is trained and told, and what Snakemake said."""
    folder = checkout(tmp_path_factory.mktemp("tuned"))
    return folder, snakemake(folder, [1e-9, 0.02], *WEIGHTS, *TOLD)


def test_every_network_has_the_same_candidates_and_no_test_case(tuned):
    folder, output = tuned
    split = pd.read_csv(folder / "results/tuned/split.csv", dtype=str).set_index("case")["role"]
    assert sorted(split) == ["test", "train", "train", "validation"]
    jobs = inputs(output, "tune")
    assert len(jobs) == 2 * 2
    for files in jobs:
        seen = {re.search(r"cases/(\w+)/", file)[1] for file in files if "/cases/" in file}
        assert {split[case] for case in seen} == {"train", "validation"}
        assert len(seen) == 3
    table = pd.read_csv(folder / "results/tuned/tables/tuning.csv")
    assert table.groupby("model")["learning_rate"].agg(list).to_dict() == {
        name: [1e-9, 0.02] for name in STUDY["models"]
    }


def test_the_best_on_validation_cases_is_what_is_trained(tuned):
    folder, _ = tuned
    table = pd.read_csv(folder / "results/tuned/tables/tuning.csv")
    best = table.loc[table.groupby("model")["dice"].idxmax()].set_index("model")
    assert table["chosen"].sum() == best["chosen"].sum() == 2
    assert table["dice"].between(0, 1).all()
    assert choices(folder) == {model: {"learning_rate": best.loc[model, "learning_rate"]} for model in STUDY["models"]}
    for run in RUNS:
        model = run.split("/")[3]
        highest = pd.read_csv(folder / run / "history.csv")["learning_rate"].max()
        assert highest == pytest.approx(best.loc[model, "learning_rate"])
        log = (folder / f"results/tuned/logs/train/{model}-{run.split('/')[-1]}.log").read_text()
        assert ("trained before" in log) == run.endswith("seed3"), "only the first seed's training is a candidate's"
    curves = pd.read_csv(folder / "results/tuned/tables/tuning_curves.csv")
    last = curves[curves["step"] == 12].merge(table, on=["model", "candidate"], suffixes=("", "_score"))
    assert last["dice"].tolist() == pytest.approx(last["dice_score"].tolist())
    assert len(curves) == 2 * len(last) == 8


def test_tuning_is_told_in_tables_figures_and_words(tuned):
    folder, _ = tuned
    results = folder / "results/tuned"
    cost, table = (pd.read_csv(results / f"tables/{name}.csv") for name in ("cost", "tuning"))
    assert cost["tuning_runs"].tolist() == [2, 2]
    seconds = table.groupby("model", sort=False)["training_seconds"].sum()
    assert cost.set_index("model")["tuning_seconds_total"].to_dict() == pytest.approx(seconds.to_dict())
    text = (results / "methods.md").read_text()
    assert "the same 2 candidates (learning rate 1e-09 or 0.02), each trained in full with seed 3" in text
    for model, chosen in choices(folder).items():
        assert f"{model} got learning rate {chosen['learning_rate']:g}." in text
    assert (results / "figures/tuning.png").stat().st_size > 5000
    assert (results / "figures/tuning.svg").stat().st_size > 5000
    planned = snakemake(folder, [1e-9, 0.02], "-n")
    assert "report/tuning.html" in planned
    assert inputs(planned, "train") == inputs(planned, "tune") == []
    asked = snakemake(folder, [1e-9, 0.02], "resources")
    assert re.search(r"^\| `tune` \| 4 \|", asked, flags=re.M)


def test_nothing_is_left_to_do(tuned):
    folder, _ = tuned
    assert "Nothing to be done" in snakemake(folder, [1e-9, 0.02], "-n", *WEIGHTS, *TOLD)
    assert not list(folder.glob("results/tuned/runs/**/checkpoint.pt"))


def test_a_tuned_study_repeats_itself(tuned):
    folder, _ = tuned
    verified = RUNS[1].removeprefix("results/")
    output = snakemake(folder, [1e-9, 0.02], f"results/{verified}/verified.json")
    assert "verify_run" in output
    assert json.loads((folder / RUNS[1] / "verified.json").read_text())["weights_agree"]


def test_another_candidate_that_is_not_chosen_trains_no_weights_again(tuned):
    folder, _ = tuned
    before, chosen = times(folder), choices(folder)
    output = snakemake(folder, [1e-9, 0.02, 1e-10], *WEIGHTS)  # after the others, so that it loses where it is equal
    assert len(inputs(output, "tune")) == 2, "one for each network"
    assert choices(folder) == chosen
    assert inputs(output, "train") == []
    assert times(folder) == before
    assert "Nothing to be done" in snakemake(folder, [1e-9, 0.02, 1e-10], "-n", *WEIGHTS)


def test_another_choice_trains_what_it_shapes(tuned):
    folder, _ = tuned
    assert choices(folder)["unet"] == {"learning_rate": 0.02}, "or this test shows nothing"

    def weights():
        return torch.load(folder / WEIGHTS[1], weights_only=True)["state_dict"]

    before = weights()
    output = snakemake(folder, [1e-9, 1e-10], *WEIGHTS, code=1)
    assert "holds a finished training that is not what the study asks for" in output
    assert all(torch.equal(before[key], value) for key, value in weights().items())
    output = snakemake(folder, [1e-9, 1e-10], *WEIGHTS, "--config", "replace_trainings=true")
    assert inputs(output, "tune") == [], "all of these were tried"
    assert choices(folder)["unet"]["learning_rate"] < 0.02
    assert len(inputs(output, "train")) >= 2
    after = weights()
    assert any(not torch.equal(before[key], after[key]) for key in before)
