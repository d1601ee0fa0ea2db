"""Which settings are tuned: the candidates, which are the same for every network, and what cannot be tuned.

Plain Python, because the workflow needs it while it is parsed; which candidate is taken is decided by `choosing`.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from organbench.core.errors import InputError, suggestion
from organbench.data import splits

MOST_CANDIDATES = 40  # each is a whole training for every network and fold, and a row of the figure

Candidate = dict[str, Any]


def candidates(tune: Mapping[str, Sequence[Any]] | None) -> dict[str, Candidate]:
    """Every combination of the values that are to be tried: settings that replace those of `training`, by name.

    A name says what is tried, so that another candidate changes no other one's name. The last key changes fastest.

    Args:
        tune: the config's `training.tune`.
    """
    if not tune:
        return {}
    grid = [dict(zip(tune, values, strict=True)) for values in itertools.product(*tune.values())]
    return {name(candidate): candidate for candidate in grid}


def name(candidate: Candidate) -> str:
    """What a candidate's files are called, such as learning_rate-0.001."""
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in candidate.items()}
    return "-".join(f"{key}-{value}" for key, value in values.items())


def check_keys(given: Any, schema: Mapping[str, Any]) -> None:
    """Check the keys of `training.tune` before the schema does, which cannot say why one is refused.

    Args:
        given: what the user gives as `training.tune`.
        schema: the JSON schema of a configuration.

    Raises:
        InputError: a key is no setting, or none that may differ between networks that are compared.
    """
    if not isinstance(given, Mapping):
        return
    training = schema["properties"]["training"]["properties"]
    known = list(training["tune"]["anyOf"][0]["properties"])
    for key in (key for key in map(str, given) if key not in known):
        if key in training and key not in ("seeds", "tune"):
            raise InputError(
                f"config, training.tune: {key} cannot be tuned, as it changes the network, what it is shown, how long "
                f"it trains or how it is chosen; make it another entry of models, or tune one of {', '.join(known)}"
            )
        hint = suggestion(key, known, f"what can be tuned: {', '.join(known)}")
        raise InputError(f"config, training.tune: unknown key {key[:80]!r}; {hint}")


def check(config: Mapping[str, Any]) -> None:
    """Check that every network has the same candidates, and not too many.

    Args:
        config: a study's configuration.

    Raises:
        InputError: an entry of `models` sets what is tuned, or there are more than `MOST_CANDIDATES`.
    """
    tune = config["training"]["tune"]
    if not tune:
        return
    count = math.prod(map(len, tune.values()))
    if count > MOST_CANDIDATES:
        raise InputError(
            f"config, training.tune: has {count} combinations, each a training of every network in every fold; "
            f"leave at most {MOST_CANDIDATES}"
        )
    for model, entry in config["models"].items():
        for key in (key for key in tune if key in entry):
            raise InputError(
                f"config, models.{model}: {key} is tuned, for every network from the same values; "
                f"remove it here or from training.tune"
            )


def check_folds(config: Mapping[str, Any], folds: Sequence[splits.Fold]) -> None:
    """Check that there is something to choose by.

    Args:
        config: a study's configuration.
        folds: who trains, validates and tests.

    Raises:
        InputError: a fold has no validation cases.
    """
    for number, fold in enumerate(folds):
        if config["training"]["tune"] and not fold["validation"]:
            by_file = config["split"]["method"] == "file"
            remedy = "give some the role validation in split.file" if by_file else "raise split.validation_fraction"
            raise InputError(
                f"config, training.tune: fold {number} has no validation cases to choose by; {remedy}, "
                "or set training.tune to null"
            )
