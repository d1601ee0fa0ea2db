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


WANTED = {"values": [[1], [3, 4]], "ignored": [9], "spacing": [1.5, None, 3.0]}
GOOD = {"organs": {"an old name": [1], "lungs": [3, 4]}, "ignored": [9], "spacing": [1.5, None, 3.0]}
BAD = {"bad": "is odd", "organs": {}, "tried": WANTED}


@pytest.mark.parametrize(
    ("info", "skip_bad", "why"),
    [
        (GOOD, False, ""),
        (GOOD | {"ignored": []}, False, ""),
        (GOOD | {"ignored": [7, 9]}, False, "dataset.ignore_labels lacks labels that it has"),
        (GOOD | {"spacing": [1.5, None, 1.5]}, True, "preprocessing.spacing is another"),
        (GOOD | {"organs": {"liver": [1], "lungs": [3]}}, True, "dataset.organs has other label values"),
        (GOOD | {"organs": {"lungs": [3, 4], "liver": [1]}}, True, "dataset.organs has other label values"),
        (BAD, True, ""),
        (BAD, False, "it could not be used"),
        (BAD | {"tried": WANTED | {"ignored": []}}, True, "it could not be used"),
        ({"bad": "is odd"}, True, "it could not be used"),
    ],
)
def test_a_case_is_prepared_anew_for_settings_that_shape_it(info, skip_bad, why):
    assert origins.why_anew(info, WANTED, skip_bad=skip_bad) == why
