"""How the networks differ on the same cases, pair by pair."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from organbench.analysis.statistics import ALL, case_differences
from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "paired_differences": {
        "tables": ["per_case", "comparison"],
        "category": "Comparison",
        "label": "Paired differences",
        "needs": {"models": 2},
    }
}

SIGNS = {"better": "+", "worse": "\N{MINUS SIGN}", "equivalent": "=", "undecided": "?"}
"""What stands for a verdict where there is no room for the word."""

WEIGHTS: dict[str, Any] = {"color": "0.65", "linewidth": 3.2, "solid_capstyle": "butt"}
HOLLOW: dict[str, Any] = {"marker": "D", "color": "black", "markersize": 3, "markerfacecolor": "white", "zorder": 5}
EQUIVALENT: dict[str, Any] = {"color": "#117733", "alpha": 0.16, "linewidth": 0}
LEAST_ROW = 2.6  # mm, of an organ


@style.styled
def paired_differences(per_case: pd.DataFrame, comparison: pd.DataFrame) -> Figure:
    """Draw by how much one model's Dice exceeds another's on the same case: a panel per pair, a row per organ.

    A point is a patient in the colour of the model that is better on it, a diamond the mean difference. The black line
    is its 95 % interval over patients and trainings, the grey bar that over patients alone: what is true of these very
    weights. With one training of each there is only the bar, and a hollow diamond. The margin of equivalence is shaded,
    and the verdict on the first model of the pair stands at the right of its row. Where a page does not hold all pairs,
    every model is compared with the one of the highest mean over organs. Single patients that would squeeze all others
    together lie at the edge, and the axis says how many.

    Args:
        per_case: see `statistics.case_values`; needs the column dice.
        comparison: a row per metric, organ and pair: n, mean_difference, ci_low, ci_high, margin, scope, verdict,
            verdict_weights, ci_weights_low and ci_weights_high; see `verdicts.compare`.

    Returns:
        A figure of a journal's double column; with a single model, a note that there is nothing to compare.
    """
    models, organs = list(per_case["model"].unique()), style.organ_order(per_case)
    colours = palette(models)
    means = comparison[comparison["metric"] == "dice"].set_index(["model_a", "model_b", "organ"]).sort_index()
    pairs = _pairs(models, len(organs), means)
    if not pairs:
        return style.note("One model: nothing to compare")
    differences = case_differences(per_case, "dice")
    drawn = differences.set_index(["model_a", "model_b"]).index.isin(pairs) & differences["organ"].isin(organs)
    differences = differences[drawn]
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    beside_mm = 45 if len(pairs) > 1 else 100  # what stands left and right of the panels
    room = (style.COLUMN / style.MM - beside_mm) / columns / 2  # mm, half a panel
    reach, outside = _reach(differences["difference"], means)
    height = rows * (5.5 * len(organs) + 20)  # mm
    figure, grid = style.grid_of(len(pairs), columns, height, sharex=True, sharey=True)
    for (model_a, model_b), axes in zip(pairs, grid.flat, strict=False):
        pair = differences[(differences["model_a"] == model_a) & (differences["model_b"] == model_b)]
        pair = pair.assign(
            better=np.select([pair["difference"] > 0, pair["difference"] < 0], [model_a, model_b], "neither"),
            difference=pair["difference"].clip(-reach, reach),
        )
        _pair(axes, pair, means.loc[(model_a, model_b)], organs, {**colours, "neither": "0.5"}, alone=len(pairs) == 1)
        if len(pairs) == 1:
            header = [("mean [95 % CI]", 5, "left"), ("n", 102, "right"), (f"{model_a} is", 110, "left")]
            style.beside(axes, -0.65, *header)
        style.difference_axis(axes, (model_a, model_b), 1.06 * reach, room, colours)
    label = "Difference in Dice coefficient on the same case"
    if outside:
        label += f" ({outside} of {len(differences)} lie beyond the axis and are drawn at its end)"
    figure.supxlabel(label)
    style.legend(figure, _keys(means, len(pairs) > 1))
    return figure


def _pairs(models: list[str], organs: int, means: pd.DataFrame) -> list[tuple[str, str]]:
    """All pairs where they fit on a page, else every model against the one with the highest mean over organs."""
    pairs = list(combinations(models, 2))
    rows = -(-len(pairs) // 3)
    if len(pairs) < 2 or (style.PAGE / style.MM / rows - 20) / organs >= LEAST_ROW:
        return pairs
    overall = means.xs(ALL, level="organ")["mean_difference"].fillna(0)
    return style.pairs_of_best(pairs, [(*pair, lead) for pair, lead in overall.items()])


def _pair(
    axes: Axes, pair: pd.DataFrame, means: pd.DataFrame, organs: list[str], colours: dict[str, str], *, alone: bool
) -> None:
    """Draw a pair's panel: a row per organ."""
    style.organ_rows(axes, organs)
    pair = pair.assign(spread=np.nan)
    for i, organ in enumerate(organs):
        chosen = pair["organ"] == organ
        pair.loc[chosen, "spread"] = i + 0.14 + 0.26 * style.spread(pair.loc[chosen, "difference"].to_numpy())
        row = means.loc[organ]
        if row["margin"] > 0:
            axes.fill_betweenx([i - 0.5, i + 0.5], -row["margin"], row["margin"], zorder=0.5, **EQUIVALENT)
        axes.plot([row["ci_weights_low"], row["ci_weights_high"]], [i - 0.28] * 2, zorder=3.5, **WEIGHTS)
        verdict, of_weights = row["verdict"], row["scope"] == "weights"  # of networks that were trained once
        if of_weights:
            axes.plot(row["mean_difference"], i - 0.28, **HOLLOW)
        else:
            style.mean_bar(axes, row["mean_difference"], row["ci_low"], row["ci_high"], i - 0.28)
        if of_weights and row["verdict_weights"] != "undecided":
            verdict += f" (weights {SIGNS[row['verdict_weights']] if not alone else row['verdict_weights']})"
        if alone:  # with more pairs there is no room beside a panel
            text = style.estimate(row["mean_difference"], row["ci_low"], row["ci_high"], "+.3f")
            style.beside(axes, i, (text, 5, "left"), (f"{row['n']:.0f}", 102, "right"), (verdict, 110, "left"))
        else:
            style.beside(axes, i, (SIGNS.get(verdict, ""), 5, "center"))
    style.points(axes, pair, "difference", "spread", "better", colours)


def _reach(differences: pd.Series, means: pd.DataFrame) -> tuple[float, int]:
    """Half the axis, and how many cases lie beyond it: all fit unless a few are far from all others."""
    sizes = differences.abs()
    needed = np.nanmax([means[["ci_low", "ci_high"]].abs().max().max(), 1.5 * means["margin"].max(), 0.01])
    largest = max(needed, sizes.max()) if len(sizes) else needed
    usual = max(needed, 1.2 * sizes.quantile(0.98)) if len(sizes) else needed
    if largest <= 2 * usual:
        return largest, 0
    return usual, int((sizes > usual).sum())


def _keys(means: pd.DataFrame, signs: bool) -> list[Any]:
    """What the legend explains: the mean, the margin, and the verdicts' signs where they stand for words."""
    scopes = set(means["scope"])
    handles: list[Any] = []
    if "networks" in scopes:
        label = "mean difference, 95 % CI over patients and trainings"
        handles.append(style.key(label, color="black", marker="D", markersize=2.5, linewidth=0.9))
    handles.append(style.key("95 % CI over patients alone: these weights", **WEIGHTS))
    if "weights" in scopes:
        handles.append(style.key("one training each: nothing said of networks", linestyle="", **HOLLOW))
    if means["margin"].max() > 0:
        margins = sorted(means["margin"].dropna().unique())
        handles.append(style.area(f"equivalent: within ±{', '.join(f'{m:g}' for m in margins)}", **EQUIVALENT))
    if signs:
        meaning = ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())
        handles.append(style.area(f"right model: {meaning}", facecolor="none"))
    return handles
