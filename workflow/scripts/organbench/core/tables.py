"""Reading the tables that a study has written: names stay names, also where they are digits."""

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import pandas as pd

from organbench.core.runs import Run

NAMES = (
    *("case", "model", "organ", "model_a", "model_b", "metric", "patient", "group", "network"),
    *("take", "best", "groups", "worse_on", "used_by", "software", "version", "device"),
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


def histories(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read the history.csv of trainings, and add each one's model, fold and seed, which its path names."""
    found = []
    for path in paths:
        run = Run.of(path)
        found.append(read(path).assign(model=run.model, fold=run.fold, seed=run.seed))
    return pd.concat(found, ignore_index=True)
