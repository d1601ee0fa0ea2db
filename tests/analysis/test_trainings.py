"""The values of single trainings: their means are those of the paired tables, whatever is missing."""

import numpy as np
import pandas as pd
import pytest

from organbench.analysis.statistics import by_model, paired_values, training_values

NAN = np.nan


def table(rows):
    return pd.DataFrame(rows, columns=["model", "fold", "seed", "case", "organ", "dice", "hd95"])


def study(folds):
    """Two networks, three seeds: organs that are missed, and one that is not there and sometimes invented."""
    rng = np.random.default_rng(0)
    rows = []
    for model in ("net", "also"):
        for seed in range(3):
            for case in range(12):
                for organ in ("liver", "bladder", "brain"):
                    dice, distance = rng.uniform(), rng.uniform(0, 9)
                    if organ == "brain" and case < 6:
                        dice, distance = (0, NAN) if rng.uniform() < 0.2 else (NAN, NAN)
                    elif rng.uniform() < 0.3:
                        dice, distance = 0, NAN
                    rows.append((model, case % folds, seed, f"p{case}", organ, dice, distance))
    return table(rows)


@pytest.mark.parametrize("metric", ["dice", "hd95"])
@pytest.mark.parametrize("folds", [1, 3])
def test_means_over_trainings_are_the_paired_values(metric, folds):
    frame = study(folds)
    values = training_values(frame, metric, ["also", "net"])
    expected = paired_values(frame, metric, ["also", "net"])
    assert list(values.columns.unique("model")) == ["also", "net"]
    assert values.shape == (len(expected), 2 * 3 * folds)
    pd.testing.assert_frame_equal(by_model(values), expected, check_names=False)


def test_a_training_without_a_value_takes_the_mean_of_the_others_of_its_fold():
    rows = [("a", 0, seed, "p1", "liver", 0.5, distance) for seed, distance in enumerate([2, NAN, 4])]
    assert training_values(table(rows), "hd95", ["a"]).loc["liver"].iloc[0].tolist() == [2, 3, 4]
    rows += [("a", 1, 0, "p2", "liver", 0.5, 7)]
    values = training_values(table(rows), "hd95", ["a"]).loc["liver"]
    assert values.loc["p1"].tolist() == pytest.approx([2, 3, 4, NAN], nan_ok=True)  # fold 1 did not test it
    assert values.loc["p2"].tolist() == pytest.approx([NAN, NAN, NAN, 7], nan_ok=True)


def test_a_patients_scans_are_averaged_after_the_rule_for_absent_organs():
    rows = [
        ("a", 0, 0, "p1_1", "liver", 0.6, 1),
        ("a", 0, 0, "p1_2", "liver", NAN, NAN),  # this scan does not show it, and nobody says so
        ("b", 0, 0, "p1_1", "liver", 0.8, 1),
        ("b", 0, 0, "p1_2", "liver", NAN, NAN),
        ("a", 0, 0, "p2_1", "liver", NAN, NAN),  # nor does this one, but b invents it
        ("b", 0, 0, "p2_1", "liver", 0, NAN),
        ("a", 0, 0, "p2_2", "liver", 0.5, 1),
        ("b", 0, 0, "p2_2", "liver", 0.5, 1),
    ]
    frame = table(rows)
    values = by_model(training_values(frame.assign(patient=frame["case"].str[:2]), "dice", ["a", "b"])).loc["liver"]
    assert values.loc["p1"].tolist() == [0.6, 0.8]
    assert values.loc["p2"].tolist() == [0.75, 0.25]


def test_without_any_value_there_are_no_rows():
    rows = [("a", 0, 0, "p1", "liver", NAN, NAN), ("b", 0, 0, "p1", "liver", NAN, NAN)]
    assert training_values(table(rows), "dice", ["a", "b"]).empty
