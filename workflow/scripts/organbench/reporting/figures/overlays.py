"""Slices of CT with the true and the predicted organs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any, Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from organbench.reporting.colours import ORGAN_COLOURS, palette
from organbench.reporting.figures import style

SOFT_TISSUE = (-160, 240)  # HU, the window of the CT in overlays
BODY = -300  # HU, between air and fat: what is denser is not cropped
CONTEXT = 30  # mm, of the body that is shown around the organs
COLUMNS = 8  # slices side by side, at most: a slice is then 22 mm wide

AXIAL, CORONAL = 0, 1
"""The axis of z y x that a slice leaves out."""


@dataclass(frozen=True)
class Panel:
    """One slice of one case, to be drawn as a row of `overlays`; or the whole case, of which `cut` takes slices.

    Attributes:
        title: what the row shows, for example the case and why it was picked.
        ct: CT slice in HU, the first row drawn at the top.
        spacing: of the axes of `ct` in mm.
        reference: organ indices of the reference, the axes of `ct`, 0 is background.
        predictions: each network's organ indices, the axes of `ct`, by its name; a network may be missing.
        notes: what is written into the corner of a network's picture, by its name.
    """

    title: str
    ct: np.ndarray
    spacing: tuple[float, ...]
    reference: np.ndarray
    predictions: dict[str, np.ndarray]
    notes: dict[str, str] = field(default_factory=dict)


def telling_slice(labels: np.ndarray, axis: int = AXIAL) -> int:
    """Choose the slice that shows the most of the organs, each measured by its own largest cross-section.

    Of each organ's share the square root counts, so that a part of many organs is more than the whole of one.

    Args:
        labels: organ indices, axes z y x, 0 is background.
        axis: of the slices: `AXIAL` or `CORONAL`.

    Returns:
        The slice's index; the middle one where there is no organ.
    """
    shares = np.sqrt(_shares(_areas(labels, axis), [labels], axis)).sum(axis=1)
    return int(shares.argmax()) if shares.any() else len(shares) // 2


def telling_error(reference: np.ndarray, predictions: Sequence[np.ndarray], axis: int = AXIAL) -> int:
    """Choose the slice in which the most is wrong, each organ measured by its largest cross-section in any label map.

    What is wrong is added up over the networks: voxels of the reference that are missed and voxels that are added.

    Args:
        reference: organ indices of the reference, axes z y x, 0 is background.
        predictions: each network's organ indices, the same axes.
        axis: of the slices: `AXIAL` or `CORONAL`.

    Returns:
        The slice's index; that of `telling_slice` where nothing is wrong.
    """
    wrong = sum(_areas(reference, axis, other) + _areas(other, axis, reference) for other in predictions)
    return _most_telling(np.asarray(wrong), [reference, *predictions], axis)


def telling_dispute(predictions: Sequence[np.ndarray], axis: int = AXIAL) -> int:
    """Choose the slice in which the networks differ most: like `telling_error`, each network against each other."""
    differing = sum(_areas(a, axis, b) for a, b in permutations(predictions, 2))
    return _most_telling(np.asarray(differing), predictions, axis)


def _most_telling(areas: np.ndarray, volumes: Sequence[np.ndarray], axis: int) -> int:
    """The slice with the largest sum of `_shares`; that of `telling_slice` of the first volume where all are 0."""
    shares = _shares(areas, volumes, axis).sum(axis=1)
    return int(shares.argmax()) if shares.any() else telling_slice(volumes[0], axis)


def _shares(areas: np.ndarray, volumes: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """What is counted in each slice, relative to the organ's largest cross-section in any volume: axes slice organ.

    Args:
        areas: voxels of each organ in each slice, axes slice organ.
        volumes: label maps, axes z y x.
        axis: of the slices.
    """
    largest = np.max([_areas(volume, axis).max(axis=0) for volume in volumes], axis=0)
    return np.asarray(areas[:, largest > 0] / largest[largest > 0])


def _areas(labels: np.ndarray, axis: int, other: np.ndarray | None = None) -> np.ndarray:
    """Voxels of every organ in every slice, axes slice organ; only those where `other` differs."""
    found = np.zeros((labels.shape[axis], 256), np.int64)
    for z, plane in enumerate(labels):  # a plane at a time, so that memory does not grow with the scan
        y, x = np.nonzero(plane if other is None else (plane > 0) & (plane != other[z]))
        organs = plane[y, x].astype(np.int64)
        if axis == AXIAL:
            found[z] = np.bincount(organs, minlength=256)
        else:
            found += np.bincount(y * 256 + organs, minlength=found.size).reshape(found.shape)
    return found[:, 1:]


def cut(case: Panel, axis: int, index: int) -> Panel:
    """Cut a slice out of a case: seen from the feet if axial, from the front if coronal, the head at the top.

    Args:
        case: with whole volumes, axes z y x, oriented LPS, and with their spacing.
        axis: `AXIAL` or `CORONAL`.
        index: the slice's, along the axis.

    Returns:
        The slice; notes stand in axial ones only.
    """
    place = index if axis == AXIAL else (slice(None, None, -1), index)
    taken = _part(case, place)
    spacing = (case.spacing[1 if axis == AXIAL else 0], case.spacing[2])
    return replace(taken, ct=taken.ct.astype(np.float32), spacing=spacing, notes=case.notes if axis == AXIAL else {})


def _part(panel: Panel, place: Any) -> Panel:
    """A part of all arrays, as copies: a slice then does not keep the volume in memory."""
    predictions = {model: labels[place].copy() for model, labels in panel.predictions.items()}
    return replace(panel, ct=panel.ct[place].copy(), reference=panel.reference[place].copy(), predictions=predictions)


@style.styled
def overlays(rows: Sequence[Sequence[Panel]], organs: Sequence[str]) -> Figure:
    """Draw slices of CT with their organs: a row per case, a column for the reference and for each network.

    Organs are tinted; over a prediction the reference's contour is drawn in white, so that what sticks out or is
    missing shows. Air and what lies far from all organs is cropped. A case's panels stand side by side, or below each
    other where there are too many networks for that.

    Args:
        rows: the panels of each case, as many of each, one or more.
        organs: the organs' names: index k in a slice is `organs[k - 1]`.

    Returns:
        A figure of a journal's double column.
    """
    rows = [[_crop(panel) for panel in row] for row in rows]
    models = list(dict.fromkeys(model for row in rows for panel in row for model in panel.predictions))
    if len(rows[0]) * (1 + len(models)) > COLUMNS:
        rows = [[panel] for row in rows for panel in row]
    panels = [panel for row in rows for panel in row]
    colours = palette(organs, ORGAN_COLOURS)
    sizes = np.array([[np.multiply(panel.ct.shape, panel.spacing) for panel in row] for row in rows])  # mm, y x
    slimness = sizes[..., 1] / sizes[..., 0]  # axes row, panel
    widths = np.sqrt(np.median(slimness, axis=0))  # of columns: upright and flat pictures have about the same area
    tallness = (widths / slimness).max(axis=1)  # of rows, in the same unit
    columns = len(rows[0]) * (1 + len(models))
    shown = sorted({k for panel in panels for k in np.unique([panel.reference, *panel.predictions.values()]) if k > 0})
    handles: list[Any] = [style.area(style.words(organs[k - 1]), facecolor=colours[organs[k - 1]]) for k in shown]
    if models:
        handles.append(style.key("reference's contour", **_REFERENCE))
    unit = min(  # inches
        (style.COLUMN - 6 * style.MM) / (widths.sum() * (1 + len(models))),
        (style.PAGE - (24 + len(rows)) * style.MM) / tallness.sum(),
    )
    titles = [style.wrap(title, unit * width / style.MM) for width in widths for title in ("reference", *models)]
    lines = max(title.count("\n") for title in titles) + 1 + 1.4 * style.legend_rows(handles)
    height = unit * tallness.sum() + (style.LINE * lines + 5 + len(rows)) * style.MM
    tight = ConstrainedLayoutEngine(w_pad=0.5 * style.MM, h_pad=0.5 * style.MM, wspace=0, hspace=0)
    figure = Figure(figsize=(style.COLUMN, height), layout=tight)
    ratios = {"width_ratios": np.repeat(widths, 1 + len(models)), "height_ratios": tallness}
    bare = {"xticks": [], "yticks": [], "frame_on": False, "anchor": "N"}  # so that titles are in line
    grid = figure.subplots(len(rows), columns, squeeze=False, subplot_kw=bare, **ratios)
    for row, places, row_sizes in zip(rows, grid, sizes, strict=True):
        first_height, first_width = row_sizes[0]
        places[0].set_ylabel(style.wrap(row[0].title, unit * widths[0] * first_height / first_width / style.MM))
        for i, (panel, size) in enumerate(zip(row, row_sizes, strict=True)):
            block = places[i * (1 + len(models)) : (i + 1) * (1 + len(models))]
            _scale_bar(block[0], 50 / size[1])
            for axes, model in zip(block, [None, *models], strict=True):
                labels = panel.reference if model is None else panel.predictions.get(model)
                if labels is not None:
                    _overlay(axes, panel, labels, colours, organs)
                if model in panel.notes:
                    _write(axes, 0.03, 0.97, panel.notes[model], "top")
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    if handles:
        style.legend(figure, handles, "outside lower center")
    return figure


_REFERENCE: dict[str, Any] = {
    "color": "white",
    "linewidth": 0.4,
    "path_effects": [patheffects.withStroke(linewidth=0.8, foreground="black")],  # seen on bone, too
}


def _crop(panel: Panel) -> Panel:
    """Cut a panel to what is labelled and what of the body lies within `CONTEXT` of it; to the body without labels."""
    labelled = np.any([panel.reference > 0, *(labels > 0 for labels in panel.predictions.values())], axis=0)
    body = labelled | (panel.ct > BODY)
    if not body.any():
        return panel
    box = []
    for axis in (0, 1):
        margin = [round(mm / panel.spacing[axis]) for mm in (5, CONTEXT)]
        ends = []
        for mask, wide in zip((body, labelled if labelled.any() else body), margin, strict=True):
            lines = np.flatnonzero(mask.any(axis=1 - axis))
            ends.append((lines[0] - wide, lines[-1] + 1 + wide))
        box.append(slice(max(0, ends[0][0], ends[1][0]), min(ends[0][1], ends[1][1])))
    return _part(panel, tuple(box))


def _overlay(axes: Axes, panel: Panel, labels: np.ndarray, colours: dict[str, str], organs: Sequence[str]) -> None:
    """Draw CT, tinted organs with their contours, and over a prediction the contours of the reference."""
    axes.imshow(panel.ct, cmap="gray", vmin=SOFT_TISSUE[0], vmax=SOFT_TISSUE[1], interpolation="bilinear")
    tints = np.array([to_rgba("white", 0), *(to_rgba(colours[organ], 0.4) for organ in organs)])
    axes.imshow(tints[labels], interpolation="nearest")
    for k, organ in enumerate(organs, start=1):
        _contour(axes, labels == k, colours[organ], 0.7)
    if labels is not panel.reference:
        for k in range(1, len(organs) + 1):
            _contour(axes, panel.reference == k, **_REFERENCE)
    axes.set_aspect(panel.spacing[0] / panel.spacing[1])


def _contour(axes: Axes, mask: np.ndarray, color: str, linewidth: float, path_effects: Sequence[Any] = ()) -> None:
    """Draw the edge of a mask, where it has one."""
    if mask.any() and not mask.all():
        axes.contour(mask, levels=[0.5], colors=[color], linewidths=linewidth).set_path_effects(list(path_effects))


def _scale_bar(axes: Axes, length: float) -> None:
    """Draw a bar of 50 mm, `length` widths of the axes long, in the lower left corner."""
    axes.plot([0.04, 0.04 + length], [0.05, 0.05], "w-", lw=1.5, solid_capstyle="butt", transform=axes.transAxes)
    _write(axes, 0.04, 0.08, "50 mm", "bottom")


def _write(axes: Axes, x: float, y: float, text: str, va: Literal["top", "bottom"]) -> None:
    """Write into a picture, so that it can be read on bone, too."""
    outline = [patheffects.withStroke(linewidth=1.2, foreground="black")]
    look: dict[str, Any] = {"color": "white", "fontsize": style.SMALL, "path_effects": outline}
    axes.text(x, y, text, va=va, transform=axes.transAxes, **look)
