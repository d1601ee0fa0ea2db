"""How predicted volumes agree with the references, and where cases fail."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from organbench.analysis.cohort import case_volumes, scan_spacing
from organbench.analysis.statistics import case_values
from organbench.reporting.colours import palette
from organbench.reporting.figures import style

FIGURES = {
    "volume_agreement": {
        "tables": ["per_case", "volume_agreement"],
        "category": "Accuracy",
        "label": "Volume agreement",
    },
    "dice_by_volume": {"tables": ["per_case"], "category": "Where cases fail", "label": "Dice against organ volume"},
    "dice_by_spacing": {
        "tables": ["per_case", "cases"],
        "category": "Where cases fail",
        "label": "Dice against slice spacing",
    },
}

LEAST_CASES = 10  # fewer have no rolling median


@style.styled
def volume_agreement(per_case: pd.DataFrame, agreement: pd.DataFrame) -> Figure:
    """Draw predicted minus reference volume against the mean of both, a panel per organ (Bland and Altman 1986).

    A point is a case (mean over its seeds). At the right of a panel each model has its limits of agreement as a bar and
    its bias as a diamond. Cases in which one of the two volumes is empty are left out.

    Args:
        per_case: see `cohort.case_volumes`.
        agreement: what `cohort.volume_agreement` makes of it.

    Returns:
        A figure of a journal's double column.
    """
    volumes = case_volumes(per_case).dropna(subset="difference_percent")
    models, organs = list(per_case["model"].unique()), list(per_case["organ"].unique())
    colours = palette(models)
    limits = agreement.set_index(["model", "organ"]).reindex(pd.MultiIndex.from_product([models, organs]))
    bias = style.key("bias, 95 % limits of agreement", color="0.3", marker="D", markersize=2.5, linewidth=0.9)
    handles = [*style.model_points(colours), bias]
    figure, panels, ticks = style.organ_panels(organs, handles)
    for organ, axes, chosen in style.filled(panels, volumes, "no case has both"):
        style.log_x(axes, *style.padded(chosen["mean_ml"]), most=ticks)
        axes.axhline(0, color="0.3", linewidth=0.6, zorder=1)
        style.points(axes, chosen, "mean_ml", "difference_percent", "model", colours, size=5)
        for k, model in enumerate(models):
            row = limits.loc[(model, organ)]
            place = 1.04 + 0.035 * k
            look: dict[str, Any] = {"color": colours[model], "clip_on": False, "transform": axes.get_yaxis_transform()}
            axes.plot([place] * 2, [row["lower_percent"], row["upper_percent"]], linewidth=0.9, **look)
            axes.plot(place, row["bias_percent"], "D", markersize=2.5, markeredgewidth=0, **look)
        axes.locator_params("y", nbins=6)
        axes.yaxis.set_major_formatter(style.short)
    figure.supxlabel("Mean of predicted and reference volume (ml)")
    label = "Predicted minus reference volume (% of their mean)"
    figure.supylabel(style.wrap(label, figure.get_figheight() / style.MM - 5))
    style.legend(figure, handles)
    return figure


def dice_by_volume(per_case: pd.DataFrame) -> Figure:
    """Draw the Dice of every case against the organ's reference volume, a panel per organ.

    A point is a case (mean over its seeds), a line the rolling median over a fifth of a model's cases. Cases that do
    not have the organ are left out.

    Args:
        per_case: see `statistics.case_values`; needs the columns dice and reference_ml.

    Returns:
        A figure of a journal's double column.
    """
    volumes = case_volumes(per_case)[["model", "organ", "case", "reference_ml"]]
    cases = case_values(per_case)[["model", "organ", "case", "dice"]].merge(volumes)
    cases = cases[cases["reference_ml"] > 0].dropna(subset="dice")
    organs = list(per_case["organ"].unique())
    return _dice_against(cases, "reference_ml", "Reference volume (ml)", organs, per_case["model"].unique())


def dice_by_spacing(per_case: pd.DataFrame, scans: pd.DataFrame) -> Figure:
    """Draw the Dice of every case against the spacing of its slices, a panel per organ; see `dice_by_volume`.

    Args:
        per_case: see `statistics.case_values`; needs the column dice.
        scans: rows of cases.csv, see `cohort.scan_spacing`.

    Returns:
        A figure of a journal's double column.
    """
    cases = case_values(per_case)[["model", "organ", "case", "dice"]].merge(scan_spacing(scans)).dropna(subset="dice")
    organs = style.organ_order(per_case)
    return _dice_against(cases, "slice_mm", "Spacing of the slices (mm)", organs, per_case["model"].unique())


@style.styled
def _dice_against(cases: pd.DataFrame, x: str, label: str, organs: list[str], models: Any) -> Figure:
    colours = palette(models)
    handles = style.model_points(colours)
    medians = False
    lines = style.key("rolling median", color="0.3", linewidth=1)
    figure, panels, ticks = style.organ_panels(organs, [*handles, lines], sharey=True)
    for _, axes, chosen in style.filled(panels, cases, "no case"):
        style.log_x(axes, *style.padded(chosen[x]), most=ticks)
        style.points(axes, chosen, x, "dice", "model", colours, size=5)
        for model, colour in colours.items():
            line = rolling_median(chosen[chosen["model"] == model], x, "dice")
            medians |= len(line) > 0
            axes.plot(line.index, line, color=colour, linewidth=1, zorder=4)
        axes.grid(axis="y")
    lowest = min(cases["dice"].min(), 0.9) if len(cases) else 0
    next(iter(panels.values())).set_ylim(np.floor(lowest * 10) / 10 - 0.015, 1.005)
    figure.supxlabel(label)
    figure.supylabel("Dice coefficient (0 to 1)")
    style.legend(figure, [*handles, lines] if medians else handles)
    return figure


def rolling_median(cases: pd.DataFrame, x: str, y: str) -> pd.Series:
    """The median of `y` over the nearest fifth of the cases along `x`; empty for fewer than `LEAST_CASES`.

    Args:
        cases: a row per case.
        x: column of what the cases are ordered by; equal ones share a median.
        y: column of what is smoothed.

    Returns:
        Medians by x, ascending.
    """
    cases = cases.sort_values(x, kind="stable")
    if len(cases) < LEAST_CASES or cases[x].nunique() < 2:
        return pd.Series(dtype=float)
    window = max(5, len(cases) // 5)
    smooth = cases[y].rolling(window, min_periods=window // 2 + 1, center=True).median()
    return smooth.groupby(cases[x]).median().dropna()
