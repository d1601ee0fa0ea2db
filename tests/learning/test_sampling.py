"""The training batch is a pure function of (seed, step), shows rare organs, and is made of the patients' voxels."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import NO_AUGMENTATION, examples, label_map, make_case, task_of, training_settings

from organbench.data.intensity import AIR_HU
from organbench.inference.windows import neighbours
from organbench.learning import sampling
from organbench.learning.sampling import batch, batches, centres, clamp, crop


def drawing(*, patch=(8, 8), margins=True, seed=3, **changes):
    """A task whose margins, if it has any, are a quarter of the patch on each side."""
    settings = training_settings(patch=patch, batch_size=4, augmentation=NO_AUGMENTATION | {"scale": margins * 0.5})
    return task_of(settings | changes, seed=seed)


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """Three cases, of which one has a bladder, of few voxels and far from the liver."""
    folder = tmp_path_factory.mktemp("cases")
    return [make_case(folder, name, label_map(bladder=name == "b"), seed=n) for n, name in enumerate("abc")]


def equal(ours, theirs):
    return len(ours) == len(theirs) and all(
        np.array_equal(a, b) for pair in zip(ours, theirs, strict=True) for a, b in zip(*pair, strict=True)
    )


def test_a_batch_in_2d_has_channels_and_margins(patients):
    images, labels, _ = batch(patients, drawing(context=1), 0)
    assert (images.shape, images.dtype) == ((4, 3, 12, 12), np.int16)
    assert (labels.shape, labels.dtype) == ((4, 12, 12), np.uint8)


def test_a_batch_in_3d_has_one_channel_and_margins(patients):
    images, labels, _ = batch(patients, drawing(patch=(4, 8, 6)), 0)
    assert images.shape == (4, 1, 6, 12, 10)
    assert labels.shape == (4, 6, 12, 10)


@pytest.mark.parametrize("patch", [(8, 8), (4, 8, 8)])
def test_images_and_labels_are_the_same_voxels_of_the_chosen_case(patients, patch):
    plan = drawing(patch=patch, margins=False, batch_size=20)
    images, labels, _ = batch(patients, plan, 1)
    size = (1,) * (3 - len(patch)) + patch
    for image, label, (index, centre) in zip(images, labels, centres(patients, plan, 1), strict=True):
        box = tuple(slice(c - n // 2, c - n // 2 + n) for c, n in zip(centre, size, strict=True))
        assert np.array_equal(image.reshape(size), patients[index].image[box])
        assert np.array_equal(label.reshape(size), patients[index].label[box])


def test_a_step_does_not_depend_on_what_was_drawn_before(patients):
    plan = drawing()
    first = batch(patients, plan, 7)
    for step in (0, 31, 7):
        again = batch(patients, plan, step)
    assert equal([first], [again])


def test_steps_and_seeds_differ(patients):
    ours = batch(patients, drawing(), 7)
    assert not equal([ours], [batch(patients, drawing(), 8)])
    assert not equal([ours], [batch(patients, drawing(seed=4), 7)])


def test_any_number_of_workers_reads_the_same_batches_in_order(patients):
    expected = [batch(patients, drawing(), step) for step in range(9)]
    for workers in (1, 3):
        assert equal(expected, list(batches(patients, drawing(), range(9), workers=workers)))


def test_batches_do_not_depend_on_where_training_started(patients):
    whole = list(batches(patients, drawing(), range(9), workers=2))
    assert equal(whole[5:], list(batches(patients, drawing(), range(5, 9), workers=2)))


def test_reading_ahead_is_bounded_and_ends_with_the_loop(patients, monkeypatch):
    asked, before = [], threading.active_count()
    monkeypatch.setattr(sampling, "batch", lambda cases, plan, step, shard: asked.append(step))
    reading = batches(patients, drawing(), range(1000), workers=2, ahead=4)
    next(reading)
    time.sleep(0.05)  # enough to read hundreds of these
    reading.close()
    assert 1 <= len(asked) <= 4
    assert threading.active_count() == before


@given(foreground=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
@examples(4)
def test_the_foreground_share_of_a_batch_is_near_an_organ(patients, foreground):
    plan = drawing(batch_size=8, foreground=foreground, patch=(4, 8, 8), margins=False)
    for step in range(10):
        shows_organ = batch(patients, plan, step)[1].any(axis=(1, 2, 3))
        assert shows_organ[: round(8 * foreground)].all()


def test_slices_beyond_an_organs_ends_are_shown(tmp_path):
    labels = np.zeros((60, 16, 16), np.uint8)
    labels[29:31, 6:10, 6:10] = 1  # slices of 5 mm
    patient = make_case(tmp_path, "a", labels)
    plan = drawing(foreground=1.0, batch_size=50)
    drawn = [z for step in range(20) for _, (z, _, _) in centres([patient], plan, step)]
    assert (min(drawn), max(drawn)) == (23, 36)
    assert np.bincount(drawn, minlength=37)[24:36].min() > 40  # each about as often


@pytest.mark.parametrize("patch", [(16, 24), (8, 16, 24)], ids=["2d", "3d"])
def test_an_organs_voxel_lies_up_to_a_quarter_of_the_patch_off_the_crops_centre(tmp_path, patch):
    """So that a network does not learn that organs are in the middle."""
    labels = np.zeros((40, 60, 60), np.uint8)
    labels[20, 30, 30] = 1
    patient = make_case(tmp_path, "a", labels)
    plan = drawing(foreground=1.0, batch_size=50, patch=patch, margins=False)
    drawn = np.array([centre for step in range(20) for _, centre in centres([patient], plan, step)])
    axes = range(3 - len(patch), 3)  # in 2D the slices have a test of their own
    for axis, size in zip(axes, patch, strict=True):
        off = drawn[:, axis] - labels.nonzero()[axis][0]
        assert (off.min(), off.max()) == (-size // 4, size // 4)
        inside = np.bincount(off + size // 4)[1:-1]  # at the ends only half as often
        assert inside.min() > 0.5 * len(drawn) / (size / 2)


def test_the_middle_slice_alone_is_shown_where_that_is_asked(patients):
    plan = drawing(foreground=1.0, slices="middle")
    for step in range(20):
        assert all(z == len(patients[index].image) // 2 for index, (z, _, _) in centres(patients, plan, step))


def test_organs_are_drawn_evenly_however_rare(patients):
    voxels = sum(np.bincount(case.label.ravel(), minlength=3) for case in patients)
    assert voxels[1] > 50 * voxels[2]  # the bladder is rare
    plan = drawing(foreground=1.0, patch=(4, 8, 8), margins=False, batch_size=16)
    with_bladder = [(batch(patients, plan, step)[1] == 2).any(axis=(1, 2, 3)) for step in range(100)]
    assert np.mean(with_bladder) == pytest.approx(0.5, abs=0.05)  # 4 standard deviations of 1600 draws
    by_chance = drawing(foreground=0.0, margins=False, batch_size=16)
    with_bladder = [(batch(patients, by_chance, step)[1] == 2).any(axis=(1, 2)) for step in range(100)]
    assert np.mean(with_bladder) < 0.1


def test_the_cases_that_have_an_organ_are_drawn_evenly(patients):
    plan = drawing(foreground=1.0, batch_size=16)
    livers = [index for step in range(100) for index, (_, y, _) in centres(patients, plan, step) if y < 14]
    assert np.bincount(livers, minlength=3) / len(livers) == pytest.approx([1 / 3] * 3, abs=0.06)


def test_organs_that_no_case_has_are_no_trouble(tmp_path):
    healthy = [make_case(tmp_path, "a", np.zeros((3, 12, 12), np.uint8))]
    images, labels, _ = batch(healthy, drawing(foreground=1.0), 0)
    assert len(images) == 4
    assert not labels.any()


@given(
    length=st.integers(1, 40),
    patch=st.integers(1, 40),
    centre=st.floats(-60, 100).map(np.rint),
)
@examples(200)
def test_clamping_keeps_the_patch_inside_or_the_volume_in_the_patch(length, patch, centre):
    start = int(clamp(centre, length, patch)) - patch // 2
    if patch <= length:
        assert 0 <= start <= length - patch
    else:
        assert start <= 0
        assert start + patch >= length
    if 0 <= centre - patch // 2 <= length - patch:
        assert start == centre - patch // 2  # what lies inside stays


@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    size=st.tuples(*[st.integers(1, 9)] * 3),
    centre=st.tuples(*[st.integers(-6, 12)] * 3),
)
@examples(200)
def test_crop_is_a_box_of_the_padded_volume(shape, size, centre):
    volume = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    padded = np.pad(volume, 20, constant_values=-7)
    box = tuple(slice(20 + c - n // 2, 20 + c - n // 2 + n) for c, n in zip(centre, size, strict=True))
    result = crop(volume, centre, size, -7)
    assert result.dtype == volume.dtype
    assert np.array_equal(result, padded[box])


def test_a_small_volume_is_padded_with_air_and_background(tmp_path):
    organ = np.full((3, 5, 4), 1, np.uint8)
    organ[0, 0, 0] = 0  # air
    small = [make_case(tmp_path, "a", organ, noise=0.0)]
    images, labels, _ = batch(small, drawing(patch=(8, 8, 8)), 0)
    assert ((images[:, 0] == 300) == (labels == 1)).all()
    assert ((images[:, 0] == AIR_HU) == (labels == 0)).all()
    assert (labels.sum(axis=(1, 2, 3)) == 3 * 5 * 4 - 1).all()  # all of it is there


def test_neighbours_repeat_the_outermost_slices():
    assert neighbours(0, 2, 5) == [0, 0, 0, 1, 2]
    assert neighbours(2, 2, 5) == [0, 1, 2, 3, 4]
    assert neighbours(4, 1, 5) == [3, 4, 4]
    assert neighbours(0, 1, 1) == [0, 0, 0]


def test_context_brings_the_slices_below_and_above(patients):
    plan = drawing(context=2, batch_size=40, margins=False)
    images, labels, _ = batch(patients, plan, 0)
    seen = set()
    for image, label, (index, (z, y, x)) in zip(images, labels, centres(patients, plan, 0), strict=True):
        rows, columns = slice(y - 4, y + 4), slice(x - 4, x + 4)
        around = np.clip(np.arange(z - 2, z + 3), 0, 5)
        assert np.array_equal(image, patients[index].image[around, rows, columns])
        assert np.array_equal(label, patients[index].label[z, rows, columns])
        seen.add(z)
    assert {0, 5} <= seen  # the ends were among them
