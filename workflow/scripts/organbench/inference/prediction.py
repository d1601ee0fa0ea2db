"""A case predicted as the study asks, back on its original grid."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from organbench.core.errors import InputError
from organbench.core.jobs import Pace
from organbench.data import cases, labels, resampling
from organbench.data.grids import Array, Grid
from organbench.hardware import devices
from organbench.inference import weights
from organbench.inference.predictor import Ensemble, Predictor
from organbench.inference.settings import Prediction, Specks


def predict_case(
    predictor: Predictor | Ensemble,
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


def predict_files(
    paths: Sequence[str | Path],
    folder: str | Path,
    settings: Prediction,
    device: torch.device,
    organs: Sequence[str] = (),
) -> tuple[Array, cases.Case, dict[str, Any]]:
    """Predict a prepared case with the network of one `weights.pt`, or the mean of several.

    Args:
        paths: files that `weights.save` wrote.
        folder: the prepared case's folder.
        settings: how the study predicts.
        device: where to compute.
        organs: names of the organs, in order, as `settings` call them; by default as they were called in training.

    Returns:
        Organ indices on the original grid, in the working orientation (uint8, z y x); the case; and what it cost.

    Raises:
        InputError: weights are damaged, or of another run than the one in whose folder they lie.
    """
    predictors = []
    for path in paths:
        network, recipe = weights.load(path, device)
        if not weights.belongs(path, recipe):
            raise InputError(f"{path}: holds the weights of {recipe.run}; put them back, or delete it to train again")
        predictors.append(Predictor(network, recipe, settings, device))
    recipes = [predictor.recipe for predictor in predictors]
    organ_ml = np.median([recipe.organ_ml for recipe in recipes], axis=0).tolist()  # they differ from fold to fold
    case = cases.load(folder)
    started = time.monotonic()
    with devices.energy_meter(device) as meter:
        prediction = predict_case(
            predictors[0] if len(predictors) == 1 else Ensemble(predictors),
            case,
            settings.specks(organ_ml, organs or recipes[0].organs),
        )
    cost = {
        "case": case.name,
        "voxels": int(np.prod(case.original.size)),
        "parameters": sum(recipe.parameters for recipe in recipes),
        "multiply_adds": sum(
            round(predictor.recipe.multiply_adds_per_voxel * predictor.voxels) for predictor in predictors
        ),
        "prediction_seconds": round(time.monotonic() - started, 3),
        "precision": ", ".join(dict.fromkeys(predictor.precision for predictor in predictors)),
        **meter.joules(),
        **devices.peak_memory(device),
        **devices.describe(device),
    }
    return prediction, case, cost
