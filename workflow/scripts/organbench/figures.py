"""Every plot of a study, drawn from tables and arrays only: nothing here reads a file.

One style, one palette and one order of models and organs throughout. The points of a plot are rows of
`statistics.case_values` and `statistics.case_differences`, its means and intervals rows of summary.csv and
comparison.csv.
"""

import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from organbench.colours import organ_palette, palette
from organbench.errors import atomic
from organbench.statistics import ALL, case_differences, case_values

MM = 1 / 25.4  # inches
COLUMN, PAGE = 183 * MM, 240 * MM  # a journal's double column and the most that fits on its page

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure on every machine
    "font.size": 7,
    "figure.labelsize": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "svg.hashsalt": "organbench",  # the same element ids, so the same bytes, in every run
    "svg.fonttype": "path",
}
SMALL = 6  # pt, the numbers beside the plots
LETTER = 1.4  # mm, about the width of a letter of 7 pt

SOFT_TISSUE = (-160, 240)  # HU, the window of the CT in overlays
BODY = -300  # HU, between air and fat: what is denser is not cropped


@dataclass(frozen=True)
class Panel:
    """One slice of one case, to be drawn as a row of `overlays`.

    Attributes:
        title: what the row shows, for example the case and why it was picked.
        ct: CT slice in HU, axes y x, the first row drawn at the top.
        spacing: pixel spacing in mm, y x.
        reference: true organ indices, axes y x, 0 is background.
        predictions: each network's organ indices, axes y x, by its name; a network may be missing.
    """

    title: str
    ct: np.ndarray
    spacing: tuple[float, float]
    reference: np.ndarray
    predictions: dict[str, np.ndarray]


def organ_order(per_case: pd.DataFrame) -> list[str]:
    """List the organs in order of first appearance, then `all` where there is more than one."""
    organs = list(per_case["organ"].unique())
    return [*organs, ALL] if len(organs) > 1 else organs


def dice_by_organ(per_case: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw the Dice of every case, a row an organ and a colour a model, with boxes, means and intervals.

    Boxes show quartiles and medians, whiskers reach to 1.5 times the interquartile range, a point is a case (mean over
    its seeds), a diamond is the mean with its 95 % interval; the numbers at the right repeat it.

    Args:
        per_case: see `statistics.case_values`; needs the column dice.
        summary: what `statistics.summarise` makes of it.

    Returns:
        A figure of a journal's double column.
    """
    cases = case_values(per_case)
    models, organs = list(per_case["model"].unique()), organ_order(per_case)
    colours = palette(models)
    means = summary[summary["metric"] == "dice"].set_index(["model", "organ"])
    lane = 0.86 / len(models)  # height of one model's share of an organ's row
    row_mm = min(max(7, 2.9 * len(models) + 2.5), 210 / len(organs))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, min(PAGE, (row_mm * len(organs) + 24) * MM)), layout="constrained")
        axes = figure.subplots()
        _organ_rows(axes, organs)
        shown = []
        for i, organ in enumerate(organs):
            for j, model in enumerate(models):
                centre = i + (j - (len(models) - 1) / 2) * lane
                chosen = cases[(cases["model"] == model) & (cases["organ"] == organ)].dropna(subset="dice")
                spread = centre + 0.24 * lane + 0.2 * lane * _spread(chosen["dice"].to_numpy())
                shown.append(chosen.assign(box=centre - 0.2 * lane, spread=spread))
                row = means.loc[(model, organ)]
                _mean(axes, row["mean"], row["ci_low"], row["ci_high"], centre - 0.2 * lane)
                _numbers(axes, centre, row["mean"], row["ci_low"], row["ci_high"], row["n"], ".3f")
        points = pd.concat(shown)
        _boxes(axes, points, "dice", "box", 0.38 * lane, colours)
        _points(axes, points, "dice", "spread", "model", colours)
        lowest = np.nanmin([cases["dice"].min(), means["ci_low"].min(), 0.9])
        axes.set_xlim(np.floor(lowest * 10) / 10 - 0.015, 1.005)
        axes.set_xlabel("Dice coefficient (0 to 1)")
        _numbers_header(axes)
        handles: list[Any] = [Patch(facecolor=colours[model], label=model) for model in models]
        handles.append(Line2D([], [], marker="D", color="black", markersize=2.5, linewidth=0.9, label="mean, 95 % CI"))
        _legend(figure, handles, "outside upper center")
    return figure


def paired_differences(per_case: pd.DataFrame, comparison: pd.DataFrame) -> Figure:
    """Draw, organ by organ, by how much one model's Dice exceeds another's on the same case; a panel a pair of models.

    A point is a case in the colour of the model that is better on it, a diamond the mean difference with its 95 %
    interval.

    Args:
        per_case: see `statistics.case_values`; needs the column dice.
        comparison: what `verdicts.compare` makes of it.

    Returns:
        A figure of a journal's double column; with a single model, a note that there is nothing to compare.
    """
    models, organs = list(per_case["model"].unique()), organ_order(per_case)
    colours = palette(models)
    pairs = list(combinations(models, 2))
    differences = case_differences(per_case, "dice")
    means = comparison[comparison["metric"] == "dice"].set_index(["model_a", "model_b", "organ"])
    columns = max(1, min(3, len(pairs)))
    rows = max(1, -(-len(pairs) // columns))
    height = min(PAGE, rows * (5.5 * len(organs) + 20) * MM)
    reach = np.nanmax([differences["difference"].abs().max(), means[["ci_low", "ci_high"]].abs().max().max(), 0.01])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, height), layout="constrained")
        if not pairs:
            figure.text(0.5, 0.5, "One model: nothing to compare", ha="center", va="center")
            return figure
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(pairs) :]:
            axes.remove()
        for (model_a, model_b), axes in zip(pairs, grid.flat, strict=False):
            _organ_rows(axes, organs)
            axes.axvline(0, color="0.3", linewidth=0.6, zorder=1)
            pair = differences[(differences["model_a"] == model_a) & (differences["model_b"] == model_b)]
            better = np.select([pair["difference"] > 0, pair["difference"] < 0], [model_a, model_b], "neither")
            pair = pair.assign(better=better, spread=np.nan)
            for i, organ in enumerate(organs):
                chosen = pair["organ"] == organ
                pair.loc[chosen, "spread"] = i + 0.14 + 0.26 * _spread(pair.loc[chosen, "difference"].to_numpy())
                row = means.loc[(model_a, model_b, organ)]
                _mean(axes, row["mean_difference"], row["ci_low"], row["ci_high"], i - 0.28)
                if len(pairs) == 1:  # with more there is no room beside a panel
                    _numbers(axes, i, row["mean_difference"], row["ci_low"], row["ci_high"], row["n"], "+.3f")
            _points(axes, pair, "difference", "spread", "better", {**colours, "neither": "0.5"})
            if len(pairs) == 1:
                _numbers_header(axes)
            axes.set_xlim(-1.06 * reach, 1.06 * reach)
            axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
            axes.tick_params(labelbottom=True)
            for model, side, text in ((model_b, 0, "←\xa0{} better"), (model_a, 1, "{} better\xa0→")):
                axes.text(
                    *(side, 1.02, _wrap(text.format(model), 80 / columns)),
                    color=colours[model],
                    ha="right" if side else "left",
                    va="bottom",
                    transform=axes.transAxes,
                )
        figure.supxlabel("Difference in Dice coefficient on the same case")
    return figure


def learning_curves(history: pd.DataFrame, models: Sequence[str] | None = None) -> Figure:
    """Draw the training loss and the validation Dice of every model over the steps.

    A run's loss is smoothed by a centred rolling mean over 2 % of its rows, its validation Dice is the mean over
    organs. A line is the mean over a model's runs (folds and seeds), a band their range.

    Args:
        history: rows of all history.csv files: model, fold, seed, step, loss, and dice_<organ> (NaN at a step without
            validation).
        models: all of the study's models, so that each has its colour of the other figures; ensembles have no history.

    Returns:
        A figure of a journal's double column.
    """
    colours = palette(history["model"].unique() if models is None else models)
    organs = [column for column in history if column.startswith("dice_")]
    history = history.assign(dice=history[organs].mean(axis=1) if organs else np.nan)
    handles: list[Any] = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, 66 * MM), layout="constrained")
        left, right = figure.subplots(1, 2, sharex=True)
        runs = history.groupby(["model", "fold", "seed"], sort=False)
        history["loss"] = runs["loss"].transform(
            lambda loss: loss.rolling(max(1, len(loss) // 50), min_periods=1, center=True).mean()
        )
        drawn = np.sort(history["step"].unique())
        drawn = drawn[:: max(1, len(drawn) // 500)]  # a line needs no more points than the print has dots
        _lines(left, history[history["step"].isin(drawn)], "loss", colours)
        _lines(right, history.dropna(subset="dice"), "dice", colours, marker="o", markersize=3)
        counts = history.drop_duplicates(["model", "fold", "seed"]).groupby("model", sort=False).size()
        for model, count in counts.items():
            label = f"{model} ({count} run{'s' * (count > 1)})"
            handles.append(Line2D([], [], color=colours[model], label=label))
        if (history["loss"].dropna() > 0).all():
            left.set_yscale("log")
            left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            left.yaxis.set_major_formatter(FuncFormatter(_plain))
            left.yaxis.set_minor_formatter(NullFormatter())
        left.set(title="Training loss, rolling mean over 2 % of steps", ylabel="Loss")
        right.set(title="Validation Dice, mean over organs", ylabel="Dice coefficient (0 to 1)")
        if history["dice"].notna().any():
            right.set_ylim(top=1)
        else:
            right.set_ylim(0, 1)
            right.text(0.5, 0.5, "No validation cases", ha="center", va="center", transform=right.transAxes)
        for axes in (left, right):
            axes.set_xlabel("Training step")
            axes.set_xlim(left=0)
            axes.grid(color="0.9", linewidth=0.5)
            axes.set_axisbelow(True)
        if counts.max() > 1:
            handles.append(Patch(facecolor="0.8", label="range over runs"))
        _legend(figure, handles, "outside upper center")
    return figure


def telling_slice(labels: np.ndarray) -> int:
    """Choose the axial slice that shows the most of the organs, each measured by its own largest cross-section.

    Args:
        labels: organ indices, axes z y x, 0 is background.

    Returns:
        The slice's index along z; the middle one where there is no organ.
    """
    areas = np.array([np.bincount(plane.ravel(), minlength=256)[1:] for plane in labels])  # z, organs
    areas = areas[:, areas.any(axis=0)]
    return int((areas / areas.max(axis=0)).sum(axis=1).argmax()) if areas.size else len(labels) // 2


def overlays(panels: Sequence[Panel], organs: Sequence[str]) -> Figure:
    """Draw slices of CT with their true and predicted organs: a row a panel, a column for the truth and each network.

    Organs are tinted; over a prediction the truth's contour is drawn in white, so that what sticks out or is missing
    shows. The air around the patient is cropped.

    Args:
        panels: the slices, one or more.
        organs: the organs' names: index k in a slice is `organs[k - 1]`.

    Returns:
        A figure of a journal's double column.
    """
    panels = [_crop(panel) for panel in panels]
    models = list(dict.fromkeys(model for panel in panels for model in panel.predictions))
    colours = organ_palette(organs)
    columns = 1 + len(models)
    shapes = [np.multiply(panel.ct.shape, panel.spacing) for panel in panels]  # mm, y x
    tallness = sum(height / width for height, width in shapes)
    width = min((COLUMN - 6 * MM) / columns, (PAGE - (24 + len(panels)) * MM) / tallness)
    shown = sorted({int(k) for panel in panels for k in _labels_of(panel) if k > 0})
    handles: list[Any] = [Patch(facecolor=colours[organs[k - 1]], label=_words(organs[k - 1])) for k in shown]
    if models:
        handles.append(Line2D([], [], **_TRUTH, label="truth's contour"))
    titles = [_wrap(title, width / MM) for title in ("truth", *models)]
    lines = max(title.count("\n") for title in titles) + 1 + 1.4 * _legend_rows(handles)
    height = width * tallness + (3.1 * lines + 5 + len(panels)) * MM
    with mpl.rc_context(STYLE):
        tight = ConstrainedLayoutEngine(compress=True, w_pad=0.5 * MM, h_pad=0.5 * MM, wspace=0, hspace=0)
        figure = Figure(figsize=(COLUMN, height), layout=tight)
        grid = figure.subplots(len(panels), columns, squeeze=False, height_ratios=[h / w for h, w in shapes])
        for panel, row, (height_mm, width_mm) in zip(panels, grid, shapes, strict=True):
            row[0].set_ylabel(_wrap(panel.title, width * height_mm / width_mm / MM))
            _scale_bar(row[0], 50 / width_mm)
            for axes, model in zip(row, [None, *models], strict=True):
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                labels = panel.reference if model is None else panel.predictions.get(model)
                if labels is not None:
                    _overlay(axes, panel, labels, colours, organs)
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)
        if handles:
            _legend(figure, handles, "outside lower center")
    return figure


def save(figure: Figure, *paths: str | Path) -> None:
    """Write a figure to every path, in the format of its suffix: the same figure gives the same bytes.

    Folders are made as needed, and a file is whole or absent. PNG is written at 300 dpi, and so are the images in an
    SVG.
    """
    with mpl.rc_context(STYLE):
        for path in map(Path, paths):
            metadata = {"Date": None} if path.suffix == ".svg" else None
            with atomic(path) as temporary:
                figure.savefig(temporary, dpi=300, format=path.suffix[1:], metadata=metadata)


def _words(organ: str) -> str:
    return "all organs" if organ == ALL else organ.replace("_", " ")


def _plain(value: float, _position: int) -> str:
    return f"{value:g}"


def _wrap(text: str, width: float) -> str:
    """Break a text, also behind underscores, into lines of at most `width` mm."""
    letters = max(10, int(width / LETTER))
    lines = [textwrap.fill(line.replace("_", "_ "), letters).replace("_ ", "_") for line in text.splitlines()]
    return "\n".join(lines)


def _numbers(axes: Axes, y: float, mean: float, low: float, high: float, n: float, form: str) -> None:
    """Write a mean, its interval (none where it is NaN) and the number of cases beside the row at `y`."""
    text = "" if np.isnan(mean) else f"{mean:{form}}"
    if not np.isnan(low):
        text += f" [{low:{form}}, {high:{form}}]"
    _beside(axes, y, text.replace("-", "\N{MINUS SIGN}"), f"{n:.0f}")


def _numbers_header(axes: Axes) -> None:
    _beside(axes, axes.get_ylim()[1] - 0.15, "mean [95 % CI]", "n")


def _beside(axes: Axes, y: float, estimate: str, n: str) -> None:
    """Write two columns at the right of the plot."""
    for text, place, align in ((estimate, 5, "left"), (n, 102, "right")):
        axes.annotate(
            text,
            (1, y),
            xytext=(place, 0),  # pt
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            fontsize=SMALL,
            ha=align,
            va="center",
        )


def _legend(figure: Figure, handles: list[Any], loc: Any) -> None:  # matplotlib does not annotate places outside
    """Write a legend in as many columns as the figure is wide, its rows about equally full."""
    columns = -(-len(handles) // _legend_rows(handles))
    figure.legend(handles=handles, loc=loc, ncols=columns, columnspacing=1.5)


def _legend_rows(handles: Sequence[Any]) -> int:
    widths = [LETTER * len(handle.get_label()) + 9 for handle in handles]  # mm
    if sum(widths) <= COLUMN / MM:
        return 1
    return -(-len(handles) // max(1, int(COLUMN / MM / max(widths))))


def _organ_rows(axes: Axes, organs: Sequence[str]) -> None:
    """Prepare a row an organ, the first at the top, every other one shaded."""
    for i in range(0, len(organs), 2):
        axes.axhspan(i - 0.5, i + 0.5, color="0.955", linewidth=0, zorder=0)
    axes.set_ylim(len(organs) - 0.5, -0.5)
    axes.set_yticks(range(len(organs)), [_words(organ) for organ in organs])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _boxes(axes: Axes, data: pd.DataFrame, x: str, y: str, height: float, colours: dict[str, str]) -> None:
    """Draw a horizontal box for the values at each place along y, in the colour of its model."""
    if data.empty:
        return
    distance = np.diff(np.sort(data[y].unique())).min(initial=1.0)  # seaborn's unit of width
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "vert: bool was deprecated")  # seaborn 0.13.2 calls matplotlib so
        sns.boxplot(
            data,
            x=x,
            y=y,
            hue="model",
            hue_order=list(colours),
            palette=colours,
            fill=False,
            orient="h",
            native_scale=True,
            dodge=False,
            width=height / distance,
            showfliers=False,
            linewidth=0.6,
            medianprops={"linewidth": 1.2},
            legend=False,
            zorder=2,
            ax=axes,
        )


def _points(axes: Axes, data: pd.DataFrame, x: str, y: str, hue: str, colours: dict[str, str]) -> None:
    """Draw a point a row."""
    if data.empty:  # seaborn warns of a palette without data
        return
    style = {"s": 3.5, "alpha": 0.65, "linewidth": 0, "zorder": 3, "clip_on": False, "legend": False}
    sns.scatterplot(data, x=x, y=y, hue=hue, hue_order=list(colours), palette=colours, ax=axes, **style)
    axes.set(xlabel="", ylabel="")  # seaborn wrote the columns' names


def _spread(values: np.ndarray) -> np.ndarray:
    """Offset values that lie close together, between -1 and 1, without chance.

    The van der Corput sequence over the sorted values, as wide as they are dense (quasirandom points of R's
    ggbeeswarm).
    """
    if not len(values):
        return values
    order = np.argsort(values, kind="stable")
    places = np.empty(len(values))
    places[order] = [int(f"{rank:b}"[::-1], 2) / 2 ** len(f"{rank:b}") for rank in range(1, len(values) + 1)]
    width = max(np.ptp(values) / 20, 1e-9)
    density = (np.abs(values[:, None] - values[None, :]) < width).sum(axis=1) - 1
    return (2 * places - 1) * density / max(density.max(), 5)


def _mean(axes: Axes, mean: float, low: float, high: float, centre: float) -> None:
    """Draw a mean as a diamond and its interval as a bar; nothing where they are NaN."""
    axes.plot([low, high], [centre, centre], color="black", linewidth=0.9, zorder=4)
    axes.plot(mean, centre, "D", color="black", markersize=2.5, markeredgewidth=0, zorder=5)


def _lines(axes: Axes, data: pd.DataFrame, y: str, colours: dict[str, str], **marker: Any) -> None:
    """Draw the mean of each model's runs over the steps, and their range as a band."""
    if data.empty:
        return
    band = {"errorbar": ("pi", 100), "err_kws": {"alpha": 0.2, "linewidth": 0}}
    style = {"hue": "model", "hue_order": list(colours), "palette": colours, "legend": False, "linewidth": 1}
    sns.lineplot(data, x="step", y=y, ax=axes, **style, **band, **marker)


_TRUTH: dict[str, Any] = {
    "color": "white",
    "linewidth": 0.4,
    "path_effects": [patheffects.withStroke(linewidth=0.8, foreground="black")],  # seen on bone, too
}


def _crop(panel: Panel) -> Panel:
    """Cut a panel to the body and everything labelled, with a margin of 5 mm."""
    shown = np.any([panel.ct > BODY, *(a > 0 for a in (panel.reference, *panel.predictions.values()))], axis=0)
    if not shown.any():
        return panel
    box = []
    for axis in (0, 1):
        lines = np.flatnonzero(shown.any(axis=1 - axis))
        margin = round(5 / panel.spacing[axis])
        box.append(slice(max(0, lines[0] - margin), lines[-1] + 1 + margin))
    cut = tuple(box)
    predictions = {model: labels[cut] for model, labels in panel.predictions.items()}
    return replace(panel, ct=panel.ct[cut], reference=panel.reference[cut], predictions=predictions)


def _labels_of(panel: Panel) -> np.ndarray:
    return np.unique(np.concatenate([np.unique(a) for a in (panel.reference, *panel.predictions.values())]))


def _overlay(axes: Axes, panel: Panel, labels: np.ndarray, colours: dict[str, str], organs: Sequence[str]) -> None:
    """Draw CT, tinted organs with their contours, and over a prediction the contours of the truth."""
    axes.imshow(panel.ct, cmap="gray", vmin=SOFT_TISSUE[0], vmax=SOFT_TISSUE[1], interpolation="bilinear")
    tint = np.zeros((*labels.shape, 4))
    for k, organ in enumerate(organs, start=1):
        mask = labels == k
        tint[mask] = (*to_rgb(colours[organ]), 0.4)
        if mask.any() and not mask.all():
            axes.contour(mask, levels=[0.5], colors=[colours[organ]], linewidths=0.7)
    axes.imshow(tint, interpolation="nearest")
    if labels is not panel.reference:
        for k in range(1, len(organs) + 1):
            mask = panel.reference == k
            if mask.any() and not mask.all():
                contour = axes.contour(mask, levels=[0.5], colors=[_TRUTH["color"]], linewidths=_TRUTH["linewidth"])
                contour.set_path_effects(_TRUTH["path_effects"])
    axes.set_aspect(panel.spacing[0] / panel.spacing[1])


def _scale_bar(axes: Axes, length: float) -> None:
    """Draw a bar of 50 mm, `length` widths of the axes long, in the lower left corner."""
    axes.plot([0.04, 0.04 + length], [0.05, 0.05], "w-", lw=1.5, solid_capstyle="butt", transform=axes.transAxes)
    axes.text(0.04, 0.08, "50 mm", color="white", fontsize=SMALL, va="bottom", transform=axes.transAxes)
