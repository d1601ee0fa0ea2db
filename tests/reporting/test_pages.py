"""The report's tables: what they show, and that they sort and search in a real browser."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from organbench.reporting.pages import table_page

TEMPLATE = (Path(__file__).parents[2] / "workflow" / "report" / "table.html").read_text()
TABLE = pd.DataFrame(
    {
        "organ": ["liver", "<b>kidneys</b>", "bone", "brain"],
        "dice": [0.912345, 0.0999, 1e-5, np.nan],
        "case": ["10", "9", "x-10", "x-9"],
    }
)


def test_numbers_are_rounded_and_text_is_not_markup():
    page = table_page(TABLE, "Dice & more", TEMPLATE)
    assert "<title>Dice &amp; more</title>" in page
    for cell in ("0.9123", "0.0999", "1e-05", "", "&lt;b&gt;kidneys&lt;/b&gt;"):
        assert f"<td>{cell}</td>" in page
    assert "<b>" not in page
    assert "{{" not in page


def test_words_come_first():
    page = table_page(TABLE.assign(words="better"), "Dice", TEMPLATE)
    assert page.index("<th>words") < page.index("<th>organ") < page.index("<th>dice") < page.index("<th>case")


def test_a_table_without_rows_is_a_page():
    assert "average_rank" in table_page(pd.DataFrame(columns=["organ", "average_rank"]), "ranks", TEMPLATE)


@pytest.fixture
def page(browser, tmp_path):
    path = tmp_path / "table.html"
    path.write_text(table_page(TABLE, "Dice", TEMPLATE))
    opened = browser.new_page()
    opened.goto(path.as_uri())
    yield opened
    opened.close()


def organs(page):
    """The organs of the rows that are seen, from top to bottom."""
    return [row.split("\t")[0] for row in page.locator("tbody tr:visible").all_inner_texts()]


def test_a_click_sorts_numbers_as_numbers_and_empty_cells_last(page):
    page.get_by_text("dice", exact=True).click()
    assert organs(page) == ["bone", "<b>kidneys</b>", "liver", "brain"]
    page.get_by_text("dice", exact=True).click()
    assert organs(page) == ["liver", "<b>kidneys</b>", "bone", "brain"]
    page.get_by_text("case", exact=True).press("Enter")
    assert organs(page) == ["<b>kidneys</b>", "liver", "brain", "bone"]


def test_rows_are_searched_by_all_words(page):
    page.get_by_role("searchbox").fill("B 10")
    assert organs(page) == ["bone"]
    page.get_by_role("searchbox").fill("")
    assert len(organs(page)) == 4
