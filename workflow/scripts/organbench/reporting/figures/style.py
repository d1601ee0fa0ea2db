"""One style, one palette and one order of models and organs for all figures, and the marks that they share."""

import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from organbench.analysis.statistics import ALL
from organbench.core.files import atomic

MM = 1 / 25.4  # inches
COLUMN, PAGE = 183 * MM, 240 * MM  # a journal's double column and the most that fits on its page

TEXT = ("font.size", "figure.labelsize", "axes.titlesize", "axes.labelsize", "legend.fontsize")
TICKS = {"labelsize": 7, "major.width": 0.6, "minor.width": 0.4, "major.size": 2.5, "minor.size": 1.5}
STYLE: dict[Any, Any] = {
    **dict.fromkeys(TEXT, 7),
    **{f"{axis}tick.{name}": value for axis in "xy" for name, value in TICKS.items()},
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure on every machine
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.0,
    "svg.hashsalt": "organbench",  # the same element ids, so the same bytes, in every run
    "svg.fonttype": "path",
}
styled = mpl.rc_context(STYLE)
"""What a function is decorated with that draws."""
SMALL = 6  # pt, the numbers beside the plots
LETTER = 1.4  # mm, about the width of a letter of 7 pt
LINE = 3.1  # mm, a line of text
ROUND = (1, 2, 5, 3, 1.5, 7, 4, 6, 8, 9, 2.5, 1.2, 3.5, 4.5, 1.1, 1.3, 1.4, 1.6, 1.7, 1.8, 1.9, 2.2, 2.8)
"""What numbers at a logarithmic axis begin with, the roundest first."""
DPI = 300
MANY_POINTS = 3000  # an SVG holds more as an image


def organ_order(table: pd.DataFrame) -> list[str]:
    """List the organs in order of first appearance, then `all`; of a single organ `all` says nothing more."""
    organs = [organ for organ in table["organ"].unique() if organ != ALL]
    return [*organs, ALL] if len(organs) > 1 else organs


def save(figure: Figure, *paths: str | Path) -> None:
    """Write a figure to every path, in the format of its suffix: the same figure gives the same bytes.

    Folders are made as needed, and a file is whole or absent. PNG is written at 300 dpi, and so are the images in an
    SVG.
    """
    with mpl.rc_context(STYLE):
        _settle(figure)
        for path in map(Path, paths):
            metadata = {"Date": None} if path.suffix == ".svg" else None
            with atomic(path) as temporary:
                figure.savefig(temporary, dpi=DPI, format=path.suffix[1:], metadata=metadata)


def _settle(figure: Figure) -> None:
    """Lay a figure out once for all formats, and round the places: a layout's last bits differ from run to run."""
    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(tuple(round(place, 6) for place in axes.get_position(original=True).bounds))


def words(name: str) -> str:
    """An organ's or column's name as it is written in a figure."""
    return "all organs" if name == ALL else name.replace("_", " ")


def wrap(text: str, width: float) -> str:
    """Break a text, also behind underscores, into lines of at most `width` mm."""
    letters = max(10, int(width / LETTER))
    lines = [textwrap.fill(line.replace("_", "_ "), letters).replace("_ ", "_") for line in text.splitlines()]
    return "\n".join(lines)


def minus(text: str) -> str:
    """A number with a true minus sign, as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def short(value: float, _position: float = 0) -> str:
    """A number for an axis with few letters: 0.5, 20, 300 k, 1.94 M."""
    for size, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return minus(f"{value / (1e3 if size == 1e4 else size):.4g}{prefix}")
    return minus(f"{value:g}")


def beside(axes: Axes, y: float, *columns: tuple[str, float, str]) -> None:
    """Write beside the plot at height `y`: each column's text, its distance from the plot in pt, and its alignment."""
    look: dict[str, Any] = {"fontsize": SMALL, "va": "center", "annotation_clip": False}
    look |= {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    for text, place, align in columns:
        axes.annotate(text, (1, y), xytext=(place, 0), ha=align, **look)


def estimate(mean: float, low: float, high: float, form: str) -> str:
    """A mean and its interval in words; what is NaN is left out."""
    text = "" if np.isnan(mean) else f"{mean:{form}}"
    if not np.isnan(low):
        text += f" [{low:{form}}, {high:{form}}]"
    return minus(text)


def legend(figure: Figure, handles: list[Any], loc: Any = "outside upper center") -> None:
    """Write a legend in as many columns as the figure is wide, its rows about equally full."""
    columns = -(-len(handles) // legend_rows(handles))
    figure.legend(handles=handles, loc=loc, ncols=columns, columnspacing=1.5)


def legend_rows(handles: Sequence[Any]) -> int:
    """How many rows `legend` needs."""
    widths = [LETTER * len(handle.get_label()) + 9 for handle in handles]  # mm
    if sum(widths) <= COLUMN / MM:
        return 1
    return -(-len(handles) // max(1, int(COLUMN / MM / max(widths))))


def nothing(axes: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    axes.set_xticks([])
    axes.tick_params(axis="y", left=False, labelleft=False)  # the ticks themselves may be shared with other panels
    axes.text(0.5, 0.5, text, color="0.4", ha="center", va="center", transform=axes.transAxes)


def filled(panels: Mapping[str, Axes], table: pd.DataFrame, why: str) -> Iterator[tuple[str, Axes, pd.DataFrame]]:
    """Each organ of which a table has rows, with its panel and rows; other panels say why they are empty."""
    for organ, axes in panels.items():
        rows = table[table["organ"] == organ]
        if rows.empty:
            nothing(axes, why)
        else:
            yield organ, axes, rows


def key(label: str, **look: Any) -> Any:
    """What a legend shows of a line or a mark."""
    return Line2D([], [], label=label, **look)


def area(label: str, **look: Any) -> Any:
    """What a legend shows of an area."""
    return Patch(label=label, **look)


def model_points(colours: dict[str, str]) -> list[Any]:
    """What a legend shows of models that are drawn as points."""
    look = {"marker": "o", "linestyle": "", "markersize": 3.5, "markeredgewidth": 0}
    return [key(model, color=colour, **look) for model, colour in colours.items()]


def organ_rows(axes: Axes, organs: Sequence[str]) -> None:
    """Prepare a row per organ, the first at the top, every other one shaded."""
    for i in range(0, len(organs), 2):
        axes.axhspan(i - 0.5, i + 0.5, color="0.955", linewidth=0, zorder=0)
    axes.set_ylim(len(organs) - 0.5, -0.5)
    axes.set_yticks(range(len(organs)), [words(organ) for organ in organs])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def organ_panels(
    organs: list[str], handles: list[Any], *, sharey: bool = False
) -> tuple[Figure, dict[str, Axes], float]:
    """A panel per organ, with its name above, on at most a page; and how many numbers its x axis has room for."""
    columns = 3 if len(organs) <= 9 else 4 if len(organs) <= 16 else 5 if len(organs) <= 30 else 6
    columns = min(columns, len(organs))
    rows, width = -(-len(organs) // columns), COLUMN / MM / columns
    titles = {organ: wrap(words(organ), width - 6) for organ in organs}
    title_lines = max(title.count("\n") + 1 for title in titles.values())
    legend_mm = 1.4 * LINE * legend_rows(handles) + 3
    row_mm = min(38 + LINE * title_lines, (PAGE / MM - legend_mm - 6) / rows)
    figure, grid = grid_of(len(organs), columns, rows * row_mm + legend_mm + 6, sharey=sharey)
    panels = dict(zip(organs, grid.flat, strict=False))
    for organ, axes in panels.items():
        axes.set_title(titles[organ])
    return figure, panels, min(6, (width - 14) / 7)


def grid_of(panels: int, columns: int, height: float, **shared: Any) -> tuple[Figure, Any]:
    """A figure of so many panels in so many columns, `height` mm high, or a page.

    With it come the panels' axes, (row, column); the places after the last are empty.
    """
    figure = Figure(figsize=(COLUMN, min(PAGE, height * MM)), layout="constrained")
    grid = figure.subplots(max(1, -(-panels // columns)), columns, squeeze=False, **shared)
    for axes in grid.flat[panels:]:
        axes.remove()
    return figure, grid


def note(text: str) -> Figure:
    """A figure of which there is nothing to draw, and why."""
    figure = Figure(figsize=(COLUMN, 40 * MM), layout="constrained")
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def pairs_of_best(pairs: list[tuple[str, str]], leads: Iterable[tuple[str, str, float]]) -> list[tuple[str, str]]:
    """Of many pairs those with the best model: `leads` says by how much the first of two is ahead of the second."""
    ahead = dict.fromkeys(chain.from_iterable(pairs), 0.0)
    for model_a, model_b, lead in leads:
        ahead[model_a] += lead
        ahead[model_b] -= lead
    best = max(ahead, key=lambda model: ahead[model])
    return [pair for pair in pairs if best in pair]


def difference_axis(
    axes: Axes, pair: tuple[str, str], reach: float, room: float, colours: Mapping[str, str] | None = None
) -> None:
    """Prepare the x axis of a pair's differences, and say above it which model is better on which side.

    Args:
        axes: where they are drawn.
        pair: the models; a difference is the first one's value minus the second one's.
        reach: half the axis.
        room: mm for the name of a model.
        colours: of the models' names; None: black.
    """
    axes.axvline(0, color="0.3", linewidth=0.6, zorder=1)
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
    axes.tick_params(labelbottom=True)
    for model, side, align, text in ((pair[1], 0, "left", "←\xa0{} better"), (pair[0], 1, "right", "{} better\xa0→")):
        place: dict[str, Any] = {"ha": align, "va": "bottom", "transform": axes.transAxes}
        axes.text(side, 1.02, wrap(text.format(model), room), color=(colours or {}).get(model), **place)


def log_x(axes: Axes, low: float, high: float, most: float = 6) -> None:
    """Make the x axis logarithmic between two positive values, with about `most` numbers, the roundest there are."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    _log_ticks(axes.xaxis, low, high, most)


def log_y(axes: Axes, low: float, high: float, most: float = 6) -> None:
    """Make the y axis logarithmic, as `log_x` does."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    _log_ticks(axes.yaxis, low, high, most)


def _log_ticks(axis: Axis, low: float, high: float, most: float) -> None:
    """Put about `most` numbers at a logarithmic axis."""
    gap = np.log10(high / low) / most
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for step in ROUND:
        for tick in (step * 10.0**decade for decade in decades):
            if low <= tick <= high and all(abs(np.log10(tick / other)) >= gap for other in ticks):
                ticks.append(tick)
    axis.set_ticks(sorted(ticks))
    axis.set_minor_locator(LogLocator(subs=range(1, 10), numticks=50))
    axis.set_major_formatter(short)
    axis.set_minor_formatter(NullFormatter())


def padded(values: pd.Series | np.ndarray, share: float = 0.08) -> tuple[float, float]:
    """Limits of a logarithmic axis that holds positive values, with a margin."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = max((high / low) ** share, 1.15)
    return low / margin, high * margin


def boxes(axes: Axes, data: pd.DataFrame, x: str, y: str, height: float, colours: dict[str, str]) -> None:
    """Draw a horizontal box for the values at each place along y, in the colour of its model."""
    if data.empty:
        return
    distance = np.diff(np.sort(data[y].unique())).min(initial=1.0)  # seaborn's unit of width
    place = {"orient": "h", "native_scale": True, "dodge": False, "width": height / distance, "zorder": 2}
    look = {"fill": False, "linewidth": 0.6, "medianprops": {"linewidth": 1.2}, "showfliers": False, "legend": False}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "vert: bool was deprecated")  # seaborn 0.13.2 calls matplotlib so
        sns.boxplot(data, x=x, y=y, hue="model", hue_order=list(colours), palette=colours, ax=axes, **place, **look)
    axes.set(xlabel="", ylabel="")  # seaborn wrote the columns' names


def points(
    axes: Axes, data: pd.DataFrame, x: str, y: str, hue: str, colours: dict[str, str], size: float = 3.5
) -> None:
    """Draw a point per row."""
    look: dict[str, Any] = {"alpha": 0.65, "linewidth": 0, "zorder": 3, "clip_on": False}
    many = len(data) > MANY_POINTS
    axes.scatter(data[x], data[y], size, c=[colours[name] for name in data[hue]], rasterized=many, **look)


def spread(values: np.ndarray) -> np.ndarray:
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
    return np.asarray((2 * places - 1) * density / max(density.max(), 5))


def mean_bar(axes: Axes, mean: float, low: float, high: float, centre: float) -> None:
    """Draw a mean as a diamond and its interval as a bar; nothing where they are NaN."""
    axes.plot([low, high], [centre, centre], color="black", linewidth=0.9, zorder=4)
    axes.plot(mean, centre, "D", color="black", markersize=2.5, markeredgewidth=0, zorder=5)
