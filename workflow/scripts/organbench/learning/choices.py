"""What the config chooses by name: a folder a key, in it a file a choice. Knows them without importing torch."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

FOLDERS = {"loss": "losses", "optimizer": "optimizers", "schedule": "schedules"}
"""Keys of the config's `training`, and the folder beside this file that has the choices."""


def names(key: str) -> list[str]:
    """The names that a key may have: the files of its folder, but for those that begin with an underscore."""
    found = pkgutil.iter_modules([str(Path(__file__).with_name(FOLDERS[key]))])
    return sorted(module.name for module in found if not module.name.startswith("_"))


def file(key: str, name: str) -> str:
    """The file of a choice, below the library."""
    return f"learning/{FOLDERS[key]}/{name}.py"


def phrases(key: str) -> dict[str, str]:
    """What methods.md says of each choice: the line of its file's docstring that begins so, or else its name."""
    found = {}
    for name in names(key):
        text = ast.get_docstring(ast.parse((Path(__file__).parents[1] / file(key, name)).read_text("utf-8"))) or ""
        line = re.search(r"^In methods\.md: (.+)\.$", text, re.M)
        found[name] = line[1] if line else name.replace("_", " ")
    return found


def load(key: str, name: str) -> Any:
    """What a choice's file defines under the key: a function.

    Raises:
        ValueError: there is no such choice.
    """
    if name not in names(key):
        raise ValueError(f"unknown {key} {name!r}; available: {', '.join(names(key))}")
    return getattr(importlib.import_module(f"organbench.learning.{FOLDERS[key]}.{name}"), key)
