"""What the entry of a model that is not made here says of its files: which organs, under which labels, where.

Plain Python, because the workflow needs it while it is parsed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from organbench.core.errors import InputError, plain, suggestion

Config = Mapping[str, Any]
Labels = dict[str, list[Any]]
Files = dict[str, dict[str, list[int]]]
"""Of each file its organs with their label values; no values: every voxel but 0 is the organ's."""


def organs_of(name: str, config: Config) -> list[str]:
    """The organs that a model offers, in the study's order: all but where it says `offers`."""
    offered = config["models"][name].get("offers")
    return [organ for organ in config["dataset"]["organs"] if offered is None or organ in offered]


def is_per_organ(pattern: str) -> bool:
    """Whether there is a file per organ."""
    return "{organ}" in pattern


def is_folder(pattern: str) -> bool:
    """Whether `{output}` is a folder with files, and not the file itself."""
    return pattern != "{output}"


def labels_of(name: str, config: Config, pattern: str) -> Labels:
    """What stands for each organ that a model offers: values in its label map, or names of its files.

    Where the entry has no `labels` these are the study's values, or the organs' names. An organ they lack has none.
    """
    organs, given = organs_of(name, config), config["models"][name].get("labels")
    if given is None:
        return {organ: [organ] if is_per_organ(pattern) else config["dataset"]["organs"][organ] for organ in organs}
    found = {organ: given.get(organ, []) for organ in organs}
    return {organ: value if isinstance(value, list) else [value] for organ, value in found.items()}


def unlabelled(name: str, config: Config) -> list[str]:
    """The organs that a model says to offer, but for which its `labels` name nothing: it misses them in every case."""
    given = config["models"][name].get("labels")
    return [] if given is None else [organ for organ in organs_of(name, config) if organ not in given]


def files(name: str, config: Config, pattern: str, **places: str) -> Files:
    """The files of a case of a model, and what is in them.

    Args:
        name: the model's name.
        config: the study's configuration.
        pattern: of paths, with {case}, {output} or {organ}.
        places: what stands for {case} and {output}.
    """
    labels = labels_of(name, config, pattern)
    if not is_per_organ(pattern):
        return {filled(pattern, **places): {organ: values for organ, values in labels.items() if values}}
    return {filled(pattern, organ=str(own), **places): {organ: []} for organ in labels for own in labels[organ]}


def filled(pattern: str, **values: str) -> str:
    """A pattern with what its placeholders stand for; other braces stay."""
    for key, value in values.items():
        pattern = pattern.replace(f"{{{key}}}", value)
    return pattern


def limits(name: str, config: Config) -> str:
    """What methods.md says of organs that a model does not offer, or misses for want of a label."""
    organs, lacking = organs_of(name, config), unlabelled(name, config)
    told = ""
    if len(organs) < len(config["dataset"]["organs"]):
        told += f" It offers {', '.join(organs)} only, and was scored on nothing else."
    if lacking:
        told += f" It has no label for {', '.join(lacking)}, which counted as missed."
    return told.replace("_", " ")


def check(name: str, config: Config, keys: Sequence[str], pattern: str, places: Sequence[str]) -> None:
    """Check what such entries have in common: their keys, organs, labels and pattern.

    Args:
        name: the model's name.
        config: the study's configuration.
        keys: that its kind knows.
        pattern: of its files.
        places: what may stand in braces there.

    Raises:
        InputError: one is unknown, or does not go with another.
    """
    entry, organs, where = config["models"][name], config["dataset"]["organs"], f"config, models.{name}"
    for key in entry:
        if key not in keys:
            hint = suggestion(str(key), keys, f"known: {', '.join(keys)}")
            raise InputError(f"{where}: {plain(key)} does not go with {keys[0]}; {hint}")
    if unknown := sorted(set(re.findall(r"{(.*?)}", pattern)) - set(places)):
        raise InputError(f"{where}: {plain(pattern)} has {{{unknown[0]}}}; only {listed(places)} may stand in braces")
    for key in ("labels", "offers"):
        for organ in entry.get(key) or []:
            if organ not in organs:
                hint = suggestion(str(organ), organs, f"known: {', '.join(organs)}")
                raise InputError(f"{where}.{key}: {plain(organ)} is not in dataset.organs; {hint}")
    owner: dict[Any, str] = {}
    for organ, own in labels_of(name, config, pattern).items():
        for value in own:
            if isinstance(value, str) != is_per_organ(pattern):
                wanted = "names of files" if is_per_organ(pattern) else "label values, or put {organ} into the path"
                raise InputError(f"{where}.labels: {organ} is {plain(value)}; give {wanted}")
            if owner.setdefault(value, organ) != organ:
                raise InputError(f"{where}.labels: {plain(value)} stands for both {owner[value]} and {organ}; keep one")


def listed(places: Sequence[str]) -> str:
    """Placeholders in braces."""
    return " and ".join(f"{{{place}}}" for place in places)
