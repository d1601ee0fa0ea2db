"""Tables are read back as they were written, whatever networks and patients are called."""

import re

import pandas as pd
import pytest
from conftest import ROOT

from organbench.core import tables


@pytest.mark.parametrize("column", tables.NAMES)
@pytest.mark.parametrize("names", [["007", "1"], ["1e3", "2"], ["True", "False"], ["inf", "1_0"]])
def test_names_are_read_as_they_were_written(tmp_path, column, names):
    written = pd.DataFrame({column: names, "dice": [0.5, 1]})
    written.to_csv(tmp_path / "table.csv", index=False)
    found = tables.read(tmp_path / "table.csv")
    assert found[column].tolist() == names
    assert found["dice"].dtype == float


def test_an_empty_cell_is_no_name(tmp_path):
    (tmp_path / "table.csv").write_text("take,best,verdict\n1,,\n")
    found = tables.read(tmp_path / "table.csv")
    assert found["take"].tolist() == ["1"]
    assert found[["best", "verdict"]].isna().all(axis=None)


def test_nothing_else_reads_a_studys_tables():
    places = [*(ROOT / "workflow" / "scripts").rglob("*.py"), *(ROOT / "docs").glob("*.py")]
    readers = {path.relative_to(ROOT).as_posix() for path in places if re.search(r"\bread_csv\(", path.read_text())}
    assert readers == {
        "workflow/scripts/organbench/core/tables.py",
        "workflow/scripts/organbench/data/sources/openkbp/fetching.py",  # others' data
        "workflow/scripts/resources.py",  # Snakemake's benchmarks
    }
