"""A whole volume is predicted voxel for voxel, whatever its shape, in bounded memory, and back on its own grid."""

import io
import os
import pickle

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import ORGANS, PREDICTION, UNET, WINDOW, Pointwise, examples, label_map, make_case, pointwise
from torch import nn

from organbench import networks
from organbench.core.errors import InputError
from organbench.core.files import tuples
from organbench.data import conversion
from organbench.hardware import devices
from organbench.inference import weights as weights_file
from organbench.inference.prediction import Ensemble, Predictor, predict_case
from organbench.inference.settings import Prediction
from organbench.inference.weights import Recipe
from organbench.inference.windows import body_box, gaussian, starts

CPU = torch.device("cpu")
RECIPE = {
    "network": UNET,
    "in_channels": 1,
    "classes": 3,
    "norm": "batch",
    "deep_supervision": False,
    "patch": [8, 8],
    "context": 0,
    "organs": list(ORGANS),
    "window": list(WINDOW),
    "precision": "fp32",
    "organ_ml": [1.5, 0.5],
    "parameters": 10,
    "multiply_adds_per_voxel": 2.5,
    "run": "unet/fold0-seed0",
    "mirrored": [],
    "flips": ["x", "y", "z"],
}


def predictor(network=None, **options):
    """As a study predicts with a network; options are those of the recipe, the settings and the predictor."""
    recipe, settings = (
        {key: options.pop(key, value) for key, value in known.items()} for known in (RECIPE, PREDICTION)
    )
    return Predictor(network or Pointwise(), Recipe(**tuples(recipe)), Prediction(**tuples(settings)), CPU, **options)


def scan(shape, seed=0):
    return np.random.default_rng(seed).integers(-1200, 1200, shape).astype(np.int16)


def joined(slabs):
    return np.concatenate(list(slabs), axis=1)


def close(ours, theirs):
    return ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=0, atol=1e-5)


shapes = st.tuples(*[st.integers(1, 21)] * 3)


@given(
    shape=shapes,
    patch=st.sampled_from([2, 3]).flatmap(lambda dims: st.tuples(*[st.integers(1, 12)] * dims)),
    context=st.integers(0, 2),
    overlap=st.floats(0, 0.9),
    batch_size=st.integers(1, 9),
    mirror=st.booleans(),
)
@examples(100)
def test_windows_of_the_patch_make_up_any_volume(shape, patch, context, overlap, batch_size, mirror):
    context = context if len(patch) == 2 else 0
    image, network = np.maximum(scan(shape), -499), Pointwise()  # a patient from edge to edge
    ours = predictor(network, patch=patch, context=context, overlap=overlap, batch_size=batch_size, mirror=mirror)
    result = joined(ours.probabilities(image))
    assert result.dtype == np.float32
    assert np.allclose(result.sum(axis=0), 1, rtol=0, atol=1e-5)
    assert close(result, pointwise(image))
    for count, channels, *size in network.seen:
        assert count <= batch_size
        assert channels == 2 * context + 1
        assert tuple(size) == patch  # never another field of view than in training


@given(
    shape=shapes,
    patch=st.sampled_from([2, 3]).flatmap(lambda dims: st.tuples(*[st.integers(1, 12)] * dims)),
    corner=st.tuples(*[st.integers(0, 20)] * 2),
    size=st.tuples(*[st.integers(1, 8)] * 2),
)
@examples(60)
def test_only_the_box_around_the_body_is_computed(shape, patch, corner, size):
    image = np.full(shape, -1024, np.int16)
    (y, x), (height, width) = (min(c, n - 1) for c, n in zip(corner, shape[1:], strict=True)), size
    body = (shape[0] // 2, slice(y, y + height), slice(x, x + width))
    image[body] = 40
    result = joined(predictor(patch=patch).probabilities(image))
    assert close(result[:, *body], pointwise(image)[:, *body])
    assert close(result.sum(axis=0), np.ones(shape))
    rows, columns = body_box(image, patch[-2:])
    for lines, start, extent, least, length in (
        (rows, y, height, patch[-2], shape[1]),
        (columns, x, width, patch[-1], shape[2]),
    ):
        assert 0 <= lines.start <= start
        assert min(start + extent, length) <= lines.stop <= length
        assert lines.stop - lines.start == min(length, max(least, min(extent, length - start)))
    outside = np.ones(shape[1:], bool)
    outside[rows, columns] = False
    assert (result[0][:, outside] == 1).all()


def test_the_window_decides_what_the_network_sees():
    image = scan((2, 8, 8))
    inside = np.clip(image, -100, 300)
    result = joined(predictor(window=(-100, 300)).probabilities(image))
    assert close(result, pointwise(inside * 5 - 500))  # -100 to 300 HU, stretched to -1000 to 1000


def test_context_shows_the_neighbouring_slices_in_order():
    class Below(Pointwise):
        def forward(self, images):
            return super().forward(images[:, :1])

    image = scan((5, 8, 8))
    result = joined(predictor(Below(), context=1, batch_size=2).probabilities(image))
    assert close(result, pointwise(image[[0, 0, 1, 2, 3]]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_overlapping_windows_are_averaged_with_gaussian_weights(axis):
    class Numbered(nn.Module):
        """Says class 1 with growing confidence: the first window by e to 1, the second by e squared to 1, ..."""

        windows = 0

        def forward(self, images):
            logits = torch.zeros(len(images), 2, *images.shape[2:])
            for position in range(len(images)):
                self.windows += 1
                logits[position, 1] = self.windows
            return logits

    patch, shape = (4, 4, 4), [4, 4, 4]
    shape[axis] = 8
    result = joined(predictor(Numbered(), patch=patch, overlap=0.5).probabilities(scan(shape)))
    weight = gaussian(patch)
    total, weights = np.zeros(shape), np.zeros(shape)
    for number, start in enumerate((0, 2, 4), start=1):
        where = [slice(None)] * 3
        where[axis] = slice(start, start + 4)
        total[tuple(where)] += weight / (1 + np.exp(-number))
        weights[tuple(where)] += weight
    assert close(result[1], total / weights)
    along = result[1].swapaxes(0, axis)[:, 2, 2]
    assert (np.diff(along)[1:6] > 0).all()  # from window to window there is no step


@given(length=st.integers(1, 300), window=st.integers(1, 100), percent=st.integers(0, 90))
@examples(300)
def test_windows_cover_an_axis_and_overlap_enough(length, window, percent):
    length = max(length, window)  # shorter axes are padded
    found = starts(length, window, percent / 100)
    assert found[0] == 0
    assert found[-1] == length - window
    furthest = max(1, window * (100 - percent) // 100)
    assert all(0 < step <= furthest for step in np.diff(found))
    assert len(found) - 1 < (length - window) / furthest + 1  # no more than that needs


def test_windows_start_where_nnunet_puts_them():
    assert starts(128, 128, 0.5) == [0]
    assert starts(129, 128, 0.5) == [0, 1]
    assert starts(256, 128, 0.5) == [0, 64, 128]
    assert starts(100, 32, 0.0) == [0, 23, 45, 68]


@given(st.tuples(*[st.integers(1, 40)] * 3))
@examples(40)
def test_gaussian_weights_are_positive_symmetric_and_largest_in_the_middle(patch):
    weight = gaussian(patch)
    assert (weight.shape, weight.dtype) == (patch, np.float32)
    assert weight.min() > 0
    assert np.array_equal(weight, weight[::-1, ::-1, ::-1])
    assert weight.max() == weight[tuple(n // 2 for n in patch)] <= 1


@pytest.mark.parametrize(
    ("patch", "trained", "turns"),
    [
        ((8, 8), "xyz", [(), (1,), (2,), (1, 2)]),
        ((8, 8, 8), "xyz", [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]),
        ((8, 8), "x", [(), (2,)]),
        ((8, 8, 8), "zx", [(), (0,), (2,), (0, 2)]),
        ((8, 8), "z", [()]),
    ],
)
def test_mirroring_averages_over_the_flips_of_training(patch, trained, turns):
    class Lopsided(Pointwise):
        """Adds to class 1 what differs from corner to corner, so that it matters how the image lies."""

        def forward(self, images):
            logits = super().forward(images)
            ramp = sum(
                torch.linspace(0, 3 + axis, n).reshape([-1] + [1] * (images.ndim - 3 - axis))
                for axis, n in enumerate(images.shape[2:])
            )
            logits[:, 1] += ramp
            return logits

    image, network = scan((8, 8, 8)), Lopsided()
    options = {"patch": patch, "batch_size": 8, "flips": tuple(trained)}
    result = joined(predictor(network, mirror=True, **options).probabilities(image))
    assert len(network.seen) == len(turns)
    plain = predictor(network, **options)
    expected = []
    for turned in turns:
        there = joined(plain.probabilities(np.flip(image, turned).copy()))
        expected.append(np.flip(there, [axis + 1 for axis in turned]))
    assert close(result, np.mean(expected, axis=0))
    assert close(result, expected[0]) == (len(turns) == 1)


@pytest.mark.parametrize("patch", [(8, 8), (8, 8, 8)], ids=["2d", "3d"])
def test_paired_organs_change_places_in_a_mirrored_prediction(patch):
    """A network that tells left from right by the place alone is right in every flip, once organs change places."""

    class Sided(Pointwise):
        """Class 1 in the left half of an image, class 2 in the right half."""

        def forward(self, images):
            logits = torch.zeros_like(super().forward(images))
            half = images.shape[-1] // 2
            logits[:, 1, ..., :half] = 4.0
            logits[:, 2, ..., half:] = 4.0
            return logits

    image = scan((8, 8, 8))
    plain = joined(predictor(Sided(), patch=patch).probabilities(image))
    paired = joined(predictor(Sided(), patch=patch, mirror=True, mirrored=((1, 2),)).probabilities(image))
    assert close(paired, plain)
    assert not close(joined(predictor(Sided(), patch=patch, mirror=True).probabilities(image)), plain)


@pytest.mark.parametrize(("patch", "slices"), [((8, 8), 4), ((4, 8, 8), 8)], ids=["2d", "3d"])
def test_slabs_are_computed_when_they_are_asked_for(patch, slices):
    """So memory holds a few slices of probabilities, never all."""
    network = Pointwise()
    slabs = predictor(network, patch=patch, batch_size=4).probabilities(scan((40, 8, 8)))
    for number in range(1, 4):
        assert next(slabs).shape == (3, slices, 8, 8)
        assert len(network.seen) == number


def test_predicting_leaves_the_network_in_its_mode():
    network = networks.build(UNET, in_channels=1, classes=3).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    joined(predictor(network).probabilities(scan((3, 8, 8))))
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())  # batch norm's means too
    network.eval()
    joined(predictor(network).probabilities(scan((3, 8, 8))))
    assert not network.training


# Several networks as one


class Slabs:
    """A predictor of given probabilities (class z y x) in slabs that end where it is told."""

    def __init__(self, probabilities, ends):
        self.whole, self.ends, self.given = probabilities, ends, 0

    def probabilities(self, image):
        for start, stop in zip([0, *self.ends], [*self.ends, len(image)], strict=True):
            self.given = stop
            yield self.whole[:, start:stop]


slab_ends = st.sets(st.integers(1, 19)).map(sorted)


@given(st.lists(slab_ends, min_size=1, max_size=5))
@examples(100)
def test_an_ensemble_is_the_mean_of_its_members_however_thick_their_slabs(cuts):
    draw = np.random.default_rng(0)
    members = [Slabs(draw.random((3, 20, 4, 5), np.float32), ends) for ends in cuts]
    before = [member.whole.copy() for member in members]
    slabs = []
    for slab in Ensemble(members).probabilities(scan((20, 4, 5))):
        slabs.append(slab)
        done = sum(part.shape[1] for part in slabs)
        assert slab.shape[1] > 0
        for member in members:  # nobody is asked for a slab before its last one is used up
            assert done <= member.given
            assert done > max((end for end in [0, *member.ends, 20] if end < member.given), default=-1)
    result = joined(slabs)
    assert result.dtype == np.float32
    assert close(result, np.mean(before, axis=0))
    assert all(np.array_equal(member.whole, whole) for member, whole in zip(members, before, strict=True))


@given(
    shape=shapes,
    patches=st.lists(
        st.sampled_from([2, 3]).flatmap(lambda dims: st.tuples(*[st.integers(1, 12)] * dims)), min_size=2, max_size=3
    ),
    batch_size=st.integers(1, 9),
)
@examples(40)
def test_networks_of_any_patch_make_an_ensemble(shape, patches, batch_size):
    image = scan(shape)
    members = [
        predictor(patch=patch, context=len(patch) == 2, precision=precision, batch_size=batch_size + number)
        for number, (patch, precision) in enumerate(zip(patches, ["fp32", "bf16", "fp32"], strict=False))
    ]
    for number, member in enumerate(members):
        member.network.scale.data.fill_(number + 1)
    result = joined(Ensemble(members).probabilities(image))
    assert close(result, np.mean([joined(member.probabilities(image)) for member in members], axis=0))
    assert all(member.network.training for member in members)


def test_an_ensemble_weighs_how_sure_its_members_are(tmp_path):
    class Nothing(nn.Module):
        """Sees no organ, and is as sure of it as it is told."""

        divisor = 1

        def __init__(self, logit):
            super().__init__()
            self.logit = logit

        def forward(self, images):
            logits = torch.zeros(len(images), 3, *images.shape[2:])
            logits[:, 0] = self.logit
            return logits

    case = make_case(tmp_path, noise=0.0)
    sure, (unsure, certain) = predictor(Threshold()), (predictor(Nothing(n), patch=(4, 8, 8)) for n in (1, 40))
    assert np.array_equal(predict_case(Ensemble([unsure, sure, unsure]), case), case.label)
    assert not predict_case(Ensemble([certain, sure, certain]), case).any()


# Weights on disk


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    network = devices.place(networks.build(UNET, in_channels=1, classes=3), CPU, 2)
    weights_file.save(tmp_path / "weights.pt", network, Recipe(**tuples(RECIPE)))
    return network, tmp_path / "weights.pt"


def test_weights_come_back_with_their_recipe(weights):
    network, path = weights
    again, recipe = weights_file.load(path, CPU)
    assert recipe == Recipe(**tuples(RECIPE))
    assert weights_file.read_archive(path)["recipe"] == RECIPE | {"training": "", "mirrored": []}
    ours, theirs = network.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    image = scan((3, 8, 8))
    assert np.array_equal(*(joined(predictor(n).probabilities(image)) for n in (network, again)))


def test_weights_are_plain_values(weights):
    content = torch.load(weights[1], weights_only=True)
    assert content.keys() == {"recipe", "state_dict"}


class Trap:
    """An object that, unpickled, makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def as_bytes(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda good, folder: b"",
        lambda good, folder: b"garbage " * 100,
        lambda good, folder: good[: len(good) // 2],
        lambda good, folder: good[: len(good) // 2] + bytes(99) + good[len(good) // 2 + 99 :],
        lambda good, folder: pickle.dumps(Trap(folder / "sprung"), protocol=2),
        lambda good, folder: as_bytes(Trap(folder / "sprung")),
        lambda good, folder: as_bytes(nn.Conv2d(1, 1, 1)),
        lambda good, folder: as_bytes([1, 2]),
        lambda good, folder: as_bytes({"state_dict": {}}),
        lambda good, folder: as_bytes({"recipe": RECIPE, "state_dict": {}}),
        lambda good, folder: as_bytes({"recipe": RECIPE | {"network": {"network": "alexnet"}}, "state_dict": {}}),
        lambda good, folder: as_bytes(
            {**torch.load(io.BytesIO(good)), "recipe": {key: RECIPE[key] for key in RECIPE if key != "patch"}}
        ),
    ],
    ids=[
        "empty",
        "garbage",
        "truncated",
        "zeroed",  # torch would load it
        "pickle",
        "trap",
        "module",
        "list",
        "no-recipe",
        "no-weights",
        "unknown-network",
        "no-patch",
    ],
)
def test_a_file_that_holds_no_weights_is_refused_in_one_line(weights, tmp_path, damage):
    path = weights[1]
    path.write_bytes(damage(path.read_bytes(), tmp_path))
    with pytest.raises(InputError) as caught:
        weights_file.load(path, CPU)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


# From case to prediction file


class Threshold(nn.Module):
    """Tells the organs of `tiny.write_patient` by their HU."""

    divisor = 1

    def forward(self, images):
        hu = images[:, images.shape[1] // 2] * 1000
        organ = (hu > 150).long() + (hu > 450).long()
        return 40.0 * torch.stack([organ == k for k in range(3)], dim=1).float()


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SPL", "IAR"])
def test_a_prediction_is_on_the_scanners_grid_with_the_original_values(tmp_path, orientation):
    labels = label_map((6, 24, 20))
    case = make_case(tmp_path, labels=labels, noise=0.0, orientation=orientation)
    prediction = predict_case(predictor(Threshold()), case)
    conversion.write_prediction(prediction, case, tmp_path / "prediction.nii.gz")
    ours, reference = (sitk.ReadImage(str(tmp_path / f"{name}.nii.gz")) for name in ("prediction", "labels-a"))
    assert ours.GetPixelID() == sitk.sitkUInt8
    for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(ours, what)() == getattr(reference, what)()
    assert np.array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(reference))
    assert set(np.unique(sitk.GetArrayFromImage(ours))) == {0, *(value for (value,) in ORGANS.values())}


@pytest.mark.parametrize("patch", [(8, 8), (4, 8, 8)], ids=["2d", "3d"])
def test_a_prediction_comes_back_from_a_coarser_grid(tmp_path, patch):
    labels = np.zeros((20, 40, 30), np.uint8)
    labels[4:16, 6:30, 5:25] = 1
    labels[8:12, 32:38, 20:28] = 5
    case = make_case(tmp_path, labels=labels, noise=0.0, spacing=(1.5, 1.5, 2.5), working=(2.5, 2.0, 4.0))
    assert case.image.shape != labels.shape
    prediction = predict_case(predictor(Threshold(), patch=patch), case)
    assert (prediction.shape, prediction.dtype) == (labels.shape, np.uint8)
    for index, value in ((1, 1), (2, 5)):
        ours, theirs = prediction == index, labels == value
        assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.8


def test_only_the_largest_part_of_the_named_organs_is_kept(tmp_path):
    labels = np.zeros((4, 16, 16), np.uint8)
    labels[1:3, 2:8, 2:8], labels[1:3, 12:14, 2:4] = 1, 1
    labels[1:3, 2:5, 11:14], labels[1:3, 12:14, 12:14] = 5, 5
    case = make_case(tmp_path, labels=labels, noise=0.0)
    whole = predict_case(predictor(Threshold()), case)
    kept = predict_case(predictor(Threshold()), case, {1: (0.0, True)})
    assert np.array_equal(whole, case.label)
    expected = whole.copy()
    expected[1:3, 12:14, 2:4] = 0
    assert np.array_equal(kept, expected)


def test_parts_that_are_smaller_than_the_organ_may_be_go(tmp_path):
    labels = np.zeros((4, 16, 16), np.uint8)
    labels[1:3, 2:8, 2:8], labels[1:3, 12:14, 2:4] = 1, 1  # 72 and 8 voxels of 0.045 ml
    labels[1:3, 12:14, 12:14] = 5
    case = make_case(tmp_path, labels=labels, noise=0.0)
    assert np.array_equal(predict_case(predictor(Threshold()), case, {1: (0.36, False)}), case.label)
    expected = np.array(case.label)
    expected[1:3, 12:14, 2:4] = 0
    assert np.array_equal(predict_case(predictor(Threshold()), case, {1: (0.37, False)}), expected)
