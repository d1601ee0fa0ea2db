"""Reading the tables that a study has written: names stay names, also where they are digits."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import pandas as pd

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
    for path in map(str, paths):
        place = re.search(r"([^/]+)/fold(\d+)-seed(\d+)/history\.csv$", path)
        if not place:
            raise ValueError(f"{path} is no training's history")
        found.append(read(path).assign(model=place[1], fold=int(place[2]), seed=int(place[3])))
    return pd.concat(found, ignore_index=True)
