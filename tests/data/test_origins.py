"""A case's files are the same wherever they lie; their content decides."""

import json
import os
import shutil

import pytest

from organbench.data import origins


@pytest.fixture
def files(tmp_path):
    """A volume and labels, from which a case was prepared in the folder `case`."""
    found = {"volume": tmp_path / "volume.nii.gz", "labels": tmp_path / "labels.nii.gz"}
    for what, path in found.items():
        path.write_bytes(what.encode() * 100)
    origins.note(tmp_path / "case", found)
    return found


def test_the_same_files_are_the_same(files, tmp_path):
    assert origins.same(tmp_path / "case", files)


def test_files_that_were_moved_or_dated_anew_are_the_same_and_read_once(files, tmp_path, monkeypatch):
    moved = {what: shutil.copy(path, tmp_path / f"moved-{what}") for what, path in files.items()}
    os.utime(moved["volume"], (1, 1))
    assert origins.same(tmp_path / "case", moved)
    known = json.loads((tmp_path / "case" / origins.NAME).read_text())
    assert known["volume"]["mtime_ns"] == 10**9
    monkeypatch.setattr(origins, "describe", None)
    assert origins.same(tmp_path / "case", moved)


@pytest.mark.parametrize("what", ["volume", "labels"])
def test_other_content_is_seen_also_with_an_old_date_and_the_same_size(files, tmp_path, what):
    files[what].write_bytes(files[what].read_bytes()[:-1] + b"!")
    os.utime(files[what], (1, 1))
    assert not origins.same(tmp_path / "case", files)


def test_what_is_not_known_or_not_there_is_not_the_same(files, tmp_path):
    assert not origins.same(tmp_path / "another case", files)
    assert not origins.same(tmp_path / "case", files | {"labels": tmp_path / "gone"})
    (tmp_path / "case" / origins.NAME).write_text("{}")
    assert not origins.same(tmp_path / "case", files)
