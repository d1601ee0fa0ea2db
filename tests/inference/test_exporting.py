"""What is exported computes what torch does, in 2D and 3D, and says which sizes it takes."""

import json

import numpy as np
import pytest
import torch
from packs import network_of, recipe_of
from tiny import GHOSTUNET, PREDICTION, UNET
from torch import nn

from organbench.core.errors import InputError
from organbench.core.files import tuples
from organbench.data import scans
from organbench.data.grids import STRAIGHT, Grid
from organbench.inference import exporting
from organbench.inference.prediction import Predictor
from organbench.inference.settings import Prediction

CPU = torch.device("cpu")


def scan_of(shape=(24, 40, 36)):
    hu = np.random.default_rng(3).integers(-1024, 1000, shape).astype(np.int16)
    grid = Grid(shape[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), STRAIGHT)
    return scans.Scan(hu, grid, grid, grid, "LPS")


def predictor_of(recipe, network=None):
    return Predictor((network or network_of(recipe)).eval(), recipe, Prediction(**tuples(PREDICTION)), CPU)


def check_onnx(path, network, recipe, size, batch):
    runtime = pytest.importorskip("onnxruntime", reason="requirements-onnx.txt is not installed")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    hu = torch.randint(-1000, 1000, (batch, recipe.in_channels, *size)).float()
    (found,) = session.run(["probabilities"], {"hu": hu.numpy()})
    with torch.inference_mode():
        low, high = recipe.window
        wanted = network((hu.clamp(low, high) - low) * (2 / (high - low)) - 1).softmax(1)
    assert np.allclose(found, wanted.numpy(), rtol=0, atol=1e-4)
    said = session.get_modelmeta().custom_metadata_map["organbench"]
    assert json.loads(said) == {"name": "tiny"}


@pytest.mark.parametrize(
    ("network", "patch", "context"),
    [
        (UNET, (16, 16), 0),
        (UNET, (16, 8), 1),
        (GHOSTUNET, (16, 16), 0),
        ({"network": "resunet", "dims": 2, "features": [4, 8]}, (16, 16), 0),
        ({**UNET, "dims": 3}, (8, 16, 16), 0),
        ({**GHOSTUNET, "dims": 3}, (8, 16, 16), 0),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_exports_agree_with_torch_at_several_sizes(tmp_path, network, patch, context, kind):
    if kind == "onnx":
        pytest.importorskip("onnx", reason="requirements-onnx.txt is not installed")
    recipe = recipe_of(network, patch=patch, context=context)
    predictor = predictor_of(recipe)
    path = tmp_path / "network"
    found = exporting.export(predictor, kind, path, scan_of(), {"name": "tiny"})
    assert found.free == ("batch", "size")
    assert found.shape == (1, recipe.in_channels, *patch)
    assert found.difference < 1e-4
    assert found.agreeing > 0.999
    larger = tuple(size + 8 for size in patch)
    if kind == "onnx":
        check_onnx(path, predictor.network, recipe, patch, 3)
        check_onnx(path, predictor.network, recipe, larger, 1)
    else:
        hu = torch.zeros(2, recipe.in_channels, *larger)
        assert torch.jit.load(path)(hu).shape == (2, 3, *larger)
    assert "Checked against PyTorch" in exporting.words(found, "the CT")


class OfOneSize(nn.Module):
    """A network whose size is part of its weights, as of those with embedded positions."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.randn(3, 16, 16))

    def forward(self, image):
        return image + self.place


class Random(nn.Module):
    """A network that computes something else each time."""

    def forward(self, image):
        return torch.cat([image * torch.rand(()).item(), image * 0, image], 1)


def test_a_network_of_one_size_is_exported_for_it(tmp_path):
    pytest.importorskip("onnxruntime", reason="requirements-onnx.txt is not installed")
    recipe = recipe_of(patch=(16, 16))
    found = exporting.export(
        predictor_of(recipe, OfOneSize()), "onnx", tmp_path / "a.onnx", scan_of(), {"name": "tiny"}
    )
    assert found.free == ("batch",)
    assert "no other ones" in exporting.words(found, "the CT")


def test_what_computes_something_else_is_not_kept(tmp_path):
    predictor = predictor_of(recipe_of(patch=(16, 16)), Random())
    with pytest.raises(InputError, match=r"cannot be exported as torchscript \(its probabilities differ"):
        exporting.export(predictor, "torchscript", tmp_path / "a.pt", scan_of(), {})
    assert list(tmp_path.iterdir()) == []


def test_a_scan_smaller_than_a_window_will_do(tmp_path):
    predictor = predictor_of(recipe_of(patch=(16, 16), context=1))
    assert exporting.export(predictor, "torchscript", tmp_path / "a.pt", scan_of((1, 5, 4)), {}).difference < 1e-4
