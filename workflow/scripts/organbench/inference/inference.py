"""Whole-volume prediction in bounded memory, back on the original grid."""

import io
import itertools
import math
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from organbench import networks
from organbench.core.errors import InputError
from organbench.core.jobs import Pace
from organbench.data import resampling
from organbench.data.cases import Case
from organbench.data.cases import load as load_case
from organbench.data.grids import Array, Grid
from organbench.data.intensity import AIR_HU
from organbench.data.labels import remove_parts
from organbench.hardware import devices

BODY_HU = -500  # half-way between air and water; lungs lie within the body's box


class Predictor:
    """A trained network and all it needs to turn a CT into probabilities.

    Args:
        network: logits (batch, class, [z,] y, x) from images (batch, channel, [z,] y, x).
        patch: the size it was trained on, [z] y x. The network sees windows of just this size, moved over each slice
            or over the volume: what squeeze-excite averages over is then as large as in training.
        context: neighbouring slices on each side that a 2D network sees as channels.
        window: HU that become -1 and 1.
        device: where to compute.
        precision: `fp32`, `bf16` or `fp16`.
        overlap: share of a window that the next one covers too.
        mirror: average over all flips of the image's axes.
        batch_size: windows computed at once.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        patch: Sequence[int],
        context: int,
        window: Sequence[float],
        device: torch.device,
        precision: str,
        overlap: float = 0.5,
        mirror: bool = False,
        batch_size: int = 8,
    ) -> None:
        self.network, self.patch, self.context, self.window = network, tuple(patch), context, tuple(window)
        self.device, self.precision = device, precision
        self.overlap, self.mirror, self.batch_size = overlap, mirror, batch_size
        self.voxels = 0  # that the network has seen so far

    def probabilities(self, image: Array) -> Iterator[Array]:
        """Consecutive slabs of slices, each (class z y x) float32, that make up the image (int16 HU, z y x).

        Only the box that holds the body is computed; around it all is background.
        """
        rows, columns = body_box(image, self.patch[-2:])
        was_training = self.network.training
        self.network.eval()
        try:
            for inner in self._windows(image[:, rows, columns]):
                slab = np.zeros((*inner.shape[:2], *image.shape[1:]), np.float32)
                slab[0] = 1.0
                slab[:, :, rows, columns] = inner
                yield slab
        finally:
            self.network.train(was_training)

    def labels(self, image: Array) -> Array:
        """The most probable organ index of every voxel, uint8, on the image's own grid (z y x)."""
        return np.concatenate([slab.argmax(axis=0).astype(np.uint8) for slab in self.probabilities(image)])

    @torch.inference_mode()
    def _softmax(self, images: Tensor) -> Tensor:
        """Probabilities (batch, class, [z,] y, x), float32, of images in HU (batch, channel, [z,] y, x)."""
        inputs = scaled(images.to(self.device), self.window)
        inputs = inputs.contiguous(memory_format=devices.memory_format(len(self.patch)))
        axes = range(2, inputs.dim())
        flips = [f for n in range(len(axes) + 1) for f in itertools.combinations(axes, n)] if self.mirror else [()]
        self.voxels += len(flips) * len(inputs) * math.prod(inputs.shape[2:])
        total: Tensor | None = None
        with devices.autocast(self.device, self.precision):
            for flip in flips:
                logits = self.network(inputs.flip(flip) if flip else inputs).float()
                part = logits.softmax(dim=1).flip(flip) if flip else logits.softmax(dim=1)
                total = part if total is None else total + part
        assert total is not None
        return total / len(flips)

    def _windows(self, image: Array) -> Iterator[Array]:
        """Gaussian-weighted sliding windows, as in nnU-Net (Isensee et al. 2021), some layers along z at a time."""
        window = (1,) * (3 - len(self.patch)) + self.patch
        image, inner = padded(image, window)
        weight = gaussian(window)
        z_starts, y_starts, x_starts = (starts(n, w, self.overlap) for n, w in zip(image.shape, window, strict=True))
        layers = -(-self.batch_size // (len(y_starts) * len(x_starts)))  # that are computed together
        groups = [z_starts[first : first + layers] for first in range(0, len(z_starts), layers)]
        span = max(group[-1] - group[0] for group in groups) + window[0]
        total: Array | None = None  # probabilities times weight, (class z y x), from the group's first slice on
        weights = np.zeros((span, *image.shape[1:]), np.float32)
        for group, after in zip(groups, [*(group[0] for group in groups[1:]), len(image)], strict=True):
            corners = list(itertools.product(group, y_starts, x_starts))
            for first in range(0, len(corners), self.batch_size):
                part = corners[first : first + self.batch_size]
                results = self._softmax(torch.from_numpy(np.stack([self._crop(image, corner) for corner in part])))
                if total is None:
                    total = np.zeros((results.shape[1], *weights.shape), np.float32)
                for (z, y, x), result in zip(part, results.cpu().numpy(), strict=True):
                    where = tuple(slice(c, c + w) for c, w in zip((z - group[0], y, x), window, strict=True))
                    total[:, *where] += result.reshape(-1, *window) * weight
                    weights[where] += weight
            assert total is not None
            done = after - group[0]
            low, high = (min(max(z, group[0]), after) - group[0] for z in (inner[0].start, inner[0].stop))
            yield total[:, low:high, *inner[1:]] / weights[low:high, *inner[1:]]
            total[:, : span - done], weights[: span - done] = total[:, done:].copy(), weights[done:].copy()
            total[:, span - done :], weights[span - done :] = 0.0, 0.0

    def _crop(self, image: Array, corner: Sequence[int]) -> Array:
        """The window of an image (HU, z y x) that starts at a corner, (channel, [z,] y, x)."""
        z, y, x = corner
        if len(self.patch) == 2:
            slices = neighbours(z, self.context, len(image))
            return image[slices, y : y + self.patch[0], x : x + self.patch[1]]
        return image[None, z : z + self.patch[0], y : y + self.patch[1], x : x + self.patch[2]]


class Ensemble:
    """Several predictors as one: the mean of their probabilities, each with its own patch, context and precision.

    Args:
        members: one predictor a network; each adds its network and one of its slabs to what memory holds.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        self.members = tuple(members)

    def probabilities(self, image: Array) -> Iterator[Array]:
        """Consecutive slabs of slices, each (class z y x) float32, that make up the image (int16 HU, z y x).

        Members' slabs differ in thickness: a slab here has the slices that all members have ready.
        """
        streams = [member.probabilities(image) for member in self.members]
        ready = [next(stream) for stream in streams]
        done = 0
        while True:
            slices = min(slab.shape[1] for slab in ready)
            total = ready[0][:, :slices].copy()
            for slab in ready[1:]:
                total += slab[:, :slices]
            total /= len(ready)
            yield total
            done += slices
            if done == len(image):
                return
            for number, (slab, stream) in enumerate(zip(ready, streams, strict=True)):
                ready[number] = slab[:, slices:] if slices < slab.shape[1] else next(stream)


def followed(
    predictor: Predictor | Ensemble, image: Array, what: str = "slice", between: Callable[[], None] = lambda: None
) -> Iterator[Array]:
    """A predictor's slabs of an image (int16 HU, z y x), with a line in the job's log now and then.

    `between` is called before every slab is given.
    """
    pace = Pace(len(image), what)
    for slab in predictor.probabilities(image):
        pace.advance(slab.shape[1])
        between()
        yield slab


def scaled(images: Tensor, window: Sequence[float]) -> Tensor:
    """HU as the network sees them: the window's ends become -1 and 1, what lies beyond is cut; float32."""
    low, high = window
    return (images.float().clamp(low, high) - low) * (2.0 / (high - low)) - 1.0


def neighbours(z: int, context: int, slices: int) -> list[int]:
    """The slices from `context` below to `context` above z; the outermost is repeated beyond the volume."""
    return [min(max(z + offset, 0), slices - 1) for offset in range(-context, context + 1)]


def body_box(image: Array, least: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns with anything denser than air in some slice of an image (HU, z y x).

    Where the image allows it they are at least so many (y x), so that a window shows what surrounds the body.
    """
    dense = np.zeros(image.shape[1:], bool)
    for plane in image:
        dense |= plane > BODY_HU
    box = []
    for axis, size in enumerate(least):
        lines = np.flatnonzero(dense.any(axis=1 - axis))
        low, high = (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, 0)
        length = image.shape[1 + axis]
        low = max(0, min(low - max(0, size - (high - low)) // 2, length - size))
        box.append(slice(low, min(length, max(high, low + size))))
    return box[0], box[1]


def padded(image: Array, size: Sequence[int]) -> tuple[Array, tuple[slice, ...]]:
    """An image (HU, z y x) with air around it where it is smaller than the size, and where in it the image lies."""
    pads = [max(0, s - n) for n, s in zip(image.shape, size, strict=True)]
    inner = tuple(slice(pad // 2, pad // 2 + n) for n, pad in zip(image.shape, pads, strict=True))
    around = [(pad // 2, pad - pad // 2) for pad in pads]
    return (np.pad(image, around, constant_values=int(AIR_HU)) if any(pads) else image), inner


def starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows start along an axis: evenly spread from 0 to the end, overlapping by at least that share."""
    stride = max(1, int(window * (1.0 - overlap) + 1e-6))  # whole voxels; 20 * (1 - 0.9) is a bit less than 2
    steps = -(-(length - window) // stride)
    return [round((length - window) * step / max(1, steps)) for step in range(steps + 1)]


def gaussian(patch: Sequence[int]) -> Array:
    """The weight of a window's voxels (z y x), float32: 1 in the centre, sigma an eighth of each axis; never 0."""
    axes = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in patch]
    weight = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    return np.maximum(weight, 1e-4).astype(np.float32)


def run_of(weights: str | Path) -> str:
    """The run, such as unet/fold0-seed0, in whose folder a file lies."""
    return "/".join(Path(weights).parts[-3:-1])


def save(path_or_file: Any, network: nn.Module, recipe: Mapping[str, Any]) -> None:
    """Write weights with all that is needed to rebuild the network: plain values only."""
    weights = {key: value.detach().cpu() for key, value in network.state_dict().items()}
    torch.save({"recipe": dict(recipe), "state_dict": weights}, path_or_file)


def read_archive(path: str | Path) -> dict[str, Any]:
    """Read what `torch.save` wrote, once all checksums in it agree, which torch does not look at.

    Raises:
        OSError: the file cannot be read now, as when a network drive fails; that says nothing about its content.
        ValueError: the file is damaged. Torch and zipfile raise others, but no `OSError`.
    """
    content = io.BytesIO(Path(path).read_bytes())
    with zipfile.ZipFile(content) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"{damaged} is damaged in it")
    content.seek(0)
    return torch.load(content, map_location="cpu", weights_only=True)


def load(path: Any, device: torch.device) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a network from `weights.pt`.

    Returns:
        The network, on the device and in its memory format, and the recipe that `save` was given.

    Raises:
        InputError: the file is damaged or holds something else.
        OSError: it cannot be read now.
    """
    try:
        content = read_archive(path)
        recipe = content["recipe"]
        network = networks.build(
            recipe["network"],
            in_channels=recipe["in_channels"],
            classes=recipe["classes"],
            norm=recipe["norm"],
            deep_supervision=recipe.get("deep_supervision", False),
        )
        network.load_state_dict(content["state_dict"])
        dims = len(recipe["patch"])
    except (OSError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: holds no weights of this workflow ({reason}); delete it to train again") from None
    return devices.place(network, device, dims), recipe


def predict_case(
    predictor: Predictor | Ensemble,
    case: Case,
    smallest_ml: Sequence[float] = (),
    keep_largest: Sequence[int] = (),
    *,
    grid: Grid | None = None,
    what: str = "slice",
    between: Callable[[], None] = lambda: None,
) -> Array:
    """Organ indices of a whole case (uint8, z y x): the one way of predicting, for test and validation cases.

    Args:
        predictor: a trained network, or several.
        case: the prepared case.
        smallest_ml: for each organ the volume (ml) below which a connected part of it is a speck: background.
        keep_largest: organ indices of which only the largest connected part stays.
        grid: the grid of the result, in the working orientation; None: the original one.
        what: what a slice is called in the job's log.
        between: called after every few slices.
    """
    grid = grid or case.oriented
    prediction = resampling.restore(followed(predictor, case.image, what, between), case.working, grid)
    voxels = {organ: math.ceil(ml / grid.voxel_ml - 1e-6) for organ, ml in enumerate(smallest_ml, start=1)}
    for organ in sorted({organ for organ, smallest in voxels.items() if smallest > 1} | set(keep_largest)):
        remove_parts(prediction, organ, smallest=max(1, voxels.get(organ, 1)), only_largest=organ in keep_largest)
    return prediction


def predictor_of(
    network: nn.Module, recipe: Mapping[str, Any], settings: Mapping[str, Any], device: torch.device
) -> Predictor:
    """A network as the study predicts with it.

    Args:
        network: on the device.
        recipe: of the network, see `save`.
        settings: the config's `prediction`.
        device: where to compute.
    """
    return Predictor(
        network,
        patch=recipe["patch"],
        context=recipe["context"],
        window=recipe["window"],
        device=device,
        precision=devices.precision_to_predict(recipe["precision"], device),
        overlap=settings["overlap"],
        mirror=settings["mirror"],
    )


def removal(settings: Mapping[str, Any], organ_ml: Sequence[float], organs: Sequence[str]) -> dict[str, Any]:
    """Which connected parts of a prediction the study takes for specks: the options of `predict_case` of that name.

    Args:
        settings: the config's `prediction`.
        organ_ml: each organ's usual volume in the training cases, in ml.
        organs: names of the organs, in order.
    """
    return {
        "smallest_ml": [settings["smallest_part"] * volume for volume in organ_ml],
        "keep_largest": [organs.index(organ) + 1 for organ in settings["keep_largest"]],
    }


def predict_files(
    weights: Sequence[str | Path], folder: str | Path, settings: Mapping[str, Any], device: torch.device
) -> tuple[Array, Case, dict[str, Any]]:
    """Predict a prepared case with the network of one `weights.pt`, or the mean of several.

    Args:
        weights: files that `save` wrote.
        folder: the prepared case's folder.
        settings: the config's `prediction`.
        device: where to compute.

    Returns:
        Organ indices on the original grid, in the working orientation (uint8, z y x); the case; and what it cost.

    Raises:
        InputError: weights are damaged, or of another run than the one in whose folder they lie.
    """
    networks, recipes = zip(*(load(path, device) for path in weights), strict=True)
    for path, recipe in zip(weights, recipes, strict=True):
        if recipe["run"] != run_of(path):
            raise InputError(
                f"{path}: holds the weights of {recipe['run']}; put them back, or delete it to train again"
            )
    predictors = [
        predictor_of(network, recipe, settings, device) for network, recipe in zip(networks, recipes, strict=True)
    ]
    organ_ml = np.median([recipe["organ_ml"] for recipe in recipes], axis=0).tolist()  # they differ from fold to fold
    case = load_case(folder)
    started = time.monotonic()
    with devices.energy_meter(device) as meter:
        prediction = predict_case(
            predictors[0] if len(predictors) == 1 else Ensemble(predictors),
            case,
            **removal(settings, organ_ml, recipes[0]["organs"]),
        )
    return (
        prediction,
        case,
        {
            "case": case.name,
            "voxels": int(np.prod(case.original.size)),
            "parameters": sum(recipe["parameters"] for recipe in recipes),
            "multiply_adds": sum(
                round(recipe["multiply_adds_per_voxel"] * predictor.voxels)
                for recipe, predictor in zip(recipes, predictors, strict=True)
            ),
            "prediction_seconds": round(time.monotonic() - started, 3),
            "precision": ", ".join(dict.fromkeys(predictor.precision for predictor in predictors)),
            **meter.joules(),
            **devices.peak_memory(device),
            **devices.describe(device),
        },
    )
