"""What accuracy costs."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from organbench.colours import palette
from organbench.figures.style import COLUMN, MM, STYLE, legend, log_x, model_points, padded, wrap

COSTS = {
    "parameters": "Parameters",
    "multiply_adds_per_voxel": "Multiply-adds per voxel",
    "training_seconds": "Training ({})",
    "prediction_seconds": "Prediction of a case ({})",
    "training_host_mib": "Host memory in training (MiB)",
    "training_gpu_mib": "GPU memory in training (MiB)",
    "prediction_host_mib": "Host memory in prediction (MiB)",
    "prediction_gpu_mib": "GPU memory in prediction (MiB)",
    "training_energy_j": "Energy of training (J)",
    "prediction_energy_j": "Energy of a case (J)",
}
"""The columns of cost.csv that are drawn, and their axes."""


def pareto(cost: pd.DataFrame) -> Figure:
    """Draw the mean Dice over organs against every cost that was measured, and mark what no other network beats.

    A point is a model with the 95 % interval of its mean. Hollow ones are beaten: another has at least their mean at no
    more than their cost. The stepped line joins the others, the Pareto front. Costs are on a logarithmic axis.

    Args:
        cost: a row a model: model, dice, ci_low, ci_high, the columns of `COSTS` (any of them; NaN where not measured),
            and for each the column pareto_<cost> that says whether the model is on the front (NaN where a model lacks
            the cost, so that the front is not known).

    Returns:
        A figure of a journal's double column.
    """
    colours = palette(cost["model"])
    measured = [column for column in COSTS if column in cost and ((cost[column] > 0) & cost["dice"].notna()).any()]
    columns = 4 if len(measured) in (4, 7, 8, 10) else max(1, min(3, len(measured)))
    rows = max(1, -(-len(measured) // columns))
    with mpl.rc_context(STYLE):
        loose = ConstrainedLayoutEngine(wspace=0.03, hspace=0.05)
        figure = Figure(figsize=(COLUMN, (rows * 50 + 12) * MM), layout=loose)
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes in grid.flat[len(measured) :]:
            axes.remove()
        for column, axes in zip(measured, grid.flat, strict=False):
            _panel(axes, cost, column, colours, COLUMN / MM / columns)
        for row in grid:
            row[0].set_ylabel("Dice coefficient, mean over organs")
        handles: list[Any] = model_points(colours)
        style: dict[str, Any] = {"color": "0.5", "marker": "o", "markersize": 3.5}
        handles.append(Line2D([], [], **style, label="Pareto front"))
        handles.append(Line2D([], [], **style, markerfacecolor="white", linestyle="", label="beaten"))
        legend(figure, handles, "outside upper center")
    return figure


def _panel(axes: Axes, cost: pd.DataFrame, column: str, colours: dict[str, str], width: float) -> None:
    """Draw one cost; `width` is the panel's in mm."""
    known = cost[(cost[column] > 0) & cost["dice"].notna()].copy()
    label = COSTS[column]
    if "{}" in label:
        unit, seconds = _time_unit(known[column].max())
        known[column] /= seconds
        label = label.format(unit)
    log_x(axes, *padded(known[column]), most=5)
    on_front = known[f"pareto_{column}"]
    front = known[on_front == True].sort_values([column, "dice"])  # noqa: E712 (NaN is neither)
    axes.step(front[column], front["dice"], where="post", color="0.6", linewidth=0.8, zorder=1)
    for row in known.itertuples():
        colour, x = colours[row.model], getattr(row, column)
        axes.plot([x, x], [row.ci_low, row.ci_high], color=colour, linewidth=0.9, zorder=2)
        face = "white" if on_front[row.Index] == False else colour  # noqa: E712
        axes.plot(x, row.dice, "o", color=colour, markerfacecolor=face, markersize=4, markeredgewidth=0.9, zorder=3)
    missing = [model for model in colours if model not in set(known["model"])]
    if missing:
        label += wrap(f"\nnot measured: {', '.join(missing)}", width - 12)
    axes.set_xlabel(label)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)


def _time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a time is read most easily, and its seconds."""
    return ("s", 1) if seconds < 300 or np.isnan(seconds) else ("min", 60) if seconds < 3 * 3600 else ("h", 3600)
