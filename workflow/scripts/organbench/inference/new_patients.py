"""A packed model on a scan that nobody has labelled, exactly as the workflow predicts a test case."""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from organbench.core.errors import InputError, suggestion
from organbench.data import cases, conversion, ranges, scans
from organbench.data.grids import Array
from organbench.hardware import devices
from organbench.inference import models
from organbench.inference.prediction import Predictor, Predicts, predict_case, specks_of, together


@dataclass(frozen=True)
class Segmented:
    """What a model made of a scan.

    Attributes:
        labels: organ indices on the scanner's grid, uint8.
        volumes_ml: of each organ.
        notes: what to know before it is used, a line each.
        seconds: that the networks took.
    """

    labels: sitk.Image
    volumes_ml: dict[str, float]
    notes: list[str]
    seconds: float


@dataclass(frozen=True)
class Counted:
    """A predictor that tells how many slices it has done."""

    predictor: Predicts
    advance: Callable[[int], object]

    def probabilities(self, image: Array) -> Iterator[Array]:
        """Those of the predictor."""
        for slab in self.predictor.probabilities(image):
            self.advance(slab.shape[1])
            yield slab


@dataclass(frozen=True)
class Segmenter:
    """A model that is ready to segment.

    Attributes:
        model: what it is.
        predictors: of its trainings.
    """

    model: models.Model
    predictors: Sequence[Predictor]

    def scan(self, volume: sitk.Image, path: str | Path) -> scans.Scan:
        """Bring a CT (HU), read from a path, to the model's grid; raises as `scans.of`."""
        return scans.of(volume, path, self.model.spacing)

    def segment(
        self, scan: scans.Scan, organs: Sequence[str] = (), advance: Callable[[int], object] = lambda slices: None
    ) -> Segmented:
        """Segment a scan.

        Args:
            scan: on the model's grid.
            organs: those that are wanted, none for all; the others become background.
            advance: called after every few slices of the working grid, with their number.
        """
        nothing = np.zeros((0, 0, 0), np.int16)
        case = cases.Case("", scan.image, nothing, nothing, {}, scan.working, scan.oriented, scan.original)
        names = list(self.model.organs)
        started = time.monotonic()
        specks = specks_of(self.predictors, names)
        found = predict_case(Counted(together(self.predictors), advance), case, specks)
        seconds = time.monotonic() - started
        unwanted = [name not in organs for name in names] if organs else [False] * len(names)
        found = np.where([True, *unwanted], 0, np.arange(len(names) + 1)).astype(np.uint8)[found]
        voxels = conversion.voxels_of(found, self.model.organs)
        return Segmented(
            labels=conversion.on_scanner(found, scan.oriented, scan.original, scan.orientation),
            volumes_ml={organ: count * scan.oriented.voxel_ml for organ, count in voxels.items()},
            notes=notes(self.model, scan),
            seconds=seconds,
        )


def load(path: str | Path, *, device: str | None, threads: int | None, trust: bool) -> Segmenter:
    """Make a packed model ready.

    Args:
        path: the file.
        device: `cpu` or `cuda`; None takes a GPU where there is one.
        threads: of the CPU; None takes as many as PyTorch does.
        trust: see `models.predictors`.

    Raises:
        InputError: as `models.read` and `models.predictors`, or there is no GPU.
    """
    packed = models.read(path)
    chosen = devices.prepare(threads=threads or torch.get_num_threads(), gpus=0 if device == "cpu" else 1)
    if device == "cuda" and chosen.type != "cuda":
        raise InputError("--device cuda: PyTorch finds no GPU here; leave it out, or install a PyTorch with CUDA")
    return Segmenter(packed.model, models.predictors(packed, chosen, trust=trust))


def check_organs(model: models.Model, organs: Sequence[str]) -> None:
    """Check that a model has organs.

    Raises:
        InputError: one is not there.
    """
    for organ in organs:
        if organ not in model.organs:
            hint = suggestion(organ, model.organs, f"it has {', '.join(model.organs)}")
            raise InputError(f"--organs {organ}: the model {model.name} has no such organ; {hint}")


def notes(model: models.Model, scan: scans.Scan) -> list[str]:
    """What to know of a scan before a model is believed: where it is unlike those in training, or one of them."""
    checksum = f"{zlib.crc32(np.ascontiguousarray(scan.image).data):08x}"
    learned = {name.partition("-")[0] for member in model.members for name in (*member.training, *member.validation)}
    nothing = np.broadcast_to(np.uint8(0), scan.image.shape)
    hu = conversion.hu_statistics(scan.image, nothing, {})["volume"] or {}
    unlike = ranges.outside(ranges.of_scan(scan.oriented, hu), model.trained_on)
    known = ["the model has learned from this very scan"] if checksum in learned else []
    return known + [f"unlike the scans in training: {words}" for words in unlike]
