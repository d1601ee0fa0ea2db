"""A case predicted as the study asks: by networks that turn a whole CT into probabilities, in bounded memory."""

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from organbench.core.errors import InputError
from organbench.core.jobs import Pace
from organbench.data import cases, labels, resampling
from organbench.data.grids import Array, Grid
from organbench.hardware import devices
from organbench.inference import weights, windows
from organbench.inference.settings import Prediction, Specks


class Predicts(Protocol):
    """A network, or several, that turn a CT into probabilities."""

    def probabilities(self, image: Array) -> Iterator[Array]:
        """Consecutive slabs of slices, each (class z y x) float32, that make up the image (int16 HU, z y x)."""


@dataclass
class Predictor:
    """A trained network and all it needs to turn a CT into probabilities.

    Attributes:
        network: logits (batch, class, [z,] y, x) from images (batch, channel, [z,] y, x).
        recipe: of the network. It sees windows of just the size of the patch, moved over each slice or over the volume:
            what squeeze-excite averages over is then as large as in training.
        settings: how the study predicts.
        device: where to compute, and where the network is.
        batch_size: windows computed at once.
        voxels: that the network has seen so far.
    """

    network: nn.Module
    recipe: weights.Recipe
    settings: Prediction
    device: torch.device
    batch_size: int = 8
    voxels: int = 0

    @property
    def precision(self) -> str:
        """The one of the training, but fp32 for fp16 on a CPU; the weights are fp32 anyway."""
        return "fp32" if self.recipe.precision == "fp16" and self.device.type == "cpu" else self.recipe.precision

    def probabilities(self, image: Array) -> Iterator[Array]:
        """Consecutive slabs of slices, each (class z y x) float32, that make up the image (int16 HU, z y x).

        Only the box that holds the body is computed; around it all is background.
        """
        rows, columns = windows.body_box(image, self.recipe.patch[-2:])
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

    @torch.inference_mode()
    def _softmax(self, images: Tensor) -> Tensor:
        """Probabilities (batch, class, [z,] y, x), float32, of images in HU (batch, channel, [z,] y, x)."""
        inputs = windows.scaled(images.to(self.device), self.recipe.window)
        inputs = inputs.contiguous(memory_format=devices.memory_format(len(self.recipe.patch)))
        flips = self._flips(inputs.dim()) if self.settings.mirror else [()]
        self.voxels += len(flips) * len(inputs) * math.prod(inputs.shape[2:])
        with devices.autocast(self.device, self.precision):
            parts = (self._flipped(inputs, flip) for flip in flips)
            total: Tensor = functools.reduce(torch.add, parts)
        return total / len(flips)

    def _flips(self, dims: int) -> list[tuple[int, ...]]:
        """The axes of each flip that a network was trained with, and so knows; the first flips none."""
        axes = sorted(dims - 1 - "xyz".index(axis) for axis in self.recipe.flips)
        known = [axis for axis in axes if axis > 1]  # a network in 2D has no z
        return [flip for count in range(len(known) + 1) for flip in itertools.combinations(known, count)]

    def _flipped(self, inputs: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Probabilities of inputs that the network sees flipped along some axes, flipped back."""
        found: Tensor = self.network(inputs.flip(axes)).float().softmax(dim=1).flip(axes)
        pairs = self.recipe.mirrored if inputs.dim() - 1 in axes else ()
        return found[:, windows.exchanging(pairs, found.shape[1])] if pairs else found

    def _windows(self, image: Array) -> Iterator[Array]:
        """Gaussian-weighted sliding windows, as in nnU-Net (Isensee et al. 2021), some layers along z at a time."""
        window = (1,) * (3 - len(self.recipe.patch)) + self.recipe.patch
        image, inner = windows.padded(image, window)
        weight = windows.gaussian(window)
        axes = zip(image.shape, window, strict=True)
        z_starts, y_starts, x_starts = (windows.starts(length, size, self.settings.overlap) for length, size in axes)
        layers = -(-self.batch_size // (len(y_starts) * len(x_starts)))  # that are computed together
        groups = [z_starts[first : first + layers] for first in range(0, len(z_starts), layers)]
        span = max(group[-1] - group[0] for group in groups) + window[0]
        total: Array | None = None  # probabilities times weight, (class z y x), from the group's first slice on
        weighed = np.zeros((span, *image.shape[1:]), np.float32)
        for group, after in zip(groups, [*(group[0] for group in groups[1:]), len(image)], strict=True):
            corners = list(itertools.product(group, y_starts, x_starts))
            for first in range(0, len(corners), self.batch_size):
                part = corners[first : first + self.batch_size]
                results = self._softmax(torch.from_numpy(np.stack([self.crop(image, corner) for corner in part])))
                if total is None:
                    total = np.zeros((results.shape[1], *weighed.shape), np.float32)
                for (z, y, x), result in zip(part, results.cpu().numpy(), strict=True):
                    where = tuple(slice(c, c + w) for c, w in zip((z - group[0], y, x), window, strict=True))
                    total[:, *where] += result.reshape(-1, *window) * weight
                    weighed[where] += weight
            assert total is not None
            done = after - group[0]
            low, high = (min(max(z, group[0]), after) - group[0] for z in (inner[0].start, inner[0].stop))
            yield total[:, low:high, *inner[1:]] / weighed[low:high, *inner[1:]]
            total[:, : span - done], weighed[: span - done] = total[:, done:].copy(), weighed[done:].copy()
            total[:, span - done :], weighed[span - done :] = 0.0, 0.0

    def crop(self, image: Array, corner: Sequence[int]) -> Array:
        """The window of an image (HU, z y x) that starts at a corner, (channel, [z,] y, x)."""
        (z, y, x), (*depth, rows, columns) = corner, self.recipe.patch
        part = image[:, y : y + rows, x : x + columns]
        return part[None, z : z + depth[0]] if depth else part[windows.neighbours(z, self.recipe.context, len(image))]


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


def predict_case(
    predictor: Predicts,
    case: cases.Case,
    specks: Specks | None = None,
    *,
    grid: Grid | None = None,
    what: str = "slice",
    between: Callable[[], None] = lambda: None,
) -> Array:
    """Organ indices of a whole case (uint8, z y x): the one way of predicting, for test and validation cases.

    Args:
        predictor: a trained network, or several.
        case: the prepared case.
        specks: which connected parts become background.
        grid: the grid of the result, in the working orientation; None: the original one.
        what: what a slice is called in the job's log.
        between: called after every few slices.
    """
    grid, pace = grid or case.oriented, Pace(len(case.image), what)

    def slabs() -> Iterator[Array]:
        for slab in predictor.probabilities(case.image):
            pace.advance(slab.shape[1])
            between()
            yield slab

    prediction = resampling.restore(slabs(), case.working, grid)
    for organ, (ml, only_largest) in (specks or {}).items():
        smallest = max(1, math.ceil(ml / grid.voxel_ml - 1e-6))
        if smallest > 1 or only_largest:
            labels.remove_parts(prediction, organ, smallest=smallest, only_largest=only_largest)
    return prediction


def together(predictors: Sequence[Predictor]) -> Predictor | Ensemble:
    """One predictor as it is, or the mean of several."""
    return predictors[0] if len(predictors) == 1 else Ensemble(predictors)


def specks_of(predictors: Sequence[Predictor], organs: Sequence[str]) -> Specks:
    """Which connected parts are specks of what one predictor, or several together, predict of organs."""
    volumes = [predictor.recipe.organ_ml for predictor in predictors]  # they differ from fold to fold
    return predictors[0].settings.specks(np.median(volumes, axis=0).tolist(), organs)


def predict_files(
    paths: Sequence[str | Path],
    folder: str | Path,
    settings: Prediction,
    device: torch.device,
    organs: Sequence[str] = (),
    networks: Sequence[str | None] = (),
) -> tuple[Array, cases.Case, dict[str, Any]]:
    """Predict a prepared case with the network of one `weights.pt`, or the mean of several.

    Args:
        paths: files that `weights.save` wrote.
        folder: the prepared case's folder.
        settings: how the study predicts.
        device: where to compute.
        organs: names of the organs, in order, as `settings` call them; by default as they were called in training.
        networks: name of each file's network; by default as it was in training.

    Returns:
        Organ indices on the original grid, in the working orientation (uint8, z y x); the case; and what it cost.

    Raises:
        InputError: weights are damaged, or of another run than the one in whose folder they lie.
    """
    predictors = []
    for path, name in zip(paths, networks or [None] * len(paths), strict=True):
        network, recipe = weights.load(path, device, name)
        if not weights.belongs(path, recipe):
            raise InputError(f"{path}: holds the weights of {recipe.run}; put them back, or delete it to train again")
        predictors.append(Predictor(network, recipe, settings, device))
    case = cases.load(folder)
    started = time.monotonic()
    with devices.energy_meter(device) as meter:
        specks = specks_of(predictors, organs or predictors[0].recipe.organs)
        prediction = predict_case(together(predictors), case, specks)
    cost = {
        "case": case.name,
        "voxels": int(np.prod(case.original.size)),
        "parameters": sum(predictor.recipe.parameters for predictor in predictors),
        "multiply_adds": sum(round(p.recipe.multiply_adds_per_voxel * p.voxels) for p in predictors),
        "prediction_seconds": round(time.monotonic() - started, 3),
        "precision": ", ".join(dict.fromkeys(predictor.precision for predictor in predictors)),
        **meter.joules(),
        **devices.peak_memory(device),
        **devices.describe(device),
    }
    return prediction, case, cost
