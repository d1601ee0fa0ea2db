"""What people write in YAML: keys that are there twice, numbers that are read otherwise, aliases without end."""

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from organbench.core.errors import InputError, plain

LARGEST_CONFIG, DEEPEST_CONFIG = 10000, 20  # values, and how deep they may be in one another

Config = dict[str, Any]


def check_keys(path: str | Path) -> None:
    """Check what YAML's readers do without a word: of a key that is there twice they take the last, and 010 is 8.

    Raises:
        InputError: a study file has a key twice, or a whole number that begins with 0.
    """
    try:
        waiting = [yaml.compose(Path(path).read_text("utf-8"), yaml.SafeLoader)]
    except (yaml.YAMLError, RecursionError):  # JSON with tabs, or so deep that check_size refuses it
        return
    seen = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":int") and re.fullmatch("0[0-7_]+", node.value):
            line, read = node.start_mark.line + 1, int(node.value.replace("_", ""), 8)
            raise InputError(f"{path}, line {line}: YAML reads {plain(node.value)} as {read}; put it in quotes")
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))  # an alias may stand for what it is in
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        keys: set[str] = set()
        for key, value in node.value:
            waiting += [key, value]
            name = str(key.value)
            if name in keys:
                raise InputError(f"{path}, line {key.start_mark.line + 1}: {plain(name)} is there twice; keep one")
            keys.add(name)


def check_names(config: Config) -> None:
    """Check that names are text: YAML reads 7, 007 and 0x7 as the same number, and no as false.

    Raises:
        InputError: a network, an organ or a member of an ensemble is named by a number, a truth value or a date.
    """
    models, dataset, evaluation = (config.get(key) for key in ("models", "dataset", "evaluation"))
    named = {
        "models": models,
        "dataset.organs": dataset.get("organs") if isinstance(dataset, Mapping) else None,
        "evaluation.tolerance_mm": evaluation.get("tolerance_mm") if isinstance(evaluation, Mapping) else None,
    }
    for model, entry in models.items() if isinstance(models, Mapping) else ():
        if isinstance(entry, Mapping) and "ensemble" in entry:
            members = entry["ensemble"]
            named[f"models.{plain(model)}.ensemble"] = members if isinstance(members, list) else [members]
    for key, names in named.items():
        for name in names if isinstance(names, Mapping | list) else ():
            if isinstance(name, int | float | datetime.date):
                raise InputError(
                    f"config, {key}: without quotes {plain(name)} is a number, a truth value or a date to YAML, "
                    "and no name; put names in quotes"
                )


def check_size(given: Any) -> None:
    """Check that a configuration has an end: aliases of YAML may stand for themselves, or for one another many times.

    Raises:
        InputError: it is larger or deeper than any study.
    """
    waiting, parts = [(given, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        parts += 1
        if parts > LARGEST_CONFIG or depth > DEEPEST_CONFIG:
            raise InputError(
                f"config: has more than {LARGEST_CONFIG} values, or more than {DEEPEST_CONFIG} in one another; "
                "are there aliases (&, *) that repeat themselves?"
            )
        items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        waiting += [(item, depth + 1) for item in items]
