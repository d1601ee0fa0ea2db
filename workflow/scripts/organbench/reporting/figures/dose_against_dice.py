"""What a Dice coefficient means for the dose."""

import pandas as pd
from matplotlib.figure import Figure

from organbench.analysis.statistics import case_values, without_signs
from organbench.evaluation.registry import METRICS
from organbench.reporting.colours import palette
from organbench.reporting.figures import style
from organbench.reporting.figures.volumes import rolling_median

FIGURES = {
    "dose_against_dice": {
        "tables": ["per_case"],
        "category": "Accuracy",
        "label": "Difference in mean dose against Dice",
        "needs": {"doses": 1},
    }
}

METRIC = "dmean_error"
LEAST_GY = 0.05  # smaller differences are drawn at the lower end of the logarithmic axis


@style.styled
def dose_against_dice(per_case: pd.DataFrame) -> Figure:
    """Draw the size of the difference in mean dose against Dice, a panel per organ, all with the same axes.

    A point is a case (mean over its seeds), a line the rolling median over a fifth of a model's cases. Cases in which
    one of the two contours is empty, or the dose does not cover the organ, are left out.

    Args:
        per_case: see `statistics.case_values`; needs the columns dice and dmean_error.

    Returns:
        A figure of a journal's double column.
    """
    cases = case_values(without_signs(per_case)).dropna(subset=["dice", METRIC])
    cases = cases.assign(gray=cases[METRIC].clip(lower=LEAST_GY))
    organs, colours = list(per_case["organ"].unique()), palette(list(per_case["model"].unique()))
    handles = style.model_points(colours)
    lines = style.key("rolling median", color="0.3", linewidth=1)
    figure, panels, _ = style.organ_panels(organs, [*handles, lines], sharey=True)
    shown = cases[cases["organ"].isin(organs)]
    low, high = (shown["dice"].min(), shown["dice"].max()) if len(shown) else (0.0, 1.0)
    room = 0.04 * max(high - low, 0.1)
    with_lines = False
    for _, axes, chosen in style.filled(panels, cases, "no case has a dose"):
        axes.set_xlim(low - room, high + room)
        style.points(axes, chosen, "dice", "gray", "model", colours, size=5)
        for model, colour in colours.items():
            line = rolling_median(chosen[chosen["model"] == model], "dice", "gray")
            with_lines |= len(line) > 0
            axes.plot(line.index, line, color=colour, linewidth=1, zorder=4)
        axes.grid(axis="y")
    style.log_y(next(iter(panels.values())), LEAST_GY / 1.15, 1.3 * max(shown["gray"].max() if len(shown) else 1, 1.0))
    figure.supxlabel(METRICS["dice"].axis)
    figure.supylabel("Size of the difference in mean dose (Gy)")
    style.legend(figure, [*handles, lines] if with_lines else handles)
    return figure
