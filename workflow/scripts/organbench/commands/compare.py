"""`organbench compare`: verdicts from tables of any study and of other programs."""

import argparse
import math
import sys
from contextlib import suppress
from pathlib import Path

from organbench.core.errors import InputError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `compare`."""
    parser = commands.add_parser(
        "compare",
        help="judge every pair of models of per-case tables",
        description=(
            "Judge every pair of models on every organ, by the rule in docs/metrics.md. A table has the columns model, "
            "case, organ and one or more metrics; fold and seed where a model was trained several times, and patient "
            "where a patient has several cases. Two finished studies on the same cases are two tables."
        ),
    )
    parser.add_argument("tables", nargs="+", type=Path, metavar="PER_CASE.csv", help="tables/per_case.csv, or the like")
    parser.add_argument("--output", type=Path, help="where the comparison is written; without it only words are told")
    parser.add_argument("--metric", action="append", help="which metric (may be repeated); default: all that there are")
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help="difference of means that does not matter, in the metric's unit, such as dice=0.01 (may be repeated)",
    )
    parser.add_argument(
        "--fixed",
        action="append",
        default=[],
        metavar="MODEL",
        help="a model that was not trained, such as a product or an observer: judged as it is (may be repeated)",
    )
    parser.set_defaults(run=compare)


def compare(given: argparse.Namespace) -> None:
    """Judge per-case tables, tell what was found in words, and write the whole comparison.

    Raises:
        InputError: a table cannot be used, or an argument does not fit the tables.
    """
    from organbench.analysis import comparing
    from organbench.core import tables

    margins = dict(map(margin, given.margin))
    per_case, notes = comparing.gather(given.tables, given.metric or [])
    found = comparing.judge(per_case, given.metric or [], margins, given.fixed)
    if given.output:
        tables.write(found, given.output)
    for note in notes:
        print(note, file=sys.stderr)
    for metric, rows in found.groupby("metric", sort=False):
        print(f"{metric}:")
        print("".join(f"  {words}\n" for words in rows["words"]), end="")


def margin(text: str) -> tuple[str, float]:
    """A metric and its margin from `metric=value`.

    Raises:
        InputError: it is something else.
    """
    metric, _, value = text.partition("=")
    with suppress(ValueError):
        if 0 <= float(value) < math.inf:
            return metric, float(value)
    raise InputError(f"--margin {text}: is no margin; give a metric and a number of 0 or more, such as dice=0.01")
