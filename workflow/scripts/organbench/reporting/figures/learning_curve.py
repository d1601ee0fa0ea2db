"""Would more patients help?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "learning_curve": {
        "tables": ["learning_curve"],
        "settings": ["models"],
        "category": "Data",
        "label": "Dice against training patients",
        "needs": {"requests": 1},
    }
}


@style.styled
def learning_curve(table: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw the Dice against the number of patients that were trained on, a panel per organ, with intervals.

    Args:
        table: what `learning_curve.table` returned.
        models: all of the study's models, so that each has its colour of the other figures.

    Returns:
        A figure of a journal's double column.
    """
    colours = {model: colour for model, colour in palette(models).items() if (table["model"] == model).any()}
    shift = 0.012 * np.ptp(table["patients"])  # or intervals would hide one another
    handles = style.model_points(colours)
    figure, panels, _ = style.organ_panels(style.organ_order(table), handles, sharey=True)
    for _, axes, chosen in style.filled(panels, table.dropna(subset="dice"), "no case"):
        for k, (model, colour) in enumerate(colours.items()):
            own = chosen[chosen["model"] == model]
            places = own["patients"] + (k - (len(colours) - 1) / 2) * shift
            ends = np.nan_to_num([own["dice"] - own["ci_low"], own["ci_high"] - own["dice"]]).clip(min=0)
            axes.errorbar(places, own["dice"], ends, color=colour, fmt="o-", markersize=3, elinewidth=0.8)
        axes.set_xlim(left=0)
        axes.set_xticks(np.unique(chosen["patients"]), [f"{count:g}" for count in np.unique(chosen["patients"])])
        axes.grid(axis="y")
    lowest = np.nanmin([table["ci_low"].min(), table["dice"].min(), 0.9])
    next(iter(panels.values())).set_ylim(lowest - 0.05 * (1 - lowest), 1.005)
    figure.supxlabel("Training patients")
    figure.supylabel("Dice coefficient (0 to 1), mean and 95 % interval over test patients")
    style.legend(figure, handles)
    return figure
