"""A scan without labels is segmented just as a study predicts a case; where it is unlike those in training is told."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from packs import member_of, model_of, network_of, pack, recipe_of
from tiny import ORGANS, PREDICTION, label_map, make_case, write_patient

from organbench.core.errors import InputError
from organbench.core.files import tuples
from organbench.data import cases, conversion, images, inputs, ranges
from organbench.inference import new_patients, weights
from organbench.inference.prediction import predict_files
from organbench.inference.settings import Prediction
from organbench.study import identity

CPU = torch.device("cpu")
SPACING = (2.5, None, 4.0)
SETTINGS = {**PREDICTION, "smallest_part": 0.01, "keep_largest": ["bladder"]}


def segmented(path, model, *, organs=()):
    segmenter = new_patients.load(model, device="cpu", threads=1, trust=False)
    (scan,) = inputs.find([path])
    volume, _ = inputs.read(scan, segmenter.model.spacing)
    return segmenter.segment(segmenter.scan(volume, path), organs)


def states(recipes):
    """Networks that find something everywhere, as untrained ones may find nothing."""
    for seed, recipe in enumerate(recipes):
        network = network_of(recipe, seed)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight) * 0.3)
        yield network


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SAL"])
def test_it_is_what_a_study_predicts(tmp_path, count, orientation):
    patient = {"orientation": orientation, "spacing": (3.0, 2.0, 5.0)}
    case = make_case(tmp_path, "a", working=SPACING, **patient)
    recipes = [recipe_of(run=f"unet/fold{k}-seed0", organ_ml=(1.5, 0.5 + k)) for k in range(count)]
    networks = list(states(recipes))
    paths = [tmp_path / recipe.run / "weights.pt" for recipe in recipes]
    for path, network, recipe in zip(paths, networks, recipes, strict=True):
        weights.save(path, network, recipe)
    settings = Prediction(**tuples(SETTINGS))
    expected, _, _ = predict_files(paths, tmp_path / "a", settings, CPU)
    conversion.write_prediction(expected, case, tmp_path / "expected.nii.gz")
    members = [member_of(recipe) for recipe in recipes]
    model = model_of(*members, spacing=SPACING, prediction=SETTINGS)
    pack(tmp_path / "model.zip", model, [network.state_dict() for network in networks])
    found = segmented(tmp_path / "volume-a.nii.gz", tmp_path / "model.zip")
    wanted = images.read(tmp_path / "expected.nii.gz")
    values = conversion.label_values(ORGANS)[sitk.GetArrayFromImage(found.labels)]
    assert np.array_equal(values, sitk.GetArrayFromImage(wanted))
    assert len(np.unique(values)) == 3
    for part in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(found.labels, part)(), getattr(wanted, part)(), rtol=0, atol=1e-5)
    liver = segmented(tmp_path / "volume-a.nii.gz", tmp_path / "model.zip", organs=["liver"])
    assert np.array_equal(sitk.GetArrayFromImage(liver.labels), np.where(values == 1, 1, 0))
    assert liver.volumes_ml == {"liver": pytest.approx((values == 1).sum() * 0.03), "bladder": 0}


def test_slices_are_counted(tmp_path):
    write_patient(tmp_path, "a", label_map())
    segmenter = new_patients.load(pack(tmp_path / "model.zip"), device="cpu", threads=1, trust=False)
    volume, path = images.read_volume(tmp_path / "volume-a.nii.gz"), "a"
    done = []
    segmenter.segment(segmenter.scan(volume, path), advance=done.append)
    assert sum(done) == 6


def test_scans_that_are_known_or_unlike_are_told(tmp_path):
    case = make_case(tmp_path, "a")
    info = cases.read_info(tmp_path / "a" / "case.json")
    known = member_of(training=(identity.arrays_of(info),))
    pack(tmp_path / "known.zip", model_of(known, trained_on=ranges.of_cases([info])))
    assert segmented(tmp_path / "volume-a.nii.gz", tmp_path / "known.zip").notes == [
        "the model has learned from this very scan"
    ]
    assert case.image.shape == (6, 24, 20)
    write_patient(tmp_path, "b", label_map((6, 24, 20)), spacing=(3.0, 3.0, 1.0), seed=1)
    (spacing, view) = segmented(tmp_path / "volume-b.nii.gz", tmp_path / "known.zip").notes
    assert spacing == "unlike the scans in training: spacing along the patient 1 mm, in training 5"
    assert view == "unlike the scans in training: field of view along the patient 6 mm, in training 30"


def test_what_is_no_ct_is_refused(tmp_path, write_image):
    model = pack(tmp_path / "model.zip")
    for name, array, words in (
        ("labels.nii.gz", label_map(), "which are no HU"),
        ("photo.nii.gz", np.zeros((4, 4)), "a 3D volume"),
        ("nan.nii.gz", np.full((4, 4, 4), np.nan, np.float32), "NaN"),
    ):
        path = write_image(name, array)
        with pytest.raises(InputError, match=words):
            segmented(path, model)


def test_organs_and_devices_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InputError, match="--organs livr: the model unet has no such organ; did you mean liver"):
        new_patients.check_organs(model_of(member_of()), ["liver", "livr"])
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="--device cuda: PyTorch finds no GPU here"):
            new_patients.load(pack(tmp_path / "model.zip"), device="cuda", threads=1, trust=False)
