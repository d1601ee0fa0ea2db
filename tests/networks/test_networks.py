"""The networks: sizes counted by hand, and the contract that every model keeps."""

import importlib.util
import math
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch.utils.flop_counter import FlopCounterMode

from organbench import networks
from organbench.networks import available, blocks, build

ROOT = Path(__file__).parents[2]

# A small instance of every network, in 2D and 3D, and of every variant that it comes in.
MODELS = [
    {"network": "unet", "dims": 2, "features": [8, 16, 32]},
    {"network": "unet", "dims": 3, "features": [8, 16, 32]},
    {"network": "ghostunet", "dims": 2, "features": [8, 16, 32]},
    {"network": "ghostunet", "dims": 3, "features": [8, 16, 32]},
    {"network": "ghostunet", "dims": 2, "features": [8, 16, 32], "block": "module"},
    {"network": "ghostunet", "dims": 3, "features": [8, 16, 32], "block": "module"},
    {"network": "resunet", "dims": 2, "features": [8, 16, 32], "blocks": [1, 2]},
    {"network": "resunet", "dims": 3, "features": [8, 16, 32], "blocks": [1, 2]},
]

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda c: "-".join(map(str, c.values())).replace(" ", ""))
every_norm = pytest.mark.parametrize("norm", ["batch", "instance", "group"])

LAYOUT = {2: torch.channels_last, 3: torch.channels_last_3d}


def small(model, *, norm="batch", seed=0):
    torch.manual_seed(seed)
    return build(model, in_channels=2, classes=3, norm=norm)


def image_for(model, *, batch=2):
    size = (8, 16, 24)[-model["dims"] :]
    return torch.randn(batch, 2, *size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more are slower for networks as small as these
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


# --- Parameters, from the papers' definitions -------------------------------------------------------------------------


def conv(i, o, k, d):  # no bias: a normalisation follows
    return k**d * i * o


def conv_norm(i, o, k, d):
    return conv(i, o, k, d) + 2 * o


def depthwise_norm(o, d):  # one 3x3 filter an output channel
    return 3**d * o + 2 * o


def two_convolutions(i, o, d, ratio):
    return conv_norm(i, o, 3, d) + conv_norm(o, o, 3, d)


def ghost_module(i, o, k, d, ratio):
    primary = (o + ratio - 1) // ratio
    return conv_norm(i, primary, k, d) + depthwise_norm(primary * (ratio - 1), d)


def two_ghost_modules(i, o, d, ratio):
    return ghost_module(i, o, 3, d, ratio) + ghost_module(o, o, 3, d, ratio)


def ghost_bottleneck(i, o, d, ratio):
    reduced = max(1, o // 4)
    squeeze_excite = (o * reduced + reduced) + (reduced * o + o)
    shortcut = 0 if i == o else depthwise_norm(i, d) + conv_norm(i, o, 1, d)
    return ghost_module(i, o, 1, d, ratio) + squeeze_excite + ghost_module(o, o, 1, d, ratio) + shortcut


def u_shape(level, in_channels, classes, features, d, ratio=2):
    total = level(in_channels, features[0], d, ratio)
    for fine, coarse in pairwise(features):
        total += level(fine, coarse, d, ratio)  # down
        total += 2**d * coarse * fine + fine  # transposed convolution with bias
        total += level(2 * fine, fine, d, ratio)  # up, with the skip concatenated
    return total + features[0] * classes + classes


VARIANTS = [
    ({"network": "unet"}, two_convolutions),
    ({"network": "ghostunet", "block": "module"}, two_ghost_modules),
    ({"network": "ghostunet", "block": "bottleneck"}, ghost_bottleneck),
]
every_variant = pytest.mark.parametrize(("variant", "level"), VARIANTS, ids=["unet", "modules", "bottlenecks"])


def parameters(options, *, in_channels=1, classes=2):
    with torch.device("meta"):
        network = build(options, in_channels=in_channels, classes=classes)
    return sum(parameter.numel() for parameter in network.parameters())


@every_variant
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("features", [[64, 128, 256, 512, 1024], [16, 32, 64, 128, 256], [8, 8, 24], [5, 7, 9], [3]])
@pytest.mark.parametrize(("in_channels", "classes"), [(1, 2), (3, 7), (8, 4)])
def test_parameters_are_those_of_the_definitions(variant, level, dims, features, in_channels, classes):
    counted = parameters({**variant, "dims": dims, "features": features}, in_channels=in_channels, classes=classes)
    assert counted == u_shape(level, in_channels, classes, features, dims)


@pytest.mark.parametrize(("variant", "level"), VARIANTS[1:], ids=["modules", "bottlenecks"])
@pytest.mark.parametrize("ratio", [3, 4])
def test_parameters_at_other_ratios(variant, level, ratio):
    features = [8, 12, 20]
    counted = parameters({**variant, "features": features, "ratio": ratio})
    assert counted == u_shape(level, 1, 2, features, 2, ratio)


def residual_u_net(in_channels, classes, features, blocks, d):
    total, i = conv_norm(in_channels, features[0], 3, d), features[0]
    for o, number in zip(features, blocks, strict=True):
        total += number * 2 * conv_norm(o, o, 3, d)
        if i != o:  # the first block sees fewer channels, and its shortcut projects them
            total += conv(i, o, 3, d) - conv(o, o, 3, d) + conv_norm(i, o, 1, d)
        i = o
    for fine, coarse in pairwise(features):
        total += 2**d * coarse * fine + fine + conv_norm(2 * fine, fine, 3, d)
    return total + features[0] * classes + classes


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("features", "blocks", "given"),
    [
        ([16, 32, 64, 128, 256, 256], [1, 3, 4, 6, 6, 6], {}),
        ([8, 8, 24], [2, 1, 3], {"blocks": [2, 1, 3]}),
        ([8, 16, 24], [1, 2, 2], {"blocks": [1, 2]}),
    ],
)
def test_parameters_of_the_residual_u_net_are_those_of_its_definition(dims, features, blocks, given):
    options = {"network": "resunet", "dims": dims, "features": features, **given}
    counted = parameters(options, in_channels=3, classes=7)
    assert counted == residual_u_net(3, 7, features, blocks, dims)


def test_the_residual_u_net_is_as_large_as_nnu_nets():
    """Its presets M and L, of six levels in 3D: 102.35 million, of which 13,056 are biases before a norm."""
    features, blocks = [32, 64, 128, 256, 320, 320], [1, 3, 4, 6, 6, 6]
    counted = parameters({"network": "resunet", "dims": 3, "features": features})
    biases = features[0] + sum(2 * n * o for n, o in zip(blocks, features, strict=True)) + sum(features[:-1])
    assert biases == 13_056
    assert (counted + biases) / 1e6 == pytest.approx(102.35, abs=0.005)


@every_variant
def test_totals_agree_with_published_ones(variant, level):
    published = {
        two_convolutions: (31.0, 193, 1.94),
        two_ghost_modules: (16.9, 101, 1.07),
        ghost_bottleneck: (6.7, 31, 0.43),
    }
    millions, giga_multiply_adds, millions_when_narrow = published[level]
    wide = {**variant, "features": [64, 128, 256, 512, 1024]}
    narrow = {**variant, "features": [16, 32, 64, 128, 256]}

    assert parameters(wide) / 1e6 == pytest.approx(millions, abs=0.05)
    assert parameters(narrow) / 1e6 == pytest.approx(millions_when_narrow, abs=0.005)

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build(wide, in_channels=1, classes=2)(torch.empty(1, 1, 512, 512))
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga_multiply_adds, rel=0.01)


# --- What every model does ----------------------------------------------------------------------------------------


def test_every_network_is_among_the_models():
    assert {model["network"] for model in MODELS} == set(available())


@every_model
@every_norm
def test_logits_are_as_large_as_the_image(model, norm):
    network = small(model, norm=norm)
    image = image_for(model)
    assert network(image).shape == (2, 3, *image.shape[2:])


@every_model
def test_any_multiple_of_the_divisor_will_do(model):
    network = small(model)
    size = tuple(factor * network.divisor for factor in (2, 3, 5)[-model["dims"] :])
    assert network(torch.zeros(1, 2, *size)).shape == (1, 3, *size)


@every_model
@every_norm
def test_every_parameter_gets_a_gradient(model, norm):
    network = small(model, norm=norm)
    network(image_for(model)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # Between the two convolutions of squeeze-excite is a ReLU, which may rightly be off for so small a batch.
        assert parameter.grad.any() or ".se." in name, name


@every_model
def test_same_seed_same_weights(model):
    one, same, other = (small(model, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@every_model
@pytest.mark.usefixtures("deterministic")
def test_training_step_is_deterministic(model):
    gradients = []
    for _ in range(2):
        network = small(model)
        network(image_for(model)).square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@every_model
@every_norm
def test_bf16_and_channels_last(model, norm):
    layout = LAYOUT[model["dims"]]
    network = small(model, norm=norm).to(memory_format=layout)
    image = image_for(model).to(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(image)
    assert logits.dtype == torch.bfloat16
    assert logits.isfinite().all()
    logits.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@every_model
def test_layout_does_not_change_the_result(model):
    layout = LAYOUT[model["dims"]]
    network = small(model).eval()
    image = image_for(model)
    expected = network(image)
    again = network.to(memory_format=layout)(image.to(memory_format=layout))
    torch.testing.assert_close(again, expected, rtol=1e-3, atol=1e-5)


@every_model
def test_loss_falls(model):
    network = small(model)
    image = image_for(model, batch=4)
    labels = torch.zeros_like(image[:, 0]).long()
    labels[..., :10] = 1
    image[:, 0] += 3 * labels
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(network(image), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] < 2 * math.log(3)  # no class is all but ruled out at the start
    assert losses[-1] < 0.5 * losses[0]


# --- The U-shaped networks --------------------------------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_depth_is_the_number_of_features(variant, level, depth):
    network = build({**variant, "features": [4] * depth}, in_channels=1, classes=2)
    assert network.divisor == 2 ** (depth - 1)
    assert network(torch.zeros(2, 1, 32, 64)).shape == (2, 2, 32, 64)


@every_variant
def test_image_that_cannot_be_halved_is_refused(variant, level):
    network = build({**variant, "features": [4, 4, 4]}, in_channels=1, classes=2)
    with pytest.raises(ValueError, match=r"\(16, 18\) voxels: every size must be divisible by 4"):
        network(torch.zeros(1, 1, 16, 18))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_average_pool_is_torchs_in_3d(layout):
    x = torch.randn((2, 3, 4, 6, 8), generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    torch.testing.assert_close(blocks.average_pool(x), F.avg_pool3d(x, 2))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("shape", [(2, 3, 4, 6, 8), (1, 1, 2, 2, 2), (1, 5, 2, 4, 2), (3, 1, 4, 4, 4)])
def test_max_pool_is_torchs_in_3d(layout, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    ours, torchs = x.clone().requires_grad_(), x.clone().requires_grad_()
    pooled = blocks.max_pool(ours)
    expected = F.max_pool3d(torchs, 2)
    assert torch.equal(pooled, expected)
    weights = torch.randn_like(expected)
    (pooled * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.equal(ours.grad, torchs.grad)


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (7, 2)])
@pytest.mark.parametrize("size", [(1, 4, 4), (2, 4, 4), (3, 8, 8), (4, 4, 4), (8, 1, 2), (7, 8, 8), (8, 8, 8)])
def test_bf16_gradient_of_a_3d_convolution(size, kernel, stride, groups):
    torch.manual_seed(0)
    layer = blocks.convolution(8, 16, dims=3, kernel=kernel, stride=stride, groups=groups)
    x = torch.randn(2, 8, *size)
    weights = torch.randn(layer(x).shape)
    (expected,) = torch.autograd.grad((layer(x) * weights).sum(), layer.weight)
    for _ in range(5):
        unwritten = [torch.full((size,), math.nan) for size in (100, 1000, 10_000, 100_000)]
        del unwritten  # so that what is allocated next starts as NaN
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x.bfloat16())
        assert y.dtype == torch.bfloat16
        (gradient,) = torch.autograd.grad((y * weights).sum(), layer.weight)
        torch.testing.assert_close(gradient, expected, rtol=0.02, atol=0.02 * expected.abs().max().item())


def test_group_norm_has_up_to_eight_groups():
    groups = {c: blocks.normalisation(c, dims=2, norm="group").num_groups for c in (1, 3, 4, 6, 8, 12, 64)}
    assert groups == {1: 1, 3: 1, 4: 4, 6: 2, 8: 8, 12: 4, 64: 8}


# --- Finding and refusing ---------------------------------------------------------------------------------------------


def test_available_lists_the_networks_and_not_their_blocks():
    assert {"ghostunet", "unet"} <= set(available())
    assert "blocks" not in available()


def test_available_needs_no_torch():
    code = "import sys; from organbench.networks import available; available(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "workflow" / "scripts")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "vnet"}, "unknown network 'vnet'; available: "),
        ({"network": "blocks"}, "unknown network 'blocks'; available: "),
        ({"network": "../unet"}, "unknown network '../unet'; available: "),
        ({"features": [4]}, "unknown network None; available: "),
        (
            {"network": "unet", "features": [4], "ratio": 2},
            "network unet: unknown option ratio; it takes features, dims",
        ),
        ({"network": "unet", "features": [4], "norm": "group"}, "network unet: unknown option norm"),
        ({"network": "unet"}, "network unet: missing option features"),
        ({"network": "unet", "features": [4], "dims": 4}, "dims must be 2 or 3, not 4"),
        ({"network": "unet", "features": []}, "features must be one positive number of channels a level, not []"),
        ({"network": "ghostunet", "features": [4], "block": "v2"}, "block must be bottleneck or module, not 'v2'"),
        ({"network": "ghostunet", "features": [4], "ratio": 1}, "ratio must be 2 or more, not 1"),
        ({"network": "resunet", "features": [4], "blocks": [0]}, "blocks must be one positive number of residual"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(options, in_channels=1, classes=2)


def test_bad_norm_is_named():
    with pytest.raises(ValueError, match="norm must be batch, instance or group, not 'layer'"):
        build({"network": "unet", "features": [4]}, in_channels=1, classes=2, norm="layer")


# --- The worked example of the documentation --------------------------------------------------------------------------


def documented(mark):
    """The block of docs/adding-a-network.md that follows a mark."""
    text = (ROOT / "docs" / "adding-a-network.md").read_text()
    (block,) = re.findall(rf"<!-- {re.escape(mark)} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    return block


@pytest.mark.parametrize("mark", ["a study with a network in a file", "a study with a network of MONAI"])
def test_documented_networks_from_elsewhere_work(tmp_path, monkeypatch, mark):
    if "MONAI" in mark and not importlib.util.find_spec("monai"):
        pytest.skip("MONAI is not installed (requirements-monai.txt)")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "net.py").write_text(documented("own/net.py"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for options in yaml.safe_load(documented(mark))["models"].values():
        network = build(options, in_channels=3, classes=7, patch=(32, 48))
        assert network(torch.zeros(1, 3, 32, 48)).shape == (1, 7, 32, 48)


def test_documented_example_works(tmp_path, monkeypatch):
    code, config = documented("networks/context.py"), documented("a study with a network of this repository")
    lines = re.findall(r"^\+    (\{.*\}),$", (ROOT / "docs" / "adding-a-network.md").read_text(), re.MULTILINE)
    (tmp_path / "context.py").write_text(code)
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    try:
        assert "context" in available()
        models = [*yaml.safe_load(config)["models"].values(), *map(yaml.safe_load, lines)]
        assert [model["network"] for model in models] == ["unet", "context", "context", "context"]
        for options in models:
            size = (32, 48) if options["dims"] == 2 else (16, 32, 48)
            network = build(options, in_channels=1, classes=7)
            assert network(torch.zeros(1, 1, *size)).shape == (1, 7, *size)
            assert all(length % network.divisor == 0 for length in size)
    finally:
        sys.modules.pop("organbench.networks.context", None)
