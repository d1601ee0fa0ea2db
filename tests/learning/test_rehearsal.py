"""A study whose training step cannot work is refused before hours are spent; one that can is not."""

import copy
import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import tiny
import torch
import yaml
from conftest import ROOT
from tiny import GHOSTUNET, ORGANS, UNET, make_case, settings_of, training_settings
from torch import nn

from organbench import networks
from organbench.core.errors import InputError
from organbench.core.files import tuples
from organbench.learning import building, choices, optimisation, rehearsal
from organbench.learning.settings import Training
from organbench.study import configuration, kinds
from organbench.study.kinds import network as network_kind

SCRIPTS = ROOT / "workflow" / "scripts"
DEEP = {"features": [4, 8, 16]}  # divides sizes by 4
PATCHES = {2: [4, 4], 3: [4, 4, 4]}

ONE_VALUE = r"^config, training\.batch_size: a batch of 1 crop of 4 x 4.* a single value per channel.*; raise it"
ONE_VOXEL = r"^config, training\.patch: .* a single voxel.*; enlarge it"
UNFIT = [
    ({"batch_size": 1, "norm": "batch"}, ONE_VALUE),
    ({"batch_size": 3, "norm": "instance"}, ONE_VOXEL),
    ({"batch_size": 1, "norm": "instance"}, ONE_VOXEL),
]


def unfit(options, dims, changes):
    return options | DEEP | {"dims": dims}, training_settings(patch=PATCHES[dims], **changes)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("options", [UNET, GHOSTUNET], ids=["unet", "ghostunet"])
@pytest.mark.parametrize(("changes", "problem"), UNFIT)
def test_a_bottleneck_of_one_voxel_is_refused_where_it_cannot_be_normalised(options, dims, changes, problem):
    network, settings = unfit(options, dims, changes)
    with pytest.raises(InputError, match=problem) as caught:
        rehearse(network, settings)
    assert "\n" not in str(caught.value)


def train(folder, network, settings):
    """Train on a patient."""
    return tiny.train([make_case(folder)], [], folder / "checkpoint.pt", network=network, settings=settings)


def rehearse(network, settings):
    return rehearsal.rehearse(network, Training(**tuples(settings)), list(ORGANS))


@pytest.mark.parametrize(("changes", "problem"), UNFIT)
def test_training_refuses_it_too(tmp_path, changes, problem):
    with pytest.raises(InputError, match=problem):
        train(tmp_path, *unfit(UNET, 2, changes))


def test_an_error_of_training_that_shapes_do_not_explain_goes_on(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("the device is broken")

    monkeypatch.setattr(optimisation.Learner, "learn", fail)
    with pytest.raises(RuntimeError, match="the device is broken"):
        train(tmp_path, UNET, training_settings())


def test_what_only_prediction_cannot_do_is_refused():
    """Group norm of one channel a group and one voxel: of three crops it has three values, of a window one."""
    network, settings = unfit(UNET, 2, {"batch_size": 3, "norm": "group"})
    network["features"] = [4, 8, 8]
    with pytest.raises(InputError, match=r"^config, training\.patch: .*single window.*; enlarge it"):
        rehearse(network, settings)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("options", [UNET, GHOSTUNET], ids=["unet", "ghostunet"])
@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 2, "norm": "batch"},
        {"batch_size": 1, "norm": "batch", "patch": 8},
        {"batch_size": 1, "norm": "instance", "patch": 8},
        {"batch_size": 1, "norm": "group", "patch": 8, "deep_supervision": True, "ema": 0.9},
        {"batch_size": 2, "precision": "bf16", "optimizer": "sgd", "loss": "dice_legacy"},
        {"batch_size": 2, "precision": "fp16", "optimizer": "adam", "loss": "ce", "compile": True},
    ],
)
def test_what_can_be_trained_is_not_refused(options, dims, changes):
    changes = {**changes, "patch": [changes.get("patch", 4)] * dims}
    size = rehearse(options | DEEP | {"dims": dims}, training_settings(**changes))
    assert size.parameters > 0
    assert size.multiply_adds_per_voxel > 0


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_that_come_with_it_can_be_trained(path, schema, defaults):
    """On a node of 4 GB, in a moment, whatever a step of theirs needs."""
    config = configuration.resolve(yaml.safe_load(path.read_text()), defaults, schema)
    if any("monai" in config["models"][model]["network"] for model in kinds.networks(config)):
        pytest.importorskip("monai", reason="a study's network is of MONAI, and MONAI is not installed")
    for model in kinds.networks(config):  # nnU-Net plans its own
        options, settings = network_kind.settings(model, config)
        settings = Training(**tuples(settings))
        design = building.design(options, settings, list(config["dataset"]["organs"]))
        network = building.build(design)
        assert rehearsal.shapes(network, design, settings).stored_bytes > 0
        part = rehearsal.affordable(network, design, settings)
        if part is None:  # the weights alone, their gradients and moments, are more than such a node has to spare
            assert sum(weights.numel() for weights in network.parameters()) > 1e8
        else:
            assert rehearsal.shapes(network, *part).small


class Faulty(nn.Module):
    """A network with a fault of the kind that one's own network may have."""

    divisor = 1

    def __init__(self, fault, classes):
        super().__init__()
        self.fault, self.conv = fault, nn.Conv2d(1, classes + (fault == "classes"), 3, padding=1)
        self.other = nn.Conv2d(9, 1, 1)

    def forward(self, image):
        if self.fault == "channels":
            return self.conv(image) + self.other(image)
        if self.fault == "meta" and image.device.type == "meta":
            raise NotImplementedError("aten::something: no meta implementation")
        if self.fault in ("meta", "nan"):
            return self.conv(image) * float("nan")
        logits = self.conv(image)
        return logits[..., ::2] if self.fault == "size" else logits.detach() if self.fault == "detached" else logits


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("classes", r"gives logits of 3 x 4 x 16 x 16, not 3 x 3 x 16 x 16"),
        ("size", r"gives logits of 3 x 3 x 16 x 8, not 3 x 3 x 16 x 16"),
        ("channels", r"Invalid channel dimensions"),
        ("detached", r"does not require grad"),
        ("nan", r"loss of a first step on random images is nan"),
        ("meta", r"loss of a first step on random images is nan"),  # its shapes are unknown, so a real step tells
    ],
)
def test_a_network_with_a_fault_is_refused_in_one_line(monkeypatch, fault, problem):
    monkeypatch.setattr(networks, "build", lambda options, *, classes, **_: Faulty(fault, classes))
    with pytest.raises(InputError, match=r"^config, models: .*" + problem) as caught:
        rehearse({"network": "mine"}, training_settings())
    assert "\n" not in str(caught.value)


def test_a_rehearsal_leaves_no_trace():
    network = networks.build(UNET, in_channels=1, classes=3)
    before, state = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    design = building.design(UNET, settings_of(), list(ORGANS))
    rehearsal.shapes(network, design, settings_of())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_a_step_needs_is_what_one_counts_by_hand(monkeypatch):
    """Convolutions keep inputs and weights for the backward pass; the ReLU's output is the second one's input."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(4, 3, 1, bias=False))
    settings = settings_of(patch=[8, 8], batch_size=2)
    monkeypatch.setattr(choices, "load", lambda *_: lambda logits, labels: logits.sum())
    need = rehearsal.shapes(network, building.design({}, settings, list(ORGANS)), settings)
    voxels, weights = 2 * 8 * 8, 4 * 9 + 4 * 3
    assert need.stored_bytes == 4 * (voxels * (1 + 4) + weights)
    forward = voxels * (4 * 9 + 4 * 3)
    assert need.multiply_adds == 3 * forward - voxels * 4 * 9  # the image needs no gradient


def test_the_script_names_the_model(tmp_path, capsys):
    options, settings = unfit(UNET, 2, {"batch_size": 1})
    good = {"network": UNET, "training": training_settings()}
    job = SimpleNamespace(
        input=SimpleNamespace(),
        output=[str(tmp_path / "networks.csv")],
        params=SimpleNamespace(settings={"good": good}, organs=list(ORGANS)),
        log=[str(tmp_path / "log")],
        threads=1,
    )
    runpy.run_path(str(SCRIPTS / "check_networks.py"), init_globals={"snakemake": job})
    assert pd.read_csv(job.output[0])["model"].tolist() == ["good"]
    Path(job.output[0]).unlink()
    job.params.settings["deep"] = {"network": options, "training": settings}
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(SCRIPTS / "check_networks.py"), init_globals={"snakemake": job})
    assert caught.value.code == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: model deep: config, training.batch_size: a batch of 1 crop of 4 x 4")
    assert not Path(job.output[0]).exists()
