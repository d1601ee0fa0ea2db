"""What cases and groups may be called: their names become parts of paths, and cells of tables."""

CASE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*"  # no slash and no "..", so a case stays in its folder
LONGEST_NAME = 100  # it becomes a part of longer names
EMPTY = {
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
}
"""What pandas reads as an empty cell."""
