"""How often resamples of patients and trainings give each model each rank: a panel per organ."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "rank_stability": {
        "tables": ["rank_stability"],
        "settings": ["models"],
        "category": "Comparison",
        "label": "How stable the ranking is",
        "needs": {"models": 2},
    }
}

SHARES = {0.1: "10 % of the resamples", 0.5: "50 %", 1.0: "100 %"}  # what the legend shows the size of
INTERVAL: dict[str, Any] = {"color": "0.5", "linewidth": 0.7, "solid_capstyle": "butt"}
FULL: dict[str, Any] = {"marker": "x", "color": "black", "markersize": 3, "markeredgewidth": 0.8, "linestyle": ""}


@style.styled
def rank_stability(stability: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw how stable the ranking by Dice is: the blob plot of challengeR (Wiesenfarth et al. 2021), a panel per organ.

    The area of a blob is the share of resamples in which the model has that rank; a cross is its rank in the study, a
    line holds the ranks of 95 % of the resamples. Above a panel stand the number of patients and the mean Kendall's
    tau of the resamples' rankings with the study's.

    Args:
        stability: a row per metric, organ and model: n, rank, rank_low, rank_high, kendall_tau and share_1, share_2,
            ...
        models: the study's models in their order, so that each has its row and its colour of the other figures.

    Returns:
        A figure of a journal's double column; with a single model, a note that there is nothing to rank.
    """
    stability = stability[stability["metric"] == "dice"]
    organs = style.organ_order(stability)
    if not organs:
        return style.note("One model: nothing to rank")
    columns = min(len(organs), 4 if len(models) < 8 else 3)
    rows = -(-len(organs) // columns)
    height = min((style.PAGE / style.MM - 20) / rows, 4.5 * len(models) + 13)  # mm, of a panel with its title
    row_mm = (height - 13) / len(models)
    named = row_mm > 2.5  # a line of small print; else the legend names the colours, in the order of the rows
    largest = min(0.95 * row_mm, 110 / columns / len(models))  # mm, the blob of every resample
    figure, grid = style.grid_of(len(organs), columns, rows * height + 20, sharex=True, sharey=True)
    for i, (organ, axes) in enumerate(zip(organs, grid.flat, strict=False)):
        own = stability[stability["organ"] == organ].set_index("model")
        _panel(axes, own, models, largest)
        axes.tick_params(labelbottom=i + columns >= len(organs))
        axes.set_title(f"{style.wrap(style.words(organ), (140 if named else 175) / columns)}\n{_note(own.iloc[0])}")
        names = [model if named else "" for model in models]
        axes.set_yticks(range(len(models)), names, fontsize=style.SMALL if row_mm < 3.2 else None)
    figure.supxlabel("Rank by mean Dice coefficient (1 is best)")
    style.legend(figure, [*_keys(largest), *([] if named else style.model_points(palette(models)))])
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, models: Sequence[str], largest: float) -> None:
    """Draw an organ's panel: a row per model, a column per rank."""
    colours = palette(models)
    axes.set_xlim(0.4, len(models) + 0.6)
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.set_xticks(range(1, len(models) + 1, 1 + len(models) // 15))
    axes.grid()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for y, model in enumerate(models):
        row = rows.loc[model]
        if np.isnan(row["rank"]):
            continue
        axes.plot([row["rank_low"], row["rank_high"]], [y, y], zorder=2, **INTERVAL)
        ranks = np.arange(1, len(models) + 1)
        areas = [_size(largest, row[f"share_{rank}"]) ** 2 for rank in ranks]
        axes.scatter(ranks, [y] * len(ranks), areas, color=colours[model], linewidth=0, alpha=0.75, zorder=3)
        axes.plot(row["rank"], y, zorder=4, **FULL)


def _note(row: pd.Series) -> str:
    """What stands in a panel's title below the organ: patients and Kendall's tau."""
    tau = "" if np.isnan(row["kendall_tau"]) else f", \N{GREEK SMALL LETTER TAU} = {row['kendall_tau']:.2f}"
    return f"n = {row['n']:.0f}{tau}"


def _keys(largest: float) -> list[Any]:
    """What blobs, crosses and lines mean."""
    blob: dict[str, Any] = {"marker": "o", "color": "0.5", "linestyle": "", "markeredgewidth": 0}
    return [
        *(style.key(label, markersize=_size(largest, share), **blob) for share, label in SHARES.items()),
        style.key("rank in this study", **FULL),
        style.key("ranks of 95 % of the resamples", **INTERVAL),
    ]


def _size(largest: float, share: float) -> float:
    """The diameter (pt) of a share's blob, given that (mm) of all resamples: areas are shares."""
    return float(largest * np.sqrt(share) * style.MM * 72)
