"""`organbench evaluate` measures anyone's files, and `organbench compare` takes what it writes."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from organbench import cli
from organbench.evaluation import metrics

SPACING = (1.0, 2.0, 3.0)
ORGANS = "value,name\n1,liver\n2,kidneys\n3, kidneys\n"


def run(*arguments, capsys):
    status = cli.main([*map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


def blob(seed, count=3):
    rng = np.random.default_rng(seed)
    labels = np.zeros((8, 20, 20), np.uint8)
    for value in range(1, count + 1):
        z, y, x = rng.integers(0, 4, 3)
        labels[z : z + 3, y + 4 * value : y + 4 * value + 4, x : x + 6] = value
    return labels


@pytest.fixture
def folders(tmp_path):
    """Three cases, each with a reference and predictions of two programs; one file is of another format."""
    (tmp_path / "organs.csv").write_text(ORGANS)
    for folder, first in (("reference", 0), ("one", 100), ("two", 200)):
        (tmp_path / folder).mkdir()
        for case in range(3):
            image = sitk.GetImageFromArray(blob(first + case))
            image.SetSpacing(SPACING)
            suffix = "mha" if folder == "one" else "nii.gz"
            sitk.WriteImage(image, str(tmp_path / folder / f"00{case}.{suffix}"))
    return tmp_path


def arguments(folder, name="one", *others):
    given = ["evaluate", "--reference", folder / "reference", "--prediction", folder / name]
    return [*given, "--organs", folder / "organs.csv", "--output", folder / f"{name}.csv", *others]


def test_it_measures_as_a_study_does(folders, capsys):
    status, out, err = run(*arguments(folders, "one", "--tolerance", 3), capsys=capsys)
    assert (status, err) == (0, "")
    assert "3 cases, 2 organs" in out
    table = pd.read_csv(folders / "one.csv", dtype={"case": str})
    assert table.columns[:5].tolist() == ["model", "fold", "seed", "case", "organ"]
    assert table[["model", "case"]].drop_duplicates().values.tolist() == [["one", f"00{case}"] for case in range(3)]
    reference, prediction = (np.minimum(blob(seed), 2) for seed in (1, 101))
    wanted = metrics.measure(reference, prediction, organs=["liver", "kidneys"], spacing=SPACING, tolerance_mm=3.0)
    found = table[table["case"] == "001"].drop(columns=["model", "fold", "seed", "case"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)


def test_compare_takes_what_it_writes(folders, capsys):
    for name in ("one", "two"):
        assert run(*arguments(folders, name), capsys=capsys)[0] == 0
    tables = [folders / "one.csv", folders / "two.csv"]
    status, out, _ = run("compare", *tables, "--fixed", "one", "--fixed", "two", capsys=capsys)
    assert status == 0
    assert "dice:" in out
    assert "one and two judged as fixed" in out


@pytest.mark.parametrize(("missing", "cases", "zeros"), [("failure", 3, 2), ("skip", 2, 0)])
def test_a_missing_prediction_is_a_failure_or_left_out_but_only_if_that_is_said(folders, capsys, missing, cases, zeros):
    (folders / "one" / "001.mha").unlink()
    status, _, err = run(*arguments(folders), capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "has no prediction of 1 of 3 cases, the first is 001" in err
    status, _, err = run(*arguments(folders, "one", "--missing", missing, "--model", "program"), capsys=capsys)
    table = pd.read_csv(folders / "one.csv", dtype={"case": str})
    assert (status, table["case"].nunique(), set(table["model"])) == (0, cases, {"program"})
    assert (table.loc[table["case"] == "001", "dice"] == 0).sum() == zeros
    assert ("1 of 3 cases have no prediction" in err) == (missing == "failure")


def test_other_label_values_are_background_and_told(folders, capsys):
    (folders / "organs.csv").write_text("name,value\nliver,1\n")
    _, _, err = run(*arguments(folders), capsys=capsys)
    assert err == f"label values that {folders}/organs.csv does not name count as background: 2, 3\n"


def broken(folders, what):
    """Break something, and say what is wrong."""
    image = sitk.ReadImage(str(folders / "one" / "000.mha"))
    if what == "grid":
        image.SetSpacing((1, 1, 1))
        sitk.WriteImage(image, str(folders / "one" / "000.mha"))
        return "its spacing (1, 1, 1) is not that of"
    if what == "float":
        sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32) + 0.5, str(folders / "one" / "000.mha"))
        return "has values between whole numbers"
    if what == "twice":
        sitk.WriteImage(image, str(folders / "one" / "000.nrrd"))
        return "000.mha beside it has the same name"
    if what == "empty":
        for path in (folders / "one").iterdir():
            path.unlink()
        return "holds no label map"
    if what == "names":
        for path in (folders / "one").iterdir():
            path.rename(path.with_name(f"case{path.name}"))
        return "holds no file named as one of"
    return what


@pytest.mark.parametrize("what", ["grid", "float", "twice", "empty", "names"])
def test_what_does_not_fit_is_told_in_one_line(folders, capsys, what):
    words = broken(folders, what)
    status, out, err = run(*arguments(folders), capsys=capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no table with the columns value and name"),
        ("value,organ\n1,liver\n", "is no table with the columns value and name"),
        ("value,name\n0,liver\n", "line 2: 0 is no label value"),
        ("value,name\n1.5,liver\n", "line 2: 1.5 is no label value"),
        ("value,name\n1,liver\n1,spleen\n", "line 3: value 1 is named twice"),
        ("value,name\n1,\n", "line 2: names no organ"),
        ("value,name\n1\n", "line 2: names no organ"),
    ],
)
def test_a_table_of_organs_that_is_none(folders, capsys, content, words):
    (folders / "organs.csv").write_text(content)
    status, _, err = run(*arguments(folders), capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert words in err


def test_a_tolerance_is_a_length(folders, capsys):
    for wrong in ("0", "nan", "inf", "-1"):
        assert run(*arguments(folders, "one", f"--tolerance={wrong}"), capsys=capsys)[0] == 2
