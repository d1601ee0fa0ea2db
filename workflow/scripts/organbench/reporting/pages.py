"""Tables as pages that can be sorted and searched, for the report."""

import html

import pandas as pd

DIGITS = "{:.4g}"  # of the numbers that are shown; the CSV has all


def table_page(table: pd.DataFrame, title: str, template: str) -> str:
    """A table as a page.

    Args:
        table: what it shows, a row per row; NaN is an empty cell. A column `words`, which says it all, comes first.
        title: its heading, plain text.
        template: HTML with `{{title}}` and `{{table}}` in it.
    """
    columns = sorted(table, key=lambda column: column != "words")
    rows = table[columns].to_html(index=False, border=0, na_rep="", float_format=DIGITS.format)
    return template.replace("{{title}}", html.escape(title)).replace("{{table}}", rows)
