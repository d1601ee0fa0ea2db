"""Which cases are shown, how volumes agree, and how scans were made."""

import numpy as np
import pandas as pd
import pytest

from organbench.analysis.cohort import (
    agreement,
    case_volumes,
    disagreement,
    example_cases,
    scan_spacing,
    volume_agreement,
)
from organbench.analysis.statistics import interval


def dice_table(values):
    """Rows of per_case.csv from {(model, case, organ): Dice}."""
    rows = [(model, 0, 0, case, organ, dice) for (model, case, organ), dice in values.items()]
    return pd.DataFrame(rows, columns=["model", "fold", "seed", "case", "organ", "dice"])


def pair_table(values):
    """Rows of agreement.csv from {(case, organ): Dice of unet's prediction with ghost's}."""
    rows = [(case, organ, "unet", "ghost", dice) for (case, organ), dice in values.items()]
    return pd.DataFrame(rows, columns=["case", "organ", "model_a", "model_b", "dice"])


def volume_table(rows):
    return pd.DataFrame(rows, columns=["model", "seed", "case", "organ", "reference_ml", "predicted_ml"]).assign(fold=0)


def test_example_cases_are_ranked_by_all_networks_together():
    scores = {"a": (0.9, 0.7), "b": (0.5, 0.5), "c": (0.7, 0.75), "d": (0.6, 0.65)}
    table = dice_table(
        {(model, case, "liver"): dice[k] for case, dice in scores.items() for k, model in enumerate(("unet", "ghost"))}
    )
    pairs = {("a", "liver"): 0.5, ("b", "liver"): 0.9, ("c", "liver"): 0.8, ("d", "liver"): 0.95}
    chosen = example_cases(table, pair_table(pairs))
    assert list(chosen.columns) == ["rank", "case", "model", "dice", "disagreement"]
    assert list(chosen.drop_duplicates("rank")["case"]) == ["a", "c", "b", "d"]  # d: the others are shown already
    assert list(chosen["rank"].unique()) == ["best", "median", "worst", "disputed"]
    assert chosen.groupby("rank")["model"].nunique().eq(2).all()
    disputed = chosen[chosen["rank"] == "disputed"]
    assert list(disputed["dice"]) == [0.6, 0.65]
    assert disputed["disagreement"].to_numpy() == pytest.approx([0.05, 0.05])


def test_the_most_disputed_case_is_where_predictions_differ_though_their_dice_does_not():
    places = [(case, organ) for case in "abcde" for organ in ("liver", "bone")]
    dice = {(model, *place): 0.9 - 0.1 * "abcde".index(place[0]) for model in ("unet", "ghost") for place in places}
    pairs = dict.fromkeys(places, 0.9) | {("d", "bone"): 0.1}
    chosen = example_cases(dice_table(dice), pair_table(pairs)).set_index("rank")
    assert chosen.loc["disputed", "case"].unique() == ["d"]
    assert chosen.loc["disputed", "disagreement"].iloc[0] == pytest.approx((0.1 + 0.9) / 2)
    few = {place: value for place, value in dice.items() if place[1] in "ad"}  # all are shown already
    assert example_cases(dice_table(few), pair_table(pairs)).set_index("rank").loc["disputed", "case"].unique() == ["d"]


@pytest.mark.parametrize("whole", [True, False], ids=["one offers all", "none offers all"])
def test_models_that_do_not_offer_all_organs_are_shown_but_do_not_rank_where_others_can(whole):
    scores = {"a": 0.9, "b": 0.5, "c": 0.7}
    values = {("ghost", case, "bone"): 1 - dice for case, dice in scores.items()}
    values |= {("unet", case, "liver"): dice for case, dice in scores.items()}
    if whole:
        values |= {("whole", case, organ): dice for case, dice in scores.items() for organ in ("liver", "bone")}
    chosen = example_cases(dice_table(values), pair_table({(case, "liver"): 0.5 for case in scores})).set_index("rank")
    models = ["ghost", "unet", "whole"] if whole else ["ghost", "unet"]
    assert sorted(chosen.loc["best", "model"]) == sorted(chosen.loc["disputed", "model"]) == models
    assert chosen.loc["best", "case"].unique().tolist() == ["a"]  # equal for all where none offers all
    assert chosen.loc["worst", "case"].unique().tolist() == ["b" if whole else "c"]


def test_disagreement_is_one_minus_the_dice_between_predictions():
    unet = np.array([[[1, 1, 0, 0]]], np.uint8)
    found = agreement({"unet": unet, "ghost": np.array([[[1, 0, 0, 2]]], np.uint8)}, ["liver", "bone", "brain"])
    assert found["dice"].tolist()[:2] == pytest.approx([2 / 3, 0])
    apart = disagreement(found.assign(case="a"))
    assert apart["a", "liver"] == pytest.approx(1 / 3)
    assert apart["a", "bone"] == 1  # one has it
    assert np.isnan(apart["a", "brain"])
    assert apart["a", "all"] == pytest.approx(2 / 3)
    assert agreement({"unet": unet}, ["liver"]).empty


def test_a_single_network_has_no_dispute_and_nothing_scored_no_example():
    one = dice_table({("unet", "a", "liver"): 0.9})
    assert list(example_cases(one, pair_table({}))["rank"]) == ["best", "median", "worst"]
    assert example_cases(one.assign(dice=np.nan), pair_table({("a", "liver"): 0.5})).empty


def test_volumes_are_averaged_over_seeds_and_need_both():
    table = volume_table(
        [
            ("unet", 0, "a", "liver", 100, 90),
            ("unet", 1, "a", "liver", 100, 130),
            ("unet", 0, "b", "liver", 100, 0),
            ("unet", 0, "c", "liver", 0, 3),
            ("unet", 0, "d", "liver", 0, 0),
        ]
    )
    cases = case_volumes(table).set_index("case")
    assert cases.loc["a", ["predicted_ml", "mean_ml", "difference_ml"]].tolist() == [110, 105, 10]
    assert cases.loc["a", "difference_percent"] == pytest.approx(100 * 10 / 105)
    assert cases.loc[["b", "c", "d"], "difference_ml"].isna().all()
    (row,) = volume_agreement(table).to_dict("records")
    assert (row["n"], row["left_out"]) == (1, 2)
    assert np.isnan(row["lower_ml"])


def test_limits_of_agreement_are_those_of_bland_and_altman():
    rng = np.random.default_rng(0)
    reference = rng.uniform(50, 200, 30)
    predicted = reference * rng.normal(1.1, 0.05, 30)
    rows = [("unet", 0, str(i), "liver", a, b) for i, (a, b) in enumerate(zip(reference, predicted, strict=True))]
    (row,) = volume_agreement(volume_table(rows)).to_dict("records")
    for unit, difference in (
        ("ml", predicted - reference),
        ("percent", 200 * (predicted - reference) / (predicted + reference)),
    ):
        bias, deviation = difference.mean(), difference.std(ddof=1)
        assert row[f"bias_{unit}"] == pytest.approx(bias)
        assert (row[f"bias_{unit}_low"], row[f"bias_{unit}_high"]) == pytest.approx(interval(difference))
        assert row[f"lower_{unit}"] == pytest.approx(bias - 1.96 * deviation)
        assert row[f"upper_{unit}"] == pytest.approx(bias + 1.96 * deviation)


def test_slices_lie_along_the_patient_whatever_the_files_axes():
    cases = pd.DataFrame(
        {
            "case": ["a", "b"],
            "orientation": ["LPS", "LSA"],
            "spacing_x": [0.8, 0.9],
            "spacing_y": [0.7, 5.0],
            "spacing_z": [3.0, 0.6],
        }
    )
    found = scan_spacing(cases)
    assert list(found["slice_mm"]) == [3.0, 5.0]
    assert list(found["in_plane_mm"]) == [0.8, 0.9]
