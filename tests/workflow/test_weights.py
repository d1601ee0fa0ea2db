"""Finished trainings are kept: what users do to a study, and what is then made again."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import SimpleITK as sitk
from smoke import CLONED, copy_of, jobs_to_run, snakemake, stub_of_conda

RESULTS = Path("results/smoke")
LIBRARY = Path("workflow/scripts/organbench")
REPLACE = "replace_trainings=true"
TOLD = {"methods": 1, "table_pages": 1, "all": 1}
"""What is made again where nothing but the configuration that methods.md tells is another."""


@pytest.fixture
def study(smoke_study, tmp_path):
    """A finished study of its own."""
    return copy_of(smoke_study, tmp_path / "study")


@pytest.fixture
def conda(tmp_path, monkeypatch):
    """A `conda` that answers what Snakemake asks before it lists jobs."""
    monkeypatch.setenv("PATH", f"{stub_of_conda(tmp_path)}:{os.environ['PATH']}")


def clone(folder, target):
    """A new clone of the code that a study was made with."""
    target.mkdir()
    for name in CLONED:
        copy_of(folder / name, target, "-r")
    return target


def age(folder):
    """Make all files of a folder old."""
    subprocess.run(["find", folder, "-exec", "touch", "-d", "2020-01-01", "{}", "+"], check=True)


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def asked(folder, *arguments):
    """Which trainings a run says it would replace, and why; a dry run says it just so."""
    code, output = snakemake(folder, "-n", *arguments)
    assert code == 1, output[-3000:]
    assert "--config replace_trainings=true" in output
    return dict(re.findall(r"^- results/smoke/runs/(\S+): (.+)$", output, flags=re.M))


def case_of(folder, role):
    """The first case of a role."""
    rows = (folder / RESULTS / "split.csv").read_text().splitlines()
    return next(row.split(",")[0] for row in rows if row.endswith(role))


def brighten(folder, case):
    """Change a case's volume."""
    path = folder / f"resources/smoke/volume-{case}.nii.gz"
    sitk.WriteImage(sitk.ReadImage(path) + 1, path)
    return path


# --- nothing


@pytest.mark.parametrize("options", ["-a", "-r"])
@pytest.mark.parametrize("parts", [("results", "resources", ".snakemake"), ("results", "resources"), ("results",)])
@pytest.mark.parametrize("old", [False, True])
def test_a_study_is_copied_into_another_clone(smoke_study, tmp_path, options, parts, old):
    other = clone(smoke_study, tmp_path / "clone")
    if old:
        age(other)
    for part in parts:
        copy_of(smoke_study / part, other, options)
    assert jobs_to_run(other) == {}


def test_the_whole_folder_is_copied_without_dates(smoke_study, tmp_path):
    assert jobs_to_run(copy_of(smoke_study, tmp_path / "copy", "-r")) == {}


def test_the_code_is_dated_anew_as_git_does(study):
    subprocess.run(["find", "workflow", "Snakefile", "envs", "-exec", "touch", "{}", "+"], cwd=study, check=True)
    assert jobs_to_run(study) == {}


def test_another_checkout_is_used_from_the_studys_folder(study, tmp_path):
    other = clone(study, tmp_path / "other")
    for name in CLONED[:2] + CLONED[3:]:  # the study's own file stays
        path = study / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert (
        jobs_to_run(study, "--snakefile", str(other / "Snakefile"), "--profile", str(other / "profiles/default")) == {}
    )


def test_comments_docstrings_and_format_are_changed(study):
    for file in (study / "workflow/scripts").rglob("*.py"):
        text = file.read_text()
        if text.startswith('"""'):
            text = f'"""Said otherwise."""\n\n\n# a comment\n{text.split(chr(34) * 3, 2)[2]}'
        file.write_text(text)
    assert jobs_to_run(study) == {}


def test_the_library_gets_another_module_and_a_line_in_its_init(study):
    (study / LIBRARY / "learning" / "another.py").write_text("X = 1\n")
    for folder in (study / LIBRARY, study / LIBRARY / "data"):
        with (folder / "__init__.py").open("a") as file:
            file.write("\nX = 1\n")
    assert jobs_to_run(study) == {}


def test_data_are_dated_anew(study):
    subprocess.run(["find", "resources", "-exec", "touch", "{}", "+"], cwd=study, check=True)
    assert jobs_to_run(study) == {}


@pytest.mark.usefixtures("conda")
def test_it_is_finished_with_pip_and_looked_at_with_conda(study):
    assert jobs_to_run(study, "--sdm", "conda") == {}
    replace(study / "envs/imaging.yaml", "numpy==", "numpy==9.")
    assert jobs_to_run(study, "--sdm", "conda") == {}


@pytest.mark.parametrize("triggers", ["mtime", "mtime params", "mtime params input software-env code"])
def test_snakemake_is_told_what_to_compare(study, triggers):
    assert jobs_to_run(study, "--rerun-triggers", *triggers.split()) == {}


def test_touch_leaves_weights_as_they_are(study):
    weights = {path: path.read_bytes() for path in study.glob("results/smoke/runs/*/*/weights.pt")}
    code, output = snakemake(study, "--touch")
    assert code == 0, output[-3000:]
    assert all(path.read_bytes() == content for path, content in weights.items())
    assert jobs_to_run(study) == {}


# --- tables and figures, and whatever else trains nothing


@pytest.mark.parametrize("root", ["./resources/../resources/smoke/", "data/moved"])
def test_the_data_set_is_called_otherwise_or_moved(study, root):
    if root == "data/moved":
        (study / "data").mkdir()
        (study / "resources/smoke").rename(study / root)
    assert jobs_to_run(study, "--config", f"dataset={{root: {root}}}") == TOLD


def test_organs_get_other_names(study):
    replace(study / "config/smoke.yaml", "liver: 1", "hepar: 1")
    jobs = jobs_to_run(study)
    assert {"evaluate", "tables", "figure_metrics"} <= jobs.keys()
    assert not {"convert", "train", "predict"} & jobs.keys()
    code, output = snakemake(study, "results/smoke/tables/cases.csv", "results/smoke/tables/per_case.csv")
    assert code == 0, output[-3000:]
    assert "hepar_ml" in (study / RESULTS / "tables/cases.csv").read_text()
    assert "liver" not in (study / RESULTS / "tables/per_case.csv").read_text()


def test_a_label_that_no_case_has_is_ignored(study):
    replace(study / "config/smoke.yaml", "[2, 4, 6]", "[2, 4, 6, 77]")
    assert jobs_to_run(study) == TOLD


def test_a_label_that_cases_have_is_not_ignored_any_more(study):
    replace(study / "config/smoke.yaml", "ignore_labels: [2, 4, 6]", "ignore_labels: [4, 6]")
    assert set(asked(study).values()) == {"case 0, 1 is prepared anew: dataset.ignore_labels lacks labels that it has"}


def test_validation_is_more_frequent_where_it_chooses_nothing(study):
    replace(study / "config/smoke.yaml", "validate_every: 10", "validate_every: 5")
    assert jobs_to_run(study) == {"check_networks": 1, **TOLD}


def test_a_model_is_renamed_together_with_its_folder(study):
    replace(study / "config/smoke.yaml", "unet: {network: unet", "net: {network: unet")
    replace(study / "config/smoke.yaml", "[unet, ghost", "[net, ghost")
    (study / RESULTS / "runs/unet").rename(study / RESULTS / "runs/net")
    jobs = jobs_to_run(study)
    assert {"tables", "figure_metrics"} <= jobs.keys()
    assert not {"convert", "train", "predict", "evaluate"} & jobs.keys()
    code, output = snakemake(study, "results/smoke/tables/per_case.csv")
    assert code == 0, output[-3000:]
    models = {row.split(",")[0] for row in (study / RESULTS / "tables/per_case.csv").read_text().splitlines()[1:]}
    assert models == {"net", "ghostunet3d", "both"}


def test_a_test_case_is_changed_also_with_an_old_date(study):
    path = brighten(study, case_of(study, "test"))
    os.utime(path, (10**9, 10**9))
    jobs = jobs_to_run(study)
    assert (jobs["convert"], jobs["predict"], jobs["evaluate"]) == (1, 3, 3)
    assert "train" not in jobs


# --- trainings


RUNS = ("unet/fold0-seed0", "ghostunet3d/fold0-seed0")


def test_settings_code_and_cases_that_shape_weights_are_told_first(study):
    replace(study / "config/smoke.yaml", "steps: 30", "steps: 31")
    assert asked(study) == {RUNS[0]: "training.steps was 30 and is 31"}
    replace(study / "config/smoke.yaml", "learning_rate: 1.0e-2", "learning_rate: 1.1e-2")
    assert asked(study) == {
        RUNS[0]: "training.steps was 30 and is 31; training.learning_rate was 0.01 and is 0.011",
        RUNS[1]: "training.learning_rate was 0.01 and is 0.011",
    }
    replace(study / "config/smoke.yaml", "steps: 31", "steps: 30")
    replace(study / "config/smoke.yaml", "learning_rate: 1.1e-2", "learning_rate: 1.0e-2")
    with (study / LIBRARY / "networks/unet.py").open("a") as file:
        file.write("CHANGED = 1\n")
    assert asked(study) == {RUNS[0]: "the code of networks/unet.py is another"}
    assert jobs_to_run(study, "--config", REPLACE)["train"] == 1
    assert asked(study), "a dry run changes nothing"


def test_a_training_case_is_changed(study):
    case = case_of(study, "train")
    brighten(study, case)
    assert asked(study) == dict.fromkeys(RUNS, f"case {case} is prepared anew: its files are others than before")
    code, output = snakemake(study, "--until", "check_cases")  # looks at the new file, and trains nothing
    assert code == 1, output[-3000:]
    assert f"{RUNS[0]}: the arrays of training case {case} are others" in output
    assert asked(study) == dict.fromkeys(RUNS, f"the arrays of training case {case} are others")
    assert jobs_to_run(study, "--config", REPLACE)["train"] == 2


@pytest.mark.usefixtures("conda")
def test_another_torch_is_told_and_may_be_refused(study):
    replace(study / "envs/torch.yaml", "torch==", "torch==9.")
    reasons = asked(study, "--sdm", "conda")
    assert reasons.keys() == set(RUNS)
    assert all(reason.startswith("the version of PyTorch was 2.") for reason in reasons.values())
    assert jobs_to_run(study, "--sdm", "conda", "--config", "replace_trainings=false") == {}
    assert jobs_to_run(study, "--sdm", "conda", "--config", REPLACE)["train"] == 2


def test_what_is_replaced_is_set_aside_and_what_is_not_stays(study):
    run, other = (study / RESULTS / "runs" / name for name in RUNS)
    before = {folder: (folder / "weights.pt").read_bytes() for folder in (run, other)}
    replace(study / "config/smoke.yaml", "steps: 30", "steps: 4")
    weights = "results/smoke/runs/unet/fold0-seed0/weights.pt"
    code, output = snakemake(study, weights)
    assert code == 1
    assert (run / "weights.pt").read_bytes() == before[run]
    code, output = snakemake(study, weights, "--config", REPLACE)
    assert code == 0, output[-3000:]
    assert (run / "weights.pt").read_bytes() != before[run]
    (aside,) = run.glob("set-aside/*")
    assert {path.name for path in aside.iterdir()} == {"weights.pt", "history.csv", "cost.json"}
    assert (aside / "weights.pt").read_bytes() == before[run]
    assert (other / "weights.pt").read_bytes() == before[other]
    jobs = jobs_to_run(study)
    assert jobs["predict"] == 4  # of unet, and of the ensemble that it is in
    assert "train" not in jobs


def test_a_training_is_forced_although_it_is_there(study):
    weights = {name: (study / RESULTS / "runs" / name / "weights.pt").read_bytes() for name in RUNS}
    code, output = snakemake(study, "--forcerun", "train", "--until", "train")
    assert code == 0, output[-3000:]
    assert "2 trainings have ended and are what the study asks for, so they are not done again" in output
    for name, content in weights.items():
        assert (study / RESULTS / "runs" / name / "weights.pt").read_bytes() == content


def test_weights_of_which_nobody_knows_what_shaped_them_are_kept_only_when_told(study):
    cost = study / RESULTS / "runs" / RUNS[0] / "cost.json"
    cost.write_text(re.sub(r'"sha256": "\w', '"sha256": "x', cost.read_text()))
    assert asked(study) == {RUNS[0]: "it does not say what shaped it"}
    assert jobs_to_run(study, "--config", "replace_trainings=false").get("train", 0) == 0


def test_an_answer_that_is_neither_yes_nor_no_is_refused(study):
    code, output = snakemake(study, "-n", "--config", "replace_trainings=maybe")
    assert code == 1
    assert "config, replace_trainings: maybe is neither true nor false" in output
