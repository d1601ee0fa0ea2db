"""A clinic's study trains on cases in which a structure was not drawn, and neither learns nor scores it there."""

import json

import pytest
import SimpleITK as sitk
from clinics import CASES, NAMES, OTHERS, SPELLED, VALUES, make, read, run, study
from dicoms import write_structures

LACKING = "1"  # the case without bone
TABLES = ("summary.csv", "cases.csv")
FOLDS = {"train": ("01", "34"), "validation": ("2", "0"), "test": ("34", "12")}  # the cases of each role in both folds
CLINIC = {"root": "dicom", "image": "{case}/CT", "label": "{case}/RTSTRUCT", "organs": NAMES}
BY_TABLE = {"root": "nifti", "organs": VALUES, "ignore_labels": OTHERS, "annotated": "annotated.csv"}


def folds(name, **dataset):
    """A study in which the case without bone is trained on in a fold, and tested in the other."""
    given = study(name, **dataset) | {"split": {"method": "file", "file": "split.csv"}}
    return given | {"models": {"unet": given["models"]["unet"] | {"deep_supervision": True}}}


def wanted(name, *others):
    return [f"results/{name}/{path}" for path in (*(f"tables/{table}" for table in TABLES), *others)]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A case has no bone, as nobody has drawn it; as NIfTI a table says so."""
    folder = tmp_path_factory.mktemp("clinic")
    make(folder)
    path = folder / "nifti" / f"labels-{LACKING}.nii.gz"
    image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image)
    masks = {SPELLED[organ]: values == value for organ, value in VALUES.items() if organ != "bone"}
    ct = folder / "dicom" / LACKING / "CT"
    write_structures(ct, {**masks, "PTV": values > 4}, ct.parent / "RTSTRUCT" / "rs")
    values[values == VALUES["bone"]] = 0
    found = sitk.GetImageFromArray(values)
    found.CopyInformation(image)
    sitk.WriteImage(found, str(path))
    roles = [f"{case},{fold},{role}" for role, own in FOLDS.items() for fold in (0, 1) for case in own[fold]]
    (folder / "split.csv").write_text("\n".join(["case,fold,role", *roles, ""]))
    rows = [f"{LACKING},{organ}" for organ in VALUES if organ != "bone"]
    (folder / "annotated.csv").write_text("\n".join(["case,organ", *rows, ""]))
    return folder


@pytest.fixture(scope="module")
def both(clinic):
    """The study from DICOM and from NIfTI."""
    for given in (folds("dicom", **CLINIC), folds("nifti", **BY_TABLE)):
        others = ("methods.md",) if given["study"] == "dicom" else ()
        code, output = run(clinic, given, *wanted(given["study"], *others))
        assert code == 0, output[-3000:]
    return clinic


def test_a_case_without_a_structure_trains_and_is_not_scored(both):
    per_case = read(both, "dicom").astype({"case": str})
    assert set(per_case[per_case["case"] == LACKING]["organ"]) == {"liver", "lungs"}
    assert set(per_case[per_case["case"] != LACKING]["organ"]) == set(VALUES)
    rows = per_case.groupby("organ")["case"].nunique()
    assert rows.to_dict() == {"liver": 4, "lungs": 4, "bone": 3}
    assert read(both, "dicom", "cases").set_index("case")["bone_ml"].isna().to_dict() == {
        int(case): case == LACKING for case in CASES
    }


def test_a_training_is_named_by_what_was_not_annotated_and_says_it(both):
    seen = []
    for cost in (both / "results" / "dicom" / "runs" / "unet").glob("*/cost.json"):
        cases = json.loads(cost.read_text())["identity"]["cases"]
        for role, found in cases.items():
            assert {case for case, name in found.items() if "without" in name} == {LACKING} & found.keys()
            seen += [role] * (LACKING in found)
        log = both / "results" / "dicom" / "logs" / "train" / f"unet-{cost.parent.name}.log"
        assert ("bone: not annotated in 1 of" in log.read_text()) == (LACKING in cases["training"])
    assert seen == ["training"]  # in the other fold it is tested


def test_methods_tell_it(both):
    text = (both / "results" / "dicom" / "methods.md").read_text()
    assert "bone (4 of the 4 cases in which it was annotated)" in text
    assert "Where an organ was not annotated in a case, its probability was added to that of the background" in text


def test_a_table_says_of_label_maps_what_structures_say_of_themselves(both):
    texts = [(both / "results" / name / "tables" / "per_case.csv").read_text() for name in ("dicom", "nifti")]
    assert texts[0] == texts[1]


def test_check_data_says_it(clinic):
    code, output = run(clinic, folds("checked", **CLINIC), "check_data")
    assert code == 0, output[-3000:]
    assert "bone: in 4 cases of the 4 in which it was annotated" in output
    assert "liver: in 5 cases\n" in output


def test_it_is_told_before_what_was_trained_would_be_replaced(both):
    absent = folds("dicom", **CLINIC, missing_structures="absent")
    code, output = run(both, absent, *wanted("dicom"), "-n")
    assert code != 0
    assert "is prepared anew: dataset.organs has other names of structures, or dataset.missing_structures is" in output
    (both / "annotated.csv").write_text("case,organ\n")
    code, output = run(both, folds("nifti", **BY_TABLE), *wanted("nifti"), "-n")
    assert code != 0
    assert f"case {LACKING} is prepared anew: dataset.annotated has other organs of it" in output


def test_nnunet_is_refused_before_anything_is_trained(clinic):
    given = folds("others", **CLINIC)
    given["models"] |= {"nnunet": {"nnunet": "2d", "steps": 5}}
    code, output = run(clinic, given, *wanted("others"))
    assert code != 0
    assert f"models.nnunet: nnU-Net takes an organ for absent that was not annotated (bone in case {LACKING})" in output
    assert not (clinic / "results" / "others" / "runs").exists()


def test_an_organ_that_no_training_case_has_is_refused_before_anything_is_trained(clinic):
    (clinic / "liver.csv").write_text("\n".join(["case,organ", *(f"{case},liver" for case in CASES), ""]))
    given = folds("nobody", **BY_TABLE | {"annotated": "liver.csv", "organs": {"liver": 1, "heart": 9}})
    given["dataset"]["ignore_labels"] = [*OTHERS, 3, 5]
    code, output = run(clinic, given, *wanted("nobody"))
    assert code != 0
    assert "config, dataset.organs: heart was annotated in none of the" in output
    assert not (clinic / "results" / "nobody" / "runs").exists()
