"""A packed model comes back as it was; what a stranger has changed in it is refused in one line, and never runs."""

import json
import sys

import pytest
import torch
from packs import TEXTS, member_of, model_of, network_of, pack, recipe_of
from tiny import GHOSTUNET

from organbench.core import archives
from organbench.core.errors import InputError
from organbench.inference import models

CPU = torch.device("cpu")
NET = """\
from pathlib import Path

import torch
from layers import Layer

Path({mark!r}).touch()


class Net(torch.nn.Module):
    divisor = 1

    def __init__(self, in_channels, classes):
        super().__init__()
        self.layer = Layer(in_channels, classes)

    def forward(self, image):
        return self.layer(image)
"""
LAYERS = """\
import torch


class Layer(torch.nn.Conv2d):
    def __init__(self, a, b):
        super().__init__(a, b, 1)
"""


@pytest.fixture
def packed(tmp_path):
    return pack(tmp_path / "model.zip")


def refused(path, words, **options):
    with pytest.raises(InputError, match=words) as error:
        models.predictors(models.read(path), CPU, **options)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def changed(path, change, *, name=models.MANIFEST):
    """Change what an archive's manifest says, or another of its files, so that all its hashes are right."""
    files = archives.read(path)
    if name == models.MANIFEST:
        said = json.loads(files[name])
        files[name] = json.dumps(change(said) or said).encode()
    else:
        files[name] = change(files[name])
        said = json.loads(files[models.MANIFEST])
        said["files"][name] = models.hashlib.sha256(files[name]).hexdigest()
        files[models.MANIFEST] = json.dumps(said).encode()
    archives.write(files, path)
    return path


def test_a_model_comes_back_as_it_was(tmp_path):
    recipes = [
        recipe_of(),
        recipe_of(GHOSTUNET, patch=(16, 16), context=2, run="ghost/fold1-seed2", mirrored=((1, 2),)),
    ]
    model = model_of(*map(member_of, recipes), spacing=(1.5, 1.5, None))
    networks = [network_of(recipe, seed) for seed, recipe in enumerate(recipes)]
    path = pack(tmp_path / "model.zip", model, [network.state_dict() for network in networks])
    read = models.read(path)
    assert read.model == model
    assert {name: read.files[name].decode() for name in TEXTS} == TEXTS
    for predictor, network, recipe in zip(models.predictors(read, CPU), networks, recipes, strict=True):
        assert predictor.recipe == recipe
        image = torch.randn(2, recipe.in_channels, 16, 16)
        for ours, theirs in zip(predictor.network.state_dict().values(), network.state_dict().values(), strict=True):
            assert torch.equal(ours, theirs)
        found, wanted = predictor.network.eval()(image), network.eval()(image)
        assert torch.allclose(found, wanted, atol=1e-5)  # in another memory format
    assert pack(tmp_path / "again.zip", model, [n.state_dict() for n in networks]).read_bytes() == path.read_bytes()


def test_nothing_of_it_is_pickled(packed):
    held = archives.read(packed)
    assert set(held) == {models.MANIFEST, *TEXTS, "weights/unet-fold0-seed0.safetensors"}
    assert b"PK" not in held["weights/unet-fold0-seed0.safetensors"][:8]


def replace(said, key, value):
    place = said
    for part in key[:-1]:
        place = place[part]
    place[key[-1]] = value


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (("format",), "sketch model", "is sketch model, version 1; this OrganBench reads organbench model, version 1"),
        (("format_version",), 2, "version 2; this OrganBench reads"),
        (("organs",), {}, "says what cannot be .organs"),
        (("organs", "liver"), [0], "says what cannot be .label values"),
        (("organs", "liver"), [True], "says what cannot be .label values"),
        (("spacing",), [1, 1], "says what cannot be .spacing"),
        (("spacing",), [1, 1, 1e-9], "says what cannot be .spacing"),
        (("spacing",), "abc", "says what cannot be"),
        (("prediction", "overlap"), 0.9999999, "says what cannot be .overlap"),
        (("prediction", "keep_largest"), ["heart"], "says what cannot be .keep_largest"),
        (("prediction", "sharpen"), 1, "says what cannot be"),
        (("members",), [], "says what cannot be .members"),
        (("members", 0, "recipe", "patch"), [100000, 100000], "says what cannot be .patch"),
        (("members", 0, "recipe", "patch"), [0, 8], "says what cannot be .patch"),
        (("members", 0, "recipe", "context"), 3, "says what cannot be .channels"),
        (("members", 0, "recipe", "classes"), 4, "says what cannot be .classes"),
        (("members", 0, "recipe", "window"), [300, -100], "says what cannot be .window"),
        (("members", 0, "recipe", "precision"), "int1", "says what cannot be .precision"),
        (("members", 0, "recipe", "organ_ml"), [1.0], "says what cannot be .volumes"),
        (("members", 0, "recipe", "mirrored"), [[1, 9]], "says what cannot be .mirrored"),
        (("members", 0, "recipe", "run"), "../../unet", "says what cannot be .run"),
        (("members", 0, "recipe", "network"), {"network": "vnet"}, "fit no network .unknown network 'vnet'"),
        (("members", 0, "recipe", "network"), {"network": "unet", "features": [4, 16]}, "should be .16"),
        (("members", 0, "recipe", "network"), {"network": "unet", "features": [4, 100_000_000]}, "should be"),
        (("sources",), ["source/net.py"], "does not hold the files that its model.json names"),
        (("sources",), ["../../net.py"], "says what cannot be .sources"),
        (("sources",), ["card.md"], "says what cannot be .sources"),
        (("name",), "../../unet", "says what cannot be .name"),
        (("name",), 7, "says what cannot be .names"),
        (("organs",), {"liver\n": [1], "b": [2]}, "says what cannot be .names"),
        (("members", 0, "code"), {"torch": 2}, "says what cannot be .hashes"),
        (("organs",), {"a": [1], "b": [1]}, "says what cannot be .label values of one organ each"),
        (("members", 0, "recipe", "flips"), ["q"], "says what cannot be .flips"),
        (("members", 0, "recipe", "flips"), 5, "says what cannot be"),
        (
            ("members", 0, "recipe", "network"),
            {"network": "unet", "features": [4] * 3000},
            "weights than the file",
        ),
        (("files",), [], "does not hold the files that its model.json names"),
        (("files",), None, "says what cannot be"),
        (("files", "card.md"), "0" * 64, "card.md in it was changed after it was packed"),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused(packed, key, value, words):
    refused(changed(packed, lambda said: replace(said, key, value)), words)


@pytest.mark.parametrize("said", ["", "[]", "{}", "null", "[" * 100_000, '{"format": NaN}', b"\xff\xfe"])
def test_a_manifest_that_is_none_is_refused(packed, said):
    files = archives.read(packed)
    files[models.MANIFEST] = said if isinstance(said, bytes) else said.encode()
    archives.write(files, packed)
    refused(packed, "its model.json is damaged")


def test_other_archives_are_refused(tmp_path):
    archives.write({"a": b""}, tmp_path / "model.zip")
    refused(tmp_path / "model.zip", "has no model.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: b"",
        lambda weights: weights[:100],
        lambda weights: (1 << 62).to_bytes(8, "little") + weights[8:],
        lambda weights: weights[:-4],
        lambda weights: b"\x80\x04cos\nsystem\n",
    ],
)
def test_damaged_weights_are_refused(packed, change):
    refused(changed(packed, change, name="weights/unet-fold0-seed0.safetensors"), "its weights fit no network")


def test_weights_of_another_network_are_refused(tmp_path):
    for state in (network_of(recipe_of(GHOSTUNET)).state_dict(), {}, {"x": torch.zeros(3)}):
        path = pack(tmp_path / "model.zip", states=[state])
        refused(path, "should be|not there")


def outside_model(tmp_path, mark):
    """A model whose network is in a file of its own, which imports another one."""
    sources = {"source/net.py": NET.format(mark=str(mark)).encode(), "source/layers.py": LAYERS.encode()}
    recipe = recipe_of({"network": "net.py:Net"})
    model = model_of(member_of(recipe, code={"imported/net.py": "12ab"}), sources=tuple(sources))
    state = {"layer.weight": torch.full((3, 1, 1, 1), 2.0), "layer.bias": torch.zeros(3)}
    return pack(tmp_path / "model.zip", model, [state], sources)


def test_code_in_the_file_runs_only_for_who_trusts_it(tmp_path, monkeypatch):
    mark = tmp_path / "ran"
    path = outside_model(tmp_path, mark)
    refused(path, r"its network net.py:Net \(imported/net.py 12ab\) is not of OrganBench.*say --trust")
    assert not mark.exists()
    monkeypatch.setattr(sys, "path", list(sys.path))
    (predictor,) = models.predictors(models.read(path), CPU, trust=True)
    assert mark.exists()
    assert (predictor.network(torch.ones(1, 1, 2, 2)) == 2).all()


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "torch.nn.Conv2d"])
def test_networks_of_other_packages_run_only_for_who_trusts_the_file(tmp_path, name):
    recipe = recipe_of({"network": name, "kernel_size": 1})
    path = pack(
        tmp_path / "model.zip", model_of(member_of(recipe, code={"torch": "torch==2"})), [{"x": torch.zeros(1)}]
    )
    refused(path, f"its network {name} .torch==2. is not of OrganBench")


def test_a_package_that_is_not_there_is_named(tmp_path):
    recipe = recipe_of({"network": "nowhere.nets.Net"})
    path = pack(tmp_path / "model.zip", model_of(member_of(recipe)), [{"x": torch.zeros(1)}])
    refused(path, "its network cannot be built: .*there is no module nowhere", trust=True)


def test_other_versions_are_told():
    members = member_of(code={"torch": "torch==0.1", "numpy": models.outside.installed("numpy") and "numpy==0"})
    assert models.notes(model_of(member_of())) == []
    told = models.notes(model_of(members, version="9.9"))
    assert told[0].startswith("packed by organbench 9.9, this is ")
    assert any(line.startswith("trained with torch 0.1, here is ") for line in told)
