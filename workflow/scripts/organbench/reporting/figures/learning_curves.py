"""How the networks learned."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "learning_curves": {
        "tables": ["histories"],
        "settings": ["models"],
        "category": "Cost",
        "label": "Learning curves",
        "needs": {"histories": 1},
    }
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
    figure = Figure(figsize=(style.COLUMN, 66 * style.MM), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    runs = history.groupby(["model", "fold", "seed"], sort=False)
    history["loss"] = runs["loss"].transform(
        lambda loss: loss.rolling(max(1, len(loss) // 50), min_periods=1, center=True).mean()
    )
    drawn = np.sort(history["step"].unique())
    drawn = drawn[:: max(1, len(drawn) // 500)]  # a line needs no more points than the print has dots
    _lines(left, history[history["step"].isin(drawn)], "loss", colours)
    if (history["loss"].dropna() > 0).all():
        left.set_yscale("log")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        left.yaxis.set_major_formatter(style.short)
        left.yaxis.set_minor_formatter(NullFormatter())
    if history["dice"].notna().any():
        _lines(right, history.dropna(subset="dice"), "dice", colours, marker="o", markersize=3)
        low = history["dice"].min()
        right.set_ylim(low - 0.05 * (1 - low), 1)
    else:
        right.set_ylim(0, 1)
        right.text(0.5, 0.5, "No validation cases", ha="center", va="center", transform=right.transAxes)
    left.set(title="Training loss, rolling mean over 2 % of steps", ylabel="Loss")
    right.set(title="Validation Dice, mean over organs", ylabel="Dice coefficient (0 to 1)")
    for axes in (left, right):
        axes.set_xlabel("Training step")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(style.short)
        axes.grid()
    counts = runs.ngroup().groupby(history["model"], sort=False).nunique()
    handles = [
        style.key(f"{model} ({count} run{'s' * (count > 1)})", color=colours[model]) for model, count in counts.items()
    ]
    if history["seed"].nunique() > 1:
        handles.append(style.area("range over seeds", facecolor="0.8"))
    style.legend(figure, handles)
    return figure


def _lines(axes: Axes, data: pd.DataFrame, y: str, colours: dict[str, str], **marker: Any) -> None:
    """Draw the mean of each model's seeds over the steps, and their range as a band."""
    seeds = data.groupby(["model", "step", "seed"], as_index=False)[y].mean()  # over folds
    models = {"hue": "model", "hue_order": list(colours), "palette": colours, "legend": False}
    look: dict[str, Any] = {"linewidth": 1, "markeredgewidth": 0, "err_kws": {"linewidth": 0}}
    band = ("pi", 100) if data["seed"].nunique() > 1 else None  # of percentiles: the range
    sns.lineplot(seeds, x="step", y=y, errorbar=band, ax=axes, **models, **look, **marker)
