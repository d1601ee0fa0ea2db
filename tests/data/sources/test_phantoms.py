from itertools import combinations

import numpy as np
import pytest
import SimpleITK as sitk

from organbench.data.sources.phantoms import scan
from organbench.data.sources.phantoms.patient import ORGANS
from organbench.data.sources.phantoms.scan import LOWEST, ORIENTATIONS, PADDING, phantom

TINY, SMALL = (40, 40, 36), (112, 112, 96)
CASES = range(40)


def arrays(pair):
    """HU and labels in the patient's axes: z y x towards head, back, patient's left."""
    return [sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS")) for image in pair]


def orientation(image):
    return sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())


def ml(image):
    return float(np.prod(image.GetSpacing())) / 1000


def geometry(image):
    return image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()


def dice(a, b):
    return 2 * np.sum(a & b) / (a.sum() + b.sum())


@pytest.fixture(scope="module")
def cohort():
    return [phantom(case, seed=1, size=TINY) for case in CASES]


@pytest.fixture(scope="module")
def patients():
    return [phantom(case, seed=1, size=SMALL) for case in range(6)]


def same(first, second):
    return all(
        geometry(a) == geometry(b) and np.array_equal(sitk.GetArrayViewFromImage(a), sitk.GetArrayViewFromImage(b))
        for a, b in zip(first, second, strict=True)
    )


def test_a_patient_does_not_depend_on_what_was_made_before(cohort):
    for case in (31, 2, 0):
        assert same(phantom(case, seed=1, size=TINY), cohort[case])


def test_another_seed_or_case_is_another_patient(cohort):
    volumes = [sitk.GetArrayFromImage(image) for image, _ in cohort[:6]]
    volumes += [sitk.GetArrayFromImage(phantom(case, seed=2, size=TINY)[0]) for case in range(6)]
    assert len({volume.tobytes() for volume in volumes}) == 12
    # the anatomy differs, too, not the noise alone
    assert len({sitk.GetArrayFromImage(labels).tobytes() for _, labels in cohort}) == len(CASES)


@pytest.mark.parametrize("voxels", [1, 5 * 40 * 40, 10**9])
def test_slabs_leave_no_trace(monkeypatch, cohort, voxels):
    monkeypatch.setattr(scan, "SLAB_VOXELS", voxels)
    hu, labels = arrays(phantom(1, seed=1, size=TINY))
    expected_hu, expected_labels = arrays(cohort[1])
    # the last bit of a sum may depend on a slab's shape: rarely, a voxel rounds to the next HU
    assert np.abs(hu - expected_hu).max() <= 1
    assert np.mean(hu != expected_hu) < 1e-3
    assert np.mean(labels != expected_labels) < 1e-4


def test_anatomy_does_not_depend_on_the_size():
    coarse, fine = phantom(3, seed=1, size=(48, 48, 40)), phantom(3, seed=1, size=(96, 96, 80))
    assert np.allclose(coarse[0].GetSpacing(), np.multiply(fine[0].GetSpacing(), 2))
    for organ in ("liver", "lungs", "kidneys"):
        volumes = [np.sum(arrays(pair)[1] == ORGANS[organ]) * ml(pair[1]) for pair in (coarse, fine)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.05)


def test_volume_and_labels_share_a_grid(cohort):
    for volume, labels in cohort:
        assert geometry(volume) == geometry(labels)
        assert volume.GetSize() == TINY
        assert volume.GetPixelID() == sitk.sitkFloat32
        assert labels.GetPixelID() == sitk.sitkUInt8


def test_geometry_varies(cohort):
    volumes = [volume for volume, _ in cohort]
    assert {orientation(volume) for volume in volumes} == set(ORIENTATIONS)
    assert len({volume.GetSpacing() for volume in volumes}) == len(CASES)
    assert len({volume.GetOrigin() for volume in volumes}) == len(CASES)
    for volume in volumes:
        assert 340 <= volume.GetSpacing()[0] * TINY[0] <= 460


@pytest.mark.parametrize("case", range(4))
def test_geometry_survives_nifti(tmp_path, cohort, case):
    for image, name in zip(cohort[case], ("volume-0.nii.gz", "labels-0.nii.gz"), strict=True):
        sitk.WriteImage(image, str(tmp_path / name))
        read = sitk.ReadImage(str(tmp_path / name))
        assert orientation(read) == orientation(image)
        assert np.allclose(read.GetOrigin(), image.GetOrigin(), atol=1e-3)
        assert np.array_equal(sitk.GetArrayViewFromImage(read), sitk.GetArrayViewFromImage(image))


def test_labels_are_organs_and_every_patient_has_the_common_ones(cohort):
    for _, labels in cohort:
        present = set(np.unique(sitk.GetArrayViewFromImage(labels)).tolist())
        assert present <= {0, *ORGANS.values()}
        assert present >= {ORGANS[organ] for organ in ("liver", "lungs", "kidneys", "bone")}


def test_bladder_is_missing_in_a_fifth_and_brain_in_most(cohort):
    has = {
        organ: np.mean([ORGANS[organ] in sitk.GetArrayViewFromImage(labels) for _, labels in cohort])
        for organ in ("bladder", "brain")
    }
    assert 0.7 <= has["bladder"] <= 0.9
    assert 0.2 <= has["brain"] <= 0.35


@pytest.mark.parametrize("seed", range(3))
def test_a_study_of_a_few_patients_has_both(seed):
    labels = [sitk.GetArrayFromImage(phantom(case, seed=seed, size=(24, 24, 40))[1]) for case in range(8)]
    for organ in ("bladder", "brain"):
        assert 1 <= sum(ORGANS[organ] in image for image in labels) <= 7


def test_organs_have_a_human_size(patients):
    limits = {"liver": (900, 2600), "bladder": (40, 600), "lungs": (800, 7000), "kidneys": (180, 520),
              "bone": (400, 4500), "brain": (1000, 1900)}  # fmt: skip
    for organ, (low, high) in limits.items():
        volumes = [np.sum(sitk.GetArrayViewFromImage(labels) == ORGANS[organ]) * ml(labels) for _, labels in patients]
        present = [volume for volume in volumes if volume > 0]
        assert present, organ
        assert low < min(present), organ
        assert max(present) < high, organ


def test_organs_have_plausible_hu(patients):
    for hu, labels in map(arrays, patients):
        medians = {o: np.median(hu[labels == value]) for o, value in ORGANS.items() if (labels == value).any()}
        assert 25 < medians["liver"] < 140
        assert -900 < medians["lungs"] < -650
        assert 20 < medians["kidneys"] < 230
        assert 130 < medians["bone"] < 700
        assert -10 < medians.get("bladder", 8) < 500
        assert 20 < medians.get("brain", 30) < 50


def test_organs_lie_where_they_should(patients):
    for _, labels in map(arrays, patients):
        centre = {o: np.argwhere(labels == value).mean(0) for o, value in ORGANS.items() if (labels == value).any()}
        bone, liver = centre["bone"], centre["liver"]
        assert np.mean(np.argwhere(labels == ORGANS["liver"])[:, 2] < bone[2]) > 0.75  # on the patient's right
        assert centre["lungs"][0] > liver[0] > centre["kidneys"][0]
        assert centre["kidneys"][1] > liver[1]  # nearer to the back
        assert centre.get("bladder", [0])[0] < centre["kidneys"][0]
        assert centre.get("brain", [1e3])[0] > centre["lungs"][0]
        for organ, minimum in (("lungs", 0.3), ("kidneys", 0.3), ("bone", 0.4)):  # both sides
            left = np.mean(np.argwhere(labels == ORGANS[organ])[:, 2] > bone[2])
            assert minimum < left < 1 - minimum


def test_stored_axes_mean_what_they_say(cohort):
    """The liver is on the patient's right in physical (LPS) coordinates, however it is stored."""
    for _, labels in cohort:
        shapes = sitk.LabelShapeStatisticsImageFilter()
        shapes.Execute(labels)
        liver, lungs, bone = (shapes.GetCentroid(ORGANS[organ]) for organ in ("liver", "lungs", "bone"))
        assert liver[0] < bone[0]
        assert lungs[2] > liver[2]


def test_thresholds_do_not_find_the_liver(patients):
    """Even the window that is best for each patient, which no method may know, takes spleen, heart and muscle along."""
    best = []
    for hu, labels in map(arrays, patients):
        liver = labels == ORGANS["liver"]
        middle = np.median(hu[liver])
        best.append(max(dice(np.abs(hu - middle) < width, liver) for width in range(5, 80, 5)))
    assert np.mean(best) < 0.5


def test_spleen_has_the_livers_hu(patients):
    """In the left half of the body, at the liver's height, something unlabelled looks just like the liver."""
    for hu, labels in map(arrays, patients):
        liver = labels == ORGANS["liver"]
        midline = int(np.argwhere(labels == ORGANS["bone"]).mean(0)[2])
        heights = slice(*np.quantile(np.argwhere(liver)[:, 0], (0.2, 0.8)).astype(int))
        beside = hu[heights, :, midline:][labels[heights, :, midline:] == 0]
        looks = np.abs(beside - np.median(hu[liver])) < 15
        assert looks.sum() > 0.05 * liver.sum()


def test_contrast_moves_the_kidneys(cohort):
    kidneys = [np.median(hu[labels == ORGANS["kidneys"]]) for hu, labels in map(arrays, cohort)]
    assert min(kidneys) < 45
    assert max(kidneys) > 120


def test_padding_lies_outside_the_scanners_circle(cohort):
    padded = [sitk.GetArrayViewFromImage(volume).min() == PADDING for volume, _ in cohort]
    assert 0.2 < np.mean(padded) < 0.6
    y, x = np.indices(TINY[1::-1]) - (np.array(TINY[1::-1])[:, None, None] - 1) / 2
    outside = np.hypot(x, y) > TINY[0] / 2
    for (hu, labels), has_padding in zip(map(arrays, cohort), padded, strict=True):
        if has_padding:
            assert (hu[:, outside] == PADDING).all()
            assert not labels[:, outside].any()
        assert hu[:, ~outside].min() >= LOWEST


def test_borders_are_soft(patients):
    """Partial volume: across the lung's border, many voxels are neither lung nor soft tissue."""
    for hu, labels in map(arrays, patients):
        lungs = labels == ORGANS["lungs"]
        border = lungs[:, :, 1:] != lungs[:, :, :-1]
        values = np.concatenate([hu[:, :, 1:][border], hu[:, :, :-1][border]])
        assert np.mean((values > -650) & (values < -150)) > 0.2


def air_of(hu):
    """Noise and nothing else: the air in front of the patient, in a field of view of the size SMALL (z y x)."""
    return hu[:, 4:16, 46:66]


def test_patients_have_noise_of_their_own(patients):
    """In each case, and in each study, other noise."""
    others = [phantom(0, seed=2, size=SMALL)]
    air = [air_of(arrays(pair)[0]) for pair in [*patients, *others]]
    for first, second in combinations(air, 2):
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_noise_is_correlated_in_a_slice(patients):
    for hu, _ in map(arrays, patients):
        air = air_of(hu)
        across = np.corrcoef(air[:, :, 1:].ravel(), air[:, :, :-1].ravel())[0, 1]
        between = np.corrcoef(air[1:].ravel(), air[:-1].ravel())[0, 1]
        assert air.std() > 4
        assert across > 0.2
        assert abs(between) < 0.05


@pytest.mark.parametrize(
    ("case", "seed", "size"), [(-1, 1, TINY), (0, -1, TINY), (0, 1, (40, 40)), (0, 1, (40, 40, 4))]
)
def test_nonsense_is_refused(case, seed, size):
    with pytest.raises(ValueError, match="need case"):
        phantom(case, seed=seed, size=size)
