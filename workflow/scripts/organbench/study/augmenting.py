"""What a study says of augmentations that the schema cannot see: ranges, flips, and the organs that have a side.

Plain Python, because the workflow needs it while it is parsed.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from organbench.core.errors import plain, suggestion

SIDE = re.compile(r"(?:^|_)(?:left|right|l|r)(?:_|$)", re.IGNORECASE)  # in an organ's name


def pairs(config: Mapping[str, Any], training: Mapping[str, Any]) -> list[list[int]]:
    """Indices of the organs, from 1, that change places in a network's flips along x; none where it has no such flips.

    Args:
        config: the study's configuration.
        training: the network's settings.
    """
    organs = ["background", *config["dataset"]["organs"]]
    if "x" not in training["augmentation"]["flip"]:
        return []
    return sorted(sorted(map(organs.index, pair)) for pair in config["dataset"]["mirrored"].items())


def faults(config: Mapping[str, Any], trained: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with the study's pairs of organs, its flips or its ranges; `key: fault`.

    Args:
        config: the study's configuration.
        trained: the training settings of each network.
    """
    organs, mirrored = config["dataset"]["organs"], config["dataset"]["mirrored"]
    named = list(chain(*mirrored.items()))
    for organ in named:
        if organ not in organs:
            yield f"dataset.mirrored: {plain(organ)} is not in dataset.organs; {suggestion(organ, organs, 'name one')}"
    for one, other in mirrored.items():
        if one == other:
            yield f"dataset.mirrored: {plain(one)} is paired with itself; leave out organs that change no place"
    for organ in dict.fromkeys(named):
        if named.count(organ) > 1:
            yield f"dataset.mirrored: {plain(organ)} is named twice; write each pair once"
    for model, training in trained.items():
        for name, setting in training["augmentation"].items():
            if isinstance(setting, Mapping) and setting["range"][0] > setting["range"][1]:
                low, high = setting["range"]
                yield f"training.augmentation.{name}.range: {low} is above {high}; give [lowest, highest]"
        if "x" in training["augmentation"]["flip"]:
            for organ in (organ for organ in organs if SIDE.search(organ) and organ not in named):
                yield (
                    f"training.augmentation.flip: {model} is trained with flips along x, but {organ} has a side; "
                    "pair it with the other one in dataset.mirrored, or leave x out"
                )
        if config["prediction"]["mirror"] and not training["augmentation"]["flip"]:
            yield (
                f"prediction.mirror: averages over flips, but {model} is trained with none; "
                "name their axes in training.augmentation.flip, or set it to false"
            )
