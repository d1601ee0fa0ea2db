"""Models that do not offer all organs go through every analysis: what is not offered has no numbers."""

import numpy as np
import pandas as pd
import pytest

from organbench.analysis import cohort, conventions, failure_rates, group_differences, rank_stability, ranks, verdicts
from organbench.analysis.statistics import summarise
from organbench.evaluation.registry import MEASURED

ORGANS = {"net": ["liver", "bone", "lungs"], "product": ["liver"], "other": ["liver", "bone"]}


@pytest.fixture(scope="module")
def per_case():
    rng = np.random.default_rng(0)
    rows = []
    for model, organs in ORGANS.items():
        for seed in (0, 1) if model == "net" else (0,):
            for case in range(6):
                for organ in organs:
                    values = dict.fromkeys(MEASURED, rng.uniform(0.7, 0.95))
                    place = {"model": model, "fold": 0, "seed": seed, "case": f"c{case}", "organ": organ}
                    rows.append(place | values | {"reference_ml": 100.0, "predicted_ml": 90.0})
    return pd.DataFrame(rows).assign(false_positive=False, legacy=0.9)


def test_pairs_are_compared_on_what_both_offer(per_case):
    found = verdicts.compare(per_case, {"dice": 0.05}, ["product", "other"]).query("metric == 'dice'")
    numbers = found.set_index(["model_a", "model_b", "organ"])["n"]
    assert numbers["net", "product"].to_dict() == {"liver": 6, "bone": 0, "lungs": 0, "all": 6}
    assert numbers["product", "other"].to_dict() == {"liver": 6, "bone": 0, "lungs": 0, "all": 6}
    assert numbers["net", "other"].to_dict() == {"liver": 6, "bone": 6, "lungs": 0, "all": 6}
    assert (found["missing"] == 0).all()
    assert (found[["missed_a", "missed_b"]] == 0).all(axis=None)
    words = found.set_index(["model_a", "model_b", "organ"])["words"]
    assert words["product", "other", "bone"].startswith("no patient gives both product and other a value")


def test_no_other_analysis_takes_offence(per_case):
    groups = {f"c{case}": "ab"[case % 2] for case in range(6)}
    assert summarise(per_case)["n"].max() == 6
    ranked = ranks.rank(per_case).query("metric == 'dice'").set_index("organ")
    assert ranked.loc["liver", "n"].tolist() == [6, 6, 6]
    assert ranked.loc["bone", "average_rank"].isna().all()
    assert len(rank_stability.rank_stability(per_case, ["dice"])) == 4 * 3
    assert conventions.legacy(per_case).set_index("model")["mean_dice"].isna().to_dict() == {
        "net": False,
        "product": True,
        "other": True,
    }
    assert len(conventions.empty_masks(per_case)) == 3 * 4
    assert len(cohort.volume_agreement(per_case)) == 6
    rates = failure_rates.failure_rates(per_case, 0.8).query("metric == 'missed'").set_index(["model", "organ"])["n"]
    assert rates["product"].to_dict() == {"liver": 6, "bone": 0, "lungs": 0, "all": 6}
    failure_rates.failure_differences(per_case, 0.8)
    group_differences.group_summaries(per_case, groups)
    group_differences.group_differences(per_case, groups, {"dice": 0.05}, ["product", "other"])


def test_models_are_ranked_on_an_organ_with_those_that_offer_it(per_case):
    """A product of one organ neither takes the others' ranks of other organs, nor makes its organ all of them."""
    nets = [per_case[per_case["model"] == "net"].assign(model=name) for name in ("net", "second", "third")]
    for shift, rows in enumerate(nets):
        rows["dice"] -= 0.05 * shift
    three, product = pd.concat(nets, ignore_index=True), per_case[per_case["model"] == "product"]
    four = pd.concat([three, product], ignore_index=True)
    alone, found = (ranks.rank(table).query("metric == 'dice'") for table in (three, four))
    columns = ["organ", "model", "n", "average_rank", "critical_difference"]
    others = ["bone", "lungs", "all"]
    wanted, own = (table[table["organ"].isin(others)][columns].reset_index(drop=True) for table in (alone, found))
    pd.testing.assert_frame_equal(own, wanted)
    assert set(found.query("organ == 'liver'")["model"]) == {"net", "second", "third", "product"}
    stable = rank_stability.rank_stability(four, ["dice"])
    assert len(stable) == 4 * 4
    before = rank_stability.rank_stability(three, ["dice"]).query("organ == 'all'").set_index("model")
    now = stable.query("organ == 'all'").set_index("model")
    assert now["rank"].dropna().to_dict() == {"net": 1, "second": 2, "third": 3}
    assert now.loc[before.index, "share_1"].tolist() == before["share_1"].tolist()
    assert (now.loc[before.index, "share_4"] == 0).all()
    assert np.isnan(now.loc["product", "share_1"])
    assert now.loc["product", "n"] == 0
