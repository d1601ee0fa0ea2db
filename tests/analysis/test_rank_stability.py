"""How stable rankings are: by hand, against SciPy, and whether shares are as sure as they say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from organbench.analysis.rank_stability import kendall_tau, rank_stability, resampled_means
from organbench.analysis.statistics import paired_values

NAN = np.nan


def table(rows):
    return pd.DataFrame(rows, columns=["model", "fold", "seed", "case", "organ", "dice"])


def study(*, models=2, seeds=1, folds=1, patients=12, organs=("liver",), spread=0.0, rng=None):
    """Networks that are equal on average: patients differ, and trainings by `spread` (standard deviation)."""
    rng = rng or np.random.default_rng(0)
    rows = []
    for organ in organs:
        hard = rng.normal(0.8, 0.05, patients)
        for model in range(models):
            own = hard + rng.normal(0, 0.02, patients)
            trainings = rng.normal(0, spread, (folds, seeds))
            for case in range(patients):
                for seed in range(seeds):
                    fold = case % folds
                    dice = own[case] + trainings[fold, seed] + rng.normal(0, 0.01)
                    rows.append((f"m{model}", fold, seed, f"p{case}", organ, dice))
    return table(rows)


def wide(means, seeds=1):
    """A row a patient, a column a training of the models a and b."""
    columns = [(model, 0, seed) for model in "ab" for seed in range(seeds)]
    return pd.DataFrame(means, columns=pd.MultiIndex.from_tuples(columns, names=["model", "fold", "seed"]))


def test_a_sure_ranking_by_hand():
    rows = [(model, 0, 0, f"p{case}", "liver", dice) for model, dice in (("b", 0.7), ("a", 0.9)) for case in range(4)]
    found = rank_stability(table(rows), ["dice"])
    assert found["organ"].tolist() == ["liver", "liver", "all", "all"]
    assert found["model"].tolist() == ["a", "b"] * 2
    first, second = found.iloc[0], found.iloc[1]
    columns = ["n", "trainings", "mean", "rank", "rank_low", "rank_high", "kendall_tau", "share_1", "share_2"]
    assert first[columns].tolist() == pytest.approx([4, 1, 0.9, 1, 1, 1, 1, 1, 0])
    assert second[columns].tolist() == pytest.approx([4, 1, 0.7, 2, 2, 2, 1, 0, 1])


def test_lower_is_better_for_distances():
    frame = study(models=3, patients=6)
    frame["hd95"] = 10 - 10 * frame["dice"]
    found = rank_stability(frame, ["dice", "hd95"])
    dice, distance = (found[found["metric"] == metric].drop(columns=["metric", "mean"]) for metric in ("dice", "hd95"))
    pd.testing.assert_frame_equal(dice.reset_index(drop=True), distance.reset_index(drop=True))


def test_equal_networks_share_the_best_rank():
    rows = [(model, 0, 0, f"p{case}", "liver", case / 10) for model in "abc" for case in range(5)]
    found = rank_stability(table(rows), ["dice"])
    assert (found["rank"] == 1).all()
    assert (found["share_1"] == 1).all()
    assert found["kendall_tau"].isna().all()


def test_ranks_and_means_are_those_of_the_paired_values():
    frame = study(models=4, seeds=3, folds=3, organs=("liver", "bone"), spread=0.02)
    found = rank_stability(frame, ["dice"])
    models = list(frame["model"].unique())
    for organ, values in paired_values(frame, "dice", models).groupby("organ"):
        own = found[found["organ"] == organ].set_index("model").loc[models]
        assert own["mean"].tolist() == pytest.approx(values.mean().tolist())
        assert own["rank"].tolist() == stats.rankdata(-values.mean()).tolist()
    shares = found[[f"share_{rank}" for rank in range(1, 5)]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    assert (found["trainings"] == 3).all()


def test_kendall_is_scipys():
    rng = np.random.default_rng(0)
    ranks = rng.permutation(6)[None] + 1
    drawn = rng.integers(1, 7, (20, 6))
    expected = [stats.kendalltau(ranks[0], row).statistic for row in drawn]
    assert kendall_tau(ranks, drawn) == pytest.approx(expected)
    assert np.isnan(kendall_tau(np.ones((1, 3)), np.array([[1, 2, 3]])))[0]


def test_resamples_vary_as_much_as_patients_and_trainings_say():
    rng = np.random.default_rng(0)
    seeds, patients = 3, 30
    values = wide(rng.normal(0, 0.05, (patients, 1)) + rng.normal(0, 0.04, 2 * seeds), seeds)
    drawn = resampled_means(values, np.random.default_rng(1), 20000)
    assert drawn.mean(axis=0) == pytest.approx([values["a"].mean().mean(), values["b"].mean().mean()], abs=1e-3)
    of_patients = values["a"].mean(axis=1).var(ddof=0) / patients
    of_trainings = values["a"].mean(axis=0).var(ddof=1) / seeds
    assert drawn[:, 0].var() == pytest.approx(of_patients + of_trainings, rel=0.03)
    # Patients are drawn for both at once and drop out of the difference; trainings are drawn for each.
    both = of_trainings + values["b"].mean(axis=0).var(ddof=1) / seeds
    assert (drawn[:, 0] - drawn[:, 1]).var() == pytest.approx(both, rel=0.03)


def test_folds_are_resampled_each_by_itself():
    frame = study(seeds=2, folds=2, patients=20)
    level = frame["fold"] * 0.4  # the folds' patients differ much, and each fold keeps its number of them
    found = rank_stability(frame, ["dice"])
    moved = rank_stability(frame.assign(dice=frame["dice"] + level), ["dice"])
    pd.testing.assert_frame_equal(found.drop(columns="mean"), moved.drop(columns="mean"))


def test_a_training_that_misses_the_organ_has_no_distance_and_changes_no_patients():
    rows = [(model, 0, seed, f"p{case}", "liver", 0.5) for model in "ab" for seed in range(3) for case in range(5)]
    frame = table(rows).assign(hd95=lambda t: np.where(t["model"] == "a", 3.0, 4.0))
    frame.loc[(frame["model"] == "a") & (frame["seed"] == 1) & (frame["case"] == "p2"), "hd95"] = NAN
    frame.loc[(frame["model"] == "a") & (frame["case"] == "p4"), "hd95"] = NAN
    found = rank_stability(frame, ["hd95"])
    assert found.loc[found["organ"] == "liver", "n"].tolist() == [4, 4]
    assert found.loc[found["model"] == "a", "share_1"].tolist() == [1, 1]


def test_a_patients_scans_are_drawn_together():
    frame = study(patients=6, seeds=2)
    doubled = pd.concat([frame.assign(case=frame["case"] + scan, patient=frame["case"]) for scan in ("_1", "_2")])
    pd.testing.assert_frame_equal(rank_stability(doubled, ["dice"]), rank_stability(frame, ["dice"]))


def test_no_ranking_of_one_network_or_of_no_patient():
    frame = study(models=2)
    alone = rank_stability(frame[frame["model"] == "m0"], ["dice"])
    assert alone.empty
    assert {"metric", "rank", "share_1"} <= set(alone)
    nothing = rank_stability(frame.assign(dice=NAN), ["dice"])
    assert (nothing["n"] == 0).all()
    assert nothing[["rank", "share_1", "kendall_tau"]].isna().all(axis=None)


def test_the_same_table_gives_the_same_shares_in_whatever_order_its_rows_come():
    frame = study(models=3, seeds=2, spread=0.02)
    turned = pd.concat([rows.iloc[::-1] for _, rows in frame.groupby("model")])
    pd.testing.assert_frame_equal(rank_stability(frame, ["dice"]), rank_stability(turned, ["dice"]))


def test_equal_networks_seldom_seem_surely_ranked_once_trainings_are_drawn_too():
    rng = np.random.default_rng(0)
    seeds, studies = 5, 150
    sure = {"trainings too": 0, "patients only": 0}
    for _ in range(studies):
        own = np.repeat(rng.normal(0, 0.03, (25, 2)), seeds, axis=1)
        values = wide(own + rng.normal(0, 0.02, 2 * seeds) + rng.normal(0, 0.02, own.shape), seeds)
        averaged = wide(values.T.groupby(level="model").mean().T.to_numpy())
        for what, table_of in (("trainings too", values), ("patients only", averaged)):
            drawn = resampled_means(table_of, np.random.default_rng(0), 400)
            share = (drawn[:, 0] > drawn[:, 1]).mean()
            sure[what] += share < 0.025 or share > 0.975
    # A bootstrap knows no t distribution: of the mean of five normal values, 5 % are 8.6 %.
    assert sure["trainings too"] / studies <= 0.086 + 2 * (0.086 * 0.914 / studies) ** 0.5
    assert sure["patients only"] / studies > 0.25
