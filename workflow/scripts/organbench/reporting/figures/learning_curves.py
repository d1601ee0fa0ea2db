"""How the networks learned."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "learning_curves": {"tables": ["histories"], "settings": ["models"], "category": "Cost", "label": "Learning curves"}
}


@style.styled
def learning_curves(history: pd.DataFrame, models: Sequence[str] | None = None) -> Figure:
    """Draw the training loss and the validation Dice of every model over the steps.

    A run's loss is smoothed by a centred rolling mean over 2 % of its rows, its validation Dice is the mean over
    organs. Runs are averaged over folds first: a line is the mean over seeds, a band the range of the seeds.

    Args:
        history: rows of all history.csv files: model, fold, seed, step, loss, and dice_<organ> (NaN at a step without
            validation).
        models: all of the study's models, so that each has its colour of the other figures; ensembles have no history.

    Returns:
        A figure of a journal's double column.
    """
    colours = palette(history["model"].unique() if models is None else models)
    organs = [column for column in history if column.startswith("dice_")]
    history = history.assign(dice=history[organs].mean(axis=1) if organs else np.nan)
    handles: list[Any] = []
    figure = Figure(figsize=(style.COLUMN, 66 * style.MM), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    runs = history.groupby(["model", "fold", "seed"], sort=False)
    history["loss"] = runs["loss"].transform(
        lambda loss: loss.rolling(max(1, len(loss) // 50), min_periods=1, center=True).mean()
    )
    drawn = np.sort(history["step"].unique())
    drawn = drawn[:: max(1, len(drawn) // 500)]  # a line needs no more points than the print has dots
    _lines(left, history[history["step"].isin(drawn)], "loss", colours)
    _lines(right, history.dropna(subset="dice"), "dice", colours, marker="o", markersize=3)
    counts = history.drop_duplicates(["model", "fold", "seed"]).groupby("model", sort=False).size()
    for model, count in counts.items():
        label = f"{model} ({count} run{'s' * (count > 1)})"
        handles.append(Line2D([], [], color=colours[model], label=label))
    if (history["loss"].dropna() > 0).all():
        left.set_yscale("log")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        left.yaxis.set_major_formatter(style.short)
        left.yaxis.set_minor_formatter(NullFormatter())
    left.set(title="Training loss, rolling mean over 2 % of steps", ylabel="Loss")
    right.set(title="Validation Dice, mean over organs", ylabel="Dice coefficient (0 to 1)")
    if history["dice"].notna().any():
        low = history["dice"].min()
        right.set_ylim(low - 0.05 * (1 - low), 1)
    else:
        right.set_ylim(0, 1)
        right.text(0.5, 0.5, "No validation cases", ha="center", va="center", transform=right.transAxes)
    for axes in (left, right):
        axes.set_xlabel("Training step")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(style.short)
        style.gridlines(axes)
    if history["seed"].nunique() > 1:
        handles.append(Patch(facecolor="0.8", label="range over seeds"))
    style.legend(figure, handles)
    return figure


def _lines(axes: Axes, data: pd.DataFrame, y: str, colours: dict[str, str], **marker: Any) -> None:
    """Draw the mean of each model's seeds over the steps, and their range as a band."""
    seeds = data.groupby(["model", "step", "seed"])[y].mean()  # over folds
    for model, colour in colours.items():
        if model in seeds.index.get_level_values("model"):
            steps = seeds.loc[model].groupby("step").agg(["mean", "min", "max"])
            axes.plot(steps.index, steps["mean"], color=colour, linewidth=1, markeredgewidth=0, **marker)
            if data["seed"].nunique() > 1:
                axes.fill_between(steps.index, steps["min"], steps["max"], color=colour, alpha=0.2, linewidth=0)
