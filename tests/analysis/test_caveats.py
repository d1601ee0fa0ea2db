"""Runs that learned nothing are named, by hand."""

import pandas as pd

from organbench.analysis import caveats


def trainings(**said):
    rows = [(*name.split("_"), value) for name, value in said.items()]
    table = pd.DataFrame(rows, columns=["model", "fold", "seed", "predicts_only_background"], dtype=object)
    return table.astype({"fold": int, "seed": int})


def per_case(*rows):
    columns = ["model", "fold", "seed", "case", "organ", "reference_ml", "predicted_ml"]
    return pd.DataFrame(rows, columns=columns)


GOOD = per_case(("unet", 0, 0, "1", "liver", 100.0, 0.0), ("unet", 0, 0, "2", "liver", 100.0, 3.0))


def test_a_run_that_predicts_nothing_on_validation_cases_is_named():
    found = caveats.only_background(trainings(unet_0_0=True, unet_0_1=False, other_1_0=None), GOOD)
    assert found.to_dict("records") == [
        {
            "model": "unet",
            "fold": 0,
            "seed": 0,
            "cases": "validation",
            "words": "unet, fold 0, seed 0: predicts nothing but background in all validation cases",
        }
    ]


def test_a_run_or_ensemble_that_predicts_nothing_on_test_cases_is_named():
    table = pd.concat(
        [
            GOOD,
            per_case(
                ("both", 1, 0, "1", "liver", 100.0, 0.0),
                ("both", 1, 0, "1", "bone", 0.0, 0.0),
                ("other", 0, 0, "3", "liver", 0.0, 0.0),  # there is nothing to predict
            ),
        ]
    )
    found = caveats.only_background(trainings(unet_0_0=None), table)
    assert found[["model", "fold", "seed", "cases"]].to_numpy().tolist() == [["both", 1, 0, "test"]]


def test_there_may_be_nothing_to_say():
    found = caveats.only_background(trainings(unet_0_0=False), GOOD)
    assert list(found) == caveats.WARNINGS
    assert found.empty


def test_a_test_scan_that_is_also_learned_from_is_told_in_its_fold():
    folds = [
        {"train": ["1"], "validation": ["2"], "test": ["3", "4"]},
        {"train": ["3"], "validation": ["4"], "test": ["1", "2"]},
    ]
    found = caveats.duplicates(folds, {"1": 7, "2": 8, "3": 7, "4": 9})
    assert list(found) == caveats.WARNINGS
    assert found["fold"].tolist() == [0, 1]
    assert found["words"].tolist() == [
        "fold 0: test case 3 has the very scan of case 1 (train), voxel by voxel",
        "fold 1: test case 1 has the very scan of case 3 (train), voxel by voxel",
    ]
    assert caveats.duplicates(folds, dict(zip("1234", range(4), strict=True))).empty


def test_an_organ_without_a_label_is_told():
    found = caveats.unlabelled({"product": ["liver", "bone"], "other": []})
    assert found["words"].tolist() == ["product: has no label for liver, bone, which counts as missed"]


def test_an_organ_of_which_a_model_finds_nothing_anywhere_is_told():
    table = per_case(
        ("product", 0, 0, "1", "liver", 100.0, 0.0),
        ("product", 0, 0, "2", "liver", 100.0, 0.0),
        ("product", 0, 0, "1", "bone", 100.0, 0.0),
        ("product", 0, 0, "2", "bone", 100.0, 3.0),
        ("product", 0, 0, "1", "lens", 0.0, 0.0),  # there is nothing to find
        ("other", 0, 0, "1", "liver", 100.0, 0.0),
    )
    found = caveats.never_found(table, {"product": ["liver", "bone", "lens"], "other": []})
    assert list(found) == caveats.WARNINGS
    assert found["words"].tolist() == ["product: has no voxel of liver in any case; are its labels right?"]
    assert caveats.never_found(GOOD, {}).empty


def test_an_organ_that_no_dose_covers_is_told_with_its_cases():
    columns = ["case", "organ", "reference_ml", "reference_dmean_gy"]
    rows = [("1", "cord", 9.0, 20.0), ("2", "cord", 9.0, None), ("2", "lens", 0.0, None), ("3", "cord", 9.0, None)]
    table = pd.concat([pd.DataFrame(rows, columns=columns)] * 2)  # of two models
    found = caveats.undosed(table)
    assert list(found) == caveats.WARNINGS
    assert found["words"].tolist() == ["cord: no planned dose covers it in case 2, 3, not scored in Gy there"]
    assert caveats.undosed(table.drop(columns="reference_dmean_gy")).empty
