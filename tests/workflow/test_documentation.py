"""What is written about the workflow is true: every key of the configuration, every command and link of a page."""

import copy
import re
import subprocess

import pytest
import yaml
from conftest import ROOT

NEW = {"description": "a new key", "type": "number"}
PAGES = sorted(path for path in ROOT.rglob("*.md") if not re.search(r"^\.|/\.", path.relative_to(ROOT).as_posix()))


@pytest.fixture
def config_page(monkeypatch):
    """The program that writes the tables of config/README.md, which stand between two of its lines."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    return pytest.importorskip("update_config")


def test_every_key_is_documented_as_it_is(config_page, schema, defaults):
    written = config_page.marked.between(config_page.PAGE, config_page.BEGIN)
    assert written == config_page.tables(schema, defaults), "run: python docs/update_config.py"


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("description", ("dataset", "properties", "root", "description"), "another folder"),
        ("limit", ("prediction", "properties", "overlap", "maximum"), 0.8),
        ("a new key", ("evaluation", "properties", "new"), NEW),
        ("a new option of contenders", ("models", "additionalProperties", "properties", "new"), NEW),
    ],
)
def test_a_change_of_the_schema_changes_the_page(config_page, schema, defaults, change, path, value):
    changed = copy.deepcopy(schema)
    part = changed["properties"]
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    assert config_page.tables(changed, defaults) != config_page.tables(schema, defaults), change


def test_a_change_of_the_default_study_changes_the_page(config_page, schema, defaults):
    changed = copy.deepcopy(defaults)
    changed["training"]["augmentation"]["hu_shift"] = 21
    before, after = (config_page.tables(schema, given).splitlines() for given in (defaults, changed))
    (different,) = [new for old, new in zip(before, after, strict=True) if old != new]
    assert different.startswith("| `training.augmentation.hu_shift` |")
    assert different.endswith("| number from 0 | `21` |")


def test_the_options_of_networks_are_documented(config_page, schema, defaults):
    (row,) = [row for row in config_page.tables(schema, defaults).splitlines() if "`models.<name>.ratio`" in row]
    assert re.search(r"with `network: ghostunet` \| `2` \|$", row)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link


def test_the_map_of_the_house_names_what_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    places = set(re.findall(r"`([a-z_.-]+/[a-z_./]*|[a-z_.-]+\.(?:py|yaml|txt|smk))`", text))
    assert {"workflow/rules/", "organbench/evaluation/overlaps.py", "common.smk"} <= places
    known = ["", "workflow/rules", "workflow/scripts", "workflow/scripts/organbench"]
    assert [place for place in places if not any((ROOT / folder / place).exists() for folder in known)] == []


def test_github_does_what_the_repository_says():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert {"run": ".ci/run"} in steps
    for step in steps:
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]), "a tag can be moved to other code"
    (script,) = [step["run"] for step in steps if "README.md" in step.get("run", "")]
    shown = subprocess.run(
        ["bash", "-c", script.replace("bash -c", "echo")], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert shown.startswith("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && ")
    assert "snakemake --cores all" in shown
