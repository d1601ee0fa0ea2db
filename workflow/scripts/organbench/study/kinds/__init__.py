"""The kinds of segmenter that can be compared: a file each, which defines `KIND`.

A model is of the kind whose key its entry in the config's `models` has. Rules, tables and texts ask here what a kind is
made from and what it costs. A new kind is a new file; where `train` and `predict` do not make its models, also rules.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from organbench.core import folders
from organbench.core.errors import InputError
from organbench.core.runs import Run
from organbench.data.splits import Fold

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """What a kind of segmenter is made from, and what is said of it; where it does not say, as of a network.

    Attributes:
        key: of an entry in `models` that makes it one of this kind.
        check: refuses what the schema cannot; given the model's name and the configuration.
        trains: whether it is trained by this workflow; if not it is judged as the fixed thing that it is.
        complete: an entry with its short forms written out.
        seeds: of its runs; given the configuration.
        reads: the runs whose weights predict a case; given the configuration, the folds, the model's run and the case.
        members: the models whose networks it predicts with and whose trainings it costs; given its name and the
            configuration.
        words: what methods.md says of it, after what it says of each network; given its name and the configuration.
    """

    key: str
    check: Callable[[str, Config], None]
    trains: bool = True
    complete: Callable[[Config], dict[str, Any]] = dict
    seeds: Callable[[Config], list[int]] = lambda config: list(config["training"]["seeds"])
    reads: Callable[[Config, Sequence[Fold], Run, str], list[Run]] = lambda config, folds, run, case: [run]
    members: Callable[[str, Config], list[str]] = lambda name, config: [name]
    words: Callable[[str, Config], str] = lambda name, config: ""


def known() -> dict[str, Kind]:
    """The kinds, by the key that tells them."""
    return {module.KIND.key: module.KIND for module in folders.modules(__name__)}


def of(name: str, config: Config) -> Kind:
    """The kind of a model.

    Raises:
        InputError: its entry in `models` has the key of no kind.
    """
    kinds = known()
    for key, kind in kinds.items():
        if key in config["models"][name]:
            return kind
    near = [close for key in config["models"][name] for close in difflib.get_close_matches(str(key), kinds, n=1)]
    hint = f"did you mean {near[0]}?" if near else f"give it one of the keys {', '.join(kinds)}"
    raise InputError(f"config, models.{name}: does not say what it is; {hint}")


def trained(config: Config) -> list[str]:
    """The models that are trained by this workflow."""
    return [name for name in config["models"] if of(name, config).trains]


def fixed(config: Config) -> list[str]:
    """The models that are not, and are judged as the fixed things that they are."""
    return [name for name in config["models"] if not of(name, config).trains]
