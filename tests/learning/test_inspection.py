"""What a rehearsal tells of an imported network before it trains, and what it refuses."""

import sys

import pytest
import torch
from tiny import ORGANS, settings_of

from organbench.core.errors import InputError
from organbench.learning import rehearsal

NET = """
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, in_channels, num_classes, spatial_dims=2, fault="", rate=1):
        super().__init__()
        self.fault, self.dims = fault, spatial_dims
        conv = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        self.body, self.head = conv(in_channels, 4, 3, padding=1), conv(4, num_classes, 1)
        self.idle = nn.Linear(2, 2) if fault == "idle" else None
        self.norm = {"layer": nn.GroupNorm(1, 4), "none": nn.Identity()}.get(fault, nn.BatchNorm2d(4))
        if spatial_dims == 3:
            self.norm = nn.BatchNorm3d(4)
    def forward(self, image):
        if self.fault == "values":
            float(image.sum())
        if self.fault == "own size" and image.shape[-1] != 16:
            raise ValueError("made for 16 voxels")
        x = self.norm(self.body(image))
        if self.fault == "deep":
            for _ in range(3):
                x = F.avg_pool2d(x, 2)
            x = x.repeat_interleave(8, 2).repeat_interleave(8, 3)
        elif self.dims == 3:
            x = F.interpolate(F.max_pool3d(x, 2) + F.avg_pool3d(x, 2), scale_factor=2, mode="trilinear")
        logits = self.head(x)
        return [logits, logits] if self.fault == "list" else logits
"""


@pytest.fixture
def rehearse(tmp_path):
    """Rehearse with a file outside the repository; gives what is told."""
    (tmp_path / "net.py").write_text(NET)
    before = list(sys.path)

    def told(fault="", *, options=None, **changes):
        network = {"network": f"{tmp_path}/net.py:Net", "fault": fault, **(options or {})}
        return rehearsal.rehearse(network, settings_of(**changes), list(ORGANS)).notes

    yield told
    sys.path[:] = before


@pytest.mark.parametrize(
    ("fault", "note"),
    [
        ("", ""),
        ("list", "gives 2 outputs in a list: the first is used"),
        ("idle", "2 parameters get no gradient, the first is idle.weight"),
        ("layer", "does not follow training.norm (batch): 1 GroupNorm"),
        ("none", "has no norm layers, so training.norm (batch) changes nothing"),
        ("deep", "sizes must be divisible by 8"),
        ("values", ""),
        ("own size", "takes no image of another size than the patch, or none at all"),
    ],
)
def test_what_is_to_be_known_is_told(rehearse, fault, note):
    assert rehearse(fault) == note


@pytest.mark.parametrize("deterministic", [False, True])
def test_layers_that_do_not_repeat_are_told(rehearse, deterministic):
    """On a device without values, too, where torch has others computed in their place once they have to repeat."""
    torch.use_deterministic_algorithms(deterministic)
    try:
        told = rehearse(options={"dims": 3}, patch=[8, 16, 16])
    finally:
        torch.use_deterministic_algorithms(False)
    assert told == (
        "sizes must be divisible by 2; does not repeat to the last bit on CUDA (AvgPool3d); "
        "slow on CUDA, to repeat (MaxPool3d, trilinear interpolation)"
    )


@pytest.mark.parametrize("options", [{}, {"divisor": 8}])
def test_a_patch_that_does_not_fit_is_refused_with_one_that_does(rehearse, options):
    with pytest.raises(InputError, match=r"training.patch: \[20, 16\] must be divisible by 8 for .*; give \[16, 16\]"):
        rehearse("deep", options=options, patch=[20, 16])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"learning_rat": 0.1},
            r"learning_rat is no training setting, and .* takes no such option; did you mean learning_rate",
        ),
        ({"dimms": 3}, r"dimms is no training setting, .* did you mean"),
        ({"rates": 3}, r"did you mean rate\?"),
    ],
)
def test_a_typo_is_told(rehearse, options, message):
    with pytest.raises(InputError, match=message):
        rehearse(options=options)
