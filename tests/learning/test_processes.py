"""A training that spans several processes sees the same batches and learns the same as in one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import AUGMENTATION, ORGANS, PREDICTION, UNET, WINDOW, label_map, make_case, task_of, training_settings

from organbench.learning import augmentation, sampling
from organbench.learning.sampling import Shard, batch

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
LAUNCH = """
import json, sys
from organbench.learning import processes
from organbench.learning.run import run
if __name__ == "__main__":
    job = json.load(open(sys.argv[1]))
    processes.launch(run, job, 2) if sys.argv[2] == "2" else run(job)
"""


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    for number, name in enumerate("abc"):
        make_case(folder, name, label_map(bladder=name != "b"), seed=number)
    return folder


def start(patients, folder, processes, **changes):
    """Start a training in a process of its own."""
    folder.mkdir(exist_ok=True)
    job = {
        "training": [str(patients / name) for name in "ab"],
        "validation": [str(patients / "c")],
        "skip_bad": False,
        "settings": {
            "network": UNET,
            "training": training_settings(norm="instance", batch_size=4) | changes,
        },
        "prediction": PREDICTION,
        "window": WINDOW,
        "organs": list(ORGANS),
        "seed": 0,
        "threads": 1,
        "gpus": 0,
        "code": "",
        "folder": str(folder),
        "log": str(folder / "log"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "launch.py").write_text(LAUNCH)
    return subprocess.Popen(
        [sys.executable, folder / "launch.py", folder / "job.json", str(processes)],
        env=dict(os.environ, PYTHONPATH=str(SCRIPTS), OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("patch", [(8, 8), (4, 8, 8)])
def test_the_shards_of_a_batch_are_the_batch(patients, patch, world):
    from organbench.data import cases

    read = [cases.load(patients / name) for name in "abc"]
    settings = training_settings(patch=patch, batch_size=8, foreground=0.5, augmentation=AUGMENTATION)
    task = task_of(settings, seed=1)

    def fed(shard):
        images, labels, _ = batch(read, task, 5, shard)
        images, labels = torch.from_numpy(images), torch.from_numpy(labels)
        return augmentation.augment(images, labels, task, 5, shard)[:2]

    images, labels = fed(sampling.WHOLE)
    for rank in range(world):
        shard = Shard(rank, world)
        ours = fed(shard)
        assert torch.equal(ours[0], images[shard.part])
        assert torch.equal(ours[1], labels[shard.part])


def test_two_processes_learn_what_one_learns(patients, tmp_path):
    running = [start(patients, tmp_path / str(count), count, steps=8) for count in (1, 2)]
    for process in running:
        code, output = finish(process)
        assert code == 0, output
    one, two = (pd.read_csv(tmp_path / count / "history.csv") for count in "12")
    assert len(one) == len(two) == 8
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    np.testing.assert_allclose(two["dice_liver"], one["dice_liver"], atol=0.01)
    ours, theirs = (torch.load(tmp_path / count / "weights.pt", weights_only=True)["state_dict"] for count in "12")
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-3, atol=1e-4)


def test_sigterm_ends_all_processes_and_training_goes_on(patients, tmp_path):
    folder = tmp_path / "stopped"
    process = start(patients, folder, 2, steps=400)
    log = folder / "log"
    deadline = time.monotonic() + 60
    while not (log.exists() and "step 2/" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == 128 + signal.SIGTERM, output
    assert "told to end after step" in log.read_text()
    reached = torch.load(folder / "checkpoint.pt", weights_only=True)["progress"]["step"]
    assert 2 <= reached < 400


def test_an_uneven_batch_is_refused_in_one_line(patients, tmp_path):
    code, output = finish(start(patients, tmp_path / "uneven", 2, batch_size=3))
    assert code == 1
    assert "config, training.batch_size: 3 is not a multiple of the 2 devices" in output


def test_a_loss_that_is_no_number_ends_all_processes(patients, tmp_path):
    folder = tmp_path / "diverged"
    code, output = finish(start(patients, folder, 2, steps=20, optimizer="sgd", learning_rate=1e30))
    assert code == 1, output
    last = (folder / "log").read_text().strip().splitlines()[-1]
    assert "error: the loss of step " in last
    assert "lower training.learning_rate" in last
    assert not list(folder.glob("*.pt"))
