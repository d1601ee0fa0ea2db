"""Predictions that were made elsewhere: `{predictions: "/data/tps/{case}.nii.gz", labels: {liver: 5}}`.

A product's contours, another network's, or a second observer's. Nothing is trained; a case without a file is a failure.
"""

from organbench.core.errors import InputError
from organbench.study import elsewhere
from organbench.study.kinds import Config, Kind, first_seed

KEYS = ("predictions", "labels", "offers", "observer")
PLACES = ("case", "organ")


def check(name: str, config: Config) -> None:
    """Check where its files lie, and what is in them."""
    pattern = config["models"][name]["predictions"]
    if "{case}" not in pattern:
        raise InputError(f"config, models.{name}.predictions: {pattern} does not say where {{case}} stands; put it in")
    elsewhere.check(name, config, KEYS, pattern, PLACES)


def words(name: str, config: Config) -> str:
    """Sentences of methods.md."""
    entry = config["models"][name]
    if entry.get("observer"):
        told = f"{name} was another observer, whose contours were scored like a network's."
    else:
        told = f"{name} was made elsewhere; what it was trained on, and what that took, is not known to this workflow."
    return told + elsewhere.limits(name, config)


KIND = Kind(
    "predictions",
    check,
    weights=None,
    predictions="collect",
    seeds=first_seed,
    reads=lambda config, folds, run, case: [],
    members=lambda name, config: [],
    offers=elsewhere.organs_of,
    words=words,
)
