"""What the values of two models on the same patients say of their difference, and how sure that is.

Two things make a difference come out otherwise when a study is repeated: other patients, and other trainings of the
same networks. The variance of the mean difference of two networks is therefore the sum of both:

    s²(patients) / n  +  s²(trainings) (1 / S_a + 1 / S_b)

for n patients and S trainings of each. Sums of this kind, with degrees of freedom after Satterthwaite (1946), are known
as min F' where both subjects and items are drawn (Clark 1973), and from studies with several readers and cases
(Obuchowski and Rockette 1995). Here the trainings are what readers are there.
"""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from organbench.analysis.statistics import ALL, CONFIDENCE

DIGITS = 9  # to which differences are rounded before they are ranked: they may differ in the last bits only
LEAST_ORGANS = 3  # from which on organs share what is known of the trainings' spread
LEAST_DF = 4.0  # with fewer degrees of freedom of the trainings' spread, these alone have to agree

SPREADS = ("v_patients", "df_patients", "v_within", "v_trainings", "df_trainings", "std_trainings", "folds")


@dataclass(frozen=True)
class Paired:
    """What two models score on one organ of the same patients.

    Attributes:
        values: of model a and b, mean over trainings, (patient, 2), without NaN.
        effects: of each model, by how much each training lies above that mean, (patient, training); NaN where a
            training has no value of its own on the patient. None where the model has no trainings of its own: it is
            judged as the fixed thing it is.
        folds: of each model, each training's fold, (training,).
        ahead: who is ahead on a patient since the other misses the organ in more runs: 1 (a), -1 (b) or 0, (patient,).
        lost: the same of patients that have no values, because one misses the organ in all runs, (other patient,).
    """

    values: np.ndarray
    effects: tuple[np.ndarray | None, np.ndarray | None]
    folds: tuple[np.ndarray, np.ndarray]
    ahead: np.ndarray
    lost: np.ndarray

    @property
    def differences(self) -> np.ndarray:
        """A minus b, (patient,)."""
        return np.asarray(self.values[:, 0] - self.values[:, 1])

    @property
    def trainings(self) -> tuple[int, int]:
        """How many trainings each model has; 0 for a fixed thing."""
        a, b = (0 if own is None else own.shape[1] for own in self.effects)
        return a, b


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's (1945) signed-rank test that differences are symmetric about 0.

    Exact for any number of patients, with ties too: the distribution of the rank sum under all choices of signs is
    built up rank by rank. (scipy's is exact only without ties or zeros, and takes a second for thirteen patients with.)
    Zeros are ranked with the others and then left out (Pratt 1959), so that many of them weaken the evidence.

    Args:
        differences: a number per patient, shape (n,), without NaN; an infinite one ranks above all others.

    Returns:
        p; 1 where all differences are 0, NaN without any.
    """
    doubled, signs = _signed_ranks(differences)
    if len(doubled) == 0:
        return np.nan
    probability = rank_sums(tuple(sorted(doubled[signs != 0].tolist())))
    found = doubled[signs > 0].sum()
    return float(min(1.0, 2 * min(probability[: found + 1].sum(), probability[found:].sum())))


def _signed_ranks(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Twice the ranks of absolute differences (shared ranks are halves), and their signs; rounded to `DIGITS`."""
    rounded = np.round(differences, DIGITS)
    return np.rint(2 * stats.rankdata(np.abs(rounded))).astype(int), np.sign(rounded).astype(int)


@functools.lru_cache(maxsize=64)  # without ties it is the same for all samples of a size
def rank_sums(ranks: tuple[int, ...]) -> np.ndarray:
    """The probability of each sum of ranks, from 0 on, when every rank is in it or not by the toss of a coin."""
    probability = np.zeros(sum(ranks) + 1)
    probability[0] = 1.0
    for rank in ranks:
        probability[rank:] = probability[rank:] + probability[: len(probability) - rank]
        probability /= 2
    return probability


def rank_biserial(advantages: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): the share of rank sums for a, minus that against it.

    Ranks of absolute differences as in `signed_rank_p`: zeros are ranked and count for neither.

    Args:
        advantages: by how much a is better, a number per patient, shape (n,), without NaN.

    Returns:
        1 where a is better on every patient, -1 where b is, 0 where all are equal; NaN without any.
    """
    doubled, signs = _signed_ranks(advantages)
    if len(doubled) == 0:
        return np.nan
    counted = doubled[signs != 0].sum()
    return float((doubled * signs).sum() / counted) if counted else 0.0


def probability_better(advantages: np.ndarray) -> float:
    """The share of patients on which a is better, ties half: what to expect on a new patient. NaN without any."""
    return float(np.mean((np.sign(np.round(advantages, DIGITS)) + 1) / 2)) if len(advantages) else np.nan


def by_fold(runs: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """The mean over seeds in each fold, (patient, fold), of values (patient, training); NaN where none has one."""
    return np.stack([mean_of(runs[:, folds == fold], 1) for fold in np.unique(folds)], axis=1)


def mean_of(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean along an axis of the values that are numbers; NaN where none is."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(values, axis=axis) / (~np.isnan(values)).sum(axis=axis))


def spread_over_trainings(paired: Paired) -> dict[str, float]:
    """The variance of the mean difference that comes of patients and of trainings.

    - All trainings were tested on the same patients (a holdout): patients from the differences of the models' means,
      trainings from the spread of the trainings' means over patients, pooled over the two networks.
    - Every fold was tested on patients of its own (k folds): a fold's mean difference varies with its patients, its
      seeds and what it was trained on, all at once; so the spread over folds is the variance of both together.
    - Anything between (a patient in some folds, but not in all): the spread over folds, and that over patients besides,
      since folds that share patients differ too little.

    Args:
        paired: values of two models.

    Returns:
        v_patients and v_trainings, the parts of the variance of the mean difference; df_patients and df_trainings,
        their degrees of freedom; v_within, of v_trainings that which comes of patients, and folds, their number (both
        NaN unless each fold has patients of its own); std_trainings, the standard deviation of a training's mean over
        patients. All NaN where that cannot be told, as with two models that were divided into other folds, where a
        network was trained once, or where none was trained.
    """
    n = len(paired.values)
    found = dict.fromkeys(SPREADS, math.nan)
    trained = [count for count in paired.trainings if count]
    if n < 2 or min(trained, default=0) < 2:
        return found
    v_patients = float(np.var(paired.differences, ddof=1)) / n
    own = [(effects, folds) for effects, folds in zip(paired.effects, paired.folds, strict=True) if effects is not None]
    tested = [by_fold(effects, folds) for effects, folds in own]
    if all(part.shape[1] == 1 or not np.isnan(part).any() for part in tested):
        # where all folds have the same patients, a fold is a training, of which seeds are repeats
        units = [part if part.shape[1] > 1 else effects for part, (effects, _) in zip(tested, own, strict=True)]
        means = [mean[~np.isnan(mean)] for mean in (mean_of(unit, 0) for unit in units)]
        counts = np.array([len(mean) for mean in means])
        if counts.min() < 2:
            return found
        pooled = sum(float(np.var(mean, ddof=1)) * (len(mean) - 1) for mean in means) / (counts - 1).sum()
        return found | {
            "v_patients": v_patients,
            "df_patients": n - 1.0,
            "v_trainings": pooled * float((1 / counts).sum()),
            "df_trainings": float((counts - 1).sum()),
            "std_trainings": math.sqrt(pooled),
        }
    if not np.array_equal(*(np.isnan(tested[number]) for number in (0, -1))):
        return found  # they were divided into other folds: nothing can be said of trainings
    return found | _spread_over_folds(paired, v_patients)


def _spread_over_folds(paired: Paired, v_patients: float) -> dict[str, float]:
    """What `spread_over_trainings` returns where folds were tested on different patients."""
    n = len(paired.values)
    models = zip((1, -1), paired.effects, paired.folds, strict=True)
    shifts = sum(sign * by_fold(own, folds) for sign, own, folds in models if own is not None)
    table = paired.differences[:, None] + shifts  # (patient, fold)
    table = table[:, ~np.isnan(table).all(axis=0)]
    folds = table.shape[1]
    if folds < 2:
        return {}
    weights = ~np.isnan(table) / (~np.isnan(table)).sum(axis=1, keepdims=True) / n  # of each value in the mean
    share = weights.sum(axis=0)
    means = np.nansum(table * weights, axis=0) / share
    v_folds = float((share**2 * (means - means @ share) ** 2).sum()) * folds / (folds - 1)
    alone = (~np.isnan(table)).sum(axis=1).max() == 1
    within = v_patients
    if alone:  # NaN where every fold has one patient: they cannot be told apart
        within = float(np.nansum((table - means) ** 2)) / (n - folds) / n if n > folds else math.nan
    repeats = sum(1 / count for count in paired.trainings if count)
    return {
        "v_patients": 0.0 if alone else v_patients,
        "df_patients": n - 1.0,
        "v_trainings": v_folds,
        "df_trainings": folds - 1.0,
        "v_within": float(np.minimum(within, v_folds)) if alone else math.nan,
        "folds": float(folds) if alone else math.nan,
        "std_trainings": math.sqrt(np.maximum(0.0, v_folds - (within if alone else 0.0)) / repeats),
    }


def evidence(paired: Paired, sign: int, margin: float | None = None) -> dict[str, float]:
    """What the values of one pair of models on one organ say by themselves.

    Args:
        paired: the values.
        sign: 1 where a higher value is better, -1 where a lower one is.
        margin: the mean difference that does not matter; None where the study names none.

    Returns:
        n, mean_difference, std_difference, median_difference, p_value (see `signed_rank_p`; patients that only one of
        the two misses are its worst), effect_size and probability_a_better (both for a), margin, trainings_a and
        trainings_b, v_weights (the variance of the mean difference over patients alone), and what
        `spread_over_trainings` returns.
    """
    order = np.argsort(paired.differences, kind="stable")  # the same bits in whatever order the patients come
    a, b = (None if own is None else own[order] for own in paired.effects)
    paired = replace(paired, values=paired.values[order], effects=(a, b), ahead=paired.ahead[order])
    differences, n = paired.differences, len(order)
    with np.errstate(invalid="ignore"):  # 0 times infinity
        advantages = np.where(paired.ahead == 0, sign * differences, paired.ahead * math.inf)
        advantages = np.concatenate([advantages, paired.lost * math.inf])
    trainings_a, trainings_b = paired.trainings
    return {
        "n": n,
        "mean_difference": float(np.mean(differences)) if n else math.nan,
        "std_difference": float(np.std(differences, ddof=1)) if n > 1 else math.nan,
        "median_difference": float(np.median(differences)) if n else math.nan,
        "p_value": signed_rank_p(advantages),
        "effect_size": rank_biserial(advantages),
        "probability_a_better": probability_better(advantages),
        "margin": math.nan if margin is None else margin,
        "trainings_a": trainings_a,
        "trainings_b": trainings_b,
        "v_weights": float(np.var(differences, ddof=1)) / n if n > 1 else math.nan,
        **spread_over_trainings(paired),
    }


def shared(family: pd.DataFrame) -> pd.DataFrame:
    """Let the organs of a pair share what is known of the spread over trainings.

    Three trainings of two networks leave four degrees of freedom: an organ's own estimate is often far too small, and
    then a difference looks sure. So an organ's variance is the mean of its own and of the mean over organs, but never
    smaller than its own, and has twice the degrees of freedom; that is the idea of moderated tests (Smyth 2004). With
    fewer than three organs, and for the mean over organs, it is its own.

    Args:
        family: rows with the columns organ, model_a, model_b, v_trainings and df_trainings.

    Returns:
        The same rows with v_trainings and df_trainings as tests have to use them.
    """
    organs = family[(family["organ"] != ALL) & family["v_trainings"].notna()]
    by_pair = organs.groupby(["model_a", "model_b"])["v_trainings"]
    organs = organs.assign(mean=by_pair.transform("mean"), count=by_pair.transform("count"))
    organs = organs[organs["count"] >= LEAST_ORGANS]
    variance, df = family["v_trainings"].copy(), family["df_trainings"].copy()
    variance.loc[organs.index] = np.maximum(organs["v_trainings"], (organs["v_trainings"] + organs["mean"]) / 2)
    df.loc[organs.index] *= 2
    return family.assign(v_trainings=variance, df_trainings=df)


def yardsticks(rows: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """What mean differences are measured by: standard errors with their degrees of freedom, each of shape (row,).

    The second is that of the trainings alone, where they have fewer than `LEAST_DF` degrees of freedom (two trainings
    of each): Satterthwaite's approximation is too bold there. A test has to hold by both.

    Args:
        rows: with the columns n, v_weights and those of `spread_over_trainings`, after `shared`.

    Returns:
        Standard errors and degrees of freedom; of patients alone where nothing is known of trainings.
    """
    known = rows["v_trainings"].notna().to_numpy()
    patients, trainings = (rows[name].to_numpy(float) for name in ("v_patients", "v_trainings"))
    df_patients, df_trainings = (rows[name].to_numpy(float) for name in ("df_patients", "df_trainings"))
    with np.errstate(divide="ignore", invalid="ignore"):
        total = patients + trainings
        df = total**2 / (patients**2 / df_patients + trainings**2 / df_trainings)
        df = np.where(total > 0, df, df_patients)  # without any variance they do not matter
        first = np.sqrt(np.where(known, total, rows["v_weights"]))
        few = known & (df_trainings < LEAST_DF) & (patients > 0)
        second = np.where(few, np.sqrt(trainings), first)
    df = np.where(known, df, rows["n"].to_numpy(float) - 1)
    return [(first, df), (second, np.where(few, df_trainings, df))]


def weights_yardstick(rows: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """As `yardsticks`, but of patients alone: what is true of these very weights."""
    return [(np.sqrt(rows["v_weights"].to_numpy(float)), rows["n"].to_numpy(float) - 1)]


def mean_tests(rows: pd.DataFrame, measured_by: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Test the mean differences of rows, and give their intervals.

    Args:
        rows: with the columns n, mean_difference and margin.
        measured_by: see `yardsticks`.

    Returns:
        p_mean, two-sided p of Student's t-test that the mean difference is 0; p_equivalence, the larger p of two
        one-sided t-tests that it lies beyond the margin on either side (TOST, Schuirmann 1987), never below 0.5 ** n,
        the smallest p of a one-sided rank test of n patients, and NaN without a margin; ci_low and ci_high, the 95 %
        interval. Each (row,); NaN where there are fewer than two patients.
    """
    mean, n, margin = (rows[name].to_numpy(float) for name in ("mean_difference", "n", "margin"))
    p_mean, p_equivalence, reach = (np.zeros(len(rows)) for _ in range(3))
    inside = margin - np.abs(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        for error, df in measured_by:
            exact = np.isclose(error, 0, atol=1e-15)  # all differences are the same
            p = np.where(exact, np.isclose(mean, 0, atol=1e-15), 2 * stats.t.sf(np.abs(mean) / error, df))
            one_sided = np.where(exact, inside <= 0, stats.t.sf(inside / error, df))
            p_mean, p_equivalence = np.fmax(p_mean, p), np.fmax(p_equivalence, one_sided)
            reach = np.fmax(reach, np.where(exact, 0, error * stats.t.ppf((1 + CONFIDENCE) / 2, df)))
    unknown = np.isnan(measured_by[0][0])
    return {
        "p_mean": np.where(unknown, np.nan, p_mean),
        "p_equivalence": np.where(unknown | np.isnan(margin), np.nan, np.maximum(p_equivalence, 0.5**n)),
        "ci_low": np.where(unknown, np.nan, mean - reach),
        "ci_high": np.where(unknown, np.nan, mean + reach),
    }


def holm(p: np.ndarray) -> np.ndarray:
    """Correct the p values of a family by Holm's (1979) step-down method; NaN is no member and stays NaN."""
    corrected = np.full(len(p), np.nan)
    members = np.flatnonzero(~np.isnan(p))
    order = members[np.argsort(p[members], kind="stable")]
    steps = np.arange(len(order), 0, -1) * p[order]
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected
