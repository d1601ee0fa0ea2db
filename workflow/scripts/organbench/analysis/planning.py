"""How many more patients, or trainings of each network, would decide what is undecided."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from scipy import stats

from organbench.analysis.evidence import LEAST_DF

POWER = 0.8  # with which a study of the size that is asked for decides
EFFICIENCY = 0.92  # of patients, as two tests have to agree: Pitman's 3 / pi of the signed-rank test, and a little more
STEPS = np.unique(np.rint(np.concatenate([np.arange(1, 500), np.geomspace(500, 1e6, 800)])))  # how many more are tried
MOST_TRAININGS = 100  # more are not asked for
WAYS = ("different", "equivalent")  # to decide: better or worse, and equivalent


def more_patients(row: Mapping[str, Any], alpha: float, ways: Collection[str] = WAYS) -> float:
    """About how many more patients would decide, with the trainings that there are.

    That is for 80 % power, if the mean difference and all spreads stayed what they are, and for whichever verdict takes
    fewer patients, better (or worse) or equivalent. It inherits the error of the mean difference, so it is a guide to
    the size of the next study and no promise.

    Args:
        row: with the columns n, mean_difference, margin and v_weights, and those of `evidence.spread_over_trainings`.
        alpha: level that the test has to reach.
        ways: which of `WAYS` are open.

    Returns:
        Patients besides those there are, 1 or more; infinity where no number of them would do; NaN for fewer than two
        patients, or where every fold has just one: what comes of patients cannot be told then.
    """
    n = row["n"]
    if n < 2 or one_each(row):
        return math.nan
    patients, trainings = parts(row)
    sizes = n + STEPS
    return first(row, alpha, sizes, patients * n / sizes, np.full(len(STEPS), trainings), row["df_trainings"], ways)


def more_trainings(row: Mapping[str, Any], alpha: float, ways: Collection[str] = WAYS) -> float:
    """About how many more trainings of each network would decide, on the same patients.

    Of each network and, in k folds, in each fold. As `more_patients`, whose other arguments it has.

    Returns:
        Trainings besides those there are, 1 or more; infinity where `MOST_TRAININGS` would not do; NaN where nothing is
        known of the spread over trainings, for fewer than two patients, or where every fold has just one.
    """
    if row["n"] < 2 or math.isnan(row["v_trainings"]) or one_each(row):
        return math.nan
    patients, trainings = parts(row)
    more, df = STEPS[STEPS <= MOST_TRAININGS], row["df_trainings"]
    counts = [count for count in (row["trainings_a"], row["trainings_b"]) if count]
    if math.isnan(row["folds"]):  # a holdout
        factor = sum(1 / (count + more) for count in counts) / sum(1 / count for count in counts)
        df = df * sum(count + more - 1 for count in counts) / sum(count - 1 for count in counts)
    else:
        seeds = max(1.0, min(counts) / row["folds"])
        factor = seeds / (seeds + more)
    return first(row, alpha, np.full(len(more), row["n"]), np.full(len(more), patients), trainings * factor, df, ways)


def one_each(row: Mapping[str, Any]) -> bool:
    """Whether every fold was tested on one patient: that patients vary and that trainings do is one thing then."""
    return not math.isnan(row["folds"]) and math.isnan(row["v_within"])


def parts(row: Mapping[str, Any]) -> tuple[float, float]:
    """The parts of the variance of a mean difference that more patients, and more trainings, would make smaller."""
    if math.isnan(row["v_trainings"]):
        return row["v_weights"], 0.0
    if math.isnan(row["folds"]):
        return row["v_patients"], row["v_trainings"]
    within = min(row["v_within"], row["v_trainings"])
    return within, row["v_trainings"] - within


def first(
    row: Mapping[str, Any],
    alpha: float,
    sizes: np.ndarray,
    patients: np.ndarray,
    trainings: np.ndarray,
    df_trainings: float | np.ndarray,
    ways: Collection[str],
) -> float:
    """The first of `STEPS` with which a study would decide; infinity where none would.

    Args:
        row: with the columns mean_difference, margin and folds.
        alpha: level that the test has to reach.
        sizes: how many patients each study has, (step,).
        patients: the part of the variance of its mean difference that comes of patients, (step,).
        trainings: that which comes of trainings, (step,).
        df_trainings: degrees of freedom of the latter; NaN where there is none.
        ways: which of `WAYS` are open.
    """
    mean = abs(row["mean_difference"])
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (patients + trainings) ** 2 / (patients**2 / (sizes - 1) + trainings**2 / df_trainings)
    df = np.where(np.isnan(df), sizes - 1, df)
    if not math.isnan(row["folds"]):
        df = np.broadcast_to(np.asarray(df_trainings, float), sizes.shape)
    enough = np.zeros(len(sizes), bool)
    for way, shift, level, power, least, efficiency in (
        ("different", mean, alpha / 2, POWER, 1 - math.log2(alpha), EFFICIENCY),
        ("equivalent", row["margin"] - mean, alpha, (1 + POWER) / 2, -math.log2(alpha), 1.0),
    ):
        if way not in ways or not shift > 0:
            continue
        found = chance(shift, patients / efficiency + trainings, df, level)
        if math.isnan(row["folds"]):
            few = (np.asarray(df_trainings) < LEAST_DF) & (trainings > 0)
            found = np.where(few, np.minimum(found, chance(shift, trainings, df_trainings, level)), found)
        enough |= (found >= power) & (sizes >= least)
    return float(STEPS[np.argmax(enough)]) if enough.any() else math.inf


def chance(shift: float, variance: np.ndarray, df: float | np.ndarray, level: float) -> np.ndarray:
    """The chance that a one-sided t-test finds a mean, by Johnson and Welch's (1940) normal approximation.

    Args:
        shift: the true mean.
        variance: of the estimated mean.
        df: degrees of freedom of the variance.
        level: of the test, one side.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        critical = stats.t.isf(level, df)
        reached = (shift / np.sqrt(variance) - critical * (1 - 1 / (4 * df))) / np.sqrt(1 + critical**2 / (2 * df))
        return np.asarray(stats.norm.cdf(reached))
