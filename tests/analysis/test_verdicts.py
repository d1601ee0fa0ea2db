"""The verdict on every pair: its rule, its words, what it is about, and its rate in simulated families."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from organbench.analysis import verdicts
from organbench.analysis.evidence import Paired, evidence
from organbench.analysis.verdicts import compare, judge

NAN = np.nan
ORGANS = ["liver", "bladder", "lungs", "kidneys", "bone", "brain"]


def table(rows, columns=("model", "seed", "case", "organ", "dice")):
    return pd.DataFrame(rows, columns=list(columns)).assign(fold=0)


def study(differences, organs=("liver",), metric="dice", level=0.8, seeds=range(4)):
    """Two networks that differ by this much on each case in every training; dice 0.5 where that is not the metric."""
    rows = [
        (model, seed, f"case{case:03}", organ, 0.5, level + (model == "a") * difference)
        for organ in organs
        for case, difference in enumerate(differences)
        for model in ("a", "b")
        for seed in seeds
    ]
    frame = table(rows, ("model", "seed", "case", "organ", "other", metric)).rename(columns={"other": "dice"})
    return frame.loc[:, ~frame.columns.duplicated(keep="last")]


def on_the_liver(frame, margins=None, metric="dice"):
    comparison = frame if "verdict" in frame else compare(frame, margins)
    return comparison[(comparison["metric"] == metric) & (comparison["organ"] == "liver")].iloc[0]


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
    row = {"p_holm": p, "p_mean_holm": p_mean, "p_equivalence_holm": p_equivalence, "missed_a": 0, "missed_b": 0}
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
    assert (row["scope"], row["trainings_a"], row["trainings_b"], row["seed_std_a"]) == ("networks", 4, 4, 0)


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
    assert "2 patients without a value are left out" in found.loc[("hd95", "liver"), "words"]


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
    frame = pd.concat([study(np.full(9, 0.01), seeds=[0]), study(np.full(9, 0.03), seeds=[0]).assign(seed=1)])
    frame.loc[(frame["model"] == "a") & (frame["seed"] == 1), "dice"] += 0.05
    row = on_the_liver(frame)
    assert row["seed_std_a"] == pytest.approx(np.std([0.81, 0.88], ddof=1))
    assert row["seed_std_b"] == pytest.approx(0)
    assert row["std_trainings"] == pytest.approx(row["seed_std_a"] / math.sqrt(2))
    assert row["mean_difference"] == pytest.approx(0.045)
    assert (row["verdict"], row["verdict_weights"]) == ("undecided", "better")


# --- what a verdict is about


def test_one_training_of_each_says_nothing_of_networks():
    differences = np.random.default_rng(2).normal(0.02, 0.01, 15)
    row = on_the_liver(study(differences, seeds=[0]), {"dice": 0.01})
    assert (row["scope"], row["verdict"], row["verdict_weights"]) == ("weights", "undecided", "better")
    assert (row["trainings_a"], row["trainings_b"]) == (1, 1)
    assert np.isnan(row["more_patients"])
    assert np.isnan(row["more_trainings"])
    assert row["words"].endswith(
        "; these weights of a are better; one training each: true of these weights only; train more seeds"
    )


def test_what_is_fixed_is_judged_as_it_is():
    differences = np.random.default_rng(2).normal(0.02, 0.01, 15)
    frame = study(differences).query("model == 'a' or seed == 0")  # b is an ensemble, say
    row = on_the_liver(compare(frame, fixed=["b"]))
    assert (row["scope"], row["verdict"], row["trainings_a"], row["trainings_b"]) == ("networks", "better", 4, 0)
    assert row["words"].endswith("; b judged as fixed, not as trained anew")
    both = on_the_liver(compare(study(differences, seeds=[0]), fixed=["a", "b"]))
    assert (both["scope"], both["verdict"], both["verdict_weights"]) == ("weights", "better", "better")
    assert both["words"].endswith("; a and b judged as fixed, not as trained anew")
    once = on_the_liver(compare(study(differences, seeds=[0]), fixed=["b"]))
    assert (once["scope"], once["verdict"]) == ("weights", "undecided")


def test_scans_of_a_patient_are_one_patient():
    """12 patients with 3 scans each are not 36 patients."""
    rng = np.random.default_rng(3)
    frame = study(np.repeat(rng.normal(0.005, 0.01, 12), 3) + rng.normal(0, 0.004, 36))
    grouped = frame.assign(patient="p" + (frame["case"].str[4:].astype(int) // 3).astype(str))
    row, as_cases = on_the_liver(grouped), on_the_liver(frame)
    means = grouped.groupby(["model", "patient"])["dice"].mean().unstack("model")
    assert row["n"] == 12
    assert row["p_value"] == pytest.approx(stats.wilcoxon(means["a"] - means["b"]).pvalue)
    assert row["mean_difference"] == pytest.approx((means["a"] - means["b"]).mean())
    assert as_cases["p_value"] < row["p_value"]


def test_correlated_scans_do_not_raise_the_rate_of_false_verdicts():
    """12 patients x 3 scans, correlation 0.7: counted as 36 patients, a third of equal networks were told apart."""
    rng = np.random.default_rng(4)
    false = 0
    for _ in range(60):
        shared = np.repeat(rng.normal(0, math.sqrt(0.7), 12), 3) + rng.normal(0, math.sqrt(0.3), 36)
        frame = study(0.02 * shared, seeds=range(2))
        frame = frame.assign(patient=frame["case"].str[4:].astype(int) // 3)
        false += (compare(frame)["verdict_weights"] != "undecided").any()
    assert false <= 8  # 5 % of 60, and no more than the luck of the draw (p 0.01)


def test_a_network_that_misses_an_organ_on_its_hardest_cases_does_not_win_on_distances():
    rows = []
    for i in range(20):
        for seed in range(3):
            hard = i >= 15
            rows.append(("a", seed, f"c{i}", "liver", 0.0 if hard else 0.9, NAN if hard else 3.0 + 0.01 * i))
            rows.append(("b", seed, f"c{i}", "liver", 0.6 if hard else 0.9, 30.0 if hard else 3.2 + 0.01 * i))
    found = compare(table(rows, ("model", "seed", "case", "organ", "dice", "hd95")))
    row = found[(found["metric"] == "hd95") & (found["organ"] == "liver")].iloc[0]
    assert (row["n"], row["missing"], row["missed_a"], row["missed_b"]) == (15, 5, 5, 0)
    assert row["mean_difference"] == pytest.approx(-0.2)  # of the cases on which both found it, a is ahead
    assert row["verdict"] == row["verdict_weights"] == "undecided"
    assert row["p_value"] > 0.05  # its five misses rank as its worst cases
    assert "a misses the organ more often, so it cannot be better" in row["words"]


def test_who_misses_less_may_win():
    rows = []
    for i in range(20):
        for seed in range(3):
            rows.append(("a", seed, f"c{i}", "liver", 0.9, 3.0 + 0.01 * i))
            missed = i >= 18
            rows.append(("b", seed, f"c{i}", "liver", 0.0 if missed else 0.8, NAN if missed else 3.5 + 0.011 * i))
    found = compare(table(rows, ("model", "seed", "case", "organ", "dice", "hd95")))
    row = found[(found["metric"] == "hd95") & (found["organ"] == "liver")].iloc[0]
    assert (row["verdict"], row["missed_b"]) == ("better", 2)


def test_where_no_dose_covers_an_organ_nobody_misses_it():
    """But who finds nothing of an organ that has a dose does, and who draws so little that it has no D1cc."""
    columns = ("model", "seed", "case", "organ", "dice", "dmean_error", "reference_dmean_gy")
    errors = {"a": 1.0, "b": 2.0}.items()
    dosed = [(model, 0, f"c{i}", "liver", 0.9, error, 20.0) for i in range(9) for model, error in errors]
    bare = [(model, 0, f"bare{i}", "liver", 0.9, NAN, NAN) for i in range(4) for model in "ab"]
    missed = [("a", 0, "missed", "liver", 0.0, NAN, 20.0), ("b", 0, "missed", "liver", 0.9, 2.0, 20.0)]
    alone = [("a", 0, "alone", "liver", 0.9, NAN, NAN)]  # which b was not given
    row = on_the_liver(table(dosed + bare + missed + alone, columns), metric="dmean_error")
    assert (row["n"], row["missing"], row["missed_a"], row["missed_b"]) == (9, 5, 1, 0)
    row = on_the_liver(table(dosed + bare + alone, columns), metric="dmean_error")
    assert (row["missed_a"], row["missed_b"]) == (0, 0)
    assert "misses" not in row["words"]


def test_an_organ_that_is_not_there_is_not_missed():
    columns = ("model", "seed", "case", "organ", "dice", "recall", "hd95")
    rows = [(model, seed, f"c{i}", "liver", 0.9, 0.9, 3.0) for model in "ab" for seed in (0, 1) for i in range(9)]
    rows += [("a", seed, "empty", "liver", 0.0, NAN, NAN) for seed in (0, 1)]
    rows += [("b", seed, "empty", "liver", NAN, NAN, NAN) for seed in (0, 1)]
    found = compare(table(rows, columns)).set_index(["metric", "organ"])
    assert found.loc[("hd95", "liver"), ["missed_a", "missed_b", "missing"]].tolist() == [0, 0, 1]


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
    row |= {"scope": "networks", "trainings_a": 3, "trainings_b": 3, "more_trainings": np.nan}
    row |= {"missed_a": 0, "missed_b": 0}
    assert verdicts.sentence(row) == "undecided between a and b on the liver: a - b is 0.0 Dice points [-1.0, 1.0]"


def test_words_where_there_is_nothing_to_say():
    frame = table([("a", 0, "x", "right_eye", NAN), ("b", 0, "x", "right_eye", NAN)])
    assert compare(frame)["words"].tolist() == [
        "no patient gives both a and b a value on the right eye",
        "no patient gives both a and b a value over all organs",
    ]
    one = on_the_liver(study([0.1]))
    assert one["words"] == "undecided between a and b on the liver: a - b is 10.0 Dice points"
    twins = on_the_liver(study(np.zeros(4)))
    assert twins["more_patients"] == math.inf
    assert twins["words"].endswith("; neither more patients nor more trainings alone would decide")


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
                "missed_a": 0,
                "missed_b": 0,
                **evidence(alike(shift + 0.6 * shared + 0.8 * draw(rng, n)), 1, margin),
            }
            for organ in ORGANS
        ]
        found.append(judge(pd.DataFrame(rows))["verdict"].to_list())
    return np.array(found)


def alike(differences):
    """Two networks that differ by this much on each patient, in each of three trainings."""
    nothing, column = np.zeros((len(differences), 3)), np.zeros(3, int)
    values = np.stack([differences, np.zeros(len(differences))], axis=1)
    return Paired(values, (nothing, nothing), (column, column), np.zeros(len(differences)), np.zeros(0))


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


# --- what would decide


def test_nothing_decides_in_favour_of_who_misses_more():
    frame = varied(seeds=3, organs=("liver",))
    frame["hd95"] = frame["hd95"] / 10 - 0.5 * (frame["model"] == "a")
    frame.loc[(frame["model"] == "a") & (frame["seed"] == 0) & (frame["case"] < "c05"), "hd95"] = NAN
    liver = compare(frame, {"hd95": 5.0}).set_index(["metric", "organ"]).loc[("hd95", "liver")]
    assert (liver["verdict"], liver["more_patients"], liver["more_trainings"]) == ("undecided", math.inf, math.inf)
    assert "neither more patients nor more trainings alone would decide" in liver["words"]
    assert "a misses the organ more often, so it cannot be better" in liver["words"]


def test_nothing_decides_where_ranks_contradict_the_mean():
    liver = on_the_liver(study([*np.linspace(0.01, 0.02, 18), -0.4, -0.4]))
    assert liver["mean_difference"] < 0 < liver["effect_size"]
    assert (liver["verdict"], liver["more_patients"]) == ("undecided", math.inf)


def test_what_decides_cannot_be_told_where_every_fold_has_one_patient():
    brain = on_the_brain(varied(folds=12, seeds=1, cases=12))
    assert (brain["n"], brain["scope"], brain["verdict"]) == (12, "networks", "undecided")
    assert np.isnan(brain[["more_patients", "more_trainings", "std_trainings"]].to_numpy(float)).all()
    assert "decide" not in brain["words"].removeprefix("undecided")


@pytest.mark.parametrize(
    ("patients", "trainings", "fixed", "words"),
    [
        (1, math.inf, False, "; about 1 more patient would decide"),
        (2, 1, False, "; about 2 more patients or 1 more training of each would decide"),
        (math.inf, 2, True, "; more patients alone would not decide, about 2 more trainings of a would"),
        (20_000, math.inf, False, "; it would take more than 10000 more patients"),
        (math.inf, NAN, False, "; more patients would not decide"),
        (NAN, NAN, False, ""),
    ],
)
def test_words_about_what_would_decide(patients, trainings, fixed, words):
    row = {"model_a": "a", "model_b": "b", "more_patients": patients, "more_trainings": trainings}
    assert verdicts.what_would_decide(row | {"trainings_a": 3, "trainings_b": 0 if fixed else 3}) == words


def test_words_where_one_never_finds_the_organ():
    frame = varied(seeds=3)
    frame.loc[frame["model"] == "a", "hd95"] = NAN
    assert on_the_brain(frame)["words"] == (
        "no patient gives both a and b a value on the brain; a misses the organ more often, so it cannot be better"
    )


# --- trainings without a value


def varied(folds=1, seeds=2, cases=20, organs=("liver", "brain")):
    """Two networks that are equal on average, whose trainings vary."""
    rng = np.random.default_rng(3)
    luck = {key: rng.normal(0, 3) for key in product("ab", range(folds), range(seeds), organs)}
    rows = [
        (model, fold, seed, f"c{case:02}", organ, 0.8, 10 + luck[model, fold, seed, organ] + rng.normal(0, 0.5))
        for (model, fold, seed, organ), case in product(luck, range(cases))
        if case % folds == fold
    ]
    return pd.DataFrame(rows, columns=["model", "fold", "seed", "case", "organ", "dice", "hd95"])


def test_a_training_that_lacks_the_organ_shows_no_spread():
    """Lent the other's values it would seem to repeat them: one training each would be judged as a network."""
    frame = varied()
    frame.loc[(frame["organ"] == "liver") & (frame["seed"] == 1), "hd95"] = NAN
    found = compare(frame).set_index(["metric", "organ"])
    liver, brain = found.loc[("hd95", "liver")], found.loc[("hd95", "brain")]
    assert (liver["trainings_a"], liver["trainings_b"], liver["n"]) == (1, 1, 20)
    assert (liver["scope"], liver["verdict"]) == ("weights", "undecided")
    assert liver["verdict_weights"] in ("better", "worse")
    assert "one training each" in liver["words"]
    assert (brain["scope"], brain["trainings_a"]) == ("networks", 2)
    assert found.loc[("hd95", "all"), "scope"] == "weights"  # half of it shows no spread


def test_folds_that_do_not_show_an_organ_are_no_trainings_of_it():
    frame = varied(folds=5)
    some = frame[(frame["organ"] != "brain") | (frame["fold"] < 3)]
    brain = on_the_brain(some)
    assert (brain["n"], brain["trainings_a"], brain["scope"]) == (12, 6, "networks")
    expected = on_the_brain(some[some["fold"] < 3])  # a study that never had the other folds
    for column in ("std_trainings", "ci_low", "p_mean", "more_trainings"):
        assert brain[column] == pytest.approx(expected[column], nan_ok=True)


def test_a_fold_that_one_network_lacks_leaves_the_others_to_compare():
    frame = varied(folds=5)
    brain = on_the_brain(frame[(frame["model"] == "a") | (frame["fold"] > 0)])
    assert (brain["n"], brain["trainings_a"], brain["trainings_b"], brain["scope"]) == (16, 8, 8, "networks")


def on_the_brain(frame):
    return compare(frame).set_index(["metric", "organ"]).loc[("hd95", "brain")]
