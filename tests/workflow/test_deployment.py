"""The workflow as others use it: as a module, deployed from the catalog's way from a Git host, and in a container."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from smoke import stub_of_conda
from test_environments import MONAI, NNUNET, SEG, environment, requirements

TINY = {
    "study": "tiny",
    "dataset": {
        "source": "phantom",
        "root": "resources/tiny",
        "organs": {"liver": 1, "lungs": 3, "bone": 5},
        "ignore_labels": [2, 4, 6],
        "phantom": {"cases": 3, "seed": 1, "size": [32, 32, 24]},
    },
    "preprocessing": {"spacing": [12.0, 12.0, 12.0]},
    "split": {"method": "holdout", "test_fraction": 0.34, "validation_fraction": 0.0},
    "models": {"tiny": {"network": "unet", "features": [2, 4]}},
    "training": {"steps": 2, "batch_size": 2, "patch": [16, 16], "warmup": 1, "context": 0},
}
DEPLOYED = """\
configfile: "config/config.yaml"

module organbench:
    snakefile: {source}
    config: config{key}

use rule * from organbench{names}
"""  # as `snakedeploy deploy-workflow` writes it
OWN_RULE = """
rule count:
    default_target: True
    input: "results/tiny/tables/per_case.csv"
    output: "rows.txt"
    shell: "wc -l < {input} > {output}"
"""


def run(folder, *arguments, **environment):
    """Snakemake in a folder: what it writes to stdout, and to stderr."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "1", "--resources", "gpu=0"]
    kept = os.environ | {"NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout, done.stderr


def git(folder, *arguments):
    command = ["git", "-c", "user.name=test", "-c", "user.email=test", "-c", "init.defaultBranch=main", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def write(folder, config, source, key="", names=""):
    """A workflow that uses this one as a module."""
    (folder / "workflow").mkdir(parents=True)
    (folder / "workflow/Snakefile").write_text(DEPLOYED.format(source=source, key=key, names=names))
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))


def test_another_workflow_uses_this_one_as_a_module(tmp_path):
    """Beside a rule and a config key of its own, which this workflow neither sees nor refuses."""
    source = f'"{ROOT / "workflow/Snakefile"}"'
    write(tmp_path, {"own": 1, "benchmark": TINY}, source, '["benchmark"]', " as organbench_*")
    with (tmp_path / "workflow/Snakefile").open("a") as file:
        file.write(OWN_RULE)
    _, log = run(tmp_path)
    assert "organbench_train" in log
    table = pd.read_csv(tmp_path / "results/tiny/tables/per_case.csv")
    assert len(table) == 3  # organs of one test case
    assert (tmp_path / "rows.txt").read_text().strip() == "4"
    assert (tmp_path / "results/tiny/protocol.json").exists()


def test_the_workflow_is_deployed_from_a_git_host(tmp_path):
    """Snakemake fetches single files from there, but the scripts need the library beside them. Without a network: the
    clone that Snakemake makes of a host's repository is put where it looks for it."""
    repository = tmp_path / "repository"
    for name in ("workflow", "envs", "config"):
        shutil.copytree(ROOT / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.yaml", repository)
    git(repository, "init", "-q")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "A release")
    git(repository, "tag", "v1.0.0")
    cache = tmp_path / "cache/snakemake/snakemake/source-cache/snakemake-git-cache/github.com/someone"
    cache.mkdir(parents=True)
    git(cache, "clone", "-q", "--bare", str(repository), "organbench")
    deployed = tmp_path / "deployed"
    write(deployed, TINY, 'github("someone/organbench", path="workflow/Snakefile", tag="v1.0.0")')
    case = "results/tiny/cases/0/case.json"
    run(deployed, case, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (deployed / case).stat().st_size > 0
    copy = deployed / ".snakemake/organbench"
    assert (copy / "envs/imaging.yaml").read_bytes() == (ROOT / "envs/imaging.yaml").read_bytes()

    # Another release, which changes what converts, but not what generates.
    with (repository / "workflow/scripts/convert.py").open("a") as script:
        script.write("# changed\n")
    git(repository, "commit", "-qam", "Another release")
    git(repository, "tag", "v1.1.0")
    git(repository, "push", "-q", "--tags", str(cache / "organbench"), "main")
    snakefile = deployed / "workflow/Snakefile"
    snakefile.write_text(snakefile.read_text().replace("v1.0.0", "v1.1.0"))
    plan, log = run(deployed, case, "--dry-run", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (copy / "workflow/scripts/convert.py").read_text().endswith("# changed\n")
    assert set(re.findall(r"^(phantom|convert) +(\d)$", plan + log, flags=re.M)) == {("convert", "1")}


def test_two_versions_in_one_workflow_are_refused(tmp_path):
    shutil.copytree(ROOT / "workflow", tmp_path / "other/workflow", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.yaml", tmp_path / "other")
    modules = "".join(
        f'module {name}:\n    snakefile: "{folder / "workflow/Snakefile"}"\n    config: config\n\n'
        f"use rule * from {name} as {name}_*\n\n"
        for name, folder in (("one", ROOT), ("two", tmp_path / "other"))
    )
    (tmp_path / "Snakefile").write_text(modules)
    done = subprocess.run([sys.executable, "-m", "snakemake", "-n"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "a workflow can use one version of OrganBench only" in done.stdout + done.stderr


def test_the_catalog_finds_what_it_asks_for():
    """https://snakemake.github.io/snakemake-workflow-catalog: standardised usage."""
    settings = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert settings["software-stack-deployment"]["conda"] is True
    assert settings["report"] is True
    assert {"mandatory-flags", "software-stack-deployment", "report"} == settings.keys()
    for file in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "README.md", "LICENSE"):
        assert (ROOT / file).is_file()
    assert {"snakemake", "workflow"} <= set((ROOT / "README.md").read_text().lower().split())


@pytest.fixture
def conda(tmp_path):
    """A PATH with a `conda` that answers what Snakemake asks before it prints a container's recipe."""
    return f"{stub_of_conda(tmp_path)}:{os.environ['PATH']}"


def test_the_container_has_every_environment_with_the_same_pins(conda):
    recipe, _ = run(ROOT, "--containerize", "--nolock", PATH=conda)
    files = [
        file for file in sorted((ROOT / "envs").glob("*.yaml")) if file not in (MONAI, NNUNET, SEG)
    ]  # as the study has no networks of these, and no SEG
    assert [line.split()[1] for line in recipe.splitlines() if line.startswith("COPY")] == [
        f"envs/{file.name}" for file in files
    ]
    assert recipe.count("conda env create") == len(files)
    pinned = {line.strip("# -") for line in recipe.splitlines() if "==" in line}
    assert pinned == {f"{name}=={version}" for file in files for name, version in environment(file).items()}
    assert pinned < {f"{name}=={version}" for name, version in requirements().items()}
