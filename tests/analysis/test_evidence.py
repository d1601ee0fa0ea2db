"""What patients and trainings say of a difference: against SciPy, by hand, and by simulation."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tiny import examples

from organbench.analysis import evidence
from organbench.analysis.evidence import Paired, holm

NAN = np.nan


def holdout(a, b, **changes):
    """Two networks' values (patient, training), all trainings tested on the same patients."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    effects = tuple(own - own.mean(axis=1, keepdims=True) for own in (a, b))
    values = np.stack([a.mean(axis=1), b.mean(axis=1)], axis=1)
    folds = (np.zeros(a.shape[1], int), np.zeros(b.shape[1], int))
    return dataclasses.replace(Paired(values, effects, folds, np.zeros(len(a)), np.zeros(0)), **changes)


def folds(a, b, fold):
    """Two networks' values (patient, seed), each patient tested in a fold of its own."""
    columns = np.repeat(np.arange(fold.max() + 1), np.shape(a)[1])
    tested = fold[:, None] == columns
    sample = holdout(a, b)
    effects = tuple(np.where(tested, np.tile(own, fold.max() + 1), NAN) for own in sample.effects)
    return dataclasses.replace(sample, effects=effects, folds=(columns, columns))


def row_of(paired, margin=None, organ="liver"):
    names = {"organ": organ, "model_a": "a", "model_b": "b"}
    return pd.DataFrame([names | evidence.evidence(paired, 1, margin)])


def judged(paired, margin=None):
    rows = evidence.shared(row_of(paired, margin))
    return {name: value[0] for name, value in evidence.mean_tests(rows, evidence.yardsticks(rows)).items()}


def on_weights(differences, margin=None):
    """The tests of differences of two models of one training each."""
    differences = np.asarray(differences, float)[:, None]
    return judged(holdout(differences, np.zeros_like(differences)), margin)


# --- ranks and corrections


def test_p_is_scipys_signed_rank_test():
    differences = np.random.default_rng(0).normal(0.01, 0.02, 20)
    assert evidence.signed_rank_p(differences) == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert evidence.signed_rank_p(np.arange(1.0, 7)) == pytest.approx(2 / 2**6)
    many = np.random.default_rng(1).normal(0.002, 0.02, 200)
    assert evidence.signed_rank_p(many) == pytest.approx(stats.wilcoxon(many).pvalue, rel=0.01)  # that is approximate


def test_zeros_count_as_ties_and_weaken_the_evidence():
    some = np.array([1.0, 1, 2, 3, 4, -1, -2])
    zeros = np.concatenate([some, np.zeros(2)])
    for differences in (some, zeros):
        expected = stats.wilcoxon(differences, zero_method="pratt").pvalue  # by going through all signs
        assert evidence.signed_rank_p(differences) == pytest.approx(expected)
    assert evidence.signed_rank_p(zeros) >= evidence.signed_rank_p(some)
    assert evidence.signed_rank_p(np.zeros(5)) == 1
    assert np.isnan(evidence.signed_rank_p(np.array([])))


@examples(60)
@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=30))
def test_swapping_the_networks_turns_the_signs_and_nothing_else(values):
    values = np.array(values)
    assert evidence.signed_rank_p(values) == pytest.approx(evidence.signed_rank_p(-values))
    assert evidence.rank_biserial(values) == pytest.approx(-evidence.rank_biserial(-values))
    assert evidence.probability_better(values) == pytest.approx(1 - evidence.probability_better(-values))
    assert -1 <= evidence.rank_biserial(values) <= 1


def test_holm_by_hand_and_without_nan():
    found = holm(np.array([0.04, NAN, 0.01, 0.03, 0.005]))
    assert found == pytest.approx([0.06, NAN, 0.03, 0.06, 0.02], nan_ok=True)
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
    assert holm(np.array([NAN])) == pytest.approx([NAN], nan_ok=True)


@examples(60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_none_and_bonferroni(p):
    p = np.array(p)
    found = holm(p)
    assert (found >= p).all()
    assert (found <= np.minimum(1, len(p) * p)).all()
    assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0).all()


def test_rank_biserial_by_hand():
    assert evidence.rank_biserial(np.array([1.0, 2, -3])) == pytest.approx((1 + 2 - 3) / 6)
    assert evidence.rank_biserial(np.array([1.0, 2, 3])) == 1
    assert evidence.rank_biserial(np.array([0.0, 2])) == 1  # the zero has rank 1 and counts for neither
    assert evidence.rank_biserial(np.zeros(3)) == 0


def test_probability_of_being_better_counts_ties_half():
    assert evidence.probability_better(np.array([0.1, 0.2, -0.1, 0])) == pytest.approx(2.5 / 4)


def test_differences_that_differ_in_the_last_bits_share_a_rank():
    """0.1 is not 0.1: subtracting Dice coefficients gives it in several ways, which made p .156 of .219."""
    differences = np.array([0.9 - 0.8, 0.5 - 0.4, 0.3 - 0.2, 0.8 - 0.7, -0.1, -0.05, 0.2])
    exact = np.array([0.1, 0.1, 0.1, 0.1, -0.1, -0.05, 0.2])
    assert len(set(differences[:4])) > 1
    assert evidence.signed_rank_p(differences) == evidence.signed_rank_p(exact)
    assert evidence.rank_biserial(differences) == evidence.rank_biserial(exact)
    assert evidence.signed_rank_p(np.array([0.3 - 0.2 - 0.1, 1.0, 2.0])) == evidence.signed_rank_p(
        np.array([0, 1.0, 2.0])
    )


# --- one training each: patients alone


def test_equivalence_is_two_one_sided_t_tests():
    differences = np.random.default_rng(1).normal(0.001, 0.01, 15)
    expected = max(
        stats.ttest_1samp(differences, -0.01, alternative="greater").pvalue,
        stats.ttest_1samp(differences, 0.01, alternative="less").pvalue,
    )
    assert on_weights(differences, 0.01)["p_equivalence"] == pytest.approx(max(expected, 0.5**15))
    low, high = stats.t.interval(0.9, 14, differences.mean(), stats.sem(differences))
    assert on_weights(differences, max(-low, high))["p_equivalence"] == pytest.approx(0.05)


def test_a_few_patients_prove_no_equivalence():
    assert on_weights(np.zeros(3), 0.01)["p_equivalence"] == 0.125
    assert on_weights(np.zeros(10), 0.01)["p_equivalence"] == pytest.approx(0.5**10)
    assert on_weights(np.full(10, 0.02), 0.01)["p_equivalence"] == 1
    assert np.isnan(on_weights(np.zeros(1), 0.01)["p_equivalence"])
    assert np.isnan(on_weights(np.zeros(9))["p_equivalence"])


def test_the_interval_and_the_test_of_a_mean_difference_are_students():
    differences = np.random.default_rng(1).normal(0.001, 0.01, 15)
    found = on_weights(differences)
    assert found["p_mean"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert [on_weights(np.full(3, value))["p_mean"] for value in (0.0, 0.25)] == [1, 0]
    assert np.isnan(on_weights(np.ones(1))["p_mean"])
    expected = stats.t.interval(0.95, 14, differences.mean(), stats.sem(differences))
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(expected)
    constant = on_weights(np.full(3, 0.25))
    assert (constant["ci_low"], constant["ci_high"]) == (0.25, 0.25)
    assert np.isnan(on_weights(np.ones(1))["ci_low"])


# --- several trainings


def draw(rng, patients, trainings, training_sd, residual_sd=0.0):
    return rng.normal(0, training_sd, trainings) + rng.normal(0, residual_sd, (patients, trainings))


def test_where_patients_do_not_vary_it_is_the_t_test_of_two_groups_of_trainings():
    rng = np.random.default_rng(0)
    a, b = draw(rng, 9, 4, 0.02), draw(rng, 9, 3, 0.02)
    found, expected = judged(holdout(a, b)), stats.ttest_ind(a[0], b[0])
    assert found["p_mean"] == pytest.approx(expected.pvalue)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_where_trainings_do_not_vary_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = (np.repeat(rng.normal(0.8, 0.1, (12, 1)), 3, axis=1) for _ in range(2))
    assert judged(holdout(a, b))["p_mean"] == pytest.approx(stats.ttest_rel(a[:, 0], b[:, 0]).pvalue)


def test_the_variance_is_the_sum_of_both():
    rng = np.random.default_rng(3)
    a, b = draw(rng, 20, 3, 0.02, 0.03), draw(rng, 20, 5, 0.02, 0.03)
    row = row_of(holdout(a, b)).iloc[0]
    pooled = (2 * a.mean(axis=0).var(ddof=1) + 4 * b.mean(axis=0).var(ddof=1)) / 6
    assert row["v_patients"] == pytest.approx((a.mean(axis=1) - b.mean(axis=1)).var(ddof=1) / 20)
    assert row["v_trainings"] == pytest.approx(pooled * (1 / 3 + 1 / 5))
    assert (row["df_patients"], row["df_trainings"]) == (19, 6)
    assert row["std_trainings"] == pytest.approx(math.sqrt(pooled))
    total = row["v_patients"] + row["v_trainings"]
    df = total**2 / (row["v_patients"] ** 2 / 19 + row["v_trainings"] ** 2 / 6)
    expected = 2 * stats.t.sf(abs(row["mean_difference"]) / math.sqrt(total), df)
    assert judged(holdout(a, b))["p_mean"] == pytest.approx(expected)


def test_two_trainings_of_each_also_have_to_agree_among_themselves():
    rng = np.random.default_rng(4)
    a, b = draw(rng, 30, 2, 0.02, 0.03) + 0.05, draw(rng, 30, 2, 0.02, 0.03)
    found = judged(holdout(a, b))
    alone = stats.ttest_ind(a.mean(axis=0), b.mean(axis=0))
    assert found["p_mean"] == pytest.approx(alone.pvalue)
    assert found["ci_low"] == pytest.approx(alone.confidence_interval(0.95).low)


def test_a_fixed_thing_has_no_spread_of_its_own():
    rng = np.random.default_rng(5)
    a, b = draw(rng, 30, 4, 0.02, 0.03), draw(rng, 30, 1, 0.0, 0.03)
    sample = holdout(a, b)
    row = row_of(dataclasses.replace(sample, effects=(sample.effects[0], None))).iloc[0]
    assert (row["trainings_a"], row["trainings_b"], row["df_trainings"]) == (4, 0, 3)
    assert row["v_trainings"] == pytest.approx(a.mean(axis=0).var(ddof=1) / 4)
    once = row_of(sample).iloc[0]  # b as a network that was trained once: nothing is known of it
    assert np.isnan(once["v_trainings"])
    nothing_trained = row_of(dataclasses.replace(sample, effects=(None, None))).iloc[0]
    assert np.isnan(nothing_trained["v_trainings"])


@pytest.mark.parametrize("seeds", [1, 3])
def test_k_folds_are_judged_by_the_means_of_their_folds(seeds):
    rng = np.random.default_rng(6)
    fold = np.repeat(np.arange(5), 8)
    a, b = (rng.normal(0, 0.02, (5, seeds))[fold] + rng.normal(0, 0.03, (40, seeds)) for _ in range(2))
    means = [(a - b).mean(axis=1)[fold == number].mean() for number in range(5)]
    found = judged(folds(a, b, fold))
    expected = stats.ttest_1samp(means, 0)
    assert found["p_mean"] == pytest.approx(expected.pvalue)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_folds_count_by_their_patients():
    fold = np.array([0, 0, 0, 1, 1, 2])
    differences = np.array([0.1, 0.2, 0.3, 0.1, 0.5, 0.6])[:, None]
    row = row_of(folds(differences, np.zeros((6, 1)), fold)).iloc[0]
    shares, means = np.array([3, 2, 1]) / 6, np.array([0.2, 0.3, 0.6])
    mean = differences.mean()
    assert row["v_trainings"] == pytest.approx((shares**2 * (means - mean) ** 2).sum() * 3 / 2)
    assert (row["folds"], row["df_trainings"], row["v_patients"]) == (3, 2, 0)


def test_folds_with_the_same_patients_are_trainings_of_which_seeds_are_repeats():
    rng = np.random.default_rng(7)
    a, b = draw(rng, 20, 6, 0.02, 0.03), draw(rng, 20, 6, 0.02, 0.03)
    columns = np.repeat(np.arange(3), 2)
    row = row_of(holdout(a, b, folds=(columns, columns))).iloc[0]
    by_fold = holdout(*(own.reshape(20, 3, 2).mean(axis=2) for own in (a, b)))
    assert row["v_trainings"] == pytest.approx(row_of(by_fold).iloc[0]["v_trainings"])
    assert row["df_trainings"] == 4


def test_models_that_were_divided_into_other_folds_are_not_judged_as_networks():
    rng = np.random.default_rng(8)
    values = rng.normal(0, 0.1, (12, 1))
    one, other = (folds(values, values, fold) for fold in (np.repeat(np.arange(3), 4), np.tile(np.arange(3), 4)))
    mixed = dataclasses.replace(one, effects=(one.effects[0], other.effects[1]))
    assert np.isnan(row_of(mixed).iloc[0]["v_trainings"])


def test_organs_share_what_is_known_of_trainings():
    names = ["a", "b", "c", "all"]
    rows = pd.DataFrame({"organ": names, "model_a": "x", "model_b": "y"})
    rows = rows.assign(v_trainings=[1.0, 2.0, 9.0, 0.5], df_trainings=4.0)
    found = evidence.shared(rows)
    assert found["v_trainings"].tolist() == [2.5, 3.0, 9.0, 0.5]  # half way to the mean, 4, but never below its own
    assert found["df_trainings"].tolist() == [8, 8, 8, 4]
    two = evidence.shared(rows.drop(index=1))
    assert two["v_trainings"].tolist() == [1.0, 9.0, 0.5]
    assert two["df_trainings"].tolist() == [4, 4, 4]


def test_a_patient_that_only_one_misses_is_its_worst():
    rng = np.random.default_rng(9)
    a = rng.normal(0.01, 0.001, (12, 1))
    sample = holdout(a, np.zeros_like(a))
    clear = evidence.evidence(sample, 1)
    assert clear["p_value"] == pytest.approx(2 / 2**12)
    assert clear["effect_size"] == 1
    lost = evidence.evidence(dataclasses.replace(sample, lost=np.array([-1.0])), 1)
    assert lost["p_value"] == pytest.approx(stats.wilcoxon([*a[:, 0], -1.0]).pvalue)
    assert lost["effect_size"] < 1
    assert lost["mean_difference"] == clear["mean_difference"]
    ahead = np.zeros(12)
    ahead[3] = -1  # b finds it in more runs than a
    turned = np.where(ahead == 0, a[:, 0], -1.0)
    found = evidence.evidence(dataclasses.replace(sample, ahead=ahead), 1)
    assert found["p_value"] == pytest.approx(stats.wilcoxon(turned).pvalue)


def test_values_in_another_order_give_the_same_bits():
    rng = np.random.default_rng(10)
    a, b = draw(rng, 15, 3, 0.02, 0.03), draw(rng, 15, 3, 0.02, 0.03)
    order = rng.permutation(15)
    one, other = (evidence.evidence(holdout(a[rows], b[rows]), 1) for rows in (np.arange(15), order))
    assert pd.Series(one).equals(pd.Series(other))
