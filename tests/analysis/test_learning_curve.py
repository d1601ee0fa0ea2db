"""Would more patients help? Nested shares of whole patients, and the Dice of the same test cases after each."""

import numpy as np
import pandas as pd
import pytest

from organbench.analysis import learning_curve, statistics
from organbench.data import splits
from organbench.reporting.figures import style
from organbench.reporting.figures.learning_curve import learning_curve as draw

CASES = [f"p{patient:02}_{scan}" for patient in range(30) for scan in "ab"]
PATIENT = "^[^_]+"


def patients_of(cases):
    return {case.partition("_")[0] for case in cases}


@pytest.fixture
def fold():
    (fold,) = splits.split(CASES, method="holdout", test_fraction=0.2, validation_fraction=0.1, patient=PATIENT)
    return fold


def test_shares_are_nested_and_keep_patients_together(fold):
    shares = [set(splits.part(fold, percent, 0, PATIENT)["train"]) for percent in (25, 50, 100)]
    assert shares[0] < shares[1] < shares[2] == set(fold["train"])
    everyone = len(patients_of(fold["train"]))
    for share, percent in zip(shares, (25, 50, 100), strict=True):
        assert len(share) == 2 * len(patients_of(share)), "both scans of each"
        assert len(patients_of(share)) == int(np.ceil(everyone * percent / 100))


def test_only_the_training_cases_are_fewer_and_keep_their_order(fold):
    part = splits.part(fold, 50, 0, PATIENT)
    assert (part["validation"], part["test"]) == (fold["validation"], fold["test"])
    assert part["train"] == [case for case in fold["train"] if case in set(part["train"])]
    assert splits.part(fold, 100, 0, PATIENT) == fold


def test_a_share_depends_on_the_seed_and_on_nothing_else(fold):
    again = fold | {"train": list(reversed(fold["train"]))}
    assert set(splits.part(fold, 25, 0, PATIENT)["train"]) == set(splits.part(again, 25, 0, PATIENT)["train"])
    assert splits.part(fold, 25, 0, PATIENT) != splits.part(fold, 25, 1, PATIENT)


def test_one_patient_is_left():
    fold = {"train": ["a"], "validation": [], "test": ["b"]}
    assert splits.part(fold, 25, 0)["train"] == ["a"]


@pytest.fixture
def per_case():
    """Two networks, two seeds, three shares: the Dice rises by 0.2, then by 0.1; a case does not have the bladder."""
    rng = np.random.default_rng(0)
    rows = []
    for share, level in ((25, 0.5), (50, 0.7), (100, 0.8)):
        for model, better in (("2", 0.0), ("007", 0.05)):
            for case in range(12):
                for seed in (0, 1):
                    for organ in ("liver", "bladder"):
                        dice = level + better + rng.normal(0, 0.02)
                        dice = np.nan if (organ, case) == ("bladder", 3) else dice
                        rows.append((share, model, 0, seed, str(case), organ, dice))
    return pd.DataFrame(rows, columns=["share", "model", "fold", "seed", "case", "organ", "dice"])


PATIENTS = {25: [6, 5], 50: [11, 10], 100: [21, 20]}


def test_the_table_says_what_more_patients_brought(per_case):
    found = learning_curve.table(per_case, PATIENTS)
    assert found["model"].unique().tolist() == ["2", "007"]
    assert found["organ"].unique().tolist() == ["liver", "bladder", "all"]
    liver = found[(found["model"] == "2") & (found["organ"] == "liver")]
    assert liver["patients"].tolist() == [5.5, 10.5, 20.5]
    assert liver["trainings"].tolist() == [2, 2, 2]
    rows = per_case[(per_case["model"] == "2") & (per_case["organ"] == "liver")]
    means = rows.groupby(["share", "case"])["dice"].mean().unstack("share")
    assert liver["dice"].tolist() == pytest.approx(means.mean().tolist())
    assert np.isnan(liver["gain"].iloc[0])
    gained = means[100] - means[50]
    assert liver["gain"].iloc[2] == pytest.approx(gained.mean())
    expected = statistics.interval(gained.to_numpy())
    assert (liver["gain_low"].iloc[2], liver["gain_high"].iloc[2]) == pytest.approx(expected)
    assert 0 < expected[0] < 0.1 < expected[1] + 0.02
    bladder = found[(found["model"] == "2") & (found["organ"] == "bladder")]
    assert bladder["n"].tolist() == [11, 11, 11]


@pytest.mark.parametrize("organs", [["liver"], ["liver", "bladder"]])
def test_the_figure_shows_every_share_of_every_network(per_case, tmp_path, organs):
    table = learning_curve.table(per_case[per_case["organ"].isin(organs)], PATIENTS)
    figure = draw(table, ["2", "007", "1e3"])
    panels = figure.axes
    assert [axes.get_title() for axes in panels] == (["liver"] if len(organs) == 1 else [*organs, "all organs"])
    for axes in panels:
        for line, model in zip((c.lines[0] for c in axes.containers), ["2", "007"], strict=True):
            own = table[(table["model"] == model) & (table["organ"] == axes.get_title().replace("all organs", "all"))]
            assert line.get_ydata().tolist() == own["dice"].tolist()
            assert line.get_xdata() == pytest.approx(own["patients"], abs=0.3)
    style.save(figure, tmp_path / "curve.png", tmp_path / "curve.svg")
    again = draw(table, ["2", "007", "1e3"])
    style.save(again, tmp_path / "again.svg")
    assert (tmp_path / "curve.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()


def test_a_network_that_finds_nothing_is_drawn(per_case):
    table = learning_curve.table(per_case.assign(dice=0.0), PATIENTS)
    draw(table, ["2", "007"])
    empty = learning_curve.table(per_case.assign(dice=np.nan), PATIENTS)
    draw(empty, ["2", "007"])
