"""The schema of a configuration, with what the library's registries add to it.

Plain Python, because the workflow needs it while it is parsed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from organbench.data import splits
from organbench.evaluation.registry import METRICS
from organbench.learning import choices

Names = Mapping[str, str]  # a name that a key may have, and what it means in a few words, or nothing

REGISTRIES: Mapping[str, Names] = {
    "splits": {name: method.meaning for name, method in splits.METHODS.items()},
    "metrics": dict.fromkeys(METRICS, ""),
    **{choices.FOLDERS[key]: dict.fromkeys(choices.names(key), "") for key in choices.FOLDERS},
}


def load(path: str | Path) -> dict[str, Any]:
    """Read the schema. `registry: splits` in it becomes the `enum` of that registry's names.

    What each name means goes on at the end of the key's description.
    """
    result: dict[str, Any] = filled(yaml.safe_load(Path(path).read_text("utf-8")))
    return result


def filled(part: Any) -> Any:
    """A part of the schema with the names of registries."""
    if isinstance(part, list):
        return [filled(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: filled(value) for key, value in part.items()}
    if isinstance(part.get("registry"), str):  # and no key of that name
        names = REGISTRIES[part.pop("registry")]
        part["enum"] = list(names)
        meanings = "; ".join(f"{name}: {meaning}" for name, meaning in names.items() if meaning)
        if meanings and "description" in part:
            part["description"] += f" ({meanings})"
    return part
