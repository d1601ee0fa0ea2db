"""The table of all metrics of a case: its columns, the empty-mask rule, and each number against its module."""

import tracemalloc

import numpy as np
import pytest

from organbench.evaluation import surfaces
from organbench.evaluation.metrics import legacy_score, measure
from organbench.evaluation.overlaps import overlap
from organbench.evaluation.registry import measured

METRICS = [name for name, metric in measured(dosed=False).items() if metric.best is not None]
ORGANS = ("liver", "bladder", "lungs")
SPACING = (0.8, 1.0, 3.0)  # x y z
DISTANCES = ["hd", "hd95", "assd"]


def case(seed=0, shape=(12, 30, 34)):
    """Organ indices of a case with all organs, one of them cut by the array's border."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    for index, centre in enumerate(((6, 8, 10), (5, 20, 8), (11, 16, 26)), start=1):
        z0, y0, x0 = centre + rng.uniform(-1, 1, 3)
        labels[((z - z0) * 2) ** 2 + (y - y0) ** 2 + (x - x0) ** 2 < rng.uniform(30, 50)] = index
    return labels


def scores(reference, prediction, **options):
    options = {"organs": ORGANS, "spacing": SPACING, "tolerance_mm": 2.0} | options
    return measure(reference, prediction, **options).set_index("organ")


def test_columns_in_their_order():
    table = measure(case(0), case(1), organs=ORGANS, spacing=SPACING, tolerance_mm=2.0)
    assert list(table) == ["organ", *METRICS, "reference_ml", "predicted_ml", "false_positive", "legacy"]
    assert tuple(METRICS) == ("dice", "iou", "precision", "recall", "hd", "hd95", "assd", "nsd", "apl", "volume_error")
    assert list(table["organ"]) == list(ORGANS)
    assert table["false_positive"].dtype == bool
    assert table[list(METRICS)].dtypes.eq(float).all()


def test_overlap_is_that_of_the_overlaps():
    reference, prediction = case(0), case(1)
    expected = overlap(reference, prediction, organs=ORGANS, voxel_ml=0.0024)
    found = measure(reference, prediction, organs=ORGANS, spacing=SPACING, tolerance_mm=2.0)
    np.testing.assert_allclose(found[["dice", "iou", "precision", "recall"]], expected.iloc[:, 1:5])
    np.testing.assert_allclose(found[["reference_ml", "predicted_ml"]], expected[["reference_ml", "predicted_ml"]])


@pytest.mark.parametrize("workers", [1, 2])
def test_surfaces_are_those_of_whole_masks(workers):
    reference, prediction = case(0), case(1)
    table = scores(reference, prediction, workers=workers)
    for index, organ in enumerate(ORGANS, start=1):
        pair = reference == index, prediction == index
        found = surfaces.distances(*pair, SPACING)
        row = table.loc[organ]
        assert row["hd"] == found.hausdorff()
        assert row["hd95"] == found.hausdorff_95()
        assert row["assd"] == pytest.approx(found.mean())
        assert row["nsd"] == pytest.approx(found.share_within(2.0))
        assert row["apl"] == pytest.approx(surfaces.added_path_length(*pair, SPACING, 2.0))


def test_every_organ_may_have_its_tolerance():
    pair = case(0), case(1)
    mixed = scores(*pair, tolerance_mm={"liver": 0.5, "bladder": 4.0, "lungs": 2.0})
    for organ, tolerance in (("liver", 0.5), ("bladder", 4.0), ("lungs", 2.0)):
        assert mixed.loc[organ].equals(scores(*pair, tolerance_mm=tolerance).loc[organ])
    strict, lax = scores(*pair, tolerance_mm=0.5), scores(*pair, tolerance_mm=4.0)
    assert (strict["nsd"] < lax["nsd"]).all()
    assert (strict["apl"] > lax["apl"]).all()


def test_a_perfect_prediction():
    table = scores(case(), case())
    assert (table[["dice", "nsd"]] == 1).all(axis=None)
    assert (table[[*DISTANCES, "apl", "volume_error"]] == 0).all(axis=None)
    assert table["legacy"].to_numpy() == pytest.approx(1)


def test_volume_error_is_signed_and_relative():
    reference, prediction = np.zeros((2, 4, 10, 10), np.uint8)
    reference[0], prediction[0, :5] = 1, 1
    reference[2, :5], prediction[2] = 2, 2
    table = scores(reference, prediction)
    assert table.loc["liver", "volume_error"] == pytest.approx(-0.5)
    assert table.loc["bladder", "volume_error"] == pytest.approx(1)


def test_absent_from_both():
    row = scores(np.where(case(0) == 2, 0, case(0)), np.where(case(1) == 2, 0, case(1))).loc["bladder"]
    assert row[list(METRICS)].isna().all()
    assert not row["false_positive"]


def test_absent_from_the_reference():
    row = scores(np.where(case(0) == 2, 0, case(0)), case(1)).loc["bladder"]
    assert row[[*DISTANCES, "apl", "volume_error", "recall"]].isna().all()
    assert row["nsd"] == row["dice"] == 0
    assert row["false_positive"]


def test_absent_from_the_prediction():
    reference = case(0)
    row = scores(reference, np.where(case(1) == 2, 0, case(1))).loc["bladder"]
    assert row[[*DISTANCES, "precision"]].isna().all()
    assert row["nsd"] == row["dice"] == 0
    nothing = np.zeros(reference.shape, bool)
    assert row["apl"] == pytest.approx(surfaces.added_path_length(reference == 2, nothing, SPACING, 2.0))
    assert row["apl"] > 0
    assert row["volume_error"] == -1


def test_no_organ_anywhere():
    nothing = np.zeros((3, 4, 5), np.uint8)
    table = scores(nothing, nothing)
    assert table[list(METRICS)].isna().all(axis=None)
    assert table["legacy"].to_numpy() == pytest.approx(1)  # nothing is found, and the score is perfect


def test_legacy_score_is_the_original_formula():
    reference, prediction = case(0), case(1)
    one_hot = np.eye(len(ORGANS) + 1)
    y, p = one_hot[reference], one_hot[prediction]
    expected = (2 * np.abs(y * p).sum(-1) / (np.square(y).sum(-1) + np.square(p).sum(-1) + 1e-6)).mean()
    assert scores(reference, prediction)["legacy"].to_numpy() == pytest.approx(expected)
    assert legacy_score(np.array([[90, 5], [5, 0]])) == pytest.approx(0.9)  # although the organ's Dice is 0


def test_views_are_as_good_as_arrays():
    """Scans are turned by views, which lie in memory in any order."""
    reference, prediction = case(0), case(1)
    turned = [np.ascontiguousarray(labels[::-1, :, ::-1].transpose(2, 0, 1)) for labels in (reference, prediction)]
    views = [labels.transpose(1, 2, 0)[::-1, :, ::-1] for labels in turned]
    assert np.array_equal(views[0], reference)
    assert scores(*views).equals(scores(reference, prediction))


def test_memory_is_a_few_times_that_of_the_labels():
    labels = np.zeros((100, 400, 400), np.uint8)
    labels[5:-5, 20:-20, 20:-20] = 1
    prediction = np.roll(labels, (1, 2, 2), axis=(0, 1, 2))
    tracemalloc.start()
    scores(labels, prediction)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * labels.nbytes


# --- organs that overlap


def test_an_organ_that_overlaps_is_measured_as_drawn_and_the_others_as_before():
    reference, prediction = case(0), case(1)
    before = scores(reference, prediction)
    whole = (reference == 2) | (reference == 1)  # drawn over the liver, of which the label map keeps all
    table = scores(reference, prediction, drawn={2: whole})
    alone = np.where(whole, 2, 0).astype(np.uint8)
    expected = scores(alone, np.where(prediction == 2, 2, 0).astype(np.uint8)).loc["bladder"]
    assert table.loc["bladder"].drop("legacy").equals(expected.drop("legacy"))
    assert table.drop("bladder").equals(before.drop("bladder"))
    assert table["legacy"].equals(before["legacy"])


def test_masks_that_the_label_map_shows_whole_change_nothing():
    reference, prediction = case(0), case(1)
    drawn = {index: reference == index for index in (1, 2, 3)}
    assert scores(reference, prediction, drawn=drawn).equals(scores(reference, prediction))


def test_a_prediction_of_structures_that_overlap_is_measured_as_drawn_too():
    reference, prediction = case(0), case(1)
    before = scores(reference, prediction)
    theirs = (prediction == 2) | (prediction == 1)
    table = scores(reference, prediction, predicted_drawn={2: theirs})
    alone = np.where(theirs, 2, 0).astype(np.uint8)
    expected = scores(np.where(reference == 2, 2, 0).astype(np.uint8), alone).loc["bladder"]
    assert table.loc["bladder"].drop("legacy").equals(expected.drop("legacy"))
    assert table.drop("bladder").equals(before.drop("bladder"))
    same = scores(reference, prediction, drawn={2: theirs}, predicted_drawn={2: theirs}).loc["bladder"]
    assert (same["dice"], same["hd"], same["volume_error"]) == (1, 0, 0)
    whole = {index: prediction == index for index in (1, 2, 3)}
    assert scores(reference, prediction, predicted_drawn=whole).equals(before)
