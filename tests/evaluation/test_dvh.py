"""Doses of contours: against counting by brute force, against gradients in closed form; and of empty masks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import examples

from organbench.evaluation import dvh, registry
from organbench.evaluation.metrics import measure

SPACING = (2.0, 4.0, 5.0)  # x y z: 0.04 ml a voxel, 25 of them are 1 ml
VOXEL_ML = 0.04
SHAPE = (10, 14, 40)
ERRORS = ["dmean_error", "d2_error", "d1cc_error", "dmax_error"]
DOSED = [name for name, metric in registry.MEASURED.items() if metric.dosed]


def by_counting(dose, volume_ml):
    """The highest dose that so much volume receives at least, asking every dose that there is."""
    return max(level for level in dose if (dose >= level).sum() * VOXEL_ML >= volume_ml - 1e-9)


@examples(60)
@given(seed=st.integers(0, 2**32 - 1), voxels=st.integers(1, 400))
def test_statistics_are_those_of_counting_voxels(seed, voxels):
    dose = np.random.default_rng(seed).uniform(0, 70, voxels).round(1).astype(np.float32)  # with equal ones
    found = dvh.statistics(dose, VOXEL_ML)
    assert found["dmean"] == pytest.approx(sum(map(float, dose)) / voxels)
    assert found["dmax"] == max(dose)
    assert found["d2"] == by_counting(dose, 0.02 * voxels * VOXEL_ML)
    if voxels * VOXEL_ML >= 1:
        assert found["d1cc"] == by_counting(dose, 1.0)
    else:
        assert math.isnan(found["d1cc"])


def gradient(per_mm=0.25, lowest=10.0):
    """A dose (z y x) that rises along x."""
    x = np.arange(SHAPE[2]) * SPACING[0]
    return np.broadcast_to((lowest + per_mm * x).astype(np.float32), SHAPE)


def box(start=5, stop=35, shape=SHAPE):
    labels = np.zeros(shape, np.uint8)
    labels[2:8, 3:11, start:stop] = 1
    return labels


def scores(reference, prediction, dose, organs=("parotid",)):
    table = measure(reference, prediction, organs=list(organs), spacing=SPACING, tolerance_mm=2.0, dose=dose)
    return table.set_index("organ").loc[organs[0]]


def test_a_box_in_a_gradient_has_the_closed_forms_doses():
    row = scores(box(), box(), gradient())
    low, high, step = 10 + 0.25 * 10, 10 + 0.25 * 68, 0.25 * SPACING[0]
    volume = 6 * 8 * 30 * VOXEL_ML
    assert row["reference_dmean_gy"] == pytest.approx((low + high) / 2)
    assert row["reference_dmax_gy"] == pytest.approx(high)
    for column, share in (("reference_d2_gy", 0.02), ("reference_d1cc_gy", 1 / volume)):
        assert row[column] == pytest.approx(high - share * (high - low), abs=step)
    assert (row[ERRORS] == 0).all()


@pytest.mark.parametrize("shift", [-3, 1, 4])
def test_a_moved_contour_changes_by_the_gradient_times_the_way(shift):
    row = scores(box(), box(5 + shift, 35 + shift), gradient())
    assert row[ERRORS].to_numpy(float) == pytest.approx(0.25 * SPACING[0] * shift)
    assert row["predicted_dmean_gy"] - row["reference_dmean_gy"] == row["dmean_error"]


def test_where_the_dose_is_even_no_contour_changes_it():
    row = scores(box(), box(8, 20), np.full(SHAPE, 42.0, np.float32))
    assert row["dice"] < 0.7
    assert (row[ERRORS] == 0).all()


def test_empty_masks_follow_the_table_of_the_registry():
    nothing, there, dose = np.zeros(SHAPE, np.uint8), box(), gradient()
    assert scores(nothing, nothing, dose)[DOSED].isna().all()
    assert scores(nothing, there, dose)[DOSED].isna().all()
    missed = scores(there, nothing, dose)
    assert missed[ERRORS].isna().all()
    assert missed["reference_dmean_gy"] == pytest.approx(19.75)
    assert missed[[name for name in DOSED if name.startswith("predicted")]].isna().all()


def test_a_reference_that_is_not_covered_whole_is_not_scored():
    dose = gradient().copy()
    dose[2, 3, 5] = np.nan
    assert scores(box(), box(6, 35), dose)[DOSED].isna().all()
    dose[2, 3, 5], dose[0, 0, 0] = 10, np.nan  # outside of both
    assert scores(box(), box(6, 35), dose)[ERRORS].notna().all()


def test_a_prediction_beyond_the_dose_receives_nothing_there():
    dose = gradient().copy()
    dose[:, :, 35:] = np.nan
    row = scores(box(), box(5, 39), dose)
    inside = dose[2:8, 3:11, 5:35]
    assert row["predicted_dmean_gy"] == pytest.approx(inside.sum(dtype=float) / (6 * 8 * 34))
    assert row["dmax_error"] == 0


def test_an_organ_of_less_than_1_ml_has_no_d1cc():
    small = np.zeros(SHAPE, np.uint8)
    small[2, 3:11, 5:8] = 1
    row = scores(small, small, gradient())
    assert row["reference_ml"] < 1
    assert math.isnan(row["d1cc_error"])
    assert row["dmean_error"] == 0


def test_without_a_dose_there_are_no_columns_of_doses():
    reference, prediction = box(), box(7, 33)
    options = {"organs": ["parotid"], "spacing": SPACING, "tolerance_mm": 2.0}
    without = measure(reference, prediction, **options)
    assert list(without) == ["organ", *registry.measured(dosed=False), "false_positive", "legacy"]
    dosed = measure(reference, prediction, dose=np.full(SHAPE, np.nan, np.float32), **options)
    assert list(dosed) == ["organ", *registry.MEASURED, "false_positive", "legacy"]
    assert dosed[list(without)].equals(without)
    assert dosed[DOSED].isna().all(axis=None)


def test_a_dose_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="reference and dose differ in shape"):
        scores(box(), box(), gradient()[1:])
