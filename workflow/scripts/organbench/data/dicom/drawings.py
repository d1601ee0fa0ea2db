"""Masks as a file that refers to the CT's slices, of either kind."""

from collections.abc import Mapping
from pathlib import Path

from organbench.data.dicom import rtstruct, seg
from organbench.data.dicom.series import Series
from organbench.data.grids import Array


def write(
    kind: str,
    masks: Mapping[str, Array],
    series: Series,
    path: Path,
    *,
    colors: Mapping[str, str],
    algorithm: str,
    version: str,
) -> None:
    """Write masks as a file of a kind, `rtstruct` or `seg`; the modules of these names say the rest."""
    if kind == "seg":
        seg.write(masks, series, path, colors=colors, algorithm=algorithm, version=version)
    else:
        rtstruct.write(masks, series, path, colors=colors, algorithm=algorithm, version=version)
