"""Grids, and the axes of images, against SimpleITK and the laws that they must obey."""

import itertools
from dataclasses import asdict

import numpy as np
import pytest
import SimpleITK as sitk
from geometry import any_grids, grid, quick, rotation, spacings
from hypothesis import given
from hypothesis import strategies as st

from organbench.core.errors import InputError
from organbench.data import grids
from organbench.data.grids import Grid


@quick
@given(any_grids(), st.tuples(*[st.one_of(st.none(), spacings)] * 3))
def test_another_spacing_covers_the_same_box(source, spacing):
    target = source.with_spacing(spacing)
    assert target.direction == source.direction
    for axis in range(3):
        if spacing[axis] is None:
            assert target.size[axis] == source.size[axis]
        length, wanted = (g.size[axis] * g.spacing[axis] for g in (source, target))
        assert abs(length - wanted) <= target.spacing[axis] / 2 + 1e-6 or target.size[axis] == 1
    middles = [
        np.asarray(g.origin) + np.reshape(g.direction, (3, 3)) @ ((np.asarray(g.size) - 1) * g.spacing / 2)
        for g in (source, target)
    ]
    np.testing.assert_allclose(*middles, atol=1e-6)


@quick
@given(any_grids())
def test_the_same_spacing_is_the_same_grid(source):
    assert source.with_spacing(source.spacing) == source
    assert source.with_spacing([None, None, None]) == source


def test_a_grid_survives_json():
    source = grid((3, 4, 5), (0.7, 0.8, 5.0), (-100.1, 3.0, 1e-3), rotation((0.1, 0.2, 0.3)))
    assert Grid.from_json(asdict(source)) == source
    assert source.shape == (5, 4, 3)
    assert source.voxel_ml == pytest.approx(0.7 * 0.8 * 5.0 / 1000)


@pytest.mark.parametrize("angle", [0, 30, 44.9, 45, 46, 90, 180])
@pytest.mark.parametrize("mirrored", [False, True])
def test_orienting_and_back_changes_nothing(angle, mirrored):
    """Any axis may be the one that points most nearly to the left; at 45 degrees two are equally near."""
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for axes in itertools.permutations(range(3)):
        direction = rotation(np.radians(angle) * np.eye(3)[0])[:, list(axes)] * (1, 1, -1 if mirrored else 1)
        image = grids.to_image(array, grid((4, 3, 2), (1.0, 2.0, 3.0), (5.0, 6.0, 7.0), direction))
        oriented = grids.orient(image)
        assert grids.orientation(oriented) == "LPS"
        view, found = grids.oriented(image)
        np.testing.assert_array_equal(view, sitk.GetArrayViewFromImage(oriented))
        for ours, theirs in zip(asdict(found).values(), asdict(Grid.of(oriented)).values(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-9)
        back = grids.orient(oriented, grids.orientation(image))
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(back), array)
        np.testing.assert_allclose(back.GetDirection(), image.GetDirection(), atol=1e-12)
        np.testing.assert_allclose(back.GetOrigin(), image.GetOrigin(), atol=1e-9)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("size", {"size": (9, 8, 6)}),
        ("spacing", {"spacing": (1.0, 1.0, 1.1)}),
        ("origin", {"origin": (0.0, 0.5, 0.0)}),
        ("direction", {"direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}),
        ("direction", {"direction": rotation((0.02, 0, 0))}),
    ],
)
def test_a_pair_on_two_grids_is_refused(what, change):
    with pytest.raises(InputError, match=f"labels.nii: its {what} .*volume.nii.*resample"):
        grids.check_pair(grid(), grid(**change), "volume.nii", "labels.nii")


def test_headers_may_be_rounded_differently():
    """Less than a twentieth of a millimetre at the farthest voxel."""
    other = grid(
        spacing=(1.00004, 1.0, 0.99996), origin=(0.001, -0.001, 0.0004), direction=rotation((1e-6, -1e-6, 1e-6))
    )
    grids.check_pair(grid(), other, "volume.nii", "labels.nii")
