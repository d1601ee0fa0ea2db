"""SEG: what is written comes back to the last voxel; overlapping segments of another program; what is refused."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicoms import write_series
from geometry import grid, rotation

from organbench.core.errors import InputError
from organbench.data import structures
from organbench.data.dicom import seg, series

pytest.importorskip("highdicom", reason="requirements-seg.txt is not installed")

SIZE = (13, 11, 6)  # x y z
PLAIN = grid(SIZE, (0.8, 1.1, 2.5), (-120.5, -80.25, -300.0), np.eye(3))
PROGRAM = {"colors": {"left": "#E69F00"}, "algorithm": "unet", "version": "0.1.0"}


def masks(overlapping=True):
    left, middle = (np.zeros(SIZE[::-1], bool) for _ in range(2))
    left[:3, 2:6], middle[2:, 4:9, :5] = True, True
    return {"left": left, "Ösophagus": middle if overlapping else middle & ~left}


def scan(folder, wanted=PLAIN):
    write_series(folder, np.zeros(wanted.shape, int), wanted)
    return series.find(folder)


@pytest.mark.parametrize("label_map", [False, True])
@pytest.mark.parametrize("angles", [(0, 0, 0), (0.3, -0.2, 0.5), (np.pi, 0, 0)])
def test_masks_come_back_exactly(tmp_path, angles, label_map):
    ct = scan(tmp_path / "ct", grid(SIZE, PLAIN.spacing, PLAIN.origin, rotation(angles)))
    given = masks(overlapping=not label_map)
    seg.write(given, ct, tmp_path / "seg.dcm", **PROGRAM, label_map=label_map)
    found = structures.read(tmp_path / "seg.dcm", structures.Frame(ct.folder, ct.grid, ct))
    assert found.names == tuple(given)
    for place, name in enumerate(found.names):
        voxels, notes = found.mask(place)
        assert notes == []
        np.testing.assert_array_equal(voxels, given[name])
    assert (found.colors, found.notes) == ({0: "#E69F00"}, ())


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian's dicom3tools) is not installed")
def test_what_is_written_is_valid(tmp_path):
    seg.write(masks(), scan(tmp_path / "ct"), tmp_path / "seg.dcm", **PROGRAM)
    told = subprocess.run(["dciodvfy", tmp_path / "seg.dcm"], capture_output=True, text=True, errors="replace")
    assert told.returncode == 0
    assert "Error" not in told.stdout + told.stderr


def test_what_is_written_says_what_it_is(tmp_path):
    ct = scan(tmp_path / "ct")
    seg.write(masks(), ct, tmp_path / "seg.dcm", **PROGRAM)
    header = pydicom.dcmread(tmp_path / "seg.dcm")
    (on,) = header.ReferencedSeriesSequence
    assert (on.SeriesInstanceUID, header.FrameOfReferenceUID) == (ct.uid, ct.frame_of_reference)
    first = header.SegmentSequence[0]
    assert (first.SegmentLabel, first.SegmentAlgorithmType, first.SegmentAlgorithmName) == ("left", "AUTOMATIC", "unet")


def test_overlapping_segments_of_another_program(real_data):
    ct = series.find(real_data / "dicom" / "ct-3slices")
    path = real_data / "dicom" / "ct-3slices-overlapping-seg.dcm"
    found = structures.read(path, structures.Frame(ct.folder, ct.grid, ct))
    masks = [found.mask(place)[0] for place in range(5)]
    voxels = {name: int(mask.sum()) for name, mask in zip(found.names, masks, strict=True)}
    assert voxels == {"GREEN": 9602, "ORANGE": 11888, "PURPLE": 10743, "LIGHT_BLUE": 6693, "DARK_BLUE": 4713}
    assert np.add.reduce(masks, dtype=int).max() > 1
    assert found.colors[0] == "#80AE80"


def test_segments_are_where_they_lie_in_the_patient(tmp_path):
    """Read on a series that begins elsewhere and goes on farther."""
    ct = scan(tmp_path / "ct")
    seg.write(masks(), ct, tmp_path / "seg.dcm", **PROGRAM)
    larger = grid((16, 15, 8), PLAIN.spacing, np.array(PLAIN.origin) - [0.8, 2.2, 2.5], np.eye(3))
    found = seg.read(tmp_path / "seg.dcm")
    mask, notes = seg.drawn(found.segments[0], found, larger)
    np.testing.assert_array_equal(mask[1:7, 2:13, 1:14], masks()["left"])
    assert (mask.sum(), notes) == (masks()["left"].sum(), [])
    smaller = grid((13, 11, 3), PLAIN.spacing, np.array(PLAIN.origin) + np.array([0, 0, 2.5]), np.eye(3))
    mask, (note,) = seg.drawn(found.segments[0], found, smaller)
    assert "lie outside the CT" in note
    with pytest.raises(InputError, match="lies outside the CT"):
        seg.drawn(found.segments[0], found, grid(SIZE, PLAIN.spacing, (500.0, 0.0, 0.0), np.eye(3)))


def test_a_prediction_that_found_nothing(tmp_path):
    ct = scan(tmp_path / "ct")
    seg.write({"a": np.zeros(SIZE[::-1], bool)}, ct, tmp_path / "seg.dcm", **PROGRAM)
    found = seg.read(tmp_path / "seg.dcm")
    mask, notes = seg.drawn(found.segments[0], found, ct.grid)
    assert (mask.any(), notes) == (False, [])


def test_names_of_patients_in_several_character_sets(tmp_path):
    def change(header, z):
        header.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        header.PatientName = "Yamada^Tarou=山田^太郎"

    write_series(tmp_path / "ct", np.zeros(SIZE[::-1], int), PLAIN, change=change)
    seg.write({"左肺": masks()["left"]}, series.find(tmp_path / "ct"), tmp_path / "seg.dcm", **PROGRAM)
    header = pydicom.dcmread(tmp_path / "seg.dcm")
    assert str(header.PatientName) == "Yamada^Tarou=山田^太郎"
    assert header.SegmentSequence[0].SegmentLabel == "左肺"


def test_frames_that_lie_far_apart_set_aside_no_memory(tmp_path, monkeypatch):
    seg.write({"left": masks()["left"]}, scan(tmp_path / "ct"), tmp_path / "seg.dcm", **PROGRAM)
    found = seg.read(tmp_path / "seg.dcm")
    monkeypatch.setattr(seg, "LARGEST_BYTES", 10)
    with pytest.raises(InputError, match="lie so far apart as in no SEG"):
        seg.drawn(found.segments[0], found, PLAIN)


def test_what_cannot_be_written(tmp_path):
    ct = scan(tmp_path / "ct")
    with pytest.raises(InputError, match="overlaps another structure"):
        seg.write(masks(), ct, tmp_path / "seg.dcm", **PROGRAM, label_map=True)
    with pytest.raises(InputError, match="cannot be a structure's name"):
        seg.write({"a\\b": masks()["left"]}, ct, tmp_path / "seg.dcm", **PROGRAM)
    assert not (tmp_path / "seg.dcm").exists()


def all_drawn(path):
    found = seg.read(path)
    return [seg.drawn(segment, found, PLAIN) for segment in found.segments]


def refused(path, words=""):
    with pytest.raises(InputError) as caught:
        all_drawn(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_sound_seg(tmp_path):
    ct = scan(tmp_path / "ct")
    refused(ct.files[0], "is no SEG but CT")
    (tmp_path / "text.dcm").write_text("segments")
    refused(tmp_path / "text.dcm", "is no DICOM file")
    seg.write(masks(), ct, tmp_path / "seg.dcm", **PROGRAM)
    content = (tmp_path / "seg.dcm").read_bytes()
    for end in range(0, len(content) - 2, len(content) // 25):
        (tmp_path / "cut.dcm").write_bytes(content[:end])
        refused(tmp_path / "cut.dcm")
    for keyword, value, words in (
        ("NumberOfFrames", 2_000_000_000, "as no SEG has"),
        ("SegmentationType", "FRACTIONAL", "of type FRACTIONAL"),
        ("Rows", 60000, ""),
    ):
        header = pydicom.dcmread(tmp_path / "seg.dcm")
        setattr(header, keyword, value)
        header.save_as(tmp_path / "lie.dcm")
        refused(tmp_path / "lie.dcm", words)


def test_without_the_extra_a_line_says_what_is_needed(tmp_path, monkeypatch):
    ct = scan(tmp_path / "ct")
    monkeypatch.setitem(__import__("sys").modules, "highdicom.seg", None)
    with pytest.raises(InputError, match="needs the package highdicom"):
        seg.write(masks(), ct, tmp_path / "seg.dcm", **PROGRAM)


def test_a_series_that_was_stripped_of_what_names_the_patient(tmp_path):
    def change(header, z):
        for name in ("PatientID", "PatientName", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
            del header[name]

    ct = scan(tmp_path / "whole", PLAIN)
    write_series(tmp_path / "ct", np.zeros(PLAIN.shape, int), PLAIN, change=change)
    for file in (tmp_path / "ct").iterdir():  # what the slice is, in the preamble alone
        header = pydicom.dcmread(file)
        header.SOPClassUID = header.SOPInstanceUID = ""
        header.save_as(file)
    bare = series.find(tmp_path / "ct")
    seg.write(masks(), bare, tmp_path / "seg.dcm", **PROGRAM)
    found = structures.read(tmp_path / "seg.dcm", structures.Frame(bare.folder, bare.grid, bare))
    assert found.names == tuple(masks())
    with pytest.raises(InputError, match="no SOPInstanceUID, to which contours refer"):
        seg.write(masks(), replace(ct, instances=("",) * len(ct.instances)), tmp_path / "other.dcm", **PROGRAM)
