"""A network begins with the classes' shares of the voxels as its answer, whatever its layers are called."""

import logging

import numpy as np
import pytest
import torch
from tiny import GHOSTUNET, ORGANS, UNET, label_map, make_case, settings_of, task_of, training_settings
from torch import nn

from organbench.learning import beginning, building, sampling

TWO_AND_THREE = [({"dims": 2}, [16, 16]), ({"dims": 3}, [8, 8, 8])]


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    return [make_case(folder, name, label_map(bladder=name != "b"), seed=n) for n, name in enumerate("abc")]


def begun(patients, options, patch, **changes):
    """A network that has begun, its task, and its design."""
    task = task_of(training_settings(patch=patch, **changes), network=options)
    design = building.design(options, task.settings, list(ORGANS))
    torch.manual_seed(0)
    network = building.build(design)
    beginning.begin(network, design, patients, task)
    return network, design, task


def test_shares_are_those_of_the_first_crops(patients):
    task = task_of(training_settings(patch=[16, 16], augmentation=settings_of().augmentation))
    labels = np.concatenate([sampling.batch(patients, task, step)[1].ravel() for step in range(beginning.STEPS)])
    found = beginning.shares(patients, task)
    assert found == pytest.approx([np.mean(labels == k) for k in range(3)])
    assert found.sum() == pytest.approx(1)


def test_an_organ_that_no_crop_shows_has_the_least_share(tmp_path):
    found = beginning.shares([make_case(tmp_path, "a", label_map(bladder=False))], task_of())
    assert found[2] == pytest.approx(beginning.LEAST, rel=1e-3)


@pytest.mark.parametrize("options", [UNET, GHOSTUNET], ids=["unet", "ghostunet"])
@pytest.mark.parametrize(("dims", "patch"), TWO_AND_THREE, ids=["2d", "3d"])
@pytest.mark.parametrize("deep", [False, True])
def test_every_head_begins_with_the_shares(patients, options, dims, patch, deep):
    options = options | dims | {"features": [4, 8, 16]}
    network, _, task = begun(patients, options, patch, deep_supervision=deep, context=0)
    expected = torch.from_numpy(beginning.shares(patients, task)).float()
    heads = [network.head, *network.side_heads]
    assert len(heads) == 1 + deep
    for head in heads:
        assert torch.allclose(head.bias.softmax(0), expected, atol=1e-5)


def test_nothing_but_the_heads_is_changed(patients):
    network, design, _ = begun(patients, UNET, [16, 16])
    torch.manual_seed(0)
    plain = building.build(design).state_dict()
    other = [key for key, value in network.state_dict().items() if not torch.equal(value, plain[key])]
    assert other == ["head.bias"]


class Renamed(nn.Module):
    """A network of somebody else: its last layer has another name, and a bias of an inner layer has as many values."""

    divisor = 1

    def __init__(self, last):
        super().__init__()
        self.inner, self.out = nn.Conv2d(1, 3, 1), last

    def forward(self, images):
        return self.out(self.inner(images).relu())


def test_a_head_is_found_by_what_it_gives(patients):
    design = building.design(UNET, settings_of(patch=[16, 16]), list(ORGANS))
    network = Renamed(nn.Sequential(nn.Conv2d(3, 3, 1)))
    assert [bias is network.out[0].bias for bias in beginning.heads(network, design)] == [True]


@pytest.mark.parametrize("last", [nn.Conv2d(3, 3, 1, bias=False), nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh())])
def test_a_network_without_such_a_layer_stays_as_it_is(patients, caplog, last):
    network, task = Renamed(last), task_of(training_settings(patch=[16, 16]))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with caplog.at_level(logging.INFO):
        beginning.begin(network, building.design(UNET, task.settings, list(ORGANS)), patients, task)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert "no layer with a bias gives the logits" in caplog.text
