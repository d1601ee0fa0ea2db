"""Networks of MONAI, where it is installed: what is mapped, and what a rehearsal says of them."""

import pytest
from tiny import ORGANS, settings_of

from organbench.core.errors import InputError
from organbench.learning import rehearsal

pytest.importorskip("monai", reason="MONAI is not installed (requirements-monai.txt)")

CHANNELS = {"channels": [4, 8], "strides": [2]}
UNETR = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 24, "num_heads": 2}


def rehearse(name, options, **changes):
    network = {"network": f"monai.networks.nets.{name}", **options}
    return rehearsal.rehearse(network, settings_of(norm="instance", batch_size=2, **changes), list(ORGANS))


@pytest.mark.parametrize(
    ("name", "options", "patch", "notes"),
    [
        (
            "SegResNet",
            {"init_filters": 8, "dims": 3},
            [16, 16, 16],
            ["divisible by 8", "slow on CUDA, to repeat (trilinear"],
        ),
        ("UNETR", UNETR | {"dims": 3}, [16, 16, 32], ["no image of another size", "24 parameters get no gradient"]),
        ("AttentionUnet", CHANNELS, [16, 16], ["divisible by 2", "does not follow training.norm"]),
        (
            "SwinUNETR",
            {"feature_size": 12},
            [64, 64],
            ["divisible by 32", "does not follow training.norm"],
        ),
        (
            "BasicUNetPlusPlus",
            {"features": [4, 4, 8, 8, 8, 4]},
            [32, 32],
            ["gives 1 output in a list"],
        ),
    ],
)
def test_what_is_said_of_networks_of_monai(name, options, patch, notes):
    found = rehearse(name, options, patch=patch)
    assert found.parameters > 0
    assert found.multiply_adds_per_voxel > 0
    for note in notes:
        assert note in found.notes


def test_what_does_not_fit_is_refused_in_one_line():
    with pytest.raises(InputError, match=r"\[20, 16\] must be divisible by 8 for .*; give \[16, 16\]"):
        rehearse("SegResNet", {"init_filters": 8}, patch=[20, 16])
    with pytest.raises(InputError, match=r"init_filter is no training setting, .* did you mean init_filters\?"):
        rehearse("SegResNet", {"init_filter": 8}, patch=[16, 16])
    with pytest.raises(InputError, match=r"MedNeXtS: it is not known what it calls in_channels .* say so, as in map: "):
        rehearse("MedNeXtS", {}, patch=[16, 16])
