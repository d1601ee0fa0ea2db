"""What every single training of a network scores on the same organs of the same patients.

Patients vary, and so do trainings: another seed gives other weights. `statistics.paired_values` averages trainings
away; here they stay apart, so that what they vary by can be counted (`verdicts`, `group_differences`) or drawn from
(`rank_stability`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from organbench.analysis.statistics import ALL, scored, unit_of

TRAINING = ["model", "fold", "seed"]


def patients_of(per_case: pd.DataFrame) -> pd.Series:
    """The patient of each row: its column `patient` where several scans of a patient are grouped, else its case."""
    return per_case[unit_of(per_case)].rename("patient")


def training_values(per_case: pd.DataFrame, metric: str, models: Sequence[str], *, filled: bool = True) -> pd.DataFrame:
    """Give the values of each training of several models on the same organs of the same patients.

    The rules are those of `statistics.paired_values`, and the means over a model's trainings are its values. A training
    that lacks a value on a patient (a distance to an organ that it misses) takes the mean of the model's other
    trainings of that fold on the patient, so that no patient changes sides from training to training. A patient's value
    is the mean over its scans; its value of `all` is the mean over the organs on which all of the models have a value.

    Args:
        per_case: see `statistics.case_values`; needs the columns fold, seed and dice, and may have patient.
        metric: one of its metrics.
        models: which models.
        filled: False leaves what a training lacks NaN, so that it shows what is its own; also its value of `all`, where
            it lacks one of the organs.

    Returns:
        A row per organ and patient (the index) where each of the models has a value, those of organ `all` last; a
        column a training: model, fold and seed (the levels of the columns), in order of `models`. NaN where the
        training did not test the patient.
    """
    rows = scored(per_case, metric, models)
    keys = [rows["organ"], patients_of(rows), *(rows[key] for key in TRAINING)]
    wide = rows["value"].groupby(keys).mean().unstack(TRAINING)  # first over a patient's scans
    wide = wide.sort_index(axis=1).reindex(columns=list(models), level="model")
    wide = wide[by_model(wide).reindex(columns=list(models)).notna().all(axis=1)]
    if filled:
        wide = wide.fillna(wide.T.groupby(level=["model", "fold"]).transform("mean").T)
    everything = wide.groupby("patient").mean().mask(wide.isna().groupby("patient").any())
    return pd.concat([wide, pd.concat({ALL: everything}, names=["organ"])])


def by_model(values: pd.DataFrame) -> pd.DataFrame:
    """Average `training_values` over each model's trainings: a column per model, in order of its columns."""
    return values.T.groupby(level="model", sort=False).mean().T


def effects(values: pd.DataFrame) -> pd.DataFrame:
    """By how much each training's value of a patient lies above its model's mean, as a table of `training_values`."""
    own = by_model(values).reindex(columns=values.columns.get_level_values("model"))
    return values - own.set_axis(values.columns, axis=1)


def parts(values: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """What each training adds to its model's value of each patient.

    Args:
        values: some rows of `training_values`.

    Returns:
        The parts, axes patient and training, 0 where the training did not test the patient; and which training is of
        which model, 1 or 0, axes training and model. The product of the two is what `by_model` says.
    """
    of_model = pd.get_dummies(pd.factorize(values.columns.get_level_values("model"))[0], dtype=float).to_numpy()
    numbers = values.to_numpy()
    tests = ~np.isnan(numbers) @ of_model  # by how many of a model's trainings each patient is tested
    return np.nan_to_num(numbers) / (tests @ of_model.T), of_model
