"""Doses: on the scan's grid by linear interpolation, told where they are not there, and refused where they are none."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

from organbench.core.errors import InputError
from organbench.data import doses, finding, grids
from organbench.data.grids import STRAIGHT, Grid

SCAN = Grid((20, 16, 12), (2.0, 2.5, 3.0), (-20.0, -18.0, 100.0), STRAIGHT)
TURN = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def points(grid):
    """The centres of a grid's voxels, mm, axes z y x point."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij")[::-1], axis=-1)
    return index * grid.spacing @ np.reshape(grid.direction, (3, 3)).T + grid.origin


def plane(grid):
    """A dose that rises along all axes, on a grid: linear interpolation gives it back exactly."""
    return (30 + points(grid) @ (0.3, -0.2, 0.1) - 10).astype(np.float32)


def test_a_dose_on_the_scans_grid_stays_as_it_is():
    dose = grids.to_image(plane(SCAN), SCAN)
    assert np.array_equal(sitk.GetArrayFromImage(doses.on(SCAN, dose)), plane(SCAN))


@pytest.mark.parametrize("direction", [STRAIGHT, TURN], ids=["straight", "turned"])
def test_a_dose_on_another_grid_is_interpolated_linearly(direction):
    grid = Grid((40, 40, 20), (4.0, 3.0, 3.5), tuple(np.reshape(direction, (3, 3)) @ (-80, -60, 90)), direction)
    dose = grids.to_image(plane(grid), grid)
    found = sitk.GetArrayFromImage(doses.on(SCAN, dose))
    np.testing.assert_allclose(found, plane(SCAN), atol=1e-4)


def test_interpolation_is_scipys():
    grid = Grid((11, 12, 13), (4.0, 4.0, 3.5), (-22.0, -19.0, 98.0), STRAIGHT)
    values = np.random.default_rng(0).uniform(0, 70, grid.shape).astype(np.float32)
    places = (points(SCAN) - grid.origin) / grid.spacing
    expected = map_coordinates(values, np.moveaxis(places[..., ::-1], -1, 0), order=1, mode="nearest")
    found = sitk.GetArrayFromImage(doses.on(SCAN, grids.to_image(values, grid)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_what_a_dose_does_not_cover_is_nan_and_told():
    grid = Grid((10, 16, 12), SCAN.spacing, SCAN.origin, STRAIGHT)
    found = sitk.GetArrayFromImage(doses.on(SCAN, grids.to_image(plane(grid), grid)))
    assert np.isnan(found[:, :, 10:]).all()
    assert not np.isnan(found[:, :, :10]).any()
    labels = np.zeros(SCAN.shape, np.uint8)
    labels[3:6, 3:6, 2:8], labels[3:6, 7:9, 8:11] = 1, 2
    assert doses.uncovered(labels, found, ["brainstem", "cord", "lens"]) == ["cord"]
    unknown = sitk.GetArrayFromImage(doses.unknown(SCAN))
    assert doses.uncovered(labels, unknown, ["brainstem", "cord", "lens"]) == ["brainstem", "cord"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_doses_are_read_from_each_format(write_image, suffix):
    path = write_image(f"dose{suffix}", plane(SCAN).astype(np.float64), spacing=SCAN.spacing, origin=SCAN.origin)
    dose = doses.read([path])
    assert dose.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_allclose(sitk.GetArrayFromImage(dose), plane(SCAN), rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 7000, -5])
def test_what_is_no_dose_in_gray_is_refused(write_image, value):
    array = plane(SCAN)
    array[1, 2, 3] = value
    path = write_image("dose.mha", array)
    with pytest.raises(
        InputError, match=rf"^{path}: holds doses from .*; give Gy \(100 cGy are 1 Gy\), all 0 or more$"
    ):
        doses.read([path])


def test_a_dose_that_is_not_there_or_damaged_is_one_line(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        doses.read([tmp_path / "dose.nii.gz"])
    (tmp_path / "dose.dcm").write_bytes(b"dose")
    with pytest.raises(InputError, match="no sound DICOM file"):
        doses.read([tmp_path / "dose.dcm"])
    (tmp_path / "dose.nii.gz").write_bytes(b"dose")
    with pytest.raises(InputError, match="dose"):
        doses.read([tmp_path / "dose.nii.gz"])


def test_a_survey_says_of_every_case_what_its_dose_is_like(write_image):
    labels = np.zeros(SCAN.shape, np.uint8)
    labels[3:6, 3:6, 2:8], labels[3:6, 7:9, 8:11] = 1, 3
    place = {"spacing": SCAN.spacing, "origin": SCAN.origin}
    label_path = write_image("labels.nii.gz", labels, **place)
    organs = {"brainstem": [1], "cord": [3]}
    whole = doses.survey([write_image("whole.nii.gz", plane(SCAN), **place)], label_path, organs)
    part = doses.survey([write_image("part.nii.gz", plane(SCAN)[:, :, :10], **place)], label_path, organs)
    assert whole == {"highest": pytest.approx(plane(SCAN).max()), "uncovered": []}
    assert part["uncovered"] == ["cord"]
    found = {"1": whole, "2": part, "3": {}, "4": {"bad": "dose-4.nii.gz: damaged"}}
    assert list(doses.told(found)) == [
        f"dose: 2 of 4 cases have one, the highest of each {part['highest']:.1f} to {whole['highest']:.1f} Gy",
        "note: the dose of case 2 does not cover cord, which is not scored in Gy",
        "note: case 3 has no dose, and is not scored in Gy",
    ]


def test_an_organ_that_overlaps_others_is_covered_as_it_was_drawn():
    dose = np.full(SCAN.shape, 5, np.float32)
    dose[:2] = np.nan
    labels, whole = np.zeros(SCAN.shape, np.uint8), np.zeros(SCAN.shape, bool)
    labels[1], labels[2:4], whole[1:4] = 1, 2, True
    assert doses.uncovered(labels, dose, ["liver", "lungs"]) == ["liver"]
    assert doses.uncovered(labels, dose, ["liver", "lungs"], {2: whole}) == ["liver", "lungs"]


def dataset(root, dose="dose-{case}.nii.gz", **changes):
    return {"root": str(root), "dose": dose, "source": "nifti", **changes}


def test_doses_are_found_by_their_pattern(tmp_path):
    (tmp_path / "dose-1.nii.gz").touch()
    for name in ("RD.2", "RD.1", ".hidden"):
        (tmp_path / "2/plan").mkdir(parents=True, exist_ok=True)
        (tmp_path / "2/plan" / name).touch()
    found = finding.doses(dataset(tmp_path), ["1", "2"])
    assert found == {"1": [f"{tmp_path}/dose-1.nii.gz"], "2": []}
    found = finding.doses(dataset(tmp_path, "{case}/plan"), ["1", "2"])
    assert found == {"1": [], "2": [f"{tmp_path}/2/plan/RD.1", f"{tmp_path}/2/plan/RD.2"]}
    with pytest.raises(InputError, match=r"config, dataset.dose: no case has one, the first would be .*/d-1.nii"):
        finding.doses(dataset(tmp_path, "d-{case}.nii"), ["1", "2"])


def test_doses_in_a_bucket_are_found_among_what_is_stored():
    stored = ["dose-1.nii.gz", "2/plan/RD.1", "volume-1.nii.gz"]
    root = "s3://bucket/data"
    assert finding.doses(dataset(root), ["1", "2"], stored) == {"1": [f"{root}/dose-1.nii.gz"], "2": []}
    assert finding.doses(dataset(root, "{case}/plan"), ["1", "2"], stored)["2"] == [f"{root}/2/plan/RD.1"]
    assert finding.doses(dataset("https://server/data"), ["1"]) == {"1": ["https://server/data/dose-1.nii.gz"]}


def test_doses_of_openkbp_are_fetched_where_they_are_not_there(tmp_path):
    assert finding.doses(dataset(tmp_path, source="openkbp"), ["1"]) == {"1": [f"{tmp_path}/dose-1.nii.gz"]}
