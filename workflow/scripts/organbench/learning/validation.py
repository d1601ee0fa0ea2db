"""Validation cases, predicted as test cases are, and scored while a network learns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from organbench.data.cases import Case
from organbench.evaluation import overlaps
from organbench.inference.prediction import predict_case
from organbench.inference.predictor import Ensemble, Predictor
from organbench.inference.settings import Specks


@dataclass(frozen=True)
class Validation:
    """How validation cases are predicted.

    Attributes:
        dice: the mean Dice per organ over the cases that score it; NaN where none does.
        only_background: whether no organ is predicted in any case, although some case has one.
    """

    dice: Mapping[str, float]
    only_background: bool

    @property
    def mean(self) -> float:
        """The mean Dice over the organs that have one; NaN where none has."""
        return mean_of(list(self.dice.values()))


def validate(
    predictor: Predictor | Ensemble,
    cases: Sequence[Case],
    organs: Sequence[str],
    *,
    specks: Specks | None = None,
    between: Callable[[], None] = lambda: None,
) -> Validation:
    """Predict validation cases as test cases are predicted, and score them on the working grid, the one of `label.npy`.

    Args:
        predictor: as the study predicts.
        cases: the validation cases.
        organs: names of the organs, in order.
        specks: which parts of a prediction go.
        between: called every few slices.
    """
    tables = []
    for number, case in enumerate(cases, start=1):
        what = f"validation case {number}/{len(cases)}, slice"
        predicted = predict_case(predictor, case, specks, grid=case.working, what=what, between=between)
        tables.append(
            overlaps.overlap(np.asarray(case.label), predicted, organs=organs, voxel_ml=case.working.voxel_ml)
        )
    scores = pd.concat(tables)
    return Validation(
        dice={organ: mean_of(scores["dice"][scores["organ"] == organ].tolist()) for organ in organs},
        only_background=bool(scores["reference_ml"].any() and not scores["predicted_ml"].any()),
    )


def mean_of(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; NaN where none is."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")
