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
