"""Weights to start from: what fits is loaded and told, anything else is refused."""

import hashlib
import logging

import pytest
import torch
from tiny import UNET, settings_of

from organbench import networks
from organbench.core.errors import InputError
from organbench.learning import building, pretrained


def network(classes=3, seed=0):
    torch.manual_seed(seed)
    return networks.build(UNET, in_channels=1, classes=classes)


def saved(path, content):
    torch.save(content, path)
    return {"weights": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    "written",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {f"module.{key}": value for key, value in state.items()},
    ],
    ids=["plain", "inner", "module"],
)
def test_what_fits_by_name_and_shape_is_loaded_and_told(tmp_path, caplog, written):
    """Of a network with another number of classes all but the head."""
    given, own = network(classes=7, seed=1), network()
    start = saved(tmp_path / "given.pt", written(given.state_dict()))
    before = {key: value.clone() for key, value in own.state_dict().items()}
    with caplog.at_level(logging.INFO):
        loaded, number = pretrained.start_from(own, **start)
    assert (loaded, number) == (len(before) - 2, len(before))
    assert f"{loaded} of {number} weights and buffers of the network are taken from it" in caplog.text
    for key, value in own.state_dict().items():
        assert torch.equal(value, before[key] if key.startswith("head.") else given.state_dict()[key]), key


def test_building_a_network_starts_from_them(tmp_path):
    given = network(seed=1)
    options = UNET | {"pretrained": saved(tmp_path / "given.pt", given.state_dict())}
    design = building.design(options, settings_of(), ["liver", "bladder"])
    torch.manual_seed(0)
    assert building.fingerprint(building.build(design)) == building.fingerprint(given)


class Harmful:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ({"a": torch.zeros(1)}, {}, r"none of its 1 weights fits the network by name and shape \(its first is a, "),
        ({"a": torch.zeros(1)}, {"sha256": 64 * "0"}, r"has sha256 [0-9a-f]{64}, and not the one that the config says"),
        ({"a": torch.zeros(1)}, {"weights": "nowhere.pt"}, r"nowhere.pt cannot be read \(No such file"),
        ([1, 2], {}, r"none of its 0 weights"),
        (Harmful(), {}, r"holds no weights that can be read safely"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, capsys, content, changes, message):
    start = saved(tmp_path / "given.pt", content) | changes
    with pytest.raises(InputError, match=message) as caught:
        pretrained.start_from(network(), **start)
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out
