"""What networks score in each group of patients (centre, scanner, ...), and whether their difference is another there.

A difference that is significant in one group and not in another need not differ between them: the groups may just have
other numbers of patients. So the difference of the differences is tested itself, the interaction of network and group.
"""

import math
from collections.abc import Collection, Mapping
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from organbench.analysis import statistics
from organbench.analysis.evidence import holm
from organbench.analysis.statistics import CONFIDENCE, by_organ, metrics_of, patients_of, training_values
from organbench.analysis.verdicts import compare
from organbench.data.splits import natural

KEYS = ["metric", "organ", "model_a", "model_b", "group"]
DIFFERENCE = ["n", "mean_difference", "ci_low", "ci_high"]
INTERACTION = ["n_others", "interaction", "interaction_low", "interaction_high", "p_value"]
DIFFERENCES = [*KEYS, *DIFFERENCE, *INTERACTION, "p_holm", "scope"]


def group_summaries(per_case: pd.DataFrame, groups: Mapping[str, str]) -> pd.DataFrame:
    """Summarise every metric of every model and organ over the patients of each group.

    Args:
        per_case: see `statistics.case_values`.
        groups: of each case its group; all cases of a patient are of one.

    Returns:
        Columns metric, model, organ, group, n (patients with a value), mean, std (sample standard deviation), median,
        and ci_low and ci_high, the 95 % interval of the mean (see `statistics.interval`). A row for every combination,
        also where n is 0; organ `all` last, groups in natural order.
    """
    of_patient = patient_groups(per_case, groups)
    values = statistics.patient_values(per_case)
    group_of = values["case"].map(of_patient)
    rows = []
    groups_of = sorted(of_patient.unique(), key=natural)
    for metric in metrics_of(per_case):
        for model, organ, group in product(values["model"].unique(), values["organ"].unique(), groups_of):
            chosen = (values["model"] == model) & (values["organ"] == organ) & (group_of == group)
            place = {"metric": metric, "model": model, "organ": organ, "group": group}
            rows.append(place | statistics.described(values.loc[chosen, metric]))
    return pd.DataFrame(rows)


def patient_groups(per_case: pd.DataFrame, groups: Mapping[str, str]) -> pd.Series:
    """The group of each patient, index patient."""
    return per_case["case"].map(groups).groupby(patients_of(per_case), sort=False).first()


def group_differences(
    per_case: pd.DataFrame,
    groups: Mapping[str, str],
    margins: Mapping[str, float] | None = None,
    fixed: Collection[str] = (),
) -> pd.DataFrame:
    """Compare every pair of models within each group, and test whether their difference is another one there.

    Args:
        per_case: see `verdicts.compare`; needs the columns fold and seed.
        groups: of each case its group; all cases of a patient are of one.
        margins: see `verdicts.compare`.
        fixed: see `verdicts.compare`.

    Returns:
        Columns metric, organ, model_a, model_b, group; n, mean_difference, ci_low and ci_high (of `verdicts.compare`,
        on the group's cases alone); those of `interaction`, of the group against all other groups together; p_holm (the
        interaction's p, corrected after Holm 1979 for all rows of the metric; of two groups, whose rows hold the same
        test twice, it counts once); and scope. No rows for a single model.
    """
    tests = interactions(per_case, groups)
    if tests.empty:
        return pd.DataFrame(columns=DIFFERENCES)
    by_group = per_case.groupby(per_case["case"].map(groups))
    within = [compare(rows, margins, fixed).assign(group=group) for group, rows in by_group]
    table = tests.merge(pd.concat(within)[[*KEYS, *DIFFERENCE]], on=KEYS, how="left")
    return table.assign(n=table["n"].fillna(0).astype(int))[DIFFERENCES]


def interactions(per_case: pd.DataFrame, groups: Mapping[str, str]) -> pd.DataFrame:
    """Test of every pair of models and every group whether their difference is another there than in all other groups.

    Args:
        per_case: see `statistics.training_values`.
        groups: of each case its group; all cases of a patient are of one.

    Returns:
        Columns metric, organ, model_a, model_b, group, those of `interaction`, and p_holm: see `group_differences`.
    """
    of_patient = patient_groups(per_case, groups)
    names = sorted(of_patient.unique(), key=natural)
    tables = [pd.DataFrame(columns=[*KEYS, *INTERACTION, "scope", "p_holm"])]
    for metric in metrics_of(per_case):
        rows = []
        for model_a, model_b in combinations(per_case["model"].unique(), 2):
            for organ, own in by_organ(training_values(per_case, metric, [model_a, model_b]), per_case):
                group_of = own.index.get_level_values("case").map(of_patient).to_numpy()
                place = {"metric": metric, "organ": organ, "model_a": model_a, "model_b": model_b}
                rows += [{**place, "group": group, **interaction(own, group_of == group)} for group in names]
        if rows:
            p = np.array([row["p_value"] for row in rows])
            alike = 2 if len(names) == 2 else 1  # of two groups, the row of the second holds the test of the first
            tables.append(pd.DataFrame(rows).assign(p_holm=np.repeat(holm(p[::alike]), alike)))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def interaction(values: pd.DataFrame, inside: np.ndarray) -> dict[str, float | str]:
    """Test whether the difference of two models is another in a group of patients than outside it.

    The contrast is the mean difference inside minus that outside. Its variance is that of patients, s1^2 / n1 + s2^2 /
    n2 (Welch 1947), and, where both models have several trainings, that of trainings. Of a model's S trainings of a
    fold each has its part of the contrast; the spread s^2 of these parts makes their sum vary by S s^2. With one fold
    and the same test patients for all trainings that is s^2 / S of each training's own contrast. Satterthwaite's (1946)
    degrees of freedom put the variances together, but with trainings no more than these have themselves (S - 1 a model
    and fold): where trainings vary most and two happen to be alike, the whole variance seems small and its degrees of
    freedom, then those of patients, many; in a family of 21 tests that alone made up to 27 % of false ones.

    Args:
        values: a row per patient, a column per training of one of two models (see `statistics.training_values`).
        inside: which patients are in the group, shape (patients,).

    Returns:
        n_others (patients outside); interaction (the contrast), interaction_low and interaction_high (its 95 %
        interval), p_value (two-sided); NaN where there are fewer than two patients inside or outside. scope is
        `networks` where trainings are in the variance, `weights` where not.
    """
    fold_of = pd.factorize(values.columns.droplevel("seed"))[0]  # of each training its model and fold
    several = bool(len(fold_of)) and np.bincount(fold_of).min() > 1
    result: dict[str, float | str] = dict.fromkeys(INTERACTION, np.nan)
    result |= {"n_others": int((~inside).sum()), "scope": "networks" if several else "weights"}
    if min(inside.sum(), (~inside).sum()) < 2:
        return result
    shares, of_model = statistics.parts(values)
    difference = shares @ of_model @ [1, -1]
    variances = [(difference[side].var(ddof=1) / side.sum(), side.sum() - 1) for side in (inside, ~inside)]
    if several:
        contrasts = (inside / inside.sum() - ~inside / (~inside).sum()) @ shares  # what each training adds
        for fold in range(fold_of.max() + 1):
            own = contrasts[fold_of == fold]
            variances.append((len(own) * own.var(ddof=1), len(own) - 1))
    most = sum(own for _, own in variances[2:]) if several else math.inf
    return result | t_test(difference[inside].mean() - difference[~inside].mean(), variances, most)


def t_test(contrast: float, variances: list[tuple[float, int]], most: float = math.inf) -> dict[str, float]:
    """Test a contrast against 0 by Student's t with Satterthwaite's (1946) degrees of freedom.

    Args:
        contrast: the estimate.
        variances: the independent parts of its variance, each with its degrees of freedom.
        most: degrees of freedom that the test has at most.

    Returns:
        interaction (the contrast), interaction_low, interaction_high and p_value; without any variance p is 1 where the
        contrast is 0 and 0 where not, as in `evidence.mean_tests`.
    """
    variance = sum(part for part, _ in variances)
    error = math.sqrt(variance)
    if error == 0:
        p, reach = float(contrast == 0), 0.0
    else:
        freedom = min(most, variance**2 / sum(part**2 / own for part, own in variances))
        p = float(2 * stats.t.sf(abs(contrast) / error, freedom))
        reach = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
    ends = {"interaction_low": contrast - reach, "interaction_high": contrast + reach}
    return {"interaction": float(contrast), **ends, "p_value": p}
