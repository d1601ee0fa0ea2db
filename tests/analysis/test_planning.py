"""How many more patients or trainings would decide: by hand, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from organbench.analysis import planning
from organbench.analysis.evidence import signed_rank_p

NAN = math.nan


def row_of(n, mean, std, margin=NAN, *, training_sd=None, trainings=0):
    """A row whose differences have a standard deviation over patients, and means over patients one over trainings."""
    row = {"n": n, "mean_difference": mean, "margin": margin, "v_weights": std**2 / n}
    row |= dict.fromkeys(("v_patients", "df_patients", "v_trainings", "df_trainings", "v_within", "folds"), NAN)
    row |= {"trainings_a": trainings, "trainings_b": trainings}
    if training_sd is not None:
        row |= {"v_patients": std**2 / n, "df_patients": n - 1}
        row |= {"v_trainings": 2 * training_sd**2 / trainings, "df_trainings": 2 * (trainings - 1)}
    return row


def test_patients_follow_from_the_normal_approximation():
    """Guenther's (1981) formula, with fewer effective patients as two tests have to agree."""
    z = stats.norm.ppf
    needed = ((z(0.975) + z(0.8)) * 0.03 / 0.01) ** 2 / planning.EFFICIENCY + z(0.975) ** 2 / 2
    assert planning.more_patients(row_of(10, 0.01, 0.03), 0.05) == pytest.approx(needed - 10, abs=2)
    needed = ((z(0.95) + z(0.9)) * 0.03 / 0.01) ** 2 + z(0.95) ** 2 / 2
    assert planning.more_patients(row_of(10, 0.0, 0.03, 0.01), 0.05) == pytest.approx(needed - 10, abs=2)


def test_where_no_number_of_patients_would_do():
    assert planning.more_patients(row_of(4, 0.5, 0.01), 0.05) == 2  # no signed-rank test of five reaches 0.05
    assert planning.more_patients(row_of(90, 0.01, 0.01), 0.05) == 1
    assert planning.more_patients(row_of(9, 0.0, 0.01), 0.05) == math.inf
    assert math.isnan(planning.more_patients(row_of(1, 0.1, NAN), 0.05))
    assert planning.more_patients(row_of(20, 0.01, 0.02, training_sd=0.02, trainings=3), 0.05) == math.inf
    assert math.isnan(planning.more_trainings(row_of(20, 0.01, 0.02), 0.05))


def share_decided(n, trainings, mean, std, training_sd, level, count=400):
    """How many simulated studies on such a row find the difference by both tests."""
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(count):
        differences = rng.normal(mean, std, n)
        a, b = (rng.normal(0, training_sd, trainings) for _ in range(2))
        differences = differences + a.mean() - b.mean()
        patients, spread = differences.var(ddof=1) / n, (a.var(ddof=1) + b.var(ddof=1)) / trainings
        df = (patients + spread) ** 2 / (patients**2 / (n - 1) + spread**2 / (2 * trainings - 2))
        p = 2 * stats.t.sf(abs(differences.mean()) / math.sqrt(patients + spread), df)
        found += p < level and signed_rank_p(differences) < level
    return found / count


@pytest.mark.parametrize("level", [0.05, 0.05 / 7])
def test_so_many_patients_decide_as_often_as_promised(level):
    """80 %; 400 studies lie within 4 points of it (two standard errors)."""
    row = row_of(5, 0.01, 0.02)
    n = 5 + int(planning.more_patients(row, level))
    rng = np.random.default_rng(5)
    both = []
    for differences in rng.normal(0.01, 0.02, (400, n)):
        p = stats.ttest_1samp(differences, 0).pvalue
        both.append(p < level and signed_rank_p(differences) < level)
    assert 0.76 <= np.mean(both) <= 0.86
    row = row_of(12, 0.03, 0.05, training_sd=0.006, trainings=5)
    n = 12 + int(planning.more_patients(row, level))
    assert 0.76 <= share_decided(n, 5, 0.03, 0.05, 0.006, level) <= 0.86


def test_so_many_trainings_decide_as_often_as_promised():
    row = row_of(60, 0.015, 0.03, training_sd=0.015, trainings=3)
    more = int(planning.more_trainings(row, 0.05))
    assert more > 5
    assert 0.76 <= share_decided(60, 3 + more, 0.015, 0.03, 0.015, 0.05) <= 0.9


def test_in_k_folds_patients_and_seeds_are_told_apart():
    row = row_of(40, 0.01, 0.02) | {"v_patients": 0.0, "df_patients": 39, "v_trainings": 4e-5, "df_trainings": 8}
    row |= {"v_within": 1e-5, "folds": 5, "trainings_a": 5, "trainings_b": 5}
    assert planning.parts(row) == pytest.approx((1e-5, 3e-5))
    few, many = (planning.more_trainings(row | {"v_within": within}, 0.05) for within in (1e-6, 1e-5))
    assert 1 <= few <= many
