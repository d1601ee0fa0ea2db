"""nnU-Net's entry in `models`: what it may say, what it is named by, and what methods.md says of it."""

import sys

import pytest
import yaml
from conftest import ROOT

from organbench.core.errors import InputError
from organbench.learning.nnunet import recipe
from organbench.study import configuration, identity, kinds
from organbench.study.kinds import nnunet

UNET = {"network": "unet", "dims": 2, "features": [4, 8]}


@pytest.fixture
def resolve(defaults, schema):
    def resolved(**entry):
        study = {"study": "mine", "models": {"unet": UNET, "nn": {"nnunet": "2d"} | entry}}
        return configuration.resolve(study, defaults, schema)

    return resolved


def test_it_is_trained_and_predicted_by_rules_of_its_own(resolve):
    config = resolve(steps=None)
    assert kinds.trained(config) == ["unet", "nn"]
    assert kinds.networks(config) == ["unet"]
    assert kinds.trained_by("nnunet_train", config) == kinds.predicted_by("nnunet_predict", config) == ["nn"]
    assert kinds.with_history(config) == ["unet", "nn"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"learning_rate": 0.1}, r"models.nn: unknown key learning_rate, as nnU-Net has settings of its own; "),
        ({"patch": [8, 16, 16]}, r"models.nn.patch: nnU-Net's 2d takes y x, not \[8, 16, 16\]"),
        ({"nnunet": "3d_fullres", "patch": [16, 16]}, r"3d_fullres takes z y x, not \[16, 16\]"),
        ({"python": "/nowhere/python"}, r"models.nn.python: /nowhere/python is no program here"),
        ({"plans": "ResEncXXL"}, r"models.nn.plans: "),
        ({"nnunet": "3d_lowres"}, r"models.nn.nnunet: "),
    ],
)
def test_what_it_may_not_say(resolve, entry, message):
    with pytest.raises(InputError, match=message):
        resolve(**entry)


def test_a_network_has_no_recipe_to_take_its_length_from(defaults, schema):
    with pytest.raises(InputError, match=r"models.unet.steps: null is for nnU-Net, which has a recipe; give a number"):
        configuration.resolve({"study": "mine", "models": {"unet": UNET | {"steps": None}}}, defaults, schema)


def test_the_version_is_the_one_that_is_pinned():
    pin = f"nnunetv2=={recipe.VERSION}"
    assert pin in (ROOT / "requirements-nnunet.txt").read_text().splitlines()
    (pip,) = [
        part["pip"]
        for part in yaml.safe_load((ROOT / "envs" / "nnunet.yaml").read_text())["dependencies"]
        if isinstance(part, dict)
    ]
    lines = (ROOT / "requirements-nnunet.txt").read_text().splitlines()
    assert pip == [line for line in lines if not line.startswith("#")]


def test_a_training_is_named_by_what_shapes_it_and_by_the_files_of_its_cases():
    infos = {
        case: {"checksums": {"image": 1}, "sources": {"volume": {"sha256": f"v{case}"}, "labels": {"sha256": "l"}}}
        for case in "ab"
    }

    def named(entry, labels=((1,), (2, 3)), infos=infos, **changes):
        wanted = {
            "code": {},
            "settings": nnunet.shaping({"nnunet": "2d"} | entry, labels),
            "window": [],
            "organs": ["x", "y"],
            "seed": 0,
            "training": ["a"],
            "validation": ["b"],
        } | changes
        return identity.of_cases(infos, wanted)["sha256"]

    first = named({})
    assert first == named({"python": sys.executable}) == named({"steps": None, "plans": "default"})
    assert first == named({}, organs=["other", "names"])
    others = [{"steps": 4}, {"plans": "ResEncM"}, {"version": "2.9"}, {"patch": [16, 16]}, {"nnunet": "3d_fullres"}]
    names = {first, *map(named, others), named({}, [[1], [2]]), named({}, seed=1)}
    resampled = {case: info | {"checksums": {"image": 2}} for case, info in infos.items()}
    assert named({}, infos=resampled) == first
    another = infos | {"a": infos["a"] | {"sources": {"volume": {"sha256": "else"}, "labels": {"sha256": "l"}}}}
    assert len(names | {named({}, infos=another)}) == len(others) + 4


def test_a_case_whose_files_nobody_noted_names_nothing():
    wanted = {"settings": nnunet.shaping({"nnunet": "2d"}, [[1]]), "training": ["a"], "validation": []}
    assert identity.of_cases({"a": {"checksums": {}, "sources": {}}}, wanted) is None


def test_what_methods_say_of_it(resolve):
    words = nnunet.words("nn", resolve())
    assert "nn was nnU-Net 2.8.1 [@isensee2021nnunet] in its 2D configuration with its default plans." in words
    assert "by its own recipe (1000 epochs of 250 steps)" in words
    assert "which we set" not in words
    words = nnunet.words("nn", resolve(steps=600, plans="ResEncM", batch_size=2))
    assert "[@isensee2024revisited]" in words
    assert "for 600 steps, over which the decay of its learning rate was stretched" in words
    assert "but for a batch of 2, which we set" in words
