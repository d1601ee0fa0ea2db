"""A program that is run once per case: `{command: "segment -i {image} -o {output}", labels: {liver: 5}}`."""

import re

from organbench.core.errors import InputError
from organbench.study import elsewhere
from organbench.study.kinds import Config, Kind, first_seed

KEYS = ("command", "output", "labels", "offers", "gpu")
PLACES = ("output", "case", "organ")


def output_of(name: str, config: Config) -> str:
    """The pattern of the files that it writes: `{output}` itself, or files in that folder."""
    return str(config["models"][name].get("output", "{output}"))


def check(name: str, config: Config) -> None:
    """Check its placeholders, and what it writes."""
    command, pattern = config["models"][name]["command"], output_of(name, config)
    where = f"config, models.{name}"
    for place in ("image", "output"):
        if f"{{{place}}}" not in command:
            raise InputError(f"{where}.command: does not say where {{{place}}} stands; put it in")
    if quoted := re.search(r"""["']{(image|output|case)}|{(image|output|case)}["']""", command):
        raise InputError(f"{where}.command: {quoted[0]} is in quotes, which it gets anyway; remove them")
    if not pattern.startswith("{output}"):
        raise InputError(
            f"{where}.output: {pattern} does not begin with {{output}}; give the files that it writes there"
        )
    elsewhere.check(name, config, KEYS, pattern, PLACES)


def words(name: str, config: Config) -> str:
    """A sentence of methods.md."""
    told = f"{name} was the program `{config['models'][name]['command']}`, run once per case."
    return told + elsewhere.limits(name, config)


KIND = Kind(
    "command",
    check,
    weights=None,
    predictions="segment",
    seeds=first_seed,
    reads=lambda config, folds, run, case: [],
    members=lambda name, config: [],
    offers=elsewhere.organs_of,
    words=words,
)
