"""Augmentation moves images and labels together, stays within its limits, and is a pure function of (seed, step)."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from tiny import AUGMENTATION, NO_AUGMENTATION, WINDOW, examples, settings_of, task_of, training_settings

from organbench.inference.windows import exchanging, scaled
from organbench.learning import augmentation, augmentations, choices
from organbench.learning.augmentation import affine, warp
from organbench.learning.augmentations import _draws, flip, rotation
from organbench.learning.sampling import WHOLE

PATCHES = [(12, 16), (6, 12, 10)]
ON = {
    "tilt": {"probability": 0.5, "range": [-20, 20]},
    "blur": {"probability": 0.5, "range": [0.5, 1.5]},
    "low_resolution": {"probability": 0.5, "range": [0.3, 0.6]},
    "brightness": {"probability": 0.5, "range": [0.5, 0.8]},
    "brightness_shift": {"probability": 0.5, "range": [0.1, 0.2]},
    "contrast": {"probability": 0.5, "range": [0.5, 0.8]},
}
IMAGES = [name for name in ON if name != "tilt"]
either_patch = pytest.mark.parametrize("patch", PATCHES, ids=["2d", "3d"])


def margin(patch, options):
    return settings_of(patch=patch, augmentation=NO_AUGMENTATION | options).margin


def augment(images, labels, patch, options, window, *, seed, step, mirrored=()):
    task = task_of(training_settings(patch=patch, augmentation=options), window=window, seed=seed)
    task = dataclasses.replace(task, organs=tuple("abcdef"), mirrored=mirrored)
    return augmentation.augment(images, labels, task, step)[:2]


def random_batch(patch, options, *, count=4, channels=1):
    """A batch with the margins that the options need: noise as images, and random labels."""
    size = [n + 2 * m for n, m in zip(patch, margin(patch, options), strict=True)]
    random = np.random.default_rng(0)
    images = random.integers(-1200, 1200, (count, channels, *size)).astype(np.int16)
    labels = random.integers(0, 7, (count, *size)).astype(np.uint8)
    return torch.from_numpy(images), torch.from_numpy(labels)


def about_z(angle, dims):
    """What `rotation` gives for one image, were this its angle."""
    drawn = SimpleNamespace(between=lambda low, high: np.array([np.rad2deg(angle)]))
    return rotation.change(1.0, drawn, dims)


def central(tensor, patch):
    """The patch in the middle of a tensor's last axes."""
    starts = [(n - p) // 2 for n, p in zip(tensor.shape[-len(patch) :], patch, strict=True)]
    return tensor[(..., *(slice(start, start + p) for start, p in zip(starts, patch, strict=True)))]


@either_patch
@pytest.mark.parametrize("extra", [0, 3])
def test_no_augmentation_is_the_window_and_the_central_patch(patch, extra):
    assert margin(patch, NO_AUGMENTATION) == (0,) * len(patch)
    images, labels = random_batch([n + 2 * extra for n in patch], NO_AUGMENTATION, channels=3 if len(patch) == 2 else 1)
    ours, classes = augment(images, labels, patch, NO_AUGMENTATION, WINDOW, seed=0, step=0)
    assert torch.equal(classes, central(labels, patch).long())
    # Linear sampling computes each voxel's position, which rounds: far below one HU (0.001 here)
    assert torch.allclose(ours, scaled(central(images, patch), WINDOW), rtol=0, atol=1e-5)


def test_scaled_brings_the_window_to_minus_one_and_one():
    hu = torch.tensor([-3000, -160, 40, 240, 3000], dtype=torch.int16)
    result = scaled(hu, (-160, 240))
    assert result.dtype == torch.float32
    assert result.tolist() == pytest.approx([-1, -1, 0, 1, 1])


@pytest.mark.parametrize("patch", [(48, 40), (16, 48, 40)], ids=["2d", "3d"])
def test_images_and_labels_move_together(patch):
    options = NO_AUGMENTATION | {"rotation": 45, "scale": 0.3, "flip": ["x", "y", "z"]}
    size = [n + 2 * m for n, m in zip(patch, margin(patch, options), strict=True)]
    coarse = np.random.default_rng(1).integers(0, 2, [4, *(-(-n // 12) for n in size)])
    labels = np.kron(coarse, np.ones([1] + [12] * len(patch), int))[(slice(None), *(slice(n) for n in size))]
    images = torch.from_numpy(np.where(labels, 1000, -1000).astype(np.int16))[:, None]
    for step in range(4):
        ours, classes = augment(
            images, torch.from_numpy(labels.astype(np.uint8)), patch, options, WINDOW, seed=0, step=step
        )
        inside = ours[:, 0].abs() > 0.9  # all voxels around are of one kind; others lie on a border
        assert inside.float().mean() > 0.5
        assert torch.equal(classes[inside], (ours[:, 0] > 0).long()[inside])
        assert 0.1 < classes.float().mean() < 0.9


@given(
    patch=st.lists(st.integers(8, 64), min_size=2, max_size=3),
    rotation=st.floats(0, 45),
    scale=st.floats(0, 0.5),
    turned=st.floats(-1, 1),
)
@examples(60)
def test_margins_keep_every_voxel_of_the_patch_in_real_data(patch, rotation, scale, turned):
    """Each axis' coordinate, warped, stays linear to the corners; a voxel taken from beyond would repeat the border."""
    crop = [n + 2 * m for n, m in zip(patch, margin(patch, {"rotation": rotation, "scale": scale}), strict=True)]
    theta = affine((1.0 + scale) * about_z(np.deg2rad(turned * rotation), len(patch)), patch, crop)
    for axis in range(len(patch)):
        shape = [1] * len(crop)
        shape[axis] = crop[axis]
        coordinate = torch.arange(float(crop[axis])).reshape(shape).expand(crop)[None, None]
        moved = warp(coordinate, torch.zeros(1, *crop), theta, patch)[0][0, 0]
        for direction in range(len(patch)):
            assert moved.diff(n=2, dim=direction).abs().max() < 1e-3


def test_a_margin_is_not_larger_than_needed():
    assert margin((128, 128), AUGMENTATION | {"rotation": 0, "scale": 0.5}) == (32, 32)
    # the diagonal, but for half a voxel, of a square turned by 45 degrees
    assert margin((100, 100), AUGMENTATION | {"rotation": 45, "scale": 0}) == (21, 21)
    assert margin((10, 100, 100), AUGMENTATION | {"rotation": 45, "scale": 0.2}) == (1, 35, 35)


@pytest.mark.parametrize(
    ("patch", "axis", "dimension"),
    [((12, 16), "x", -1), ((12, 16), "y", -2), ((6, 8, 10), "x", -1), ((6, 8, 10), "y", -2), ((6, 8, 10), "z", -3)],
)
def test_flips_are_of_the_listed_axis_only(patch, axis, dimension):
    options = NO_AUGMENTATION | {"flip": [axis]}
    images, labels = random_batch(patch, options, count=20)
    ours, classes = augment(images, labels, patch, options, WINDOW, seed=0, step=0)
    plain, flipped = labels.long(), labels.long().flip(dimension)
    turned = torch.tensor([torch.equal(a, b) for a, b in zip(classes, flipped, strict=True)])
    assert 3 < turned.sum() < 17  # about every other one
    which = turned.reshape(-1, *(1,) * len(patch))
    assert torch.equal(classes, torch.where(which, flipped, plain))
    expected = scaled(torch.where(which[:, None], images.flip(dimension), images), WINDOW)
    assert torch.allclose(ours, expected, rtol=0, atol=1e-5)


def test_a_2d_patch_has_no_z_to_flip():
    images, labels = random_batch((12, 16), NO_AUGMENTATION)
    _, classes = augment(images, labels, (12, 16), NO_AUGMENTATION | {"flip": ["z"]}, WINDOW, seed=0, step=0)
    assert torch.equal(classes, labels.long())


def test_a_positive_angle_turns_all_slices_alike_about_z():
    patch, crop = (3, 21, 21), (3, 31, 31)
    image = torch.zeros(1, 1, *crop)
    image[..., 15, 22] = 1000.0  # seven voxels to the right of the centre, in every slice
    theta = affine(about_z(np.pi / 2, 3), patch, crop)
    moved = warp(image, torch.zeros(1, *crop), theta, patch)[0][0, 0]
    brightest = [tuple(np.unravel_index(int(plane.argmax()), plane.shape)) for plane in moved]
    assert brightest == [(3, 10)] * 3  # seven voxels above it


@pytest.mark.parametrize("dims", [2, 3])
def test_a_larger_scale_shows_more(dims):
    patch, crop = (20,) * dims, (40,) * dims
    labels = torch.zeros(1, *crop)
    labels[(0, *[slice(12, 28)] * dims)] = 1
    for scale, side in ((1.0, 16), (2.0, 8)):
        theta = affine(scale * about_z(0.0, dims), patch, crop)
        assert warp(labels[:, None], labels, theta, patch)[1].sum() == side**dims


@either_patch
def test_augmentation_is_a_pure_function_of_seed_and_step(patch):
    images, labels = random_batch(patch, AUGMENTATION)
    keep = images.clone(), labels.clone()

    def changed(seed, step):
        return augment(images, labels, patch, AUGMENTATION, WINDOW, seed=seed, step=step)

    first = changed(1, 5)
    torch.manual_seed(99)  # global random state plays no part
    others = [changed(1, 6), changed(2, 5)]
    again = changed(1, 5)
    assert all(map(torch.equal, first, again))
    assert not any(torch.equal(first[0], other[0]) for other in others)
    assert all(map(torch.equal, keep, (images, labels)))  # what was read is left alone


def changed_by(*names, patch=(12, 16)):
    """Images of 400 HU and random labels after some of the augmentations, in HU from 400 on."""
    options = NO_AUGMENTATION | {name: AUGMENTATION[name] for name in names}
    images, labels = random_batch([n + 10 for n in patch], NO_AUGMENTATION, count=8)
    ours, classes = augment(torch.full_like(images, 400), labels, patch, options, WINDOW, seed=3, step=7)
    return ours * 1000 - 400, classes


INTENSITIES = ["hu_scale", "hu_shift", "hu_noise"]
SPATIAL = ["rotation", "scale", "flip"]


@pytest.mark.parametrize("name", INTENSITIES)
def test_an_augmentation_draws_the_same_whatever_others_there_are(name):
    alone, _ = changed_by(name)
    without, _ = changed_by(*[other for other in INTENSITIES if other != name])
    together, _ = changed_by(*INTENSITIES, *SPATIAL)
    assert alone.abs().max() > 1
    torch.testing.assert_close(together - without, alone, rtol=0, atol=1e-2)


def test_how_images_move_does_not_hang_on_what_is_done_to_their_hu():
    moved = changed_by(*SPATIAL)[1]
    assert torch.equal(changed_by(*AUGMENTATION)[1], moved)
    assert not torch.equal(changed_by("rotation", "scale")[1], moved)


@pytest.mark.parametrize("name", SPATIAL)
def test_a_movement_draws_the_same_whatever_others_there_are(monkeypatch, name):
    """The matrices are multiplied, so what each gives is looked at."""
    given, file = [], augmentations.load(name)
    change = file.change

    def watched(*args):
        given.append(change(*args))
        return given[-1]

    monkeypatch.setattr(file, "change", watched)
    changed_by(name)
    changed_by(*AUGMENTATION)
    assert np.array_equal(*given)
    assert len(np.unique(given[0], axis=0)) > 1


def drawn(name, seed, step, whole):
    """The draw of an augmentation in a step."""
    return _draws.Draw(_draws.stream(name, seed, step), whole, WHOLE)


def test_a_flip_of_one_axis_does_not_shift_that_of_another():
    draws = [drawn("flip", 0, 0, 20) for _ in range(2)]
    along_y, along_both = (flip.change(axes, draw, 2) for axes, draw in zip(("y", "yx"), draws, strict=True))
    assert np.array_equal(along_y[:, 1, 1], along_both[:, 1, 1])
    assert (along_y[:, 0, 0] == 1).all()


def test_streams_are_told_apart_by_name_seed_and_step():
    keys = ("a", 1, 2), ("b", 1, 2), ("a", 2, 1)
    draws = [drawn(*key, 4).between(0, 1) for key in keys]
    assert len({tuple(draw) for draw in draws}) == 3


def test_every_augmentation_of_the_config_is_done_and_told(schema):
    known = schema["properties"]["training"]["properties"]["augmentation"]["properties"]
    given = {name: ON.get(name, AUGMENTATION.get(name)) for name in known}
    done = [name for stage in augmentations.STAGES for name in augmentations.on(given, stage)]
    assert list(known) == done == list(choices.augmentations())
    assert not set(choices.augmentations().values()) & set(known)


def test_images_of_a_batch_are_changed_differently():
    images, labels = random_batch((12, 16), AUGMENTATION)
    alike = images[:1].expand_as(images), labels[:1].expand_as(labels)
    ours, _ = augment(*alike, (12, 16), AUGMENTATION, WINDOW, seed=0, step=0)
    assert not any(torch.equal(ours[0], other) for other in ours[1:])


@given(
    st.fixed_dictionaries(
        {
            "rotation": st.floats(0, 45),
            "scale": st.floats(0, 0.5),
            "flip": st.lists(st.sampled_from("xyz"), unique=True),
            "hu_shift": st.floats(0, 3000),
            "hu_scale": st.floats(0, 0.9),
            "hu_noise": st.floats(0, 500),
            "gamma": st.floats(0, 0.9),
        }
    ),
    st.tuples(st.floats(-1200, 1200), st.floats(-1200, 1200)),
    st.sampled_from(PATCHES),
    st.integers(0, 1000),
)
@examples(60)
def test_whatever_the_options_images_lie_between_minus_one_and_one(options, window, patch, step):
    assume(window[1] - window[0] > 1)
    images, labels = random_batch(patch, options, count=2)
    ours, classes = augment(images, labels, patch, options, window, seed=0, step=step)
    assert (ours.dtype, tuple(ours.shape)) == (torch.float32, (2, 1, *patch))
    assert (classes.dtype, tuple(classes.shape)) == (torch.int64, (2, *patch))
    assert torch.isfinite(ours).all()
    rounding = float(np.spacing(np.float32(max(map(abs, window)))))  # of HU in float32
    assert ours.abs().max() <= 1 + 1e-5 + 2 * rounding / (window[1] - window[0])
    assert classes.min() >= 0
    assert classes.max() <= 6


def test_noise_depends_on_seed_and_step():
    images, labels = torch.zeros(1, 1, 12, 16, dtype=torch.int16), torch.zeros(1, 12, 16, dtype=torch.uint8)
    options = NO_AUGMENTATION | {"hu_noise": 50.0}
    noise = [
        augment(images, labels, (12, 16), options, WINDOW, seed=seed, step=step)[0].flatten()
        for seed, step in ((1, 5), (1, 6), (2, 5))
    ]
    likeness = torch.corrcoef(torch.stack(noise)) - torch.eye(3)  # whatever their strength
    assert likeness.abs().max() < 0.4


@pytest.mark.parametrize(("option", "largest"), [("hu_shift", 50.0), ("hu_scale", 0.5), ("hu_noise", 50.0)])
def test_changes_of_intensity_leave_the_labels_and_keep_to_their_size(option, largest):
    images, labels = random_batch((12, 16), NO_AUGMENTATION, count=50)
    images = torch.full_like(images, 400)
    ours, classes = augment(images, labels, (12, 16), NO_AUGMENTATION | {option: largest}, WINDOW, seed=0, step=0)
    assert torch.equal(classes, labels.long())
    change = ours * 1000 - 400
    if option == "hu_noise":
        assert change.std() == pytest.approx(50 / 3**0.5, rel=0.15)  # deviations are uniform from 0 to 50
        assert change.mean() == pytest.approx(0, abs=2)
    else:
        most = largest if option == "hu_shift" else 400 * largest
        assert 0.8 * most < change.abs().max() <= most + 0.01
        assert change.flatten(1).std(dim=1).max() < 0.01  # the same in the whole image
        assert change.min() < 0 < change.max()


def test_gamma_bends_the_window_and_keeps_its_ends():
    ramp = torch.linspace(-1000, 1000, 16).round().to(torch.int16).expand(20, 1, 12, 16)
    labels = torch.zeros(20, 12, 16, dtype=torch.uint8)
    ours, _ = augment(ramp, labels, (12, 16), NO_AUGMENTATION | {"gamma": 0.5}, WINDOW, seed=0, step=0)
    assert torch.equal(ours[..., 0], torch.full((20, 1, 12), -1.0))
    assert torch.allclose(ours[..., -1], torch.ones(20, 1, 12), atol=1e-5)
    assert (ours.diff(dim=-1) > 0).all()
    middle = ours[:, 0, 0, 8]
    plain = float(scaled(ramp, WINDOW)[0, 0, 0, 8])
    assert middle.min() < plain < middle.max()


def drawn_for(name, patch, count=20, options=()):
    """A batch and what comes of it when one augmentation changes some of it; and which images it changes."""
    plain = NO_AUGMENTATION | dict(options)
    images, labels = random_batch(patch, plain | {name: ON[name]}, count=count)
    before = augment(images, labels, patch, plain, WINDOW, seed=3, step=7)
    after = augment(images, labels, patch, plain | {name: ON[name]}, WINDOW, seed=3, step=7)
    return before, after, drawn(name, 3, 7, count).some(ON[name])[0]


@either_patch
@pytest.mark.parametrize("name", IMAGES)
def test_some_images_are_changed_and_the_others_are_the_same_to_the_last_bit(name, patch):
    before, after, chosen = drawn_for(name, patch)
    assert 4 < chosen.sum() < 16
    alike = [torch.equal(*pair) for pair in zip(before[0], after[0], strict=True)]
    assert np.array_equal(np.logical_not(alike), chosen)
    assert torch.equal(before[1], after[1])
    assert after[0].abs().max() <= 1


@pytest.mark.parametrize("name", ON)
def test_an_augmentation_of_probability_0_changes_no_bit(name):
    patch = (6, 12, 10)
    images, labels = random_batch(patch, AUGMENTATION)
    off = {name: {"probability": 0, "range": ON[name]["range"]}}
    assert margin(patch, AUGMENTATION | off) == margin(patch, AUGMENTATION)
    both = (AUGMENTATION, AUGMENTATION | off)
    plain, with_it = (augment(images, labels, patch, options, WINDOW, seed=0, step=0) for options in both)
    assert all(map(torch.equal, plain, with_it))


def test_blur_is_a_gaussian_in_each_slice():
    change = augmentations.load("blur").change
    point = torch.zeros(3, 21, 23)
    point[1, 10, 11] = 1.0
    blurred = change(point, 1.5)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert (blurred[[0, 2]] == 0).all()  # neighbouring slices as channels do not mix
    offsets = torch.arange(21) - 10
    assert ((blurred[1].sum(1) * offsets**2).sum().sqrt()) == pytest.approx(1.5, abs=0.05)
    assert torch.allclose(change(torch.full((1, 5, 6, 7), 300.0), 2.0), torch.tensor(300.0))


def test_low_resolution_keeps_what_is_coarse_and_loses_what_is_fine():
    change = augmentations.load("low_resolution").change
    ramp = torch.arange(32.0).expand(1, 24, 32)
    assert (change(ramp, 0.5) - ramp).abs().max() <= 1
    board = (torch.arange(24)[:, None] + torch.arange(32)) % 2
    assert change(board[None].float(), 0.5).std() < 0.6 * board.float().std()
    assert torch.equal(change(ramp, 1.0), ramp)


def test_brightness_and_contrast_do_what_they_say():
    image = torch.tensor([0.0, 0.2, 0.6, 1.0]).reshape(1, 2, 2)

    def change(name, value):
        return augmentations.load(name).change(image, value).flatten().tolist()

    assert change("brightness", 0.5) == pytest.approx([0, 0.1, 0.3, 0.5])
    assert change("brightness", 1.5) == pytest.approx([0, 0.3, 0.9, 1])
    assert change("brightness_shift", 0.1) == pytest.approx([0.1, 0.3, 0.7, 1])
    assert change("contrast", 0.5) == pytest.approx([0.225, 0.325, 0.525, 0.725])
    assert change("contrast", 2.0) == pytest.approx([0, 0, 0.75, 1])


def test_a_tilt_turns_3d_crops_about_both_axes_and_2d_crops_not():
    draw = drawn("tilt", 0, 0, 30)
    matrices = augmentations.load("tilt").change(ON["tilt"], draw, 3)
    assert np.allclose(matrices @ matrices.transpose(0, 2, 1), np.eye(3))
    moved = np.abs(matrices - np.eye(3)).max(axis=(1, 2)) > 0
    assert 8 < moved.sum() < 22
    assert (np.abs(matrices[moved][:, [0, 1], [2, 2]]) > 0).all()  # x and y both reach into z
    flat = augmentations.load("tilt").change(ON["tilt"], drawn("tilt", 0, 0, 30), 2)
    assert np.array_equal(flat, np.tile(np.eye(2), (30, 1, 1)))
    assert margin((12, 16), ON) == (0, 0)


@given(st.tuples(*[st.floats(-1, 1)] * 3), st.lists(st.integers(8, 40), min_size=3, max_size=3))
@examples(40)
def test_margins_hold_a_tilted_and_turned_patch(parts, patch):
    options = {"tilt": {"probability": 1, "range": [-20, 30]}, "rotation": 25, "scale": 0.2}
    about_x, about_y, about_z = (np.deg2rad(part * largest) for part, largest in zip(parts, (30, 30, 25), strict=True))
    turns = (
        augmentations.load("tilt").turning(np.array([angle]), 3, *axes)[0]
        for angle, axes in ((about_x, (1, 2)), (about_y, (0, 2)), (about_z, (0, 1)))
    )
    matrix = 1.2 * np.linalg.multi_dot(list(turns))
    needed = np.abs(matrix) @ np.array(patch[::-1])
    there = [n + 2 * m for n, m in zip(patch, margin(patch, options), strict=True)]
    assert (needed[::-1] <= np.array(there) + 1e-9).all()


def paired_phantom(patch, count=20):
    """Images (HU) in which each of six organs has its own value, with the organs as labels: 1 left of 2, and so on."""
    half = np.random.default_rng(4).integers(0, 3, (count, *patch[:-1], patch[-1] // 2)) * 2  # organs 2 and 4
    other = np.where(np.flip(half, -1) > 0, np.flip(half, -1) - 1, 0)  # organs 1 and 3, mirrored
    labels = np.concatenate([half, other], axis=-1)
    images = np.where(labels > 0, (labels + 1) // 2 * 300, -1000)  # what is left and what is right looks alike
    return torch.from_numpy(images.astype(np.int16))[:, None], torch.from_numpy(labels.astype(np.uint8))


@either_patch
def test_paired_organs_change_places_where_an_image_is_flipped_along_x(patch):
    """A symmetric patient, flipped, is the same patient only if the labels change places."""
    images, labels = paired_phantom(patch)
    pairs = ((1, 2), (3, 4))
    options = NO_AUGMENTATION | {"flip": ["x"]}
    ours, classes = augment(images, labels, patch, options, WINDOW, seed=0, step=0, mirrored=pairs)
    assert torch.equal(classes, labels.long())
    assert torch.allclose(ours, scaled(images, WINDOW), rtol=0, atol=1e-5)
    _, unpaired = augment(images, labels, patch, options, WINDOW, seed=0, step=0)
    turned = torch.tensor([not torch.equal(*pair) for pair in zip(unpaired, labels, strict=True)])
    assert 3 < turned.sum() < 17


def test_a_flip_along_another_axis_exchanges_nothing():
    images, labels = random_batch((12, 16), NO_AUGMENTATION)
    options = NO_AUGMENTATION | {"flip": ["y"]}
    plain, paired = (
        augment(images, labels, (12, 16), options, WINDOW, seed=0, step=0, mirrored=pairs) for pairs in ((), ((1, 2),))
    )
    assert all(map(torch.equal, plain, paired))


@either_patch
def test_flipping_twice_is_what_there_was(patch):
    """With other augmentations too: a batch flipped and exchanged by hand comes out flipped and exchanged."""
    pairs, options = ((1, 2), (4, 6)), NO_AUGMENTATION | {"flip": ["x", "y"]}
    images, labels = random_batch(patch, options, count=12)
    once = augment(images, labels, patch, options, WINDOW, seed=1, step=0, mirrored=pairs)
    order = torch.tensor(exchanging(pairs, 7))
    again = augment((once[0] * 1000).round(), once[1].byte(), patch, options, WINDOW, seed=1, step=0, mirrored=pairs)
    assert torch.equal(again[1], labels.long())
    assert torch.allclose(again[0], scaled(images, WINDOW), rtol=0, atol=2e-3)
    assert torch.equal(order[order], torch.arange(7))
