"""Which models reach another human: the verdicts on both, turned so that the model comes first."""

import numpy as np
import pandas as pd
import pytest

from organbench.analysis import observers
from organbench.analysis.statistics import summarise
from organbench.analysis.verdicts import compare

ORGANS = ("liver", "bone")


@pytest.fixture(scope="module")
def per_case():
    """The network is as good as the observer, the product far worse; 30 patients."""
    rng = np.random.default_rng(0)
    levels = {"observer": 0.9, "net": 0.901, "product": 0.8}
    rows = [
        (model, seed, f"case{case}", organ, level + patient + rng.normal(0, 0.004))
        for case, patient in enumerate(rng.normal(0, 0.02, 30))
        for organ in ORGANS
        for model, level in levels.items()
        for seed in (range(3) if model == "net" else (0,))
    ]
    table = pd.DataFrame(rows, columns=["model", "seed", "case", "organ", "dice"])
    return table.assign(fold=0, false_positive=False)


def test_within_is_the_verdict_on_model_and_observer(per_case):
    comparison = compare(per_case, {"dice": 0.01}, ["observer", "product"])
    found = observers.within(comparison, summarise(per_case), ["observer"])
    assert list(found) == observers.OBSERVERS
    assert set(found["model"]) == {"net", "product"}
    table = found.set_index(["model", "organ"])
    assert (table.loc["net", "within"] == "yes").all()
    assert (table.loc["product", "within"] == "no").all()
    assert (table.loc["product", "verdict"] == "worse").all()
    of_liver = table.loc[("product", "liver")]
    assert of_liver["mean_difference"] == pytest.approx(of_liver["mean"] - of_liver["observer_mean"])
    assert of_liver["ci_low"] < of_liver["mean_difference"] < of_liver["ci_high"] < 0
    assert of_liver["words"].startswith("product does not reach observer on the liver: ")
    assert of_liver["words"].endswith(" Dice points worse than observer")


def test_errors_with_a_sign_are_told_by_their_size(per_case):
    """A model whose doses are too low by 3 Gy is worse than an observer whose are too high by 1, and not lower by 4."""
    error = per_case["model"].map({"observer": 1.0, "net": -0.5, "product": -3.0})
    dosed = per_case.assign(dmean_error=error * per_case["dice"])
    found = observers.within(compare(dosed, {}, ["observer", "product"]), summarise(dosed), ["observer"])
    table = found[found["metric"] == "dmean_error"].set_index(["model", "organ"])
    for model, words in (("product", "Gy of mean dose worse than"), ("net", "Gy of mean dose better than")):
        row = table.loc[(model, "liver")]
        assert min(row["mean"], row["observer_mean"]) > 0
        assert row["mean_difference"] == pytest.approx(row["mean"] - row["observer_mean"])
        assert f"{words} observer" in row["words"]


def test_the_order_of_models_does_not_matter(per_case):
    turned = pd.concat([per_case[per_case["model"] != "observer"], per_case[per_case["model"] == "observer"]])
    keys = ["model", "organ"]
    one, other = (
        observers.within(compare(table, {"dice": 0.01}, ["observer", "product"]), summarise(table), ["observer"])
        .set_index(keys)
        .sort_index()
        for table in (per_case, turned)
    )
    pd.testing.assert_frame_equal(one, other)


def test_without_a_margin_nobody_is_shown_to_be_within(per_case):
    rows = per_case[per_case["model"] != "product"]
    found = observers.within(compare(rows, {}, ["observer"]), summarise(rows), ["observer"])
    undecided = found[found["within"] == "undecided"]
    assert len(undecided)
    assert undecided["words"].str.endswith("this metric has no margin in evaluation.margin").all()


def test_two_observers_are_not_compared_with_one_another(per_case):
    comparison = compare(per_case, {"dice": 0.01}, ["observer", "product"])
    found = observers.within(comparison, summarise(per_case), ["observer", "product"])
    assert set(found["model"]) == {"net"}
    assert set(found["observer"]) == {"observer", "product"}
