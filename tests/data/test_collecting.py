"""Label maps made elsewhere, on the scan's grid: by nearest neighbour, by hand and against SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import elsewhere, grids
from organbench.data.grids import Grid

ORGANS = ["liver", "kidneys"]
SCAN = Grid((6, 5, 4), (2.0, 2.0, 3.0), (10.0, -20.0, 30.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(0, 4, SCAN.shape).astype(np.uint8)


def written(write_image, name, array, grid=SCAN):
    array = array.astype(np.uint8) if array.dtype.kind == "b" else array
    return str(
        write_image(name, array, spacing=grid.spacing, origin=grid.origin, direction=np.reshape(grid.direction, (3, 3)))
    )


def collect(files, scan=SCAN):
    return elsewhere.collect(files, ORGANS, scan, "scan.nii.gz")


def test_on_the_same_grid_nothing_changes(write_image, values):
    path = written(write_image, "a.nii.gz", values)
    found = collect({path: {"liver": [1], "kidneys": [2, 3]}})
    np.testing.assert_array_equal(found.indices, np.array([0, 1, 2, 2])[values])
    assert (found.offset_mm, found.covered, found.missing, found.lines()) == (0, 1, [], [])


def test_values_that_stand_for_nothing_are_told(write_image, values):
    found = collect({written(write_image, "a.nii.gz", values): {"liver": [1]}})
    np.testing.assert_array_equal(found.indices, values == 1)
    assert found.lines() == ["label values that stand for no organ: 2, 3"]


def test_a_file_per_organ_holds_a_mask_and_the_first_organ_keeps_what_two_claim(write_image, values):
    liver = written(write_image, "liver.nii.gz", (values == 1) * 255)
    left = written(write_image, "left.nii.gz", values >= 2)
    right = written(write_image, "right.nii.gz", values == 1)
    found = collect({right: {"kidneys": []}, left: {"kidneys": []}, liver: {"liver": []}})
    np.testing.assert_array_equal(found.indices, np.array([0, 1, 2, 2])[values])
    assert found.claimed_twice == np.count_nonzero(values == 1)
    np.testing.assert_array_equal(found.drawn[2], values >= 1)  # as drawn
    (line,) = found.lines()
    assert f"lost {found.claimed_twice} voxels ({found.claimed_twice * 0.012:.2f} ml) to liver" in line


def test_a_missing_file_is_empty(write_image, values, tmp_path):
    there = written(write_image, "liver.nii.gz", values == 1)
    found = collect({there: {"liver": []}, str(tmp_path / "none.nii.gz"): {"kidneys": []}})
    np.testing.assert_array_equal(found.indices, values == 1)
    assert found.told()["missing"] == ["kidneys"]
    nothing = collect({str(tmp_path / "none.nii.gz"): {"liver": [1], "kidneys": [2]}})
    assert not nothing.indices.any()
    assert nothing.missing == ORGANS


def test_other_axes_are_the_same_voxels(write_image, values):
    image = grids.to_image(values, SCAN)
    for code in ("RAS", "SPL", "AIR"):
        turned = sitk.DICOMOrient(image, code)
        path = written(write_image, f"{code}.nii.gz", sitk.GetArrayFromImage(turned), Grid.of(turned))
        found = collect({path: {"liver": [1], "kidneys": [2, 3]}})
        np.testing.assert_array_equal(found.indices, np.array([0, 1, 2, 2])[values])
        assert found.offset_mm == pytest.approx(0, abs=1e-3)
        assert found.covered == 1


def test_a_coarser_grid_is_brought_over_by_nearest_neighbour(values):
    turn = np.deg2rad(20)
    oblique = (np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1)
    source = Grid((6, 5, 4), (2.3, 2.1, 3.7), (9.0, -21.0, 29.0), tuple(map(float, oblique)))
    ours, offset, covered = elsewhere.on_grid(values, source, SCAN)
    reference = sitk.Image(*SCAN.size, sitk.sitkUInt8)
    grids.place(reference, SCAN)
    image = grids.to_image(values, source)
    theirs = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    np.testing.assert_array_equal(ours, sitk.GetArrayFromImage(theirs))
    centres = [reference.TransformIndexToPhysicalPoint((x, y, z)) for z in range(4) for y in range(5) for x in range(6)]
    offs = []
    for point in centres:
        place = np.array(image.TransformPhysicalPointToContinuousIndex(point))
        nearest = np.rint(place)
        if ((nearest >= 0) & (nearest < source.size)).all():
            offs.append(np.linalg.norm((place - nearest) * source.spacing))
    assert offset == pytest.approx(max(offs), abs=1e-4)
    assert covered == len(offs) / SCAN.voxels


def test_another_frame_is_refused(write_image, values):
    far = Grid(SCAN.size, SCAN.spacing, (500.0, -20.0, 30.0), SCAN.direction)
    path = written(write_image, "far.nii.gz", values, far)
    with pytest.raises(InputError, match=r"far\.nii\.gz: its frame, from .* does not overlap that of scan\.nii\.gz"):
        collect({path: {"liver": [1], "kidneys": [2, 3]}})


def test_probabilities_are_refused(write_image, values):
    path = written(write_image, "soft.nii.gz", (values / 3).astype(np.float32))
    with pytest.raises(InputError, match="between whole numbers"):
        collect({path: {"liver": []}})
