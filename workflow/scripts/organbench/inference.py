"""Whole-volume prediction in bounded memory, back on the original grid."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from organbench import devices, networks, sampling, volumes
from organbench.augmentation import scaled
from organbench.cases import Case
from organbench.errors import InputError
from organbench.volumes import Array


class Predictor:
    """A trained network and all it needs to turn a CT into probabilities.

    Args:
        network: logits (batch, class, [z,] y, x) from images (batch, channel, [z,] y, x).
        patch: the size it was trained on, [z] y x. A 2D network sees whole slices, padded to at least the patch; a 3D
            network a window of the patch's size, moved over the volume.
        context: neighbouring slices on each side that a 2D network sees as channels.
        window: HU that become -1 and 1.
        device: where to compute.
        precision: `fp32`, `bf16` or `fp16`.
        overlap: share of a window that the next one covers too (3D).
        mirror: average over all flips of the image's axes.
        batch_size: slices or windows computed at once.
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

    def probabilities(self, image: Array) -> Iterator[Array]:
        """Consecutive slabs of slices, each (class z y x) float32, that make up the image (int16 HU, z y x)."""
        was_training = self.network.training
        self.network.eval()
        try:
            yield from self._slices(image) if len(self.patch) == 2 else self._windows(image)
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
        total: Tensor | None = None
        with devices.autocast(self.device, self.precision):
            for flip in flips:
                logits = self.network(inputs.flip(flip) if flip else inputs).float()
                part = logits.softmax(dim=1).flip(flip) if flip else logits.softmax(dim=1)
                total = part if total is None else total + part
        assert total is not None
        return total / len(flips)

    def _slices(self, image: Array) -> Iterator[Array]:
        depth, rows, columns = image.shape
        divisor = int(self.network.divisor)  # type: ignore[arg-type]
        height, width = (-(-max(n, p) // divisor) * divisor for n, p in zip((rows, columns), self.patch, strict=True))
        top, left = (height - rows) // 2, (width - columns) // 2
        for start in range(0, depth, self.batch_size):
            slices = range(start, min(start + self.batch_size, depth))
            padded = np.full((len(slices), 2 * self.context + 1, height, width), volumes.AIR_HU, np.int16)
            inner = padded[:, :, top : top + rows, left : left + columns]
            for target, z in zip(inner, slices, strict=True):
                target[...] = image[sampling.neighbours(z, self.context, depth)]
            result = self._softmax(torch.from_numpy(padded))[:, :, top : top + rows, left : left + columns]
            yield np.ascontiguousarray(result.cpu().numpy().swapaxes(0, 1))

    def _windows(self, image: Array) -> Iterator[Array]:
        """Gaussian-weighted sliding windows, as in nnU-Net (Isensee et al. 2021), one layer along z at a time."""
        pads = [max(0, p - n) for n, p in zip(image.shape, self.patch, strict=True)]
        before = [pad // 2 for pad in pads]
        if any(pads):
            image = np.pad(
                image,
                [(first, pad - first) for first, pad in zip(before, pads, strict=True)],
                constant_values=int(volumes.AIR_HU),
            )
        weight = gaussian(self.patch)
        z_starts, y_starts, x_starts = (
            starts(n, p, self.overlap) for n, p in zip(image.shape, self.patch, strict=True)
        )
        depth = self.patch[0]
        total: Array | None = None  # probabilities times weight, (class z y x), from slice `at` on
        weights = np.zeros((depth, *image.shape[1:]), np.float32)
        corners = list(itertools.product(y_starts, x_starts))
        keep = (
            slice(before[1], image.shape[1] - (pads[1] - before[1])),
            slice(before[2], image.shape[2] - (pads[2] - before[2])),
        )
        last_slice = image.shape[0] - (pads[0] - before[0])
        for at, after in zip(z_starts, [*z_starts[1:], image.shape[0]], strict=True):
            for first in range(0, len(corners), self.batch_size):
                part = corners[first : first + self.batch_size]
                crops = np.stack(
                    [image[at : at + depth, y : y + self.patch[1], x : x + self.patch[2]] for y, x in part]
                )
                results = self._softmax(torch.from_numpy(crops)[:, None]).cpu().numpy()
                if total is None:
                    total = np.zeros((results.shape[1], *weights.shape), np.float32)
                for (y, x), result in zip(part, results, strict=True):
                    where = (slice(y, y + self.patch[1]), slice(x, x + self.patch[2]))
                    total[:, :, *where] += result * weight
                    weights[:, *where] += weight
            assert total is not None
            done = after - at
            low, high = max(at, before[0]) - at, min(after, last_slice) - at
            yield total[:, low:high, *keep] / weights[low:high, *keep]
            total[:, : depth - done], weights[: depth - done] = total[:, done:].copy(), weights[done:].copy()
            total[:, depth - done :], weights[depth - done :] = 0.0, 0.0


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


def save(path_or_file: Any, network: nn.Module, recipe: Mapping[str, Any]) -> None:
    """Write weights with all that is needed to rebuild the network: plain values only."""
    weights = {key: value.detach().cpu() for key, value in network.state_dict().items()}
    torch.save({"recipe": dict(recipe), "state_dict": weights}, path_or_file)


def load(path: Any, device: torch.device) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a network from `weights.pt`.

    Returns:
        The network, on the device and in its memory format, and the recipe that `save` was given.

    Raises:
        InputError: the file is damaged or holds something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        recipe = content["recipe"]
        network = networks.build(
            recipe["network"], in_channels=recipe["in_channels"], classes=recipe["classes"], norm=recipe["norm"]
        )
        network.load_state_dict(content["state_dict"])
        dims = len(recipe["patch"])
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: holds no weights of this workflow ({reason}); delete it to train again") from None
    return devices.place(network, device, dims), recipe


def predict_case(predictor: Predictor, case: Case, keep_largest: Sequence[int] = ()) -> Array:
    """Organ indices of a whole case on its original grid, in the working orientation (uint8, z y x).

    Args:
        predictor: a trained network.
        case: the prepared case.
        keep_largest: organ indices of which only the largest connected part stays.
    """
    prediction = volumes.restore(predictor.probabilities(case.image), case.working, case.oriented)
    for organ in keep_largest:
        volumes.keep_largest(prediction, organ)
    return prediction
