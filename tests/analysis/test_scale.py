"""A large study is planned without doing the same for every job again; its jobs are those that arithmetic says."""

import pstats
import subprocess
import sys

import pytest
from conftest import ROOT

CASES, FOLDS, SEEDS, MODELS = 10, 5, 3, 4


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A dry run of the benchmark's study with fewer cases: how many jobs each rule has, and which calls that took."""
    folder = tmp_path_factory.mktemp("scale")
    code = f"import sys, pathlib; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import scale"
    make = f"{code}; scale.make_study(pathlib.Path({str(folder)!r}), {CASES})"
    subprocess.run([sys.executable, "-c", make], check=True)
    profile = [sys.executable, "-m", "cProfile", "-o", "calls", "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    done = subprocess.run(
        [*profile, "-n", "--cores", "1", "--quiet", "rules", "--configfile", "study.json"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:]]
    return {rule: int(count) for rule, count in rows}, pstats.Stats(str(folder / "calls")).stats


def test_a_large_study_has_the_jobs_that_arithmetic_says(planned):
    jobs, _ = planned
    wanted = {
        "convert": CASES,
        "check": MODELS * FOLDS * SEEDS,
        "train": MODELS * FOLDS * SEEDS,
        "predict": MODELS * SEEDS * CASES,  # a case is tested in one fold
        "evaluate": MODELS * SEEDS * CASES,
        "viewer_case": CASES,
    }
    assert {rule: jobs[rule] for rule in wanted} == wanted
    alone = jobs.keys() - wanted.keys() - {"total"}
    assert {jobs[rule] for rule in alone} == {1}
    assert jobs["total"] == sum(wanted.values()) + len(alone)


def test_a_library_file_is_parsed_once_however_many_jobs_there_are(planned):
    jobs, calls = planned
    files = len(list((ROOT / "workflow" / "scripts").rglob("*.py")))
    (parsed,) = [call[1] for (file, _, name), call in calls.items() if (name, file[-6:]) == ("parse", "ast.py")]
    contenders = 4 * MODELS  # whose options are read a few times, also once a study
    assert parsed < files + contenders < jobs["train"] + files < jobs["total"]
