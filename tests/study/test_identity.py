"""A training is named by all that shapes its weights, and by nothing else."""

import copy

import pytest

from organbench.study import identity

PARTS = {
    "code": {"learning/trainer.py": "1f", "networks/unet.py": "2f"},
    "settings": {
        "network": {"network": "unet", "features": [4, 8]},
        "training": {"steps": 6, "validate_every": 2, "learning_rate": 0.01, "augmentation": {"flip": ["x"]}},
    },
    "window": [-160, 240],
    "organs": ["liver", "bladder"],
    "seed": 0,
    "training": {"a": "1-2-3", "b": "4-5-6"},
    "validation": {"c": "7-8-9"},
}
PREDICTION = {"overlap": 0.5, "keep_largest": ["bladder"]}


def changed(key, value):
    """The parts with another value at a key such as `settings.training.steps`."""
    parts = copy.deepcopy(PARTS)
    *way, last = key.split(".") if not key.startswith("code.") else ["code", key.removeprefix("code.")]
    place = parts
    for name in way:
        place = place[name]
    place[last] = value
    return parts


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("code.networks/unet.py", "3f", "the code of networks/unet.py is another"),
        ("code.networks/new.py", "3f", "the code of networks/new.py is another"),
        ("code.monai", "monai==1.6.1", "the package of the network was none and is monai==1.6.1"),
        (
            "settings.network.pretrained",
            {"weights": "a.pt", "sha256": "3f"},
            'network.pretrained was unset and is "3f"',
        ),
        ("settings.network.features", [4, 16], "network.features was [4, 8] and is [4, 16]"),
        ("settings.training.learning_rate", 0.02, "training.learning_rate was 0.01 and is 0.02"),
        ("settings.training.augmentation", {"flip": []}, 'training.augmentation.flip was ["x"] and is []'),
        (
            "settings.training.augmentation",
            {"flip": ["x"], "blur": {"probability": 0.1, "range": [1, 2]}},
            "training.augmentation.blur.probability was unset and is 0.1; "
            "training.augmentation.blur.range was unset and is [1, 2]",
        ),
        ("settings.mirrored", [[1, 2]], "dataset.mirrored has other organs"),
        ("settings.training.ema", 0.9, "training.ema was unset and is 0.9"),
        ("window", [-160, 250], "preprocessing.window was [-160, 240] and is [-160, 250]"),
        ("organs", ["liver"], "the number of organs was 2 and is 1"),
        ("seed", 1, "the seed was 0 and is 1"),
        ("training", {"a": "1-2-3"}, "case b is not trained on any more"),
        ("training", {"a": "1-2-3", "b": "4-5-6", "d": "0-0-0"}, "case d is trained on now"),
        ("training", {"a": "1-2-3", "b": "4-5-7"}, "the arrays of training case b are others"),
        ("training", {"b": "4-5-6", "a": "1-2-3"}, "the training cases have another order"),
        ("training", {"a": "1-2-3-without-2", "b": "4-5-6"}, "of training case a other organs were annotated"),
        ("training", {"a": "1-2-4-without-2", "b": "4-5-6"}, "the arrays of training case a are others"),
        ("validation", {}, "case c is not validated on any more"),
    ],
)
def test_what_shapes_weights_makes_another_training_and_is_told(key, value, why):
    then, now = identity.of(**PARTS), identity.of(**changed(key, value))
    assert then["sha256"] != now["sha256"]
    assert identity.differences(then, now) == why.split("; ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("organs", ["hepar", "vesica"]),
        ("training", {"x": "1-2-3", "y": "4-5-6"}),
        ("settings.training.validate_every", 3),
        ("settings", dict(reversed(PARTS["settings"].items()))),
    ],
)
def test_names_and_what_is_only_shown_make_no_other_training(key, value):
    then, now = identity.of(**PARTS), identity.of(**changed(key, value))
    assert then["sha256"] == now["sha256"]
    assert identity.differences(then, now) == []


def test_where_a_network_and_its_first_weights_lie_makes_no_other_training():
    def at(folder):
        start = {"weights": f"{folder}/a.pt", "sha256": "3f"}
        return identity.of(**changed("settings.network", {"network": f"{folder}/net.py:Net", "pretrained": start}))

    assert at("here")["sha256"] == at("/there")["sha256"]
    assert at("here")["network"] == {"network": "net.py:Net", "pretrained": "3f"}


def test_where_validation_chooses_the_weights_its_settings_shape_them():
    best = changed("settings.prediction", PREDICTION)
    first = identity.of(**best)
    assert first["sha256"] != identity.of(**PARTS)["sha256"]
    later = copy.deepcopy(best)
    later["settings"]["training"]["validate_every"] = 3
    assert identity.differences(first, identity.of(**later)) == ["training.validate_every was 2 and is 3"]
    renamed = copy.deepcopy(best)
    renamed["organs"], renamed["settings"]["prediction"]["keep_largest"] = ["hepar", "vesica"], ["vesica"]
    assert identity.of(**renamed)["sha256"] == first["sha256"]


def test_what_a_cost_tells_is_believed_only_whole():
    named = identity.of(**PARTS)
    assert identity.recorded({"identity": named}) == named
    edited = {**named, "seed": 5}
    for cost in ({}, {"identity": None}, {"identity": {}}, {"identity": edited}):
        assert identity.recorded(cost) is None
    assert identity.differences(None, named) == [identity.UNKNOWN]


def test_only_files_that_shape_weights_are_counted(tmp_path):
    files = ["learning/trainer.py", "networks/unet.py", "hardware/devices.py", "inference/windows.py"]
    files += ["data/intensity.py", "hardware/energy.py", "learning/run.py", "core/jobs.py"]
    files += ["inference/prediction.py", "data/cases.py", "evaluation/overlaps.py"]
    for name in files:
        path = tmp_path / "organbench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("X = 1")
    paths = [tmp_path / "organbench" / name for name in files] + [tmp_path / "train.py"]
    assert list(identity.code_of(paths, tmp_path, chosen=False)) == files[:5]
    assert set(identity.code_of(paths, tmp_path, chosen=True)) == set(files) - {
        "hardware/energy.py",
        "core/jobs.py",
        "learning/run.py",
    }


def test_cases_that_are_not_prepared_yet_are_taken_to_come_out_as_they_did():
    cost = {"identity": identity.of(**PARTS)}
    wanted = {**PARTS, "training": ["a", "b"], "validation": ["c"]}
    assert identity.differences(cost["identity"], identity.expected(wanted, {}, cost)) == []
    more = {**wanted, "training": ["a", "b", "d"]}
    assert identity.differences(cost["identity"], identity.expected(more, {}, cost)) == ["case d is trained on now"]


def test_trainings_whose_cases_have_changed_are_told(tmp_path):
    def info(number):
        return {"checksums": {"image": number, "label": 2, "points": 3}}

    infos = {"a": info(1), "b": info(2)}
    wanted = {**PARTS, "training": ["a"], "validation": ["b"]}
    (tmp_path / "cost.json").write_text(identity.json.dumps({"identity": identity.of_cases(infos, wanted)}))
    finished = [(str(tmp_path), wanted), (str(tmp_path / "none"), wanted)]
    assert identity.outdated(finished, infos) == []
    assert identity.outdated(finished, {"a": info(7), "b": info(2)}) == [
        f"{tmp_path}: the arrays of training case a are others"
    ]
    assert identity.outdated(finished, {"b": info(2)}) == []  # case a is excluded, which others tell


def test_an_augmentation_that_is_off_names_no_other_training():
    off = {"flip": ["x"], "blur": {"probability": 0, "range": [1, 2]}}
    assert identity.of(**PARTS)["sha256"] == identity.of(**changed("settings.training.augmentation", off))["sha256"]


def test_a_case_is_named_by_what_was_not_annotated_too_and_else_as_ever():
    info = {"checksums": {"points": 3, "image": 1, "label": 2}, "organs": {"liver": [1], "bone": [5]}}
    arrays = "00000001-00000002-00000003"
    assert identity.arrays_of(info) == identity.arrays_of(info | {"unannotated": []}) == arrays
    assert identity.arrays_of(info | {"unannotated": ["bone"]}) == f"{arrays}-without-2"
    renamed = info | {"organs": {"hepar": [1], "os": [5]}, "unannotated": ["os"]}
    assert identity.arrays_of(renamed) == f"{arrays}-without-2"
