"""A packed model's networks for other programs: ONNX or TorchScript, from HU to probabilities, checked against torch.

What is exported computes in fp32 and holds the window of HU and the softmax. Windows that are moved over a scan, the
spacing and the clearing of specks stay with whoever runs it (docs/new-patients.md).
"""

import io
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from organbench.core.errors import InputError
from organbench.core.files import atomic
from organbench.data import scans
from organbench.data.grids import Array
from organbench.inference import windows
from organbench.inference.prediction import Predictor

OPSET = 17
MOST_DIFFERENT = 1e-3  # of a probability: what other orders of sums may do to it in fp32
FORMATS = {"onnx": ".onnx", "torchscript": ".pt"}
INPUT, OUTPUT = "hu", "probabilities"
Runs = Callable[[Tensor], Tensor]


class Probabilities(nn.Module):
    """A network as it is exported: probabilities (batch, class, [z,] y, x) of HU (batch, channel, [z,] y, x)."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.network, self.window = predictor.network, predictor.recipe.window

    def forward(self, hu: Tensor) -> Tensor:
        """Float32 of float32."""
        found: Tensor = self.network(windows.scaled(hu, self.window)).softmax(dim=1)
        return found


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        free: what of its input may have another size than in training: `batch`, `size`.
        shape: of its input in training, with a batch of 1.
        difference: the largest of a probability from torch's.
        agreeing: share of voxels with the same most probable class.
    """

    path: Path
    free: tuple[str, ...]
    shape: tuple[int, ...]
    difference: float
    agreeing: float


def export(predictor: Predictor, kind: str, path: Path, scan: scans.Scan, said: Mapping[str, Any]) -> Exported:
    """Export a network with as much freedom of sizes as comes out right, and check it on a scan.

    Args:
        predictor: on the CPU.
        kind: `onnx` or `torchscript`.
        path: the file.
        scan: on the model's grid; its middle is what both are given.
        said: what the file says of itself, as JSON.

    Raises:
        InputError: the network cannot be exported, or the file computes something else than torch.
    """
    module = Probabilities(predictor).eval()
    usual = patch_of(predictor, scan, predictor.recipe.patch)
    other = other_size(predictor)
    more = patch_of(predictor, scan, other)
    tried = {
        ("batch", "size"): [usual, torch.cat([usual, usual.flip(-1)]), more],
        ("batch",): [usual, torch.cat([usual, usual.flip(-1)])],
        (): [usual],
    }
    reason = ""
    for free, patches in tried.items():
        try:
            with atomic(path) as temporary, quiet():
                runs = WRITERS[kind](module, usual, temporary, free, said)
                difference, agreeing = compared(module, runs, patches)
                if not difference <= MOST_DIFFERENT:
                    raise ValueError(f"its probabilities differ from torch's by up to {difference:.2g}")
            return Exported(path, free, tuple(usual.shape), difference, agreeing)
        except (InputError, ImportError):
            raise
        except Exception as error:  # torch, onnx and onnxruntime raise many
            reason = " ".join(str(error).split())[:200] or type(error).__name__
    raise InputError(f"{path}: the network cannot be exported as {kind} ({reason}); try the other format")


def other_size(predictor: Predictor) -> tuple[int, ...]:
    """Another size of windows that the network takes, larger than in training."""
    divisor = getattr(predictor.network, "divisor", 1)
    step = max(1, math.ceil(16 / divisor)) * divisor
    return tuple(size + step for size in predictor.recipe.patch)


def patch_of(predictor: Predictor, scan: scans.Scan, size: Sequence[int]) -> Tensor:
    """What a network would be given of the middle of a patient: HU (1, channel, [z,] y, x), float32."""
    whole = replace(predictor, recipe=replace(predictor.recipe, patch=tuple(size)))
    box = windows.body_box(scan.image, size[-2:])
    image, _ = windows.padded(scan.image[:, *box], (1,) * (3 - len(size)) + tuple(size))
    lengths = (1,) * (3 - len(size)) + tuple(size)
    corner = [(n - length) // 2 for n, length in zip(image.shape, lengths, strict=True)]
    return torch.from_numpy(whole.crop(image, corner)[None].astype(np.float32))


@torch.inference_mode()
def compared(module: nn.Module, runs: Runs, patches: Sequence[Tensor]) -> tuple[float, float]:
    """The largest difference of a probability, and the share of voxels whose most probable class is the same."""
    difference, same, count = 0.0, 0, 0
    for patch in patches:
        ours, theirs = module(patch), runs(patch)
        if ours.shape != theirs.shape:
            raise ValueError(f"its output has the shape {tuple(theirs.shape)} and torch's {tuple(ours.shape)}")
        difference = max(difference, float((ours - theirs).abs().nan_to_num(math.inf).max()))
        agree = ours.argmax(1) == theirs.argmax(1)
        same, count = same + int(agree.sum()), count + agree.numel()
    return difference, same / count


def write_onnx(module: nn.Module, example: Tensor, path: Path, free: Sequence[str], said: Mapping[str, Any]) -> Runs:
    """Write ONNX; returns what runs it."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise InputError(f"--format onnx: there is no package {error.name}; run pip install organbench[onnx]") from None
    axes = {0: "batch"} if "batch" in free else {}
    axes |= dict(zip((-1, -2, -3), "xyz", strict=True)) if "size" in free else {}
    dims = example.dim()
    named = {axis % dims: name for axis, name in axes.items() if axis % dims != 1}
    torch.onnx.export(
        module,
        (example,),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes=dict.fromkeys((INPUT, OUTPUT), named) if named else None,
    )
    written = onnx.load(str(path))
    onnx.helper.set_model_props(written, {"organbench": json.dumps(said)})
    onnx.checker.check_model(written)
    onnx.save(written, str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(patch: Tensor) -> Tensor:
        array: Array = session.run([OUTPUT], {INPUT: patch.numpy()})[0]
        return torch.from_numpy(array)

    return run


def write_torchscript(
    module: nn.Module, example: Tensor, path: Path, free: Sequence[str], said: Mapping[str, Any]
) -> Runs:
    """Write TorchScript, traced; returns what runs it."""
    traced = torch.jit.trace(module, (example,), check_trace=False)
    buffer = io.BytesIO()  # so that the archive does not hold the file's temporary name
    torch.jit.save(traced, buffer, _extra_files={"organbench.json": json.dumps(said).encode()})
    path.write_bytes(buffer.getbuffer())
    run: Runs = torch.jit.load(str(path), map_location="cpu")
    return run


WRITERS = {"onnx": write_onnx, "torchscript": write_torchscript}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the advice of exporters to their developers off the screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def words(exported: Exported, channels: str) -> str:
    """What was exported, as a section of the model's card."""
    batch, free = "any number", exported.free
    shape = " x ".join(["batch", *map(str, exported.shape[1:])])
    sizes = "also other ones" if "size" in free else "no other ones"
    return (
        f"## {exported.path.name}\n\n"
        f"Input `{INPUT}`: float32, HU, {shape} (batch, {channels}, {'z, ' if len(exported.shape) == 5 else ''}y, x), "
        f"in LPS orientation on the spacing above; "
        f"{batch if 'batch' in free else 'one'} at a time. These are the sizes of training; it takes {sizes}"
        f"{', which a network with squeeze-and-excitation sees in another way' if 'size' in free else ''}. "
        f"Output `{OUTPUT}`: float32, class 0 is background, then the organs in the order above. Checked against "
        f"PyTorch on a scan: probabilities differ by at most {exported.difference:.1g}, and {exported.agreeing:.4%} of "
        "voxels have the same most probable class.\n"
    )
