"""Organs among the structures of a file, by names; the right file in a folder; overlaps and what is missing."""

import numpy as np
import pytest
import SimpleITK as sitk
from dicoms import write_series, write_structures
from geometry import grid

from organbench.core.errors import InputError
from organbench.data import conversion, grids, references, shared_voxels, slicer, structures
from organbench.data.grids import Grid
from organbench.data.structures import Drawing, Frame

WANTED = grid((14, 12, 6), (0.8, 1.1, 2.5), (-5.0, 3.0, 20.0))
NAMES = {"liver": ["Liver", "liver_*"], "kidney": ["Kidney?[LR]"], "bone": ["BONE"]}


def masks():
    """A liver, two kidneys of which one overlaps the liver, and a structure that nobody asks for."""
    found = {name: np.zeros(WANTED.shape, bool) for name in ("LIVER ", "kidney l", "Kidney R", "PTV")}
    found["LIVER "][1:4, 2:8, 2:7] = True
    found["kidney l"][2:5, 3:6, 5:10] = True
    found["Kidney R"][2:3, 9:11, 1:3] = True
    found["PTV"][1:2, 9:11, 9:12] = True
    return found


@pytest.fixture
def ct(tmp_path):
    """A CT series of random HU."""
    write_series(tmp_path / "CT", np.random.default_rng(0).integers(-1000, 1000, WANTED.shape), WANTED)
    return tmp_path / "CT"


@pytest.fixture
def rtstruct(ct, tmp_path):
    """The structures as RTSTRUCT in a folder of its own."""
    write_structures(ct, masks(), tmp_path / "RTSTRUCT" / "rs.1")
    return tmp_path / "RTSTRUCT"


@pytest.mark.parametrize(
    ("name", "patterns", "fit"),
    [
        ("Liver", ["liver"], True),
        (" L i VER ", ["Liver"], True),
        ("liver_old", ["liver"], False),
        ("liver_old", ["Liver_*"], True),
        ("Liver[1]", ["liver[1]"], True),
        ("Kidney R", ["kidney[lr]"], True),
        ("Kidney", ["kidney?[lr]"], False),
        ("Straße", ["STRASSE"], True),
        ("lungs", ["liver", "lung?"], True),
        ("Kidney_R", ["kidney?[lr]"], True),
        ("Kidney  R", ["kidney?r"], True),
        ("KidneyR", ["Kidney R"], True),
    ],
)
def test_names_fit_whatever_their_case_and_spaces(name, patterns, fit):
    assert structures.fits(name, patterns) == fit


def test_a_structure_of_two_organs_or_none_at_all_is_refused(tmp_path):
    drawing = Drawing(tmp_path / "rs", ("Lung L", "Heart"), lambda place: (np.zeros(1, bool), []))
    with pytest.raises(InputError, match=r"structure Lung L is of lungs and of left_lung by dataset.organs"):
        structures.matched(drawing, {"lungs": ["lung*"], "left_lung": ["lung l"]})
    with pytest.raises(InputError, match=r"rs: has none of dataset.organs but Lung L, Heart; add their names there"):
        structures.matched(drawing, {"liver": ["liver"]})


def test_each_organ_is_a_mask_of_its_own_and_the_first_has_the_voxels(ct, rtstruct):
    found = references.read(rtstruct, Frame.of(ct), NAMES)
    drawn = masks()
    kidneys = drawn["kidney l"] | drawn["Kidney R"]
    np.testing.assert_array_equal(found.labels == 1, drawn["LIVER "])
    np.testing.assert_array_equal(found.labels == 2, kidneys & ~drawn["LIVER "])
    assert list(found.drawn) == [2]
    np.testing.assert_array_equal(found.drawn[2], kidneys)
    told = found.told()
    assert told["names"] == ["LIVER", "kidney l", "Kidney R", "PTV"]
    assert told["matched"] == {"liver": ["LIVER"], "kidney": ["kidney l", "Kidney R"]}
    assert told["overlaps"] == [{"kept": "liver", "lost": "kidney", "voxels": int((kidneys & drawn["LIVER "]).sum())}]
    assert references.read(rtstruct, Frame.of(ct), NAMES, absent=True).unannotated == ()


def test_what_was_drawn_is_read_as_it_was_written(ct, rtstruct, tmp_path):
    found = references.read(rtstruct, Frame.of(ct), NAMES)
    references.write_drawn(found, list(NAMES), tmp_path / "drawn.npz")
    drawn, unannotated = shared_voxels.read_drawn(tmp_path / "drawn.npz", found.grid)
    np.testing.assert_array_equal(drawn[2], found.drawn[2])
    assert unannotated == {3}
    assert shared_voxels.read_drawn(None, found.grid) == ({}, set())
    turned = Grid(found.grid.size, found.grid.spacing, found.grid.origin, tuple(np.diag([-1.0, -1.0, 1.0]).ravel()))
    mirrored, _ = shared_voxels.read_drawn(tmp_path / "drawn.npz", turned)
    np.testing.assert_array_equal(mirrored[2], found.drawn[2][:, ::-1, ::-1])
    (tmp_path / "drawn.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"drawn.npz: damaged"):
        shared_voxels.read_drawn(tmp_path / "drawn.npz", found.grid)


def test_of_several_files_the_one_that_refers_to_the_series_is_read(ct, rtstruct, tmp_path):
    write_series(tmp_path / "other", np.zeros(WANTED.shape), WANTED)
    write_structures(tmp_path / "other", masks(), rtstruct / "rs.2")
    (rtstruct / "notes.txt").write_text("notes")
    assert references.read(rtstruct, Frame.of(ct), NAMES).file == "rs.1"
    assert references.read(rtstruct, Frame.of(tmp_path / "other"), NAMES).file == "rs.2"
    write_structures(ct, masks(), rtstruct / "rs.3")
    with pytest.raises(InputError, match=r"2 files with structures are of this scan \(rs.1, rs.3\); leave one"):
        references.read(rtstruct, Frame.of(ct), NAMES)
    write_series(tmp_path / "third", np.zeros(WANTED.shape), WANTED)
    with pytest.raises(InputError, match="none of 3 files with structures refers to the series of"):
        references.read(rtstruct, Frame.of(tmp_path / "third"), NAMES)
    with pytest.raises(InputError, match="holds no RTSTRUCT or SEG"):
        references.read(tmp_path / "third", Frame.of(ct), NAMES)
    with pytest.raises(InputError, match=r"notes.txt: is no RTSTRUCT or SEG"):
        references.read(rtstruct / "notes.txt", Frame.of(ct), NAMES)
    with pytest.raises(InputError, match="another frame of reference"):
        references.read(rtstruct / "rs.1", Frame.of(tmp_path / "other"), NAMES)


def test_series_and_structures_may_lie_in_one_folder(ct, rtstruct):
    (rtstruct / "rs.1").rename(ct / "rs.1")
    assert references.read(ct, Frame.of(ct), NAMES).file == "rs.1"


def test_segmentations_of_slicer_are_told_by_names_in_every_file_anew(ct, tmp_path):
    kept = {name.strip(): mask for name, mask in masks().items()}
    for number, order in enumerate((list(kept), list(kept)[::-1])):
        path = tmp_path / f"{number}.seg.nrrd"
        slicer.write({name: kept[name] for name in order}, Frame.of(ct).grid, path, colors={})
        found = references.read(path, Frame.of(ct), NAMES)
        np.testing.assert_array_equal(found.labels == 1, kept["LIVER"])
        np.testing.assert_array_equal(found.drawn[2], kept["kidney l"] | kept["Kidney R"])


def test_seg_is_read_as_drawn(ct, tmp_path):
    pytest.importorskip("highdicom", reason="highdicom is not installed")
    from organbench.data.dicom import seg, series

    kept = {name.strip(): mask for name, mask in masks().items()}
    seg.write(kept, series.find(ct), tmp_path / "seg", colors={}, algorithm="test", version="1")
    found = references.read(tmp_path / "seg", Frame.of(ct), NAMES)
    np.testing.assert_array_equal(found.labels == 1, kept["LIVER"])
    np.testing.assert_array_equal(found.drawn[2], kept["kidney l"] | kept["Kidney R"])


def test_a_case_is_prepared_from_a_series_and_structures(ct, rtstruct, tmp_path):
    found = references.read(rtstruct, Frame.of(ct), NAMES)
    organs = {organ: [index] for index, organ in enumerate(NAMES, start=1)}
    image, label, info = conversion.prepare("a", ct, rtstruct, organs=organs, spacing=[None] * 3, reference=found)
    np.testing.assert_array_equal(label, found.labels)
    assert image.shape == WANTED.shape
    assert info["original_voxels"]["kidney"] == int(found.drawn[2].sum())
    assert info["voxels"]["kidney"] == int((found.labels == 2).sum())
    assert info["structures"] == found.told()
    assert info["unannotated"] == ["bone"]
    assert set(info["series"]) == {"study", "uid", "frame_of_reference"}
    conversion.write_labels(found.labels, found.grid, organs, tmp_path / "labels.nii.gz")
    written = sitk.ReadImage(str(tmp_path / "labels.nii.gz"))
    assert not any(grids.differences(found.grid, Grid.of(written)))


def test_what_a_data_set_holds_is_told_by_names(ct, rtstruct):
    found = references.read(rtstruct, Frame.of(ct), NAMES)
    info = {"case": "7", "organs": dict.fromkeys(NAMES), "structures": found.told(), "unannotated": ["bone"]}
    info["structures"]["asked"] = {"names": list(NAMES.values()), "missing": "unannotated"}
    lines = references.survey([info])
    assert "structure 'LIVER': in 1 cases, taken as liver" in lines
    assert "structure 'PTV': in 1 cases, not used" in lines
    assert "note: dataset.organs: of bone, 'BONE' matches no structure in any case" in lines
    assert "note: bone was not drawn in case 7, so it is neither learned nor scored there" in lines
    assert "note: kidney is several structures, which are merged, in case 7" in lines
    assert any(line.startswith("note: kidney overlaps liver, which has these voxels") for line in lines)
    assert references.survey([{"case": "7", "organs": {"liver": [1]}}]) == []
