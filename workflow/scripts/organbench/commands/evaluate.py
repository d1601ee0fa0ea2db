"""`organbench evaluate`: the metrics of anyone's segmentations, whoever or whatever made them."""

import argparse
import os
import sys
from pathlib import Path

from organbench.core.errors import InputError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `evaluate`."""
    parser = commands.add_parser(
        "evaluate",
        help="measure label maps against a reference",
        description=(
            "Measure label maps against reference label maps of the same names, organ by organ, on the reference's own "
            "grid (docs/metrics.md). Two or more tables of this command are what `organbench compare` judges."
        ),
    )
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="label maps to measure against")
    parser.add_argument("--prediction", type=Path, required=True, metavar="DIR", help="label maps of the same names")
    parser.add_argument(
        "--organs", type=Path, required=True, metavar="FILE", help="a CSV with the columns value and name; see docs"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="PER_CASE.csv", help="the table")
    parser.add_argument("--model", help="what made the predictions; default: the name of their folder")
    parser.add_argument(
        "--tolerance", type=float, default=2.0, metavar="MM", help="deviation of a surface that is acceptable; 2 mm"
    )
    parser.add_argument(
        "--missing",
        choices=["refuse", "failure", "skip"],
        default="refuse",
        help="a case without a prediction: refuse to go on, count it as a failure (nothing found), or leave it out",
    )
    parser.set_defaults(run=evaluate)


def evaluate(given: argparse.Namespace) -> None:
    """Measure every pair of files, and write a row per case and organ.

    Raises:
        InputError: files are missing, damaged or do not fit together, or an argument is wrong.
    """
    from organbench.core import tables
    from organbench.core.progress import bar
    from organbench.evaluation import folders

    if not 0 < given.tolerance < float("inf"):
        raise InputError(f"--tolerance {given.tolerance:g}: give a length in mm above 0")
    organs = folders.read_organs(given.organs)
    pairs = folders.pairs(given.reference, given.prediction, missing=given.missing)
    model, found, unknown = given.model or given.prediction.resolve().name, [], set()
    with bar("measuring", len(pairs)) as drawn:
        for case, (reference, prediction) in pairs.items():
            table, others = folders.measure(
                reference, prediction, organs, tolerance_mm=given.tolerance, workers=os.cpu_count() or 1
            )
            unknown |= others
            found.append((case, table))
            drawn.advance(1)
    tables.write(folders.joined(found, model), given.output)
    if without := sum(prediction is None for _, prediction in pairs.values()):
        print(f"{without} of {len(pairs)} cases have no prediction and count as failures", file=sys.stderr)
    if unknown:
        values = ", ".join(map(str, sorted(unknown)))
        print(f"label values that {given.organs} does not name count as background: {values}", file=sys.stderr)
    print(f"{given.output}: {len(pairs)} cases, {len(organs)} organs")
