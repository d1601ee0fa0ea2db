"""What is written about the workflow is true: every key of the configuration, every command and link of a page."""

import copy
import re

import pytest
from conftest import ROOT

NEW = {"description": "a new key", "type": "number"}


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
