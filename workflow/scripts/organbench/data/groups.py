"""Which group (centre, scanner, ...) each case belongs to, from a table.

Plain Python, because the workflow checks it while it is parsed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from organbench.core.errors import InputError
from organbench.data import given, names, splits


def read(
    dataset: Mapping[str, Any], cases: Sequence[str], incomplete: Iterable[str], patient: str | None
) -> dict[str, str]:
    """The group of each of a study's cases; none where its `dataset.group` names no table.

    The table is a CSV with the columns case and group. Where the study is about some of a data set's cases only
    (`dataset.cases`), it may name others, too.

    Args:
        dataset: the config's `dataset`.
        cases: names of the study's cases.
        incomplete: those that lack a file, and so need no group.
        patient: what finds the patient in a case's name, see `splits.patients`.

    Returns:
        The group of each case, in the order of the table.

    Raises:
        InputError: the file or a column is missing, a case is unknown, is there twice or has no group, a group's name
            cannot be told from an empty cell or cannot be shown, scans of a patient are in several groups, or all cases
            are in one.
    """
    path = dataset["group"]
    if path is None:
        return {}
    known, found, lines = set(cases), dict[str, str](), dict[str, int]()
    for number, (case, group) in given.csv_rows(path, ("case", "group"), "table of groups", "dataset.group"):
        where = f"{path}, line {number}"
        if case not in known:
            if dataset["cases"] is not None:
                continue
            raise InputError(
                f"{where}: there is no case {case[:80]!r} in the data set; correct the name or remove the line"
            )
        if case in found:
            raise InputError(f"{where}: case {case} is also in line {lines[case]}; keep one of the lines")
        if group in names.EMPTY:
            named = f"{group!r} means an empty cell in tables" if group else "is empty"
            raise InputError(f"{where}: the group of case {case} {named}; give it a name")
        if not group.isprintable() or len(group) > names.LONGEST_NAME:
            raise InputError(
                f"{where}: group {group[:80]!r} cannot be shown; use up to {names.LONGEST_NAME} printable characters"
            )
        found[case], lines[case] = group, number
    lacking = [case for case in cases if case not in found and case not in set(incomplete)]
    if lacking:
        others = f", nor for {len(lacking) - 1} others" if len(lacking) > 1 else ""
        raise InputError(f"{path}: has no line for case {lacking[0]}{others}; add its group")
    for name, scans in splits.patients(list(found), patient).items():
        for scan in scans:
            if found[scan] != found[scans[0]]:
                raise InputError(
                    f"{path}, line {lines[scan]}: patient {name} is in two groups: {scans[0]} in {found[scans[0]]}, "
                    f"{scan} in {found[scan]}; give all scans of a patient the same"
                )
    if len(set(found.values())) < 2:
        only = next(iter(found.values()), "")
        raise InputError(f"{path}: all cases are in one group, {only}; name others, or set dataset.group to null")
    return found
