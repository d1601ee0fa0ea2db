"""nnU-Net as a contender: what it is told, and, where an interpreter has it, how it trains, ends, resumes, predicts."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tiny import ORGANS, label_map, write_patient

from organbench.core.errors import InputError
from organbench.data import images
from organbench.learning.nnunet import calling, layout, recipe
from organbench.learning.nnunet.__main__ import check

PYTHON = os.environ.get("ORGANBENCH_NNUNET_PYTHON")
ENTRY = {"plans": "default", "patch": None, "batch_size": None, "version": recipe.VERSION, "python": PYTHON}
PATCHES = {"2d": [16, 16], "3d_fullres": [8, 16, 16]}

needs_nnunet = pytest.mark.skipif(not PYTHON, reason="ORGANBENCH_NNUNET_PYTHON names no interpreter with nnunetv2")


def test_its_own_recipe_is_as_it_comes():
    own = recipe.Schedule.of(None)
    assert (own.epochs, own.iterations, own.validation) == (1000, 250, 50)
    assert own.steps == own.steps_before(1000) == 250_000


@pytest.mark.parametrize("steps", [1, 2, 99, 100, 101, 260, 1234, 25_000, 25_001, 250_000])
def test_a_budget_is_met_to_the_step_and_its_schedule_is_fine_enough(steps):
    schedule = recipe.Schedule.of(steps)
    each = [schedule.iterations_of(epoch) for epoch in range(schedule.epochs)]
    assert sum(each) == steps
    assert all(1 <= iterations <= 250 for iterations in each)
    assert [0, *itertools.accumulate(each)] == [schedule.steps_before(epoch) for epoch in range(schedule.epochs + 1)]
    assert schedule.epochs >= min(steps, 50)
    assert schedule.validation >= 1


def test_the_dataset_has_the_organs_in_their_order_and_the_split_is_the_studys():
    told = recipe.dataset_json(["liver", "bladder"], 3)
    assert told["labels"] == {"background": 0, "liver": 1, "bladder": 2}
    assert told["channel_names"] == {"0": "CT"}  # so that it normalises as it does CT
    assert recipe.splits(["a", "b"], ["c"]) == [{"train": ["a", "b"], "val": ["c"]}]
    assert recipe.splits(["a", "b"], []) == [{"train": ["a", "b"], "val": ["a", "b"]}]


PLAN = {
    "batch_size": 2,
    "patch_size": [80, 128, 128],
    "architecture": {
        "arch_kwargs": {
            "n_stages": 4,
            "features_per_stage": [32, 64, 128, 256],
            "n_conv_per_stage": [2, 2, 2, 2],
            "n_conv_per_stage_decoder": [2, 2, 2],
            "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]],
            "kernel_sizes": [[3, 3, 3]] * 4,
            "conv_bias": True,
        }
    },
}


def test_a_smaller_patch_has_a_shallower_network_and_nothing_else_changes():
    plans = {"configurations": {"2d": "untouched", "3d_fullres": PLAN}}
    strides = [np.array([1, 1, 1]), np.array([2, 2, 2])]
    found = recipe.edited(plans, "3d_fullres", patch=[8, 16, 16], strides=strides, kernels=[[3, 3, 3]] * 2)
    own = found["configurations"]["3d_fullres"]
    assert (own["patch_size"], own["batch_size"]) == ([8, 16, 16], 2)
    network = own["architecture"]["arch_kwargs"]
    assert network == {
        "n_stages": 2,
        "features_per_stage": [32, 64],
        "n_conv_per_stage": [2, 2],
        "n_conv_per_stage_decoder": [2],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "kernel_sizes": [[3, 3, 3]] * 2,
        "conv_bias": True,
    }
    json.dumps(found)
    assert plans["configurations"]["3d_fullres"]["patch_size"] == [80, 128, 128]
    assert recipe.edited(plans, "3d_fullres") == plans


def test_a_larger_patch_has_a_deeper_network_with_the_last_stages_features():
    plans = {"configurations": {"3d_fullres": PLAN}}
    found = recipe.edited(
        plans, "3d_fullres", patch=[8] * 3, batch_size=3, strides=[[1] * 3] * 6, kernels=[[3] * 3] * 6
    )
    network = found["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    assert network["features_per_stage"] == [32, 64, 128, 256, 256, 256]
    assert network["n_conv_per_stage_decoder"] == [2] * 5
    assert found["configurations"]["3d_fullres"]["batch_size"] == 3


def test_threads_are_counted_where_zero_breaks_it_and_training_starts_no_workers():
    planning, training = (recipe.environment(task, "r", "p", "o", 0) for task in ("prepare", "train"))
    assert planning["nnUNet_n_proc_DA"] == planning["nnUNet_def_n_proc"] == "1"
    assert training["nnUNet_n_proc_DA"] == "0"


def test_scans_are_linked_and_labels_merged(tmp_path):
    files = {"a": write_patient(tmp_path, "a", label_map(), orientation="RAS")}
    image = sitk.ReadImage(str(files["a"][1]))
    image[0, 0, 0] = 7
    sitk.WriteImage(image, str(files["a"][1]))
    layout.write(tmp_path / "fold", files, organs={"both": [1, 5]}, ignored=[7])
    dataset = tmp_path / "fold" / "raw" / recipe.DATASET
    link = dataset / "imagesTr" / "a_0000.nii.gz"
    assert link.is_symlink()
    assert link.resolve() == files["a"][0]
    merged = sitk.ReadImage(str(dataset / "labelsTr" / "a.nii.gz"))
    original = sitk.ReadImage(str(files["a"][1]))
    expected = np.isin(sitk.GetArrayFromImage(original), [1, 5])
    assert 7 in sitk.GetArrayFromImage(original)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(merged), expected)
    assert images.read_grid(dataset / "labelsTr" / "a.nii.gz") == images.read_grid(link)
    assert json.loads((dataset / "dataset.json").read_text())["numTraining"] == 1


@pytest.mark.parametrize(("suffix", "linked"), [(".nrrd", True), (".nii.gz", False)])
def test_what_it_does_not_read_or_will_not_stay_is_copied(tmp_path, suffix, linked):
    volume, labels = write_patient(tmp_path, "a", label_map())
    other = tmp_path / f"other{suffix}"
    sitk.WriteImage(sitk.ReadImage(str(volume)), str(other))
    layout.write(tmp_path / "fold", {"a": (other, labels)}, organs=ORGANS, linked=linked)
    copied = tmp_path / "fold" / "raw" / recipe.DATASET / "imagesTr" / "a_0000.nii.gz"
    assert not copied.is_symlink()
    np.testing.assert_array_equal(*(sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (copied, volume)))


def test_a_name_that_it_takes_for_labels_is_refused(tmp_path):
    with pytest.raises(InputError, match="a_seg: nnU-Net takes names that end in _seg"):
        layout.write(tmp_path, {"a_seg": write_patient(tmp_path, "a", label_map())}, organs=ORGANS)


def test_an_interpreter_without_it_is_told_in_a_line(tmp_path):
    with pytest.raises(InputError, match=r"has no nnunetv2; pip install -r requirements-nnunet.txt|and 0.0 is wanted"):
        check("0.0")
    job = {"entry": ENTRY | {"version": "0.0", "python": None, "nnunet": "2d"}}
    with pytest.raises(InputError, match=r"nnU-Net, prepare: config, models: .*nnunetv2"):
        calling.call("prepare", job, tmp_path, threads=1, log="log", own=sys.executable)


def fold(folder, configuration, **changes):
    """Lay out and prepare a fold of two training cases and one validation case; gives the entry."""
    files = {name: write_patient(folder, name, label_map((12, 40, 36)), seed=k) for k, name in enumerate("abc")}
    layout.write(folder, files, organs=ORGANS)
    entry = ENTRY | {"nnunet": configuration, "patch": PATCHES[configuration], "batch_size": 2, "steps": 4} | changes
    job = {"entry": entry, "training": ["a", "b"], "validation": ["c"]}
    calling.call("prepare", job, folder, threads=1, log="log", own=sys.executable)
    return entry


def training_job(entry, folder, **changes):
    return {
        "entry": entry,
        "organs": list(ORGANS),
        "seed": 3,
        "validated": True,
        "stamp": "stamp",
        "gpus": 0,
        "folder": str(folder),
    } | changes


def train(prepared, entry, folder, **changes):
    """Train, and give the weights."""
    job = training_job(entry, folder, **changes)
    calling.call("train", job, prepared, threads=1, log="log", own=sys.executable, results=folder)
    return torch.load(folder / "weights.pt", weights_only=True)


def same(a, b):
    return all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared fold, and its entry."""
    folder = tmp_path_factory.mktemp("fold")
    return folder, fold(folder, "3d_fullres")


@needs_nnunet
def test_a_killed_training_goes_on_to_the_same_weights(prepared, tmp_path, monkeypatch):
    folder, entry = prepared
    monkeypatch.setenv("ORGANBENCH_CHECKPOINT_SECONDS", "0")
    whole = train(folder, entry, tmp_path / "whole")
    begun = tmp_path / "begun"
    begun.mkdir()
    told = json.loads((tmp_path / "whole" / "train-job.json").read_text()) | {"folder": str(begun)}
    told["environment"]["nnUNet_results"] = str(begun / "results")
    (begun / "job.json").write_text(json.dumps(told))
    for number, end in enumerate((signal.SIGTERM, signal.SIGKILL)):
        code, lines = begin(begun / "job.json", f"step {number + 1}/4", end)
        assert code == (143 if end == signal.SIGTERM else -signal.SIGKILL)
        if end == signal.SIGTERM:
            assert lines[-1].startswith("stopped: told to end in epoch ")
    assert not (begun / "weights.pt").exists()
    resumed = train(folder, entry, begun)
    assert same(whole, resumed)
    cost = json.loads((begun / "cost.json").read_text())
    assert cost["resumed"]
    assert cost["steps"] == 4
    history = (begun / "history.csv").read_text().splitlines()
    assert history[0] == "step,learning_rate,loss,dice_liver,dice_bladder,seconds"
    assert [row.split(",")[0] for row in history[1:]] == ["1", "2", "3", "4"]
    assert not same(whole, train(folder, entry, tmp_path / "other", seed=4))


def begin(job, line, end):
    """Train until a line is printed, then send a signal; gives the exit status and what was printed."""
    environment = dict(os.environ, PYTHONPATH=str(calling.SCRIPTS))
    command = [PYTHON, "-P", "-m", "organbench.learning.nnunet", "train", str(job)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    lines = []
    for printed in process.stdout:
        lines.append(printed.strip())
        if printed.startswith(line):
            process.send_signal(end)
    return process.wait(), lines


@needs_nnunet
def test_a_checkpoint_of_another_training_is_not_gone_on_from(prepared, tmp_path, monkeypatch):
    folder, entry = prepared
    monkeypatch.setenv("ORGANBENCH_CHECKPOINT_SECONDS", "0")
    train(folder, entry, tmp_path)
    latest = next(tmp_path.rglob("checkpoint_final.pth")).with_name("checkpoint_latest.pth")
    next(tmp_path.rglob("checkpoint_final.pth")).replace(latest)
    train(folder, entry, tmp_path, stamp="another")
    assert json.loads((tmp_path / "cost.json").read_text())["resumed"] == []
    latest.write_bytes(b"torn")
    train(folder, entry, tmp_path)


@needs_nnunet
def test_a_prediction_is_on_the_scans_grid_and_nnunet_can_load_the_weights(prepared, tmp_path):
    folder, entry = prepared
    train(folder, entry, tmp_path)
    volume, _ = write_patient(tmp_path, "t", label_map((10, 30, 26)), seed=9, orientation="RAS")
    job = {
        "entry": entry,
        "case": "t",
        "image": str(volume),
        "weights": str(tmp_path / "weights.pt"),
        "gpus": 0,
        "labels": str(tmp_path / "labels.nii.gz"),
    }
    cost = calling.call("predict", job, tmp_path, threads=1, log="log", own=sys.executable)
    assert images.read_grid(tmp_path / "labels.nii.gz") == images.read_grid(volume)
    found = torch.load(tmp_path / "weights.pt", weights_only=True)
    once = {value.data_ptr(): value.numel() for value in found["network_weights"].values()}  # some have several names
    assert cost["parameters"] == sum(once.values())
    windows = cost["multiply_adds"] / found["size"]["multiply_adds_per_voxel"] / np.prod(entry["patch"])
    assert round(windows) % 8 == 0  # mirrored in three axes
    assert cost["voxels"] == 10 * 30 * 26
    assert cost["versions"]["nnunetv2"] == recipe.VERSION


@needs_nnunet
@pytest.mark.parametrize("plans", ["default", "ResEncM"])
def test_2d_and_the_residual_encoder_train_too(tmp_path, plans):
    entry = fold(tmp_path, "2d", plans=plans, steps=1)
    found = train(tmp_path, entry, tmp_path / "run", validated=False)
    assert found["plans"]["configurations"]["2d"]["patch_size"] == [16, 16]
    assert ",,," in (tmp_path / "run" / "history.csv").read_text()  # no Dice of cases that it learned from


@needs_nnunet
def test_a_patch_that_it_would_change_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nnU-Net takes no patch \[9, 17, 17\] here; the next is \["):
        fold(tmp_path, "3d_fullres", patch=[9, 17, 17])


@needs_nnunet
def test_it_ends_with_the_job_that_started_it(prepared, tmp_path):
    folder, entry = prepared
    job = training_job(entry | {"steps": 100_000}, tmp_path)
    (tmp_path / "job.json").write_text(json.dumps([job, str(folder), str(tmp_path)]))
    code = (
        "import json, pathlib, sys; from organbench.learning.nnunet import calling; "
        "job, folder, results = json.load(open(sys.argv[1])); "
        "calling.call('train', job, folder, threads=1, log='log', own=sys.executable, results=pathlib.Path(results))"
    )
    environment = dict(os.environ, PYTHONPATH=str(calling.SCRIPTS))
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "job.json")], env=environment)
    deadline = time.monotonic() + 300
    while not list(tmp_path.rglob("training_log_*")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.kill()
    process.wait()
    (log,) = tmp_path.rglob("training_log_*")
    command = str(tmp_path / "train-job.json")
    while any(
        command in line for line in subprocess.run(["ps", "ax"], capture_output=True, text=True).stdout.splitlines()
    ):
        assert time.monotonic() < deadline, log
        time.sleep(0.2)
