"""Who trains, who validates, who tests.

Decided from the cases' names alone, in plain Python, because the workflow needs it while it is parsed. The order that
decides is each case's own hash, so adding a case leaves the others' order as it is: it moves at most one case
across each boundary between roles. To add a method, write a function and its row in `METHODS`.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from organbench.core.errors import InputError
from organbench.data.given import csv_rows

ROLES = ("train", "validation", "test")
OFFICIAL = [str(case) for case in range(140)]  # CT-ORG (Rister et al. 2020)
OFFICIAL_TEST = set(OFFICIAL[:21])

Fold = dict[str, list[str]]  # role -> cases
Scans = Mapping[str, Sequence[str]]  # patient -> cases


def shuffled(cases: Sequence[str], seed: int) -> list[str]:
    """The cases in an order that depends on each name and the seed only."""
    return sorted(cases, key=lambda case: (hashlib.sha256(f"{seed}:{case}".encode()).digest(), case))


def natural(case: str) -> tuple[int, int, str]:
    """A sort key that puts case 9 before case 10, and numbered cases before named ones."""
    return (0, int(case), case) if case.isdecimal() else (1, 0, case)


@dataclass(frozen=True)
class Settings:
    """The config's `split`.

    Attributes:
        method: one of `METHODS`.
        test_fraction: share of the patients that is tested on.
        validation_fraction: share of the other patients that validates, rounded up unless 0; they are not trained on.
        folds: number of folds.
        seed: another seed, another division.
        file: a table with the columns case, fold and role.
        patient: a regular expression that finds the patient in a case's name, see `patients`.
    """

    method: str
    test_fraction: float = 0.3
    validation_fraction: float = 0.1
    folds: int = 5
    seed: int = 0
    file: str | Path | None = None
    patient: str | None = None


def split(cases: Sequence[str], **settings: Any) -> list[Fold]:
    """Divide the cases; one mapping of role to cases a fold.

    Args:
        cases: names of all cases.
        settings: as for `Settings`.

    Returns:
        For each fold the cases of each role, in natural order. A case, and a patient, has one role in a fold.

    Raises:
        InputError: too few cases for the method, or a table that does not fit the cases.
    """
    if len(set(cases)) != len(cases):
        raise InputError("the same case is listed twice; give every case its own name")
    chosen = Settings(**settings)
    return METHODS[chosen.method].divide(patients(cases, chosen.patient), chosen)


def holdout(scans: Scans, settings: Settings) -> list[Fold]:
    """One fold: a share of the patients is tested on, rounded, at least one."""
    order = shuffled(list(scans), settings.seed)
    size = max(1, round(len(order) * settings.test_fraction))
    return [fold_of(order[:size], order[size:], scans, settings)]


def kfold(scans: Scans, settings: Settings) -> list[Fold]:
    """Several folds: every patient is tested once, and in each fold others validate.

    Behind its test patients a fold goes on to the end of the order and then from its first; the first of these
    validate. In their own order all folds but one would validate on the same patients, and never train on them.
    """
    order, folds = shuffled(list(scans), settings.seed), settings.folds
    if len(order) < folds:
        raise InputError(f"split.folds is {folds}, but there are only {len(order)} patients; ask for fewer folds")
    ends = [len(order) * k // folds for k in range(folds + 1)]
    return [fold_of(order[low:high], order[high:] + order[:low], scans, settings) for low, high in pairwise(ends)]


def official(scans: Scans, settings: Settings) -> list[Fold]:
    """One fold: CT-ORG's own test set (Rister et al. 2020), or what is there of it."""
    order = shuffled(list(scans), settings.seed)
    test = [name for name in order if OFFICIAL_TEST.intersection(scans[name])]
    if not test:
        raise InputError("split.method is official, but none of CT-ORG's test cases 0 to 20 is there; use holdout")
    return [fold_of(test, [name for name in order if name not in test], scans, settings)]


def given(scans: Scans, settings: Settings) -> list[Fold]:
    """What a table says."""
    if settings.file is None:
        raise InputError("split.method is file, but split.file is not set; name a CSV with columns case,fold,role")
    folds = read(settings.file, [case for cases in scans.values() for case in cases])
    check_patients(folds, scans, settings.file)
    return folds


def fold_of(test: Sequence[str], rest: Sequence[str], scans: Scans, settings: Settings) -> Fold:
    """A fold that tests on some patients, validates on the first of the rest and trains on the others."""
    count = math.ceil(round(len(rest) * settings.validation_fraction, 6))  # 0.07 * 100 is a little more than 7
    if len(rest) - count < 1:
        raise InputError(
            f"{len(scans)} patients leave none to train on beside {len(test)} for test and {count} for validation; "
            "add cases, or lower split.test_fraction or split.validation_fraction"
        )
    fold = {"train": rest[count:], "validation": rest[:count], "test": test}
    return {role: sorted((c for name in names for c in scans[name]), key=natural) for role, names in fold.items()}


def patients(cases: Sequence[str], pattern: str | None) -> dict[str, list[str]]:
    """Each patient's cases.

    Args:
        cases: names of all cases.
        pattern: a regular expression; the patient is what its first group, or else the whole of it, finds in a case's
            name: `^[^_]+` takes `p01_ct1` and `p01_ct2` for two scans of p01. None: every case is a patient.

    Raises:
        InputError: it is no regular expression, or finds nothing in a case's name.
    """
    if pattern is None:
        return {case: [case] for case in cases}
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"config, split.patient: {pattern[:80]!r} is no regular expression ({error})") from None
    found: dict[str, list[str]] = {}
    for case in cases:
        match = expression.search(case)
        name = match and (match[1] if expression.groups else match[0])
        if not name:
            raise InputError(f"config, split.patient: {pattern[:80]!r} finds no patient in the name of case {case}")
        found.setdefault(name, []).append(case)
    return found


def check_patients(folds: Sequence[Fold], scans: Scans, path: str | Path) -> None:
    """Check that no patient has two roles in a fold.

    Raises:
        InputError: one has; the message names two of the scans.
    """
    for number, fold in enumerate(folds):
        role_of = {case: role for role, members in fold.items() for case in members}
        for name, cases in scans.items():
            first, *others = [case for case in cases if case in role_of] or [""]
            for other in others:
                if role_of[other] != role_of[first]:
                    raise InputError(
                        f"{path}: patient {name} has two roles in fold {number}: {first} is {role_of[first]}, "
                        f"{other} is {role_of[other]}; give all scans of a patient the same"
                    )


def without(folds: Sequence[Fold], left_out: Mapping[str, str]) -> list[Fold]:
    """The folds without some cases; all others keep their roles.

    Args:
        folds: who trains, validates and tests, from `split`.
        left_out: the cases that go, and why.

    Raises:
        InputError: a fold loses all cases that it trains, validates or tests on.
    """
    for number, fold in enumerate(folds):
        for role, members in fold.items():
            if members and not set(members) - left_out.keys():
                raise InputError(
                    f"fold {number} has no {role} case left, for {len(members)} cannot be used, such as {members[0]} "
                    f"({left_out[members[0]]}); mend one of them, or change the split (split.seed)"
                )
    return [{role: [c for c in members if c not in left_out] for role, members in fold.items()} for fold in folds]


def unseen(folds: Sequence[Fold], case: str, pattern: str | None = None) -> list[int]:
    """The folds whose training and validation cases hold neither the case nor another scan of its patient.

    Args:
        folds: who trains, validates and tests, from `split`.
        case: a case of some fold.
        pattern: what finds the patient in a case's name, see `patients`.
    """
    everyone = sorted({member for fold in folds for members in fold.values() for member in members})
    scans = next({*scans} for scans in patients(everyone, pattern).values() if case in scans)
    return [number for number, fold in enumerate(folds) if not scans & {*fold["train"], *fold["validation"]}]


def part(fold: Fold, percent: float, seed: int, pattern: str | None = None) -> Fold:
    """A fold that trains on a share of its patients only; a smaller share is within a larger one.

    Args:
        fold: who trains, validates and tests, from `split`.
        percent: of the training patients, above 0 to 100; rounded up, so that one is left.
        seed: another seed, other patients.
        pattern: what finds the patient in a case's name, see `patients`; all scans of a patient stay together.
    """
    scans = patients(fold["train"], pattern)
    chosen = shuffled(list(scans), seed)[: math.ceil(round(len(scans) * percent / 100, 6))]
    kept = {case for name in chosen for case in scans[name]}
    return fold | {"train": [case for case in fold["train"] if case in kept]}


def read(path: str | Path, cases: Sequence[str]) -> list[Fold]:
    """Read a split from a CSV with the columns case, fold (0, 1, ...) and role (train, validation, test).

    A case may be left out of a fold.

    Raises:
        InputError: the file or a column is missing, a case is unknown or has two roles in a fold, a role is not one of
            the three, a fold number is skipped, or a fold has nothing to train on or to test.
    """
    known = set(cases)
    folds: dict[int, dict[str, str]] = {}
    for number, (case, fold, role) in csv_rows(path, ("case", "fold", "role"), "split file", "split.file"):
        where = f"{path}, line {number}"
        if case not in known:
            raise InputError(
                f"{where}: there is no case {case[:80]!r} in the data set; correct the name or remove the line"
            )
        if not (fold.isdecimal() and len(fold) < 4):
            raise InputError(f"{where}: fold {fold[:80]!r} is not a number up to 999; write 0, 1, ...")
        if role not in ROLES:
            raise InputError(f"{where}: role {role[:80]!r} is not one of {', '.join(ROLES)}")
        members = folds.setdefault(int(fold), {})
        if case in members:
            raise InputError(f"{where}: case {case} has two roles in fold {fold}; keep one of the lines")
        members[case] = role
    if sorted(folds) != list(range(len(folds))) or not folds:
        raise InputError(f"{path}: folds must be numbered 0, 1, ... without a gap; found {ranges(folds)[:80]}")
    for number, members in sorted(folds.items()):
        for role in ("train", "test"):
            if role not in members.values():
                raise InputError(f"{path}: fold {number} has no {role} case; add one")
    return [
        {role: sorted((case for case in members if members[case] == role), key=natural) for role in ROLES}
        for _, members in sorted(folds.items())
    ]


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers as a person lists them: `0, 3-7, 9`."""
    placed = enumerate(sorted(numbers))  # in a run, numbers are as far apart as their places
    runs = [[number for _, number in run] for _, run in groupby(placed, lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def table(folds: Sequence[Fold]) -> list[dict[str, str | int]]:
    """The split as rows with case, fold and role: what `split.csv` holds."""
    return [
        {"case": case, "fold": number, "role": role}
        for number, fold in enumerate(folds)
        for role in ROLES
        for case in fold[role]
    ]


@dataclass(frozen=True)
class Method:
    """A way to divide the cases.

    Attributes:
        divide: makes the folds, from the cases of each patient and the settings.
        meaning: what is tested on, in a few words for tables.
        sentence: how the cases were divided, for a paper; goes on with "into 20 for training ...". `{folds}` and
            `{seed}` are filled in.
    """

    divide: Callable[[Scans, Settings], list[Fold]]
    meaning: str
    sentence: str


METHODS = {
    "holdout": Method(
        holdout, "a share of the cases, drawn by split.seed", "Cases were divided at random (seed {seed})"
    ),
    "kfold": Method(
        kfold,
        "every case once",
        "In {folds}-fold cross-validation (seed {seed}) every case was tested once. A fold divided the cases",
    ),
    "official": Method(
        official,
        "CT-ORG's cases 0 to 20",
        "Cases were divided as CT-ORG's authors did [@rister2020ctorg] (cases 0 to 20 for testing)",
    ),
    "file": Method(given, "what a CSV says", "Cases were divided by a given list"),
}
