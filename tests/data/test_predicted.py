"""Predictions made elsewhere as structures with names: RTSTRUCT, SEG and .seg.nrrd, by the reader of references."""

import numpy as np
import pytest
from dicoms import write_series, write_structures
from geometry import grid

from organbench.core.errors import InputError
from organbench.data import conversion, grids, images, predicted, shared_voxels, slicer
from organbench.data.dicom import series
from organbench.data.structures import Frame

PLAIN = grid((14, 12, 6), (0.8, 1.1, 2.5), (-5.0, 3.0, 20.0))  # x y z
ORGANS = ["liver", "kidneys", "spleen"]
NAMES = {"liver": ["Liver", "liver_*"], "kidneys": ["Kidney?[LR]"], "spleen": ["spleen"]}
WHERE = "models.product.labels"


def masks():
    """A liver, two kidneys of which one overlaps it, and what nobody asks for."""
    found = {name: np.zeros(PLAIN.shape, bool) for name in ("PTV", "Kidney L", "Kidney R", "LIVER")}
    found["LIVER"][1:4, 2:8, 2:7] = True
    found["Kidney L"][2:5, 3:6, 5:10] = True
    found["Kidney R"][2:3, 9:11, 1:3] = True
    found["PTV"][1:2, 9:11, 9:12] = True
    return found


@pytest.fixture
def ct(tmp_path):
    write_series(tmp_path / "CT", np.random.default_rng(0).integers(-1000, 1000, PLAIN.shape), PLAIN)
    return tmp_path / "CT"


@pytest.fixture
def frame(ct):
    """The scan as a prepared case knows it."""
    organs = {organ: [index] for index, organ in enumerate(ORGANS, start=1)}
    labels = images_of(ct.parent / "labels.nii.gz", np.arange(PLAIN.voxels).reshape(PLAIN.shape) % 4)
    *_, info = conversion.prepare("7", ct, labels, organs=organs, spacing=[None] * 3)
    return Frame.of_case(ct, info)


def images_of(path, array):
    images.write(grids.to_image(array.astype(np.uint8), PLAIN), path)
    return path


def write(kind, ct, path, made):
    """Write masks as a file of a kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "seg":
        pytest.importorskip("highdicom", reason="requirements-seg.txt is not installed")
        from organbench.data.dicom import seg

        seg.write(made, series.find(ct), path, colors={}, algorithm="test", version="1")
    elif kind == "rtstruct":
        write_structures(ct, made, path)
    else:
        slicer.write(made, PLAIN, path, colors={})


def collect(path, frame, names=NAMES):
    return predicted.collect({str(path): names}, ORGANS, frame, WHERE)


@pytest.mark.parametrize(("kind", "name"), [("rtstruct", "a.dcm"), ("seg", "a.dcm"), ("slicer", "a.seg.nrrd")])
@pytest.mark.parametrize("is_folder", [False, True])
def test_structures_are_read_as_those_of_references_are(ct, frame, tmp_path, kind, name, is_folder):
    write(kind, ct, tmp_path / "made" / name, masks())
    found = collect(tmp_path / "made" if is_folder else tmp_path / "made" / name, frame)
    drawn = masks()
    kidneys = drawn["Kidney L"] | drawn["Kidney R"]
    np.testing.assert_array_equal(found.indices, np.where(drawn["LIVER"], 1, np.where(kidneys, 2, 0)))
    assert list(found.drawn) == [2]
    np.testing.assert_array_equal(found.drawn[2], kidneys)
    lost = int((kidneys & drawn["LIVER"]).sum())
    assert found.claimed_twice == lost
    lines = found.lines()
    assert "no file or structure with spleen: counted as missed" in lines
    assert any(line.endswith("structures that were drawn: PTV, Kidney L, Kidney R, LIVER") for line in lines)
    assert any(f"lost {lost} voxels" in line and line.endswith("to liver") for line in lines)
    assert found.told() == {"offset_mm": None, "covered": None, "missing": ["spleen"]}


def test_what_is_drawn_comes_back_from_the_file_beside_the_prediction(ct, frame, tmp_path):
    write("rtstruct", ct, tmp_path / "a.dcm", masks())
    found = collect(tmp_path / "a.dcm", frame)
    shared_voxels.write_drawn(found.drawn, tmp_path / "a.drawn.npz")
    drawn, unannotated = shared_voxels.read_drawn(tmp_path / "a.drawn.npz", PLAIN)
    np.testing.assert_array_equal(drawn[2], found.drawn[2])
    assert unannotated == set()


def test_what_is_named_but_empty_is_an_empty_prediction_and_no_missing_one(ct, frame, tmp_path):
    nothing = {name: np.zeros(PLAIN.shape, bool) for name in ("liver", "kidney l", "spleen")}
    write("rtstruct", ct, tmp_path / "a.dcm", nothing)
    found = collect(tmp_path / "a.dcm", frame)
    assert (found.indices.any(), found.missing, found.lines()) == (False, [], [])
    write("rtstruct", ct, tmp_path / "b.dcm", {"PTV": masks()["PTV"]})
    assert collect(tmp_path / "b.dcm", frame).missing == ORGANS


def test_an_organ_that_is_not_offered_is_not_missed(ct, frame, tmp_path):
    write("rtstruct", ct, tmp_path / "a.dcm", masks())
    found = collect(tmp_path / "a.dcm", frame, {"kidneys": NAMES["kidneys"]})
    np.testing.assert_array_equal(found.indices == 2, masks()["Kidney L"] | masks()["Kidney R"])
    assert (found.missing, set(np.unique(found.indices))) == ([], {0, 2})


def test_a_file_of_which_nothing_is_wanted_is_not_read(ct, frame, tmp_path):
    write("rtstruct", ct, tmp_path / "a.dcm", masks())
    found = collect(tmp_path / "a.dcm", frame, {})
    assert (found.indices.any(), found.missing, found.lines()) == (False, [], [])


@pytest.mark.parametrize("name", ["none.dcm", "none.seg.nrrd", "none", "empty"])
def test_a_file_that_is_not_there_is_a_failure(frame, tmp_path, name):
    (tmp_path / "empty").mkdir()
    found = collect(tmp_path / name, frame)
    assert (found.indices.any(), found.missing) == (False, ORGANS)


def test_of_several_files_the_one_that_refers_to_the_scan_is_read(ct, frame, tmp_path):
    write_series(tmp_path / "other", np.zeros(PLAIN.shape, int), PLAIN)
    write("rtstruct", tmp_path / "other", tmp_path / "made" / "1", {"liver": masks()["PTV"]})
    write("rtstruct", ct, tmp_path / "made" / "2", {"liver": masks()["LIVER"]})
    np.testing.assert_array_equal(collect(tmp_path / "made", frame).indices == 1, masks()["LIVER"])


def test_structures_of_another_scan_are_refused_in_one_line(ct, frame, tmp_path):
    uid = series.find(ct).frame_of_reference
    write_series(tmp_path / "other", np.zeros(PLAIN.shape, int), PLAIN)
    write_series(tmp_path / "beside", np.zeros(PLAIN.shape, int), PLAIN, frame=uid)
    for place, words in (
        ("other", f"was drawn in another frame of reference than that of the CT in {ct}; give"),
        ("beside", f"was drawn on another series than that of the CT in {ct}; give the structures of that CT"),
    ):
        write("rtstruct", tmp_path / place, tmp_path / f"{place}.dcm", masks())
        with pytest.raises(InputError) as refused:
            collect(tmp_path / f"{place}.dcm", frame)
        assert words in str(refused.value)
        assert str(refused.value).startswith(f"{tmp_path}/{place}.dcm: ")
        assert "\n" not in str(refused.value)
    (tmp_path / "made").mkdir()
    (tmp_path / "other.dcm").rename(tmp_path / "made" / "rs")
    with pytest.raises(InputError, match=r"made: none of 1 files with structures refers to the series of"):
        collect(tmp_path / "made", frame)


def test_what_does_not_hold_what_was_said_is_refused(ct, frame, tmp_path):
    write("rtstruct", ct, tmp_path / "made" / "a.dcm", masks())
    array = np.ones(PLAIN.shape)
    for path, names, words in (
        (images_of(tmp_path / "b.nii.gz", array), NAMES, "in which structures have names; give another file"),
        (tmp_path / "made", {"liver": ["liver"], "spleen": ["l*"]}, f"LIVER is of liver and of spleen by {WHERE}"),
        (ct, NAMES, "holds no RTSTRUCT"),
    ):
        with pytest.raises(InputError) as refused:
            collect(path, frame, names)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_damaged_file_is_refused(ct, frame, tmp_path):
    write("rtstruct", ct, tmp_path / "a.dcm", {"liver": masks()["LIVER"]})
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=r"a\.dcm: "):
        collect(tmp_path / "a.dcm", frame)
