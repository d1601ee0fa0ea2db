"""Networks of other packages and of one's own files: how they are found, built, mended and refused."""

import hashlib
import sys
from importlib.metadata import version

import pytest
import torch
from torch import nn

from organbench.core import outside
from organbench.core.errors import InputError
from organbench.networks import blocks, build, imported

NET = """
from torch import nn
import layers

class Net(nn.Module):
    def __init__(self, in_channels, num_classes, spatial_dims=2, width=4, norm=None):
        super().__init__()
        self.asked = {"dims": spatial_dims, "norm": norm}
        self.body = layers.make(spatial_dims, in_channels, width)
        self.head = layers.make(spatial_dims, width, num_classes)
    def forward(self, image):
        return self.head(self.body(image).relu())

class Several(Net):
    def __init__(self, kind="list", **others):
        super().__init__(**others)
        self.kind = kind
    def forward(self, image):
        logits = super().forward(image)
        if self.kind == "dict":
            return {"out": logits}
        if self.kind == "stacked":
            import torch
            return torch.stack([logits, 2 * logits], dim=1)
        return {"list": list, "tuple": tuple}[self.kind]([logits, logits[..., ::2]])

class Anything(nn.Module):
    def __new__(cls, **options):
        return Net(**options)
    def __init__(self, **options):
        pass

class Deep(Several):
    def __init__(self, deep_supervision=False, **others):
        super().__init__(**others)

def make(in_channels, classes):
    return Net(in_channels, classes)

def nothing(in_channels, classes):
    return None
"""
LAYERS = """
from torch import nn

def make(dims, i, o):
    return (nn.Conv2d if dims == 2 else nn.Conv3d)(i, o, {kernel}, padding={kernel} // 2)
"""


@pytest.fixture
def net(tmp_path):
    """A file outside the repository; gives the names of what it defines."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "layers.py").write_text(LAYERS.format(kernel=3))
    before = set(sys.path), set(sys.modules)
    yield lambda name: f"{tmp_path}/net.py:{name}"
    sys.path[:] = [path for path in sys.path if path in before[0]]
    for module in set(sys.modules) - before[1]:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


def made(name, **options):
    shared = {"in_channels": 2, "classes": 3, "patch": (8, 16), "norm": "instance"}
    deep = {"deep_supervision": options.pop("deep_supervision", False)}
    return build({"network": name, **options}, **shared, **deep)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("monai.networks.nets.SegResNet", True),
        ("/a/net.py:Net", True),
        ("net.py:Net", True),
        ("../net.py:Net", True),
        ("unet", False),
        ("../unet", False),
        ("/a/b.c", False),
        ("", False),
        (None, False),
    ],
)
def test_the_form_of_a_name_tells_where_a_network_is(name, found):
    assert outside.is_outside(name) is found


def test_what_networks_share_gets_the_names_of_the_constructor(net):
    network = made(net("Net"), width=6, dims=3)
    assert network.asked == {"dims": 3, "norm": "instance"}
    assert network.body.weight.shape == (6, 2, 3, 3, 3)
    assert network.head.weight.shape == (3, 6, 3, 3, 3)


def test_names_can_be_given_and_left_out(net):
    with pytest.raises(ValueError, match=r"what it calls in_channels \(it takes any keyword\); say so, as in map:"):
        made(net("Anything"))
    names = {"in_channels": "in_channels", "classes": "num_classes", "dims": "spatial_dims"}
    assert made(net("Anything"), map=names).asked == {"dims": 2, "norm": None}
    assert made(net("Net"), map={"norm": None}).asked["norm"] is None
    assert made(net("Net"), norm="mine").asked["norm"] == "mine"
    assert isinstance(made(net("make")), nn.Module)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Net", {"widht": 3}, r"unknown option widht; it takes in_channels, num_classes"),
        ("Net", {"map": {"norm": "norm_type"}}, r"unknown option norm_type; it takes in_channels"),
        (
            "Net",
            {"map": {"channels": "c"}},
            r"map has no channels; it may name in_channels, classes, dims, ",
        ),
        ("Nett", {}, r"there is no Nett in it; did you mean Net\?"),
        ("nothing", {}, r"makes a NoneType; name a class of torch.nn.Module"),
        ("Net", {"deep_supervision": True}, r"offers no deep supervision; set training.deep_supervision to false"),
    ],
)
def test_what_does_not_fit_is_named(net, name, options, message):
    with pytest.raises(ValueError, match=message):
        made(net(name), **options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.networks.Net", "there is no module nowhere"),
        ("torch.nn.Nothing", "there is no Nothing in it"),
        ("nowhere/net.py:Net", r"there is no file nowhere/net.py"),
        ("net.txt:Net", r"write file.py:Class"),
    ],
)
def test_what_is_not_there_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        made(name)


@pytest.mark.parametrize("kind", ["list", "tuple", "stacked"])
def test_the_first_of_several_outputs_is_the_logits(net, kind):
    network = made(net("Several"), kind=kind)
    image = torch.zeros(1, 2, 8, 16)
    assert network(image).shape == network.eval()(image).shape == (1, 3, 8, 16)
    deep = made(net("Deep"), kind=kind, deep_supervision=True)
    assert [part.shape[0] for part in deep(image)] == [1, 1]
    assert deep.eval()(image).shape == (1, 3, 8, 16)


def test_other_outputs_are_refused(net):
    with pytest.raises(ValueError, match="gives a dict, and not logits; name a class in a file of your own"):
        made(net("Several"), kind="dict")(torch.zeros(1, 2, 8, 16))


def test_plain_3d_convolutions_are_mended(net):
    network = made(net("Net"), dims=3)
    assert type(network.body) is type(network.head) is blocks.Conv3d
    assert list(network.state_dict()) == ["body.weight", "body.bias", "head.weight", "head.bias"]
    theirs = nn.Conv3d(2, 3, 3, padding=1)
    ours = nn.Sequential(nn.Conv3d(2, 3, 3, padding=1))
    ours[0].load_state_dict(theirs.state_dict())
    imported.mend_convolutions(ours)
    image = torch.randn(2, 2, 4, 8, 8)
    assert torch.equal(ours(image), theirs(image))
    thin = torch.randn(2, 2, 2, 8, 8)
    (expected,) = torch.autograd.grad(theirs(thin).square().sum(), theirs.weight)
    with torch.autocast("cpu", torch.bfloat16):
        logits = ours(thin)
    (gradient,) = torch.autograd.grad(logits.float().square().sum(), ours[0].weight)
    torch.testing.assert_close(gradient, expected, rtol=0.05, atol=0.02 * expected.abs().max().item())


def test_each_file_has_the_modules_of_its_own_folder(net, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "net.py").write_text(NET)
    (other / "layers.py").write_text(LAYERS.format(kernel=1))
    for _ in range(2):
        assert made(net("Net")).body.kernel_size == (3, 3)
        assert made(f"{other}/net.py:Net").body.kernel_size == (1, 1)


def test_code_counts_by_what_files_do_and_not_by_where_they_are(net, tmp_path):
    code = outside.code_of(net("Net"))
    assert list(code) == ["imported/net.py", "imported/layers.py"]
    assert outside.without_place(net("Net")) == "net.py:Net"
    layers = tmp_path / "layers.py"
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("net.py", "layers.py"):
        (moved / name).write_text("# a comment\n" + (tmp_path / name).read_text())
    assert outside.code_of(f"{moved}/net.py:Net") == code
    (moved / "layers.py").write_text(layers.read_text().replace("3", "5"))
    outside.provenance.tree.cache_clear()
    outside.provenance.file_fingerprint.cache_clear()
    changed = outside.code_of(f"{moved}/net.py:Net")
    assert changed["imported/net.py"] == code["imported/net.py"]
    assert changed["imported/layers.py"] != code["imported/layers.py"]
    assert outside.packages(net("Several")) >= {"torch", "layers"}
    (moved / "layers.py").write_text("import monai")
    outside.provenance.tree.cache_clear()
    assert outside.code_of(f"{moved}/net.py:Net", {"monai": "1.6.1"})["monai"] == "monai==1.6.1"


def test_packages_that_a_file_imports_count_by_their_versions(net, tmp_path):
    assert "scipy" not in outside.code_of(net("Net"))
    text = (
        "import json, yaml, numpy\nfrom scipy import ndimage\ntry:\n    import nowhere\nexcept ImportError:\n    pass\n"
    )
    (tmp_path / "net.py").write_text(text + NET)
    outside.provenance.tree.cache_clear()
    outside.provenance.imported.cache_clear()
    found = {name: told for name, told in outside.code_of(net("Net")).items() if "==" in told}
    # neither Python's own nor files beside it, nor what is told of our own networks too; yaml is of PyYAML
    assert found == {"scipy": f"scipy=={version('scipy')}", "yaml": f"yaml=={version('PyYAML')}"}
    pinned = outside.code_of(net("Net"), {"scipy": "9.9", "monai": "1.6.1"})
    assert {told for told in pinned.values() if "==" in told} == {"scipy==9.9"}


def test_code_of_a_package_is_its_version():
    torch_version = torch.__version__.partition("+")[0]  # whatever it was built for
    assert outside.code_of("torch.nn.Identity") == {"torch": f"torch=={torch_version}"}
    assert outside.code_of("monai.networks.nets.SegResNet", {"monai": "1.6.1"}) == {"monai": "monai==1.6.1"}
    assert outside.packages("monai.networks.nets.SegResNet") == {"monai"}
    with pytest.raises(InputError, match=r"there is no package nowhere; run pip install nowhere"):
        outside.code_of("nowhere.Net")


def test_a_file_that_cannot_be_followed_is_named(tmp_path):
    for text, message in (("from . import layers", "name the module in full"), ("def", "invalid syntax")):
        file = tmp_path / f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.py"
        file.write_text(text)
        with pytest.raises(InputError, match=rf"network .*: .*{message}.*; mend the file"):
            outside.files_of(f"{file}:Net")
