"""A study from DICOM and RTSTRUCT alone gives what it gives from NIfTI; what is missing or overlaps is told."""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from clinics import CASES, NAMES, OTHERS, VALUES, make, read, run, study
from dicoms import write_structures
from rtdoses import write_rtdose

from organbench.data import slicer, structures
from organbench.data.dicom import series
from organbench.data.grids import Grid


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


RUN = "results/dicom/runs/{model}/fold0-seed0/predictions/{case}"


@pytest.fixture(scope="module")
def drawn(both):
    """The study's predictions as RTSTRUCT, and for SEG and 3D Slicer."""
    given = study("dicom", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", organs=NAMES)
    kinds = ["rtstruct", *(["seg"] if importlib.util.find_spec("highdicom") else [])]
    given["prediction"] = {"formats": ["nifti", *kinds]}
    labels = sorted((both / "results" / "dicom" / "runs").glob("*/*/predictions/*.nii.gz"))
    wanted = [str(path.relative_to(both)).replace(".nii.gz", f".{kind}.dcm") for path in labels for kind in kinds]
    code, output = run(both, given, *wanted)
    assert code == 0, output[-3000:]
    for path in labels:
        image = sitk.ReadImage(str(path))
        values = sitk.GetArrayFromImage(image)
        masks = {organ: values == value for value, organ in enumerate(NAMES, start=1)}
        made = str(path).replace(".nii.gz", ".seg.nrrd")
        slicer.write(masks, Grid.of(image), Path(made), colors={})
        (folder := path.with_name(f"{path.name.removesuffix('.nii.gz')}-files")).mkdir()
        shutil.copy(str(path).replace(".nii.gz", ".rtstruct.dcm"), folder / "RS.1")  # and another case's beside it
        (other,) = [one for one in labels if one.parent == path.parent and one != path]
        shutil.copy(str(other).replace(".nii.gz", ".rtstruct.dcm"), folder / "RS.2")
    return both


def test_predictions_that_are_read_back_as_structures_have_the_same_metrics(drawn):
    endings = {"contours": ".rtstruct.dcm", "folder": "-files", "slicer": ".seg.nrrd"}
    endings |= {"seg": ".seg.dcm"} if importlib.util.find_spec("highdicom") else {}
    given = study("back", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", organs=NAMES)
    unet, ghost = (RUN.replace("{model}", name) for name in ("unet", "ghost"))
    given["models"] = {name: {"predictions": f"{unet}{ending}"} for name, ending in endings.items()}
    names = {"liver": ["Liver", "hepar"], "lungs": "LUNG*", "bone": "bone"}
    given["models"]["named"] = {"predictions": f"{ghost}.rtstruct.dcm", "labels": names}
    code, output = run(drawn, given, "results/back/tables/per_case.csv")
    assert code == 0, output[-3000:]

    def rows(study, model):
        lines = (drawn / f"results/{study}/tables/per_case.csv").read_text().splitlines()
        return [line.partition(",")[2] for line in lines if line.startswith(f"{model},")]

    assert len(rows("dicom", "unet")) == 6
    for name in endings:
        assert rows("back", name) == rows("dicom", "unet"), name
    assert rows("back", "named") == rows("dicom", "ghost")


def test_structures_of_another_case_are_refused_and_what_is_missing_is_a_failure(drawn):
    given = study("others", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", organs=NAMES)
    (first, second) = sorted(path.name for path in (drawn / RUN.format(model="unet", case="")).glob("*.rtstruct.dcm"))
    (drawn / "made").mkdir()
    shutil.copy(drawn / RUN.format(model="unet", case=first), drawn / "made" / second)
    given["models"] = {"product": {"predictions": "made/{case}.rtstruct.dcm", "labels": {"liver": "liver"}}}
    code, output = run(drawn, given, "results/others/tables/per_case.csv")
    assert code != 0
    case = second.partition(".")[0]
    assert f"made/{second}: was drawn in another frame of reference than that of the CT in dicom/{case}/CT" in output
    shutil.copy(drawn / RUN.format(model="unet", case=second), drawn / "made" / second)
    code, output = run(drawn, given, "results/others/tables/per_case.csv", "results/others/tables/warnings.csv")
    assert code == 0, output[-3000:]
    rows = read(drawn, "others").set_index(["case", "organ"])
    own, (without,) = int(case), {int(first.partition(".")[0])}
    before = read(drawn, "dicom").query("model == 'unet'").set_index(["case", "organ"])
    assert rows.loc[(own, "liver"), "dice"] == before.loc[(own, "liver"), "dice"]
    assert rows.loc[(own, "lungs"), "dice"] == rows.loc[(without, "liver"), "dice"] == 0
    words = read(drawn, "others", "warnings")["words"]
    assert (words == "product: has no label for lungs, bone, which counts as missed").any()


def test_overlapping_structures_of_a_prediction_are_measured_as_drawn(drawn):
    given = study("drawn", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", organs=NAMES)
    tested = read(drawn, "dicom")["case"].astype(str).unique()
    for case in tested:
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(drawn / "nifti" / f"labels-{case}.nii.gz")))
        masks = {"body": labels > 0, "lungs": labels == 3, "liver": (labels == 1) | (labels == 3), "bone": labels == 5}
        write_structures(drawn / "dicom" / case / "CT", masks, drawn / "second" / case / "RS")
    given["models"] = {"second": {"predictions": "second/{case}", "observer": True}}
    code, output = run(drawn, given, "results/drawn/tables/per_case.csv")
    assert code == 0, output[-3000:]
    rows = read(drawn, "drawn").set_index("organ")
    assert (rows.loc[["lungs", "bone"], "dice"] == 1).all()  # although the liver has the lungs' voxels in the label map
    assert rows.loc["liver", "dice"].between(0.01, 0.99).all()
    log = (drawn / "results/drawn/logs/predict/second-fold0-seed0" / f"{tested[0]}.log").read_text()
    assert "structures overlap, of which the first named has the voxels in the label map: lungs (" in log


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


def test_a_dose_has_to_lie_in_the_frame_of_reference_of_the_series(clinic):
    for case in CASES:
        ct = series.find(clinic / "dicom" / case / "CT")
        frame = ct.frame_of_reference if case != "1" else "1.2.3"
        (clinic / "dicom" / case / "RD").mkdir()
        place = {"spacing": ct.grid.spacing, "origin": ct.grid.origin}
        write_rtdose(clinic / "dicom" / case / "RD" / "RD.1", np.full(ct.grid.shape, 20.0), frame=frame, **place)
    given = study("planned", root="dicom", image="{case}/CT", label="{case}/RTSTRUCT", dose="{case}/RD", organs=NAMES)
    given["split"] = {"method": "file", "file": "split.csv"}
    roles = "".join(f"{case},0,{'test' if case in '12' else 'train'}\n" for case in CASES)
    (clinic / "split.csv").write_text(f"case,fold,role\n{roles}")
    code, output = run(clinic, given, "results/planned/tables/doses.csv")
    assert code != 0
    fault = "dicom/1/RD/RD.1: lies in another frame of reference than the scan; export the dose on this scan"
    assert f"error: {fault}" in output
    assert "error: 1 of 2 planned doses cannot be used" in output
    code, output = run(clinic, given, "check_data")
    assert code != 0
    assert f"error: {fault}" in output


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
