"""A data set's cases are found by the names of its files."""

import re

import pytest

from organbench.core.errors import InputError
from organbench.data import finding, names


@pytest.fixture
def find(tmp_path):
    """The cases that are found when these files lie in the folder."""

    def among(files, image="volume-{case}.nii.gz", label="labels-{case}.nii.gz"):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        names, incomplete = finding.find_cases(
            {"source": "nifti", "root": str(tmp_path), "image": image, "label": label, "on_bad_case": "stop"}
        )
        assert incomplete == {}
        return names

    return among


def pairs(image, label, cases):
    return [pattern.replace("{case}", case) for case in cases for pattern in (image, label)]


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("volume-{case}.nii.gz", "labels-{case}.nii.gz"),
        ("{case}/ct.nii.gz", "{case}/labels.nii.gz"),
        ("imagesTr/{case}_0000.nii.gz", "labelsTr/{case}.nii.gz"),
        ("{case}/{case}-ct.nii", "{case}/{case}-seg.nii"),
        ("{case}.nii.gz", "{case}-labels.nii.gz"),
        ("{case}_0000.nii.gz", "{case}.nii.gz"),
        ("[ct] {case}.nii.gz", "(seg)+{case}.nii.gz"),
    ],
)
def test_cases_are_found_by_any_pattern_in_natural_order(find, image, label):
    cases = ["10", "9", "2", "b.1", "p_007-x"]
    others = ["notes.txt", "deep/er/volume-3.nii.gz", "x/y-ct.nii"]
    assert find([*pairs(image, label, cases), *others], image, label) == ["2", "9", "10", "b.1", "p_007-x"]


def test_phantoms_are_numbered():
    assert finding.find_cases({"source": "phantom", "phantom": {"cases": 3}}) == (["0", "1", "2"], {})


BOTH = ["volume-1.nii.gz", "labels-1.nii.gz"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no file matches dataset.image"),
        (["labels-1.nii.gz"], "no file matches dataset.image"),
        ([*BOTH, "volume-2.nii.gz"], "volume-2.nii.gz: has no labels; add .*labels-2.nii.gz"),
        ([*BOTH, "labels-2.nii.gz"], "labels-2.nii.gz: has no volume; add .*volume-2.nii.gz"),
        (["volume-a b.nii.gz", "labels-a b.nii.gz"], "'a b' cannot name a folder"),
        (["volume-a..b.nii.gz", "labels-a..b.nii.gz"], "cannot name a folder"),
        (["volume-...nii.gz", "labels-...nii.gz"], "cannot name a folder"),
        (["volume--rf.nii.gz", "labels--rf.nii.gz"], "cannot name a folder"),
        (["volume-\u00e9.nii.gz", "labels-\u00e9.nii.gz"], "cannot name a folder"),
        (["volume-1\n.nii.gz", "labels-1\n.nii.gz"], "cannot name a folder"),
        (["volume-{x}.nii.gz", "labels-{x}.nii.gz"], "cannot name a folder"),
    ],
)
def test_folders_that_are_not_right_are_refused(find, tmp_path, files, message):
    with pytest.raises(InputError, match=message) as refusal:
        find(files)
    assert str(tmp_path) in str(refusal.value)


def test_a_folder_and_the_labels_must_be_there(tmp_path, find):
    with pytest.raises(InputError, match=r"absent: .*set dataset.root"):
        finding.find_cases({"source": "nifti", "root": str(tmp_path / "absent"), "image": "{case}", "label": "l{case}"})
    with pytest.raises(InputError, match=re.escape("c-1.nii")):
        find(["a-1.nii"], image="a-{case}.nii", label="c-{case}.nii")


@pytest.mark.parametrize("name", ["0", "volume", "p_007-x", "1.2.840.113", "A-b_c.d"])
def test_names_that_can_be_folders(name):
    assert re.fullmatch(names.CASE_NAME, name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a..b", ".hidden", "a.", "-rf", "a b", "a\n", "{a}", "*"]
)
def test_names_that_cannot_be_folders(name):
    assert not re.fullmatch(names.CASE_NAME, name)


def test_some_of_the_cases_of_a_folder(tmp_path):
    dataset = {
        "source": "nifti",
        "root": str(tmp_path),
        "image": "v-{case}",
        "label": "l-{case}",
        "on_bad_case": "stop",
    }
    for case in ("1", "2", "10"):
        (tmp_path / f"v-{case}").touch()
        (tmp_path / f"l-{case}").touch()
    assert finding.find_cases(dataset | {"cases": ["10", 1]}) == (["1", "10"], {})
    with pytest.raises(InputError, match=r"dataset.cases: there is no case 7 in"):
        finding.find_cases(dataset | {"cases": [1, 7]})
