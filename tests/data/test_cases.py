"""A case on disk, and the way back to the scanner's grid."""

import errno
import itertools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import cases, conversion, grids, images, resampling
from organbench.data.grids import Grid

ORGANS = {"liver": [1], "lungs": [3, 4], "bone": [7]}
TORSO_ORGANS = {"liver": [1], "bladder": [2], "lungs": [3], "kidneys": [4], "bone": [5], "brain": [6]}
AS_IT_IS = (None, None, None)
TURN = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]  # an oblique direction
EVERY_ORIENTATION = [
    np.eye(3)[list(axes)] * signs
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def smooth_shape(shape=(40, 44, 48)):
    """Two ellipsoids and a bone between them, label values 1, 4 and 7 (z y x)."""
    z, y, x = (np.indices(shape).T / np.array(shape)).T
    labels = np.zeros(shape, np.uint8)
    labels[((z - 0.5) / 0.4) ** 2 + ((y - 0.3) / 0.2) ** 2 + ((x - 0.4) / 0.3) ** 2 < 1] = 1
    labels[((z - 0.6) / 0.3) ** 2 + ((y - 0.75) / 0.2) ** 2 + ((x - 0.6) / 0.25) ** 2 < 1] = 4
    labels[(np.abs(y - 0.52) < 0.09) & (np.abs(x - 0.5) < 0.4)] = 7
    return labels


@pytest.fixture
def convert(tmp_path, write_image):
    """Write a volume and its labels, convert them, and open the case."""

    def make(labels, volume=None, *, organs=ORGANS, ignored=(), working=AS_IT_IS, name="c", **grid):
        volume = (
            np.linspace(-1000, 1000, labels.size).reshape(labels.shape).astype(np.int16) if volume is None else volume
        )
        pair = write_image("volume.nii.gz", volume, **grid), write_image("labels.nii.gz", labels, **grid)
        conversion.convert(name, *pair, tmp_path / name, organs=organs, ignored=ignored, spacing=working)
        return cases.load(tmp_path / name)

    return make


def there_and_back(case, path):
    """The case's own labels, sent to the scanner's grid as if they had been predicted."""
    classes = np.arange(len(case.info["organs"]) + 1)[:, None, None, None]
    shares = ((slab == classes).astype(np.float32) for slab in grids.slabs(case.label))
    conversion.write_prediction(resampling.restore(shares, case.working, case.oriented), case, path)
    return images.read(path)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def same_grid(ours, theirs):
    assert ours.GetSize() == theirs.GetSize()
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(ours, what)(), getattr(theirs, what)(), atol=1e-6)


# --- there and back


def test_labels_of_an_oblique_scan_come_back_exactly_from_the_same_spacing(convert, tmp_path):
    """However its axes point: 48 permutations and flips."""
    labels = np.random.default_rng(0).choice([0, 1, 3, 7], (4, 5, 6)).astype(np.uint8)
    for number, axes in enumerate(EVERY_ORIENTATION):
        case = convert(labels, direction=TURN @ axes, origin=(-9.5, 20, 3), name=f"c{number}")
        found = there_and_back(case, tmp_path / "prediction.nii.gz")
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(found), labels)
        same_grid(found, sitk.ReadImage(str(tmp_path / "labels.nii.gz")))


def test_a_patient_scanned_in_48_ways_is_one_working_case_and_comes_back_exactly(convert, tmp_path):
    """Its axes point to left, posterior and superior, whatever the scanner's do."""
    straight = Grid((4, 5, 6), (1.0, 2.0, 3.0), (5.0, 6.0, 7.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    patient = np.random.default_rng(0).integers(-500, 500, straight.shape).astype(np.int16)
    for number, axes in enumerate(EVERY_ORIENTATION):
        scanned = grids.orient(grids.to_image(patient, straight), code_of(axes))
        grid = {"spacing": scanned.GetSpacing(), "origin": scanned.GetOrigin(), "direction": scanned.GetDirection()}
        array = sitk.GetArrayFromImage(scanned)
        labels = (array > 0).astype(np.uint8)
        case = convert(labels, array, name=f"c{number}", **grid)
        np.testing.assert_array_equal(case.image, patient)
        np.testing.assert_array_equal(case.label, patient > 0)
        assert case.info["orientation"] == code_of(axes)
        assert case.working.size == straight.size
        np.testing.assert_allclose(case.working.origin, straight.origin, atol=1e-5)
        found = there_and_back(case, tmp_path / "prediction.nii.gz")
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(found), labels)
        same_grid(found, scanned)


def code_of(axes):
    """The orientation's code, such as LPS, of direction cosines that are 0, 1 and -1."""
    letters = {(0, 1): "L", (0, -1): "R", (1, 1): "P", (1, -1): "A", (2, 1): "S", (2, -1): "I"}
    return "".join(letters[int(np.abs(column).argmax()), int(column.sum())] for column in axes.T)


@pytest.mark.parametrize(
    ("working", "least"), [((1.5, 1.5, 1.5), 0.95), ((0.8, 1.3, 2.2), 0.9), ((1.5, None, 3.0), 0.85)]
)
def test_a_smooth_oblique_shape_comes_back_nearly(convert, tmp_path, working, least):
    labels = smooth_shape()
    grid = {"spacing": (1.1, 0.9, 1.6), "origin": (-30, 5, 800), "direction": TURN}
    case = convert(labels, working=working, **grid)
    found = there_and_back(case, tmp_path / "prediction.nii.gz")
    array = sitk.GetArrayViewFromImage(found)
    assert set(np.unique(array)) == {0, 1, 3, 7}  # merged organs come out under their first value
    for value, stored in ((1, 1), (4, 3), (7, 7)):
        assert dice(labels == value, array == stored) > least
    same_grid(found, sitk.ReadImage(str(tmp_path / "labels.nii.gz")))


@pytest.mark.parametrize(
    ("name", "large"), [("900", ["liver", "lungs", "kidneys", "bone"]), ("907", ["liver", "bone"])]
)
def test_real_labels_come_back_nearly(real_data, tmp_path, name, large):
    pair = [real_data / "torso" / f"{kind}-{name}.nii.gz" for kind in ("volume", "labels")]
    conversion.convert(name, *pair, tmp_path / name, organs=TORSO_ORGANS, spacing=(1.5, 1.5, 1.5))
    case = cases.load(tmp_path / name)
    found = there_and_back(case, tmp_path / "prediction.nii.gz")
    original = sitk.ReadImage(str(pair[0]))
    same_grid(found, original)
    reference = sitk.GetArrayFromImage(sitk.ReadImage(str(pair[1])))
    prediction = sitk.GetArrayViewFromImage(found)
    for organ, (value,) in TORSO_ORGANS.items():
        if organ in large:
            assert dice(reference == value, prediction == value) > 0.95, organ
    assert case.image.min() >= -1024


def test_labels_above_255_are_written_in_16_bits(convert, tmp_path):
    labels = np.array([[[0, 300, 2]]], np.uint16)
    case = convert(labels, organs={"liver": [300], "bone": [2]})
    found = sitk.GetArrayFromImage(there_and_back(case, tmp_path / "prediction.nii.gz"))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, labels)


# --- what a case holds


def test_a_case_holds_indices_counts_and_statistics(convert):
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0, 0, :2], labels[1, 2, 3], labels[0, 2, 0] = 3, 4, 9
    volume = np.full((2, 3, 4), -3024, np.int16)
    volume[labels > 0] = 50
    case = convert(labels, volume, ignored=[9])
    np.testing.assert_array_equal(case.label, np.where(np.isin(labels, [3, 4]), 2, 0))
    assert case.image.dtype == np.int16
    assert case.label.dtype == np.uint8
    assert case.info["voxels"] == case.info["original_voxels"] == {"liver": 0, "lungs": 3, "bone": 0}
    assert case.info["hu"]["liver"] is None
    assert case.info["hu"]["lungs"] == {"mean": 50, "std": 0, "p0.5": 50, "p50": 50, "p99.5": 50}
    assert case.info["hu"]["volume"]["p50"] == -1024
    assert case.info["hu"]["volume"]["mean"] == pytest.approx((4 * 50 - 20 * 1024) / 24)
    assert case.info["organs"] == ORGANS


def test_statistics_are_those_of_the_voxels(convert):
    rng = np.random.default_rng(0)
    volume = rng.normal(40, 300, (20, 9, 8)).astype(np.float32)
    case = convert(rng.integers(0, 2, volume.shape).astype(np.uint8), volume)
    for voxels, found in (
        (case.image, case.info["hu"]["volume"]),
        (case.image[case.label == 1], case.info["hu"]["liver"]),
    ):
        assert found["mean"] == pytest.approx(voxels.mean())
        assert found["std"] == pytest.approx(voxels.std())
        for key, percentile in (("p0.5", 0.5), ("p50", 50), ("p99.5", 99.5)):
            assert found[key] == np.percentile(voxels, percentile, method="inverted_cdf")


def test_points_lie_in_their_organs(convert):
    labels = np.zeros((9, 20, 30), np.uint8)
    labels[1:8, 2:18, 5:25], labels[8, 19, 29] = 1, 7
    liver, lungs, bone = convert(labels).points
    assert all(labels[tuple(point)] == 1 for point in liver.tolist())
    assert len({tuple(point) for point in liver.tolist()}) == cases.POINTS
    np.testing.assert_allclose(liver.mean(axis=0), [4, 9.5, 14.5], atol=0.5)
    assert (lungs == -1).all()
    assert (bone == [8, 19, 29]).all()


def test_converting_twice_gives_the_same_bytes(convert, tmp_path):
    case = convert(smooth_shape((10, 11, 12)), working=(2.0, 2.0, 2.0), name="first")
    other = convert(smooth_shape((10, 11, 12)), working=(2.0, 2.0, 2.0), name="second")
    for file in ("image.npy", "label.npy", "points.npy"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    assert dict(case.info, case="") == dict(other.info, case="")


def test_the_overview_gives_the_original_grid_and_millilitres(convert):
    labels = np.zeros((10, 11, 12), np.uint8)
    labels[:5, :4, :3], labels[9] = 1, 4
    case = convert(labels, working=(4.0, 4.0, 4.0), spacing=(0.5, 2, 3), direction=np.diag([-1, -1, 1]))
    row = cases.overview(case.info)
    assert [row[f"size_{axis}"] for axis in "xyz"] == [12, 11, 10]
    assert [row[f"spacing_{axis}"] for axis in "xyz"] == [0.5, 2, 3]
    assert (row["case"], row["orientation"]) == ("c", "RAS")
    assert row["liver_ml"] == pytest.approx(60 * 3 / 1000)
    assert row["lungs_ml"] == pytest.approx(132 * 3 / 1000)
    assert row["bone_ml"] == 0
    lungs = case.info["hu"]["lungs"]
    assert [row[f"lungs_hu{end}"] for end in ("_low", "", "_high")] == [lungs[p] for p in ("p0.5", "p50", "p99.5")]
    assert np.isnan(row["bone_hu"])


# --- what is refused


def test_a_damaged_case_is_refused(convert, tmp_path):
    convert(smooth_shape((10, 11, 12)))
    folder = tmp_path / "c"
    for file in ("image.npy", "label.npy", "points.npy", "case.json"):
        path = folder / file
        whole = path.read_bytes()
        for content in (b"", bytes(len(whole)), whole[:50], whole[:-3], whole[:-5] + b"12345"):
            path.write_bytes(content)
            with pytest.raises(InputError, match=f"{path}: .*delete the folder {folder} and run again"):
                cases.load(folder)
        path.write_bytes(whole)
    assert cases.load(folder).image.shape == (10, 11, 12)
    np.save(folder / "image.npy", np.zeros((10, 11, 13), np.int16))
    with pytest.raises(InputError, match=f"{folder / 'image.npy'}: is not what case.json says of it"):
        cases.load(folder)


@pytest.mark.parametrize("method", ["read_text", "open"])
def test_a_case_that_cannot_be_read_now_is_not_taken_for_damaged(convert, tmp_path, monkeypatch, method):
    """As when a network drive fails: to delete it would cost the trainings that used it."""
    convert(smooth_shape((10, 11, 12)))

    def fail(path, *_, **__):
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    monkeypatch.setattr(Path, method, fail)
    with pytest.raises(OSError, match="Stale"):
        cases.load(tmp_path / "c")


def test_an_array_of_another_case_is_refused(convert, tmp_path):
    first, second = np.zeros((4, 5, 6), np.uint8), np.ones((4, 5, 6), np.uint8)
    convert(first, name="first")
    convert(second, name="second")
    for file in ("label.npy", "points.npy"):
        ours, theirs = (tmp_path / name / file for name in ("first", "second"))
        whole = ours.read_bytes()
        ours.write_bytes(theirs.read_bytes())
        with pytest.raises(InputError, match=f"{ours}: damaged, its content is not what was written"):
            cases.load(tmp_path / "first")
        ours.write_bytes(whole)
    (tmp_path / "first").rename(tmp_path / "third")
    with pytest.raises(InputError, match=r"third/case\.json: is of case first"):
        cases.load(tmp_path / "third")


def test_a_case_that_could_not_be_prepared_is_refused_or_left_out(convert, tmp_path):
    convert(np.ones((4, 5, 6), np.uint8), name="good")
    folders = [tmp_path / "good", tmp_path / "bad"]
    cases.write(*cases.excluded("bad", "data/bad.nii: is odd; mend it", {"ignored": [7]}), tmp_path / "bad")
    with pytest.raises(InputError, match=r"bad\.nii: is odd"):
        cases.load_all(folders)
    assert [case.name for case in cases.load_all(folders, skip_bad=True)] == ["good"]


def info(case, **voxels):
    """What `case.json` says of a case that has so many voxels of each organ; (original, working) where they differ."""
    pairs = {organ: count if isinstance(count, tuple) else (count, count) for organ, count in voxels.items()}
    return {
        "case": case,
        "original_voxels": {organ: original for organ, (original, _) in pairs.items()},
        "voxels": {organ: working for organ, (_, working) in pairs.items()},
    }


def test_every_organ_needs_a_training_case():
    infos = [info("a", liver=5, brain=0), info("b", liver=0, brain=3), info("c", liver=2, brain=0)]
    cases.check_fold(infos, {"train": ["a", "b"], "validation": [], "test": ["c"]}, ["liver", "brain"])
    with pytest.raises(InputError, match=r"no training case has brain \(only cases b have it\); .*split.seed"):
        cases.check_fold(infos, {"train": ["a", "c"], "validation": ["b"], "test": []}, ["liver", "brain"])
    nowhere = [info("a", liver=5, brain=0), info("c", liver=2, brain=0)]
    with pytest.raises(InputError, match=r"brain \(no case has it\); .*leave the organ out"):
        cases.check_fold(nowhere, {"train": ["a"], "validation": [], "test": ["c"]}, ["liver", "brain"])


def test_an_organ_that_is_lost_on_a_coarse_grid_is_told_apart():
    """Another split would not bring it back."""
    infos = [info("a", liver=5, brain=(9, 0)), info("c", liver=2, brain=0)]
    with pytest.raises(InputError, match=r"preprocessing.spacing: brain is lost .*cases a; choose a finer one"):
        cases.check_fold(infos, {"train": ["a"], "validation": [], "test": ["c"]}, ["liver", "brain"])
