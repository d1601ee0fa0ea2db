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
    """What methods.md says of each choice: what its file's docstring gives, or else its name."""
    return {name: phrase(tree(file(key, name))) or name.replace("_", " ") for name in names(key)}


def augmentations() -> dict[str, str]:
    """What methods.md says of each augmentation, with a place for the largest change."""
    functions = (node for node in tree("learning/augmentation.py").body if isinstance(node, ast.FunctionDef))
    return {node.name: said for node in functions if (said := phrase(node))}


def phrase(node: ast.Module | ast.FunctionDef) -> str | None:
    """The line of a docstring that says what methods.md is to say."""
    line = re.search(r"^In methods\.md: (.+)\.$", ast.get_docstring(node) or "", re.M)
    return line[1] if line else None


def tree(path: str) -> ast.Module:
    """The syntax tree of a file of the library."""
    return ast.parse((Path(__file__).parents[1] / path).read_text("utf-8"))


def load(key: str, name: str) -> Any:
    """What a choice's file defines under the key: a function.

    Raises:
        ValueError: there is no such choice.
    """
    if name not in names(key):
        raise ValueError(f"unknown {key} {name!r}; available: {', '.join(names(key))}")
    return getattr(importlib.import_module(f"organbench.learning.{FOLDERS[key]}.{name}"), key)
