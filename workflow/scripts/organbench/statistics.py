"""Summaries and comparisons of contenders over cases, with intervals.

The unit is the patient. A case's value is first its mean over the seeds (and folds) in which it was tested, so training
a contender more often does not pretend to more patients. The organ `all` is a case's mean over its scored organs. NaN
(see `metrics`) is left out everywhere; `n` is the number of cases that have a value.
"""

import warnings
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from organbench.metrics import METRICS

ALL = "all"
"""The name, in the column organ, of a case's mean over its scored organs."""

CONFIDENCE = 0.95
RESAMPLES = 2000  # the ends of an interval then vary by about 2 % of its width over bootstrap seeds
SEED = 0  # each interval draws from its own generator: it depends on its own values only


def case_values(per_case: pd.DataFrame) -> pd.DataFrame:
    """Average each case over seeds and folds, and add its mean over organs.

    Args:
        per_case: a row a model, fold, seed, case and organ, with the metrics of `metrics.METRICS` as columns (any of
            them).

    Returns:
        A row a model, case and organ, with the columns model, case, organ and the metrics: organs in order of first
        appearance, then the rows of organ `all`.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    if (per_case["organ"] == ALL).any():
        raise ValueError(f"an organ is named {ALL!r}, which is the name of the mean over organs")
    metrics = [metric for metric in METRICS if metric in per_case]
    organs = per_case.groupby(["model", "case", "organ"], sort=False)[metrics].mean().reset_index()
    mean = organs.groupby(["model", "case"], sort=False)[metrics].mean().reset_index().assign(organ=ALL)
    return pd.concat([organs, mean[organs.columns]], ignore_index=True)


def summarise(per_case: pd.DataFrame) -> pd.DataFrame:
    """Summarise every metric of every model and organ over cases.

    Args:
        per_case: see `case_values`.

    Returns:
        Columns metric, model, organ, n (cases with a value), mean, std (sample standard deviation), median, ci_low and
        ci_high (95 % interval of the mean, see `interval`). A row for every combination, also where n is 0; metrics in
        the order of `metrics.METRICS`, models and organs in order of first appearance, organ `all` last.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    cases = case_values(per_case)
    rows = []
    for metric in METRICS:
        if metric not in cases:
            continue
        for model in cases["model"].unique():
            for organ in cases["organ"].unique():
                chosen = cases[(cases["model"] == model) & (cases["organ"] == organ)]
                values = chosen[metric].dropna()
                rows.append(
                    {
                        "metric": metric,
                        "model": model,
                        "organ": organ,
                        "n": len(values),
                        "mean": values.mean(),
                        "std": values.std(),
                        "median": values.median(),
                        **dict(zip(("ci_low", "ci_high"), interval(values.to_numpy()), strict=True)),
                    }
                )
    return pd.DataFrame(rows, columns=["metric", "model", "organ", "n", "mean", "std", "median", "ci_low", "ci_high"])


def case_differences(per_case: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Subtract models from each other, case by case.

    Args:
        per_case: see `case_values`.
        metric: one of its metrics.

    Returns:
        Columns organ, model_a, model_b, case and difference (a minus b), for every unordered pair of models and for the
        cases where both have a value. Pairs in order of first appearance, within a pair the organs likewise, organ
        `all` last.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    cases = case_values(per_case)
    by_model = cases.pivot(index=["organ", "case"], columns="model", values=metric)
    columns = ["organ", "model_a", "model_b", "case", "difference"]
    tables = [pd.DataFrame(columns=columns).astype({"difference": float})]
    for model_a, model_b in combinations(cases["model"].unique(), 2):
        difference = (by_model[model_a] - by_model[model_b]).dropna().rename("difference").reset_index()
        tables.append(difference.assign(model_a=model_a, model_b=model_b)[columns])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def compare(per_case: pd.DataFrame) -> pd.DataFrame:
    """Compare every pair of models over the cases that both were scored on.

    Args:
        per_case: see `case_values`.

    Returns:
        Columns metric, organ, model_a, model_b, n (cases where both have a value), mean_difference (a minus b), ci_low
        and ci_high (its 95 % interval over cases, see `interval`). Every unordered pair once, in order of first
        appearance; no rows for a single model.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    models, organs = per_case["model"].unique(), [*per_case["organ"].unique(), ALL]
    rows = []
    for metric in METRICS:
        if metric not in per_case:
            continue
        differences = case_differences(per_case, metric)
        for model_a, model_b in combinations(models, 2):
            pair = differences[(differences["model_a"] == model_a) & (differences["model_b"] == model_b)]
            for organ in organs:
                values = pair.loc[pair["organ"] == organ, "difference"]
                rows.append(
                    {
                        "metric": metric,
                        "organ": organ,
                        "model_a": model_a,
                        "model_b": model_b,
                        "n": len(values),
                        "mean_difference": values.mean(),
                        **dict(zip(("ci_low", "ci_high"), interval(values.to_numpy()), strict=True)),
                    }
                )
    columns = ["metric", "organ", "model_a", "model_b", "n", "mean_difference", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Bootstrap the 95 % confidence interval of a mean over patients.

    Bias-corrected and accelerated (BCa, Efron 1987) from 2000 resamples, as `scipy.stats.bootstrap` computes it; the
    plain percentile interval where BCa is undefined. The generator starts from a fixed seed and the values are sorted
    first, so that the same values give the same interval in whatever order they come.

    Args:
        values: a number a patient, shape (n,), without NaN.

    Returns:
        The interval's ends, in the unit of `values`; NaN where n < 2, the value itself where all are equal.
    """
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    sample = (np.sort(values),)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            sample,
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(SEED),
        )
        if np.isnan(result.confidence_interval).any():
            result = stats.bootstrap(
                sample,
                np.mean,
                n_resamples=0,
                bootstrap_result=result,
                confidence_level=CONFIDENCE,
                method="percentile",
            )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def representative_cases(per_case: pd.DataFrame) -> pd.DataFrame:
    """Pick each model's best, median and worst case by the case's mean Dice over organs.

    Of an even number of cases the median is the better of the middle two; equal cases keep their order of first
    appearance.

    Args:
        per_case: see `case_values`; needs the column dice.

    Returns:
        Columns model, rank (best, median, worst), case and dice. Three rows a model, the same case more than once where
        fewer than three have a value; none for a model without a value.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    cases = case_values(per_case)
    rows = []
    for model in cases["model"].unique():
        chosen = cases[(cases["model"] == model) & (cases["organ"] == ALL)].dropna(subset="dice")
        ranked = chosen.sort_values("dice", ascending=False, kind="stable")
        if len(ranked):
            for rank, place in (("best", 0), ("median", (len(ranked) - 1) // 2), ("worst", len(ranked) - 1)):
                row = ranked.iloc[place]
                rows.append({"model": model, "rank": rank, "case": row["case"], "dice": row["dice"]})
    return pd.DataFrame(rows, columns=["model", "rank", "case", "dice"])
