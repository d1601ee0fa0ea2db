"""A copy that lost its dates gets them back; anything else keeps its own."""

import os
import shutil

import pytest

from organbench.core import dates


@pytest.fixture
def folder(tmp_path):
    """A folder whose files are a second apart."""
    source = tmp_path / "results"
    for number, name in enumerate(("b/first.csv", "a/second.csv", "c/third.bin")):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_bytes(b"x" * (10 + number * (dates.SMALL // 2 + 10)))
        os.utime(source / name, (1e9 + number, 1e9 + number))
    dates.keep(source)
    return source


def times(folder):
    return {path.name: path.stat().st_mtime for path in folder.rglob("*") if path.is_file() and path.name != dates.NAME}


def test_a_copy_without_dates_gets_them_back(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    assert times(copy) != times(folder)
    dates.restore(copy)
    assert times(copy) == times(folder)


def test_files_that_are_newer_because_they_were_made_anew_keep_their_dates(folder):
    (folder / "b/first.csv").touch()
    before = times(folder)
    dates.restore(folder)
    assert times(folder) == before


def test_a_copy_in_which_something_was_changed_keeps_its_dates(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    (copy / "b/first.csv").write_bytes(b"y" * 10)
    before = times(copy)
    dates.restore(copy)
    assert times(copy) == before


def test_a_damaged_note_is_no_matter(folder):
    for text in ("", "[]", '{"b/first.csv": 3}'):
        (folder / dates.NAME).write_text(text)
        dates.restore(folder)
    dates.restore(folder / "not there")
