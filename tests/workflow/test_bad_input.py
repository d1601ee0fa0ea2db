"""Whatever is wrong with the input, a user reads one line: where, what, and what to do, before anything is trained."""

import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

SHAPE = (8, 10, 12)


@pytest.fixture
def snakemake(tmp_path):
    """Run the workflow in a folder of its own: exit status, and all that the terminal shows."""

    def run(*arguments, study=None):
        config = []
        if study is not None:
            (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
            config = ["--configfile", "study.yaml"]
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *config, "--cores", "1"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        return done.returncode, done.stdout

    return run


def small_study(**changes):
    """A study of the folder `data` that would be trained in a moment, if it were right."""
    dataset = {"source": "nifti", "root": "data", "organs": {"liver": 1, "brain": 2}}
    study = {
        "study": "small",
        "dataset": dataset | changes.pop("dataset", {}),
        "models": {"tiny": {"network": "unet", "features": [2, 4]}},
        "training": {"steps": 1, "batch_size": 1, "patch": [8, 8]},
        "preprocessing": {"spacing": [None, None, None]},
    }
    return study | changes


def good(case):
    """A volume and its labels (z y x)."""
    rng = np.random.default_rng(case)
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 2:5, 3:9], labels[2:6, 6:9, 3:9] = 1, 2
    return rng.normal(0, 100, SHAPE).astype(np.float32) + 50 * labels, labels


@pytest.fixture
def write_case(write_image):
    """Write a case into the folder `data`; `volume` and `labels` change an array or name a grid of its own."""

    def write(name, volume=None, labels=None, label_grid=None, **image_options):
        arrays = good(0)
        write_image(f"data/volume-{name}.nii.gz", arrays[0] if volume is None else volume, **image_options)
        write_image(f"data/labels-{name}.nii.gz", arrays[1] if labels is None else labels, **(label_grid or {}))

    return write


def nothing_was_trained(folder, output):
    return not list(folder.glob("results/*/runs")) and "rule train:" not in output


# --- what is seen when a case is checked


def changed(array, value, dtype=None):
    """An array with one voxel changed."""
    result = np.array(array, dtype=dtype)
    result[5, 7, 9] = value
    return result


VOLUME, LABELS = good(0)
TURN = (np.cos(0.1), -np.sin(0.1), 0, np.sin(0.1), np.cos(0.1), 0, 0, 0, 1)
BAD_CASES = {
    "no-number": ({"volume": changed(VOLUME, np.nan)}, "volume", "NaN or infinite", "replace them"),
    "infinite": ({"volume": changed(VOLUME, np.inf)}, "volume", "NaN or infinite", "replace them"),
    "4d": ({"volume": np.stack([VOLUME, VOLUME])}, "volume", "4D", "extract one volume"),
    "2d": ({"volume": VOLUME[0]}, "volume", "2D", "extract one volume"),
    "rgb": ({"volume": np.zeros((*SHAPE, 3), np.uint8), "vector": True}, "volume", "3 values", "extract one volume"),
    "label-4d": ({"labels": np.stack([LABELS, LABELS])}, "labels", "4D", "extract one volume"),
    "size": ({"labels": LABELS[:-1]}, "labels", "size", "resample the labels"),
    "spacing": ({"label_grid": {"spacing": (1, 1, 1.5)}}, "labels", "spacing", "resample the labels"),
    "origin": ({"label_grid": {"origin": (0, 0, 5)}}, "labels", "origin", "resample the labels"),
    "direction": ({"label_grid": {"direction": TURN}}, "labels", "direction", "resample the labels"),
    "unknown": ({"labels": changed(LABELS, 9)}, "labels", "label value 9", "list it in dataset.ignore_labels"),
    "fraction": ({"labels": changed(LABELS, 0.5, np.float32)}, "labels", "between whole numbers", "export the labels"),
}
BROKEN_FILES = {"cut": "copy the file again", "late-cut": "copy the file again", "corrupted": "copy the file again"}


def break_file(path, how):
    content = bytearray(path.read_bytes())
    if how == "corrupted":
        content[len(content) // 2] ^= 0x55
    path.write_bytes(content[: {"cut": len(content) // 2, "late-cut": -20}.get(how)])


def write_bad_cases(write_case, folder):
    """Write all bad cases; what the line of each says, by its file."""
    for case, (options, *_) in BAD_CASES.items():
        write_case(case, **options)
    for case in BROKEN_FILES:
        write_case(case)
        break_file(folder / f"data/volume-{case}.nii.gz", case)
    wanted = {f"data/{kind}-{case}.nii.gz": rest for case, (_, kind, *rest) in BAD_CASES.items()}
    return wanted | {f"data/volume-{case}.nii.gz": [remedy] for case, remedy in BROKEN_FILES.items()}


def check_lines(output, wanted):
    """See that the terminal shows a line for every bad file; return these lines, and those that come after."""
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    for file, words in wanted.items():
        (line,) = [line for line in lines if line.startswith(f"error: {file}: ")]
        assert all(word in line for word in words), line
    assert "Traceback" not in output
    return lines[: len(wanted)], lines[len(wanted) :]


def test_all_bad_cases_are_named_at_once_and_nothing_is_trained(snakemake, write_case, tmp_path):
    for case in ("good-1", "good-2", "good-3"):
        write_case(case)
    wanted = write_bad_cases(write_case, tmp_path)
    status, output = snakemake(study=small_study())
    assert status != 0
    assert nothing_was_trained(tmp_path, output)
    bad, (last,) = check_lines(output, wanted)
    assert last == (
        f"error: {len(bad)} of {len(bad) + 3} cases cannot be used; mend their files, "
        "or go on without them by dataset.on_bad_case: skip"
    )
    for line in bad:
        case = line.split(":")[1].partition("-")[2].removesuffix(".nii.gz")
        assert line in (tmp_path / f"results/small/logs/convert/{case}.log").read_text()
    write_case("no-number")
    status, output = snakemake("-n", study=small_study())
    assert status == 0
    assert len(jobs(output, "convert")) == len(wanted)  # the next run looks at the bad ones again, and at no other


def test_a_study_goes_on_without_bad_cases_and_says_so(snakemake, write_case, tmp_path):
    rows = {"1": "train", "no-number": "train", "2": "test", "unknown": "test", "unlabelled": "test", "lost": "test"}
    (tmp_path / "split.csv").write_text("case,fold,role\n" + "".join(f"{c},0,{role}\n" for c, role in rows.items()))
    for case in rows:
        write_case(case, **BAD_CASES.get(case, [{}])[0])
    (tmp_path / "data/labels-unlabelled.nii.gz").unlink()
    (tmp_path / "data/labels-lost.nii.gz").unlink()
    (tmp_path / "data/labels-lost.nii.gz").symlink_to("nowhere")
    study = small_study(split={"method": "file", "file": "split.csv"}, dataset={"on_bad_case": "skip"})
    results = tmp_path / "results/small"
    targets = [f"results/small/{file}" for file in ("tables/per_case.csv", "methods.md", "figures/overlays.png")]

    status, output = snakemake(*targets, study=study)
    assert status == 0, output
    left_out = pd.read_csv(results / "tables/bad_cases.csv").set_index("case")["reason"]
    assert set(left_out.index) == {"no-number", "unknown", "unlabelled", "lost"}
    for case, words in {
        "no-number": "NaN",
        "unknown": "value 9",
        "unlabelled": "has no labels",
        "lost": "link",
    }.items():
        assert words in left_out[case]
        assert left_out[case].startswith("data/")
    assert set(pd.read_csv(results / "tables/per_case.csv", dtype=str)["case"]) == {"2"}
    assert set(pd.read_csv(results / "tables/cases.csv", dtype=str)["case"]) == {"1", "2"}
    methods = (results / "methods.md").read_text()
    assert "Of 6 cases 4 could not be used and were left out: " in methods
    assert "into 1 for training and 1 for testing" in methods

    status, output = snakemake("-n", *targets, study=study)
    assert "Nothing to be done" in output
    write_case("unknown")
    status, output = snakemake(*targets, study=study)
    assert status == 0, output
    assert "rule train:" not in output  # a test case was mended
    assert set(pd.read_csv(results / "tables/per_case.csv", dtype=str)["case"]) == {"2", "unknown"}
    assert "unknown" not in set(pd.read_csv(results / "tables/bad_cases.csv")["case"])
    write_case("no-number")
    status, output = snakemake("-n", *targets, study=study)
    assert status == 1  # a training case was mended
    assert "case no-number is prepared anew: its files are others than before" in output
    status, output = snakemake("-n", *targets, "--config", "replace_trainings=true", study=study)
    assert len(jobs(output, "train")) == 1


def test_a_fold_that_loses_all_test_cases_is_refused(snakemake, write_case, tmp_path):
    for case in ("1", "2"):
        write_case(case)
    write_case("3", **BAD_CASES["no-number"][0])
    (tmp_path / "split.csv").write_text("case,fold,role\n1,0,train\n2,0,train\n3,0,test\n")
    study = small_study(split={"method": "file", "file": "split.csv"}, dataset={"on_bad_case": "skip"})
    status, output = snakemake("results/small/tables/per_case.csv", study=study)
    assert status != 0
    line = "error: fold 0 has no test case left, for 1 cannot be used, such as 3 (data/volume-3.nii.gz: has NaN"
    assert any(found.startswith(line) for found in output.splitlines()), output
    assert nothing_was_trained(tmp_path, output)


# --- the data set as a whole


def test_check_data_names_what_is_wrong_and_keeps_nothing(snakemake, write_case, tmp_path):
    for case in ("0", "1", "21", "22", "25"):
        write_case(case)
    wanted = write_bad_cases(write_case, tmp_path)
    status, output = snakemake("check_data", study=small_study(split={"method": "official"}))
    assert status != 0
    bad, (missing, last) = check_lines(output, wanted)
    assert missing == "error: 135 of CT-ORG's 140 cases are not there: 2-20, 23-24, 26-139"
    assert last == f"error: {len(bad) + 1} faults; 5 of {len(bad) + 5} cases can be used"
    assert not (tmp_path / "results/small/cases").exists()
    assert nothing_was_trained(tmp_path, output)


def test_check_data_says_what_a_sound_data_set_holds(snakemake, write_case, tmp_path):
    for case in ("1", "2", "3"):
        write_case(case, spacing=(1, 2, int(case)), label_grid={"spacing": (1, 2, int(case))})
    write_case("4", labels=np.zeros(SHAPE, np.uint8))
    status, output = snakemake("check_data", study=small_study())
    assert status == 0, output
    for line in (
        "4 cases can be used",
        "spacing: x 1 to 1, y 1 to 2, z 1 to 3 mm",
        "size: x 12 to 12, y 10 to 10, z 8 to 8 voxels",
        "liver: in 3 cases",
        "note: none of the organs is labelled in case 4",
        "the data set is complete and sound",
    ):
        assert line in output.splitlines(), output
    assert re.search(r"prepared cases will take \d\.\d GB of the [\d.]+ GB that are free", output)
    assert {path.name for path in (tmp_path / "results/small").iterdir()} == {"examined", "logs"}
    status, output = snakemake("check_data", "-n", study=small_study())
    assert len(jobs(output, "examine")) == 4  # all cases are read every time


def test_check_data_says_when_the_disk_is_too_small(snakemake, write_case, tmp_path, monkeypatch):
    for case in ("1", "2", "3"):
        write_case(case)
    small = "import shutil; shutil.disk_usage = lambda path: shutil._ntuple_diskusage(9, 9, 9)"
    (tmp_path / "sitecustomize.py").write_text(small)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status, output = snakemake("check_data", study=small_study())
    assert status != 0
    line = r"^error: results/small/examined: 0\.0 GB are needed, 0\.0 GB are free; make room$"
    assert re.search(line, output, re.M), output


def test_a_value_that_is_mapped_or_ignored_is_accepted(snakemake, write_case, tmp_path):
    values = changed(LABELS, 9)
    values[5, 7, 10] = 11
    for case in ("1", "2", "3"):
        write_case(case, labels=values)
    dataset = {"organs": {"liver": [1, 9], "brain": 2}, "ignore_labels": [11]}
    status, output = snakemake("results/small/cases/1/label.npy", study=small_study(dataset=dataset))
    assert status == 0, output
    label = np.load(tmp_path / "results/small/cases/1/label.npy")
    assert (label[5, 7, 9], label[5, 7, 10]) == (1, 0)


def test_an_organ_that_no_training_case_has(snakemake, write_case, tmp_path):
    for case in ("1", "2", "3"):
        write_case(case, labels=np.where(LABELS == 2, 2 * (case == "3"), LABELS).astype(np.uint8))
    (tmp_path / "split.csv").write_text("case,fold,role\n1,0,train\n2,0,test\n3,0,test\n")
    status, output = snakemake(study=small_study(split={"method": "file", "file": "split.csv"}))
    assert status != 0
    line = "error: config, dataset.organs: no training case has brain (only cases 3 have it); change the split"
    assert any(found.startswith(line) for found in output.splitlines()), output
    assert nothing_was_trained(tmp_path, output)


# --- what is seen while the workflow is parsed


BAD_STUDIES = {
    "long folder": ({"dataset": {"root": "x" * 300}}, f"{'x' * 80}: cannot be read (File name too long); check its"),
    "long split file": (
        {"split": {"method": "file", "file": "x" * 300}},
        f"{'x' * 80}: cannot be read (File name too long); check its",
    ),
    "results that are none": ({"study": "taken"}, "results/taken: is no folder, and results/taken has to be one; move"),
    "phantoms in a file": (
        {"dataset": {"source": "phantom", "root": "split.csv/x"}},
        "split.csv: is no folder, and split.csv/x has to be one; move it away",
    ),
    "unknown key": ({"trainin": {"steps": 1}}, "config, the top level: unknown key trainin; did you mean training?"),
    "wrong type": ({"training": {"steps": "many"}}, "config, training.steps: 'many' is not of type 'integer'; it is: "),
    "out of range": ({"split": {"test_fraction": 1.5}}, "config, split.test_fraction: 1.5 is greater than or equal"),
    "missing folder": ({"dataset": {"root": "absent"}}, "absent: the data set's folder is not there; put the data"),
    "empty folder": ({"dataset": {"root": "empty"}}, "empty: no file matches dataset.image 'volume-{case}.nii.gz'"),
    "label missing": (
        {"dataset": {"root": "unlabelled"}},
        "unlabelled/volume-7.nii.gz: has no labels; add unlabelled/labels-7.nii.gz",
    ),
    "volume missing": (
        {"dataset": {"root": "unseen"}},
        "unseen/labels-7.nii.gz: has no volume; add unseen/volume-7.nii.gz",
    ),
    "odd name": (
        {"dataset": {"root": "odd"}},
        "odd/volume-a b.nii.gz: the case's name 'a b' cannot name a folder; use",
    ),
    "escaping row": (
        {"split": {"method": "file", "file": "split.csv"}},
        "split.csv, line 3: there is no case '../7' in the data set; correct",
    ),
    "no groups": (
        {"dataset": {"group": "split.csv"}, "split": {"validation_fraction": 0}},
        "split.csv: the first line must name the columns case,group",
    ),
}


@pytest.mark.parametrize("what", BAD_STUDIES)
def test_a_bad_study_stops_before_it_starts(snakemake, tmp_path, what):
    files = {"unlabelled": ["volume-7"], "unseen": ["volume-8", "labels-8", "labels-7"], "odd": ["volume-a b"]}
    files |= {"empty": [], "data": ["volume-7", "volume-8"]}
    files["odd"].append("labels-a b")
    files["data"] += ["labels-7", "labels-8"]
    for folder, names in files.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.nii.gz").touch()
    (tmp_path / "split.csv").write_text("case,fold,role\n7,0,train\n../7,0,test\n")
    if what == "results that are none":
        (tmp_path / "results").mkdir()
        (tmp_path / "results/taken").touch()
    before = sorted((tmp_path / "results").glob("**/*"))
    changes, line = BAD_STUDIES[what]
    status, output = snakemake(study=small_study(**changes))
    assert status != 0
    assert any(found.startswith(line) for found in output.splitlines()), output
    assert sorted((tmp_path / "results").glob("**/*")) == before


def test_a_key_that_is_there_twice(snakemake, tmp_path):
    """Readers of YAML take the last."""
    text = yaml.safe_dump(small_study()) + "training: {steps: 100}\n"
    (tmp_path / "twice.yaml").write_text(text)
    status, output = snakemake("--configfile", "twice.yaml")
    assert status != 0
    line = f"twice.yaml, line {text.count(chr(10))}: training is there twice; keep one"
    assert line in output.splitlines(), output


def test_phantoms_are_not_written_over_a_users_files(snakemake, write_case, tmp_path):
    """A study that forgets its source is one of phantoms."""
    for case in ("1", "2", "3"):
        write_case(case)
    before = {path: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    study = small_study(dataset={"source": "phantom", "phantom": {"cases": 4, "size": [16, 16, 16]}})
    status, output = snakemake("data/volume-1.nii.gz", study=study)
    assert status != 0
    line = "data/volume-1.nii.gz: would be overwritten by a phantom; to read it, set dataset.source to nifti"
    assert any(found.startswith(line) for found in output.splitlines()), output
    assert before == {path: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    study["dataset"]["root"] = "made"
    status, output = snakemake("made/volume-1.nii.gz", study=study)
    assert status == 0, output
    study["dataset"]["phantom"]["seed"] = 9
    status, output = snakemake("-n", "made/volume-1.nii.gz", study=study)
    assert len(jobs(output, "phantom")) == 1, output  # phantoms make room for others


# --- how the configuration reaches the workflow


def jobs(output, rule):
    """What a dry run says of each job of a rule."""
    return [part.splitlines() for part in output.split(f"\nrule {rule}:\n")[1:]]


def test_a_study_file_replaces_the_default_models(snakemake):
    """Together with a setting on the command line, which overrides one key of the same mapping."""
    study = {"study": "other", "models": {"mine": {"network": "unet"}}, "dataset": {"organs": {"liver": [1, 2]}}}
    status, output = snakemake("-n", "--config", "dataset={root: elsewhere, phantom: {cases: 4}}", study=study)
    assert status == 0, output
    assert [line for line in output.splitlines() if "model=" in line and "model=mine" not in line] == []
    assert len(jobs(output, "train")) == 1
    assert len(jobs(output, "phantom")) == 4
    assert "output: elsewhere/volume-0.nii.gz, elsewhere/labels-0.nii.gz" in output


def test_the_command_line_overrides_single_keys(snakemake):
    """Numbers inside its mappings arrive as strings."""
    settings = [
        "dataset={root: elsewhere, phantom: {cases: 10}}",
        "split={test_fraction: 0.5}",
        "training={seeds: [0, 1]}",
    ]
    status, output = snakemake("-n", "--config", *settings)
    assert status == 0, output
    assert len(jobs(output, "train")) == 4  # two contenders, two seeds
    assert len(jobs(output, "predict")) == 20
    assert "resources/phantom" not in output
