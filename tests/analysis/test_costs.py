"""Cost beside accuracy, the Pareto front and the advice, by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import examples

from organbench.analysis import costs

NAN = np.nan


def training(model, seed, seconds, *, gpu=None, cpu=None, memory=None, host=800.0):
    return {
        "model": model,
        "seed": str(seed),
        "parameters": 100,
        "multiply_adds_per_voxel": 50.0,
        "training_seconds": seconds,
        "gpu_energy_j": gpu,
        "cpu_energy_j": cpu,
        "peak_host_mib": host,
        "peak_gpu_mib": memory,
        "device": "some CPU",
    }


def prediction(model, seconds, parameters=100, *, gpu=None, cpu=None, memory=None):
    return {
        "model": model,
        "case": "x",
        "parameters": parameters,
        "prediction_seconds": seconds,
        "gpu_energy_j": gpu,
        "cpu_energy_j": cpu,
        "peak_host_mib": 500.0,
        "peak_gpu_mib": memory,
        "device": "some CPU",
    }


def summary(**dice):
    rows = [("dice", model, "all", value, value - 0.01, value + 0.01) for model, value in dice.items()]
    return pd.DataFrame(rows, columns=["metric", "model", "organ", "mean", "ci_low", "ci_high"])


PLANNED = {"planning_seconds": 12.5}


def cost_table(trainings, predictions, means, ensembles=None):
    found = costs.table(pd.DataFrame(trainings), pd.DataFrame(predictions), means, ensembles or {})
    assert list(found["model"]) == list(means["model"])
    return found.set_index("model")


def test_means_over_runs_totals_and_peaks():
    found = cost_table(
        [training("unet", 0, 100.0, host=700.0), training("unet", 1, 140.0, host=900.0)],
        [prediction("unet", 2.0), prediction("unet", 4.0)],
        summary(unet=0.9),
    ).loc["unet"]
    assert found[["training_seconds", "training_seconds_total", "prediction_seconds"]].tolist() == [120, 240, 3]
    assert found[["parameters", "multiply_adds_per_voxel"]].tolist() == [100, 50]
    assert found[["training_host_mib", "prediction_host_mib"]].tolist() == [900, 500]
    assert found[["dice", "ci_low", "ci_high"]].tolist() == pytest.approx([0.9, 0.89, 0.91])
    assert found["device"] == "some CPU"
    assert found[["training_gpu_mib", "training_energy_j", "prediction_energy_j"]].isna().all()  # never a guess


def test_energy_is_the_sum_of_what_every_run_measured():
    trainings = [training("unet", 0, 1.0, gpu=30.0, cpu=5.0), training("ghostunet", 0, 1.0, gpu=20.0, cpu=None)]
    predictions = [prediction("unet", 1.0, gpu=3.0, cpu=1.0), prediction("ghostunet", 1.0, gpu=2.0, cpu=1.0)]
    found = cost_table(trainings, predictions, summary(unet=0.9, ghostunet=0.9))
    assert found["training_energy_j"].tolist() == [30, 20]  # a processor that one did not measure would be unfair
    assert found["prediction_energy_j"].tolist() == [4, 3]


def test_older_runs_without_energy_are_read():
    rows = [{k: v for k, v in training("unet", 0, 1.0).items() if not k.endswith("_j")}]
    assert np.isnan(cost_table(rows, [prediction("unet", 1.0)], summary(unet=0.9)).loc["unet", "training_energy_j"])


def test_an_ensemble_costs_its_members_trainings():
    trainings = [training(m, s, t, host=h) for m, t, h in (("a", 100.0, 700.0), ("b", 10.0, 900.0)) for s in (0, 1)]
    predictions = [prediction("a", 1.0), prediction("b", 2.0), prediction("both", 6.0, 400)]
    found = cost_table(trainings, predictions, summary(a=0.9, both=0.93, b=0.8), {"both": ["a", "b"]}).loc["both"]
    assert found["training_seconds"] == 2 * (100 + 10)  # two seeds of each
    assert found["training_seconds_total"] == 220
    assert found[["parameters", "multiply_adds_per_voxel", "training_host_mib"]].tolist() == [400, 200, 900]
    assert found["prediction_seconds"] == 6
    assert np.isnan(found["training_energy_j"])


def test_what_planning_takes_is_told_apart_where_a_model_plans():
    means, predictions = summary(unet=0.9, nnunet=0.9, both=0.9), [prediction("unet", 2.0), prediction("nnunet", 2.0)]
    plain = [training("unet", 0, 100.0), training("nnunet", 0, 90.0), training("nnunet", 1, 110.0)]
    planned = [*plain[:1], *(row | {"planning": {"planning_seconds": 12.5}} for row in plain[1:])]
    assert "planning_seconds" not in cost_table(plain, predictions, means, {"both": ["unet", "nnunet"]})
    found = cost_table(planned, predictions, means, {"both": ["unet", "nnunet"]})
    assert found["planning_seconds"].fillna(-1).to_dict() == {"unet": -1, "nnunet": 12.5, "both": 12.5}
    assert found["training_seconds"]["nnunet"] == 100.0


def test_an_ensemble_of_members_that_plan_nothing_has_no_time_of_planning():
    rows = [training("a", 0, 1.0), training("b", 0, 1.0), training("nnunet", 0, 9.0) | {"planning": PLANNED}]
    predictions = [prediction(name, 2.0) for name in ("a", "b", "nnunet", "both")]
    means = summary(a=0.9, b=0.9, nnunet=0.9, both=0.9)
    found = cost_table(rows, predictions, means, {"both": ["a", "b"]})
    assert found["planning_seconds"].fillna(-1).to_dict() == {"a": -1, "b": -1, "nnunet": 12.5, "both": -1}
    assert found["training_seconds_total"]["both"] == 2


def test_planning_and_tuning_are_told_beside_one_another():
    rows = [training("a", 0, 1.0), training("nnunet", 0, 9.0) | {"planning": PLANNED}]
    tunings = pd.DataFrame({"model": ["a", "a"], "training_seconds": [10.0, 3.0]})
    predictions = [prediction("a", 2.0), prediction("nnunet", 2.0)]
    means = summary(a=0.9, nnunet=0.9)
    found = costs.table(pd.DataFrame(rows), pd.DataFrame(predictions), means, {}, tunings).set_index("model")
    assert found.loc["a", ["tuning_runs", "tuning_seconds_total", "training_seconds_total"]].tolist() == [2, 13, 1]
    assert found.loc["nnunet", ["planning_seconds", "training_seconds_total"]].tolist() == [12.5, 9]
    assert found.loc["nnunet", ["tuning_runs", "tuning_seconds_total"]].isna().all()


def test_where_a_model_is_pretrained_it_is_marked():
    given = {"identity": {"network": {"network": "unet", "pretrained": "3f"}}}
    runs = [training("a", 0, 1.0) | given, training("b", 0, 1.0) | {"identity": {"network": {"network": "unet"}}}]
    predictions, means = [prediction(name, 1.0) for name in ("a", "both", "b")], summary(a=0.9, both=0.93, b=0.8)
    found = cost_table(runs, predictions, means, {"both": ["b", "a"]})
    assert found["start"].to_dict() == {"a": "pretrained", "both": "pretrained", "b": "random"}
    assert "start" not in cost_table(runs[1:], predictions[2:], summary(b=0.8))


def test_what_was_made_elsewhere_has_no_costs_and_takes_nobody_off_the_front():
    predictions = [prediction("unet", 2.0), prediction("tiny", 1.0), {"model": "product", "prediction_seconds": None}]
    trainings = [training("unet", 0, 100.0), training("tiny", 0, 10.0)]
    means = summary(unet=0.9, tiny=0.8, product=0.95)
    found = cost_table(trainings, predictions, means, {"product": []})
    assert found["training"].tolist() == [costs.HERE, costs.HERE, costs.ELSEWHERE]
    assert found.loc["product", list(costs.COSTS)].isna().all()
    fronts = costs.fronts(found.reset_index(), means)
    time = fronts[fronts["cost"] == "training_seconds"].set_index("model")["on_front"]
    assert time.to_dict() == {"unet": True, "tiny": True, "product": None}
    judged = [
        ("dice", "all", a, b, "undecided", "undecided", "weights")
        for a, b in (("unet", "tiny"), ("unet", "product"), ("tiny", "product"))
    ]
    columns = ["metric", "organ", "model_a", "model_b", "verdict", "verdict_weights", "scope"]
    advice = costs.advise(found.reset_index(), pd.DataFrame(judged, columns=columns)).set_index("less")
    assert advice.loc["training_seconds", "take"] == "tiny"
    words = advice.loc["training_seconds", "words"]
    assert words.startswith("for shorter training: tiny is the cheapest; ")
    assert words.endswith("; not known of product")


def test_a_study_may_train_nothing():
    found = cost_table([], [{"model": "product", "device": None}], summary(product=0.95), {"product": []})
    assert found.loc["product", "training"] == costs.ELSEWHERE
    assert np.isnan(found.loc["product", "training_seconds"])


def test_every_organ_has_its_front():
    trainings = [training("unet", 0, 100.0), training("tiny", 0, 10.0)]
    predictions = [prediction("unet", 2.0), prediction("tiny", 1.0)]
    means = summary(unet=0.9, tiny=0.8)
    means = pd.concat([means.assign(organ="bone", mean=[0.7, 0.75]), means, means.assign(metric="nsd")])
    overall = means.query("organ == 'all' and metric == 'dice'")
    found = costs.fronts(cost_table(trainings, predictions, overall).reset_index(), means)
    assert list(found) == costs.FRONTS
    assert len(found) == len(costs.COSTS) * 2 * 2
    time = found[found["cost"] == "training_seconds"].set_index(["organ", "model"])
    assert time["on_front"].to_dict() == {
        ("bone", "unet"): False,  # slower and worse
        ("bone", "tiny"): True,
        ("all", "unet"): True,
        ("all", "tiny"): True,
    }
    assert time.loc[("bone", "unet"), ["value", "dice"]].tolist() == [100, 0.7]
    assert found.loc[found["cost"] == "training_energy_j", "on_front"].isna().all()  # not measured


def test_the_front_by_hand():
    cost, score = np.array([1.0, 2, 3, 3, 4]), np.array([0.5, 0.9, 0.9, 0.95, 0.95])
    assert costs.on_front(cost, score) == [True, True, False, True, False]
    assert costs.on_front(np.array([1.0, 1]), np.array([0.5, 0.5])) == [True, True]
    assert costs.on_front(np.array([1.0, NAN]), np.array([0.5, 0.5])) == [True, None]


@examples(60)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8))
def test_whoever_is_not_on_the_front_is_beaten_by_one_that_is(points):
    cost, score = np.array(points, dtype=float).T
    front = costs.on_front(cost, score)
    for model, own in enumerate(front):
        better = (cost <= cost[model]) & (score >= score[model]) & ((cost < cost[model]) | (score > score[model]))
        assert own == (not better.any())
        assert own or (better & np.array(front)).any()


# --- advice


def comparison(*rows):
    found = pd.DataFrame(rows, columns=["organ", "model_a", "model_b", "verdict"])
    return found.assign(metric="dice", scope="networks", verdict_weights=found["verdict"])


@pytest.fixture
def three():
    return cost_table(
        [training("unet", 0, 100.0), training("ghostunet", 0, 150.0), training("tiny", 0, 10.0)],
        [prediction("unet", 3.0), prediction("ghostunet", 2.0, 25), prediction("tiny", 1.0, 5)],
        summary(unet=0.90, ghostunet=0.89, tiny=0.7),
    ).reset_index()


def test_the_cheapest_that_is_not_judged_worse(three):
    found = costs.advise(
        three,
        comparison(
            ("all", "unet", "ghostunet", "undecided"),
            ("all", "unet", "tiny", "better"),
            ("all", "ghostunet", "tiny", "better"),
            ("bladder", "unet", "ghostunet", "better"),
            ("brain", "unet", "ghostunet", "equivalent"),
        ),
    ).set_index("less")
    assert found.loc["parameters", ["take", "value", "best", "best_value"]].tolist() == ["ghostunet", 25, "unet", 100]
    assert found.loc["parameters", ["verdict", "worse_on"]].tolist() == ["undecided", "bladder"]
    assert found.loc["parameters", "words"] == (
        "for fewer parameters: ghostunet needs 25% of what unet does; "
        "mean Dice 0.890 against 0.900, undecided whether that is worse; worse on bladder"
    )
    assert found.loc["training_seconds", "take"] == "unet"
    assert found.loc["training_seconds", "words"] == (
        "for shorter training: unet, the best, is also the cheapest that is not judged worse"
    )
    assert "prediction_energy_j" not in found.index  # not measured
    assert found["take"].isin(["unet", "ghostunet"]).all()


def test_the_pairs_order_does_not_matter(three):
    found = costs.advise(
        three,
        comparison(
            ("all", "ghostunet", "unet", "equivalent"),
            ("all", "tiny", "unet", "worse"),
            ("bone", "ghostunet", "unet", "worse"),
        ),
    ).set_index("less")
    assert found.loc["parameters", ["take", "verdict", "worse_on"]].tolist() == ["ghostunet", "equivalent", "bone"]


def test_of_equally_cheap_ones_the_better_and_of_one_that_one(three):
    same = comparison(("all", "unet", "ghostunet", "undecided"), ("all", "unet", "tiny", "undecided"))
    found = costs.advise(three, same).set_index("less")
    assert found.loc["multiply_adds_per_voxel", "take"] == "unet"
    alone = costs.advise(three.iloc[:1], comparison())
    assert (alone["take"] == "unet").all()


def test_of_one_training_each_it_says_what_the_weights_are(three):
    """Nothing is known of the networks then, so the cheapest is taken, and the words say what is known."""
    once = comparison(("all", "unet", "ghostunet", "undecided"), ("all", "unet", "tiny", "undecided"))
    once = once.assign(scope="weights", verdict_weights=["undecided", "better"])
    found = costs.advise(three, once).set_index("less").loc["parameters"]
    assert found[["take", "verdict", "scope"]].tolist() == ["tiny", "undecided", "weights"]
    assert found["words"].endswith("undecided whether that is worse when trained again, though these weights are worse")


def test_no_dice_no_advice(three):
    assert list(costs.advise(three.assign(dice=NAN), comparison())) == costs.ADVICE


def test_neither_a_human_nor_a_model_of_some_organs_is_taken(three):
    """The human is the best, and beats the networks; the product is cheap, but has no mean over all organs."""
    others = [
        {"model": "human", "dice": 0.97},
        {"model": "product", "dice": NAN, "prediction_seconds": 0.1},
    ]
    costs_of_all = pd.concat([three, pd.DataFrame(others)], ignore_index=True)
    judged = comparison(
        ("all", "unet", "ghostunet", "undecided"),
        ("all", "unet", "tiny", "better"),
        ("all", "ghostunet", "tiny", "better"),
        *(("all", network, "human", "worse") for network in ("unet", "ghostunet", "tiny")),
        *(("all", model, "product", "undecided") for model in ("unet", "ghostunet", "tiny", "human")),
    )
    found = costs.advise(costs_of_all, judged, ["human"]).set_index("less")
    assert set(found["best"]) == {"unet"}
    assert found["take"].isin(["unet", "ghostunet"]).all()
    assert found.loc["prediction_seconds", "take"] == "ghostunet"
    assert not found["words"].str.contains("human|product|nan").any()
