"""What somebody points at is found, and every scan gets a name of its own."""

import numpy as np
import pytest

from organbench.core.errors import InputError
from organbench.data import inputs


def touch(folder, *names, content=b""):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def found(*places):
    return {scan.name: scan.path for scan in inputs.find(places)}


def test_files_and_folders_of_files(tmp_path):
    touch(tmp_path, "a.nii.gz", "b.MHA", "c.nrrd", "notes.txt", ".hidden.nii", "more/d.nii")
    assert list(found(tmp_path)) == ["a", "b", "c"]
    assert found(tmp_path / "a.nii.gz", tmp_path / "more") == {
        "a": tmp_path / "a.nii.gz",
        "d": tmp_path / "more" / "d.nii",
    }
    assert found(tmp_path / "notes.txt") == {"notes.txt": tmp_path / "notes.txt"}  # whose reader says what it is not


def test_folders_of_series(tmp_path):
    slices = bytes(128) + b"DICM"
    touch(tmp_path, "p1/CT/1", "p1/CT/2", "p2/CT/1", content=slices)
    touch(tmp_path, "README.txt")
    assert found(tmp_path) == {"p1-CT": tmp_path / "p1" / "CT", "p2-CT": tmp_path / "p2" / "CT"}
    assert found(tmp_path / "p1" / "CT") == {"CT": tmp_path / "p1" / "CT"}
    assert all(scan.is_series for scan in inputs.find([tmp_path]))
    touch(tmp_path, "p1/CT/labels.nii.gz")  # where volumes lie, they are what is meant
    assert list(found(tmp_path / "p1")) == ["labels"]


def test_names_tell_scans_apart(tmp_path):
    touch(tmp_path, "x/ct.nii.gz", "y/ct.nii.gz", "y/ct.mha")
    paths = [tmp_path / "x" / "ct.nii.gz", tmp_path / "y" / "ct.nii.gz"]
    assert list(found(*paths)) == ["x-ct", "y-ct"]
    assert list(found(tmp_path / "y")) == ["ct-0", "ct-1"]


def test_nothing_and_the_same_twice_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "none.nii"):
        with pytest.raises(InputError, match="no scan is there"):
            inputs.find([place])
    touch(tmp_path, "a.nii")
    with pytest.raises(InputError, match="given twice"):
        inputs.find([tmp_path, tmp_path / "a.nii"])


def test_a_volume_that_would_be_too_large_is_not_read(write_image):
    path = write_image("a.nii.gz", np.zeros((2, 3, 4), np.int16))
    (scan,) = inputs.find([path])
    assert inputs.read(scan, (None, None, None))[0].GetSize() == (4, 3, 2)
    with pytest.raises(InputError, match="it would have"):
        inputs.read(scan, (0.0001, 0.01, 0.01))
