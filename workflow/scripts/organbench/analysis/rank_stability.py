"""Would the ranking of networks be the same with other patients and other trainings?

A bootstrap of the ranking by means, as challengeR does it for challenges (Wiesenfarth et al. 2021, Scientific Reports
11, 2369), with one difference: there an algorithm is what was handed in, here a network is what its trainings vary
around. So each resample draws patients and, for each network by itself, trainings.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from organbench.analysis import statistics
from organbench.analysis.statistics import CONFIDENCE, by_model, of_organ, parts, training_values
from organbench.analysis.verdicts import sign

RESAMPLES = 1000  # a share of .5 then varies by about .016 over bootstrap seeds
SEED = 0  # each metric and organ draws from its own generator: it depends on its own values only
DECIMALS = 12  # means that differ by less are equal: sums differ in their last bits from machine to machine
STABILITY = ["metric", "organ", "model", "n", "trainings", "mean", "rank", "rank_low", "rank_high", "kendall_tau"]


def rank_stability(per_case: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Rank two or more models by their means, and say how often resamples rank them so.

    Of each organ those models are ranked that offer it, of `all` those that offer every organ. The patients are those
    where all of these have a value (see `statistics.training_values`). Each resample draws as many patients as there
    are, with replacement, within each fold; and within each fold, of each model's S trainings (S > 1) S - 1 with
    replacement. Not S: a bootstrap of S values makes the variance of their mean too small by (S - 1) / S, which is half
    of it for two trainings; drawing S - 1 gives the right one (Rao and Wu 1988). A model with one training, such as an
    ensemble, keeps it. Models of the same mean share the best of their ranks.

    Args:
        per_case: see `statistics.training_values`.
        metrics: which of its metrics.

    Returns:
        A row per metric, organ (`all` last) and model, in order of their ranks: metric, organ, model; n (patients);
        trainings (of the model, in its fold with the fewest); mean (a volume error's is of its size); rank (1 is best);
        rank_low and rank_high (between which 95 % of the resamples' ranks lie); kendall_tau (Kendall's tau-b of a
        resample's ranking with this one, mean over resamples, the same for all models of an organ: 1 is the same
        order, 0 none, NaN where no two models differ); and share_1, share_2, ... (share of the resamples in which the
        model has that rank). NaN where there is no patient, and of a model that does not offer the organ; no rows for a
        single model.
    """
    models, offering = list(per_case["model"].unique()), statistics.offering(per_case)
    columns = [*STABILITY, *(f"share_{rank}" for rank in range(1, len(models) + 1))]
    tables = [pd.DataFrame(columns=columns)]
    for metric in metrics if len(models) > 1 else []:
        values = {group: training_values(per_case, metric, group) for group in {*offering.values()} if len(group) > 1}
        for organ, group in offering.items():
            there = group in values
            found = [stability(of_organ(values[group], organ), sign(metric))] if there else []
            if others := [model for model in models if not there or model not in group]:
                found.append(pd.DataFrame({"model": others, "n": 0}))
            table = pd.concat(found, ignore_index=True).assign(metric=metric, organ=organ).reindex(columns=columns)
            shares = table[columns[len(STABILITY) :]]
            table[shares.columns] = shares.mask(shares.isna() & table[["rank"]].notna().to_numpy(), 0.0)
            tables.append(table.sort_values("rank", kind="stable"))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def stability(values: pd.DataFrame, direction: int) -> pd.DataFrame:
    """The rows of `rank_stability` of one metric and organ, in order of the models, with what is known of them.

    Args:
        values: a row per patient, a column per training (see `statistics.training_values`).
        direction: 1 where higher is better, -1 where lower is.
    """
    models = list(values.columns.unique("model"))
    trainings = values.columns.to_frame(index=False).groupby(["model", "fold"], sort=False).size()
    table = pd.DataFrame({"model": models, "n": len(values)})
    table["trainings"] = trainings.groupby("model").min().reindex(models).to_numpy()
    if values.empty:
        return table
    means = by_model(values).mean()[models].to_numpy()
    ranks = ranking(means[None], direction)
    drawn = ranking(resampled_means(values, np.random.default_rng(SEED)), direction)
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(drawn, ends, axis=0, method="inverted_cdf")
    table = table.assign(mean=means, rank=ranks[0], rank_low=low, rank_high=high)
    tau = kendall_tau(ranks, drawn)
    table["kendall_tau"] = np.nan if np.isnan(tau).all() else np.nanmean(tau)
    return table.assign(**{f"share_{rank}": (drawn == rank).mean(axis=0) for rank in range(1, len(models) + 1)})


def ranking(means: np.ndarray, direction: int) -> np.ndarray:
    """Rank models in every row of means (resample, model): 1 is the best, equal ones share the best of their ranks."""
    return np.asarray(stats.rankdata(-direction * means.round(DECIMALS), method="min", axis=1), dtype=int)


def resampled_means(values: pd.DataFrame, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """Draw patients and trainings, and average what was drawn (see `rank_stability`).

    Args:
        values: a row per patient, a column per training (levels model, fold, seed); NaN where it did not test the
            patient.
        rng: what draws.
        resamples: how many times.

    Returns:
        Means over the patients, shape (resamples, models), models in order of the columns.
    """
    columns = values.columns.to_frame(index=False)
    patients = np.empty((resamples, len(values)))  # how often each is drawn
    folds = values.notna().T.groupby(level="fold").any().T  # those that test a patient: one, but for a list of folds
    for places in folds.groupby(list(folds)).indices.values():
        patients[:, places] = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=resamples)
    trainings = np.ones((resamples, len(columns)))  # how much each counts, 1 on average
    for places in columns.groupby(["model", "fold"], sort=False).indices.values():
        if (count := len(places)) > 1:
            drawn = rng.multinomial(count - 1, np.full(count, 1 / count), size=resamples)
            trainings[:, places] = drawn * count / (count - 1)
    shares, of_model = parts(values)
    return np.asarray((patients @ shares * trainings) @ of_model / len(values))


def kendall_tau(ranks: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of a ranking, shape (1, models), with every row of others (resample, model).

    Returns:
        -1 to 1, a number per row: 1 is the same order, -1 the reverse; NaN where either ranks all models the same.
    """
    first, second = np.triu_indices(ranks.shape[1], 1)
    order, other = (np.sign(table[:, first] - table[:, second]) for table in (ranks, drawn))
    untied = np.sqrt((order != 0).sum(axis=1) * (other != 0).sum(axis=1))
    tau = np.full(len(drawn), np.nan)
    return np.asarray(np.divide((order * other).sum(axis=1), untied, out=tau, where=untied > 0))
