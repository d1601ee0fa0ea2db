"""What the entry of a model that is not made here says of its files: which organs, under which labels, where.

Plain Python, because the workflow needs it while it is parsed.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from organbench.core.errors import InputError, plain, suggestion
from organbench.data.formats import suffix_of
from organbench.data.formats.nrrd import SEGMENTATION

Config = Mapping[str, Any]
Labels = dict[str, list[Any]]
Files = dict[str, Labels]
"""Of each file its organs, with label values or names of structures; neither: every voxel but 0 is the organ's."""

HEADER = ".hdr"  # of NIfTI in two files, which `formats` tells by its content


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


def has_names(entry: Config, pattern: str) -> bool:
    """Whether a model's files hold structures with names, and not label values: DICOM, `.seg.nrrd`, or a folder.

    What programs write, and a file per organ, are label maps; so is what has the suffix of a volume.
    """
    if "command" in entry or is_per_organ(pattern):
        return False
    is_volume = suffix_of(Path(pattern)) or pattern.lower().endswith(HEADER)
    return pattern.lower().endswith(SEGMENTATION) or not is_volume


def labels_of(name: str, config: Config, pattern: str) -> Labels:
    """What stands for each organ that a model offers: values in its label map, names of structures, or of its files.

    Where the entry has no `labels` these are the study's values; or the organs' names, and of structures also those
    that the study has for them. An organ that `labels` lack has none.
    """
    organs, entry, dataset = organs_of(name, config), config["models"][name], config["dataset"]
    if (given := entry.get("labels")) is not None:
        found = {organ: given.get(organ, []) for organ in organs}
        return {organ: value if isinstance(value, list) else [value] for organ, value in found.items()}
    if has_names(entry, pattern):
        return {organ: [organ, *dataset["structures"].get(organ, ())] for organ in organs}
    return {organ: [organ] if is_per_organ(pattern) else dataset["organs"][organ] for organ in organs}


def unlabelled(name: str, config: Config) -> list[str]:
    """The organs that a model says to offer, but for which its `labels` name nothing: it misses them in every case."""
    given = config["models"][name].get("labels")
    return [] if given is None else [organ for organ in organs_of(name, config) if organ not in given]


def labelled(name: str, config: Config) -> list[str]:
    """The organs that a model says to offer and has labels for."""
    lacking = unlabelled(name, config)
    return [organ for organ in organs_of(name, config) if organ not in lacking]


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
    if entry.get("labels") is not None:
        check_labels(f"{where}.labels", labels_of(name, config, pattern), pattern, named=has_names(entry, pattern))


def check_labels(where: str, labels: Labels, pattern: str, *, named: bool) -> None:
    """Check that labels are what files of the pattern hold, values or names, and stand for one organ each.

    Raises:
        InputError: they are not.
    """
    owner: dict[Any, str] = {}
    for organ, own in labels.items():
        for one in own:
            if owner.setdefault(one, organ) != organ:
                raise InputError(f"{where}: {plain(one)} stands for both {owner[one]} and {organ}; keep one")
    if is_per_organ(pattern):
        wanted = "give names of files"
    elif named:
        wanted = f"structures in {plain(pattern)} have names, so give these, or files of label maps such as .nii.gz"
    else:
        wanted = "give label values, or put {organ} into the path"
    for one, organ in owner.items():
        if isinstance(one, str) != (named or is_per_organ(pattern)):
            raise InputError(f"{where}: {organ} is {plain(one)}; {wanted}")


def listed(places: Sequence[str]) -> str:
    """Placeholders in braces."""
    return " and ".join(f"{{{place}}}" for place in places)
