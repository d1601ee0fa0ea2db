"""Every case has one role a fold, the roles follow the fractions, and a new case moves few others."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from organbench.core.errors import InputError
from organbench.data import splits

CT_ORG = [str(case) for case in range(140)]

quick = settings(max_examples=100, deadline=None, derandomize=True)
names = st.lists(st.text("abc0123", min_size=1, max_size=4), min_size=8, max_size=60, unique=True)
seeds = st.integers(0, 5)
fractions = st.sampled_from([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5])
validations = st.one_of(st.just(0), fractions)


def roles_of(fold):
    return {case: role for role, members in fold.items() for case in members}


@quick
@given(names, st.sampled_from(["holdout", "kfold"]), fractions, validations, seeds)
def test_a_case_has_exactly_one_role(cases, method, test, validation, seed):
    options = {"method": method, "test_fraction": test, "validation_fraction": validation, "seed": seed}
    for fold in splits.split(cases, **options):
        assert tuple(fold) == splits.ROLES
        members = [case for role in splits.ROLES for case in fold[role]]
        assert sorted(members) == sorted(cases)
        assert all(group == sorted(group, key=splits.natural) for group in fold.values())


@quick
@given(names, st.integers(2, 8), seeds)
def test_kfold_tests_each_case_once(cases, folds, seed):
    result = splits.split(cases, method="kfold", folds=folds, seed=seed)
    tested = [fold["test"] for fold in result]
    assert len(result) == folds
    assert sorted(case for test in tested for case in test) == sorted(cases)
    assert max(map(len, tested)) - min(map(len, tested)) <= 1


@quick
@given(names, fractions, validations, seeds)
def test_fractions_are_respected(cases, test, validation, seed):
    (fold,) = splits.split(cases, method="holdout", test_fraction=test, validation_fraction=validation, seed=seed)
    assert abs(len(fold["test"]) - len(cases) * test) <= 0.5 or len(fold["test"]) == 1
    rest = len(cases) - len(fold["test"])
    assert len(fold["validation"]) == math.ceil(round(rest * validation, 6))


@quick
@given(names, st.sampled_from(["holdout", "kfold"]), validations, seeds)
def test_a_case_is_unseen_only_where_it_is_tested(cases, method, validation, seed):
    folds = splits.split(cases, method=method, validation_fraction=validation, seed=seed)
    for number, fold in enumerate(folds):
        assert all(splits.unseen(folds, case) == [number] for case in fold["test"])


def test_a_case_is_unseen_where_no_scan_of_its_patient_is_learned_from():
    folds = [
        {"train": ["b_1", "c_1"], "validation": ["d_1"], "test": ["a_1", "a_2"]},
        {"train": ["c_1", "d_1"], "validation": [], "test": ["a_1"]},
        {"train": ["a_2", "c_1"], "validation": [], "test": ["d_1"]},  # another scan of a's patient
        {"train": ["b_1"], "validation": ["c_1"], "test": ["d_1"]},
    ]
    assert splits.unseen(folds, "a_1") == [0, 1, 2, 3]
    assert splits.unseen(folds, "a_1", "^[^_]+") == [0, 1, 3]
    assert splits.unseen(folds, "a_2") == [0, 1, 3]
    assert splits.unseen(folds, "d_1") == [2, 3]
    assert splits.unseen(folds, "c_1") == []


scans = st.dictionaries(st.text("abc01", min_size=1, max_size=3), st.integers(1, 4), min_size=8, max_size=30)


@quick
@given(scans, st.sampled_from(["holdout", "kfold"]), seeds)
def test_a_patient_has_one_role_in_a_fold(scans, method, seed):
    cases = [f"{patient}_ct{number}" for patient, count in scans.items() for number in range(count)]
    for fold in splits.split(cases, method=method, seed=seed, patient="^[^_]+"):
        assert sorted(case for members in fold.values() for case in members) == sorted(cases)
        roles = {(case.split("_")[0], role) for role, members in fold.items() for case in members}
        assert len(roles) == len(scans)


def test_the_patient_is_the_first_group_of_the_expression():
    cases = ["ct1-p1", "ct2-p1", "ct1-p2"]
    assert splits.patients(cases, "-(p[0-9])") == {"p1": ["ct1-p1", "ct2-p1"], "p2": ["ct1-p2"]}


def test_one_patient_in_two_roles_of_a_split_file_is_refused(tmp_path):
    table = tmp_path / "split.csv"
    table.write_text("case,fold,role\np1_a,0,train\np1_b,0,test\np2_a,0,test\n")
    cases = ["p1_a", "p1_b", "p2_a"]
    assert len(splits.split(cases, method="file", file=table)) == 1
    with pytest.raises(
        InputError, match=r"split\.csv: patient p1 has two roles in fold 0: p1_a is train, p1_b is test"
    ):
        splits.split(cases, method="file", file=table, patient="^[^_]+")


@pytest.mark.parametrize(("pattern", "problem"), [("(", "no regular expression"), ("^x", "finds no patient in .* p1")])
def test_an_expression_that_finds_no_patient_is_refused(pattern, problem):
    with pytest.raises(InputError, match=problem):
        splits.split(["p1", "p2"], method="holdout", patient=pattern)


def test_rounding_up_does_not_see_the_last_bit():
    """0.07 * 100 is a little more than 7 in binary."""
    cases = [str(case) for case in range(101)]
    (fold,) = splits.split(cases, method="holdout", test_fraction=0.001, validation_fraction=0.07)
    assert len(fold["validation"]) == 7


@quick
@given(names, st.sampled_from(["holdout", "kfold"]), fractions, validations, seeds, st.randoms())
def test_a_split_depends_on_names_and_seed_only(cases, method, test, validation, seed, random):
    options = {"method": method, "test_fraction": test, "validation_fraction": validation, "seed": seed}
    assert splits.split(random.sample(cases, len(cases)), **options) == splits.split(cases, **options)


def test_a_split_is_the_same_for_ever():
    """Another division would retrain, and change, every published study."""
    (fold,) = splits.split(list("abcdefghij"), method="holdout", test_fraction=0.3, validation_fraction=0.2, seed=1)
    assert fold == {"train": list("bcefh"), "validation": list("aj"), "test": list("dgi")}


def test_another_seed_divides_otherwise():
    divisions = [splits.split(CT_ORG, method="holdout", seed=seed)[0]["test"] for seed in range(5)]
    assert len({tuple(test) for test in divisions}) == 5


@quick
@given(names, fractions, validations, seeds)
def test_a_new_case_moves_at_most_one_across_each_boundary(cases, test, validation, seed):
    options = {"method": "holdout", "test_fraction": test, "validation_fraction": validation, "seed": seed}
    before, after = (roles_of(splits.split(known, **options)[0]) for known in (cases, [*cases, "new"]))
    moved = [(before[case], after[case]) for case in cases if before[case] != after[case]]
    for boundary in ({"test", "validation"}, {"validation", "train"}, {"test", "train"}):
        assert sum(set(move) == boundary for move in moved) <= 1
    assert len(moved) <= 2


@quick
@given(names, st.integers(2, 8), seeds)
def test_a_new_case_moves_at_most_one_between_neighbouring_folds(cases, folds, seed):
    before, after = (
        {case: number for number, fold in enumerate(result) for case in fold["test"]}
        for result in (
            splits.split(known, method="kfold", folds=folds, seed=seed, validation_fraction=0)
            for known in (cases, [*cases, "new"])
        )
    )
    moved = [(before[case], after[case]) for case in cases if before[case] != after[case]]
    assert all(abs(old - new) == 1 for old, new in moved)
    assert len({frozenset(move) for move in moved}) == len(moved)


def blocks(order, folds):
    """The test patients of each fold as they have always been: consecutive parts of the order."""
    return [order[len(order) * k // folds : len(order) * (k + 1) // folds] for k in range(folds)]


@quick
@given(names, st.integers(2, 8), validations, seeds)
def test_validation_cases_rotate_with_the_folds(cases, folds, validation, seed):
    """As disjoint as sizes allow: no case validates more, or less, often than if all took turns."""
    result = splits.split(cases, method="kfold", folds=folds, validation_fraction=validation, seed=seed)
    sizes = [len(fold["validation"]) for fold in result]
    turns = [sum(case in fold["validation"] for fold in result) for case in cases]
    assert max(turns) <= math.ceil(folds * max(sizes) / len(cases))
    assert min(turns) >= folds * min(sizes) // len(cases)
    if folds * max(sizes) <= len(cases):
        assert max(turns) <= 1  # disjoint
    if folds * max(sizes) <= len(cases) * (folds - 2):  # else there are not enough folds that could
        assert all(any(case in fold["train"] for fold in result) for case in cases)


@quick
@given(names, st.integers(2, 8), validations, seeds)
def test_rotation_leaves_the_tests_of_a_fold_and_the_sizes_as_they_were(cases, folds, validation, seed):
    result = splits.split(cases, method="kfold", folds=folds, validation_fraction=validation, seed=seed)
    tested = blocks(splits.shuffled(cases, seed), folds)
    assert [sorted(fold["test"]) for fold in result] == [sorted(block) for block in tested]
    for fold in result:
        assert len(fold["validation"]) == math.ceil(round((len(cases) - len(fold["test"])) * validation, 6))


@quick
@given(names, fractions, validations, seeds, st.booleans())
def test_one_fold_is_divided_as_ever(cases, test, validation, seed, official):
    """Its first cases in the order validate, in one with CT-ORG's own test cases too."""
    cases = [*cases, "0", "20"] if official else cases
    cases = list(dict.fromkeys(cases))
    order = splits.shuffled(cases, seed)
    tested = set(order[: max(1, round(len(order) * test))])
    if official:
        tested = splits.OFFICIAL_TEST.intersection(cases)
    rest = [case for case in order if case not in tested]
    count = math.ceil(round(len(rest) * validation, 6))
    method = "official" if official else "holdout"
    options = {"method": method, "test_fraction": test, "validation_fraction": validation, "seed": seed}
    if count == len(rest):
        with pytest.raises(InputError, match="leave none to train on"):
            splits.split(cases, **options)
        return
    (fold,) = splits.split(cases, **options)
    assert set(fold["validation"]) == set(rest[:count])
    assert set(fold["train"]) == set(rest[count:])


@quick
@given(names, st.integers(2, 8), validations, seeds)
def test_a_new_case_moves_few_in_each_fold(cases, folds, validation, seed):
    options = {"method": "kfold", "folds": folds, "validation_fraction": validation, "seed": seed}
    before, after = (splits.split(known, **options) for known in (cases, [*cases, "new"]))
    for old, new in zip(map(roles_of, before), map(roles_of, after), strict=True):
        moved = [{old[case], new[case]} for case in cases if old[case] != new[case]]
        assert sum("test" in roles for roles in moved) <= 2  # a fold's tests have two ends
        assert moved.count({"train", "validation"}) <= 2  # where the validation cases begin, and how many they are


@quick
@given(scans, st.integers(2, 5), validations, seeds)
def test_patients_of_a_fold_rotate_whole(scans, folds, validation, seed):
    """A division of scans is that of their patients."""
    cases = [f"{patient}_ct{number}" for patient, count in scans.items() for number in range(count)]
    options = {"method": "kfold", "folds": folds, "validation_fraction": validation, "seed": seed}
    ours, patients = splits.split(cases, patient="^[^_]+", **options), splits.split(list(scans), **options)
    for fold, expected in zip(ours, patients, strict=True):
        for role in splits.ROLES:
            assert {case.split("_")[0] for case in fold[role]} == set(expected[role])


def test_official_is_ct_orgs_test_set():
    (fold,) = splits.split(CT_ORG, method="official", validation_fraction=0.1, test_fraction=0.9)
    assert fold["test"] == [str(case) for case in range(21)]
    assert len(fold["validation"]) == 12
    assert len(fold["train"]) == 107


def test_natural_order():
    assert sorted(["10", "b", "9", "a10", "1"], key=splits.natural) == ["1", "9", "10", "a10", "b"]


@pytest.mark.parametrize(
    ("cases", "options", "message"),
    [
        (["a", "b", "a"], {"method": "holdout"}, "listed twice"),
        (["a"], {"method": "holdout"}, "leave none to train on"),
        (list("abcd"), {"method": "holdout", "test_fraction": 0.9}, "split.test_fraction"),
        (list("abcd"), {"method": "holdout", "validation_fraction": 0.9}, "split.validation_fraction"),
        (list("abcd"), {"method": "kfold", "folds": 5}, "split.folds is 5.*ask for fewer"),
        (list("abcd"), {"method": "official"}, "use holdout"),
        (["0", "1", "20"], {"method": "official"}, "leave none to train on"),
        (list("abcd"), {"method": "file"}, "split.file is not set"),
    ],
)
def test_divisions_that_cannot_be_are_refused(cases, options, message):
    with pytest.raises(InputError, match=message):
        splits.split(cases, **options)


# --- a table


def write_table(path, rows, header="case,fold,role", encoding="utf-8"):
    path.write_bytes("\r\n".join([header, *rows, ""]).encode(encoding))
    return path


@quick
@given(names, st.sampled_from(["holdout", "kfold"]), validations, seeds)
def test_a_split_survives_its_table(tmp_path_factory, cases, method, validation, seed):
    result = splits.split(cases, method=method, validation_fraction=validation, seed=seed)
    rows = [f"{row['case']},{row['fold']},{row['role']}" for row in splits.table(result)]
    path = write_table(tmp_path_factory.mktemp("split") / "split.csv", rows)
    assert splits.split(cases, method="file", file=path) == result


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_from_a_spreadsheet_is_read(tmp_path, encoding):
    """With a byte order mark, spaces, more columns in another order, and a case that has no role."""
    rows = ["train, 0, a, x", "test,0,b,", "", "validation,0,c,y"]
    path = write_table(tmp_path / "split.csv", rows, header="role,fold,case,remark", encoding=encoding)
    assert splits.read(path, list("abcd")) == [{"train": ["a"], "validation": ["c"], "test": ["b"]}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,0,train", "e,0,test"], "line 3: there is no case 'e'"),
        (["a,0,train", "../a,0,test"], r"line 3: there is no case '\.\./a'"),
        (["a,0,train", "a\u00e9,0,test"], "line 3: there is no case"),
        (["a,0,train", "b,0,tests"], "line 3: role 'tests' is not one of train, validation, test"),
        (["a,0,train", "b,0,"], "line 3: role ''"),
        (["a,0,train", "b"], "line 3: fold ''"),
        (["a,0,train", "b,-1,test"], "line 3: fold '-1' is not a number"),
        (["a,0,train", "b,0,test", "b,0,validation"], "line 4: case b has two roles in fold 0"),
        (["a,0,train", "b,0,test", "a,2,train", "b,2,test"], "without a gap"),
        (["a,1,train", "b,1,test"], "without a gap"),
        ([], "numbered 0, 1"),
        (["a,0,train", "b,0,validation"], "fold 0 has no test case"),
        (["a,0,train", "b,0,test", "c,1,test"], "fold 1 has no train case"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, rows, message):
    path = write_table(tmp_path / "split.csv", rows, encoding="latin-1")
    with pytest.raises(InputError, match=message) as refusal:
        splits.read(path, list("abcd"))
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("header", ["", "case,fold", "case;fold;role"])
def test_a_table_needs_its_columns(tmp_path, header):
    with pytest.raises(InputError, match="must name the columns case,fold,role"):
        splits.read(write_table(tmp_path / "split.csv", [], header=header), ["a"])


def test_a_table_must_be_there(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(InputError, match=r"not there; check split.file"):
            splits.read(path, ["a"])
