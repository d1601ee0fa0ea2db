"""The workflow on a real SLURM: trainings at once, each with a GPU of its own; lost ones go on where they were."""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from slurm import DAEMONS, Slurm, wait_for
from test_workflow import checkout

STUDY = {
    "study": "cluster",
    "dataset": {
        "source": "phantom",
        "root": "resources/cluster",
        "organs": {"liver": 1, "lungs": 3, "bone": 5},
        "ignore_labels": [2, 4, 6],
        "phantom": {"cases": 3, "seed": 1, "size": [48, 48, 40]},
    },
    "preprocessing": {"spacing": [8.0, 8.0, 8.0]},
    "split": {"method": "holdout", "test_fraction": 0.34, "validation_fraction": 0.5},
    "models": {name: {"network": name, "dims": 2, "features": [8, 16]} for name in ("unet", "ghostunet")},
    "training": {"steps": 120, "batch_size": 4, "patch": [32, 32], "warmup": 2, "validate_every": 60},
}
TABLES = [f"results/cluster/tables/{name}.csv" for name in ("summary", "comparison", "per_case")]
PROFILE = ["--workflow-profile", "profiles/slurm"]
QUICK = ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"]
NO_ACCOUNTING = ["--slurm-status-command", "squeue", "--slurm-no-account"]

Training = namedtuple("Training", "process job node device log")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -r requirements-cluster.txt")
    missing = [program for program in (*DAEMONS, "sbatch", "setpriv") if not shutil.which(program)]
    if missing:
        pytest.skip(f"there is no {missing[0]}; on Debian: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("only root can start a SLURM cluster")
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def command(*arguments, targets=TABLES):
    threads = ["--set-threads", "train=1", "predict=1"]  # another number may change the last bits of a sum
    return [sys.executable, "-m", "snakemake", "--configfile", "study.yaml", *threads, *arguments, *targets]


@pytest.fixture(scope="module")
def make_study(tmp_path_factory):
    """A checkout with the study in it."""

    def make(name):
        folder = checkout(tmp_path_factory.mktemp(name))
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
        return folder

    return make


def environment_of(process):
    pairs = (pair.partition("=") for pair in Path(f"/proc/{process}/environ").read_text().split("\0"))
    return {key: value for key, _, value in pairs}


def trainings(folder):
    """What trains below a folder now: each contender's process, which has its log open."""
    found = {}
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            log = Path(os.readlink(link))
            if log.parent != folder / "results/cluster/logs/train":
                continue
            process = int(link.split("/")[2])
            environment = environment_of(process)
            text = log.read_text()
        except (OSError, ValueError):
            continue
        found[log.name.partition("-")[0]] = Training(
            process,
            environment["SLURM_JOB_ID"],
            environment["SLURMD_NODENAME"],
            environment["CUDA_VISIBLE_DEVICES"],
            text,
        )
    return found


def pause_each(folder, after=()):
    """Stop each contender's next training once it has left a checkpoint; a stopped one waits until SLURM ends it."""
    paused = {}

    def both():
        for model, training in trainings(folder).items():
            if model not in paused and training.process not in after and re.search(r"step \d+/120", training.log):
                os.kill(training.process, signal.SIGSTOP)
                paused[model] = training
        return len(paused) == 2

    wait_for(both, "two trainings at once", folder / "snakemake.log")
    return paused


def steps_done(folder, model):
    checkpoint = torch.load(folder / f"results/cluster/runs/{model}/fold0-seed0/checkpoint.pt", weights_only=True)
    return checkpoint["progress"]["step"]


@pytest.fixture(scope="module")
def survived(slurm, make_study):
    """The study after it was run on the cluster, where every training was lost twice: what was seen on the way."""
    folder = make_study("cluster")
    environment = dict(slurm.environment, ORGANBENCH_CHECKPOINT_SECONDS="0", PYTHONDONTWRITEBYTECODE="1")
    with open(folder / "snakemake.log", "w") as log:
        process = subprocess.Popen(
            command(*PROFILE, *QUICK, *NO_ACCOUNTING), cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        first = pause_each(folder)
        states = {model: slurm.job(training.job) for model, training in first.items()}
        steps = [{model: steps_done(folder, model) for model in first}]
        slurm.run("scancel", first["unet"].job)
        slurm.run("scontrol", "update", f"jobid={first['ghostunet'].job}", "endtime=now")  # it is at its time limit
        second = pause_each(folder, after=[training.process for training in first.values()])
        states_again = {model: slurm.job(training.job) for model, training in second.items()}
        ended = {model: slurm.job(training.job)[0] for model, training in first.items()}
        steps.append({model: steps_done(folder, model) for model in first})
        for node in {training.node for training in second.values()}:
            slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        third = pause_each(folder, after=[training.process for training in (*first.values(), *second.values())])
        for training in third.values():
            os.kill(training.process, signal.SIGCONT)
        assert process.wait(300) == 0, (folder / "snakemake.log").read_text()[-3000:]
    finally:
        process.kill()
        process.wait()
    return {
        "folder": folder,
        "rounds": [first, second, third],
        "states": [states, states_again],
        "ended": ended,
        "steps": steps,
    }


def test_two_trainings_run_at_once_each_with_its_own_gpu(survived):
    for round_ in survived["rounds"][:2]:
        places = {(training.node, training.device) for training in round_.values()}
        assert len(places) == 2
        assert {training.device for training in round_.values()} <= {"0", "1"}  # one each, not "0,1"
    for states in survived["states"]:
        assert {state for state, *_ in states.values()} == {"RUNNING"}


def test_lost_trainings_go_on_from_their_checkpoints(survived):
    first, second, third = survived["rounds"]
    assert survived["ended"] == {"unet": "CANCELLED", "ghostunet": "TIMEOUT"}
    for model in first:
        assert "going on from" not in first[model].log
        for lost, repeated in ((first, second), (second, third)):
            resumed = re.search(r"going on from \S+ after (\d+) steps", repeated[model].log)
            before = [int(step) for step in re.findall(r"step (\d+)/120", lost[model].log)]
            assert int(resumed[1]) >= before[-1] > 0
        assert first[model].job != second[model].job  # Snakemake's retry
        assert second[model].job == third[model].job  # SLURM's own, after its node was lost


def test_a_retry_has_more_time(survived):
    first, second = survived["states"]
    for model in first:
        assert [states[model][2] for states in (first, second)] == ["1:01:00", "2:02:00"]


def test_small_jobs_share_a_place_in_the_queue(survived):
    log = (survived["folder"] / "snakemake.log").read_text()
    submitted = re.findall(r"submitted with SLURM jobid \d+ \(log: \S+/slurm_logs/(\w+?)_", log)
    assert submitted.count("rule") == 1 + 1 + 2 + 2  # check_cases, check_networks, trainings and their retries
    assert submitted.count("group") == 1 + 1 + 1 + 1  # cases, predictions, metrics, tables


def test_results_equal_those_of_a_workstation_bit_for_bit(survived, make_study):
    folder = make_study("workstation")
    done = subprocess.run(command("--cores", "2"), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    compared = [
        *folder.glob("results/cluster/runs/*/*/weights.pt"),
        *folder.glob("results/cluster/runs/*/*/predictions/*.nii.gz"),
        *(folder / table for table in TABLES),
    ]
    assert len(compared) == 2 + 2 + 3
    for path in compared:
        assert path.read_bytes() == (survived["folder"] / path.relative_to(folder)).read_bytes(), path
    assert len(pd.read_csv(folder / TABLES[2])) == 2 * 3


def test_the_generic_profile_notices_a_job_that_was_killed(slurm, make_study):
    folder = make_study("generic")
    target, log = "results/cluster/tables/cases.csv", folder / "snakemake.log"
    profile = ["--workflow-profile", "profiles/generic", "--max-status-checks-per-second", "5"]
    with open(log, "w") as stream:
        process = subprocess.Popen(
            command(*profile, targets=[target]),
            cwd=folder,
            env=slurm.environment,
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_for(lambda: slurm.run("squeue", "-h", "--states=running", "-o", "%i").split(), "job", log)
        slurm.run("scancel", "--user=root")
        assert process.wait(300) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()
    assert (folder / target).is_file()
    assert "Trying to restart" in log.read_text()
