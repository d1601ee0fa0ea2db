"""Overlap metrics against independent implementations, their algebra, and the empty-mask rule."""

import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from organbench.evaluation import overlaps
from organbench.evaluation.overlaps import overlap

ORGANS = ("liver", "bladder", "lungs")
RATIOS = ("dice", "iou", "precision", "recall")


@st.composite
def label_pairs(draw):
    shape = draw(array_shapes(min_dims=3, max_dims=3, max_side=5))
    labels = arrays(np.uint8, shape, elements=st.integers(0, len(ORGANS)))
    return draw(labels), draw(labels)


def scores(reference, prediction, voxel_ml=0.001):
    return overlap(reference, prediction, organs=ORGANS, voxel_ml=voxel_ml).set_index("organ")


def blobs(seed, shape=(12, 20, 24)):
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    for k in (1, 2, 3):
        centre = rng.uniform(0.3, 0.7, 3) * shape * (1, 1, k / 2)
        labels[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < rng.uniform(9, 30)] = k
    return labels


@given(label_pairs())
def test_boolean_formulas(pair):
    reference, prediction = pair
    table = scores(reference, prediction, voxel_ml=0.5)
    for k, organ in enumerate(ORGANS, start=1):
        a, b = reference == k, prediction == k
        both, either = (a & b).sum(), (a | b).sum()
        row = table.loc[organ]
        assert row["reference_ml"] == a.sum() * 0.5
        assert row["predicted_ml"] == b.sum() * 0.5
        if either:
            assert row["dice"] == pytest.approx(2 * both / (a.sum() + b.sum()))
            assert row["iou"] == pytest.approx(both / either)
        if b.any():
            assert row["precision"] == pytest.approx(both / b.sum())
        if a.any():
            assert row["recall"] == pytest.approx(both / a.sum())


@pytest.mark.parametrize("seed", range(5))
def test_simpleitk(seed):
    reference, prediction = blobs(seed), np.roll(blobs(seed), (1, -1, 2), axis=(0, 1, 2))
    table = scores(reference, prediction)
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(sitk.GetImageFromArray(reference), sitk.GetImageFromArray(prediction))
    for k, organ in enumerate(ORGANS, start=1):
        assert table.loc[organ, "dice"] == pytest.approx(measures.GetDiceCoefficient(k))
        assert table.loc[organ, "iou"] == pytest.approx(measures.GetJaccardCoefficient(k))
        assert 1 - table.loc[organ, "recall"] == pytest.approx(measures.GetFalseNegativeError(k))
        assert 1 - table.loc[organ, "precision"] == pytest.approx(measures.GetFalseDiscoveryRate(k))


@given(label_pairs())
def test_range_and_symmetry(pair):
    forth, back = scores(*pair), scores(*pair[::-1])
    ratios = forth[list(RATIOS)].to_numpy()
    assert np.all(np.isnan(ratios) | ((ratios >= 0) & (ratios <= 1)))
    np.testing.assert_array_equal(forth["dice"], back["dice"])
    np.testing.assert_array_equal(forth["iou"], back["iou"])
    both = forth["recall"].notna() & forth["precision"].notna()
    np.testing.assert_array_equal(forth.loc[both, "precision"], back.loc[both, "recall"])


@given(label_pairs())
def test_dice_and_iou_say_the_same(pair):
    table = scores(*pair)
    np.testing.assert_allclose(table["iou"], table["dice"] / (2 - table["dice"]))


@given(label_pairs())
def test_dice_is_one_exactly_for_equal_masks(pair):
    reference, prediction = pair
    dice = scores(reference, prediction)["dice"]
    for k, organ in enumerate(ORGANS, start=1):
        if (reference == k).any() or (prediction == k).any():
            assert (dice[organ] == 1) == np.array_equal(reference == k, prediction == k)


@given(label_pairs(), st.permutations(range(1, len(ORGANS) + 1)))
def test_renaming_labels_changes_nothing(pair, order):
    lookup = np.array([0, *order], np.uint8)
    names = [ORGANS[order.index(k)] for k in range(1, len(ORGANS) + 1)]
    before = scores(*pair)
    after = overlap(lookup[pair[0]], lookup[pair[1]], organs=names, voxel_ml=0.001).set_index("organ")
    assert before.equals(after.loc[before.index])


def empty_mask_case(in_reference, in_prediction):
    reference, prediction = np.zeros((2, 3, 4, 5), np.uint8)
    reference[1, 2] = in_reference
    prediction[1, 2] = in_prediction
    return scores(reference, prediction).loc["liver"]


def test_absent_from_both_is_nothing_to_score():
    row = empty_mask_case(0, 0)
    assert row[list(RATIOS)].isna().all()
    assert (row["reference_ml"], row["predicted_ml"], row["false_positive"]) == (0, 0, False)


def test_predicted_but_absent_is_a_false_positive():
    row = empty_mask_case(0, 1)
    assert (row["dice"], row["iou"], row["precision"], row["false_positive"]) == (0, 0, 0, True)
    assert np.isnan(row["recall"])


def test_missed_organ_scores_zero():
    row = empty_mask_case(1, 0)
    assert (row["dice"], row["iou"], row["recall"], row["false_positive"]) == (0, 0, 0, False)
    assert np.isnan(row["precision"])


def test_present_in_both_but_disjoint_scores_zero_everywhere():
    reference, prediction = np.zeros((2, 3, 4, 5), np.uint8)
    reference[0], prediction[1] = 1, 1
    row = scores(reference, prediction).loc["liver"]
    assert (row[list(RATIOS)] == 0).all()
    assert not row["false_positive"]


def test_columns_and_types():
    table = overlap(blobs(0), blobs(1), organs=ORGANS, voxel_ml=0.003)
    assert list(table) == ["organ", *RATIOS, "reference_ml", "predicted_ml", "false_positive"]
    assert list(table["organ"]) == list(ORGANS)
    assert table["false_positive"].dtype == bool
    assert table.loc[0, "reference_ml"] == pytest.approx((blobs(0) == 1).sum() * 0.003)


@settings(max_examples=20)
@given(label_pairs(), st.integers(1, 60))
def test_slabs_do_not_matter(pair, voxels):
    whole = scores(*pair)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlaps, "SLAB_VOXELS", voxels)
        assert whole.equals(scores(*pair))


def test_memory_order_and_memory_mapping_do_not_matter(tmp_path):
    reference, prediction = blobs(0), blobs(1)
    np.save(tmp_path / "label.npy", reference)
    mapped = np.load(tmp_path / "label.npy", mmap_mode="r")
    assert scores(mapped, np.asfortranarray(prediction)).equals(scores(reference, prediction))


def test_all_of_uint8_is_counted():
    organs = [f"organ{k}" for k in range(1, 256)]
    labels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    table = overlap(labels, labels[::-1, ::-1, ::-1], organs=organs, voxel_ml=1)
    assert (table["dice"] == 0).all()
    assert (overlap(labels, labels, organs=organs, voxel_ml=1)["dice"] == 1).all()


def test_memory_is_bounded_by_slabs():
    labels = np.ones((64, 512, 512), np.uint8)
    tracemalloc.start()
    scores(labels, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize(
    ("reference", "prediction", "voxel_ml", "message"),
    [
        (np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8), 1, "differ in shape"),
        (np.full((2, 2, 2), 4, np.uint8), np.zeros((2, 2, 2), np.uint8), 1, "the reference holds 4"),
        (np.zeros((2, 2, 2), np.uint8), np.full((2, 2, 2), 255, np.uint8), 1, "the prediction holds 255"),
        (np.zeros((2, 2, 2), np.uint8), np.full((2, 2, 2), -1, np.int16), 1, "the prediction holds -1"),
        (np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.uint8), 1, "float32"),
        (np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), 0, "volume of a voxel"),
    ],
)
def test_refuses(reference, prediction, voxel_ml, message):
    with pytest.raises(ValueError, match=message):
        overlap(reference, prediction, organs=ORGANS, voxel_ml=voxel_ml)
