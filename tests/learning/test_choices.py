"""What the config chooses by name is one file each, which schema and methods know without torch."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from organbench.learning import choices
from organbench.study import schema as schema_file

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
every_key = pytest.mark.parametrize("key", choices.FOLDERS)
NEW = '''"""Mine.

In methods.md: my own loss.
"""


def loss(logits, labels):
    """Nothing to lose."""
    return logits.sum() * 0
'''


@every_key
def test_every_choice_can_be_made_and_has_words(key):
    assert choices.names(key)
    assert all(callable(choices.load(key, name)) for name in choices.names(key))
    assert all(
        (ROOT / "workflow/scripts/organbench" / choices.file(key, name)).is_file() for name in choices.names(key)
    )
    assert len(set(choices.phrases(key).values()) - set(choices.names(key))) == len(choices.names(key))


@every_key
def test_there_is_no_other_choice(key):
    with pytest.raises(ValueError, match=f"unknown {key} '__init__'; available: {choices.names(key)[0]}, "):
        choices.load(key, "__init__")


@every_key
def test_the_schema_admits_the_choices_wherever_the_key_stands(schema, key):
    sections = schema["properties"]
    tuned = sections["training"]["properties"]["tune"]["anyOf"][0]["properties"][key]["items"]
    model = sections["models"]["additionalProperties"]["properties"][key]
    for place in (sections["training"]["properties"][key], model, tuned):
        assert place["enum"] == choices.names(key)
        assert place["default"] in place["enum"]


def test_a_new_loss_is_one_file(tmp_path, monkeypatch):
    """It is found, admitted and told of, and nothing of it imports torch."""
    (tmp_path / "losses").mkdir()
    (tmp_path / "losses" / "mine.py").write_text(NEW)
    monkeypatch.setattr(choices, "__file__", str(tmp_path / "choices.py"))
    assert choices.names("loss") == ["mine"]
    assert schema_file.load(SCHEMA)["properties"]["training"]["properties"]["loss"]["enum"] == ["mine"]


def test_the_choices_are_known_without_torch():
    program = f"""
import sys
sys.modules["torch"] = None
from organbench.study import schema
schema.load({str(SCHEMA)!r})
from organbench.learning import choices
from organbench.learning.settings import Task, Training
print(choices.phrases("loss")["ce"])
"""
    scripts = Path(schema_file.__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", program], cwd=scripts, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "cross-entropy"
