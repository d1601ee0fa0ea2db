"""The mean of the probabilities of several trained networks: `{ensemble: [unet, ghostunet]}`."""

from collections.abc import Mapping, Sequence
from typing import Any

from organbench.core.errors import InputError, suggestion
from organbench.core.runs import Run
from organbench.data import splits
from organbench.study import kinds
from organbench.study.kinds import Config, Kind, first_seed


def complete(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with a list of members."""
    members = entry["ensemble"]
    return {**entry, "ensemble": [members] if isinstance(members, str) else members}


def check(name: str, config: Config) -> None:
    """Check that the members are networks of this study, and more than one run."""
    entry = config["models"][name]
    others = sorted(set(entry) - {"ensemble"})
    if others:
        raise InputError(
            f"config, models.{name}: {others[0]} does not go with ensemble, which trains nothing; remove one of the two"
        )
    trained = kinds.networks(config)
    for member in entry["ensemble"]:
        if member not in config["models"]:
            hint = suggestion(member, trained, f"known models: {', '.join(trained) or 'none'}")
            raise InputError(f"config, models.{name}.ensemble: there is no model {member}; {hint}")
        if member not in trained:
            raise InputError(
                f"config, models.{name}.ensemble: {member} is no network that this study trains; name such models"
            )
    # A file may test a case in several folds; every other method trains on a case in all folds but one.
    if len(entry["ensemble"]) * len(config["training"]["seeds"]) == 1 and config["split"]["method"] != "file":
        raise InputError(
            f"config, models.{name}.ensemble: {entry['ensemble'][0]} is trained once, so there is nothing to average; "
            "add members, or seeds to training.seeds"
        )


def reads(config: Config, folds: Sequence[splits.Fold], run: Run, case: str) -> list[Run]:
    """All runs of its members but those that learned from the case, or from another scan of its patient."""
    return [
        Run(member, fold, seed)
        for member in config["models"][run.model]["ensemble"]
        for fold in splits.unseen(folds, case, config["split"]["patient"])
        for seed in config["training"]["seeds"]
    ]


def members(name: str, config: Config) -> list[str]:
    """The models that it averages."""
    return list(config["models"][name]["ensemble"])


def words(name: str, config: Config) -> str:
    """A sentence of methods.md."""
    *most, last = members(name, config)
    named = f"{', '.join(most)} and {last}" if most else last
    return f"{name} averaged the probabilities of all runs of {named} that had not learned from the case."


KIND = Kind(
    "ensemble", check, weights=None, complete=complete, seeds=first_seed, reads=reads, members=members, words=words
)
