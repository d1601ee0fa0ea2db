"""What the config chooses by name: a folder a key, in it a file a choice. Knows them without importing torch.

Of losses, optimizers and schedules one is chosen; of augmentations each has a key of its own, and those that are on
work together.
"""

import ast
import importlib
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from organbench.learning.augmentations import is_on, place

FOLDERS = {"loss": "losses", "optimizer": "optimizers", "schedule": "schedules"}
"""Keys of the config's `training` that choose, and the folder beside this file that has the choices."""
AUGMENTATIONS = "augmentations"
"""The folder whose files are the keys of the config's `training.augmentation`."""


def names(key: str) -> list[str]:
    """The names that a key may have: the files of its folder, but for those that begin with an underscore."""
    return within(FOLDERS[key])


def within(folder: str) -> list[str]:
    """The choices in a folder."""
    found = pkgutil.iter_modules([str(Path(__file__).with_name(folder))])
    return sorted(module.name for module in found if not module.name.startswith("_"))


def file(key: str, name: str) -> str:
    """The file of a choice, below the library."""
    return f"learning/{FOLDERS[key]}/{name}.py"


def files_of(augmentation: Mapping[str, Any]) -> list[str]:
    """The files of those augmentations that are on, below the library."""
    return [f"learning/{AUGMENTATIONS}/{name}.py" for name, setting in augmentation.items() if is_on(setting)]


def phrases(key: str) -> dict[str, str]:
    """What methods.md says of each choice: what its file's docstring gives, or else its name."""
    return {name: phrase(tree(FOLDERS[key], name)) or name.replace("_", " ") for name in names(key)}


def augmentations() -> dict[str, str]:
    """What methods.md says of each augmentation, with places for its setting; in the order in which they work."""
    return {name: phrase(tree(AUGMENTATIONS, name)) or name.replace("_", " ") for name in settings()}


def settings() -> dict[str, dict[str, Any]]:
    """The JSON schema of each augmentation's key; in the order in which they work."""
    found = {name: values(tree(AUGMENTATIONS, name)) for name in within(AUGMENTATIONS)}
    order = sorted(found, key=lambda name: place(found[name]["PLACE"]))
    return {name: found[name].get("SETTING") or ranged(**found[name]["RANGE"]) for name in order}


def ranged(of: str, minimum: float, maximum: float, default: tuple[float, float]) -> dict[str, Any]:
    """The JSON schema of an augmentation that changes some images by a number of a range."""
    number = {"type": "number", "minimum": minimum, "maximum": maximum}
    return {
        "description": of,
        "type": "object",
        "additionalProperties": False,
        "default": {},
        "properties": {
            "probability": {
                "description": "share of crops that are changed by this; 0 for none",
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0,
            },
            "range": {
                "description": f"{of}; lowest and highest",
                "type": "array",
                "items": number,
                "minItems": 2,
                "maxItems": 2,
                "default": default,
            },
        },
    }


def phrase(node: ast.Module) -> str | None:
    """The line of a file's docstring that says what methods.md is to say."""
    line = re.search(r"^In methods\.md: (.+)\.$", ast.get_docstring(node) or "", re.M)
    return line[1] if line else None


def values(node: ast.Module) -> dict[str, Any]:
    """The constants of a file that are plain values."""
    given = (line for line in node.body if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name))
    return {
        line.targets[0].id: ast.literal_eval(line.value)  # type: ignore[attr-defined]
        for line in given
        if line.targets[0].id in ("PLACE", "SETTING", "RANGE")  # type: ignore[attr-defined]
    }


def tree(folder: str, name: str) -> ast.Module:
    """The syntax tree of a choice's file."""
    return ast.parse((Path(__file__).with_name(folder) / f"{name}.py").read_text("utf-8"))


def load(key: str, name: str) -> Any:
    """What a choice's file defines under the key: a function.

    Raises:
        ValueError: there is no such choice.
    """
    if name not in names(key):
        raise ValueError(f"unknown {key} {name!r}; available: {', '.join(names(key))}")
    return getattr(importlib.import_module(f"organbench.learning.{FOLDERS[key]}.{name}"), key)
