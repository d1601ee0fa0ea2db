"""Other rules for empty masks, and the scores that mislead, by hand."""

import numpy as np
import pandas as pd
import pytest

from organbench.analysis import conventions

NAN = np.nan


def table(rows):
    columns = ["model", "seed", "case", "organ", "dice", "reference_ml", "predicted_ml", "legacy"]
    return pd.DataFrame(rows, columns=columns).assign(fold=0)


@pytest.fixture
def per_case():
    return table(
        [
            ("unet", 0, "x", "liver", 0.9, 1500.0, 1500.0, 0.99),
            ("unet", 0, "x", "bladder", 0.5, 100.0, 100.0, 0.99),
            ("unet", 0, "y", "liver", 0.7, 1000.0, 2000.0, 0.97),
            ("unet", 0, "y", "bladder", NAN, 0.0, 0.0, 0.97),
            ("unet", 0, "z", "liver", 0.8, 1000.0, 1000.0, 0.95),
            ("unet", 0, "z", "bladder", 0.0, 0.0, 10.0, 0.95),
            ("unet", 0, "w", "liver", 0.8, 1000.0, 1000.0, 0.93),
            ("unet", 0, "w", "bladder", 0.0, 50.0, 0.0, 0.93),
        ]
    )


def test_empty_masks_by_every_rule(per_case):
    found = conventions.empty_masks(per_case).set_index("organ")
    bladder = found.loc["bladder"]
    assert bladder[["predictions", "both_empty", "invented", "missed"]].tolist() == [4, 1, 1, 1]
    assert bladder["dice"] == pytest.approx((0.5 + 0 + 0) / 3)
    assert bladder["dice_one_if_both_empty"] == pytest.approx((0.5 + 1 + 0 + 0) / 4)
    assert bladder["dice_if_in_reference"] == pytest.approx((0.5 + 0) / 2)
    assert bladder["dice_if_in_both"] == pytest.approx(0.5)
    rules = [column for column in found if column.startswith("dice")]
    assert found.loc["liver", rules].tolist() == pytest.approx([0.8] * 4)
    assert found.loc["all", "dice"] == pytest.approx(np.mean([0.7, 0.7, 0.4, 0.4]))
    assert found.loc["all", ["predictions", "both_empty"]].tolist() == [8, 1]


def test_models_and_organs_keep_their_order_and_seeds_are_averaged(per_case):
    second = per_case.assign(model="ghostunet", dice=per_case["dice"] / 2)
    found = conventions.empty_masks(pd.concat([per_case, per_case.assign(seed=1), second]))
    assert found["model"].tolist() == ["unet"] * 3 + ["ghostunet"] * 3
    assert found["organ"].tolist() == ["liver", "bladder", "all"] * 2
    assert found["predictions"].tolist() == [8, 8, 16, 4, 4, 8]
    assert found["dice"].iloc[0] == pytest.approx(0.8)


def test_legacy_and_pooled_stand_beside_the_mean(per_case):
    row = conventions.legacy(per_case).iloc[0]
    assert (row["model"], row["cases"]) == ("unet", 4)
    assert row["legacy"] == pytest.approx(0.96)
    hits = 2 * (0.9 * 1500 + 0.5 * 100 + 0.7 * 1500 + 0.8 * 1000 + 0.8 * 1000)
    assert row["pooled_dice"] == pytest.approx(hits / (3000 + 200 + 3000 + 2000 + 10 + 2000 + 50))
    assert row["mean_dice"] == pytest.approx(np.mean([0.7, 0.7, 0.4, 0.4]))
    assert row["worst_organ"] == "bladder"
    assert row["worst_dice"] == pytest.approx(0.5 / 3)


def test_pooled_dice_is_that_of_all_voxels_together():
    rng = np.random.default_rng(0)
    reference, prediction = (rng.random((2, 5, 300)) < np.array([0.02, 0.1, 0.3, 0.5, 0.8])[:, None]).astype(bool)
    rows = [
        ("unet", 0, f"c{k}", "liver", 2 * (r & p).sum() / (r.sum() + p.sum()), r.sum() / 10, p.sum() / 10, 0.9)
        for k, (r, p) in enumerate(zip(reference, prediction, strict=True))
    ]
    expected = 2 * (reference & prediction).sum() / (reference.sum() + prediction.sum())
    assert conventions.legacy(table(rows))["pooled_dice"].item() == pytest.approx(expected)


def test_nothing_to_score():
    row = conventions.legacy(table([("unet", 0, "x", "brain", NAN, 0.0, 0.0, 1.0)])).iloc[0]
    assert row["legacy"] == 1
    assert row[["pooled_dice", "mean_dice", "worst_dice"]].isna().all()
    assert row["worst_organ"] == ""
