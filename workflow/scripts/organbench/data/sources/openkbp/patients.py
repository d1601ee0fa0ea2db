"""Who OpenKBP's patients are. Plain Python, because the workflow needs it while it is parsed."""

import csv
from pathlib import Path


def patients() -> dict[str, dict[str, str]]:
    """The checksums of the volume, the labels and the dose of each of OpenKBP's patients."""
    with Path(__file__).with_name("patients.csv").open(newline="") as lines:
        return {row.pop("case"): row for row in csv.DictReader(lines)}
