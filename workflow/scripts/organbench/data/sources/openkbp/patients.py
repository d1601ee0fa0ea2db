"""Who OpenKBP's patients are. Plain Python, because the workflow needs it while it is parsed."""

import csv
from pathlib import Path


def patients() -> dict[str, dict[str, str]]:
    """Of each of OpenKBP's patients the checksums of the volume and the labels, and the moments of the dose."""
    with Path(__file__).with_name("patients.csv").open(newline="") as lines:
        return {row.pop("case"): row for row in csv.DictReader(lines)}
