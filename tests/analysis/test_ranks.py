"""Ranks of three or more models: by hand, against SciPy and Demsar's tables."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from organbench.analysis import ranks
from organbench.analysis.ranks import rank

NAN = np.nan


def table(rows, columns=("model", "seed", "case", "organ", "dice")):
    return pd.DataFrame(rows, columns=list(columns)).assign(fold=0)


def ranked_study(values, metric="dice"):
    """Three networks a, b, c with these values, shape (cases, 3), on the liver."""
    rows = [
        (model, 0, f"case{case:03}", "liver", value)
        for case, row in enumerate(values)
        for model, value in zip("abc", row, strict=True)
    ]
    frame = table(rows)
    return frame if metric == "dice" else frame.assign(**{metric: frame["dice"], "dice": 0.5})


def test_ranks_by_hand():
    found = rank(ranked_study([[0.9, 0.8, 0.7], [0.9, 0.7, 0.8], [0.9, 0.8, 0.8]])).query("organ == 'liver'")
    assert list(found) == ranks.RANKS
    assert found["model"].tolist() == ["a", "b", "c"]
    assert found["average_rank"].tolist() == pytest.approx([1, (2 + 3 + 2.5) / 3, (3 + 2 + 2.5) / 3])
    assert (found["n"] == 3).all()
    low = rank(ranked_study([[9.0, 8.0, 7.0]] * 3, metric="hd95")).query("metric == 'hd95' and organ == 'liver'")
    assert low["model"].tolist() == ["c", "b", "a"]


def test_friedman_is_scipys():
    values = np.random.default_rng(0).normal([0.8, 0.82, 0.9], 0.05, (20, 3))
    found = rank(ranked_study(values)).query("organ == 'liver'")
    assert found["friedman_p"].to_numpy() == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)
    assert found["friedman_p_holm"].to_numpy() == pytest.approx(2 * found["friedman_p"].to_numpy())


def test_critical_differences_are_demsars():
    """His table 5(a) and his example: 4 classifiers, 14 data sets, 1.25."""
    for models, quantile in ((3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)):
        expected = quantile * math.sqrt(models * (models + 1) / (6 * 14))
        assert ranks.critical_difference(models, 14) == pytest.approx(expected, abs=2e-3)
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert np.isnan(ranks.critical_difference(4, 0))


def test_letters_join_what_is_not_told_apart():
    averages = np.array([1.0, 1.4, 2.2, 3.4])
    assert ranks.letters(averages, 1.0) == ["a", "ab", "b", "c"]
    assert ranks.letters(averages, 9.0) == ["a"] * 4
    assert ranks.letters(averages, 0.1) == list("abcd")


def test_clear_ranks_are_told_apart_and_equal_ones_not():
    clear = np.tile([0.9, 0.8, 0.7], (30, 1)) + np.random.default_rng(0).normal(0, 1e-3, (30, 1))
    assert rank(ranked_study(clear)).query("organ == 'liver'")["groups"].tolist() == ["a", "b", "c"]
    equal = rank(ranked_study(np.full((30, 3), 0.9))).query("organ == 'liver'")
    assert equal["groups"].tolist() == ["a", "a", "a"]
    assert (equal["friedman_p"] == 1).all()


def test_two_networks_have_no_ranks_and_no_values_have_none():
    two = ranked_study([[0.9, 0.8, NAN]] * 3).query("model != 'c'")
    assert rank(two).empty
    assert list(rank(two)) == ranks.RANKS
    empty = rank(ranked_study([[NAN] * 3]))
    assert empty["average_rank"].isna().all()
    assert (empty["n"] == 0).all()


def test_a_miss_ranks_last():
    """A network that misses the organ on its hardest cases would otherwise be ranked on the easy ones only."""
    columns = ("model", "seed", "case", "organ", "dice", "hd95")
    rows = []
    for i in range(10):
        hard = i >= 6
        rows.append(("a", 0, f"c{i}", "liver", 0.0 if hard else 0.9, NAN if hard else 2.0))
        rows += [(model, 0, f"c{i}", "liver", 0.8, distance) for model, distance in (("b", 3.0), ("c", 4.0))]
    found = rank(table(rows, columns)).query("metric == 'hd95' and organ == 'liver'").set_index("model")
    assert (found["n"] == 10).all()
    assert found.loc["a", "average_rank"] == pytest.approx((6 * 1 + 4 * 3) / 10)
    assert found.loc["b", "average_rank"] == pytest.approx((6 * 2 + 4 * 1) / 10)


def test_values_that_differ_in_the_last_bits_share_a_rank():
    found = rank(ranked_study([[0.9 - 0.8, 0.1, 0.5 - 0.4]] * 4)).query("organ == 'liver'")
    assert found["average_rank"].tolist() == [2, 2, 2]
