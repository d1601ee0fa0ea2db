"""Write the tables of README.md from results/*.json, so that no number is typed by hand.

Usage: python benchmarks/report.py
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
BEGIN, END = "<!-- results, by report.py -->\n", "<!-- end -->\n"
UNITS = {
    "seconds": "s",
    "cpu_seconds": "s",
    "process_seconds": "s",
    "ms_a_case": "ms",
    "ms_a_step": "ms",
    "peak_mib": "MiB",
    "mb": "MB",
}


def values(result: Mapping[str, Any], name: str, measure: str) -> list[float]:
    """What a contestant measured, a number a round."""
    return [run[measure] for run in result["contestants"][name]["runs"]]


def shown(numbers: list[float], unit: str) -> str:
    """Median, lowest and highest."""
    return f"{median(numbers):.4g} {unit} ({min(numbers):.4g} to {max(numbers):.4g})"


def ratio_row(result: Mapping[str, Any], claim: Mapping[str, Any]) -> list[str] | None:
    """A claim's row: how many times faster we are than the best of the others, by the medians, and in each round."""
    measure = claim["measure"]
    names = [name for name in claim["against"] if name in result["contestants"]]
    if claim["ours"] not in result["contestants"] or not names:
        return None
    best = min(names, key=lambda name: median(values(result, name, measure)))
    ours, theirs = values(result, claim["ours"], measure), values(result, best, measure)
    rounds = [b / a for a, b in zip(ours, theirs, strict=True)]
    ratio = f"{median(theirs) / median(ours):.2f} ({min(rounds):.2f} to {max(rounds):.2f})"
    unit = UNITS[measure]
    return [claim["what"], claim["ours"], shown(ours, unit), best, shown(theirs, unit), ratio, f"{claim['least']}"]


def limit_row(result: Mapping[str, Any], claim: Mapping[str, Any]) -> list[str] | None:
    """A row of a claim against a fixed limit, or of what has none."""
    if claim["ours"] not in result["contestants"]:
        return None
    unit = UNITS[claim["measure"]]
    ours = values(result, claim["ours"], claim["measure"])
    return [claim["what"], claim["ours"], shown(ours, unit), f"{claim['most']} {unit}" if "most" in claim else ""]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows]) + "\n"


def text(results: list[Mapping[str, Any]]) -> str:
    """All tables, what was measured on, and what each contestant does."""
    ratios, limits, notes, does = [], [], [], {}
    for result in results:
        for claim in result["claims"]:
            row = (ratio_row if "against" in claim else limit_row)(result, claim)
            if row:
                (ratios if "against" in claim else limits).append(row)
        machine = result["machine"]
        versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
        counts = sorted({len(contestant["runs"]) for contestant in result["contestants"].values()})
        rounds = " or ".join(map(str, counts))
        notes.append(
            f"- {result['benchmark']}: {rounds} runs of each on {machine['cores']} cores of {machine['cpu']}, "
            f"load before {machine['load_before']}; Python {machine['python']}, {versions}\n"
        )
        for name, contestant in result["contestants"].items():
            does.setdefault((result["benchmark"], contestant["does"]), []).append(name)
    parts = []
    if ratios:
        head = ["what", "ours", "median (lowest to highest)", "against", "median (lowest to highest)"]
        parts.append(table([*head, "times as fast (in each round)", "at least"], ratios))
    if limits:
        parts.append(table(["what", "ours", "median (lowest to highest)", "at most"], limits))
    parts.append("Measured with:\n\n" + "".join(notes) + "\nWhat each contestant does:\n\n")
    parts += [f"- {benchmark}, **{'; '.join(names)}**: {what}\n" for (benchmark, what), names in does.items()]
    return "".join(parts)


if __name__ == "__main__":
    readme = HERE / "README.md"
    found = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    content = readme.read_text()
    if not found.search(content):
        raise SystemExit(f"{readme}: has no place for the tables between {BEGIN.strip()!r} and {END.strip()!r}")
    measured = [path for path in sorted((HERE / "results").glob("*.json")) if path.stem != "false_verdicts"]
    results = [json.loads(path.read_text()) for path in measured]
    readme.write_text(found.sub(lambda _: BEGIN + text(results) + END, content))
