"""How much models differ in each group of patients, organ by organ."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from organbench.analysis.statistics import ALL
from organbench.analysis.verdicts import ALPHA
from organbench.reporting.colours import GROUP_COLOURS, palette
from organbench.reporting.figures import style

FIGURES = {
    "differences_by_group": {
        "tables": ["group_differences"],
        "category": "Comparison",
        "label": "Differences by group",
        "needs": {"models": 2, "groups": 1},
    }
}

MOST_PAIRS = 6  # panels; of more pairs, those with the best model
NUMBERS = 2.2  # mm, a line of small print
ANOTHER = "*"
"""What marks a group in which the difference is another than elsewhere."""


@style.styled
def differences_by_group(differences: pd.DataFrame) -> Figure:
    """Draw the mean difference in Dice of two models per organ and group: a panel per pair, a colour per group.

    A diamond is the mean difference on the group's patients with its 95 % interval; an interval that goes on beyond the
    axis is cut there. A star at the right marks a group in which the difference is another than in all other groups
    (corrected p of the interaction < 0.05). With a single pair the numbers stand beside it, if there is room.

    Args:
        differences: a row per metric, organ, pair and group: n, mean_difference, ci_low, ci_high and p_holm; see
            `group_differences.group_differences`.

    Returns:
        A figure of a journal's double column; with a single model, a note that there is nothing to compare.
    """
    differences = differences[differences["metric"] == "dice"]
    organs, groups = style.organ_order(differences), list(differences["group"].unique())
    pairs = shown_pairs(differences)
    if not pairs:
        return style.note("One model: nothing to compare")
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    row_mm = min(2.6 * len(groups) + 2.5, ((style.PAGE / style.MM - 15) / rows - 14) / len(organs))
    colours = palette(groups, GROUP_COLOURS)
    height = rows * (row_mm * len(organs) + 14) + 18  # mm
    figure, grid = style.grid_of(len(pairs), columns, height, sharex=True, sharey=True)
    reach = axis_reach(differences)
    numbers = len(pairs) == 1 and 0.8 * row_mm / len(groups) > NUMBERS
    room = (style.COLUMN / style.MM - 45) / columns / 2  # mm, half a panel
    for (model_a, model_b), axes in zip(pairs, grid.flat, strict=False):
        own = differences[(differences["model_a"] == model_a) & (differences["model_b"] == model_b)]
        _pair(axes, own.set_index(["organ", "group"]), organs, colours, numbers)
        style.difference_axis(axes, (model_a, model_b), reach, room)
    figure.supxlabel("Mean difference in Dice coefficient, 95 % CI, on the patients of a group")
    style.legend(figure, _keys(colours, differences))
    return figure


def shown_pairs(differences: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs that are drawn: all, or of many those with the model that is ahead over all organs."""
    pairs = list(dict.fromkeys(zip(differences["model_a"], differences["model_b"], strict=True)))
    if len(pairs) <= MOST_PAIRS:
        return pairs
    overall = differences[differences["organ"] == ALL].dropna(subset="mean_difference")
    leads = zip(overall["model_a"], overall["model_b"], overall["n"] * overall["mean_difference"], strict=True)
    return style.pairs_of_best(pairs, leads)


def axis_reach(differences: pd.DataFrame) -> float:
    """Half the axis: it holds all means and most intervals, as those of two or three patients may be very wide."""
    ends = differences[["ci_low", "ci_high"]].abs().max(axis=1).dropna()
    usual = ends.quantile(0.9, interpolation="lower") if len(ends) else 0.0
    return 1.08 * float(np.nanmax([differences["mean_difference"].abs().max(), usual, 0.01]))


def _pair(axes: Axes, rows: pd.DataFrame, organs: Sequence[str], colours: dict[str, str], numbers: bool) -> None:
    """Draw a pair's panel: a row per organ, and in it a lane per group."""
    style.organ_rows(axes, organs)
    lane = 0.8 / len(colours)
    for i, organ in enumerate(organs):
        for j, (group, colour) in enumerate(colours.items()):
            row, y = rows.loc[(organ, group)], i + (j - (len(colours) - 1) / 2) * lane
            axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.1, zorder=3)
            axes.plot(row["mean_difference"], y, "D", color=colour, markersize=3, markeredgewidth=0, zorder=4)
            star = (ANOTHER if row["p_holm"] < ALPHA else "", 5, "center")
            text = style.estimate(row["mean_difference"], row["ci_low"], row["ci_high"], "+.3f")
            style.beside(axes, y, star, *([(text, 12, "left"), (f"{row['n']:.0f}", 108, "right")] if numbers else []))
    if numbers:
        style.beside(axes, -0.65, ("mean [95 % CI]", 12, "left"), ("n", 108, "right"))


def _keys(colours: dict[str, str], differences: pd.DataFrame) -> list[Any]:
    """The groups' colours, and what a star means where there is one."""
    handles = style.model_points(colours)
    if (differences["p_holm"] < ALPHA).any():
        label = f"{ANOTHER} another difference than in the other groups (p < {ALPHA:g}, Holm)"
        handles.append(style.key(label, linestyle=""))
    return handles
