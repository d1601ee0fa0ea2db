"""Files are whole under their names or absent, whatever happens while they are written."""

import os

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.core.files import atomic, sound_json, unchanged, write_json
from organbench.data import images


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_atomic_leaves_the_old_file_when_the_new_one_fails(tmp_path, failure):
    def write_half():
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise failure

    path = tmp_path / "a.nii.gz"
    path.write_text("old")
    with pytest.raises(failure):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_writes_a_readable_file_beside_its_place(tmp_path):
    path = tmp_path / "new" / "case.1.nii.gz"
    with atomic(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.endswith(".nii.gz")  # writers choose a format by it
        temporary.write_text("new")
        assert not path.exists()
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_job_left_is_removed_when_its_file_is_written_again(tmp_path):
    left, fresh, others = (
        tmp_path / name for name in (".a-12345678.nii.gz", ".a-abcdefgh.nii.gz", ".a-b-12345678.nii.gz")
    )
    for path in (left, fresh, others):
        path.write_text("half")
    for path in (left, others):
        os.utime(path, (0, 0))
    with atomic(tmp_path / "a.nii.gz") as temporary:
        temporary.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"a.nii.gz", fresh.name, others.name}


def save_array(path):
    with path.open("wb") as stream:
        np.save(stream, np.zeros(10000))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("x" * 10000),
        lambda path: path.write_bytes(bytes(10000)),
        lambda path: pd.DataFrame({"a": range(10000)}).to_csv(path),
        save_array,
    ],
    ids=["text", "bytes", "table", "array"],
)
def test_a_full_disk_is_told_in_one_line(tmp_path, full_disk, write):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(InputError, match=f"{path}: cannot be written .*run again") as caught, atomic(path) as temporary:
        write(temporary)
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_an_image_that_does_not_fit_on_the_disk_is_refused(tmp_path, full_disk, suffix):
    """SimpleITK writes half a NIfTI file without a word."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 255, (30, 30, 30)).astype(np.uint8))
    with pytest.raises(InputError, match=r"image.*: cannot be written .*disk.*run again"):
        images.write(image, tmp_path / f"image{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "volume.nii"
    path.write_text("old")
    with unchanged(path, tmp_path / "missing"):
        pass
    with pytest.raises(InputError, match=f"{path}: was changed while it was being read"), unchanged(path):
        path.write_text("new one")


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "1"])
def test_json_that_is_not_there_or_damaged_holds_nothing(tmp_path, text):
    path = tmp_path / "cost.json"
    if text is not None:
        path.write_text(text)
    assert sound_json(path) == {}
    write_json({"a": (1, 2)}, path)
    assert sound_json(path) == {"a": [1, 2]}
