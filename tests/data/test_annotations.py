"""Which organs were annotated in which case: from a table, and what follows before anything is trained."""

import pytest
from tiny import ORGANS, label_map, make_case, write_patient

from organbench.core.errors import InputError
from organbench.data import annotations, cases, conversion, origins

CASES = ["a", "b", "c"]


def read(tmp_path, text, **changes):
    path = tmp_path / "annotated.csv"
    path.write_text(text)
    dataset = {"annotated": str(path), "organs": {"liver": [1], "bone": [5], "brain": [6]}, "cases": None} | changes
    return annotations.read(dataset, CASES)


def test_a_line_per_organ_says_what_was_annotated_and_other_cases_have_all(tmp_path):
    text = "organ,case,by\nliver,a,me\nbrain,a,me\nbone,b,you\nbone, b ,me\nliver,c,\nbone,c,\nbrain,c,\n"
    assert read(tmp_path, text) == {"a": [2], "b": [1, 3]}
    assert read(tmp_path, "case,organ\n") == {}
    assert annotations.read({"annotated": None, "organs": {"liver": [1]}}, CASES) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case,organ\na,liver\na,spleen\n", r"annotated.csv, line 3: 'spleen' is not in dataset.organs; correct"),
        ("case,organ\na,\n", r"line 2: '' is not in dataset.organs"),
        ("case,organ\nd,liver\n", r"line 2: there is no case 'd' in the data set; correct the name"),
        ("case,organs\na,liver\n", r"the first line must name the columns case,organ"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_in_a_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


def test_a_table_may_be_of_more_cases_than_the_study_but_must_be_there(tmp_path):
    assert read(tmp_path, "case,organ\nd,liver\na,liver\n", cases=CASES) == {"a": [2, 3]}
    with pytest.raises(InputError, match=r"gone.csv: the table of annotated organs is not there; check dataset.annot"):
        read(tmp_path, "", annotated="gone.csv")


def test_a_case_knows_what_was_not_annotated_also_when_organs_are_renamed(tmp_path):
    assert make_case(tmp_path, "a").unannotated == ()
    paths = write_patient(tmp_path, "b", label_map(bladder=False))
    options = {"organs": ORGANS, "spacing": [None] * 3, "unannotated": ["bladder"]}
    conversion.convert("b", *paths, tmp_path / "b", **options)
    assert cases.load(tmp_path / "b").unannotated == (2,)
    info = cases.named(cases.read_info(tmp_path / "b" / "case.json"), ["hepar", "vesica"])
    assert annotations.unannotated(info) == ["vesica"]
    assert annotations.indices(info) == (2,)
    row = cases.overview(info)
    assert str(row["vesica_ml"]) == "nan"
    assert row["hepar_ml"] > 0


def test_a_label_map_with_an_organ_that_was_not_annotated_is_refused(tmp_path):
    paths = write_patient(tmp_path, "b", label_map())
    with pytest.raises(InputError, match=r"labels-b.nii.gz: has bladder, which was not annotated in case b by dataset"):
        conversion.prepare("b", *paths, organs=ORGANS, spacing=[None] * 3, unannotated=["bladder"])


def test_a_case_is_prepared_anew_when_other_organs_were_annotated_in_it():
    info = {"organs": {"liver": [1], "bone": [5]}, "spacing": [1.0], "unannotated": ["bone"]}
    wanted = {"values": [[1], [5]], "ignored": [], "spacing": [1.0]}
    assert origins.why_anew(info, wanted | {"unannotated": [2]}, skip_bad=False) == ""
    assert origins.why_anew(info, wanted | {"unannotated": []}, skip_bad=False) == (
        "dataset.annotated has other organs of it"
    )
    assert origins.why_anew(info, wanted, skip_bad=False) == ""  # as in structures with names


def info(case, *, unannotated=(), **voxels):
    """What `case.json` says of a case that has so many voxels of each organ."""
    organs = {organ: [k] for k, organ in enumerate(voxels, start=1)}
    return {"case": case, "organs": organs, "original_voxels": voxels, "voxels": voxels, "unannotated": unannotated}


INFOS = [
    info("a", liver=5, bone=3),
    info("b", liver=5, bone=0, unannotated=["bone"]),
    info("c", liver=0, bone=3, unannotated=["liver"]),
    info("d", liver=5, bone=0, unannotated=["bone"]),
]


def test_a_fold_trains_on_cases_in_which_an_organ_was_not_annotated():
    cases.check_fold(INFOS, {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}, ["liver", "bone"])
    cases.check_fold(INFOS, {"train": ["b", "c"], "validation": [], "test": ["a"]}, ["liver", "bone"])


def test_an_organ_that_was_annotated_in_no_training_case_is_refused():
    with pytest.raises(InputError, match=r"dataset.organs: bone was annotated in none of the 2 training cases; change"):
        cases.check_fold(INFOS, {"train": ["b", "d"], "validation": ["a"], "test": ["c"]}, ["liver", "bone"])


def test_nnunet_is_refused_in_a_line_that_names_organs_and_cases():
    folds = [
        {"train": ["a"], "validation": ["b"], "test": ["c", "d"]},
        {"train": ["a", "c"], "validation": [], "test": ["b", "d"]},
    ]
    cases.check_whole(INFOS, folds, [])
    cases.check_whole(INFOS[:1], folds, ["nnunet"])
    with pytest.raises(InputError) as error:
        cases.check_whole(INFOS, folds, ["nnunet", "residual"])
    assert str(error.value) == (
        "config, models.nnunet: nnU-Net takes an organ for absent that was not annotated (bone in case b; liver in "
        "case c); remove nnunet and residual, leave these cases out (dataset.cases), or make them test cases (split)"
    )
