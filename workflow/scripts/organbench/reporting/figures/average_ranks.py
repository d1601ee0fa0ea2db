"""How the networks rank, and which of them cannot be told apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "average_ranks": {
        "tables": ["ranks"],
        "settings": ["models"],
        "category": "Comparison",
        "label": "Ranks and critical difference",
        "needs": {"models": 3},
    }
}

JOINED: dict[str, Any] = {"color": "0.45", "linewidth": 1.6, "solid_capstyle": "butt"}


@style.styled
def average_ranks(ranks: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw the models' average ranks by Dice, a row per organ, and which of them cannot be told apart (Demšar 2006).

    A point is a model's rank, averaged over cases; 1 is best. Grey bars join the models that share a letter in the
    column groups. The numbers at the right are the critical difference, Friedman's p (corrected over organs) and the
    number of cases.

    Args:
        ranks: a row per metric, organ and model: average_rank, n, friedman_p_holm, critical_difference and groups.
        models: the study's models in their order, so that each has its colour of the other figures.

    Returns:
        A figure of a journal's double column.
    """
    ranks = ranks[ranks["metric"] == "dice"].dropna(subset="average_rank")
    ranks = ranks.assign(groups=ranks["groups"].fillna(""))
    organs = list(ranks["organ"].unique())
    bars = {organ: _bars(rows) for organ, rows in ranks.groupby("organ", sort=False)}
    lines = max([1, *(len(found) for found in bars.values())])
    row_mm = min(4.5 + 1.3 * lines, 205 / max(1, len(organs)))
    colours = palette(models)
    figure = Figure(figsize=(style.COLUMN, (row_mm * max(1, len(organs)) + 24) * style.MM), layout="constrained")
    axes = figure.subplots()
    style.organ_rows(axes, organs)
    for i, organ in enumerate(organs):
        rows = ranks[ranks["organ"] == organ].sort_values("average_rank", kind="stable")
        for k, (low, high) in enumerate(bars[organ]):
            place = i + 0.08 + 0.36 * (k + 0.5) / lines
            axes.plot([low - 0.03, high + 0.03], [place] * 2, **JOINED)
        for row, place in zip(rows.itertuples(), _levels(rows["average_rank"], 0.02 * len(models)), strict=True):
            y = i - 0.1 - 0.15 * place
            axes.plot(row.average_rank, y, "o", color=colours[row.model], markersize=4, markeredgewidth=0)
        first, p = rows.iloc[0], rows["friedman_p_holm"].iloc[0]
        tested = "" if np.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"
        critical = f"{first['critical_difference']:.2f}"
        style.beside(axes, i, (critical, 60, "right"), (tested, 130, "right"), (f"{first['n']:.0f}", 148, "right"))
    header = [("critical difference", 60, "right"), ("Friedman's p (Holm)", 130, "right"), ("n", 148, "right")]
    style.beside(axes, -0.75, *header)
    axes.set_xlim(0.9, len(models) + 0.1)
    axes.set_xticks(range(1, len(models) + 1))
    axes.set_xlabel("Average rank over cases, by Dice coefficient (1 is best)")
    style.legend(figure, [*style.model_points(colours), style.key("not told apart", **JOINED)])
    return figure


def _levels(ranks: pd.Series, width: float) -> list[int]:
    """Stack points that would lie on each other: how many of those before, in rising order, are within `width`."""
    levels: list[int] = []
    for k, rank in enumerate(ranks):
        levels.append(levels[-1] + 1 if k and rank - ranks.iloc[k - 1] < width else 0)
    return levels


def _bars(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """The first and the last rank of the models that share a letter; a letter of a single model joins nothing."""
    found = []
    for letter in sorted(set("".join(rows["groups"]))):
        sharing = rows.loc[rows["groups"].str.contains(letter, regex=False), "average_rank"]
        if len(sharing) > 1:
            found.append((sharing.min(), sharing.max()))
    return found
