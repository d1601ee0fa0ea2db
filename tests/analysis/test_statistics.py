"""Summaries and values side by side, by hand, and against pandas and SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from organbench.analysis.statistics import (
    case_differences,
    case_values,
    interval,
    paired_values,
    seed_spread,
    summarise,
)
from organbench.evaluation.registry import METRICS

NAN = np.nan


def table(rows, columns=("model", "seed", "case", "organ", "dice")):
    return pd.DataFrame(rows, columns=list(columns)).assign(fold=0, false_positive=False)


@pytest.fixture
def per_case():
    rng = np.random.default_rng(0)
    rows = [
        (model, seed, f"case{case}", organ, *rng.beta(20, 2, len(METRICS)))
        for model in ("unet", "ghostunet")
        for seed in (0, 1)
        for case in range(12)
        for organ in ("liver", "bladder", "lungs")
    ]
    frame = table(rows, ("model", "seed", "case", "organ", *METRICS))
    bladderless = (frame["organ"] == "bladder") & frame["case"].isin(["case1", "case5"])
    frame.loc[bladderless, list(METRICS)] = NAN
    return frame


def test_seeds_are_averaged_before_patients():
    frame = table(
        [
            ("unet", 0, "a", "liver", 0.8),
            ("unet", 1, "a", "liver", 0.6),
            ("unet", 2, "a", "liver", 0.7),
            ("unet", 0, "b", "liver", 0.9),
        ]
    )
    row = summarise(frame).set_index("organ").loc["liver"]
    assert row["n"] == 2
    assert row["mean"] == pytest.approx((0.7 + 0.9) / 2)
    assert row["std"] == pytest.approx(np.std([0.7, 0.9], ddof=1))


def test_all_is_a_mean_over_scored_organs():
    frame = table(
        [
            ("unet", 0, "a", "liver", 0.8),
            ("unet", 0, "a", "bladder", 0.4),
            ("unet", 0, "b", "liver", 0.9),
            ("unet", 0, "b", "bladder", NAN),
            ("unet", 0, "c", "liver", NAN),
            ("unet", 0, "c", "bladder", NAN),
        ]
    )
    values = case_values(frame)
    everything = values[values["organ"] == "all"].set_index("case")["dice"]
    assert everything["a"] == pytest.approx(0.6)
    assert everything["b"] == pytest.approx(0.9)
    assert np.isnan(everything["c"])
    summary = summarise(frame).set_index("organ")
    assert summary["n"].to_dict() == {"liver": 2, "bladder": 1, "all": 2}
    assert summary.loc["all", "mean"] == pytest.approx(0.75)


def test_summary_against_pandas(per_case):
    summary = summarise(per_case)
    columns = ["metric", "model", "organ", "n", "mean", "std", "median", "ci_low", "ci_high"]
    columns += ["median_ci_low", "median_ci_high", "missing", "false_positives", "seed_std", "mean_absolute"]
    assert list(summary) == columns
    by_hand = per_case.groupby(["model", "organ", "case"])[list(METRICS)].mean().groupby(["model", "organ"])
    for row in summary[summary["organ"] != "all"].itertuples():
        for name, value in (("mean", row.mean), ("std", row.std), ("median", row.median), ("count", row.n)):
            assert value == pytest.approx(by_hand[row.metric].agg(name)[row.model, row.organ])


def test_order_is_that_of_first_appearance(per_case):
    summary = summarise(per_case)
    assert list(summary["metric"].unique()) == list(METRICS)
    assert list(summary["model"].unique()) == ["unet", "ghostunet"]
    assert list(summary["organ"].unique()) == ["liver", "bladder", "lungs", "all"]
    assert len(summary) == len(METRICS) * 2 * 4


def test_interval_is_scipys_bca_at_a_level_raised_for_few_patients():
    """Hesterberg (2015): by sqrt(n / (n - 1)) and by the quantile of t for that of the normal distribution."""
    values = np.sort(np.random.default_rng(1).beta(20, 2, 30))
    level = 2 * stats.norm.cdf(np.sqrt(30 / 29) * stats.t.ppf(0.975, 29)) - 1
    for statistic in (np.mean, np.median):
        expected = stats.bootstrap(
            (values,), statistic, n_resamples=2000, confidence_level=level, rng=np.random.default_rng(0)
        )
        assert interval(values, statistic) == pytest.approx(tuple(expected.confidence_interval))


def test_interval_is_near_students_t():
    values = np.random.default_rng(2).normal(0.8, 0.05, 60)
    expected = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
    assert interval(values) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("n", [8, 30])
def test_interval_covers_the_mean_about_as_often_as_it_says(n):
    rng = np.random.default_rng(3)
    inside = [low <= 0.8 <= high for low, high in (interval(rng.normal(0.8, 0.1, n)) for _ in range(300))]
    assert 0.915 <= np.mean(inside) <= 0.98


def test_interval_depends_on_values_alone():
    values = np.random.default_rng(4).beta(20, 2, 15)
    assert interval(values) == interval(values[::-1]) == interval(values)


@pytest.mark.parametrize("values", [[], [0.8]])
def test_no_interval_from_fewer_than_two(values):
    assert np.isnan(interval(np.array(values))).all()


def test_interval_of_equal_values_is_the_value():
    assert interval(np.full(7, 0.9)) == (0.9, 0.9)


@pytest.mark.parametrize("values", [[0.1, 0.9], [0.0, 0.0, 0.9], [1e-320, 0.0, 0.0], [0.5, 0.5 + 1e-16, 0.5 + 2e-16]])
@pytest.mark.filterwarnings("error")
def test_degenerate_values_still_have_an_interval(values):
    low, high = interval(np.array(values))
    assert min(values) <= low <= high <= max(values) + 1e-15


def test_no_values_at_all():
    frame = table([("unet", 0, "a", "brain", NAN), ("ghostunet", 0, "a", "brain", NAN)])
    summary = summarise(frame)
    assert (summary["n"] == 0).all()
    assert (summary["missing"] == 0).all()  # rightly nothing
    assert summary[["mean", "std", "median", "ci_low", "ci_high", "median_ci_low"]].isna().all(axis=None)
    assert case_differences(frame, "dice").empty


def test_what_is_left_out_of_a_mean_is_counted():
    columns = ("model", "seed", "case", "organ", "dice", "hd95")
    rows = [("unet", 0, "a", organ, 0.9, 2.0) for organ in ("liver", "brain")]
    rows += [("unet", 0, "missed", "liver", 0.0, NAN), ("unet", 0, "missed", "brain", 0.0, NAN)]
    rows += [("unet", 0, "invented", "liver", 0.0, NAN), ("unet", 1, "invented", "liver", NAN, NAN)]
    rows += [("unet", 0, "absent", "liver", NAN, NAN)]
    frame = table(rows, columns)
    frame["false_positive"] = (frame["case"] == "invented") & (frame["seed"] == 0)
    found = summarise(frame).set_index(["metric", "organ"])
    assert found["n"].to_dict() == {
        ("dice", "liver"): 3,
        ("dice", "brain"): 2,
        ("dice", "all"): 3,
        ("hd95", "liver"): 1,
        ("hd95", "brain"): 1,
        ("hd95", "all"): 1,
    }
    assert found.loc["dice", "missing"].tolist() == [0, 0, 0]
    assert found.loc["hd95", "missing"].to_dict() == {"liver": 2, "brain": 1, "all": 2}
    assert found["false_positives"].tolist() == [1, 0, 1] * 2


def test_the_spread_over_seeds_is_that_of_their_means():
    rows = [("unet", seed, case, "liver", 0.8 + 0.01 * seed) for seed in (0, 1, 2) for case in "abcd"]
    rows += [("both", 0, case, "liver", 0.9) for case in "abcd"]
    spread = seed_spread(table(rows))
    assert spread.loc[("unet", "liver"), "dice"] == pytest.approx(0.01)
    assert spread.loc[("unet", "all"), "dice"] == pytest.approx(0.01)
    assert np.isnan(spread.loc[("both", "all"), "dice"])
    assert summarise(table(rows)).set_index(["model", "organ"]).loc[("unet", "liver"), "seed_std"] == pytest.approx(
        0.01
    )


def test_differences_are_taken_case_by_case():
    frame = table(
        [
            ("unet", 0, "a", "liver", 0.9),
            ("unet", 0, "b", "liver", 0.8),
            ("unet", 0, "d", "liver", 0.1),
            ("ghostunet", 0, "b", "liver", 0.7),
            ("ghostunet", 0, "a", "liver", 0.95),
        ]
    )
    found = case_differences(frame, "dice")
    assert found[["model_a", "model_b"]].drop_duplicates().to_numpy().tolist() == [["unet", "ghostunet"]]
    differences = found.query("organ == 'liver'").set_index("case")["difference"]
    assert differences.to_dict() == pytest.approx({"a": -0.05, "b": 0.1})
    assert case_differences(frame[frame["model"] == "unet"], "dice").empty


def test_values_side_by_side_come_from_the_same_organs_and_runs_that_rightly_find_nothing_are_perfect():
    frame = table(
        [
            ("unet", 0, "a", "liver", 0.9),
            ("unet", 0, "a", "bladder", NAN),
            ("unet", 1, "a", "bladder", 0.0),
            ("ghostunet", 0, "a", "liver", 0.7),
            ("ghostunet", 0, "a", "bladder", NAN),
            ("unet", 0, "b", "bladder", NAN),
            ("ghostunet", 0, "b", "bladder", NAN),
        ]
    )
    found = paired_values(frame, "dice", ["unet", "ghostunet"])
    assert found.loc[("bladder", "a")].to_dict() == {"unet": 0.5, "ghostunet": 1.0}
    assert found.loc[("all", "a")].to_dict() == pytest.approx({"unet": 0.7, "ghostunet": 0.85})
    assert len(found) == 3


def test_rows_may_come_in_any_order(per_case):
    models, organs = ["unet", "ghostunet"], ["liver", "bladder", "lungs"]
    shuffled = per_case.sample(frac=1, random_state=0)
    shuffled = pd.concat([per_case.drop_duplicates(["model", "organ"]), shuffled]).drop_duplicates(
        ["model", "seed", "case", "organ"]
    )
    assert list(shuffled["model"].unique()) == models
    assert list(shuffled["organ"].unique()) == organs
    pd.testing.assert_frame_equal(summarise(shuffled), summarise(per_case))
    differences = (case_differences(frame, "iou").sort_values(["organ", "case"]) for frame in (shuffled, per_case))
    pd.testing.assert_frame_equal(*differences)


def test_absent_metrics_are_left_out(per_case):
    others = [metric for metric in METRICS if metric != "recall"]
    assert list(summarise(per_case.drop(columns="recall"))["metric"].unique()) == others


def test_the_name_all_is_taken():
    with pytest.raises(ValueError, match="named 'all'"):
        summarise(table([("unet", 0, "a", "all", 0.5)]))


def test_a_model_that_does_not_offer_all_organs_has_no_mean_over_organs(per_case):
    partial = per_case[(per_case["model"] == "unet") | (per_case["organ"] == "liver")]
    found = summarise(partial).query("metric == 'dice'").set_index(["model", "organ"])["n"]
    assert found["ghostunet"].to_dict() == {"liver": 12, "bladder": 0, "lungs": 0, "all": 0}
    assert found["unet"].to_dict() == {"liver": 12, "bladder": 10, "lungs": 12, "all": 12}
    pairs = paired_values(partial, "dice", ["unet", "ghostunet"])
    assert set(pairs.index.get_level_values("organ")) == {"liver", "all"}  # of what both offer
