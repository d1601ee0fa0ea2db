"""What the candidates of tuning reached, and which one each network took."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "tuning": {
        "tables": ["tuning", "tuning_curves"],
        "settings": ["tuned", "models"],
        "category": "Cost",
        "label": "Tuning",
        "needs": {"candidates": 1},
    }
}

ROW = 4.5  # mm, a candidate at least
NAMES = 60  # mm for the candidates' settings at most
POINT: dict[str, Any] = {"marker": "o", "markersize": 4, "markeredgewidth": 0.8}
CROSS: dict[str, Any] = {"marker": "x", "markersize": 3.5, "markeredgewidth": 0.8}


@style.styled
def tuning(
    table: pd.DataFrame, curves: pd.DataFrame, keys: Sequence[str], models: Sequence[str] | None = None
) -> Figure:
    """Draw what every candidate reached on the validation cases, and how it got there.

    Args:
        table: tables/tuning.csv: model, fold, candidate (a number), a column per setting, dice, chosen and failed.
        curves: tables/tuning_curves.csv: model, fold, candidate, step and dice.
        keys: the settings that were tuned.
        models: all of the study's models, so that each has its colour of the other figures.

    Returns:
        A figure of a journal's double column. Left a row per candidate, with a point per network and fold, filled where
        it was chosen; right the validation Dice over steps, a line per candidate, network and fold, strong where
        chosen.
    """
    drawn = list(table["model"].unique())
    colours = palette(drawn if models is None else models)
    names = _names(table, keys)
    handles = _handles({model: colours[model] for model in drawn}, failed=bool(table["failed"].any()))
    lines = max(1 + name.count("\n") for name in names)  # all rows are as high as the highest
    row = max(ROW, style.LINE * lines + 1, min(1.4 * len(drawn), 150 / len(names)))
    height = max(row * len(names) + 18, 60) + style.LINE * 1.6 * style.legend_rows(handles)
    figure = Figure(figsize=(style.COLUMN, min(height * style.MM, style.PAGE)), layout="constrained")
    left, right = figure.subplots(1, 2)
    style.organ_rows(left, names)
    for place, model in enumerate(drawn):
        offset = 0.7 * ((place + 0.5) / len(drawn) - 0.5)
        _scores(left, table[table["model"] == model], offset, colours[model])
    _curves(right, curves.merge(table[["model", "fold", "candidate", "chosen"]]), colours)
    left.set(title="Candidates, by the score they are chosen by", xlabel="Validation Dice, mean over organs")
    right.set(title="Validation Dice of every candidate", xlabel="Training step", ylabel="Validation Dice")
    left.set_xlim(_limits(table["dice"]))
    right.set_ylim(_limits(curves["dice"]))
    style.legend(figure, handles)
    return figure


def _names(table: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The settings of every candidate in words, in the order of their numbers."""
    rows = table.drop_duplicates("candidate").sort_values("candidate")
    settings = [
        ", ".join(f"{style.words(key)} {row[key] if isinstance(row[key], str) else f'{row[key]:.6g}'}" for key in keys)
        for row in rows.to_dict("records")
    ]
    return [style.wrap(text, NAMES) for text in settings]


def _limits(dice: pd.Series) -> tuple[float, float]:
    """An axis that holds the values and ends at 1 at most; all of 0 to 1 where there are none."""
    low, high = (float(dice.min()), float(dice.max())) if dice.notna().any() else (0.0, 1.0)
    margin = 0.05 * max(high - low, 0.1)
    return low - margin, min(high + margin, 1.0)


def _curves(axes: Axes, curves: pd.DataFrame, colours: dict[str, str]) -> None:
    """Draw the validation Dice of every training over its steps, the chosen ones on top."""
    for (model, _, _), line in curves.groupby(["model", "fold", "candidate"], sort=False):
        strong, weak = {"linewidth": 1.2, "zorder": 3}, {"linewidth": 0.6, "zorder": 2, "alpha": 0.45}
        look: dict[str, Any] = strong if line["chosen"].all() else weak
        axes.plot(line["step"], line["dice"], "-o", color=colours[model], markersize=2.5, markeredgewidth=0, **look)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(style.short)
    axes.grid()


def _scores(axes: Axes, table: pd.DataFrame, offset: float, colour: str) -> None:
    """Draw a network's points: filled where chosen, a cross at the edge where the training diverged."""
    look: dict[str, Any] = {"linestyle": "", "color": colour, "zorder": 3, "clip_on": False}
    table = table.assign(row=table["candidate"] - 1 + offset)
    for chosen, points in table[~table["failed"]].groupby("chosen"):
        axes.plot(points["dice"], points["row"], markerfacecolor=colour if chosen else "white", **POINT, **look)
    for row in table.loc[table["failed"], "row"]:
        axes.plot(0.01, row, transform=axes.get_yaxis_transform(), **CROSS, **look)


def _handles(colours: dict[str, str], *, failed: bool) -> list[Any]:
    """What the legend explains."""
    look = {"linestyle": "", "color": "0.4"}
    marks = [style.key("chosen in a fold", **POINT, **look)]
    marks.append(style.key("not chosen", markerfacecolor="white", **POINT, **look))
    if failed:
        marks.append(style.key("diverged", **CROSS, **look))
    return [*style.model_points(colours), *marks]
