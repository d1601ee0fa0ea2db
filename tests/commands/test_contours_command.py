"""`organbench contours read` and `write`, as a person runs them."""

import csv
import io

import numpy as np
import pytest
import SimpleITK as sitk
from dicoms import write_series
from geometry import grid

from organbench import cli
from organbench.data import images, slicer
from organbench.data.dicom import rtstruct, series
from organbench.data.grids import Grid, differences

SIZE = (13, 11, 6)  # x y z
PLAIN = grid(SIZE, (0.8, 1.1, 2.5), (-120.5, -80.25, -300.0), np.eye(3))
NAMES = 'value,name\n1,liver\n2,"kidney, left"\n3,"kidney, left"\n'


def run(*arguments, capsys):
    status = cli.main(["contours", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.fixture
def ct(tmp_path):
    write_series(tmp_path / "ct", np.zeros(PLAIN.shape, int), PLAIN)
    return tmp_path / "ct"


@pytest.fixture
def values():
    found = np.zeros(PLAIN.shape, np.uint8)
    found[:3, 1:9, 2:6], found[2:4, 2:4, 8:], found[4, 10, 12] = 1, 2, 3
    found[1, 4:6, 3:5] = 0  # a hole
    return found


@pytest.fixture
def names(tmp_path):
    (tmp_path / "names.csv").write_text(NAMES)
    return tmp_path / "names.csv"


def volume_ml(mask):
    return mask.sum() * 0.8 * 1.1 * 2.5 / 1000


@pytest.mark.parametrize("options", [[], ["--keyholes"], ["--format", "seg"]])
@pytest.mark.parametrize("orientation", ["LPS", "LAS", "RAI"])
def test_there_and_back(tmp_path, capsys, write_image, ct, values, names, options, orientation):
    if "seg" in options:
        pytest.importorskip("highdicom", reason="requirements-seg.txt is not installed")
    labels = write_image("labels.nii.gz", values, spacing=PLAIN.spacing, origin=PLAIN.origin)
    images.write(sitk.DICOMOrient(sitk.ReadImage(str(labels)), orientation), labels)
    rtss, back = tmp_path / "rtss.dcm", tmp_path / "back.nii.gz"
    status, out, err = run("write", labels, ct, "--names", names, "--output", rtss, *options, capsys=capsys)
    assert (status, err) == (0, "")
    assert f"liver: {volume_ml(values == 1):.2f} ml" in out
    status, out, err = run("read", rtss, ct, "--output", back, capsys=capsys)
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["value"], row["name"]) for row in rows] == [("1", "liver"), ("2", "kidney, left")]
    assert float(rows[1]["ml"]) == pytest.approx(volume_ml(values > 1), abs=0.005)
    image = images.read(back)
    assert not list(differences(PLAIN, Grid.of(image)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), np.minimum(values, 2))
    (tmp_path / "again.csv").write_text(out)  # what `read` prints is what `write` needs
    status, _, _ = run("write", back, ct, "--names", tmp_path / "again.csv", "--output", rtss, capsys=capsys)
    assert status == 0


def test_of_a_segmentation_names_decide_what_is_written_and_not_values(tmp_path, capsys, ct, values, names):
    masks = {"kidney, left": values > 1, "liver": values == 1, "other": values == 0}  # liver has the value 2
    slicer.write(masks, PLAIN, tmp_path / "a.seg.nrrd", colors={})
    rtss = tmp_path / "rtss.dcm"
    names.write_text('value,name\n1,liver\n2,"kidney, left"\n')
    status, out, err = run("write", tmp_path / "a.seg.nrrd", ct, "--names", names, "--output", rtss, capsys=capsys)
    assert status == 0
    assert f"liver: {volume_ml(values == 1):.2f} ml\n" in out
    assert "a.seg.nrrd: left out, as" in err
    assert err.endswith("does not have it: other\n")
    run("read", rtss, ct, "--output", tmp_path / "back.nii.gz", capsys=capsys)
    back = sitk.GetArrayFromImage(images.read(tmp_path / "back.nii.gz"))
    np.testing.assert_array_equal(back, np.minimum(values, 2))


@pytest.fixture
def overlapping(tmp_path, ct, values):
    """The masks of an RTSTRUCT with a body, which is named first, a liver in it, and what was never drawn."""
    masks = {"body": np.ones(PLAIN.shape, bool), "liver": values == 1, "never": np.zeros(PLAIN.shape, bool)}
    path, colors = tmp_path / "rtss.dcm", {"liver": "#E69F00"}
    rtstruct.write(masks, series.find(ct), path, colors=colors, algorithm="a", version="1")
    return masks


def test_of_structures_that_overlap_the_first_in_the_file_has_the_voxels(tmp_path, capsys, ct, overlapping):
    status, out, err = run("read", tmp_path / "rtss.dcm", ct, "--output", tmp_path / "labels.mha", capsys=capsys)
    assert status == 0
    liver, whole = (volume_ml(overlapping[name]) for name in ("liver", "body"))
    lost = f"liver ({liver:.2f} ml) lost {overlapping['liver'].sum()} voxels ({liver:.2f} ml) to body\n"
    assert f"rtss.dcm: structures overlap, of which the first named has the voxels in the label map: {lost}" in err
    assert "never: is named, but was never drawn" in err
    assert f"1,body,{whole:.2f}\n2,liver,{liver:.2f}\n" in out  # as drawn
    np.testing.assert_array_equal(images_of(tmp_path / "labels.mha"), 1)
    status, _, err = run("read", tmp_path / "rtss.dcm", ct, "--output", tmp_path / "a.seg.nrrd", capsys=capsys)
    assert "overlap" not in err
    found = slicer.read(tmp_path / "a.seg.nrrd")
    assert [(one.name, one.color) for one in found.segments] == [("body", None), ("liver", "#E69F00")]
    assert slicer.drawn(found.segments[0], found, PLAIN)[0].all()


def test_of_structures_that_are_named_the_first_has_the_voxels(tmp_path, capsys, ct, overlapping):
    (tmp_path / "names.csv").write_text("value,name\n300,LIV*\n7,body\n9,spleen\n")
    given = ("read", tmp_path / "rtss.dcm", ct, "--names", tmp_path / "names.csv", "--output", tmp_path / "labels.mha")
    status, out, err = run(*given, capsys=capsys)
    assert status == 0
    liver, whole = (volume_ml(overlapping[name]) for name in ("liver", "body"))
    assert f"body ({whole:.2f} ml) lost {overlapping['liver'].sum()} voxels ({liver:.2f} ml) to LIV*\n" in err
    assert "rtss.dcm: nothing was drawn that is called spleen\n" in err
    assert out == f"value,name,ml\n300,LIV*,{liver:.2f}\n7,body,{whole:.2f}\n"
    np.testing.assert_array_equal(images_of(tmp_path / "labels.mha"), np.where(overlapping["liver"], 300, 7))


def test_structures_that_are_not_named_are_left_out(tmp_path, capsys, ct, overlapping):
    (tmp_path / "names.csv").write_text("value,name\n1,liver\n")
    given = ("read", tmp_path / "rtss.dcm", ct, "--names", tmp_path / "names.csv", "--output", tmp_path / "labels.mha")
    status, _, err = run(*given, capsys=capsys)
    assert status == 0
    assert "names.csv does not have it: body\n" in err
    assert "overlap" not in err
    np.testing.assert_array_equal(images_of(tmp_path / "labels.mha"), overlapping["liver"])
    for text, words in (
        ("1,spleen\n", "rtss.dcm: has none of "),
        ("1,liver\n2,liver\n", "liver has 2 values; leave one"),
        ("1,liver\n2,liv*\n", "structure liver is of liver and of liv* by "),
    ):
        (tmp_path / "names.csv").write_text(f"value,name\n{text}")
        status, _, err = run(*given, capsys=capsys)
        assert (status, err.count("\n")) == (2, 1)
        assert words in err


def images_of(path):
    return sitk.GetArrayFromImage(images.read(path))


def test_labels_beside_the_ct_are_told(tmp_path, capsys, write_image, ct, values, names):
    origin = np.array(PLAIN.origin) - [0.8 * 3, 0, 0]
    labels = write_image("labels.nii.gz", values, spacing=PLAIN.spacing, origin=origin)
    status, _, err = run("write", labels, ct, "--names", names, "--output", tmp_path / "a.dcm", capsys=capsys)
    assert status == 0
    lost = np.count_nonzero(values[..., :3])
    assert f"labels.nii.gz: {lost} of its labelled voxels lie outside the CT and were left out\n" in err


def test_what_is_left_out_is_told(tmp_path, capsys, write_image, ct, values):
    (tmp_path / "names.csv").write_text("value,name\n1,liver\n")
    labels = write_image("labels.nii.gz", values, spacing=PLAIN.spacing, origin=np.array(PLAIN.origin) + 0.3)
    status, _, err = run(
        "write", labels, ct, "--names", tmp_path / "names.csv", "--output", tmp_path / "a.dcm", capsys=capsys
    )
    assert status == 0
    assert "values without a name are left out: 2, 3" in err
    assert "of its labelled voxels lie outside the CT" not in err
    assert "on another grid than the CT: brought there by nearest neighbour, up to 0.52 mm" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["read", "none.dcm", "ct"], "none.dcm"),
        (["read", "names.csv", "ct"], "in which structures have names"),
        (["read", "rtss.dcm", "empty"], "is no folder"),
        (["read", "ct/0000", "ct"], "in which structures have names"),
        (["write", "none.nii.gz", "ct", "--names", "names.csv"], "there is no such file"),
        (["write", "far.nii.gz", "ct", "--names", "names.csv"], "lies beside the CT"),
        (["write", "far.nii.gz", "ct", "--names", "none.csv"], "none.csv"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    tmp_path, capsys, monkeypatch, write_image, ct, values, names, arguments, words
):
    monkeypatch.chdir(tmp_path)
    write_image("far.nii.gz", values, spacing=PLAIN.spacing, origin=(900, 0, 0))
    status, out, err = run(*arguments, "--output", tmp_path / "out.nii.gz", capsys=capsys)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out.nii.gz").exists()


@pytest.mark.parametrize("output", ["ct/0003", "labels.nii.gz", "names.csv", "rtss.nii.gz", "out.mhd", "out.png", "ct"])
def test_what_is_read_is_not_replaced_and_files_are_named_for_what_they_hold(
    tmp_path, capsys, write_image, ct, values, names, output
):
    labels = write_image("labels.nii.gz", values, spacing=PLAIN.spacing, origin=PLAIN.origin)
    rtss, output = tmp_path / "rtss.nii.gz", tmp_path / output
    given = ("write", labels, ct, "--names", names, "--output")
    assert run(*given, rtss, capsys=capsys)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    if output.exists() and output != rtss:
        status, _, err = run(*given, output, capsys=capsys)
        assert (status, err.count("\n")) == (2, 1)
    status, _, err = run("read", rtss, ct, "--names", names, "--output", output, capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "disk" not in err
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_structure_set_of_another_scan(tmp_path, capsys, ct, values):
    write_series(tmp_path / "other", np.zeros(PLAIN.shape, int), PLAIN)
    scan = series.find(tmp_path / "other")
    rtstruct.write({"liver": values == 1}, scan, tmp_path / "a.dcm", colors={}, algorithm="a", version="1")
    status, _, err = run("read", tmp_path / "a.dcm", ct, "--output", tmp_path / "b.nii.gz", capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "another frame of reference" in err
