"""The tables of a study: names stay names, also where they are digits."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TextIO

import pandas as pd

from organbench.core.errors import InputError
from organbench.core.files import atomic, read_json
from organbench.core.runs import Run

NAMES = (
    *("case", "model", "organ", "model_a", "model_b", "metric", "patient", "group", "network"),
    *("take", "best", "groups", "worse_on", "used_by", "software", "version", "device", "observer"),
)
"""The columns that hold names, or words made of names. A network may be called 007, and a patient nearly always is."""


def read(table: str | Path | TextIO) -> pd.DataFrame:
    """Read a table of a study.

    Left to itself, pandas takes a column of names for numbers where all are made of digits: 007 would become 7, 1e3
    would become 1000.0 and True a truth value, and none of them would be found in another table again.

    Args:
        table: the CSV's path, or its open text.

    Returns:
        The table; columns of `NAMES` are text, with NaN in empty cells, others are what they look like.

    Raises:
        ValueError: it is no table.
    """
    return pd.read_csv(table, dtype=dict.fromkeys(NAMES, str))


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV; whole or not at all."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)


def metrics(path: str | Path, organs: Sequence[str], models: Collection[str], *, some: bool = False) -> pd.DataFrame:
    """Read a case's metrics.

    A model that was renamed together with its folder has its new name in the table.

    Args:
        path: of the CSV, in its run's folder.
        organs: names of the organs, in order.
        models: names of the study's models.
        some: whether organs may be left out, as those that were not annotated in the case.

    Raises:
        InputError: they are not all there, or not of the case and run in whose place they lie.
    """
    path, run = Path(path), Run.of(path)
    text, case, found, names = path.read_text(errors="replace"), path.stem, pd.DataFrame(), set()
    with suppress(ValueError, KeyError, AttributeError):
        found = read(StringIO(text))
        told = {(row.fold, row.seed, row.case) for row in found.itertuples()}
        wanted = [organ for organ in organs if not some or organ in set(found["organ"])]
        if text.endswith("\n") and found["organ"].tolist() == wanted and told == {(run.fold, run.seed, case)}:
            names = set(found["model"])
        if some and text.endswith("\n") and found.empty:
            return found
    if names != {run.model} and (not names or names & set(models)):
        raise InputError(f"{path}: damaged, or not the metrics of {run}/{case}; delete it and run again")
    return found.assign(model=run.model)


def records(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read JSON files of runs, such as their costs: a row each, with the model, fold and seed that its path names.

    These three columns are there without a file, too.
    """
    found = [{**read_json(path), **Run.of(path).key} for path in paths]
    return pd.DataFrame(found, columns=None if found else ["model", "fold", "seed"])


def histories(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read the history.csv of trainings, and add each one's model, fold and seed, which its path names."""
    found = [read(path).assign(**Run.of(path).key) for path in paths]
    return pd.concat(found or [pd.DataFrame(columns=["step", "loss", "model", "fold", "seed"])], ignore_index=True)
