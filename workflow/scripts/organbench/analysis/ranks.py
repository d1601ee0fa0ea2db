"""Ranks of three or more models on the same patients, and whether they differ (Demsar 2006)."""

import functools
import math

import numpy as np
import pandas as pd
from scipy import stats

from organbench.analysis import statistics
from organbench.analysis.evidence import DIGITS, holm
from organbench.analysis.verdicts import ALPHA, sign

RANKS = [
    *("metric", "organ", "model", "n", "average_rank"),
    *("friedman_p", "friedman_p_holm", "critical_difference", "groups"),
]
WORST = 1e9  # more than any metric: what a model loses by where it misses an organ in all of its runs


def rank(per_case: pd.DataFrame) -> pd.DataFrame:
    """Rank three or more models on every case, and test whether their average ranks differ.

    Of each organ those models are ranked that offer it (of `all` those that offer every organ), where they are three or
    more. The cases (patients) are those where each of them has a value or misses the organ: a miss ranks last. Rank 1
    is the best, equal values share the mean of their ranks. Ranks are of these weights: trainings are averaged.
    Friedman's (1937) test asks whether the models differ at all. Two of them differ where their average ranks do by at
    least Nemenyi's critical difference q sqrt(k (k + 1) / (6 n)), with q the 95 % quantile of the studentised range of
    k models, divided by sqrt(2) (Demsar 2006).

    Args:
        per_case: see `statistics.case_values`; needs the column dice.

    Returns:
        Columns metric, organ, model, n (cases), average_rank, friedman_p, friedman_p_holm (over the organs of the
        metric), critical_difference and groups: models of one metric and organ that share a letter are not told apart
        (all of them, where friedman_p_holm >= 0.05). Models in order of their rank; of an organ that fewer than three
        offer all models without one; no rows for fewer than three.
    """
    models, offering = list(per_case["model"].unique()), statistics.offering(per_case)
    tables = [pd.DataFrame(columns=RANKS)]
    for metric in statistics.metrics_of(per_case) if len(models) > 2 else []:
        tables_of = {
            group: advantages_of(per_case, metric, list(group)) for group in {*offering.values()} if len(group) > 2
        }
        samples = {
            organ: statistics.of_organ(tables_of[group], organ).to_numpy() if group in tables_of else np.empty((0, 3))
            for organ, group in offering.items()
        }
        p = np.array([friedman_p(sample) for sample in samples.values()])
        for (organ, sample), own, corrected in zip(samples.items(), p, holm(p), strict=True):
            ranked = offering[organ] if offering[organ] in tables_of else models
            critical = critical_difference(len(ranked), len(sample))
            ranks = stats.rankdata(-sample, axis=1).mean(axis=0) if len(sample) else np.full(len(ranked), np.nan)
            order = np.argsort(ranks, kind="stable")
            table = pd.DataFrame({"model": np.array(ranked, dtype=object)[order], "average_rank": ranks[order]})
            tests = {"friedman_p": own, "friedman_p_holm": corrected, "critical_difference": critical}
            groups = letters(ranks[order], critical if corrected < ALPHA else math.inf)
            tables.append(table.assign(metric=metric, organ=organ, n=len(sample), **tests, groups=groups)[RANKS])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def advantages_of(per_case: pd.DataFrame, metric: str, models: list[str]) -> pd.DataFrame:
    """How good models are on the same patients; higher is better, and more misses of an organ are worse than anything.

    Args:
        per_case: see `statistics.case_values`; needs the column dice.
        metric: one of its metrics.
        models: which models.

    Returns:
        A column per model; a row per organ and case (the patient) where each of the models has a value or misses the
        organ.
    """
    values = statistics.paired_values(per_case, metric, models)
    missed = statistics.misses(per_case, metric, models)
    rows = statistics.scored(per_case, metric, models)
    partial = statistics.means_of_runs(rows, rows["value"], models)
    partial = statistics.with_all(partial, partial.groupby("case").mean())
    partial = partial[~partial.index.isin(values.index)].dropna(how="all")
    there = partial.notna() | (missed.reindex(partial.index, fill_value=0.0) > 0)
    values = pd.concat([values, partial[there.all(axis=1)].fillna(0.0)])
    return (sign(metric) * values).round(DIGITS) - WORST * missed.reindex(values.index, fill_value=0.0)


def friedman_p(values: np.ndarray) -> float:
    """P of Friedman's test that models have the same ranks, by scipy's chi-squared approximation.

    Args:
        values: a row per case, a column per model (three or more), without NaN.

    Returns:
        p; 1 where on every case all models are equal, NaN for fewer than two cases.
    """
    if len(values) < 2:
        return np.nan
    if (values == values[:, :1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*values.T).pvalue)


@functools.cache
def critical_difference(models: int, cases: int) -> float:
    """Nemenyi's critical difference of average ranks (see `rank`); NaN without a case."""
    if cases == 0:
        return np.nan
    quantile = stats.studentized_range.ppf(1 - ALPHA, models, np.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(models * (models + 1) / (6 * cases)))


def letters(ranks: np.ndarray, critical: float) -> list[str]:
    """Letters that models share where their ranks (in rising order) differ by less than the critical difference."""
    if np.isnan(ranks).any():
        return [""] * len(ranks)
    groups: list[tuple[int, int]] = []  # first and last model of each letter
    for first in range(len(ranks)):
        last = int(np.flatnonzero(ranks - ranks[first] < critical)[-1])
        if not groups or last > groups[-1][1]:
            groups.append((first, last))
    names = "abcdefghijklmnopqrstuvwxyz"
    return [
        "".join(names[k % 26] for k, (first, last) in enumerate(groups) if first <= i <= last)
        for i in range(len(ranks))
    ]
