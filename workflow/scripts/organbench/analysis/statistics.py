"""What models score over patients: summaries with intervals, and their values side by side on the same patients.

The unit is the patient. A case's value is first its mean over the trainings (seeds and folds) in which it was tested,
and where the table has a column `patient`, the value of a patient is the mean over the patient's cases. So neither more
trainings nor more scans pretend to more patients. The organ `all` is a patient's mean over the scored organs. NaN (see
`registry`) is left out of summaries; `n` is the number of patients that have a value.

Patients vary, and so do trainings: another seed gives other weights. `paired_values` averages trainings away;
`training_values` keeps them apart, so that what they vary by can be counted (`verdicts`, `group_differences`) or drawn
from (`rank_stability`).
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from organbench.data import splits
from organbench.evaluation.registry import METRICS

ALL = "all"
"""The name, in the column organ, of a case's mean over its scored organs."""


CONFIDENCE = 0.95
RESAMPLES = 2000  # the ends of an interval then vary by about 2 % of its width over bootstrap seeds
SEED = 0  # each interval draws from its own generator: it depends on its own values only
TRAINING = ["model", "fold", "seed"]


def unit_of(per_case: pd.DataFrame) -> str:
    """The column that names the patients: patient, where a patient may have several cases (scans), or else case."""
    return "patient" if "patient" in per_case else "case"


def patients_of(per_case: pd.DataFrame) -> pd.Series:
    """The patient of each row, named case: its column patient where scans of a patient are grouped, else its case."""
    return per_case[unit_of(per_case)].rename("case")


def with_patients(per_case: pd.DataFrame, pattern: str | None) -> pd.DataFrame:
    """Add the column patient to a per-case table where several cases may be of one patient.

    Args:
        per_case: see `case_values`.
        pattern: what finds the patient in a case's name, see `splits.patients`; None: every case is a patient, and the
            table stays as it is.
    """
    if pattern is None:
        return per_case
    found = splits.patients(per_case["case"].unique(), pattern)
    whose = {case: patient for patient, scans in found.items() for case in scans}
    place = list(per_case).index("case") + 1
    wide = per_case.copy()
    wide.insert(place, "patient", per_case["case"].map(whose))
    return wide


def case_values(per_case: pd.DataFrame) -> pd.DataFrame:
    """Average each case over seeds and folds, and add its mean over organs.

    Args:
        per_case: a row per model, fold, seed, case and organ, with any metrics of the registry as columns. A
            column patient may say whose scan a case is; without it every case is a patient.

    Returns:
        A row per model, case and organ, with the columns model, case, organ and the metrics: organs in order of first
        appearance, then the rows of organ `all`. A model without a row of some organ, as it does not offer it, has no
        rows of `all`: its mean over what it offers is no mean over organs.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    return patient_values(per_case.drop(columns="patient", errors="ignore"))


def patient_values(per_case: pd.DataFrame) -> pd.DataFrame:
    """As `case_values`, but with each patient's cases averaged: what statistics are about.

    Args:
        per_case: see `case_values`.

    Returns:
        The columns of `case_values`; case is the patient.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    if (per_case["organ"] == ALL).any():
        raise ValueError(f"an organ is named {ALL!r}, which is the name of the mean over organs")
    metrics, unit = metrics_of(per_case), unit_of(per_case)
    scans = per_case.groupby(["model", *dict.fromkeys([unit, "case"]), "organ"], sort=False)[metrics].mean()
    organs = scans.groupby(["model", unit, "organ"], sort=False).mean().rename_axis(index={unit: "case"}).reset_index()
    offered = organs.groupby("model")["organ"].nunique()
    whole = organs[organs["model"].map(offered) == organs["organ"].nunique()]
    mean = whole.groupby(["model", "case"], sort=False)[metrics].mean().reset_index().assign(organ=ALL)
    return pd.concat([organs, mean[organs.columns]], ignore_index=True)


def summarise(per_case: pd.DataFrame) -> pd.DataFrame:
    """Summarise every metric of every model and organ over patients.

    Args:
        per_case: see `case_values`; needs the columns dice and false_positive.

    Returns:
        Columns metric, model, organ, n (patients with a value), mean, std (sample standard deviation), median, ci_low
        and ci_high (95 % interval of the mean, see `interval`), median_ci_low and median_ci_high, missing (patients
        without a value although the organ is in the reference or the prediction, of `all`: where that befell an organ),
        false_positives (cases where a run invents the organ, of `all`: any organ), seed_std (see `seed_spread`) and
        mean_absolute (as mean, but of values without their sign: of errors that may have one what is compared). A
        row for every combination, also where n is 0 as a model does not offer an organ; metrics in the order of the
        registry, models and organs in order of first appearance, organ `all` last.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    cases, spread = patient_values(per_case), seed_spread(per_case)
    sizes = patient_values(without_signs(per_case))
    false_positives = _case_counts(per_case[per_case["false_positive"]])
    rows = []
    for metric in metrics_of(per_case):
        missing = _case_counts(cases[cases["dice"].notna() & cases[metric].isna() & (cases["organ"] != ALL)])
        for model, organ in product(cases["model"].unique(), [*per_case["organ"].unique(), ALL]):
            place = (model, organ)
            values = cases.loc[(cases["model"] == model) & (cases["organ"] == organ), metric]
            low, high = interval(values.dropna().to_numpy(), np.median)
            row = {"metric": metric, "model": model, "organ": organ, **described(values)}
            row |= {"median_ci_low": low, "median_ci_high": high, "missing": missing.get(place, 0)}
            row |= {"false_positives": false_positives.get(place, 0), "seed_std": spread.loc[place, metric]}
            size = sizes.loc[(sizes["model"] == model) & (sizes["organ"] == organ), metric].mean()
            rows.append(row | {"mean_absolute": size})
    return pd.DataFrame(rows)


def _case_counts(rows: pd.DataFrame) -> pd.Series:
    """How many cases rows are of, by model and organ; of `all`: of any organ."""
    return pd.concat([rows, rows.assign(organ=ALL)]).groupby(["model", "organ"])["case"].nunique()


def described(values: pd.Series) -> dict[str, float]:
    """What is told of values, a patient each: n, mean, std, median, ci_low and ci_high, see `summarise`."""
    values = values.dropna()
    low, high = interval(values.to_numpy())
    row = {"n": len(values), "mean": values.mean(), "std": values.std(), "median": values.median()}
    return row | {"ci_low": low, "ci_high": high}


def metrics_of(per_case: pd.DataFrame) -> list[str]:
    """The metrics that a table has, in the order of `registry.METRICS`."""
    return [metric for metric in METRICS if metric in per_case]


def without_signs(per_case: pd.DataFrame) -> pd.DataFrame:
    """A per-case table with the size of each metric's values."""
    return per_case.assign(**{metric: per_case[metric].abs() for metric in metrics_of(per_case)})


def seed_spread(per_case: pd.DataFrame) -> pd.DataFrame:
    """How much a model's mean over cases varies from training seed to training seed.

    Args:
        per_case: see `case_values`.

    Returns:
        The sample standard deviation over seeds of the seed's mean over cases; index model and organ (with `all`; every
        combination), a column a metric. NaN with one seed.
    """
    seeds = pd.concat([patient_values(rows).assign(seed=seed) for seed, rows in per_case.groupby("seed")])
    means = seeds.groupby(["model", "organ", "seed"])[metrics_of(per_case)].mean()
    names = [per_case["model"].unique(), [*per_case["organ"].unique(), ALL]]
    return means.groupby(["model", "organ"]).std().reindex(pd.MultiIndex.from_product(names, names=["model", "organ"]))


def scored(per_case: pd.DataFrame, metric: str, models: Sequence[str]) -> pd.DataFrame:
    """The rows of some models, with what counts of a metric when they are compared in the column value.

    Two rules make values comparable:

    - What counts is the size of a metric whose best value is 0 (the volume error has a sign).
    - Where the reference shows no organ, and some run of one of the models invents it, the runs that rightly predict
      nothing have the metric's best value: 1 for a Dice coefficient, against 0 for the invention. Where no run does, no
      model has a value.

    Args:
        per_case: see `case_values`; needs the column dice.
        metric: one of its metrics.
        models: which models.
    """
    rows = per_case[per_case["model"].isin(models)]
    best = METRICS[metric].best
    values = rows[metric] if best else rows[metric].abs()
    anyone = values.notna().groupby([rows["organ"], rows["case"]]).transform("any")
    return rows.assign(value=values.mask(rows["dice"].isna() & anyone, best))


def paired_values(per_case: pd.DataFrame, metric: str, models: Sequence[str]) -> pd.DataFrame:
    """Give several models' values on the same organs of the same patients, see `scored`.

    A patient's value of `all` is the mean over the organs on which all of the models have a value.

    Args:
        per_case: see `case_values`; needs the column dice.
        metric: one of its metrics.
        models: which models.

    Returns:
        A column per model; a row per organ and case (the patient; both are the index) where all of the models have a
        value, without NaN. The rows of organ `all` come last.
    """
    rows, unit = scored(per_case, metric, models), unit_of(per_case)
    place = ["organ", *dict.fromkeys([unit, "case"])]
    wide = rows.groupby([*place, "model"])["value"].mean().unstack("model")
    wide = wide.reindex(columns=pd.Index(models, name="model")).dropna()
    wide = wide.groupby(["organ", unit]).mean().rename_axis(index={unit: "case"})
    return with_all(wide, wide.groupby("case").mean())


def with_all(organs: pd.DataFrame, everything: pd.DataFrame) -> pd.DataFrame:
    """A table by organ and patient, with the rows of organ `all`, which are told by patient, behind its own."""
    return pd.concat([organs, pd.concat({ALL: everything}, names=["organ"])])


def of_organ(table: pd.DataFrame, organ: str) -> pd.DataFrame:
    """The rows of an organ, which may be none, of a table by organ and patient."""
    return table[table.index.get_level_values("organ") == organ]


def by_organ(table: pd.DataFrame, per_case: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each organ of a per-case table, `all` last, with its rows of a table by organ and patient, which may be none."""
    for organ in [*per_case["organ"].unique(), ALL]:
        yield organ, of_organ(table, organ)


def offering(per_case: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The models that offer each organ, in order of first appearance; of `all` (last) those that offer every organ."""
    organs, models = per_case["organ"].unique(), per_case["model"].unique()
    offered = per_case.groupby("model")["organ"].agg(set)
    wanted = {organ: {organ} for organ in organs} | {ALL: set(organs)}
    return {organ: tuple(model for model in models if needed <= offered[model]) for organ, needed in wanted.items()}


def means_of_runs(rows: pd.DataFrame, values: pd.Series, models: Sequence[str]) -> pd.DataFrame:
    """The means of rows' values over all runs and scans: a column per model, a row per organ and case (the patient)."""
    keys = [rows["organ"], patients_of(rows), rows["model"]]
    return values.groupby(keys).mean().unstack("model").reindex(columns=pd.Index(models, name="model"))


def misses(per_case: pd.DataFrame, metric: str, models: Sequence[str]) -> pd.DataFrame:
    """The share of each model's runs in which it misses an organ that is there, so that a metric has no value.

    Such as a distance to nothing. The organ is there where the recall has a value, or, in a table without recall, where
    Dice has one. Where the reference lacks what the metric needs, such as a planned dose, nobody misses anything.

    Args:
        per_case: see `case_values`; needs the column dice.
        metric: one of its metrics.
        models: which models.

    Returns:
        A column per model; a row per organ and case (the patient). Of `all` it is the sum over organs.
    """
    rows = per_case[per_case["model"].isin(models)]
    there = rows["recall" if "recall" in rows else "dice"].notna()
    if (needed := METRICS[metric].needs) in rows:
        there &= rows[needed].notna()
    missed = (there & rows["dice"].notna() & rows[metric].isna()).astype(float)
    wide = means_of_runs(rows, missed, models).fillna(0.0)
    return with_all(wide, wide.groupby("case").sum())


def training_values(per_case: pd.DataFrame, metric: str, models: Sequence[str], *, filled: bool = True) -> pd.DataFrame:
    """Give the values of each training of several models on the same organs of the same patients.

    The rules are those of `paired_values`, and the means over a model's trainings are its values. A training
    that lacks a value on a patient (a distance to an organ that it misses) takes the mean of the model's other
    trainings of that fold on the patient, so that no patient changes sides from training to training. A patient's value
    is the mean over its scans; its value of `all` is the mean over the organs on which all of the models have a value.

    Args:
        per_case: see `case_values`; needs the columns fold, seed and dice, and may have patient.
        metric: one of its metrics.
        models: which models.
        filled: False leaves what a training lacks NaN, so that it shows what is its own; also its value of `all`, where
            it lacks one of the organs.

    Returns:
        A row per organ and case (the patient; both are the index) where each of the models has a value, those of organ
        `all` last; a column a training: model, fold and seed (the levels of the columns), in order of `models`. NaN
        where the training did not test the patient.
    """
    rows = scored(per_case, metric, models)
    keys = [rows["organ"], patients_of(rows), *(rows[key] for key in TRAINING)]
    wide = rows["value"].groupby(keys).mean().unstack(TRAINING)  # first over a patient's scans
    wide = wide.sort_index(axis=1).reindex(columns=list(models), level="model")
    wide = wide[by_model(wide).reindex(columns=list(models)).notna().all(axis=1)]
    if filled:
        wide = wide.fillna(wide.T.groupby(level=["model", "fold"]).transform("mean").T)
    everything = wide.groupby("case").mean().mask(wide.isna().groupby("case").any())
    return with_all(wide, everything)


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


def case_differences(per_case: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Subtract models from each other, patient by patient.

    Args:
        per_case: see `case_values`; needs the column dice.
        metric: one of its metrics.

    Returns:
        Columns organ, model_a, model_b, case (the patient) and difference (a minus b, see `paired_values`), for every
        unordered pair of models and for the patients where both have a value. Pairs in order of first appearance, organ
        `all` last.
    """
    columns = ["organ", "model_a", "model_b", "case", "difference"]
    tables = [pd.DataFrame(columns=columns).astype({"difference": float})]
    for model_a, model_b in combinations(per_case["model"].unique(), 2):
        pairs = paired_values(per_case, metric, [model_a, model_b])
        difference = (pairs[model_a] - pairs[model_b]).rename("difference").reset_index()
        tables.append(difference.assign(model_a=model_a, model_b=model_b)[columns])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def interval(values: np.ndarray, statistic: Callable[..., Any] = np.mean) -> tuple[float, float]:
    """Bootstrap the 95 % confidence interval of a mean or median over patients.

    Bias-corrected and accelerated (BCa, Efron 1987) from 2000 resamples, as `scipy.stats.bootstrap` computes it; the
    plain percentile interval where BCa is undefined. A bootstrap interval of n patients is too narrow, by about
    sqrt((n - 1) / n) and the ratio of a normal to a t quantile, so its level is raised by as much (Hesterberg 2015).
    The generator starts from a fixed seed and the values are sorted first, so that the same values give the same
    interval in whatever order they come.

    Args:
        values: a number per patient, shape (n,), without NaN.
        statistic: of what; `numpy.mean` or `numpy.median`.

    Returns:
        The interval's ends, in the unit of `values`; NaN where n < 2, the value itself where all are equal.
    """
    n = len(values)
    if n < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    tail = stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf((1 - CONFIDENCE) / 2, n - 1))
    settings = {"statistic": statistic, "confidence_level": 1 - 2 * tail}
    sample = (np.sort(values),)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            sample, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(SEED), **settings
        )
        if np.isnan(result.confidence_interval).any():
            result = stats.bootstrap(sample, n_resamples=0, bootstrap_result=result, method="percentile", **settings)
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
