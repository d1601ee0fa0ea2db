"""What accuracy costs."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from organbench.analysis.costs import COSTS
from organbench.analysis.statistics import ALL
from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "pareto": {"tables": ["pareto"], "category": "Cost", "label": "Accuracy against cost"},
    "pareto_by_organ": {"tables": ["pareto"], "category": "Cost", "label": "Accuracy against cost by organ"},
}

BY_ORGAN = ("training_seconds", "prediction_seconds", "multiply_adds_per_voxel", "prediction_gpu_mib")
"""The costs that are drawn organ by organ, the first ones where there is no room for all."""
ON_HOST = {"prediction_gpu_mib": "prediction_host_mib"}
"""What is drawn in place of a cost that nobody has measured."""
ROWS = 9  # organs below each other


@style.styled
def pareto(fronts: pd.DataFrame) -> Figure:
    """Draw the mean Dice over organs against every cost that was measured, and mark what no other network beats.

    A point is a model with the 95 % interval of its mean. Hollow ones are beaten: another has at least their mean at no
    more than their cost. The stepped line joins the others, the Pareto front. Costs are on a logarithmic axis.

    Args:
        fronts: a row per cost (of `COSTS`, any of them), organ (`all` is drawn) and model: value (NaN where not
            measured), dice, ci_low, ci_high and on_front (NaN where a model lacks the cost, so that the front is not
            known).

    Returns:
        A figure of a journal's double column.
    """
    colours = palette(fronts["model"].unique())
    overall = fronts[fronts["organ"] == ALL]
    measured = _measured(overall)
    columns = 4 if len(measured) in (4, 7, 8, 10) else max(1, min(3, len(measured)))
    rows = max(1, -(-len(measured) // columns))
    figure, grid = style.grid_of(len(measured), columns, rows * 50 + 12, sharey=True)
    figure.set_layout_engine("constrained", wspace=0.03, hspace=0.05)
    for cost, axes in zip(measured, grid.flat, strict=False):
        label = _panel(axes, overall[overall["cost"] == cost], cost, colours)
        axes.set_xlabel(style.wrap(label, style.COLUMN / style.MM / columns - 12))
    for row in grid:
        row[0].set_ylabel("Dice coefficient, mean over organs")
    style.legend(figure, _keys(colours))
    return figure


@style.styled
def pareto_by_organ(fronts: pd.DataFrame) -> Figure:
    """Draw each organ's mean Dice against what it costs, as `pareto` does over all organs; a row per organ.

    Four costs (`BY_ORGAN`) of up to `ROWS` organs; with more organs two costs, or one, and the organs in two blocks or
    four beside each other.

    Args:
        fronts: see `pareto`.

    Returns:
        A figure of a journal's double column.
    """
    colours = palette(fronts["model"].unique())
    organs = [organ for organ in fronts["organ"].unique() if organ != ALL]
    measured = _measured(fronts)
    costs = [cost if cost in measured else ON_HOST.get(cost, cost) for cost in BY_ORGAN]
    blocks = 1 if len(organs) <= ROWS else 2 if len(organs) <= 2 * ROWS else 4
    costs = [cost for cost in costs if cost in measured][: len(BY_ORGAN) // blocks]
    rows = -(-len(organs) // blocks)
    columns = max(1, blocks * len(costs))
    figure, grid = style.grid_of(rows * columns, columns, rows * min(32, 215 / rows) + 24)
    figure.set_layout_engine("constrained", wspace=0.02, hspace=0.02)
    for axes in grid.flat:
        axes.set_visible(False)
    for k, organ in enumerate(organs):
        block, row = divmod(k, rows)
        of_organ = fronts[(fronts["organ"] == organ) & fronts["cost"].isin(costs)]
        ends = of_organ[["dice", "ci_low", "ci_high"]].to_numpy(float)
        for place, cost in enumerate(costs):
            axes = grid[row, block * len(costs) + place]
            axes.set_visible(True)
            label = _panel(axes, of_organ[of_organ["cost"] == cost], cost, colours, ticks=4)
            if np.isfinite(ends).any():
                low, high = np.nanmin(ends), np.nanmax(ends)
                axes.set_ylim(low - 0.06 * (high - low) - 1e-3, high + 0.06 * (high - low) + 1e-3)
            axes.locator_params("y", nbins=4)
            if place == 0:
                axes.set_ylabel(style.wrap(style.words(organ), 25))
            else:
                axes.tick_params(labelleft=False)
            if row == rows - 1 or k == len(organs) - 1:
                axes.set_xlabel(style.wrap(label, style.COLUMN / style.MM / columns - 8))
            else:
                axes.tick_params(labelbottom=False)
    figure.supylabel("Dice coefficient, mean over cases")
    style.legend(figure, _keys(colours))
    return figure


def _measured(fronts: pd.DataFrame) -> list[str]:
    """The costs that some model has beside a Dice, in the order of `COSTS`."""
    known = fronts[(fronts["value"] > 0) & fronts["dice"].notna()]
    return [cost for cost in COSTS if (known["cost"] == cost).any()]


def _panel(axes: Axes, rows: pd.DataFrame, cost: str, colours: dict[str, str], ticks: int = 5) -> str:
    """Draw one cost of one organ, and return what to write at its axis."""
    measured = rows[rows["value"] > 0].copy()
    label = COSTS[cost].axis
    if "{}" in label:
        unit, seconds = _time_unit(measured["value"].max())
        measured["value"] /= seconds
        label = label.format(unit)
    missing = [model for model in colours if model not in set(measured["model"])]
    if missing:
        label += f"\nnot measured: {', '.join(missing)}"
    known = measured[measured["dice"].notna()]
    if known.empty:
        style.nothing(axes, "no case")
    else:
        axes.grid(axis="y")
    style.log_x(axes, *style.padded(measured["value"]), most=ticks)
    front = known[known["on_front"] == True].sort_values(["value", "dice"])  # noqa: E712 (NaN is neither)
    axes.step(front["value"], front["dice"], where="post", color="0.6", linewidth=0.8, zorder=1)
    for row in known.itertuples():
        colour = colours[row.model]
        axes.plot([row.value] * 2, [row.ci_low, row.ci_high], color=colour, linewidth=0.9, zorder=2)
        face = "white" if row.on_front == False else colour  # noqa: E712
        axes.plot(row.value, row.dice, "o", color=colour, mfc=face, markersize=4, markeredgewidth=0.9, zorder=3)
    return label


def _keys(colours: dict[str, str]) -> list[Any]:
    """What the legend explains."""
    look: dict[str, Any] = {"color": "0.5", "marker": "o", "markersize": 3.5}
    marks = [style.key("Pareto front", **look), style.key("beaten", mfc="white", linestyle="", **look)]
    return [*style.model_points(colours), *marks]


def _time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a time is read most easily, and its seconds."""
    return ("s", 1) if seconds < 300 or np.isnan(seconds) else ("min", 60) if seconds < 3 * 3600 else ("h", 3600)
