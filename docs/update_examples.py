"""Bring the README's figures and table up to date with the default study in results/phantom.

Usage: snakemake --cores all --resources gpu=1 && python docs/update_examples.py
"""

import json
import re
import shutil
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "results" / "phantom"
FIGURES = ("dice_by_organ", "overlays")
BEGIN, END = "<!-- the default study's table, by docs/update_examples.py -->\n", "<!-- end -->\n"


def interval(row: pd.Series) -> str:
    """A mean with its interval, `.902 [.895, .912]`."""
    numbers = (f"{row[key]:.3f}".replace("0.", ".", 1) for key in ("mean", "ci_low", "ci_high"))
    return "{} [{}, {}]".format(*numbers)


def table() -> str:
    """The Markdown table: an organ a row, a network a column, then what each network costs."""
    summary = pd.read_csv(STUDY / "tables" / "summary.csv")
    dice = summary[summary["metric"] == "dice"].set_index(["organ", "model"])
    models, organs = dice.index.unique("model"), dice.index.unique("organ")
    costs = [json.loads((STUDY / f"runs/{model}/fold0-seed0/cost.json").read_text()) for model in models]
    rows = [["Dice, mean [95 % interval]", "n", *models]]
    for organ in organs:
        cells = [interval(dice.loc[(organ, model)]) for model in models]
        rows.append([{"all": "mean over organs"}.get(organ, organ), f"{dice.loc[(organ, models[0]), 'n']}", *cells])
    rows.append(["parameters", "", *(f"{cost['parameters'] / 1e6:.2f} M" for cost in costs)])
    rows.append(["multiply-adds a voxel", "", *(f"{cost['multiply_adds_per_voxel'] / 1e3:.1f} k" for cost in costs)])
    rows.append(["training", "", *(f"{cost['training_seconds']:.0f} s" for cost in costs)])
    rows.insert(1, ["---"] * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    for figure in FIGURES:
        shutil.copy(STUDY / "figures" / f"{figure}.png", ROOT / "docs" / f"{figure}.png")
    readme = ROOT / "README.md"
    text = readme.read_text()
    found = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    if not found.search(text):
        raise SystemExit(f"{readme}: has no place for the table between {BEGIN.strip()!r} and {END.strip()!r}")
    readme.write_text(found.sub(lambda _: BEGIN + table() + END, text))
