"""Groups of patients: the table that names them, and whether networks differ otherwise in one of them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from organbench.analysis.group_differences import group_differences, group_summaries, interaction, interactions, t_test
from organbench.analysis.verdicts import compare, holm
from organbench.core.errors import InputError
from organbench.data.groups import read as read_groups
from organbench.study import configuration

NAN = np.nan
CASES = ["1", "2", "3", "4"]


def table(rows):
    return pd.DataFrame(rows, columns=["model", "fold", "seed", "case", "organ", "dice"]).assign(false_positive=False)


def centre(case):
    return "AB"[int(case[1:]) % 2]


def cohort(rng, *, models="ab", seeds=1, folds=1, patients=24, organs=("liver",), trainings=0.0, of_group=0.0):
    """Networks that differ by chance only: of patients, of trainings, and of what a training makes of a group."""
    rows = []
    for organ in organs:
        hard = rng.normal(0.8, 0.05, patients)
        for model in models:
            own = hard + rng.normal(0, 0.03, patients)
            luck = rng.normal(0, trainings, (folds, seeds))
            luck_in_group = {group: rng.normal(0, of_group, (folds, seeds)) for group in "AB"}
            for number in range(patients):
                case, fold = f"p{number}", number // 2 % folds
                for seed in range(seeds):
                    dice = own[number] + luck[fold, seed] + luck_in_group[centre(case)][fold, seed]
                    rows.append((model, fold, seed, case, organ, dice + rng.normal(0, 0.01)))
    frame = table(rows)
    return frame, {case: centre(case) for case in frame["case"].unique()}


# --- the table that names them


def write(folder, text, encoding="utf-8"):
    path = folder / "groups.csv"
    path.write_text(text, encoding=encoding)
    return path


def read(path, cases, *, incomplete=(), selected=False, patient=None):
    return read_groups({"group": path, "cases": cases if selected else None}, cases, incomplete, patient)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_groups_are_read_from_a_spreadsheets_table(tmp_path, encoding):
    path = write(tmp_path, "group,age,case\n Lyon ,7,1\r\nWien,8, 2\nLyon,9,3\nWien,1,4\n", encoding)
    assert read(path, CASES) == {"1": "Lyon", "2": "Wien", "3": "Lyon", "4": "Wien"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,A\n2,B\n3,A\n9,B\n", r"groups.csv, line 5: there is no case '9' in the data set; correct the name"),
        ("1,A\n2,B\n3,A\n1,B\n4,A\n", r"groups.csv, line 5: case 1 is also in line 2; keep one"),
        ("1,A\n2,B\n", r"groups.csv: has no line for case 3, nor for 1 others; add its group"),
        ("1,A\n2,B\n3,A\n4,\n", r"groups.csv, line 5: the group of case 4 is empty; give it a name"),
        ("1,A\n2,NA\n3,A\n4,A\n", r"groups.csv, line 3: the group of case 2 'NA' means an empty cell in tables"),
        ("1,A\n2,n/a\n3,A\n4,A\n", r"groups.csv, line 3: the group of case 2 'n/a' means an empty cell in tables"),
        (
            "1,A\n2,A\n3,A\n4,A\n",
            r"groups.csv: all cases are in one group, A; name others, or set dataset.group to null",
        ),
        ("1,A\n2,\x07\n3,A\n4,A\n", r"groups.csv, line 3: group '\\x07' cannot be shown"),
        (f"1,A\n2,{'B' * 101}\n3,A\n4,A\n", r"groups.csv, line 3: group 'B+' cannot be shown; use up to 100"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, rows, message):
    with pytest.raises(InputError, match=message) as caught:
        read(write(tmp_path, f"case,group\n{rows}"), CASES)
    assert "\n" not in str(caught.value)


def test_what_pandas_reads_as_empty_is_no_name(tmp_path):
    for name in pd._libs.parsers.STR_NA_VALUES:
        with pytest.raises(InputError, match="line 3: the group of case 2"):
            read(write(tmp_path, f"case,group\n1,A\n2,{name}\n3,A\n4,A\n"), CASES)


def test_a_table_needs_its_file_and_its_columns(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.csv: the table of groups is not there; check dataset.group"):
        read(tmp_path / "nowhere.csv", CASES)
    with pytest.raises(InputError, match="the first line must name the columns case,group"):
        read(write(tmp_path, "case,centre\n1,A\n"), CASES)
    with pytest.raises(InputError, match="names the column group twice"):
        read(write(tmp_path, "case,group,group\n1,A,B\n"), CASES)


def test_cases_that_the_study_does_not_use_may_be_there(tmp_path):
    path = write(tmp_path, "case,group\n1,A\n2,B\n3,A\n4,B\n5,B\n")
    assert set(read(path, CASES, selected=True)) == set(CASES)
    path = write(tmp_path, "case,group\n1,A\n2,B\n3,A\n")
    assert set(read(path, CASES, incomplete=["4"])) == {"1", "2", "3"}


def test_a_patient_is_in_one_group(tmp_path):
    path = write(tmp_path, "case,group\np1_a,A\np1_b,B\np2_a,B\n")
    cases = ["p1_a", "p1_b", "p2_a"]
    assert len(read(path, cases)) == 3
    with pytest.raises(InputError, match=r"line 3: patient p1 is in two groups: p1_a in A, p1_b in B; give all scans"):
        read(path, cases, patient="^[^_]+")


def test_the_study_knows_its_groups(tmp_path, defaults, schema):
    path = write(tmp_path, "case,group\n0,A\n1,B\n2,B\n3,A\n")
    resolved = configuration.resolve({"dataset": {"group": str(path)}}, defaults, schema)
    found = read_groups(resolved["dataset"], ["0", "1", "2", "3"], [], None)
    assert found == {"0": "A", "1": "B", "2": "B", "3": "A"}
    assert read_groups(configuration.resolve({}, defaults, schema)["dataset"], ["0"], [], None) == {}


# --- statistics


def test_summaries_are_of_the_groups_patients():
    frame, groups = cohort(np.random.default_rng(0), organs=("liver", "bone"), seeds=2)
    found = group_summaries(frame, groups)
    assert list(found) == ["metric", "model", "organ", "group", "n", "mean", "std", "median", "ci_low", "ci_high"]
    assert found["organ"].unique().tolist() == ["liver", "bone", "all"]
    means = frame[frame["organ"] == "bone"].groupby(["model", "case"])["dice"].mean().loc["b"]
    own = means[[case for case in means.index if groups[case] == "B"]]
    row = found[(found["model"] == "b") & (found["organ"] == "bone") & (found["group"] == "B")].iloc[0]
    assert row[["n", "mean", "std", "median"]].tolist() == pytest.approx([12, own.mean(), own.std(), own.median()])
    assert row["ci_low"] < row["mean"] < row["ci_high"]


def test_one_training_each_is_welchs_test():
    frame, groups = cohort(np.random.default_rng(0), patients=15)
    found = group_differences(frame, groups)
    wide = frame.pivot(index="case", columns="model", values="dice")
    difference = wide["a"] - wide["b"]
    inside = np.array([groups[case] == "A" for case in wide.index])
    expected = stats.ttest_ind(difference[inside], difference[~inside], equal_var=False)
    row = found[(found["organ"] == "liver") & (found["group"] == "A")].iloc[0]
    assert row["p_value"] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert row[["interaction_low", "interaction_high"]].tolist() == pytest.approx([interval.low, interval.high])
    assert row["scope"] == "weights"
    alone = compare(frame[frame["case"].map(groups) == "A"])
    columns = ["n", "mean_difference", "ci_low", "ci_high"]
    assert row[columns].tolist() == pytest.approx(alone[alone["organ"] == "liver"].iloc[0][columns].tolist())
    assert row["n_others"] == 7


def test_trainings_add_their_variance_by_hand():
    columns = pd.MultiIndex.from_product([["a", "b"], [0], range(3)], names=["model", "fold", "seed"])
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(10, 6)), columns=columns)
    inside = np.arange(10) < 4
    contrasts = values[inside].mean() - values[~inside].mean()  # of each training
    difference = values["a"].mean(axis=1) - values["b"].mean(axis=1)
    parts = [difference[inside].var() / 4, difference[~inside].var() / 6]
    parts += [contrasts[model].var() / 3 for model in "ab"]
    freedom = min(4, sum(parts) ** 2 / sum(part**2 / own for part, own in zip(parts, (3, 5, 2, 2), strict=True)))
    contrast = difference[inside].mean() - difference[~inside].mean()
    found = interaction(values, inside)
    assert found["interaction"] == pytest.approx(contrast)
    assert found["p_value"] == pytest.approx(2 * stats.t.sf(abs(contrast) / sum(parts) ** 0.5, freedom))
    assert found["interaction_high"] == pytest.approx(contrast + stats.t.ppf(0.975, freedom) * sum(parts) ** 0.5)
    assert found["scope"] == "networks"


def test_in_folds_each_training_varies_by_its_part_of_the_patients():
    columns = pd.MultiIndex.from_product([["a", "b"], range(2), range(2)], names=["model", "fold", "seed"])
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(8, 8)), columns=columns)
    fold = np.arange(8) % 2
    values = values.where(fold[:, None] == columns.get_level_values("fold").to_numpy())
    inside = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    means = values["a"].mean(axis=1) - values["b"].mean(axis=1)
    parts = [means[inside].var() / 3, means[~inside].var() / 5]
    for model in "ab":
        for number in range(2):
            own = values[model][number]
            adds = own[inside].sum() / 3 - own[~inside].sum() / 5  # of each seed
            parts.append(adds.var() / 2)
    freedom = min(4, sum(parts) ** 2 / sum(part**2 / own for part, own in zip(parts, (2, 4, 1, 1, 1, 1), strict=True)))
    found = interaction(values, inside)
    statistic = found["interaction"] / sum(parts) ** 0.5
    assert found["p_value"] == pytest.approx(2 * stats.t.sf(abs(statistic), freedom))


def test_of_two_groups_the_same_test_counts_once():
    frame, groups = cohort(np.random.default_rng(3), organs=("liver", "bone"))
    found = interactions(frame, groups)
    first, second = (found[found["group"] == group].reset_index(drop=True) for group in "AB")
    assert first["interaction"].to_numpy() == pytest.approx(-second["interaction"].to_numpy())
    assert first["p_holm"].tolist() == pytest.approx(holm(first["p_value"].to_numpy()).tolist())
    assert second["p_holm"].tolist() == first["p_holm"].tolist()
    thirds = {case: "ABC"[int(case[1:]) % 3] for case in groups}
    found = interactions(frame, thirds)
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p_value"].to_numpy()).tolist())


def test_groups_of_one_patient_and_without_any_have_no_test():
    frame, groups = cohort(np.random.default_rng(0), patients=8)
    groups = {**dict.fromkeys(groups, "most"), "p0": "one"}
    found = group_differences(frame, groups).set_index(["organ", "group"])
    assert found.loc[("liver", "one"), "n"] == 1
    assert np.isnan(found.loc[("liver", "one"), ["interaction", "p_value", "p_holm", "ci_low"]].astype(float)).all()
    assert np.isfinite(found.loc[("liver", "most"), "ci_low"])  # the others are enough for an interval, not for a test
    assert np.isnan(found.loc[("liver", "most"), "p_value"])
    frame.loc[frame["case"] == "p0", "dice"] = NAN
    found = group_differences(frame, groups).set_index(["organ", "group"])
    assert found.loc[("liver", "one"), "n"] == 0
    summary = group_summaries(frame, groups).set_index(["model", "organ", "group"])
    assert summary.loc[("a", "liver", "one"), "n"] == 0


def test_one_network_has_summaries_and_no_differences():
    frame, groups = cohort(np.random.default_rng(0), models="a")
    assert group_differences(frame, groups).empty
    assert "p_holm" in group_differences(frame, groups)
    assert len(group_summaries(frame, groups)) == 2 * 2


def test_without_variance_a_contrast_is_sure():
    assert t_test(0.0, [(0.0, 3), (0.0, 4)])["p_value"] == 1
    assert t_test(0.1, [(0.0, 3), (0.0, 4)])["p_value"] == 0


def test_a_patients_scans_count_once():
    frame, groups = cohort(np.random.default_rng(0), patients=10, seeds=2)
    scans = pd.concat([frame.assign(case=frame["case"] + scan, patient=frame["case"]) for scan in ("_1", "_2")])
    of_scan = {f"{case}{scan}": group for case, group in groups.items() for scan in ("_1", "_2")}
    pd.testing.assert_frame_equal(interactions(scans, of_scan), interactions(frame, groups))


@pytest.mark.parametrize(
    "options",
    [
        {"seeds": 1},
        {"seeds": 2, "trainings": 0.02, "of_group": 0.06},
        {"seeds": 3, "trainings": 0.02, "of_group": 0.03},
        {"seeds": 2, "folds": 3, "trainings": 0.02, "of_group": 0.02},
    ],
    ids=["one training", "two trainings vary", "trainings vary", "folds"],
)
def test_equal_networks_seldom_differ_otherwise_in_a_group(options):
    rng = np.random.default_rng(0)
    studies = 120
    false = 0
    for _ in range(studies):
        frame, groups = cohort(rng, organs=("liver", "bladder", "bone"), **options)
        false += (interactions(frame, groups)["p_holm"] < 0.05).any()
    assert false / studies <= 0.05 + 2 * (0.05 * 0.95 / studies) ** 0.5


def test_a_true_interaction_is_found():
    frame, groups = cohort(np.random.default_rng(0), seeds=3, trainings=0.005, of_group=0.005)
    frame.loc[(frame["model"] == "a") & (frame["case"].map(groups) == "A"), "dice"] -= 0.2
    found = interactions(frame, groups).set_index(["organ", "group"])
    assert found.loc[("liver", "A"), "p_holm"] < 0.05
    assert found.loc[("liver", "A"), "interaction"] == pytest.approx(-0.2, abs=0.05)
