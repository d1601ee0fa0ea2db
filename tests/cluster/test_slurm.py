"""The workflow on a real SLURM: trainings at once, each with a GPU of its own; lost ones go on where they were."""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, namedtuple
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from slurm import DAEMONS, Slurm, wait_for
from smoke import checkout
from test_bad_input import good, small_study

# the smoke study, with trainings that are long enough to be lost three times
SMOKE = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
STUDY = SMOKE | {"study": "cluster", "training": SMOKE["training"] | {"steps": 120, "validate_every": 20}}
STUDY["models"]["ghostunet3d"].pop("steps")
TABLES = [f"results/cluster/tables/{name}.csv" for name in ("summary", "comparison", "per_case")]
VIEWER = "results/cluster/viewer/index.html"
PROFILE = ["--workflow-profile", "profiles/slurm"]
QUICK = ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"]
NO_ACCOUNTING = ["--slurm-status-command", "squeue"]

Training = namedtuple("Training", "process job node device log")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -r requirements-cluster.txt")
    missing = [program for program in (*DAEMONS, "sbatch") if not shutil.which(program)]
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


def command(*arguments, targets=(*TABLES, VIEWER)):
    threads = ["--set-threads", "train=1", "predict=1"]  # another number may change the last bits of a sum
    return [sys.executable, "-m", "snakemake", "--configfile", "study.yaml", *threads, *arguments, *targets]


@pytest.fixture
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


def pause_each(folder, lost=()):
    """Stop each contender's next training once it has done a step; a stopped one waits until SLURM ends it."""
    paused, before = {}, {training.process for round_ in lost for training in round_.values()}

    def both():
        for model, training in trainings(folder).items():
            if model not in paused and training.process not in before and re.search(r"step \d+/", training.log):
                os.kill(training.process, signal.SIGSTOP)
                paused[model] = trainings(folder)[model]
        return len(paused) == 2

    wait_for(both, "two trainings at once", folder / "snakemake.log")
    return paused


@contextmanager
def running(slurm, folder, *arguments, **options):
    """Snakemake at work on the cluster, with its log; it and its jobs have to come to a good end."""
    environment = dict(slurm.environment, ORGANBENCH_CHECKPOINT_SECONDS="0", PYTHONDONTWRITEBYTECODE="1")
    log = folder / "snakemake.log"
    with open(log, "w") as stream:
        process = subprocess.Popen(
            command(*arguments, **options), cwd=folder, env=environment, stdout=stream, stderr=stream
        )
    try:
        yield log
        assert process.wait(900) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


def check_resumed(lost, repeated):
    """Every training went on from the last step that it had done, or a later one."""
    for model in lost:
        resumed = re.search(r"resumed at step (\d+)", repeated[model].log)
        steps = [int(step) for step in re.findall(r"step (\d+)/", lost[model].log)]
        assert int(resumed[1]) >= steps[-1] > 0


def test_lost_trainings_go_on_where_they_were_and_end_as_on_a_workstation(slurm, make_study):
    alone = make_study("workstation")
    done = subprocess.run(command("--cores", "2"), cwd=alone, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    folder = make_study("cluster")
    shutil.copytree(alone / "resources", folder / "resources")  # the same patients
    with running(slurm, folder, *PROFILE, *QUICK, *NO_ACCOUNTING) as log:
        first = pause_each(folder)
        jobs = {model: slurm.job(training.job) for model, training in first.items()}
        assert [(state, limit) for state, _, limit in jobs.values()] == [("RUNNING", "1:01:00")] * 2
        # at once on one node, each with one device of its own
        assert len({training.node for training in first.values()}) == 1
        assert {training.device for training in first.values()} == {"0", "1"}

        # cancelled, and at its time limit: Snakemake tries again, with more time
        slurm.run("scancel", first["unet"].job)
        slurm.run("scontrol", "update", f"jobid={first['ghostunet3d'].job}", "endtime=now+1seconds")
        second = pause_each(folder, lost=[first])
        assert slurm.job(first["unet"].job)[0] == "CANCELLED"
        assert slurm.job(first["ghostunet3d"].job)[0] == "TIMEOUT"
        jobs = {model: slurm.job(training.job) for model, training in second.items()}
        assert [(state, limit) for state, _, limit in jobs.values()] == [("RUNNING", "2:02:00")] * 2
        check_resumed(first, second)

        # without its node: SLURM tries again
        for node in {training.node for training in second.values()}:
            slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        third = pause_each(folder, lost=[first, second])
        assert {model: training.job for model, training in third.items()} == {
            model: training.job for model, training in second.items()
        }
        check_resumed(second, third)
        for training in third.values():
            os.kill(training.process, signal.SIGCONT)

    # small jobs share a place in the queue
    submitted = re.findall(r"submitted with SLURM jobid .*/slurm_logs/(rule_[a-z_]+|group_[a-z]+)", log.read_text())
    assert Counter(submitted) == {
        "rule_check_cases": 1,
        "rule_check_networks": 1,
        "rule_train": 2 + 2,
        "group_cases": 1,
        "group_predictions": 1,
        "group_metrics": 1,
        "group_pages": 1,
        "group_results": 1,
    }

    assert made(folder) == made(alone)
    compared = [
        *alone.glob("results/cluster/runs/*/*/weights.pt"),
        *alone.glob("results/cluster/runs/*/*/predictions/*.nii.gz"),
        *alone.glob("results/cluster/viewer/cases/*"),
        *(alone / table for table in TABLES),
    ]
    assert len(compared) == 2 + 3 * 2 + 2 * 2 + 3
    for path in compared:
        assert path.read_bytes() == (folder / path.relative_to(alone)).read_bytes(), path
    assert len(pd.read_csv(alone / TABLES[2])) == 3 * 2 * 3


def made(folder):
    """The results of a study; the executor's own logs are none."""
    results = folder / "results/cluster"
    return {path.relative_to(results) for path in results.rglob("*") if path.is_file() and "logs" not in path.parts}


def test_the_generic_profile_notices_a_job_that_was_killed(slurm, make_study):
    folder, target = make_study("generic"), "results/cluster/cases/0/case.json"
    profile = ["--workflow-profile", "profiles/generic", "--max-status-checks-per-second", "5"]
    with running(slurm, folder, *profile, targets=[target]) as log:
        wait_for(lambda: slurm.run("squeue", "-h", "--states=running", "-o", "%i").split(), "job", log)
        slurm.run("scancel", "--user=root")
    assert (folder / target).is_file()
    assert "Trying to restart" in log.read_text()


def test_a_study_goes_on_without_a_bad_case(slurm, make_study, write_image, tmp_path):
    """Which cases are bad is known only while jobs run; Snakemake then plans those of the groups anew."""
    volume, labels = good(0)
    for case, bad in {"a": False, "b": False, "c": True, "d": False}.items():
        write_image(f"volume-{case}.nii.gz", volume + np.nan if bad else volume)
        write_image(f"labels-{case}.nii.gz", labels)
    (tmp_path / "split.csv").write_text("case,fold,role\na,0,train\nb,0,test\nc,0,test\nd,0,test\n")
    study = small_study(
        study="cluster",
        dataset={"root": str(tmp_path), "on_bad_case": "skip"},
        split={"method": "file", "file": str(tmp_path / "split.csv")},
    )
    folder = make_study("skip")
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    with running(slurm, folder, *PROFILE, *QUICK, *NO_ACCOUNTING, targets=TABLES[2:]):
        pass
    tables = folder / "results/cluster/tables"
    assert list(pd.read_csv(tables / "bad_cases.csv")["case"]) == ["c"]
    assert set(pd.read_csv(tables / "per_case.csv")["case"]) == {"b", "d"}
