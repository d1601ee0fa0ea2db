"""What data a study has: how it was scanned, how large and how dense the organs are, and who is in which split."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from organbench.analysis.cohort import scan_spacing
from organbench.data.splits import natural
from organbench.reporting.figures import style

FIGURES = {"dataset": {"tables": ["cases", "split"], "settings": ["organs"], "category": "Data", "label": "Data set"}}

ROLES = {"train": "0.72", "validation": "#999933", "test": "#332288"}
"""The colour of each role in the split: of Paul Tol's muted scheme, so that none is a model's."""

CHANGING = "0.35"  # of a case whose role changes from fold to fold
NAMED = 40  # more cases have no names below the split


@style.styled
def dataset(cases: pd.DataFrame, split: pd.DataFrame, organs: Sequence[str]) -> Figure:
    """Draw the spacing of every scan, the volume and the HU of every organ, and the role of every case in each fold.

    A point is a case, in the colour of its role, or in grey where that changes from fold to fold. HU are the median of
    the organ's voxels in each case, with a line from the 0.5 to the 99.5 percentile (medians over cases). Beside the
    volumes stands in how many cases the organ is, and where it was not annotated in all, of how many.

    Args:
        cases: rows of cases.csv: case, orientation, spacing_x, spacing_y, spacing_z (mm), and for each organ <organ>_ml
            (0: absent, NaN: not annotated), <organ>_hu, <organ>_hu_low and <organ>_hu_high (NaN: absent).
        split: rows of split.csv: case, fold, role; cases that are not in the other table were excluded.
        organs: the organs' names, in their order.

    Returns:
        A figure of a journal's double column.
    """
    split = split[split["case"].isin(cases["case"])]
    folds = split.pivot(index="case", columns="fold", values="role")
    constant = folds.nunique(axis=1) == 1
    role = folds.iloc[:, 0].where(constant & folds.notna().all(axis=1), "changing")
    colours = cases["case"].map(role).map({**ROLES, "changing": CHANGING}).fillna(CHANGING)
    rows_mm = min(max(40, 5.5 * len(organs)), style.PAGE / style.MM - 36 - min(30, 4 * folds.shape[1]))
    roles_mm = max(4, min(30, 4 * folds.shape[1]))
    figure = Figure(figsize=(style.COLUMN, (rows_mm + roles_mm + 34) * style.MM), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[rows_mm + 14, roles_mm + 20])
    left, middle, right = parts[0].subplots(1, 3, width_ratios=[1, 1.1, 1.1])
    _spacing(left, scan_spacing(cases), colours)
    if rows_mm > 60:
        left.set_box_aspect(1.2)
        left.set_anchor("N")
    _volumes(middle, cases, colours, organs)
    _hu(right, cases, colours, organs)
    _roles(parts[1].subplots(), folds)
    handles: list[Any] = [style.area(name, facecolor=colour) for name, colour in ROLES.items()]
    if (role == "changing").any():
        look = {"marker": "o", "linestyle": "", "markersize": 3, "markeredgewidth": 0}
        handles.append(style.key("case with another role in each fold", color=CHANGING, **look))
    handles.append(style.key("99 % of an organ's voxels (median case)", color="0.3", linewidth=0.9))
    style.legend(figure, handles)
    return figure


def _spacing(axes: Axes, spacing: pd.DataFrame, colours: pd.Series) -> None:
    axes.scatter(spacing["in_plane_mm"], spacing["slice_mm"], s=6, c=list(colours), alpha=0.7, linewidth=0)
    for which, column in (("x", "in_plane_mm"), ("y", "slice_mm")):
        low, high = spacing[column].min(), spacing[column].max()
        margin = max(0.08 * (high - low), 0.1 * high)
        axes.set(**{f"{which}lim": (max(0, low - margin), high + margin)})
    axes.locator_params(nbins=5)
    axes.set(xlabel="Pixels in plane (mm)", ylabel="Spacing of the slices (mm)", title="Scans")


def _volumes(axes: Axes, cases: pd.DataFrame, colours: pd.Series, organs: Sequence[str]) -> None:
    style.organ_rows(axes, organs)
    volumes = cases[[f"{organ}_ml" for organ in organs]]
    present, annotated = volumes.where(volumes > 0), volumes.count()
    partly = (annotated < len(cases)).any()
    head, place = ("n / annotated", 36) if partly else ("n", 14)
    if present.notna().any(axis=None):
        style.log_x(axes, *style.padded(present.to_numpy()))
    for i, column in enumerate(present):
        chosen = present[column].notna()
        values = present.loc[chosen, column].to_numpy()
        places = i + 0.3 * style.spread(np.log(values))
        axes.scatter(values, places, s=4, c=list(colours[chosen]), alpha=0.7, linewidth=0, zorder=3)
        style.beside(axes, i, (f"{len(values)} / {annotated[column]}" if partly else f"{len(values)}", place, "right"))
    style.beside(axes, -0.7, (head, place, "right"))
    axes.set(xlabel="Volume (ml)", title="Organs: volume")


def _hu(axes: Axes, cases: pd.DataFrame, colours: pd.Series, organs: Sequence[str]) -> None:
    style.organ_rows(axes, organs)
    axes.set_yticks([])
    for i, organ in enumerate(organs):
        chosen = cases[f"{organ}_hu"].notna()
        values = cases.loc[chosen, f"{organ}_hu"].to_numpy(float)
        places = i - 0.06 + 0.26 * style.spread(values)
        axes.scatter(values, places, s=4, c=list(colours[chosen]), alpha=0.7, linewidth=0, zorder=3)
        low, high = (cases[f"{organ}_hu_{end}"].median() for end in ("low", "high"))
        axes.plot([low, high], [i + 0.34] * 2, color="0.3", linewidth=0.9, solid_capstyle="butt", zorder=2)
    axes.locator_params("x", nbins=6)
    axes.xaxis.set_major_formatter(style.short)
    axes.set(xlabel="Median of each case (HU)", title="Organs: HU")


def _roles(axes: Axes, folds: pd.DataFrame) -> None:
    """Draw a column per case and a row per fold, the cases in the order in which they are tested."""
    codes = folds.apply(lambda fold: fold.map(list(ROLES).index, na_action="ignore")).astype(float)
    tested = (folds == "test").to_numpy()
    first = np.where(tested.any(axis=1), tested.argmax(axis=1), tested.shape[1])
    order = sorted(range(len(folds)), key=lambda i: (first[i], -codes.iloc[i].max(), natural(folds.index[i])))
    names = [str(folds.index[i]) for i in order] if len(folds) <= NAMED else []
    colours = ListedColormap(list(ROLES.values()))
    look: dict[str, Any] = {"cmap": colours, "vmin": -0.5, "vmax": len(ROLES) - 0.5, "linewidth": 0.4, "cbar": False}
    numbers = [f"fold {fold}" for fold in folds.columns]
    sns.heatmap(codes.iloc[order].T, ax=axes, xticklabels=names, yticklabels=numbers, **look)
    turned = max(map(len, names), default=0) * len(names) > 115  # mm
    axes.tick_params("x", length=0, rotation=90 * turned, labelsize=style.SMALL)
    axes.tick_params("y", length=0, rotation=0)
    axes.set(xlabel=f"Cases ({len(folds)})", ylabel="", title="Who is in which part of the split")
