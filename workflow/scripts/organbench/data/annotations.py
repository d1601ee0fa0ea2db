"""Which organs were annotated in which case: where one was not, nobody knows whether and where it is.

Plain Python, because the workflow needs it while it is parsed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from organbench.core.errors import InputError
from organbench.data import given


def unannotated(info: Mapping[str, Any]) -> list[str]:
    """The organs of which nobody knows whether a case has them, from what its `case.json` holds."""
    return list(info.get("unannotated", ()))


def indices(info: Mapping[str, Any]) -> tuple[int, ...]:
    """The same by their indices, which stay what they are when organs are renamed."""
    unknown = unannotated(info)
    return tuple(k for k, organ in enumerate(info["organs"], start=1) if organ in unknown) if unknown else ()


def read(dataset: Mapping[str, Any], cases: Iterable[str]) -> dict[str, list[int]]:
    """The indices of the organs that were not annotated in a case, where its `dataset.annotated` names a table.

    The table is a CSV with the columns case and organ: a line per organ that was annotated in the case. In a case that
    it does not have all were. Where the study is about some of a data set's cases only (`dataset.cases`), it may name
    others, too.

    Args:
        dataset: the config's `dataset`.
        cases: names of the study's cases.

    Returns:
        Of each case in which an organ was not annotated; none where the study has no such table.

    Raises:
        InputError: the file or a column is missing, or a case or an organ is unknown.
    """
    path, organs = dataset["annotated"], list(dataset["organs"])
    if path is None:
        return {}
    known, found = set(cases), dict[str, set[str]]()
    rows = given.csv_rows(path, ("case", "organ"), "table of annotated organs", "dataset.annotated")
    for number, (case, organ) in rows:
        if organ not in organs:
            raise InputError(
                f"{path}, line {number}: {organ[:80]!r} is not in dataset.organs; correct the name or remove the line"
            )
        if case in known:
            found.setdefault(case, set()).add(organ)
        elif dataset["cases"] is None:
            raise InputError(
                f"{path}, line {number}: there is no case {case[:80]!r} in the data set; correct the name or remove "
                "the line"
            )
    lacking = {case: [k for k, organ in enumerate(organs, 1) if organ not in own] for case, own in found.items()}
    return {case: unknown for case, unknown in lacking.items() if unknown}
