"""Whatever breaks while a study runs, the next run brings it to the same end, byte for byte."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from disturbed import Study, Watch, memory_limit, mounted, same, until
from smoke import checkout

RUNS = [f"runs/{model}/fold0-seed0" for model in ("first", "second")]
LOCKS = ".snakemake/locks"
KILLS = 20
VICTIMS = ("snakemake", "script", "both")


@pytest.fixture(scope="session")
def watched(tmp_path_factory):
    """The study undisturbed, and the watch over its files, where there is one."""
    folder = checkout(tmp_path_factory.mktemp("undisturbed"))
    shutil.copy(Path(__file__).with_name("study.yaml"), folder / "config/faults.yaml")
    study = Study(folder)
    for name in ("results", "resources"):
        (folder / name).mkdir(exist_ok=True)
    watch = watch_over(folder / "results", folder / "resources")
    study.finish()
    return study, watch


def watch_over(*folders):
    return Watch(*folders) if sys.platform == "linux" else None


@pytest.fixture(scope="session")
def undisturbed(watched):
    return watched[0]


@pytest.fixture
def study(undisturbed, tmp_path):
    """The finished study in a folder where it can be disturbed."""
    study = undisturbed.copy(tmp_path)
    yield study
    study.end()


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The smoke study undisturbed, and how long it takes."""
    study = Study(checkout(tmp_path_factory.mktemp("smoke")), "smoke")
    started = time.monotonic()
    study.finish()
    study.seconds = time.monotonic() - started
    return study


@pytest.fixture
def empty(undisturbed, tmp_path):
    """The study before its first run, with its patients."""
    shutil.copytree(undisturbed.folder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("results"))
    study = Study(tmp_path)
    yield study
    study.end()


# Every output appears whole under its name, or not at all


BY_SNAKEMAKE = ("logs", "benchmarks")  # logs grow, and Snakemake writes how long jobs took


def each_file_was_moved_to_its_name(study, watch, there):
    """Whether the kernel tells that each file was written under another name and then moved; "checked" is empty."""
    if watch is None:
        pytest.skip("only Linux tells what happens to files")
    assert there
    written = {path for path in watch.written if not path.name.startswith(".") and not by_snakemake(study, path)}
    assert {path for path in written if path.name != "checked"} == set()
    there = {path for path in there if path.name != "checked"}
    appeared = {path for path in watch.appeared if path.is_relative_to(study.results)}
    assert there == {path for path in appeared if path.name != ".dates.json"}  # which each run writes when it ends


def by_snakemake(study, path):
    return path.relative_to(study.folder).parts[2:3] in [(folder,) for folder in BY_SNAKEMAKE]


def made(study):
    """The files of the results, but those that Snakemake writes."""
    found = (path for path in study.results.rglob("*") if path.is_file() and path.name != ".dates.json")
    return {path for path in found if not by_snakemake(study, path)}


def test_no_result_is_ever_written_under_its_own_name(watched):
    """From the patients to the tables. Lost: nothing, at any moment."""
    study, watch = watched
    each_file_was_moved_to_its_name(study, watch, made(study))


def test_no_figure_and_no_page_is_ever_written_under_its_own_name(study):
    """All that is made of the tables. Lost: nothing, at any moment."""
    before, watch = made(study), watch_over(study.results)
    code, output = study.run("all")
    assert code == 0, output
    found = made(study) - before
    assert {".png", ".svg", ".html", ".md", ".csv"} <= {path.suffix for path in found}
    each_file_was_moved_to_its_name(study, watch, found)


def test_the_disturbed_study_is_compared_by_what_it_comes_to(undisturbed):
    found = undisturbed.outcome()
    for path in ("tables/comparison.csv", "runs/first/fold0-seed0/weights.pt", "cases/0/image.npy"):
        assert found[path]
    with pytest.raises(AssertionError):
        same(found, found | {"tables/comparison.csv": b""})


# Processes are killed at any moment: the next run goes on from there


@pytest.fixture
def new_smoke(tmp_path):
    """The smoke study before its first run."""
    study = Study(checkout(tmp_path), "smoke")
    yield study
    study.end()


def test_twenty_kills_at_random_moments_of_the_smoke_study(smoke, new_smoke):
    """SIGKILL to snakemake, to a job or to both, at 20 moments, each run going on from the last. Lost: nothing.

    A study that comes to its end before the 20th kill is compared, removed and begun again.
    """
    dice, study = random.Random(0), new_smoke
    deaths, finished = 0, 0
    while deaths < KILLS:
        victim = VICTIMS[deaths % len(VICTIMS)]
        process = study.start()
        try:
            process.wait(dice.uniform(0.03, 0.25) * smoke.seconds)  # long enough for the longest job
        except subprocess.TimeoutExpired:
            deaths += strike(victim, study, process)
        unlock_if_told(study)
        if process.returncode == 0:
            same(study.outcome(), smoke.outcome())
            finished += 1
            shutil.rmtree(study.results)
    study.finish()
    same(study.outcome(), smoke.outcome())
    assert not study.scripts()
    print(f"{deaths} kills, {len(study.processes)} runs, {finished} studies finished on the way")


def strike(victim, study, process):
    """Kill the victim as soon as there is one, and wait for the rest to end; whether it was still there."""
    if victim == "snakemake":
        process.kill()
    elif victim == "both":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        scripts = until(lambda: study.scripts() or process.poll() is not None)
        if scripts is True:
            return False
        try:
            scripts[0].kill()
        except psutil.NoSuchProcess:
            process.wait()
            return False
    process.wait(timeout=6000)
    return process.returncode != 0


def unlock_if_told(study):
    """As the user does where a run was killed before it could sign its lock."""
    if "--unlock" in study.log.read_text():
        code, output = study.run("--unlock")
        assert code == 0, output


def test_jobs_end_with_the_snakemake_that_started_them(study, undisturbed):
    """SIGKILL to snakemake alone while a training runs. Lost: nothing; the training leaves a checkpoint and ends."""
    in_training(study).kill()
    study.processes[-1].wait()
    until(lambda: not study.scripts(), seconds=30)
    assert "its lock is removed" in study.finish()
    assert "resumed at step" in (study.results / "logs/train/first-fold0-seed0.log").read_text()
    same(study.outcome(), undisturbed.outcome())


def in_training(study, model="first"):
    """Start the study once more, and give its process when a training has written a checkpoint."""
    study.remove(*(f"runs/{model}/*/{made}" for made in ("weights.pt", "predictions/*", "metrics/*")))
    process = study.start(ORGANBENCH_CHECKPOINT_SECONDS="0")
    study.wait_for(lambda: list(study.results.glob(f"runs/{model}/*/checkpoint.pt")))
    return process


def test_sigterm_as_schedulers_send_it(study, undisturbed):
    """SIGTERM to snakemake and all its jobs while a training runs, as scancel does. Lost: nothing."""
    process = in_training(study)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=600) != 0
    assert not study.scripts()
    assert "stopped: told to end after step" in study.log.read_text()
    assert not temporary_files(study)
    study.finish()
    same(study.outcome(), undisturbed.outcome())


def temporary_files(study):
    return [path for path in study.results.rglob(".*") if path.is_file() and path.name != ".dates.json"]


def test_sigterm_to_one_job(study, undisturbed):
    """SIGTERM to a job that is no training, while it writes. Lost: nothing; a line says so, and no half file stays."""
    study.remove("runs/first/*/metrics/*")
    code, output = study.run(**study.disturb("evaluate", SIGTERM_IN_A_WRITE))
    assert code == 1
    assert "stopped: told to end; the next run makes what is missing" in output
    assert "Traceback" not in output
    assert not temporary_files(study)
    study.finish()
    same(study.outcome(), undisturbed.outcome())


SIGTERM_IN_A_WRITE = """
    import os, signal

    replace = os.replace

    def told_to_end(source, target):
        if "results/" in str(target):
            os.kill(os.getpid(), signal.SIGTERM)
        replace(source, target)

    os.replace = told_to_end
    """


def test_the_system_kills_a_job_for_its_memory(study, undisturbed):
    """A job that wants more memory than there is, SIGKILL by the kernel. Lost: nothing."""
    study.remove("runs/first/*/metrics/*")
    environment = study.disturb("evaluate", "hoard = [bytes(range(256)) * 4000 for _ in range(4000)]")  # 4 GB
    with memory_limit(1 << 30) as group:
        process = study.start(**environment)
        (group / "cgroup.procs").write_text(str(process.pid))
        assert process.wait(timeout=6000) == 1
        output = study.log.read_text()
    assert "Error in rule evaluate" in output
    assert "SIGKILL" in output
    study.finish()
    same(study.outcome(), undisturbed.outcome())


# Disks are full, read-only or late: the job says so in one line, and the next run goes on from there


def test_the_disk_is_full_in_convert_in_a_checkpoint_and_in_a_prediction(undisturbed, empty):
    """The disk is full three times, and each time there is more room for the next run. Lost: nothing."""
    cases, run = empty.results / "cases", empty.results / RUNS[0]
    with (
        mounted(cases, "size=12k") as resize_cases,
        mounted(run, "size=12k") as resize_run,
        mounted(run / "predictions", "size=4k") as resize_predictions,
    ):
        code, output = empty.run("results/faults/tables/cases.csv")
        assert code == 1
        full_disk_is_told(output, "convert", "results/faults/cases/")
        assert not [path for path in cases.rglob("*") if path.is_file()]
        resize_cases("size=100m")

        code, output = empty.run(f"results/faults/{RUNS[0]}/weights.pt", ORGANBENCH_CHECKPOINT_SECONDS="0")
        assert code == 1
        full_disk_is_told(output, "train", f"results/faults/{RUNS[0]}/checkpoint.pt")
        assert [path.name for path in run.iterdir() if path.is_file()] == ["checked"]
        resize_run("size=100m")

        others = run / "predictions" / "others"
        others.write_bytes(bytes(4096))
        code, output = empty.run(f"results/faults/{RUNS[0]}/metrics/{held_out(undisturbed)}.csv")
        assert code == 1
        full_disk_is_told(output, "predict", f"results/faults/{RUNS[0]}/predictions/")
        assert list(others.parent.iterdir()) == [others]
        resize_predictions("size=100m")

        empty.finish()
        same(empty.outcome(), undisturbed.outcome())


def full_disk_is_told(output, rule, file):
    """Whether each job that failed names its file and what to do in one line."""
    assert f"Error in rule {rule}" in output
    lines = [line for line in output.splitlines() if line.startswith(f"error: {file}")]
    assert lines
    assert all("cannot be written" in line and "run again" in line for line in lines)
    assert "Traceback" not in output


def test_results_are_read_only(study, undisturbed):
    """The disk of the results turns read-only before the tables are made. Lost: nothing."""
    study.remove()
    aside = study.results.rename(study.folder / "aside")
    with mounted(study.results, "size=100m") as change:
        shutil.copytree(aside, study.results, dirs_exist_ok=True)
        change("ro")
        code, output = study.run()
        assert code == 1
        assert "Write-protected output files for rule tables" in output  # Snakemake looks before it begins
        change("rw")
        study.finish()
        same(study.outcome(), undisturbed.outcome())


def test_files_that_appear_late(study, undisturbed):
    """A network drive shows a job's output seconds after the job's end. Lost: nothing.

    Within --latency-wait Snakemake waits for it. After that the job counts as failed, and the next run does it again.
    """
    study.remove("runs/first/*/metrics/*")
    late = study.disturb("evaluate", LATE)
    code, output = study.run("--latency-wait", "0", *study.tables, **late)
    assert code == 1
    assert "MissingOutputException" in output
    until(lambda: list(study.results.glob("runs/first/*/metrics/*")))
    study.remove("runs/first/*/metrics/*")
    code, output = study.run("--latency-wait", "60", *study.tables, **late)
    assert code == 0, output
    same(study.outcome(), undisturbed.outcome())


LATE = """
    import os, subprocess

    replace = os.replace

    def late(source, target):
        hidden = f"{source}-late"
        replace(source, hidden)
        subprocess.Popen(["sh", "-c", 'sleep 3; mv "$0" "$1"', hidden, str(target)], start_new_session=True)

    os.replace = late
    """


# Files are damaged, swapped or replaced between runs: no table is made of them, and one line says what to do


def truncated(path, other):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path, other):
    """As a disk does that has lost a block."""
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    path.write_bytes(content)


def swapped(path, other):
    path.rename(path.with_suffix(".aside"))
    other.rename(path)
    path.with_suffix(".aside").rename(other)


damaged = pytest.mark.parametrize("damage", [truncated, zeroed, swapped])


def held_out(study):
    """The case that is tested on."""
    return next((study.results / RUNS[0] / "metrics").iterdir()).stem


def refused(study, file):
    """Run the study; whether one line refuses the file and names a remedy."""
    code, output = study.run()
    assert code == 1
    (line,) = {line for line in output.splitlines() if line.startswith("error: ")}
    assert line.startswith(f"error: results/faults/{file}: ")
    assert "delete" in line
    assert "again" in line


@damaged
def test_an_array_is_damaged(study, undisturbed, damage):
    """A finished study keeps its tables; where they are made again the array is refused. Lost: nothing."""
    case = held_out(study)
    image = study.results / f"cases/{case}/image.npy"
    other = next(path for path in image.parents[1].glob("*/image.npy") if path != image)
    damage(image, other)
    for path in (image, other):
        os.utime(path)
    assert "Nothing to be done" in study.finish()
    study.remove("runs/first/*/predictions/*", "runs/first/*/metrics/*")
    refused(study, f"cases/{case}/image.npy")
    for broken in (image.parent, other.parent):
        shutil.rmtree(broken)  # as the line says
    code, output = study.run(*(f"results/faults/cases/{name}/case.json" for name in (case, other.parent.name)))
    assert code == 0, output
    assert "rule train:" not in study.finish()  # because the arrays came out the same
    same(study.outcome(), undisturbed.outcome())


@damaged
def test_weights_are_damaged(study, undisturbed, damage):
    """Those of two networks fit each other, but are refused. Lost: a training, if there is no copy of its weights."""
    weights, other = (study.results / run / "weights.pt" for run in RUNS)
    kept = shutil.copy2(other, study.folder / "weights.pt")
    damage(weights, other)
    study.remove("runs/first/*/predictions/*", "runs/first/*/metrics/*")
    refused(study, f"{RUNS[0]}/weights.pt")
    weights.unlink()  # as the line says
    shutil.copy2(kept, other)
    output = study.finish()
    assert output.count("rule train:") == 1
    same(study.outcome(), undisturbed.outcome())


@pytest.fixture(scope="session")
def checkpoint_of_another(undisturbed, tmp_path_factory):
    """A checkpoint of a network of the same shape."""
    return interrupted(undisturbed.copy(tmp_path_factory.mktemp("another")), "second")


@damaged
def test_a_checkpoint_is_damaged(study, undisturbed, checkpoint_of_another, damage):
    """It is set aside and training starts anew. Lost: the steps until then, but no result."""
    other = Path(shutil.copy(checkpoint_of_another, study.folder))
    damage(interrupted(study, "first"), other)
    study.finish()
    assert "set aside" in (study.results / "logs/train/first-fold0-seed0.log").read_text()
    same(study.outcome(), undisturbed.outcome())


def interrupted(study, model):
    """Kill a training, and give its checkpoint."""
    os.killpg(in_training(study, model).pid, signal.SIGKILL)
    study.processes[-1].wait()
    return study.results / f"runs/{model}/fold0-seed0/checkpoint.pt"


def test_a_metrics_file_is_cut_short(study, undisturbed):
    """Its rows would be missing from the tables. Lost: nothing."""
    file = study.results / f"{RUNS[0]}/metrics/{held_out(study)}.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    refused(study, f"{RUNS[0]}/metrics/{held_out(study)}.csv")
    file.unlink()
    study.finish()
    same(study.outcome(), undisturbed.outcome())


def test_an_input_is_replaced_while_it_is_read(study, undisturbed):
    """Its case would look newer than the input, and so up to date. Lost: nothing."""
    case = held_out(study)
    (study.results / f"cases/{case}/case.json").unlink()
    volume = study.folder / f"resources/faults/volume-{case}.nii.gz"
    good = volume.read_bytes()
    other = next(path for path in volume.parent.glob("volume-*") if path != volume)
    replaced = study.disturb("convert", REPLACED.format(path=str(volume), other=str(other)))
    code, output = study.run(f"results/faults/cases/{case}/case.json", **replaced)
    assert code == 1
    assert f"error: resources/faults/volume-{case}.nii.gz: was changed while it was being read; run again" in output
    volume.write_bytes(good)
    code, output = study.run(f"results/faults/cases/{case}/case.json")
    assert code == 0, output
    assert "Nothing to be done" in study.finish()
    same(study.outcome(), undisturbed.outcome())


REPLACED = """
    import os, shutil

    replace = os.replace

    def while_writing(source, target):
        shutil.copyfile({other!r}, {path!r})
        replace(source, target)

    os.replace = while_writing
    """


def test_an_input_that_was_replaced_is_noticed(study, undisturbed):
    """After its case was made, while the study went on. Lost: nothing; what came of it is made again."""
    case = held_out(study)
    volume = study.folder / f"resources/faults/volume-{case}.nii.gz"
    good = volume.read_bytes()
    other = next(path for path in volume.parent.glob("volume-*") if path != volume)
    shutil.copyfile(other, volume)
    code, output = study.run("-n", "results/faults/tables/comparison.csv")
    assert code == 0
    for rule in ("convert", "predict", "evaluate", "tables"):
        assert f"rule {rule}:" in output
    volume.write_bytes(good)
    assert "Nothing to be done" in study.finish()


def test_a_training_volume_is_broken_and_mended_before_anything_is_trained(study, undisturbed):
    """A finished study's data have changed; its cases are checked first. Lost: nothing, no weights either."""
    case = next(path.name for path in sorted(study.results.glob("cases/*")) if path.name != held_out(study))
    volume = study.folder / f"resources/faults/volume-{case}.nii.gz"
    good = volume.read_bytes()
    weights = {path: path.stat().st_mtime_ns for path in study.results.glob("runs/*/*/weights.pt")}
    truncated(volume, None)
    code, output = study.run("--until", "check_cases")
    assert code == 1
    assert f"error: resources/faults/volume-{case}.nii.gz: damaged or cut short" in output
    volume.write_bytes(good)
    code, output = study.run("--until", "check_cases")
    assert code == 0, output
    assert "rule convert:" in output
    assert "Nothing to be done" in study.finish()  # the same case again
    assert weights == {path: path.stat().st_mtime_ns for path in study.results.glob("runs/*/*/weights.pt")}
    same(study.outcome(), undisturbed.outcome())


# Two runs in one folder, and what a killed run leaves locked


def test_a_second_snakemake_says_so_and_leaves_the_first_alone(study, undisturbed):
    """While one run works, another is started in the same folder. Lost: nothing."""
    study.remove("runs/first/*/predictions/*", "runs/first/*/metrics/*")
    first = study.start()
    study.wait_for(lambda: list((study.folder / LOCKS).glob("owner-*")))
    before = {path: path.read_bytes() for path in (study.folder / LOCKS).iterdir()}
    code, output = study.run()
    assert code == 1
    assert f"Process {first.pid} runs this workflow in this folder; wait for it, or end it." in output
    assert "LockException" in output
    assert {path: path.read_bytes() for path in (study.folder / LOCKS).iterdir()} == before
    assert first.wait(timeout=6000) == 0
    same(study.outcome(), undisturbed.outcome())


def test_a_lock_that_a_dead_run_left_is_removed(study, undisturbed):
    """As after SIGKILL or a power cut; another machine's stays until the user removes it. Lost: nothing."""
    study.remove()
    process = study.start()
    (note,) = study.wait_for(lambda: list((study.folder / LOCKS).glob("owner-*")))
    process.kill()
    process.wait()
    ours = note.read_text()
    note.write_text(json.dumps(json.loads(ours) | {"host": "another"}))
    code, output = study.run()
    assert code == 1
    assert "LockException" in output
    assert "--unlock" in output
    note.write_text(ours)
    assert "its lock is removed, and this run goes on from there" in study.finish()
    same(study.outcome(), undisturbed.outcome())
