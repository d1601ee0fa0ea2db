"""What is known of the scans that a network was trained on, and in what another scan lies outside of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from organbench.data.grids import Grid

Ranges = dict[str, tuple[float, float]]
"""The least and the greatest value of each quantity of `of_scan`."""

SHARE, HU = 0.1, 100.0  # how far outside may still be chance: of a length, and of an intensity


def of_scan(oriented: Grid, hu: Mapping[str, float]) -> dict[str, float]:
    """What is compared of a scan: spacing and extent along each axis, mm, and percentiles of its intensities, HU.

    Args:
        oriented: the scanner's grid with its axes along the patient's.
        hu: percentiles of the volume on the working grid, as `conversion.hu_statistics` gives them.
    """
    axes = list(zip("xyz", oriented.spacing, oriented.size, strict=True))
    return {
        **{f"spacing_{axis}_mm": spacing for axis, spacing, _ in axes},
        **{f"extent_{axis}_mm": spacing * size for axis, spacing, size in axes},
        **{f"{name}_hu": value for name, value in hu.items() if name.startswith("p")},
    }


def of_cases(infos: Iterable[Mapping[str, Any]]) -> Ranges:
    """The ranges of prepared cases, from what their `case.json` holds."""
    found = [of_scan(Grid.from_json(info["oriented"]), info["hu"]["volume"]) for info in infos]
    return {name: (min(scan[name] for scan in found), max(scan[name] for scan in found)) for name in found[0]}


def outside(scan: Mapping[str, float], ranges: Mapping[str, Sequence[float]]) -> list[str]:
    """In what a scan lies clearly outside of ranges: some words each, with both."""
    lines = []
    for name, value in scan.items():
        if name not in ranges:
            continue
        low, high = ranges[name]
        far = HU if name.endswith("_hu") else SHARE * value
        if not low - far <= value <= high + far:
            lines.append(f"{in_words(name).format(f'{value:.3g}')}, in training {_span(low, high)}")
    return lines


def in_words(name: str) -> str:
    """What a quantity is called, with a place for its value."""
    what, _, unit = name.rpartition("_")
    kind, _, axis = what.partition("_")
    if kind in ("spacing", "extent"):
        axes = {"x": "left to right", "y": "front to back", "z": "along the patient"}
        called = "spacing" if kind == "spacing" else "field of view"
        return f"{called} {axes[axis]} {{}} {unit}"
    return f"{what[1:]} % of its voxels are below {{}} {unit.upper()}"


def _span(low: float, high: float) -> str:
    """A range in words."""
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
