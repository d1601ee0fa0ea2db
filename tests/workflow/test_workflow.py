"""The smallest study, end to end, through Snakemake; then again, bit for bit."""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import surface_distance
import torch
import yaml
from smoke import REPLACE, checkout, command_line, copy_of, jobs_to_run, snakemake

from organbench.core.jobs import namespace
from organbench.evaluation import registry

FIGURES = {
    "figure_metrics": ["dice_by_organ", "nsd_by_organ", "hd95_by_organ"],
    "figure_paired_differences": ["paired_differences"],
    "figure_average_ranks": ["average_ranks"],
    "figure_rank_stability": ["rank_stability"],
    "figure_pareto": ["pareto", "pareto_by_organ"],
    "figure_volumes": ["volume_agreement", "dice_by_volume", "dice_by_spacing"],
    "figure_learning_curves": ["learning_curves"],
    "figure_dataset": ["dataset"],
    "figure_overlays": ["overlays"],
}
"""What each rule draws of a study with three contenders."""


@pytest.fixture(scope="module")
def finished(smoke_study, tmp_path_factory):
    return copy_of(smoke_study, tmp_path_factory.mktemp("smoke") / "study")


def test_every_file_of_the_contract_is_there(finished):
    results = finished / "results/smoke"
    for model in ("unet", "ghostunet3d", "both"):
        run = results / f"runs/{model}/fold0-seed0"
        for file in ("weights.pt", "history.csv", "cost.json"):
            if model == "both":  # an ensemble trains nothing
                assert not (run / file).exists()
            else:
                assert (run / file).stat().st_size > 0
        assert len(list((run / "predictions").glob("*.nii.gz"))) == len(list((run / "metrics").glob("*.csv"))) == 2
        assert not (run / "checkpoint.pt").exists()
    assert (results / "split.csv").read_text().startswith("case,fold,role\n")
    per_case = pd.read_csv(results / "tables/per_case.csv")
    assert len(per_case) == 3 * 2 * 3  # models, cases, organs
    measured = registry.measured(dosed=False)
    assert list(per_case) == ["model", "fold", "seed", "case", "organ", *measured, "false_positive", "legacy"]
    assert per_case["reference_ml"].gt(0).any()
    tables = ["summary", "comparison", "ranks", "empty_masks", "legacy", "cost", "pareto", "advice", "cases"]
    for table in [
        *tables,
        "networks",
        "volume_agreement",
        "examples",
        "convergence",
        "failures",
        "failure_differences",
        "rank_stability",
    ]:
        assert len(pd.read_csv(results / f"tables/{table}.csv"))
    assert (results / "tables/warnings.csv").read_text() == "model,fold,seed,cases,words\n"
    drawn = {f"{name}.{suffix}" for names in FIGURES.values() for name in names for suffix in ("png", "svg")}
    assert {path.name for path in (results / "figures").iterdir()} == drawn
    assert all((results / "figures" / name).stat().st_size > 5000 for name in drawn)
    page = (results / "viewer/index.html").read_text()
    for file in re.findall(r'(?:src|href)="([a-z][^":]+)"', page):
        assert (results / "viewer" / file).stat().st_size > 0
    cases = [path.stem for path in (results / "viewer/cases").glob("*.js")]
    assert sorted(cases) == sorted(per_case["case"].astype(str).unique())
    assert len(pd.read_csv(results / "tables/agreement.csv")) == 3 * 2 * 3  # pairs, cases, organs


def test_predictions_lie_on_the_scanners_grid(finished):
    for path in finished.glob("results/smoke/runs/*/*/predictions/*.nii.gz"):
        prediction = sitk.ReadImage(path)
        volume = sitk.ReadImage(finished / f"resources/smoke/volume-{path.name}")
        assert prediction.GetSize() == volume.GetSize()
        for what in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(prediction, what)(), getattr(volume, what)(), atol=1e-5)
        assert set(np.unique(sitk.GetArrayViewFromImage(prediction))) <= {0, 1, 3, 5}


def voxels(path, organs):
    """A label map from the file (axes z y x, z along the patient), and its spacing in the same order."""
    image = sitk.DICOMOrient(sitk.ReadImage(path), "LPS")
    return {name: sitk.GetArrayFromImage(image) == value for name, value in organs.items()}, image.GetSpacing()[::-1]


def measured(reference, prediction, spacing, tolerance):
    """All metrics of an organ that is in both masks, by their definitions and DeepMind's package."""
    both, either = (reference & prediction).sum(), (reference | prediction).sum()
    ours, theirs, voxel = reference.sum(), prediction.sum(), np.prod(spacing) / 1000
    found = surface_distance.compute_surface_distances(reference, prediction, spacing)
    areas = found["surfel_areas_gt"].sum(), found["surfel_areas_pred"].sum()
    path = 0.0
    for true, predicted in zip(reference, prediction, strict=True):
        if true.any():
            # without a prediction all of the contour is to be drawn
            other = predicted if predicted.any() else true
            contour = surface_distance.compute_surface_distances(true, other, spacing[1:])
            missing = contour["distances_gt_to_pred"] > tolerance
            path += contour["surfel_areas_gt"][missing | (not predicted.any())].sum()
    return {
        "dice": 2 * both / (ours + theirs),
        "iou": both / either,
        "precision": both / theirs,
        "recall": both / ours,
        "hd": surface_distance.compute_robust_hausdorff(found, 100),
        "hd95": surface_distance.compute_robust_hausdorff(found, 95),
        "assd": np.average(surface_distance.compute_average_surface_distance(found), weights=areas),
        "nsd": surface_distance.compute_surface_dice_at_tolerance(found, tolerance),
        "apl": path,
        "volume_error": (theirs - ours) / ours,
        "reference_ml": ours * voxel,
        "predicted_ml": theirs * voxel,
    }


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # of DeepMind's package, by SciPy
def test_the_metrics_are_those_of_the_files_that_were_written(finished):
    study = yaml.safe_load((finished / "results/smoke/study.yaml").read_text())
    organs = {name: values[0] for name, values in study["dataset"]["organs"].items()}
    per_case = pd.read_csv(finished / "results/smoke/tables/per_case.csv", dtype={"case": str})
    for (model, case), rows in per_case.groupby(["model", "case"]):
        references, spacing = voxels(finished / f"resources/smoke/labels-{case}.nii.gz", organs)
        place = f"results/smoke/runs/{model}/fold0-seed0/predictions/{case}.nii.gz"
        predictions, _ = voxels(finished / place, organs)
        for row in rows.to_dict("records"):
            organ = row["organ"]
            expected = measured(references[organ], predictions[organ], spacing, study["evaluation"]["tolerance_mm"])
            assert {name: row[name] for name in expected} == pytest.approx(expected), f"{model}, {case}, {organ}"
            assert not row["false_positive"]
    assert len(per_case) == 3 * 2 * 3


def test_nothing_is_left_to_do(finished):
    assert jobs_to_run(finished) == {}


def test_the_kept_configuration_repeats_the_study(finished):
    assert jobs_to_run(finished, "--configfile", "results/smoke/study.yaml") == {}


def test_the_report_holds_tables_figures_and_methods(finished):
    code, output = snakemake(finished, "--report", "report.html")
    assert code == 0, output[-3000:]
    page = (finished / "report.html").read_text()
    for name in ("report/comparison.html", "report/versions.html", "figures/pareto.png", "methods.md", "study.yaml"):
        assert f"results/smoke/{name}" in page


def test_a_new_checkout_of_the_same_code_remakes_nothing(finished):
    for file in (finished / "workflow/scripts/organbench").rglob("*.py"):
        file.touch()
    assert jobs_to_run(finished) == {}


def test_jobs_ask_for_more_than_they_take_but_not_for_much_more(finished):
    code, output = snakemake(finished, "resources")
    assert code == 0, output[-3000:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("| `")]
    assert {row[0]: row[1] for row in rows} == {
        "`convert`": "5",
        "`train`": "2",
        "`predict`": "6",
        "`evaluate`": "6",
        "`viewer_case`": "2",
    }
    asked = {row[0].strip("`"): int(row[2].split()[0].replace(",", "")) for row in rows}  # the least of the rule's jobs
    shares = [float(row[4].rstrip("%")) for row in rows if row[4]]  # of jobs that lasted long enough to be measured
    assert all(share < 90 for share in shares)
    assert all(float(row[6]) < int(row[5].split()[0].replace(",", "")) for row in rows)
    results = finished / "results/smoke/runs"
    for rule, pattern in (("train", "*/*/cost.json"), ("predict", "*/*/predictions/*.json")):
        taken = max(json.loads(path.read_text())["peak_host_mib"] for path in results.glob(pattern))
        assert taken < asked[rule] < 4 * taken


def test_a_change_of_code_remakes_what_it_shapes(finished):
    library = finished / "workflow/scripts/organbench"
    for file, expected in (
        ("study/resources.py", {}),  # what jobs ask for shapes no result
        ("reporting/figures/style.py", dict.fromkeys([*FIGURES, "all"], 1)),
        ("reporting/figures/pareto.py", {"figure_pareto": 1, "all": 1}),
        (
            "networks/unet.py",
            # the predictions of unet, and of the ensemble that it is in
            {
                "check_networks": 1,
                "check": 1,
                "train": 1,
                "predict": 4,
                "evaluate": 4,
                "tables": 1,
                "viewer_case": 2,
                "examples": 1,
                "viewer": 1,
                "costs": 1,
                "convergence": 1,
                "failure_rates": 1,
                "rank_stability": 1,
                "warn": 1,
                "methods": 1,
                "table_pages": 1,
                **dict.fromkeys(set(FIGURES) - {"figure_dataset"}, 1),
                "all": 1,
            },
        ),
    ):
        before = (library / file).read_bytes()
        (library / file).write_bytes(before + b"CHANGED = True\n")
        jobs = jobs_to_run(finished, "--config", REPLACE)
        (library / file).write_bytes(before)
        assert jobs == expected


def test_a_table_of_groups_adds_their_tables_and_trains_nothing(finished, tmp_path):
    table = tmp_path / "centres.csv"
    table.write_text("case,group\n" + "".join(f"{case},{'AB'[case % 2]}\n" for case in range(5)))
    jobs = jobs_to_run(finished, "--config", f'dataset={{"group": "{table}"}}')
    assert jobs == {"groups": 1, "figure_differences_by_group": 1, "methods": 1, "table_pages": 1, "all": 1}


def test_a_new_test_case_trains_nothing_and_a_new_training_case_does(finished):
    known = (finished / "results/smoke/split.csv").read_text()
    for role, trained in (("test", 0), ("train", 2)):
        (finished / "split.csv").write_text(f"{known}5,0,{role}\n")
        changes = "split={method: file, file: split.csv}", "dataset={phantom: {cases: 6}}"
        jobs = jobs_to_run(finished, "--config", *changes, REPLACE)
        assert jobs["convert"] == jobs["check_cases"] == 1
        assert jobs.get("check", 0) == trained
        assert jobs.get("train", 0) == trained
        assert jobs["predict"] == (3 if role == "test" else 6)


def test_a_case_that_moves_into_training_is_trained_on(finished):
    moved = (finished / "results/smoke/split.csv").read_text().replace("0,validation", "0,train")
    (finished / "split.csv").write_text(moved)
    jobs = jobs_to_run(finished, "--config", "split={method: file, file: split.csv}", REPLACE)
    assert (jobs["train"], jobs["check_cases"]) == (2, 1)
    assert "convert" not in jobs


def test_training_and_validation_cases_that_change_places_are_trained_on(finished):
    places = {"0,train": "0,validation", "0,validation": "0,train"}
    rows = (finished / "results/smoke/split.csv").read_text().splitlines()
    swapped = [row.partition(",")[0] + "," + places.get(row.partition(",")[2], row.partition(",")[2]) for row in rows]
    (finished / "split.csv").write_text("\n".join(swapped))
    jobs = jobs_to_run(finished, "--config", "split={method: file, file: split.csv}", REPLACE)
    assert jobs["train"] == 2


def test_another_way_of_predicting_trains_only_where_it_chooses_the_weights(finished):
    """By the validation cases, which are predicted as test cases are."""
    changed = "prediction={overlap: 0.6}"
    jobs = jobs_to_run(finished, "--config", changed)
    assert jobs["predict"] == 6
    assert "train" not in jobs
    best, weights = "training={weights: best}", "results/smoke_best/runs/unet/fold0-seed0/weights.pt"
    code, output = snakemake(finished, weights, "--config", "study=smoke_best", best)
    assert code == 0, output[-3000:]
    assert jobs_to_run(finished, weights, "--config", "study=smoke_best", best) == {}
    assert jobs_to_run(finished, weights, "--config", "study=smoke_best", best, changed, REPLACE)["train"] == 1


def test_contenders_in_another_order_are_compared_in_that_order(finished):
    study = yaml.safe_load((finished / "config/smoke.yaml").read_text())
    study["models"] = dict(reversed(study["models"].items()))
    (finished / "reordered.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    jobs = jobs_to_run(finished, "--configfile", "reordered.yaml")
    assert (jobs["tables"], jobs["costs"]) == (1, 1)
    assert not {"train", "predict", "evaluate"} & jobs.keys()


def test_what_was_fixed_before_results_stays_and_changes_are_told(finished):
    results = finished / "results/smoke"
    protocol, methods = results / "protocol.json", results / "methods.md"
    fixed, before = protocol.read_bytes(), methods.read_bytes()
    assert not json.loads(fixed)["results_before"]
    first = min(path.stat().st_mtime for path in results.glob("runs/*/*/predictions/*"))
    assert protocol.stat().st_mtime <= first
    assert b"were fixed before the first test case was predicted" in before
    study = yaml.safe_load((finished / "config/smoke.yaml").read_text())
    study["evaluation"] = {"margin": {"dice": 0.02}, "decides": "nsd"}
    (finished / "changed.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    jobs = jobs_to_run(finished, "--configfile", "changed.yaml")
    assert jobs["methods"] == jobs["tables"] == 1
    assert not {"train", "predict", "evaluate"} & jobs.keys()
    code, output = snakemake(finished, "--configfile", "changed.yaml", "--cores", "2", "results/smoke/methods.md")
    assert code == 0, output[-3000:]
    date = json.loads(fixed)["written"]
    for change in ("margin of dice was 0.01 when {} and is 0.02", "deciding metric was dice when {} and is nsd"):
        sentence = f"The {change.format(f'the first test case was predicted ({date})')} now."
        assert sentence in methods.read_text()
    assert protocol.read_bytes() == fixed
    code, output = snakemake(finished, "results/smoke/methods.md")
    assert code == 0, output[-3000:]
    assert (protocol.read_bytes(), methods.read_bytes()) == (fixed, before)
    assert jobs_to_run(finished) == {}


def test_a_learning_curve_trains_with_fewer_patients_and_nothing_else(finished):
    """Of two training cases the shares are one, one and both; the study's own runs are the last of these."""
    expected = {"check": 4, "train_share": 4, "predict_share": 8, "evaluate_share": 8}
    ends = ("learning_curve_table", "figure_learning_curve", "learning_curve")
    assert jobs_to_run(finished, "learning_curve") == expected | dict.fromkeys(ends, 1)
    code, output = snakemake(finished, "learning_curve")
    assert code == 0, output[-3000:]
    table = pd.read_csv(finished / "results/smoke/tables/learning_curve.csv")
    assert len(table) == 2 * 4 * 3  # networks, organs and their mean, shares
    training = (finished / "results/smoke/split.csv").read_text().count(",train")
    counts = sorted({int(np.ceil(training * share / 100)) for share in (25, 50, 100)})
    assert sorted(table["patients"].unique()) == counts
    whole = table[table["share"] == 100].set_index(["model", "organ"])["dice"]
    summary = pd.read_csv(finished / "results/smoke/tables/summary.csv").query("metric == 'dice'")
    means = summary.set_index(["model", "organ"])["mean"].reindex(whole.index)
    np.testing.assert_allclose(whole, means)
    assert (finished / "results/smoke/figures/learning_curve.svg").stat().st_size > 0
    assert not list(finished.glob("results/smoke/learning_curve/**/checkpoint.pt"))
    assert jobs_to_run(finished, "learning_curve") == {}
    assert jobs_to_run(finished) == {}


def test_verify_says_whether_a_study_repeats_itself(finished):
    code, output = snakemake(finished, "verify")
    assert code == 0, output[-3000:]
    for run in ("unet/fold0-seed0", "ghostunet3d/fold0-seed0"):
        assert f"{run}: weights after" in output
    assert output.count("steps agree, prediction of case") == output.count("agrees") == 2
    assert jobs_to_run(finished, "verify") == {"verify": 1, "verify_run": 2}, "an old answer would be repeated"
    cost = finished / "results/smoke/runs/unet/fold0-seed0/cost.json"
    before = cost.read_text()
    told = json.loads(before)
    told["fingerprint"]["sha256"], told["versions"]["numpy"] = "0", "1.0"
    cost.write_text(json.dumps(told))
    code, output = snakemake(finished, "verify")
    cost.write_text(before)
    assert code == 1
    assert "unet/fold0-seed0: weights after 10 steps DIFFER, prediction of case" in output
    assert "'numpy': '1.0" in output
    assert "error: 1 of 2 runs do not repeat: unet/fold0-seed0" in output
    assert jobs_to_run(finished) == {}


def test_a_lock_of_a_dead_run_with_our_number_is_removed(finished):
    """As in a container that starts again: its snakemake is process 1 each time."""
    locks = finished / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.input.lock").write_text("results/smoke/split.csv")
    command, environment = command_line("-n")
    note = {"command": command, "host": platform.node(), "namespace": namespace(), "user": os.getuid()}
    script = "import json, os, sys\n"
    script += f"note = {note} | {{'process': os.getpid()}}\n"
    script += "open('.snakemake/locks/owner-1.json', 'w').write(json.dumps(note))\n"
    script += "os.execv(sys.executable, sys.argv[1:])  # keeps the number"
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=finished, capture_output=True, text=True, env=environment
    )
    assert "its lock is removed" in done.stdout + done.stderr
    assert not list(locks.glob("*"))


def kill_in_training(folder):
    """Start the study and end it, with all its jobs, by SIGKILL once a training has written a checkpoint."""
    command, environment = command_line()
    environment["ORGANBENCH_CHECKPOINT_SECONDS"] = "0"
    with open(folder / "killed.log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    while process.poll() is None and not list(folder.glob("results/smoke/runs/*/*/checkpoint.pt")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    code, output = snakemake(folder, "--unlock")
    assert code == 0, output


def test_a_second_run_that_was_killed_agrees_bit_for_bit(finished, tmp_path):
    """With other --cores, but the same threads for the jobs that compute."""
    kill_in_training(checkout(tmp_path))
    (checkpoint,) = tmp_path.glob("results/smoke/runs/*/*/checkpoint.pt")
    assert torch.load(checkpoint, weights_only=True)["progress"]["step"] > 0
    code, output = snakemake(tmp_path, "--cores", "3", "--set-threads", "train=2", "predict=2")
    assert code == 0, output[-3000:]
    logs = "".join(path.read_text() for path in tmp_path.glob("results/smoke/logs/train/*.log"))
    assert logs.count("resumed at step ") == 1
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
    assert compared == 2 + 6
