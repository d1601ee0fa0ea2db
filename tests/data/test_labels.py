"""Label maps are read as organ indices, and cleaned."""

import numpy as np
import pytest
import SimpleITK as sitk
from geometry import quick
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from organbench.core.errors import InputError
from organbench.data.images import read_labels
from organbench.data.labels import remove_parts

ORGANS = {"liver": [1], "lungs": [3, 4]}


def indices_of(path, organs=ORGANS, ignored=()):
    return sitk.GetArrayFromImage(read_labels(path, organs, ignored))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.uint64, np.float32, np.float64])
def test_label_values_become_organ_indices(write_image, kind):
    path = write_image("labels.nii.gz", np.arange(5).reshape(1, 1, 5).astype(kind), spacing=(1, 2, 3))
    np.testing.assert_array_equal(indices_of(path, ignored=[2]), [[[0, 1, 0, 2, 2]]])
    assert read_labels(path, ORGANS, [2]).GetSpacing() == (1, 2, 3)


def test_labels_of_16_bits(write_image):
    path = write_image("labels.nii.gz", np.array([[[0, 255, 256, 65535]]], np.uint16))
    np.testing.assert_array_equal(indices_of(path, {"liver": [256], "bone": [65535]}, [255]), [[[0, 0, 1, 2]]])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([0, 1, 7], np.uint8), "label value 7 .*dataset.ignore_labels"),
        (np.array([0, 1, 7, 9], np.float32), "label value 7, 9 .*dataset.ignore_labels"),
        (np.array([0, 1.5, 3], np.float32), "between whole numbers"),
        (np.array([0, -1, 3], np.int16), "-1"),
        (np.array([0, -1, 3], np.float32), "-1"),
        (np.array([0, 70000, 3], np.int32), "70000"),
        (np.array([0, 1e30, 3], np.float64), "whole numbers"),
        (np.array([0, np.nan, 3], np.float32), "NaN"),
        (np.array([0, np.inf, 3], np.float64), "NaN"),
    ],
)
def test_labels_that_mean_nothing_are_refused(write_image, array, message):
    path = write_image("labels.nii.gz", array.reshape(-1, 1, 1))
    with pytest.raises(InputError, match=message) as refusal:
        read_labels(path, ORGANS)
    assert str(path) in str(refusal.value)


def test_an_unknown_value_in_a_late_slice_is_found(write_image):
    array = np.zeros((40, 2, 2), np.uint8)
    array[-1, -1, -1] = 200
    with pytest.raises(InputError, match="200"):
        read_labels(write_image("labels.nii.gz", array), ORGANS)


def test_keep_largest_leaves_one_part_and_other_organs():
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[0:2, 0:2, 0:2] = 1  # 8 voxels
    labels[2, 2, 2] = 1  # touches by a corner only
    labels[4, 5, 3:7] = 1
    labels[4, 0, 0] = labels[0, 5, 6] = 2
    expected = labels.copy()
    expected[2, 2, 2] = 0
    expected[4, 5, 3:7] = 0
    remove_parts(labels, 1, only_largest=True)
    np.testing.assert_array_equal(labels, expected)
    remove_parts(labels, 5, only_largest=True)  # an organ that is not there
    np.testing.assert_array_equal(labels, expected)


@given(shape=st.tuples(*[st.integers(1, 8)] * 3), smallest=st.integers(1, 9), seed=st.integers(0, 99))
@quick
def test_small_parts_go_and_all_else_stays(shape, smallest, seed):
    labels = np.random.default_rng(seed).choice(np.array([0, 1, 2], np.uint8), shape, p=[0.5, 0.3, 0.2])
    parts, _ = ndimage.label(labels == 1)  # an independent implementation
    expected = np.where((labels == 1) & (np.bincount(parts.ravel())[parts] < smallest), 0, labels)
    remove_parts(labels, 1, smallest=smallest)
    np.testing.assert_array_equal(labels, expected)
