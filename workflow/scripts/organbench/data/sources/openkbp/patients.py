"""Who OpenKBP's patients are, and which of them are not there yet.

Plain Python, because the workflow needs it while it is parsed.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from organbench.core.errors import InputError

FETCHING = ".fetching"  # folder below root for patients that are being fetched


def patients() -> dict[str, dict[str, str]]:
    """The checksums of the volume and the labels of each of OpenKBP's patients."""
    with Path(__file__).with_name("patients.csv").open(newline="") as lines:
        return {row.pop("case"): row for row in csv.DictReader(lines)}


def absent(dataset: Mapping[str, Any], cases: Iterable[str]) -> list[str]:
    """Those of OpenKBP's patients that have to be fetched. What a user has put there is never touched.

    Raises:
        InputError: one of a patient's two files is there, and no fetching of it was begun.
    """
    root, missing = Path(dataset["root"]), []
    for case in cases:
        paths = [root / dataset[key].replace("{case}", case) for key in ("image", "label")]
        there = [path for path in paths if path.exists()]
        if len(there) == 1 and not (root / FETCHING / case).exists():
            (other,) = set(paths) - set(there)
            raise InputError(f"{there[0]}: {other.name} is not there; add it, or move this one away to fetch both")
        if len(there) < 2:
            missing.append(case)
    return missing
