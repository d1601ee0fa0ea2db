"""Tables that users write."""

import csv
from collections.abc import Sequence
from pathlib import Path

from organbench.core.errors import InputError


def csv_rows(path: str | Path, columns: Sequence[str], what: str, key: str) -> list[tuple[int, list[str]]]:
    """Some columns of a CSV that a user wrote: the number of each line, and its cells without the space around them.

    Args:
        path: of the table.
        columns: which.
        what: what the table is, for messages.
        key: which key of the config names it.

    Raises:
        InputError: the file is not there, it lacks a column or has it twice, or a line is no row of a table.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: the {what} is not there; check {key}")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as lines:  # spreadsheets put a mark in front
        table = csv.DictReader(lines)
        try:
            if table.fieldnames is None or not set(columns) <= set(table.fieldnames):
                raise InputError(f"{path}: the first line must name the columns {','.join(columns)}")
            if twice := [column for column in columns if table.fieldnames.count(column) > 1]:
                raise InputError(f"{path}: the first line names the column {twice[0]} twice; keep one of them")
            rows = list(table)
        except csv.Error as error:
            raise InputError(f"{path}, line {table.line_num + 1}: is no row of a table ({error})") from None
    return [(number, [(row[column] or "").strip() for column in columns]) for number, row in enumerate(rows, start=2)]
