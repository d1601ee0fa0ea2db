"""Resampling, against SimpleITK, brute force and the laws that it must obey."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from geometry import any_grids, centres, grid, quick, rotation, spacings
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from organbench.data import grids, resampling
from organbench.data.resampling import Resampler


def resample(array, source, target):
    resampler = Resampler.between(source, target)
    return np.concatenate([resampler.slab(array[resampler.needs(span)], span) for span in resampler.spans()])


@quick
@given(any_grids(), st.tuples(*[spacings] * 3))
def test_weights_are_averages(source, spacing):
    for here, there in itertools.permutations([source, source.with_spacing(spacing)]):
        for axis in range(3):
            weights = resampling.axis_weights(here, there, axis)
            assert weights.shape == (there.size[axis], here.size[axis])
            assert (weights >= 0).all()
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


@quick
@given(any_grids(), st.tuples(*[spacings] * 3), st.integers(-1024, 3000))
def test_a_constant_stays(source, spacing, value):
    target = source.with_spacing(spacing)
    found = resampling.resample_volume(np.full(source.shape, value, np.int16), source, target)
    assert found.dtype == np.int16
    assert found.shape == target.shape
    assert (found == value).all()


def ramp_error(spacing, factors, slope, angles):
    """How far a resampled ramp is off where the border does not reach, in ramp units a source voxel."""
    source = grid((24, 22, 26), spacing, (-40.0, 7.0, 100.0), rotation(angles))
    wanted = [s * f for s, f in zip(spacing, factors, strict=True)]
    target = source.with_spacing(wanted)
    unit = np.linalg.norm(slope) * max(spacing)
    ramp = (centres(source) @ np.asarray(slope)).astype(np.float32)
    error = resample(ramp, source, target) - centres(target) @ np.asarray(slope)
    border = [int(np.ceil(1 / min(1.0, f))) for f in factors[::-1]]
    inside = error[tuple(slice(cut, -cut) for cut in border)]
    assert inside.size
    return np.abs(inside).max() / unit


slopes = st.tuples(*[st.sampled_from([-2.0, -0.5, 1.0])] * 3)
turns = st.tuples(*[st.floats(-3, 3)] * 3)


@quick
@given(
    st.tuples(*[st.floats(0.5, 2)] * 3),
    st.tuples(*[st.one_of(st.floats(0.25, 1), st.sampled_from([1, 2, 3, 4]))] * 3),
    slopes,
    turns,
)
def test_a_ramp_stays_a_ramp_in_the_interior(spacing, factors, slope, angles):
    """So nothing is shifted, also in an oblique grid: exact where the target is finer or coarser by a whole number."""
    assert ramp_error(spacing, factors, slope, angles) < 1e-3


@quick
@given(st.tuples(*[st.floats(0.5, 2)] * 3), st.tuples(*[st.floats(0.25, 4)] * 3), slopes, turns)
def test_a_ramp_is_off_by_a_small_part_of_a_voxel_at_most(spacing, factors, slope, angles):
    """A triangle over a number of voxels that is not whole has its centre of mass nearly, not quite, in the middle."""
    assert ramp_error(spacing, factors, slope, angles) < 0.1


@quick
@given(any_grids(largest=9), st.tuples(*[st.floats(0.3, 1)] * 3), st.integers(0, 1000))
def test_growing_agrees_with_simpleitk(source, factors, seed):
    """No antialiasing is involved where the target is the finer grid, and no border where SimpleITK has a value."""
    array = np.random.default_rng(seed).normal(size=source.shape).astype(np.float32)
    target = source.with_spacing([s * f for s, f in zip(source.spacing, factors, strict=True)])
    image = grids.to_image(array, source)
    reference = grids.to_image(np.zeros(target.shape, np.float32), target)
    expected = sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, np.nan))
    found = resample(array, source, target)
    known = np.isfinite(expected)
    np.testing.assert_allclose(found[known], expected[known], atol=1e-3)  # SimpleITK rounds coordinates
    assert np.abs(found - np.clip(found, array.min(), array.max())).max() < 1e-5


def test_growing_an_oblique_grid_agrees_with_simpleitk_almost_everywhere():
    """A fixed case beside the random ones, large enough that nearly every voxel can be compared."""
    source = grid((31, 29, 37), (0.9, 1.1, 2.5), (10.0, -20.0, 30.0), rotation((0.3, -0.2, 0.5)))
    target = source.with_spacing((0.6, 0.6, 0.6))
    array = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    reference = grids.to_image(np.zeros(target.shape, np.float32), target)
    expected = sitk.GetArrayFromImage(
        sitk.Resample(grids.to_image(array, source), reference, sitk.Transform(), sitk.sitkLinear, np.nan)
    )
    known = np.isfinite(expected)
    assert known.mean() > 0.99
    np.testing.assert_allclose(resample(array, source, target)[known], expected[known], atol=1e-4)


@pytest.mark.parametrize("wanted", [2.0, 3.0, 4.2])
def test_shrinking_removes_what_the_coarse_grid_cannot_hold(wanted):
    """The finest pattern there is, which picking single voxels would turn into full contrast or into waves."""
    source = grid((48, 44, 52))
    board = np.where(np.indices(source.shape).sum(axis=0) % 2, 1000, -1000).astype(np.int16)
    found = resampling.resample_volume(board, source, source.with_spacing([wanted] * 3))
    assert np.abs(found).max() < 20


@pytest.mark.parametrize("wanted", [1.5, 2.0, 3.0])
def test_shrinking_keeps_a_balls_mass_and_volume(wanted):
    source = grid((60, 60, 60))
    ball = (np.linalg.norm(centres(source) - 30.2, axis=-1) < 18).astype(np.uint8)
    target = source.with_spacing([wanted] * 3)
    mass = resampling.resample_volume(ball * np.int16(1000), source, target).sum() * target.voxel_ml
    assert mass == pytest.approx(1000 * ball.sum() * source.voxel_ml, rel=0.01)
    volume = resampling.resample_labels(ball, source, target, 1).sum() * target.voxel_ml
    assert volume == pytest.approx(ball.sum() * source.voxel_ml, rel=0.03)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint16, np.float32, np.float64])
def test_intensities_become_int16_hu(kind):
    source = grid((3, 2, 1))
    array = np.array([[[0, 1, 700], [1000, 3071, 30000]]]).astype(kind)
    found = resampling.resample_volume(array, source, source)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, array)


def test_padding_counts_as_air_and_metal_does_not_wrap_around():
    source = grid((5, 1, 1))
    array = np.array([[[-3024, -2048, -1024, 40000, 12]]], np.float32)
    found = resampling.resample_volume(array, source, source)
    np.testing.assert_array_equal(found, [[[-1024, -1024, -1024, 32767, 12]]])


def test_padding_does_not_darken_its_neighbours():
    """Clipped before it is averaged, not after."""
    source = grid((4, 1, 1))
    array = np.array([[[-3024, -1024, -1024, 976]]], np.int16)
    found = resampling.resample_volume(array, source, source.with_spacing((2.0, None, None)))
    same = resampling.resample_volume(np.maximum(array, -1024), source, source.with_spacing((2.0, None, None)))
    np.testing.assert_array_equal(found, same)


def brute_force(probabilities, source, target):
    """Every class on the whole target grid, in double precision, then the most probable: classes, and the lead."""
    weights = [resampling.axis_weights(source, target, axis).astype(np.float64) for axis in range(3)]
    found = np.einsum("kzyx,Zz,Yy,Xx->kZYX", probabilities.astype(np.float64), *weights[::-1], optimize=True)
    ordered = np.sort(found, axis=0)
    return found.argmax(axis=0), ordered[-1] - ordered[-2]


def in_slabs(array, sizes):
    """The array (class z y x) in slabs of these sizes, over and over."""
    start = 0
    for size in itertools.cycle(sizes):
        if start >= array.shape[1]:
            return
        yield array[:, start : start + size]
        start += size


@quick
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 50)),
    st.tuples(*[spacings] * 3),
    st.tuples(*[spacings] * 3),
    st.integers(2, 5),
    st.lists(st.integers(1, 23), min_size=1, max_size=3),
    st.sampled_from([0.1, 1.0, 10.0]),
    st.integers(0, 1000),
)
def test_restore_agrees_with_brute_force(size, spacing, wanted, classes, slabs, sharpness, seed):
    """Whatever the sizes of the slabs, and whether organs are everywhere or in one corner."""
    source = grid(size, spacing)
    target = source.with_spacing(wanted)
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.normal(size=(classes, *source.shape))
    z, y, x = (rng.integers(0, n + 1) for n in source.shape)
    logits[0, z:], logits[0, :, y:], logits[0, :, :, :x] = 20, 20, 20
    probabilities = np.exp(logits - logits.max(axis=0))
    probabilities = (probabilities / probabilities.sum(axis=0)).astype(np.float32)
    found = resampling.restore(in_slabs(probabilities, slabs), source, target)
    expected, lead = brute_force(probabilities, source, target)
    assert found.dtype == np.uint8
    assert found.shape == target.shape
    clear = lead > 1e-5
    np.testing.assert_array_equal(found[clear], expected[clear])


@quick
@given(any_grids(largest=14), st.tuples(*[spacings] * 3), st.integers(0, 1000))
def test_resampling_labels_invents_none(source, wanted, seed):
    """Between organs 1 and 3 there is no organ 2, and on the same grid nothing changes."""
    labels = np.random.default_rng(seed).choice([1, 3], source.shape).astype(np.uint8)
    found = resampling.resample_labels(labels, source, source.with_spacing(wanted), 3)
    assert set(np.unique(found)) <= {1, 3}
    np.testing.assert_array_equal(resampling.resample_labels(labels, source, source, 3), labels)


@quick
@given(
    st.tuples(*[st.integers(1, 90)] * 3), st.tuples(*[spacings] * 3), st.tuples(*[spacings] * 3), st.integers(0, 1000)
)
def test_resampled_labels_are_those_with_the_largest_share(size, spacing, wanted, seed):
    """Blobs, so that organs have corners of their own, and axes longer than a band."""
    source = grid(size, spacing)
    target = source.with_spacing(wanted)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=source.shape), 2)
    labels = np.digitize(noise, np.quantile(noise, [0.5, 0.8, 0.95])).astype(np.uint8)
    shares = (labels == np.arange(4)[:, None, None, None]).astype(np.float32)
    expected, lead = brute_force(shares, source, target)
    clear = lead > 1e-5
    np.testing.assert_array_equal(resampling.resample_labels(labels, source, target, 3)[clear], expected[clear])


def test_equally_probable_classes_go_to_the_first():
    source = grid((2, 2, 20))
    probabilities = np.full((4, *source.shape), 0.25, np.float32)
    assert not resampling.restore([probabilities], source, source).any()
    probabilities[0] = 0.0
    assert (resampling.restore([probabilities], source, source) == 1).all()
