"""Surface distances against DeepMind's package, against what is known of simple shapes, and contours slice by slice."""

import numpy as np
import pytest
import SimpleITK as sitk
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from organbench.evaluation import surfaces

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # of the package, by SciPy

EXACT = {"rel": 0, "abs": 1e-6}
TOLERANCES = (0.5, 1.0, 2.0, 3.7)

spacings = st.tuples(*[st.sampled_from([0.4, 0.7, 1.0, 2.5, 5.0])] * 3)


@st.composite
def mask_pairs(draw, side=6, empty=False):
    """Two masks of scattered voxels; they touch the array's borders, and each other, in all ways."""
    shape = draw(array_shapes(min_dims=3, max_dims=3, max_side=side))
    pair = [draw(arrays(bool, shape)) for _ in range(2)]
    for mask in pair:
        if not empty and not mask.any():
            mask[tuple(draw(st.integers(0, n - 1)) for n in shape)] = True
    return pair


@st.composite
def blob_pairs(draw):
    """Two masks of a few overlapping ellipsoids, some cut by the array's borders, some far from each other."""
    shape = draw(st.tuples(st.integers(3, 12), st.integers(10, 40), st.integers(10, 40)))
    return [blobs(shape, draw(st.integers(0, 2**32 - 1))) for _ in range(2)]


def blobs(shape, seed):
    rng = np.random.default_rng(seed)
    grid = np.indices(shape)
    mask = np.zeros(shape, bool)
    for _ in range(rng.integers(1, 4)):
        centre, radii = rng.uniform(0, shape), rng.uniform(0.05, 0.4, 3) * shape
        mask |= (np.square((grid - centre[:, None, None, None]) / radii[:, None, None, None])).sum(axis=0) < 1
    mask[tuple(rng.integers(0, shape))] = True  # never empty
    return mask


def package(reference, prediction, spacing):
    return surface_distance.compute_surface_distances(reference, prediction, spacing[::-1])


def check(reference, prediction, spacing):
    """Compare everything with the package."""
    ours, theirs = surfaces.distances(reference, prediction, spacing), package(reference, prediction, spacing)
    for name, (mm, mm2) in zip(("gt_to_pred", "pred_to_gt"), ours.directions, strict=True):
        their_mm = theirs[f"distances_{name}"]
        areas = theirs["surfel_areas_" + name.split("_to_")[0]]
        order = np.lexsort((mm2, mm))
        np.testing.assert_allclose(mm[order], their_mm, rtol=0, atol=1e-9)
        assert mm2.sum() == pytest.approx(areas.sum())
    robust = surface_distance.compute_robust_hausdorff
    assert ours.hausdorff() == pytest.approx(robust(theirs, 100), **EXACT)
    # where just 95 % of the area lie within a distance, the package's rounding decides, and ours may decide otherwise
    low, high = (robust(theirs, 95 + error) for error in (-1e-9, 1e-9))
    assert low - 1e-6 <= ours.hausdorff_95() <= high + 1e-6
    there, back = surface_distance.compute_average_surface_distance(theirs)
    areas = [theirs[f"surfel_areas_{name}"].sum() for name in ("gt", "pred")]
    assert ours.mean() == pytest.approx(np.average([there, back], weights=areas), **EXACT)
    for tolerance in TOLERANCES:
        expected = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance)
        assert ours.share_within(tolerance) == pytest.approx(expected, **EXACT)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(mask_pairs(), spacings)
def test_scattered_voxels_against_the_package(pair, spacing):
    check(*pair, spacing)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(blob_pairs(), spacings)
def test_blobs_against_the_package(pair, spacing):
    check(*pair, spacing)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(blob_pairs(), spacings)
def test_the_search_tree_alone_against_the_package(pair, spacing):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surfaces, "NEIGHBOURS", 1)
        check(*pair, spacing)


@pytest.mark.parametrize("workers", [1, 2])
def test_far_apart(workers):
    reference, prediction = np.zeros((2, 20, 60, 60), bool)
    reference[2, 3, 4] = True
    prediction[15:18, 50:55, 52] = True
    found = surfaces.distances(reference, prediction, (0.7, 0.9, 2.5), workers=workers)
    # from one voxel's nearest corner to the other's farthest, and so on
    assert found.hausdorff() == pytest.approx(np.hypot(np.hypot(48 * 0.7, 51 * 0.9), 15 * 2.5))
    assert found.share_within(2.0) == 0


def test_identical_masks():
    mask = blobs((9, 30, 30), 1)
    found = surfaces.distances(mask, mask, (0.7, 0.7, 2.5))
    assert found.hausdorff() == found.hausdorff_95() == found.mean() == 0
    assert found.share_within(0.1) == 1
    assert surfaces.added_path_length(mask, mask, (0.7, 0.7, 2.5), 0.1) == 0


def test_single_voxels():
    reference, prediction = np.zeros((2, 5, 5, 5), bool)
    reference[2, 2, 2], prediction[2, 2, 3] = True, True
    found = surfaces.distances(reference, prediction, (0.5, 1.0, 2.0))
    assert [len(mm) for mm, _ in found.directions] == [8, 8]
    assert found.hausdorff() == found.hausdorff_95() == 0.5
    assert found.mean() == 0.25
    assert found.share_within(0.4) == pytest.approx(0.5)
    assert found.share_within(0.5) == 1


def test_a_balls_surface_has_its_area():
    """Within what a staircase of voxels allows: it is about a tenth larger."""
    z, y, x = np.indices((70, 70, 140)) * np.array([1.0, 1.0, 0.5]).reshape(3, 1, 1, 1) - 34.7
    ball = z**2 + y**2 + x**2 < 30**2
    found = surfaces.distances(ball, ball, (0.5, 1.0, 1.0))
    assert 1.05 < found.directions[0][1].sum() / (4 * np.pi * 30**2) < 1.15


def test_swapping_the_masks_swaps_the_directions():
    a, b = blobs((8, 30, 30), 2), blobs((8, 30, 30), 3)
    forth, back = surfaces.distances(a, b, (1.0, 0.8, 3.0)), surfaces.distances(b, a, (1.0, 0.8, 3.0))
    np.testing.assert_array_equal(forth.directions[0][0], back.directions[1][0])
    np.testing.assert_array_equal(forth.directions[1][1], back.directions[0][1])


@pytest.mark.parametrize("axis", range(3))
def test_mirroring_changes_nothing(axis):
    """So it does not matter in which orientation a scan was stored."""
    a, b = blobs((8, 30, 30), 4), blobs((8, 30, 30), 5)
    spacing = (1.0, 0.8, 3.0)
    whole = summary(a, b, spacing)
    assert summary(np.flip(a, axis), np.flip(b, axis), spacing) == pytest.approx(whole)


def summary(a, b, spacing):
    found = surfaces.distances(a, b, spacing)
    return [
        found.hausdorff(),
        found.hausdorff_95(),
        found.mean(),
        found.share_within(2.0),
        surfaces.added_path_length(a, b, spacing, 2.0),
    ]


@pytest.mark.parametrize("name", ["SLAB", "BLOCK"])
def test_portions_do_not_matter(name, monkeypatch):
    a, b = blobs((8, 30, 30), 6), blobs((8, 30, 30), 7)
    whole = summary(a, b, (1.0, 0.8, 3.0))
    monkeypatch.setattr(surfaces, name, 3)
    assert summary(a, b, (1.0, 0.8, 3.0)) == whole


@pytest.mark.parametrize("empty", [0, 1])
def test_refuses_an_empty_mask(empty):
    pair = [np.ones((2, 2, 2), bool), np.ones((2, 2, 2), bool)]
    pair[empty][...] = False
    with pytest.raises(ValueError, match="empty mask"):
        surfaces.distances(*pair, (1.0, 1.0, 1.0))


def slice_by_slice(reference, prediction, spacing, tolerance):
    """The added path length, with the package's 2D distances of each slice."""
    total = 0.0
    for true, predicted in zip(reference, prediction, strict=True):
        if true.any() and predicted.any():
            found = surface_distance.compute_surface_distances(true, predicted, spacing[1::-1])
            total += found["surfel_areas_gt"][found["distances_gt_to_pred"] > tolerance].sum()
        elif true.any():
            total += surface_distance.compute_surface_distances(true, true, spacing[1::-1])["surfel_areas_gt"].sum()
    return total


@settings(max_examples=100, deadline=None, derandomize=True)
@given(mask_pairs(empty=True), spacings, st.sampled_from(TOLERANCES))
def test_added_path_length_of_scattered_voxels(pair, spacing, tolerance):
    expected = slice_by_slice(*pair, spacing, tolerance)
    assert surfaces.added_path_length(*pair, spacing, tolerance) == pytest.approx(expected, **EXACT)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(blob_pairs(), spacings, st.sampled_from(TOLERANCES))
def test_added_path_length_of_blobs(pair, spacing, tolerance):
    expected = slice_by_slice(*pair, spacing, tolerance)
    assert surfaces.added_path_length(*pair, spacing, tolerance) == pytest.approx(expected, **EXACT)


def test_contours_of_other_slices_do_not_help():
    reference, prediction = np.zeros((2, 3, 20, 20), bool)
    reference[:, 5:15, 5:15], prediction[[0, 2], 5:15, 5:15] = True, True
    expected = 4 * 9 + 4 * np.sqrt(0.5)  # all of the middle slice's: straight sides, and corners cut off
    assert surfaces.added_path_length(reference, prediction, (1.0, 1.0, 0.1), 5.0) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["900", "907"])
def test_real_labels_against_the_package(real_data, name):
    """The prediction: the truth, eroded here, dilated there, and moved."""
    image = sitk.ReadImage(real_data / "torso" / f"labels-{name}.nii.gz")
    spacing, labels = image.GetSpacing(), sitk.GetArrayFromImage(image)
    for organ in np.unique(labels[labels > 0]):
        reference = labels == organ
        prediction = np.roll(reference, (0, 2, -3), axis=(0, 1, 2))
        prediction[:, : len(prediction[0]) // 2] &= reference[:, : len(prediction[0]) // 2]
        check(reference, prediction, spacing)
        expected = slice_by_slice(reference, prediction, spacing, 2.0)
        assert surfaces.added_path_length(reference, prediction, spacing, 2.0) == pytest.approx(expected, **EXACT)
