"""Bring the pages' figures and tables up to date with the studies in results/ that they show, where these are there.

Usage: snakemake --cores all --resources gpu=1 && python docs/update_examples.py
"""

import sys
from pathlib import Path

import marked
import pandas as pd
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from organbench.core import tables  # noqa: E402

FIGURES = {
    "phantom": {name: name for name in ("dice_by_organ", "paired_differences", "overlays")},
    "openkbp_folds": {"paired_differences": "openkbp_differences", "dose_against_dice": "dose_against_dice"},
    "segmenters": {},
}
"""The studies that are shown: their figures, and the names of these in docs/."""
WIDTH = 1200  # pixels: enough for a page, and small in the repository
BEGIN = "<!-- the table of {}, by docs/update_examples.py -->\n"


def interval(row: pd.Series) -> str:
    """A mean with its interval, `.902 [.895, .912]`."""
    numbers = (f"{row[key]:.3f}".replace("0.", ".", 1) for key in ("mean", "ci_low", "ci_high"))
    return "{} [{}, {}]".format(*numbers)


def number(value: float, form: str) -> str:
    """A number in its form; a dash where it is not known."""
    return "-" if pd.isna(value) else form.format(value)


def by_model(study: Path) -> str:
    """The Markdown table of many: a model a row, with its Dice, the first one's verdict on it, and what it costs."""
    summary, comparison, cost = (
        tables.read(study / "tables" / f"{name}.csv") for name in ("summary", "comparison", "cost")
    )
    dice = summary[summary["metric"] == "dice"].set_index(["organ", "model"])
    models = list(dice.index.unique("model"))
    organs = [organ for organ in dice.index.unique("organ") if organ != "all"]
    against = comparison[(comparison["metric"] == "dice") & (comparison["organ"] == "all")]
    verdicts = against[against["model_a"] == models[0]].set_index("model_b")["verdict"]
    cost = cost.set_index("model")
    costs = {
        "parameters": (1e6, "{:.2f} M"),
        "training_seconds": (1, "{:.0f} s"),
        "prediction_seconds": (1, "{:.1f} s"),
    }
    names = [column.removesuffix("_seconds") for column in costs]
    rows = [["Dice, mean [95 % interval]", "mean over organs", *organs, f"{models[0]} is", *names]]
    rows.append(["---"] * len(rows[0]))
    for model in models:
        means = [f"{dice.loc[(organ, model), 'mean']:.3f}".replace("0.", ".", 1) for organ in organs]
        spent = [number(cost[column].get(model) / unit, form) for column, (unit, form) in costs.items()]
        rows.append([model, interval(dice.loc[("all", model)]), *means, verdicts.get(model, ""), *spent])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def table(study: Path) -> str:
    """The Markdown table of two: an organ a row, a network a column and the verdict, then what each network costs."""
    summary, comparison, cost = (
        tables.read(study / "tables" / f"{name}.csv") for name in ("summary", "comparison", "cost")
    )
    dice = summary[summary["metric"] == "dice"].set_index(["organ", "model"])
    verdicts = comparison[comparison["metric"] == "dice"].set_index("organ")["verdict"]
    cost = cost.set_index("model")
    models, organs = dice.index.unique("model"), dice.index.unique("organ")
    rows = [["Dice, mean [95 % interval]", "n", *models, f"{models[0]} is"]]
    for organ in organs:
        cells = [interval(dice.loc[(organ, model)]) for model in models]
        name = {"all": "mean over organs"}.get(organ, organ)
        rows.append([name, f"{dice.loc[(organ, models[0]), 'n']}", *cells, verdicts[organ]])
    for metric, name, form in (("nsd", "surface Dice", "{:.3f}"), ("hd95", "HD95, mm", "{:.1f}")):
        means = summary[(summary["metric"] == metric) & (summary["organ"] == "all")].set_index("model")["mean"]
        rows.append([f"{name}, mean over organs", "", *(form.format(means[model]) for model in models), ""])
    for column, name, unit, form in (
        ("parameters", "parameters", 1e6, "{:.2f} M"),
        ("multiply_adds_per_voxel", "multiply-adds a voxel", 1e3, "{:.1f} k"),
        ("training_seconds", "training", 1, "{:.0f} s"),
        ("prediction_seconds", "prediction of a case", 1, "{:.1f} s"),
    ):
        rows.append([name, "", *(form.format(cost.loc[model, column] / unit) for model in models), ""])
    rows.insert(1, ["---"] * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    for name, shown in FIGURES.items():
        study = ROOT / "results" / name
        if not study.exists():
            print(f"{study}: not there, so its figures and its table stay as they are")
            continue
        for figure, copy in shown.items():
            with Image.open(study / "figures" / f"{figure}.png") as image:
                image.thumbnail((WIDTH, WIDTH * 2))
                image.convert("RGB").save(ROOT / "docs" / f"{copy}.png", optimize=True)
        page, make = ("docs/other-segmenters.md", by_model) if name == "segmenters" else ("README.md", table)
        marked.replace(ROOT / page, BEGIN.format(name), make(study))
