"""Grids, resampling and reading, against SimpleITK, brute force and the laws that they must obey."""

import gzip
import itertools
import zlib
from dataclasses import asdict

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from organbench.core.errors import InputError
from organbench.data import volumes
from organbench.data.volumes import Grid, Resampler

ORGANS = {"liver": [1], "lungs": [3, 4]}
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

quick = settings(max_examples=60, deadline=None, derandomize=True)
spacings = st.floats(0.4, 6.0)


def rotation(angles):
    """Direction cosines of a grid that is turned about z, then y, then x (radians)."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = [k for k in range(3) if k != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return result


def grid(size=(9, 8, 7), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=IDENTITY):
    return Grid(size, spacing, origin, tuple(np.ravel(direction).tolist()))


@st.composite
def grids(draw, largest=12):
    return grid(
        draw(st.tuples(*[st.integers(1, largest)] * 3)),
        draw(st.tuples(*[spacings] * 3)),
        draw(st.tuples(*[st.floats(-300, 300)] * 3)),
        rotation(draw(st.tuples(*[st.floats(-3, 3)] * 3))),
    )


def resample(array, source, target):
    resampler = Resampler.between(source, target)
    return np.concatenate([resampler.slab(array[resampler.needs(*span)], *span) for span in resampler.spans()])


def centres(wanted):
    """Where the voxels lie in the patient, mm (z y x 3), along the grid's own axes."""
    z, y, x = np.indices(wanted.shape)
    index = np.stack([x, y, z], axis=-1) * np.asarray(wanted.spacing)
    return index @ np.reshape(wanted.direction, (3, 3)).T + np.asarray(wanted.origin)


# --- grids


@quick
@given(grids(), st.tuples(*[st.one_of(st.none(), spacings)] * 3))
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
@given(grids())
def test_the_same_spacing_is_the_same_grid(source):
    assert source.with_spacing(source.spacing) == source
    assert source.with_spacing([None, None, None]) == source


def test_a_grid_survives_json():
    source = grid((3, 4, 5), (0.7, 0.8, 5.0), (-100.1, 3.0, 1e-3), rotation((0.1, 0.2, 0.3)))
    assert Grid.from_json(volumes.grid_json(source)) == source
    assert source.shape == (5, 4, 3)
    assert source.voxel_ml == pytest.approx(0.7 * 0.8 * 5.0 / 1000)


@pytest.mark.parametrize("angle", [0, 30, 44.9, 45, 46, 90, 180])
@pytest.mark.parametrize("mirrored", [False, True])
def test_orienting_and_back_changes_nothing(angle, mirrored):
    """Any axis may be the one that points most nearly to the left; at 45 degrees two are equally near."""
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for axes in itertools.permutations(range(3)):
        direction = rotation(np.radians(angle) * np.eye(3)[0])[:, list(axes)] * (1, 1, -1 if mirrored else 1)
        image = volumes.to_image(array, grid((4, 3, 2), (1.0, 2.0, 3.0), (5.0, 6.0, 7.0), direction))
        oriented = volumes.orient(image)
        assert volumes.orientation(oriented) == "LPS"
        view, found = volumes.oriented(image)
        np.testing.assert_array_equal(view, sitk.GetArrayViewFromImage(oriented))
        for ours, theirs in zip(asdict(found).values(), asdict(Grid.of(oriented)).values(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-9)
        back = volumes.orient(oriented, volumes.orientation(image))
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(back), array)
        np.testing.assert_allclose(back.GetDirection(), image.GetDirection(), atol=1e-12)
        np.testing.assert_allclose(back.GetOrigin(), image.GetOrigin(), atol=1e-9)


# --- resampling of intensities


@quick
@given(grids(), st.tuples(*[spacings] * 3))
def test_weights_are_averages(source, spacing):
    for here, there in itertools.permutations([source, source.with_spacing(spacing)]):
        for axis in range(3):
            weights = volumes.axis_weights(here, there, axis)
            assert weights.shape == (there.size[axis], here.size[axis])
            assert (weights >= 0).all()
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


@quick
@given(grids(), st.tuples(*[spacings] * 3), st.integers(-1024, 3000))
def test_a_constant_stays(source, spacing, value):
    target = source.with_spacing(spacing)
    found = volumes.resample_volume(np.full(source.shape, value, np.int16), source, target)
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
@given(grids(largest=9), st.tuples(*[st.floats(0.3, 1)] * 3), st.integers(0, 1000))
def test_growing_agrees_with_simpleitk(source, factors, seed):
    """No antialiasing is involved where the target is the finer grid, and no border where SimpleITK has a value."""
    array = np.random.default_rng(seed).normal(size=source.shape).astype(np.float32)
    target = source.with_spacing([s * f for s, f in zip(source.spacing, factors, strict=True)])
    image = volumes.to_image(array, source)
    reference = volumes.to_image(np.zeros(target.shape, np.float32), target)
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
    reference = volumes.to_image(np.zeros(target.shape, np.float32), target)
    expected = sitk.GetArrayFromImage(
        sitk.Resample(volumes.to_image(array, source), reference, sitk.Transform(), sitk.sitkLinear, np.nan)
    )
    known = np.isfinite(expected)
    assert known.mean() > 0.99
    np.testing.assert_allclose(resample(array, source, target)[known], expected[known], atol=1e-4)


@pytest.mark.parametrize("wanted", [2.0, 3.0, 4.2])
def test_shrinking_removes_what_the_coarse_grid_cannot_hold(wanted):
    """The finest pattern there is, which picking single voxels would turn into full contrast or into waves."""
    source = grid((48, 44, 52))
    board = np.where(np.indices(source.shape).sum(axis=0) % 2, 1000, -1000).astype(np.int16)
    found = volumes.resample_volume(board, source, source.with_spacing([wanted] * 3))
    assert np.abs(found).max() < 20


@pytest.mark.parametrize("wanted", [1.5, 2.0, 3.0])
def test_shrinking_keeps_a_balls_mass_and_volume(wanted):
    source = grid((60, 60, 60))
    ball = (np.linalg.norm(centres(source) - 30.2, axis=-1) < 18).astype(np.uint8)
    target = source.with_spacing([wanted] * 3)
    mass = volumes.resample_volume(ball * np.int16(1000), source, target).sum() * target.voxel_ml
    assert mass == pytest.approx(1000 * ball.sum() * source.voxel_ml, rel=0.01)
    volume = volumes.resample_labels(ball, source, target, 1).sum() * target.voxel_ml
    assert volume == pytest.approx(ball.sum() * source.voxel_ml, rel=0.03)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint16, np.float32, np.float64])
def test_intensities_become_int16_hu(kind):
    source = grid((3, 2, 1))
    array = np.array([[[0, 1, 700], [1000, 3071, 30000]]]).astype(kind)
    found = volumes.resample_volume(array, source, source)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, array)


def test_padding_counts_as_air_and_metal_does_not_wrap_around():
    source = grid((5, 1, 1))
    array = np.array([[[-3024, -2048, -1024, 40000, 12]]], np.float32)
    found = volumes.resample_volume(array, source, source)
    np.testing.assert_array_equal(found, [[[-1024, -1024, -1024, 32767, 12]]])


def test_padding_does_not_darken_its_neighbours():
    """Clipped before it is averaged, not after."""
    source = grid((4, 1, 1))
    array = np.array([[[-3024, -1024, -1024, 976]]], np.int16)
    found = volumes.resample_volume(array, source, source.with_spacing((2.0, None, None)))
    same = volumes.resample_volume(np.maximum(array, -1024), source, source.with_spacing((2.0, None, None)))
    np.testing.assert_array_equal(found, same)


# --- class probabilities and labels


def brute_force(probabilities, source, target):
    """Every class on the whole target grid, in double precision, then the most probable: classes, and the lead."""
    weights = [volumes.axis_weights(source, target, axis).astype(np.float64) for axis in range(3)]
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
    found = volumes.restore(in_slabs(probabilities, slabs), source, target)
    expected, lead = brute_force(probabilities, source, target)
    assert found.dtype == np.uint8
    assert found.shape == target.shape
    clear = lead > 1e-5
    np.testing.assert_array_equal(found[clear], expected[clear])


@quick
@given(grids(largest=14), st.tuples(*[spacings] * 3), st.integers(0, 1000))
def test_resampling_labels_invents_none(source, wanted, seed):
    """Between organs 1 and 3 there is no organ 2, and on the same grid nothing changes."""
    labels = np.random.default_rng(seed).choice([1, 3], source.shape).astype(np.uint8)
    found = volumes.resample_labels(labels, source, source.with_spacing(wanted), 3)
    assert set(np.unique(found)) <= {1, 3}
    np.testing.assert_array_equal(volumes.resample_labels(labels, source, source, 3), labels)


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
    np.testing.assert_array_equal(volumes.resample_labels(labels, source, target, 3)[clear], expected[clear])


def test_equally_probable_classes_go_to_the_first():
    source = grid((2, 2, 20))
    probabilities = np.full((4, *source.shape), 0.25, np.float32)
    assert not volumes.restore([probabilities], source, source).any()
    probabilities[0] = 0.0
    assert (volumes.restore([probabilities], source, source) == 1).all()


def test_keep_largest_leaves_one_part_and_other_organs():
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[0:2, 0:2, 0:2] = 1  # 8 voxels
    labels[2, 2, 2] = 1  # touches by a corner only
    labels[4, 5, 3:7] = 1
    labels[4, 0, 0] = labels[0, 5, 6] = 2
    expected = labels.copy()
    expected[2, 2, 2] = 0
    expected[4, 5, 3:7] = 0
    volumes.remove_parts(labels, 1, only_largest=True)
    np.testing.assert_array_equal(labels, expected)
    volumes.remove_parts(labels, 5, only_largest=True)  # an organ that is not there
    np.testing.assert_array_equal(labels, expected)


@given(shape=st.tuples(*[st.integers(1, 8)] * 3), smallest=st.integers(1, 9), seed=st.integers(0, 99))
@quick
def test_small_parts_go_and_all_else_stays(shape, smallest, seed):
    labels = np.random.default_rng(seed).choice(np.array([0, 1, 2], np.uint8), shape, p=[0.5, 0.3, 0.2])
    parts, _ = ndimage.label(labels == 1)  # an independent implementation
    expected = np.where((labels == 1) & (np.bincount(parts.ravel())[parts] < smallest), 0, labels)
    volumes.remove_parts(labels, 1, smallest=smallest)
    np.testing.assert_array_equal(labels, expected)


# --- reading


def indices_of(path, organs=ORGANS, ignored=()):
    return sitk.GetArrayFromImage(volumes.read_labels(path, organs, ignored))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.uint64, np.float32, np.float64])
def test_label_values_become_organ_indices(write_image, kind):
    path = write_image("labels.nii.gz", np.arange(5).reshape(1, 1, 5).astype(kind), spacing=(1, 2, 3))
    np.testing.assert_array_equal(indices_of(path, ignored=[2]), [[[0, 1, 0, 2, 2]]])
    assert volumes.read_labels(path, ORGANS, [2]).GetSpacing() == (1, 2, 3)


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
        volumes.read_labels(path, ORGANS)
    assert str(path) in str(refusal.value)


def test_an_unknown_value_in_a_late_slice_is_found(write_image):
    array = np.zeros((40, 2, 2), np.uint8)
    array[-1, -1, -1] = 200
    with pytest.raises(InputError, match="200"):
        volumes.read_labels(write_image("labels.nii.gz", array), ORGANS)


@pytest.fixture
def noise(write_image):
    array = np.random.default_rng(0).integers(-1024, 3000, (30, 40, 50)).astype(np.int16)
    return write_image("volume.nii.gz", array)


@pytest.mark.parametrize("left", [0.0, 0.0005, 0.01, 0.5, 0.99, -1000, -20, -9, -8, -4, -1])
def test_a_compressed_file_that_was_cut_is_refused(noise, left):
    """SimpleITK fills the rest with zeros and says nothing. Negative: bytes from the end, where the checksum is."""
    whole = noise.read_bytes()
    noise.write_bytes(whole[: int(left * len(whole)) if left >= 0 else left])
    with pytest.raises(InputError, match=r"volume.nii.gz: .*copy the file again"):
        volumes.read(noise)


@pytest.mark.parametrize("where", [0.3, 0.5, 0.9, 1.0])
def test_a_compressed_file_with_a_wrong_byte_is_refused(noise, where):
    broken = bytearray(noise.read_bytes())
    broken[int(where * (len(broken) - 1))] ^= 0x55
    noise.write_bytes(broken)
    with pytest.raises(InputError, match=r"volume.nii.gz: .*copy the file again"):
        volumes.read(noise)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("missing", [1, 2000, 119000])
def test_a_file_with_too_few_voxels_is_refused(noise, suffix, missing):
    """Cut before it was compressed, or never compressed."""
    content = gzip.decompress(noise.read_bytes())[:-missing]
    path = noise.with_name(f"short.{suffix}")
    path.write_bytes(content if suffix == "nii" else gzip.compress(content))
    with pytest.raises(InputError, match=r"short.nii.*copy the file again"):
        volumes.read(path)


def test_whole_files_of_every_kind_are_read(noise):
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(noise)))
    content = gzip.decompress(noise.read_bytes())
    scaled = bytearray(content)
    scaled[112:120] = np.array([2, -1024], "<f4").tobytes()  # slope and intercept
    kinds = {
        "plain.nii": content,
        "parts.nii.gz": gzip.compress(content[:5000]) + gzip.compress(content[5000:]),
        "padded.nii.gz": gzip.compress(content) + bytes(512),
        "longer.nii.gz": gzip.compress(content + b"more"),
        "unpacked.nii.gz": content,
        "scaled.nii.gz": gzip.compress(scaled),
    }
    for name, written in kinds.items():
        path = noise.with_name(name)
        path.write_bytes(written)
        found = sitk.GetArrayFromImage(volumes.read_volume(path))
        np.testing.assert_array_equal(found, expected * 2.0 - 1024 if "scaled" in name else expected)
    for suffix in ("mha", "mhd", "nrrd", "nhdr", "hdr"):
        path = noise.with_name(f"other.{suffix}")
        sitk.WriteImage(sitk.ReadImage(str(noise)), str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(volumes.read(path)), expected)


@pytest.mark.parametrize(
    ("slope", "intercept"), [(0, 0), (1, 0), (1, -1024), (2, -1024), (0.1, 3.7), (-1, 5), (1e-5, 1e20)]
)
def test_rescaled_voxels_are_checked_without_unpacking_twice(noise, slope, intercept, monkeypatch):
    """What does not fit is unpacked again and found sound; a wrong checksum is found in any case."""
    content = bytearray(gzip.decompress(noise.read_bytes()))
    content[112:120] = np.array([slope, intercept], "<f4").tobytes()
    noise.write_bytes(gzip.compress(content))
    checksums = []
    plain = volumes.stored_checksum
    monkeypatch.setattr(volumes, "stored_checksum", lambda *given: checksums.append(plain(*given)) or checksums[-1])
    volumes.read(noise)
    if intercept != 1e20:  # else all voxels were rounded to one value
        assert checksums == [zlib.crc32(content)]
    broken = bytearray(noise.read_bytes())
    broken[-6] ^= 1  # of the checksum
    noise.write_bytes(broken)
    with pytest.raises(InputError, match="copy the file again"):
        volumes.read(noise)


def test_two_files_of_one_name_are_not_confused(noise):
    """SimpleITK reads the header of volume.nii.gz and then the voxels of volume.nii, if that is there, too."""
    expected = sitk.GetArrayFromImage(volumes.read(noise))
    other = noise.with_name("volume.nii")
    sitk.WriteImage(sitk.ReadImage(str(noise)) * 0, str(other))
    assert not sitk.GetArrayFromImage(volumes.read(other)).any()
    with pytest.raises(InputError, match=r"volume.nii.gz: .*volume.nii .*remove one of the two"):
        volumes.read(noise)
    other.unlink()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(volumes.read(noise)), expected)


def test_files_that_are_no_volume_are_refused(tmp_path, write_image):
    plain = np.zeros((4, 5, 6), np.float32)
    broken = plain.copy()
    broken[3, 4, 5] = np.nan
    text = tmp_path / "text.nii.gz"
    text.write_text("no image")
    refused = [
        (tmp_path / "absent.nii.gz", "no such file"),
        (text, "is no NIfTI file"),
        (write_image("4d.nii.gz", np.zeros((2, 3, 4, 5), np.float32)), "has 4D"),
        (write_image("2d.nii.gz", plain[0]), "has 2D"),
        (write_image("rgb.nii.gz", np.zeros((4, 5, 6, 3), np.uint8), vector=True), "3 values a voxel"),
        (write_image("complex.nii.gz", plain.astype(np.complex64)), "complex"),
        (write_image("nan.nii.gz", broken), "NaN or infinite"),
        (write_image("infinite.nii.gz", np.where(np.isnan(broken), -np.inf, plain)), "NaN or infinite"),
    ]
    for path, message in refused:
        with pytest.raises(InputError, match=message) as refusal:
            volumes.read_volume(path)
        assert str(refusal.value).startswith(str(path))
        assert "\n" not in str(refusal.value)


# --- pairs


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
    images = [volumes.to_image(np.zeros(g.shape, np.uint8), g) for g in (grid(), grid(**change))]
    with pytest.raises(InputError, match=f"labels.nii: its {what} .*volume.nii.*resample"):
        volumes.check_pair(*images, "volume.nii", "labels.nii")


def test_headers_may_be_rounded_differently():
    """Less than a twentieth of a millimetre at the farthest voxel."""
    other = grid(
        spacing=(1.00004, 1.0, 0.99996), origin=(0.001, -0.001, 0.0004), direction=rotation((1e-6, -1e-6, 1e-6))
    )
    images = [volumes.to_image(np.zeros(g.shape, np.uint8), g) for g in (grid(), other)]
    volumes.check_pair(*images, "volume.nii", "labels.nii")
