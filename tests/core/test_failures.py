"""A job that fails leaves a last line that says what to do, and Snakemake's run ends with those of all of them."""

import re
import subprocess
import sys

import numpy as np
import yaml
from conftest import ROOT

from organbench.core import failures

SCRIPTS = ROOT / "workflow" / "scripts"
SNAKEFILE = """
import sys

sys.path.insert(0, {scripts!r})
from organbench.core import failures

rule all:
    input: {inputs}

rule job:
    output: "{{how}}.txt"
    log: "logs/{{how}}.log"
    retries: 1
    script: "job.py"

onerror:
    print(failures.advice(log), file=sys.stderr)
"""
JOB = f"""
import os, pathlib, signal, sys

sys.path.insert(0, {str(SCRIPTS)!r})
from organbench.core.errors import InputError, StoppedError
from organbench.core.jobs import job_log

how = snakemake.wildcards.how
if how == "unable":
    sys.exit(1)
with job_log(snakemake.log[0]) as logger:
    logger.info("step 1/4")
    if how == "mistake":
        raise InputError("data/a.nii: is odd; mend it")
    if how == "surprise":
        raise ZeroDivisionError("division by zero")
    if how == "memory":
        raise MemoryError("Unable to allocate 9 GiB")
    if how == "stopped":
        raise StoppedError("told to end after step 1 of 4; the next run goes on from there")
    if how == "killed" or (how == "unlucky" and not pathlib.Path("tried").exists()):
        pathlib.Path("tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path(snakemake.output[0]).touch()
"""
LINES = {
    "mistake": "error: data/a.nii: is odd; mend it",
    "surprise": "failed: ZeroDivisionError: division by zero; if it happens again with the same command, this is a "
    "fault of ours: report it with logs/surprise.log",
    "memory": "failed: memory ran out (MemoryError: Unable to allocate 9 GiB); give this rule more with "
    "--set-resources job:mem_mb=<MB>",
    "stopped": "stopped: told to end after step 1 of 4; the next run goes on from there; for more time: "
    "--set-resources job:runtime=<minutes>",
    "killed": "killed from outside, mostly because memory or time ran out; for more of it: "
    "--set-resources job:mem_mb=<MB> job:runtime=<minutes>",
    "unable": "ended without a word in its log; see what is above",
}
"""How a job fails, and what the run's last lines say of it."""


def run(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going", "--show-failed-logs", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_a_runs_last_lines_say_what_to_do(tmp_path):
    inputs = [f"{how}.txt" for how in [*LINES, "unlucky"]]
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(scripts=str(SCRIPTS), inputs=inputs))
    (tmp_path / "job.py").write_text(JOB)
    status, output = run(tmp_path)
    assert status == 1
    assert (tmp_path / "unlucky.txt").exists()  # its second attempt went well
    _, _, advice = output.partition("What to do about the jobs that failed:\n")
    found = dict(re.findall(r"^- job, logs/(\w+)\.log:\n  (.+)$", advice, flags=re.M))
    assert found == LINES
    assert "Then run the same command again" in advice
    log = (tmp_path / "logs" / "surprise.log").read_text()
    assert "Traceback" in log
    assert output.count("ZeroDivisionError: division by zero\n") == 2, "the log, once an attempt"


def test_the_workflow_ends_with_what_to_do(tmp_path, write_image):
    for case in "123":
        volume, labels = np.zeros((4, 8, 8), np.float32), np.ones((4, 8, 8), np.uint8)
        volume[0] = -1000
        write_image(f"data/volume-{case}.nii.gz", volume if case != "2" else volume + np.nan)
        write_image(f"data/labels-{case}.nii.gz", labels)
    study = {
        "study": "small",
        "dataset": {"source": "nifti", "root": "data", "organs": {"liver": 1}},
        "models": {"tiny": {"network": "unet", "features": [2, 4]}},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    status, output = run(
        tmp_path, "--snakefile", ROOT / "Snakefile", "--configfile", "study.yaml", "--until", "check_cases"
    )
    assert status == 1
    _, _, advice = output.partition("What to do about the jobs that failed:\n")
    log, line = advice.splitlines()[:2]
    assert log == "- check_cases, results/small/logs/check_cases.log:"
    assert line.startswith("  error: 1 of 3 cases cannot be used; mend their files, ")
    assert "error: data/volume-2.nii.gz: " in output


def test_what_a_scheduler_ended_counts_as_killed(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("2026-01-01 00:00:00 step 1/4\n")
    text = f"""
[Mon Nov 23 19:04:39 2026]
Error in rule train:
    message: SLURM-job '12' failed, SLURM status is: 'OUT_OF_MEMORY'. For further error details see the log files.
    jobid: 1
    output: weights.pt
    log: {log} (check log file(s) for error details)
    external_jobid: 12
Error in group infer:
    jobs:
        rule predict:
            jobid: 7
            output: case.nii.gz
            log: logs/predict/7.log (check log file(s) for error details)
"""
    (train, predict) = failures.failures(text)
    assert train == ("train", str(log), True)
    assert predict == ("predict", "logs/predict/7.log", False)
    assert "train:mem_mb" in failures.remedy(*train)
    snakemakes = tmp_path / "snakemake.log"
    snakemakes.write_text("Building DAG of jobs...\n")
    assert failures.advice([snakemakes]) == ""
