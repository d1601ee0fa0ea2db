"""A metric of every case, by organ and network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from organbench.analysis.statistics import case_values
from organbench.evaluation.registry import METRICS, Metric
from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "{metric}_by_organ": {
        "tables": ["per_case", "summary"],
        "settings": ["observers"],
        "category": "Accuracy",
        "label": "{metric} by organ",
    }
}

DECADES = 30  # a distance that varies more than this is drawn on a logarithmic axis


@style.styled
def metric_by_organ(
    per_case: pd.DataFrame, summary: pd.DataFrame, metric: str = "dice", observers: Sequence[str] = ()
) -> Figure:
    """Draw a metric of every case, a row per organ and a colour per model, with boxes, means and intervals.

    Boxes show quartiles and medians, whiskers reach to 1.5 times the interquartile range, a point is a case (mean over
    its seeds), a diamond is the mean with its 95 % interval; the numbers at the right repeat it, with the number of
    cases, how many have no value, and the mean's standard deviation over training seeds. Where rows are too narrow for
    numbers there are none, where they are too narrow for points the organs stand in two columns. Distances that vary by
    more than `DECADES` are on a logarithmic axis, on which 0 lies at the left end. Of a difference that has a sign the
    mean of its size stands at the right, too. What another human reaches is a line through the organ's row, with a band
    for its interval: what a network has to reach.

    Args:
        per_case: see `statistics.case_values`; needs the metric's column.
        summary: what `statistics.summarise` makes of it.
        metric: one of `registry.METRICS`.
        observers: the models that are another human.

    Returns:
        A figure of a journal's double column.
    """
    cases = case_values(per_case)
    models, organs = list(per_case["model"].unique()), style.organ_order(per_case)
    colours = palette(models)
    label = METRICS[metric].axis
    means = summary[summary["metric"] == metric].set_index(["model", "organ"])
    row_mm = min(max(7, 2.9 * len(models) + 2.5), 210 / len(organs))
    columns = 2 if 0.86 * row_mm / len(models) < 1.2 else 1
    rows = -(-len(organs) // columns)
    row_mm = min(max(7, 2.9 * len(models) + 2.5), 210 / rows)
    numbers = columns == 1 and 0.86 * row_mm / len(models) > 2.1  # mm, a line of small print
    figure, grid = style.grid_of(columns, columns, row_mm * rows + 24, sharex=True)
    low, high, logarithmic = _limits(cases[metric], means, METRICS[metric])
    cases = cases.assign(**{metric: cases[metric].clip(lower=low if logarithmic else None)})
    beside = _columns(means, METRICS[metric])
    for k, axes in enumerate(grid.flat):
        if METRICS[metric].is_signed:
            axes.axvline(0, color="0.3", linewidth=0.6, zorder=1)
        if logarithmic:
            style.log_x(axes, low, high)
        _rows(axes, cases, means, metric, organs[k * rows : (k + 1) * rows], colours, numbers)
        _references(axes, means, organs[k * rows : (k + 1) * rows], {name: colours[name] for name in observers})
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_xlim(low, high)
        if columns == 1:
            axes.set_xlabel(label)
        if numbers:
            heads = [(head, 102 + 32 * k, "right") for k, (head, _) in enumerate(beside.values())]
            style.beside(axes, -0.65, ("mean [95 % CI]", 5, "left"), *heads)
    if columns > 1:
        figure.supxlabel(label)
    handles: list[Any] = [style.area(model, facecolor=colours[model]) for model in models]
    handles.append(style.key("mean, 95 % CI", marker="D", color="black", markersize=2.5, linewidth=0.9))
    handles += [style.key(f"what {name} reaches", color=colours[name]) for name in observers]
    style.legend(figure, handles)
    return figure


def _rows(
    axes: Axes,
    cases: pd.DataFrame,
    means: pd.DataFrame,
    metric: str,
    organs: list[str],
    colours: dict[str, str],
    numbers: bool,
) -> None:
    """Draw the rows of some organs: a lane per model."""
    style.organ_rows(axes, organs)
    form = f".{METRICS[metric].decimals}f"
    lane = 0.86 / len(colours)  # height of one model's share of an organ's row
    shown = []
    for i, organ in enumerate(organs):
        for j, model in enumerate(colours):
            centre = i + (j - (len(colours) - 1) / 2) * lane
            chosen = cases[(cases["model"] == model) & (cases["organ"] == organ)].dropna(subset=metric)
            places = centre + 0.24 * lane + 0.2 * lane * style.spread(chosen[metric].to_numpy())
            shown.append(chosen.assign(box=centre - 0.2 * lane, spread=places))
            row = means.loc[(model, organ)]
            style.mean_bar(axes, row["mean"], row["ci_low"], row["ci_high"], centre - 0.2 * lane)
            if numbers:
                text = style.estimate(row["mean"], row["ci_low"], row["ci_high"], form)
                style.beside(axes, centre, (text, 5, "left"))
                for k, (column, (_, digits)) in enumerate(_columns(means, METRICS[metric]).items()):
                    value = "" if np.isnan(row[column]) else f"{row[column]:{digits}}"
                    style.beside(axes, centre, (value, 102 + 32 * k, "right"))
    drawn = pd.concat(shown)
    style.boxes(axes, drawn, metric, "box", 0.38 * lane, colours)
    style.points(axes, drawn, metric, "spread", "model", colours)


def _references(axes: Axes, means: pd.DataFrame, organs: list[str], observers: Mapping[str, str]) -> None:
    """Draw what another human reaches, in its colour: a line through the organ's row, a band for its interval."""
    for name, colour in observers.items():
        for i, organ in enumerate(organs):
            row, ends = means.loc[(name, organ)], [i - 0.46, i + 0.46]
            axes.fill_betweenx(ends, row["ci_low"], row["ci_high"], color=colour, alpha=0.18, linewidth=0, zorder=0.6)
            axes.plot([row["mean"]] * 2, ends, color=colour, linewidth=1.1, zorder=3.8)


def _columns(means: pd.DataFrame, metric: Metric) -> dict[str, tuple[str, str]]:
    """The columns of the summary beside the means, their heads and formats: those that say something."""
    form = f".{metric.decimals}f"
    heads = {"n": ("n", ".0f"), "missing": ("missing", ".0f"), "seed_std": ("seed SD", form)}
    heads |= {"mean_absolute": ("size", form)} if metric.is_signed else {}
    return {column: head for column, head in heads.items() if column == "n" or (means[column] > 0).any()}


def _limits(values: pd.Series, means: pd.DataFrame, metric: Metric) -> tuple[float, float, bool]:
    """The axis that holds all values and intervals, and whether it is logarithmic."""
    if metric.best:
        lowest = np.nanmin([values.min(), means["ci_low"].min(), 0.9])
        return np.floor(lowest * 10) / 10 - 0.015, 1.005, False
    if metric.is_signed:
        ends = [values.min(), values.max(), means["ci_low"].min(), means["ci_high"].max(), -1.0, 1.0]
        low, high = np.nanmin(ends), np.nanmax(ends)
        return low - 0.03 * (high - low), high + 0.03 * (high - low), False
    highest = np.nanmax([values.max(), means["ci_high"].max(), 1.0])
    positive = values[values > 0]
    if len(positive) and highest > DECADES * positive.min():
        return 0.8 * min(positive.min(), highest / 10), 1.15 * highest, True
    return -0.015 * highest, 1.03 * highest, False
