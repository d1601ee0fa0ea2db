"""Tests, corrections, verdicts and ranks: against SciPy, by hand, and by simulation of whole families."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tiny import examples

from organbench import verdicts
from organbench.metrics import METRICS
from organbench.statistics import MEASURES
from organbench.evidence import Paired, evidence, holm
from organbench.ranks import rank
from organbench.verdicts import compare, judge

NAN = np.nan
ORGANS = ["liver", "bladder", "lungs", "kidneys", "bone", "brain"]


def table(rows, columns=("model", "seed", "case", "organ", "dice")):
    return pd.DataFrame(rows, columns=list(columns)).assign(fold=0)


def study(differences, organs=("liver",), metric="dice", level=0.8):
    """Two networks whose values differ by this much on each case: one seed, dice 0.5 where that is not the metric."""
    rows = [
        (model, 0, f"case{case:03}", organ, 0.5, level + (model == "a") * difference)
        for organ in organs
        for case, difference in enumerate(differences)
        for model in ("a", "b")
    ]
    frame = table(rows, ("model", "seed", "case", "organ", "other", metric)).rename(columns={"other": "dice"})
    return frame.loc[:, ~frame.columns.duplicated(keep="last")]


def on_the_liver(frame, margins=None, metric="dice"):
    comparison = compare(frame, margins)
    return comparison[(comparison["metric"] == metric) & (comparison["organ"] == "liver")].iloc[0]


# --- metrics


def test_every_metric_has_a_direction_and_they_share_an_order():
    assert [metric for metric in MEASURES if metric in METRICS] == list(METRICS)


# --- single numbers


def test_p_is_scipys_signed_rank_test():
    differences = np.random.default_rng(0).normal(0.01, 0.02, 20)
    assert verdicts.signed_rank_p(differences) == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert verdicts.signed_rank_p(np.arange(1.0, 7)) == pytest.approx(2 / 2**6)
    many = np.random.default_rng(1).normal(0.002, 0.02, 200)
    assert verdicts.signed_rank_p(many) == pytest.approx(stats.wilcoxon(many).pvalue, rel=0.01)  # that is approximate


def test_zeros_count_as_ties_and_weaken_the_evidence():
    some = np.array([1.0, 1, 2, 3, 4, -1, -2])
    zeros = np.concatenate([some, np.zeros(2)])
    for differences in (some, zeros):
        expected = stats.wilcoxon(differences, zero_method="pratt").pvalue  # by going through all signs
        assert verdicts.signed_rank_p(differences) == pytest.approx(expected)
    assert verdicts.signed_rank_p(zeros) >= verdicts.signed_rank_p(some)
    assert verdicts.signed_rank_p(np.zeros(5)) == 1
    assert np.isnan(verdicts.signed_rank_p(np.array([])))


@examples(60)
@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=30))
def test_swapping_the_networks_turns_the_signs_and_nothing_else(values):
    values = np.array(values)
    assert verdicts.signed_rank_p(values) == pytest.approx(verdicts.signed_rank_p(-values))
    assert verdicts.rank_biserial(values) == pytest.approx(-verdicts.rank_biserial(-values))
    assert verdicts.probability_better(values) == pytest.approx(1 - verdicts.probability_better(-values))
    assert -1 <= verdicts.rank_biserial(values) <= 1


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
    assert verdicts.rank_biserial(np.array([1.0, 2, -3])) == pytest.approx((1 + 2 - 3) / 6)
    assert verdicts.rank_biserial(np.array([1.0, 2, 3])) == 1
    assert verdicts.rank_biserial(np.array([0.0, 2])) == 1  # the zero has rank 1 and counts for neither
    assert verdicts.rank_biserial(np.zeros(3)) == 0


def test_probability_of_being_better_counts_ties_half():
    assert verdicts.probability_better(np.array([0.1, 0.2, -0.1, 0])) == pytest.approx(2.5 / 4)


def test_equivalence_is_two_one_sided_t_tests():
    differences = np.random.default_rng(1).normal(0.001, 0.01, 15)
    expected = max(
        stats.ttest_1samp(differences, -0.01, alternative="greater").pvalue,
        stats.ttest_1samp(differences, 0.01, alternative="less").pvalue,
    )
    assert verdicts.equivalence_p(differences, 0.01) == pytest.approx(max(expected, 0.5**15))
    low, high = stats.t.interval(0.9, 14, differences.mean(), stats.sem(differences))
    assert (verdicts.equivalence_p(differences, max(-low, high)) - 0.05) == pytest.approx(0)


def test_a_few_patients_prove_no_equivalence():
    assert verdicts.equivalence_p(np.zeros(3), 0.01) == 0.125
    assert verdicts.equivalence_p(np.zeros(10), 0.01) == pytest.approx(0.5**10)
    assert verdicts.equivalence_p(np.full(10, 0.02), 0.01) == 1
    assert np.isnan(verdicts.equivalence_p(np.zeros(1), 0.01))
    assert np.isnan(verdicts.equivalence_p(np.zeros(9), None))


def test_the_interval_and_the_test_of_a_mean_difference_are_students():
    differences = np.random.default_rng(1).normal(0.001, 0.01, 15)
    assert verdicts.mean_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert [verdicts.mean_p(np.full(3, value)) for value in (0.0, 0.25)] == [1, 0]
    assert np.isnan(verdicts.mean_p(np.ones(1)))
    expected = stats.t.interval(0.95, 14, differences.mean(), stats.sem(differences))
    assert verdicts.mean_interval(differences) == pytest.approx(expected)
    assert verdicts.mean_interval(np.full(3, 0.25)) == (0.25, 0.25)
    assert np.isnan(verdicts.mean_interval(np.ones(1))).all()


# --- the verdict


@pytest.mark.parametrize(
    ("p", "p_mean", "p_equivalence", "difference", "effect", "expected"),
    [
        (0.01, 0.02, NAN, 0.01, 0.8, "better"),
        (0.01, 0.02, NAN, -0.01, -0.8, "worse"),
        (0.06, 0.02, NAN, 0.01, 0.8, "undecided"),
        (0.01, 0.06, NAN, 0.01, 0.8, "undecided"),
        (0.01, 0.02, NAN, -0.01, 0.8, "undecided"),  # better on most patients, but worse on average
        (0.5, 0.5, 0.01, 0.001, 0.1, "equivalent"),
        (0.001, 0.001, 0.01, 0.004, 0.9, "equivalent"),  # a difference that is sure, and sure not to matter
        (NAN, NAN, NAN, NAN, NAN, "undecided"),
    ],
)
def test_the_rule(p, p_mean, p_equivalence, difference, effect, expected):
    row = {"p_holm": p, "p_mean_holm": p_mean, "p_equivalence_holm": p_equivalence}
    assert verdicts.verdict({"metric": "dice", "mean_difference": difference, "effect_size": effect} | row) == expected
    turned = {"better": "worse", "worse": "better"}.get(expected, expected)
    assert verdicts.verdict({"metric": "hd95", "mean_difference": difference, "effect_size": -effect} | row) == turned


def test_columns_and_numbers_of_a_comparison():
    differences = np.random.default_rng(2).normal(0.02, 0.01, 15)
    row = on_the_liver(study(differences), {"dice": 0.01})
    assert list(row.index) == verdicts.COMPARISON
    assert (row["metric"], row["model_a"], row["model_b"], row["n"], row["missing"]) == ("dice", "a", "b", 15, 0)
    assert row["mean_difference"] == pytest.approx(differences.mean())
    assert row["median_difference"] == pytest.approx(np.median(differences))
    assert row["std_difference"] == pytest.approx(differences.std(ddof=1))
    assert row["p_value"] == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert row["p_holm"] == pytest.approx(2 * row["p_value"])  # the family is the liver and all
    assert row["verdict"] == "better"
    assert np.isnan(row["more_patients"])
    assert row["margin"] == 0.01
    assert np.isnan(row["seed_std_a"])


@pytest.mark.parametrize(("metric", "expected"), [("hd95", "worse"), ("nsd", "better"), ("apl", "worse")])
def test_lower_may_be_better(metric, expected):
    row = on_the_liver(study(np.linspace(0.1, 0.3, 12), metric=metric), metric=metric)
    assert row["mean_difference"] == pytest.approx(0.2)
    assert row["verdict"] == expected
    assert row["effect_size"] == (1 if expected == "better" else -1)
    assert row["probability_a_better"] == (1 if expected == "better" else 0)


def test_a_volume_error_counts_by_its_size():
    frame = study(np.linspace(-0.4, -0.6, 12), metric="volume_error", level=0.2)  # b +0.2, a -0.2 to -0.4
    row = on_the_liver(frame, metric="volume_error")
    assert row["mean_difference"] == pytest.approx(0.1)
    assert row["verdict"] == "worse"


def test_an_invented_organ_counts_against_the_one_who_invents():
    """The two are compared although the design's rule gives the one that is right no Dice coefficient."""
    rows = [(model, 0, f"c{i}", "bladder", 0.9) for model in ("a", "b") for i in range(3)]
    rows += [("a", 0, "empty", "bladder", NAN), ("b", 0, "empty", "bladder", 0.0)]
    rows += [(model, 0, "nobody", "bladder", NAN) for model in ("a", "b")]
    rows += [(model, 0, "both", "bladder", 0.0) for model in ("a", "b")]
    comparison = compare(table(rows)).set_index("organ")
    assert comparison.loc["bladder", "n"] == 5
    assert comparison.loc["bladder", "mean_difference"] == pytest.approx(1 / 5)
    assert comparison.loc["all", "mean_difference"] == pytest.approx(1 / 5)


def test_of_several_runs_those_that_are_right_count_as_perfect():
    rows = [("a", 0, "x", "brain", NAN), ("a", 1, "x", "brain", 0.0), *[("b", s, "x", "brain", NAN) for s in (0, 1)]]
    row = compare(table(rows)).set_index("organ").loc["brain"]
    assert row["mean_difference"] == pytest.approx(0.5 - 1)


def test_a_distance_that_one_lacks_is_left_out_and_counted():
    columns = ("model", "seed", "case", "organ", "dice", "hd95")
    rows = [(model, 0, f"c{i}", "liver", 0.9, 3.0) for model in ("a", "b") for i in range(4)]
    rows += [("a", 0, "missed", "liver", 0.0, NAN), ("b", 0, "missed", "liver", 0.9, 5.0)]
    rows += [("a", 0, "empty", "liver", NAN, NAN), ("b", 0, "empty", "liver", 0.0, NAN)]
    found = compare(table(rows, columns)).set_index(["metric", "organ"])
    assert found.loc[("dice", "liver"), ["n", "missing"]].tolist() == [6, 0]
    assert found.loc[("hd95", "liver"), ["n", "missing"]].tolist() == [4, 2]
    assert found.loc[("hd95", "all"), ["n", "missing"]].tolist() == [4, 2]
    assert "2 cases without a value are left out" in found.loc[("hd95", "liver"), "words"]


def test_all_is_over_the_organs_that_both_have():
    rows = [("a", 0, "x", "liver", 0.9), ("a", 0, "x", "lungs", 0.5), ("b", 0, "x", "liver", 0.8)]
    rows += [("b", 0, "x", "lungs", 0.6)]
    columns = ("model", "seed", "case", "organ", "dice", "hd95")
    rows = [(*row, value) for row, value in zip(rows, (2.0, NAN, 4.0, 9.0), strict=True)]
    found = compare(table(rows, columns)).set_index(["metric", "organ"])
    assert found.loc[("hd95", "all"), "mean_difference"] == pytest.approx(-2)


def test_every_pair_once_in_order_and_one_model_none():
    frame = table([(model, 0, "a", "liver", 0.5) for model in ("z", "a", "m")])
    comparison = compare(frame).query("organ == 'liver'")
    assert list(zip(comparison["model_a"], comparison["model_b"], strict=True)) == [("z", "a"), ("z", "m"), ("a", "m")]
    alone = compare(frame[frame["model"] == "z"])
    assert alone.empty
    assert list(alone) == verdicts.COMPARISON


def test_the_name_all_is_taken():
    with pytest.raises(ValueError, match="named 'all'"):
        compare(study([0.1], organs=["all"]))


def test_the_spread_over_seeds_stands_beside_the_difference():
    frame = pd.concat([study(np.full(9, 0.01)), study(np.full(9, 0.03)).assign(seed=1)])
    frame.loc[(frame["model"] == "a") & (frame["seed"] == 1), "dice"] += 0.05
    row = on_the_liver(frame)
    assert row["seed_std_a"] == pytest.approx(np.std([0.81, 0.88], ddof=1))
    assert row["seed_std_b"] == pytest.approx(0)
    assert row["mean_difference"] == pytest.approx(0.045)
    assert row["words"].endswith("; seeds of one network differ by more")


# --- words


@pytest.mark.parametrize(
    ("metric", "differences", "margins", "words"),
    [
        ("dice", [0.002, 0.014], None, r"a is better than b on the liver by 0\.80 Dice points \[0\.55, 1\.05\]"),
        ("dice", [-0.036, -0.004], None, r"a is worse than b on the liver by 2\.0 Dice points \[1\.3, 2\.7\]"),
        ("hd95", [-2.0, -1.0], None, r"a is better than b on the liver by 1\.50 mm of HD95 \[1\.29, 1\.71\]"),
        (
            "dice",
            [-0.002, 0.004],
            {"dice": 0.01},
            r"a and b are equivalent on the liver: a - b is 0\.10 Dice points \[-0\.02, 0\.22\], within 1",
        ),
        (
            "dice",
            [-0.05, 0.08],
            {"dice": 0.01},
            r"undecided between a and b on the liver: a - b is 1\.5 Dice points \[-1\.\d, 4\.\d\]; "
            r"about \d+ more patients would decide",
        ),
    ],
)
def test_words(metric, differences, margins, words):
    row = on_the_liver(study(np.linspace(*differences, 12), metric=metric, level=9), margins, metric)
    assert pd.Series(row["words"]).str.fullmatch(words).item(), row["words"]


def test_words_have_no_negative_zero():
    row = {"model_a": "a", "model_b": "b", "metric": "dice", "organ": "liver", "n": 6, "verdict": "undecided"}
    row |= {"mean_difference": -0.0001, "ci_low": -0.01, "ci_high": 0.0098, "more_patients": np.nan, "missing": 0}
    row |= {"seed_std_a": np.nan, "seed_std_b": np.nan}
    assert verdicts.sentence(row) == "undecided between a and b on the liver: a - b is 0.0 Dice points [-1.0, 1.0]"


def test_words_where_there_is_nothing_to_say():
    frame = table([("a", 0, "x", "right_eye", NAN), ("b", 0, "x", "right_eye", NAN)])
    assert compare(frame)["words"].tolist() == [
        "no case gives both a and b a value on the right eye",
        "no case gives both a and b a value over all organs",
    ]
    one = on_the_liver(study([0.1]))
    assert one["words"] == "undecided between a and b on the liver: a - b is 10.0 Dice points"
    twins = on_the_liver(study(np.zeros(4)))
    assert twins["more_patients"] == math.inf
    assert "more than 10000 more patients" in twins["words"]


# --- patients that would decide


def row_of(n, mean, std, margin=NAN):
    return {"n": n, "mean_difference": mean, "std_difference": std, "margin": margin}


def test_patients_that_would_decide_by_hand():
    z = stats.norm.ppf
    needed = ((z(0.975) + z(0.8)) * 0.03 / 0.01) ** 2 + z(0.975) ** 2 / 2
    assert verdicts.patients_to_decide(row_of(10, 0.01, 0.03), 0.05) == math.ceil(needed) - 10
    needed = ((z(0.95) + z(0.9)) * 0.03 / 0.01) ** 2 + z(0.95) ** 2 / 2
    assert verdicts.patients_to_decide(row_of(10, 0.0, 0.03, 0.01), 0.05) == math.ceil(needed) - 10
    assert verdicts.patients_to_decide(row_of(4, 0.5, 0.01), 0.05) == 2  # no signed-rank test of five reaches 0.05
    assert verdicts.patients_to_decide(row_of(90, 0.01, 0.01), 0.05) == 1
    assert verdicts.patients_to_decide(row_of(9, 0.0, 0.01), 0.05) == math.inf
    assert np.isnan(verdicts.patients_to_decide(row_of(1, 0.1, NAN), 0.05))


def test_so_many_patients_decide_about_as_often_as_promised():
    rng = np.random.default_rng(5)
    n = int(verdicts.patients_to_decide(row_of(2, 0.01, 0.02), 0.05)) + 2
    found = [verdicts.signed_rank_p(rng.normal(0.01, 0.02, n)) < 0.05 for _ in range(300)]
    assert 0.7 <= np.mean(found) <= 0.9


# --- simulated studies: six organs that share patients, as the rows of one family


def families(count, n, shift, *, draw, margin=None, seed=0):
    """Verdicts of simulated studies, shape (studies, organs): differences in Dice of n patients, correlated by case."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        shared = draw(rng, n)
        rows = [
            {
                "metric": "dice",
                "organ": organ,
                "model_a": "a",
                "model_b": "b",
                "missing": 0,
                "seed_std_a": NAN,
                "seed_std_b": NAN,
                **evidence(shift + 0.6 * shared + 0.8 * draw(rng, n), "dice", margin),
            }
            for organ in ORGANS
        ]
        found.append(judge(pd.DataFrame(rows))["verdict"].to_list())
    return np.array(found)


def normal(rng, n):
    return rng.normal(0, 0.02, n)


def heavy(rng, n):
    """Now and then a failure, of either network."""
    return rng.standard_t(2.5, n) * 0.01


@pytest.mark.parametrize("draw", [normal, heavy])
@pytest.mark.parametrize("n", [12, 30])
def test_without_a_difference_false_verdicts_stay_at_their_rate(draw, n):
    """At most 5 % of studies have any; 100 studies with up to 10 are within the luck of the draw (p 0.01)."""
    found = families(100, n, 0.0, draw=draw)
    assert np.isin(found, ["better", "worse"]).any(axis=1).sum() <= 10


@pytest.mark.parametrize("n", [10, 30])
def test_a_difference_as_large_as_the_margin_is_rarely_called_equivalent(n):
    found = families(100, n, 0.01, draw=normal, margin=0.01)
    assert (found == "equivalent").any(axis=1).sum() <= 10


def test_a_known_difference_is_found_on_the_right_side():
    found = families(30, 30, 0.03, draw=normal, margin=0.01)
    assert (found == "better").mean() > 0.9
    found = families(30, 30, -0.03, draw=normal, margin=0.01)
    assert (found == "worse").mean() > 0.9


def test_equivalent_networks_are_found_to_be_so():
    found = families(20, 60, 0.001, draw=lambda rng, n: rng.normal(0, 0.01, n), margin=0.01)
    assert (found == "equivalent").mean() > 0.9


# --- ranks


def ranked_study(values, metric="dice"):
    """Three networks a, b, c with these values, shape (cases, 3), on the liver."""
    rows = [
        (model, 0, f"case{case:03}", "liver", value)
        for case, row in enumerate(values)
        for model, value in zip("abc", row, strict=True)
    ]
    frame = table(rows)
    return frame if metric == "dice" else frame.assign(**{metric: frame["dice"], "dice": 0.5})


def test_ranks_by_hand():
    found = rank(ranked_study([[0.9, 0.8, 0.7], [0.9, 0.7, 0.8], [0.9, 0.8, 0.8]])).query("organ == 'liver'")
    assert list(found) == verdicts.RANKS
    assert found["model"].tolist() == ["a", "b", "c"]
    assert found["average_rank"].tolist() == pytest.approx([1, (2 + 3 + 2.5) / 3, (3 + 2 + 2.5) / 3])
    assert (found["n"] == 3).all()
    low = rank(ranked_study([[9.0, 8.0, 7.0]] * 3, metric="hd95")).query("metric == 'hd95' and organ == 'liver'")
    assert low["model"].tolist() == ["c", "b", "a"]


def test_friedman_is_scipys():
    values = np.random.default_rng(0).normal([0.8, 0.82, 0.9], 0.05, (20, 3))
    found = rank(ranked_study(values)).query("organ == 'liver'")
    assert found["friedman_p"].to_numpy() == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)
    assert found["friedman_p_holm"].to_numpy() == pytest.approx(2 * found["friedman_p"].to_numpy())


def test_critical_differences_are_demsars():
    """His table 5(a) and his example: 4 classifiers, 14 data sets, 1.25."""
    for models, quantile in ((3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)):
        expected = quantile * math.sqrt(models * (models + 1) / (6 * 14))
        assert verdicts.critical_difference(models, 14) == pytest.approx(expected, abs=2e-3)
    assert verdicts.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert np.isnan(verdicts.critical_difference(4, 0))


def test_letters_join_what_is_not_told_apart():
    ranks = np.array([1.0, 1.4, 2.2, 3.4])
    assert verdicts.letters(ranks, 1.0) == ["a", "ab", "b", "c"]
    assert verdicts.letters(ranks, 9.0) == ["a"] * 4
    assert verdicts.letters(ranks, 0.1) == list("abcd")


def test_clear_ranks_are_told_apart_and_equal_ones_not():
    clear = np.tile([0.9, 0.8, 0.7], (30, 1)) + np.random.default_rng(0).normal(0, 1e-3, (30, 1))
    assert rank(ranked_study(clear)).query("organ == 'liver'")["groups"].tolist() == ["a", "b", "c"]
    equal = rank(ranked_study(np.full((30, 3), 0.9))).query("organ == 'liver'")
    assert equal["groups"].tolist() == ["a", "a", "a"]
    assert (equal["friedman_p"] == 1).all()


def test_two_networks_have_no_ranks_and_no_values_have_none():
    assert rank(study([0.1, 0.2])).empty
    assert list(rank(study([0.1, 0.2]))) == verdicts.RANKS
    empty = rank(ranked_study([[NAN] * 3]))
    assert empty["average_rank"].isna().all()
    assert (empty["n"] == 0).all()
