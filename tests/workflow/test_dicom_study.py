"""A study from DICOM and RTSTRUCT alone gives what it gives from NIfTI; what is missing or overlaps is told."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from clinics import NAMES, OTHERS, VALUES, make, read, run, study
from dicoms import write_structures

from organbench.data import structures


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clinic")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def both(clinic):
    """The same study twice."""
    code, output = run(
        clinic, study("nifti", root="nifti", organs=VALUES, ignore_labels=OTHERS), "results/nifti/tables/per_case.csv"
    )
    assert code == 0, output[-3000:]
    given = study("dicom", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", organs=NAMES)
    code, output = run(clinic, given, "results/dicom/tables/per_case.csv")
    assert code == 0, output[-3000:]
    return clinic


def test_the_metrics_are_the_same_to_the_last_digit(both):
    texts = [(both / "results" / name / "tables" / "per_case.csv").read_text() for name in ("nifti", "dicom")]
    assert texts[0] == texts[1]
    assert read(both, "dicom")["dice"].notna().any()


def test_predictions_have_the_label_values_of_the_organs_order(both):
    (path, *_) = (both / "results" / "dicom" / "runs" / "unet").glob("*/predictions/*.nii.gz")
    assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))) <= {0, 1, 2, 3}


def test_predictions_for_planning_systems_are_added_to_a_finished_study(both):
    given = study("dicom", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", organs=NAMES)
    given["prediction"] = {"formats": ["nifti", "rtstruct"]}
    labels = sorted((both / "results" / "dicom" / "runs").glob("*/*/predictions/*.nii.gz"))
    wanted = [str(path.relative_to(both)).replace(".nii.gz", ".rtstruct.dcm") for path in labels]
    dates = [path.stat().st_mtime_ns for path in labels]
    code, output = run(both, given, *wanted)
    assert code == 0, output[-3000:]
    assert [path.stat().st_mtime_ns for path in labels] == dates
    for label, path in zip(labels, wanted, strict=True):
        case = label.name.removesuffix(".nii.gz")
        found = structures.read(both / path, structures.Frame.of(both / "dicom" / case / "CT"))
        assert set(found.names) | set(found.undrawn) == set(NAMES)
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(label)))
        for place, name in enumerate(found.names):
            np.testing.assert_array_equal(found.mask(place)[0], values == list(NAMES).index(name) + 1)


def test_formats_of_dicom_need_dicom(clinic):
    given = study("formats", root="nifti", organs=VALUES, ignore_labels=OTHERS)
    code, output = run(clinic, given | {"prediction": {"formats": ["nifti", "rtstruct"]}}, "-n")
    assert code != 0
    assert "prediction.formats: rtstruct refers to a DICOM series, but nifti/volume-0.nii.gz is no folder" in output


def test_nothing_is_made_again_when_files_are_only_renamed_or_dated_anew(both):
    given = study("dicom", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", organs=NAMES)
    for path in (both / "dicom" / "1" / "CT").iterdir():
        path.rename(path.with_name(f"slice-{path.name}.dcm"))
    os.utime(both / "dicom" / "1" / "RTSTRUCT" / "rs")
    code, output = run(both, given, "results/dicom/tables/per_case.csv", "-n")
    assert code == 0, output[-3000:]
    assert "Nothing to be done" in output, output[-3000:]


def test_check_data_lists_the_structures(clinic):
    given = study("checked", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", organs=NAMES)
    code, output = run(clinic, given, "check_data")
    assert code == 0, output[-3000:]
    assert "structure 'LIVER': in 5 cases, taken as liver" in output
    assert "structure 'PTV': in 5 cases, not used" in output
    assert "Couch" not in output  # which was named, but never drawn
    given["dataset"]["organs"] = {"liver": "liver", "heart": "Heart*"}
    code, output = run(clinic, given, "check_data")
    assert code != 0
    assert "note: heart was not drawn in case 0, 1, 2, 3, 4, so it is neither learned nor scored there" in output
    assert "dataset.organs: of heart, 'Heart*' matches no structure in any case" in output


def test_an_organ_that_was_not_drawn_is_not_scored_and_one_that_overlaps_is_scored_as_drawn(both):
    tested = read(both, "dicom")["case"].astype(str).unique()
    ct = both / "dicom" / tested[0] / "CT"
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(both / "nifti" / f"labels-{tested[0]}.nii.gz")))
    masks = {"Liver": values == 1, "lungs": (values == 3) | (values == 1)}  # no bone; all of the liver is lung too
    write_structures(ct, masks, ct.parent / "RTSTRUCT" / "rs")
    before = read(both, "dicom")
    given = study("dicom", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", organs=NAMES)
    code, output = run(both, given, "results/dicom/tables/comparison.csv", "results/dicom/tables/cases.csv")
    assert code == 0, output[-3000:]
    after = read(both, "dicom")
    own = after["case"].astype(str) == tested[0]
    assert set(after[own]["organ"]) == {"liver", "lungs"}
    others = before[before["case"].astype(str) != tested[0]]
    pd.testing.assert_frame_equal(after[~own].reset_index(drop=True), others.reset_index(drop=True))
    lungs = after[own & (after["organ"] == "lungs")].iloc[0]
    assert lungs["reference_ml"] == pytest.approx(masks["lungs"].sum() * 9.5 * 10.25 * 12.5 / 1000)
    kept = json.loads((both / "results" / "dicom" / "cases" / tested[0] / "case.json").read_text())
    assert kept["structures"]["overlaps"] == [{"kept": "liver", "lost": "lungs", "voxels": int((values == 1).sum())}]
    assert kept["unannotated"] == ["bone"]
    cases = read(both, "dicom", "cases").set_index("case")
    assert np.isnan(cases.loc[int(tested[0]), "bone_ml"])
