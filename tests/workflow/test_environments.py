"""Each job's environment holds what its script imports, and no more."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from organbench.reporting import figures

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
LIBRARY = SCRIPTS / "organbench"
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
MONAI = ROOT / "envs" / "monai.yaml"  # of networks that are imported by name
SEG = ROOT / "envs" / "seg.yaml"  # of a package that is imported by name
NNUNET = ROOT / "envs" / "nnunet.yaml"  # of a program that scripts start
ENVIRONMENTS = sorted(set((ROOT / "envs").glob("*.yaml")) - {MONAI, SEG, NNUNET})
PACKAGES = {
    "pynvml": "nvidia-ml-py",
    "surface_distance": "surface-distance",
}  # of modules that do not carry their package's name


def pins(lines):
    """Version of each package in lines such as numpy==2.4.6; anything else fails."""
    found = {}
    for line in lines:
        package, version = re.fullmatch(r"([A-Za-z0-9_.-]+)==([A-Za-z0-9_.+-]+)", line).groups()
        found[package] = version
    return found


def requirements(name="requirements.txt"):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return pins(line for line in lines if line)


def environment(path):
    """The pip pins of a conda environment."""
    (pip,) = [part["pip"] for part in yaml.safe_load(path.read_text())["dependencies"] if isinstance(part, dict)]
    return pins(pip)


def rules():
    """Text of each rule that runs something, by its name; one in a loop over files of figures is a rule for each."""
    found = {}
    for file in RULES:
        parts = re.split(r"^ *(?:(?:rule|checkpoint) (\w+)|rule):\n", file.read_text(), flags=re.M)
        for name, rule in zip(parts[1::2], parts[2::2], strict=True):
            if name is None:
                assert directive(rule, "name") == "figure_{file}"
            found |= {name: rule} if name else {f"figure_{drawn}": rule for drawn in figures.known(dosed=True)}
    return {name: rule for name, rule in found.items() if "script:" in rule}


def script_of(name):
    """The file that a rule runs."""
    return SCRIPTS / Path(directive(rules()[name], "script")).name


def inherited():
    """The names of rules that inherit what they run from another."""
    return {
        name for file in RULES for name in re.findall(r"^ *use rule \w+ as (\w+) with:", file.read_text(), flags=re.M)
    }


def directive(rule, name):
    """A rule's directive whose value is a single string; of a study without MONAI."""
    (value,) = re.findall(rf'^ *{name}:\n? *f?"([^"]+)"', rule, flags=re.M)
    return value.replace("{ENVIRONMENT}", "torch").replace("{DRAWING}", "imaging")


def imports(file):
    """Modules that a file imports at run time, as (module, imported names)."""
    tree = ast.parse(file.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute, so that they can be followed"
            yield node.module, [alias.name for alias in node.names]


def library_files(file):
    """Files of the library that a file imports from; whoever builds networks imports all of them."""
    for module, names in imports(file):
        if module.partition(".")[0] != "organbench":
            continue
        place = SCRIPTS / Path(*module.split("."))
        for candidate in (place, *(place / name for name in names)):
            if candidate == LIBRARY / "networks" and "study" not in file.parts:  # which only asks for their names
                yield from candidate.glob("*.py")
            elif candidate.with_suffix(".py").is_file():
                yield candidate.with_suffix(".py")
            elif candidate != LIBRARY and (candidate / "__init__.py").is_file():
                yield candidate / "__init__.py"


def reachable(rule):
    """A rule's script and all files of the library that it imports, directly or not; with it the file that it draws."""
    found, waiting = set(), [script_of(rule)]
    if script_of(rule).name == "figure.py":
        waiting.append(LIBRARY / "reporting" / "figures" / f"{rule.removeprefix('figure_')}.py")
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += library_files(file)
    return found


def third_party(files):
    """Packages from outside that files import."""
    modules = {module.partition(".")[0] for file in files for module, _ in imports(file)}
    return {PACKAGES.get(module, module) for module in modules - set(sys.stdlib_module_names) - {"organbench"}}


def test_environments_pin_what_the_requirements_pin():
    wanted, together = requirements(), {}
    for path in ENVIRONMENTS:
        own = environment(path)
        assert own.items() <= wanted.items(), path.name
        together |= own
    assert wanted.keys() - together.keys() == {"snakemake", "pygments"}  # runs jobs; is for --report


def test_the_environment_with_monai_is_that_of_torch_and_monai():
    torch = environment(ROOT / "envs" / "torch.yaml")
    assert environment(MONAI) == torch | requirements("requirements-monai.txt")
    for path in (MONAI, ROOT / "envs" / "torch.yaml"):
        text = yaml.safe_load(path.read_text())
        assert text["dependencies"][:2] == ["python=3.11", "pip"]
        assert text["channels"] == ["conda-forge", "nodefaults"]


def test_the_environment_with_seg_is_that_of_imaging_and_highdicom():
    assert environment(SEG) == environment(ROOT / "envs" / "imaging.yaml") | requirements("requirements-seg.txt")


def test_what_segments_new_patients_is_pinned_as_elsewhere():
    own = requirements("requirements-segment.txt")
    assert own.items() <= requirements().items()
    command = [
        LIBRARY / "commands" / "segment.py",
        LIBRARY / "inference" / "new_patients.py",
        *LIBRARY.glob("data/*.py"),
    ]
    assert own.keys() >= {"torch", "SimpleITK", "numpy", "safetensors", "pydicom"}
    assert third_party(command) <= own.keys()


def test_the_environment_with_nnunet_is_that_of_torch_and_nnunet():
    own = environment(NNUNET)
    assert own == requirements("requirements-nnunet.txt")
    assert own.items() >= environment(ROOT / "envs" / "torch.yaml").items()
    programs = [*(LIBRARY / "learning" / "nnunet").glob("*.py"), LIBRARY / "inference" / "nnunet.py"]
    assert third_party(programs) <= own.keys()
    text = [yaml.safe_load(path.read_text()) for path in (NNUNET, ROOT / "envs" / "torch.yaml")]
    assert text[0]["dependencies"][:2] == text[1]["dependencies"][:2]


def test_environments_have_the_python_that_the_project_needs():
    least = re.search(r'requires-python = ">=(3\.\d+)"', (ROOT / "pyproject.toml").read_text())[1]
    for path in ENVIRONMENTS:
        assert f"python={least}" in yaml.safe_load(path.read_text())["dependencies"], path.name


def test_every_rule_says_where_it_logs_and_what_it_runs_in():
    assert {"phantom", "convert", "train", "predict", "evaluate", "tables", "figure_overlays"} <= rules().keys()
    for name, rule in rules().items():
        torch = ("check_networks", "train", "predict", "segment", "verify_run", "pack")
        wanted = "torch" if name in torch else "imaging"
        wanted = "figures" if name.startswith("figure_") else "nnunet" if name.startswith("nnunet_") else wanted
        assert directive(rule, "conda") == f"../../envs/{wanted}.yaml", name
        assert directive(rule, "log").endswith(".log"), name
        shared = {"examine": "convert"} | {f"figure_{file}": "figure" for file in figures.known(dosed=True)}
        assert directive(rule, "script") == f"../scripts/{shared.get(name, name)}.py", name


def test_every_script_is_some_rules():
    assert set(SCRIPTS.glob("*.py")) == set(map(script_of, rules()))


@pytest.mark.parametrize("rule", rules())
def test_an_environment_has_what_its_scripts_import(rule):
    path = ROOT / "workflow" / "rules" / directive(rules()[rule], "conda")
    assert third_party(reachable(rule)) <= environment(path.resolve()).keys()


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_has_nothing_that_no_script_imports(path):
    scripts = [name for name, rule in rules().items() if directive(rule, "conda") == f"../../envs/{path.name}"]
    used = set().union(*(third_party(reachable(name)) for name in scripts))
    assert not environment(path).keys() - used


def test_following_imports_finds_what_is_imported_by_name():
    """The tests above would prove little if they followed too few imports."""
    found = {file.relative_to(SCRIPTS).as_posix() for file in reachable("train")}
    assert {"train.py", "organbench/core/errors.py", "organbench/networks/ghostunet.py"} <= found
    assert SCRIPTS / "organbench/reporting/figures/style.py" in reachable("figure_metrics")
    assert {"torch", "numpy", "SimpleITK", "pandas"} <= third_party(reachable("train"))
    assert "scipy" in third_party(reachable("tables"))


def test_jobs_without_torch_start_without_it():
    without = [
        name for name, rule in rules().items() if not directive(rule, "conda").endswith(("torch.yaml", "nnunet.yaml"))
    ]
    modules = {
        f"organbench.{file.relative_to(LIBRARY).with_suffix('').as_posix().replace('/', '.')}".removesuffix(".__init__")
        for name in without
        for file in reachable(name) - {script_of(name)}
    } | {
        "organbench.networks",
        "organbench.data.splits",
        "organbench.study.configuration",
    }
    assert {"organbench.data.cases", "organbench.evaluation.metrics", "organbench.reporting.figures"} <= modules
    code = f"import sys, {', '.join(sorted(modules))}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["slurm", "generic"])
def test_a_cluster_profile_names_rules_that_there_are(name):
    profile = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    assert profile["groups"].keys() <= rules().keys() | inherited()
    assert {"convert", "predict", "evaluate"} <= profile["groups"].keys()
    assert profile["group-components"].keys() < set(profile["groups"].values())
    assert profile["executor"] in (ROOT / "requirements-cluster.txt").read_text()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("JobId=7 JobName=train JobState=RUNNING Reason=None", "running"),
        ("JobId=7 JobName=train JobState=COMPLETED Reason=None", "success"),
        ("JobId=7 JobName=train JobState=OUT_OF_MEMORY Reason=None", "failed"),
        ("slurm_load_jobs error: Invalid job id specified", "failed"),
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", "running"),
        ("slurm_load_jobs error: Socket timed out on send/recv operation", "running"),
        ("sh: scontrol: not found", "failed"),
    ],
)
def test_the_generic_profile_says_how_a_job_is(tmp_path, answer, status):
    """A job is not lost because the scheduler does not answer: it would be started twice."""
    command = tmp_path / "scontrol"
    command.write_text(f"#!/bin/sh\necho '{answer}' >&2\n")
    command.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = subprocess.run(
        [ROOT / "profiles/generic/status.sh", "7"], env={"PATH": path}, capture_output=True, text=True, check=True
    )
    assert said.stdout == f"{status}\n"
