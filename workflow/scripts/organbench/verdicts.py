"""From the differences of two networks on the same patients to a verdict, by one stated rule.

All rows of a metric (every organ, the mean over organs and every pair of networks) are one family, and each of three
tests is corrected for it by Holm's method. Of `model_a` the verdict is

- `equivalent`: the equivalence test is < 0.05, so the mean difference is shown to be smaller than the margin, even
  where it is also shown not to be zero;
- `better` or `worse`: the signed-rank test and the test of the mean are both < 0.05, in the same direction;
- `undecided`: anything else.

Both tests, because one is about ranks, which a single patient cannot sway, and the other about the mean, which is what
is reported. In a study without any true difference the chance of even one `better` or `worse` among a metric's rows is
at most 5 %, and so is that of one `equivalent` where all differences reach the margin, as far as differences scatter
evenly around their mean (docs/metrics.md has what was simulated).
"""

import functools
import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from organbench.statistics import ALL, CONFIDENCE, MEASURES, metrics_of, paired_values, seed_spread

ALPHA = 0.05  # the chance of one false verdict in a family
POWER = 0.8  # with which the patients that `patients_to_decide` asks for would decide
MANY = 10_000  # patients; a larger number is not told
VERDICTS = ("better", "worse", "equivalent", "undecided")

COMPARISON = [
    *("metric", "organ", "model_a", "model_b", "n", "missing", "mean_difference", "ci_low", "ci_high"),
    *("std_difference", "median_difference", "p_value", "p_holm", "p_mean", "p_mean_holm"),
    *("effect_size", "probability_a_better", "margin", "p_equivalence", "p_equivalence_holm"),
    *("seed_std_a", "seed_std_b"),
    *("verdict", "more_patients", "words"),
]
RANKS = [
    *("metric", "organ", "model", "n", "average_rank"),
    *("friedman_p", "friedman_p_holm", "critical_difference", "groups"),
]


def sign(metric: str) -> int:
    """What a difference (a minus b) is multiplied by so that it is positive where a is better."""
    return 1 if MEASURES[metric].best else -1


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's (1945) signed-rank test that differences are symmetric about 0.

    Exact for any number of patients, with ties too: the distribution of the rank sum under all choices of signs is
    built up rank by rank. (scipy's is exact only without ties or zeros, and takes a second for thirteen patients with.)
    Zeros are ranked with the others and then left out (Pratt 1959), so that many of them weaken the evidence.

    Args:
        differences: a number a patient, shape (n,), without NaN.

    Returns:
        p; 1 where all differences are 0, NaN without any.
    """
    if len(differences) == 0:
        return np.nan
    doubled = np.rint(2 * stats.rankdata(np.abs(differences))).astype(int)  # shared ranks are halves
    probability = np.ones(1)  # of each doubled rank sum of positive differences
    for rank_of_one in doubled[differences != 0]:
        probability = (np.pad(probability, (0, rank_of_one)) + np.pad(probability, (rank_of_one, 0))) / 2
    found = doubled[differences > 0].sum()
    return float(min(1.0, 2 * min(probability[: found + 1].sum(), probability[found:].sum())))


def mean_interval(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % confidence interval of a mean difference by Student's t.

    Not by the bootstrap: differences of paired values are nearly symmetric, and then this interval holds its level for
    few patients, where bootstrap intervals are too narrow.

    Args:
        differences: a number a patient, shape (n,), without NaN.

    Returns:
        The interval's ends; NaN for fewer than two patients.
    """
    n = len(differences)
    if n < 2:
        return np.nan, np.nan
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1)) / math.sqrt(n)
    reach = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
    return mean - reach, mean + reach


def mean_p(differences: np.ndarray) -> float:
    """Two-sided p of Student's paired t-test that the mean difference is 0; NaN for fewer than two patients."""
    if len(differences) < 2:
        return np.nan
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    return float(2 * stats.t.sf(abs(mean) / error, len(differences) - 1)) if error > 0 else float(mean == 0)


def equivalence_p(differences: np.ndarray, margin: float | None) -> float:
    """P of the test that the mean difference lies beyond the margin on either side, against that it lies within.

    Two one-sided paired t-tests (TOST, Schuirmann 1987), the larger p of the two; p < 0.05 is the same as a 90 % t
    interval that lies within the margin. It is never below 0.5 ** n, the smallest p of a one-sided rank test of n
    patients: two or three patients prove nothing, however alike their differences are.

    Args:
        differences: a number a patient, shape (n,), without NaN.
        margin: the largest mean difference that does not matter, in the unit of the differences; None where the study
            names none.

    Returns:
        p; NaN without a margin or with fewer than two patients.
    """
    n = len(differences)
    if margin is None or n < 2:
        return np.nan
    distance = margin - abs(float(np.mean(differences)))
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    p = float(stats.t.sf(distance / error, n - 1)) if error > 0 else float(distance <= 0)
    return max(p, 0.5**n)


def holm(p: np.ndarray) -> np.ndarray:
    """Correct the p values of a family by Holm's (1979) step-down method; NaN is no member and stays NaN."""
    corrected = np.full(len(p), np.nan)
    members = np.flatnonzero(~np.isnan(p))
    order = members[np.argsort(p[members], kind="stable")]
    steps = np.arange(len(order), 0, -1) * p[order]
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def rank_biserial(advantages: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): the share of rank sums for a, minus that against it.

    Ranks of absolute differences as in `signed_rank_p`: zeros are ranked and count for neither.

    Args:
        advantages: by how much a is better, a number a patient, shape (n,), without NaN.

    Returns:
        1 where a is better on every patient, -1 where b is, 0 where all are equal; NaN without any.
    """
    if len(advantages) == 0:
        return np.nan
    ranks = stats.rankdata(np.abs(advantages)) * (advantages != 0)
    return float((ranks * np.sign(advantages)).sum() / ranks.sum()) if ranks.any() else 0.0


def probability_better(advantages: np.ndarray) -> float:
    """The share of patients on which a is better, ties half: what to expect on a new patient. NaN without any."""
    return float(np.mean((np.sign(advantages) + 1) / 2)) if len(advantages) else np.nan


def patients_to_decide(row: Mapping[str, Any], alpha: float) -> float:
    """About how many more patients would decide, if differences went on like those seen so far.

    That is for 80 % power, by the normal approximation with Guenther's (1981) correction, and for whichever verdict
    takes fewer patients. With mean m and standard deviation s of the differences, and z the quantiles of the normal
    distribution:

    - to show a difference: ((z(1 - alpha / 2) + z(0.8)) s / m) ** 2 + z(1 - alpha / 2) ** 2 / 2;
    - to show equivalence: ((z(1 - alpha) + z(0.9)) s / (margin - |m|)) ** 2 + z(1 - alpha) ** 2 / 2 (Chow, Shao and
      Wang 2008);

    and no fewer than with which the tests can reach `alpha` at all. It inherits the error of m, so it is a guide to the
    size of the next study and no promise.

    Args:
        row: with the columns n, mean_difference, std_difference and margin of `evidence`.
        alpha: level that the test has to reach.

    Returns:
        Patients besides those there are, 1 or more; infinity where m is 0 and there is no margin; NaN for fewer than
        two patients.
    """
    if row["n"] < 2:
        return np.nan
    mean, spread = abs(row["mean_difference"]), row["std_difference"]
    needed = math.inf
    for shift, z, power, least in (
        (mean, stats.norm.ppf(1 - alpha / 2), POWER, 1 - math.log2(alpha)),
        (row["margin"] - mean, stats.norm.ppf(1 - alpha), (1 + POWER) / 2, -math.log2(alpha)),
    ):
        if shift > 0:
            needed = min(needed, max(least, ((z + stats.norm.ppf(power)) * spread / shift) ** 2 + z**2 / 2))
    return max(1.0, math.ceil(needed) - row["n"]) if math.isfinite(needed) else math.inf


def verdict(row: Mapping[str, Any]) -> str:
    """The verdict on a, by the rule at the top of this module.

    Args:
        row: with the columns metric, mean_difference, effect_size, p_holm, p_mean_holm and p_equivalence_holm.

    Returns:
        One of `VERDICTS`; NaN decides nothing.
    """
    if row["p_equivalence_holm"] < ALPHA:
        return "equivalent"
    if row["p_holm"] < ALPHA and row["p_mean_holm"] < ALPHA:
        advantage = sign(row["metric"]) * row["mean_difference"]
        if advantage > 0 and row["effect_size"] > 0:
            return "better"
        if advantage < 0 and row["effect_size"] < 0:
            return "worse"
    return "undecided"


def sentence(row: Mapping[str, Any]) -> str:
    """Say in words what a row of the comparison table found.

    Args:
        row: with the columns of `compare`.

    Returns:
        One sentence without a full stop. A difference that is told as "better by" is positive, whichever way its metric
        goes; any other is a minus b. It ends with what a reader has to know besides: cases that were left out because
        a network had no value, and a difference that is smaller than the larger standard deviation over seeds.
    """
    a, b, measure = row["model_a"], row["model_b"], MEASURES[row["metric"]]
    organ = "over all organs" if row["organ"] == ALL else f"on the {row['organ'].replace('_', ' ')}"
    difference, low, high = (measure.scale * row[key] for key in ("mean_difference", "ci_low", "ci_high"))
    if row["n"] == 0:
        return f"no case gives both {a} and {b} a value {organ}"
    if row["verdict"] in ("better", "worse") and difference < 0:
        difference, low, high = -difference, -high, -low
    digits = 1 if not high - low < 0.5 else 2
    size = f"{difference:z.{digits}f} {measure.unit}"
    if not math.isnan(low):
        size += f" [{low:z.{digits}f}, {high:z.{digits}f}]"
    if row["verdict"] in ("better", "worse"):
        told = f"{a} is {row['verdict']} than {b} {organ} by {size}"
    elif row["verdict"] == "equivalent":
        told = f"{a} and {b} are equivalent {organ}: {a} - {b} is {size}, within {measure.scale * row['margin']:g}"
    else:
        told = f"undecided between {a} and {b} {organ}: {a} - {b} is {size}"
        if row["more_patients"] > MANY:
            told += f"; more than {MANY} more patients would have to decide"
        elif row["more_patients"] > 0:
            count = round(row["more_patients"], 1 - math.floor(math.log10(row["more_patients"])))  # two digits
            told += f"; about {count:.0f} more patients would decide"
    if row["missing"]:
        told += f"; {row['missing']} cases without a value are left out"
    if abs(row["mean_difference"]) < np.fmax(row["seed_std_a"], row["seed_std_b"]):
        told += "; seeds of one network differ by more"
    return told


def evidence(differences: np.ndarray, metric: str, margin: float | None = None) -> dict[str, float]:
    """What the differences of one pair of models on one organ say by themselves.

    Args:
        differences: a minus b, a number a patient, shape (n,), without NaN.
        metric: of which metric; it says which sign is better.
        margin: as in `equivalence_p`.

    Returns:
        n, mean_difference, ci_low and ci_high (see `mean_interval`), std_difference, median_difference, p_value (see
        `signed_rank_p`), p_mean, effect_size and probability_a_better (both for a, whichever way the metric goes),
        margin and p_equivalence.
    """
    differences = np.sort(differences)  # the same bits in whatever order the patients come
    advantages = sign(metric) * differences
    low, high = mean_interval(differences)
    some, several = len(differences) > 0, len(differences) > 1
    return {
        "n": len(differences),
        "mean_difference": float(np.mean(differences)) if some else np.nan,
        "ci_low": low,
        "ci_high": high,
        "std_difference": float(np.std(differences, ddof=1)) if several else np.nan,
        "median_difference": float(np.median(differences)) if some else np.nan,
        "p_value": signed_rank_p(differences),
        "p_mean": mean_p(differences),
        "effect_size": rank_biserial(advantages),
        "probability_a_better": probability_better(advantages),
        "margin": np.nan if margin is None else margin,
        "p_equivalence": equivalence_p(differences, margin),
    }


def judge(family: pd.DataFrame) -> pd.DataFrame:
    """Correct the p values of a family of comparisons and give each its verdict.

    Args:
        family: all rows of one metric, with the columns metric, organ, model_a, model_b, missing, seed_std_a,
            seed_std_b and those of `evidence`.

    Returns:
        The family with the columns p_holm, p_mean_holm, p_equivalence_holm, verdict, more_patients (NaN where decided)
        and words.
    """
    for test, corrected in (("value", "p_holm"), ("mean", "p_mean_holm"), ("equivalence", "p_equivalence_holm")):
        family = family.assign(**{corrected: holm(family[f"p_{test}"].to_numpy())})
    alpha = ALPHA / max(1, family["p_value"].count())
    found, more, words = [], [], []
    for row in family.to_dict("records"):
        row["verdict"] = verdict(row)
        row["more_patients"] = patients_to_decide(row, alpha) if row["verdict"] == "undecided" else np.nan
        found.append(row["verdict"])
        more.append(row["more_patients"])
        words.append(sentence(row))
    return family.assign(verdict=found, more_patients=more, words=words)


def compare(per_case: pd.DataFrame, margins: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Compare every pair of models over the cases that both were scored on, and judge.

    Args:
        per_case: see `statistics.case_values`; needs the column dice.
        margins: for each metric that has one the mean difference that does not matter, in the metric's unit.

    Returns:
        The columns `COMPARISON`: metric, organ, model_a, model_b; those of `evidence` (differences are a minus b on the
        same case, see `statistics.paired_values`); missing (cases that are left out because one of them has no value
        although both have a Dice coefficient); seed_std_a and seed_std_b (see `statistics.seed_spread`); and those of
        `judge`. Every unordered pair once, in order of first appearance; no rows for a single model.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    metrics, organs = metrics_of(per_case), [*per_case["organ"].unique(), ALL]
    spread = seed_spread(per_case.assign(**{metric: per_case[metric].abs() for metric in metrics}))
    pairs = list(combinations(per_case["model"].unique(), 2))
    scored = {pair: paired_values(per_case, "dice", pair).index for pair in pairs}
    tables = [pd.DataFrame(columns=COMPARISON)]
    for metric in metrics if pairs else []:
        rows = []
        for pair in pairs:
            values = paired_values(per_case, metric, pair)
            differences = values[pair[0]] - values[pair[1]]
            lacking = scored[pair].difference(values.index).to_frame(index=False)
            for organ in organs:
                seed_std_a, seed_std_b = (spread.loc[(model, organ), metric] for model in pair)
                rows.append(
                    {
                        "metric": metric,
                        "organ": organ,
                        "model_a": pair[0],
                        "model_b": pair[1],
                        **evidence(of_organ(differences, organ), metric, (margins or {}).get(metric)),
                        "missing": lacking.loc[(lacking["organ"] == organ) | (organ == ALL), "case"].nunique(),
                        "seed_std_a": seed_std_a,
                        "seed_std_b": seed_std_b,
                    }
                )
        tables.append(judge(pd.DataFrame(rows))[COMPARISON])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def of_organ(values: pd.Series | pd.DataFrame, organ: str) -> np.ndarray:
    """The values of one organ, of an index with organ and case; none where it has none."""
    return values[values.index.get_level_values("organ") == organ].to_numpy()


def rank(per_case: pd.DataFrame) -> pd.DataFrame:
    """Rank three or more models on every case, and test whether their average ranks differ.

    The cases are those where all models have a value; rank 1 is the best, equal values share the mean of their ranks.
    Friedman's (1937) test asks whether the models differ at all. Two of them differ where their average ranks do by at
    least Nemenyi's critical difference q sqrt(k (k + 1) / (6 n)), with q the 95 % quantile of the studentised range of
    k models, divided by sqrt(2) (Demsar 2006).

    Args:
        per_case: see `statistics.case_values`; needs the column dice.

    Returns:
        Columns metric, organ, model, n (cases), average_rank, friedman_p, friedman_p_holm (over the organs of the
        metric), critical_difference and groups: models of one metric and organ that share a letter are not told apart
        (all of them, where friedman_p_holm >= 0.05). Models in order of their rank; no rows for fewer than three.
    """
    models = list(per_case["model"].unique())
    tables = [pd.DataFrame(columns=RANKS)]
    for metric in metrics_of(per_case) if len(models) > 2 else []:
        values = paired_values(per_case, metric, models)
        organs = [*per_case["organ"].unique(), ALL]
        samples = [sign(metric) * of_organ(values, organ) for organ in organs]
        p = np.array([friedman_p(sample) for sample in samples])
        for organ, sample, own, corrected in zip(organs, samples, p, holm(p), strict=True):
            critical = critical_difference(len(models), len(sample))
            ranks = stats.rankdata(-sample, axis=1).mean(axis=0) if len(sample) else np.full(len(models), np.nan)
            order = np.argsort(ranks, kind="stable")
            table = pd.DataFrame({"model": np.array(models, dtype=object)[order], "average_rank": ranks[order]})
            tables.append(
                table.assign(
                    metric=metric,
                    organ=organ,
                    n=len(sample),
                    friedman_p=own,
                    friedman_p_holm=corrected,
                    critical_difference=critical,
                    groups=letters(ranks[order], critical if corrected < ALPHA else math.inf),
                )[RANKS]
            )
    return pd.concat(tables[1:] or tables, ignore_index=True)


def friedman_p(values: np.ndarray) -> float:
    """P of Friedman's test that models have the same ranks, by scipy's chi-squared approximation.

    Args:
        values: a row a case, a column a model (three or more), without NaN.

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
