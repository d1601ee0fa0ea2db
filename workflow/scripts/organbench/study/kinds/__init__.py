"""The kinds of segmenter that can be compared: a file each, which defines `KIND`.

A model is of the kind whose key its entry in the config's `models` has. Rules, tables and texts ask here what a kind is
made from, which rules make it and what it costs. A new kind is a new file; where the rules `train` and `predict` do not
make its weights and predictions, also rules that do.
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
        weights: the rule that trains it: a training per fold and seed, which writes `cost.json` into the run's folder.
            What `train` makes is a network with settings (see `network.settings`), which can be tuned, averaged,
            rehearsed, repeated and trained on fewer patients. None: nothing of it is trained here, and it is judged as
            the fixed thing that it is.
        predictions: the rule that writes its `predictions/<case>.nii.gz` and `<case>.json` into a run's folder.
        history: whether its training writes `history.csv`, with the columns step, loss and dice_<organ>.
        complete: an entry with its short forms written out.
        seeds: of its runs, the study's first one first; given the configuration.
        reads: the runs whose weights `predict` takes for a case; given the configuration, the folds, the model's run
            and the case.
        members: the models whose networks it predicts with and whose trainings it costs; given its name and the
            configuration. None where it is not known what it took to make it.
        offers: the organs that it is scored on; given its name and the configuration.
        words: what methods.md says of it, after what it says of each network; given its name and the configuration.
    """

    key: str
    check: Callable[[str, Config], None]
    weights: str | None = "train"
    predictions: str = "predict"
    history: bool = True
    complete: Callable[[Config], dict[str, Any]] = dict
    seeds: Callable[[Config], list[int]] = lambda config: list(config["training"]["seeds"])
    reads: Callable[[Config, Sequence[Fold], Run, str], list[Run]] = lambda config, folds, run, case: [run]
    members: Callable[[str, Config], list[str]] = lambda name, config: [name]
    offers: Callable[[str, Config], list[str]] = lambda name, config: list(config["dataset"]["organs"])
    words: Callable[[str, Config], str] = lambda name, config: ""

    @property
    def trains(self) -> bool:
        """Whether it is trained by this workflow."""
        return self.weights is not None


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


def first_seed(config: Config) -> list[int]:
    """The seeds of a model that nothing is drawn for: its one run has the first one's name."""
    return list(config["training"]["seeds"][:1])


def those(config: Config, are: Callable[[Kind], bool]) -> list[str]:
    """The models of which something is true that their kinds say."""
    return [name for name in config["models"] if are(of(name, config))]


def trained(config: Config) -> list[str]:
    """The models that are trained by this workflow, by whichever rule."""
    return those(config, lambda kind: kind.trains)


def fixed(config: Config) -> list[str]:
    """The models that are not, and are judged as the fixed things that they are."""
    return those(config, lambda kind: not kind.trains)


def networks(config: Config) -> list[str]:
    """The models that the rule `train` makes."""
    return trained_by("train", config)


def trained_by(rule: str, config: Config) -> list[str]:
    """The models whose weights a rule makes."""
    return those(config, lambda kind: kind.weights == rule)


def with_history(config: Config) -> list[str]:
    """The models whose trainings write `history.csv`."""
    return those(config, lambda kind: kind.trains and kind.history)


def partial(config: Config) -> dict[str, list[str]]:
    """The models that do not offer all of the study's organs, with those that they do."""
    offered = {name: of(name, config).offers(name, config) for name in config["models"]}
    return {name: organs for name, organs in offered.items() if len(organs) < len(config["dataset"]["organs"])}


def observers(config: Config) -> list[str]:
    """The models that are another human."""
    return [name for name, entry in config["models"].items() if entry.get("observer")]


def predicted_by(rule: str, config: Config) -> list[str]:
    """The models whose predictions a rule makes."""
    return those(config, lambda kind: kind.predictions == rule)
