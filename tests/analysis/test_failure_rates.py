"""How often networks fail: by hand, against SciPy's tables, and by simulation of the test's level."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from organbench.analysis.failure_rates import failure_differences, failure_rates, mcnemar_p, outcomes, rate

NAN = np.nan
COLUMNS = ["model", "seed", "case", "organ", "dice", "reference_ml", "predicted_ml"]


def table(rows):
    return pd.DataFrame(rows, columns=COLUMNS).assign(fold=0)


def found(frame, **place):
    for column, value in place.items():
        frame = frame[frame[column] == value]
    return frame.iloc[0]


BY_HAND = table(
    [
        ("a", 0, "p1", "liver", 0.9, 10, 9),
        ("a", 0, "p1", "bladder", 0.4, 5, 9),
        ("a", 0, "p2", "liver", 0.5, 10, 9),  # not below
        ("a", 0, "p2", "bladder", 0.0, 0, 3),  # invented
        ("a", 0, "p3", "liver", 0.0, 10, 0),  # missed
        ("a", 0, "p3", "bladder", NAN, 0, 0),
        ("b", 0, "p1", "liver", 0.9, 10, 9),
        ("b", 0, "p1", "bladder", 0.0, 5, 0),
        ("b", 0, "p2", "liver", 0.8, 10, 9),
        ("b", 0, "p2", "bladder", NAN, 0, 0),
        ("b", 0, "p3", "liver", 0.9, 10, 9),
        ("b", 0, "p3", "bladder", NAN, 0, 0),
    ]
)


def test_rates_by_hand():
    rates = failure_rates(BY_HAND, 0.5)
    counts = {(row.metric, row.model, row.organ): (row.failed, row.n) for row in rates.itertuples()}
    assert counts == {
        ("below", "a", "liver"): (1, 3),
        ("below", "a", "bladder"): (2, 2),  # the invented one counts, the one that nobody has does not
        ("below", "a", "all"): (3, 3),
        ("below", "b", "liver"): (0, 3),
        ("below", "b", "bladder"): (1, 1),
        ("below", "b", "all"): (1, 3),
        ("missed", "a", "liver"): (1, 3),
        ("missed", "a", "bladder"): (0, 1),  # what is not there cannot be missed
        ("missed", "a", "all"): (1, 3),
        ("missed", "b", "liver"): (0, 3),
        ("missed", "b", "bladder"): (1, 1),
        ("missed", "b", "all"): (1, 3),
    }
    assert rates["rate"].tolist() == pytest.approx((rates["failed"] / rates["n"]).tolist())


def test_differences_by_hand():
    differences = failure_differences(BY_HAND, 0.5)
    counts = {(row.metric, row.organ): (row.n, row.only_a, row.only_b, row.both) for row in differences.itertuples()}
    assert counts == {
        ("below", "liver"): (3, 1, 0, 0),
        ("below", "bladder"): (2, 1, 0, 1),  # b is right to predict nothing where a invents
        ("below", "all"): (3, 2, 0, 1),
        ("missed", "liver"): (3, 1, 0, 0),
        ("missed", "bladder"): (1, 0, 1, 0),
        ("missed", "all"): (3, 1, 1, 0),
    }
    assert differences["p_value"].tolist() == [1, 1, 0.5, 1, 1, 1]
    assert differences["p_holm"].tolist() == [1] * 6  # 0.5 is one of six


def test_trainings_are_averaged_before_a_patient_fails():
    dices = {"once": [0.9, 0.8, 0.0], "often": [0.0, 0.9, 0.0], "half": [0.0, 0.9]}
    rows = [
        ("a", seed, case, "liver", dice, 10, 10 if dice else 0)
        for case, own in dices.items()
        for seed, dice in enumerate(own)
    ]
    below, missed = (outcomes(table(rows), kind, ["a"], 0.5)["a"].loc["liver"] for kind in ("below", "missed"))
    assert below.to_dict() == {"once": False, "often": True, "half": True}
    assert missed.to_dict() == {"once": False, "often": True, "half": True}


def test_an_organ_that_one_training_of_three_invents_is_no_failure():
    rows = [("a", seed, "p1", "liver", 0 if seed == 0 else NAN, 0, 3 if seed == 0 else 0) for seed in range(3)]
    assert found(failure_rates(table(rows), 0.5), metric="below", organ="liver")[["n", "failed"]].tolist() == [1, 0]
    assert found(failure_rates(table(rows), 0.5), metric="missed", organ="liver")["n"] == 0


def test_a_patients_scans_are_one_outcome():
    rows = [("a", 0, f"p1_{scan}", "liver", dice, 10, 10) for scan, dice in enumerate([0.2, 0.9, 0.6])]
    rows += [("a", 0, "p2_0", "liver", 0.1, 10, 0)]
    frame = table(rows)
    assert found(failure_rates(frame, 0.5), metric="below", organ="liver")[["n", "failed"]].tolist() == [4, 2]
    frame = frame.assign(patient=frame["case"].str[:2])
    assert found(failure_rates(frame, 0.5), metric="below", organ="liver")[["n", "failed"]].tolist() == [2, 1]
    assert found(failure_rates(frame, 0.5), metric="missed", organ="all")[["n", "failed"]].tolist() == [2, 1]


def test_intervals_are_clopper_and_pearsons():
    assert rate(0, 24) == pytest.approx((0, 0, stats.beta.ppf(0.975, 1, 24)))
    assert rate(3, 24) == pytest.approx((0.125, stats.beta.ppf(0.025, 3, 22), stats.beta.ppf(0.975, 4, 21)))
    assert np.isnan(rate(0, 0)).all()


def test_the_test_is_mcnemars():
    assert mcnemar_p(1, 8) == pytest.approx(2 * stats.binom.cdf(1, 9, 0.5))
    assert mcnemar_p(4, 4) == 1
    assert mcnemar_p(0, 0) == 1


def test_no_patients_and_no_pairs():
    single = BY_HAND[BY_HAND["model"] == "a"]
    assert failure_differences(single, 0.5).empty
    assert list(failure_differences(single, 0.5)) == list(failure_differences(BY_HAND, 0.5))
    nothing = BY_HAND.assign(dice=NAN, reference_ml=0, predicted_ml=0)
    assert (failure_rates(nothing, 0.5)["n"] == 0).all()
    assert failure_rates(nothing, 0.5)["rate"].isna().all()
    assert failure_differences(nothing, 0.5)[["p_value", "p_holm"]].isna().all(axis=None)


def test_networks_that_fail_equally_often_are_seldom_told_apart():
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(150):
        rows = []
        for patient in range(40):
            hard = rng.uniform(0, 0.5, 3)  # patients and organs are not equally hard
            for model in "ab":
                for organ, chance in zip(("liver", "bladder", "bone"), hard, strict=True):
                    failed = rng.uniform() < chance
                    rows.append((model, 0, f"p{patient}", organ, 0.1 if failed else 0.9, 10, 0 if failed else 10))
        false += (failure_differences(table(rows), 0.5)["p_holm"] < 0.05).any()
    assert false / 150 <= 0.05
