"""What the page for looking at cases shows: CT and label maps small enough to open, and the numbers beside them.

The page (`workflow/viewer/`) is opened by double-click. From file:// a page may not fetch files, but it may run scripts
that lie beside it, so all data are scripts: a call of one of the page's functions with JSON. Volumes are gzipped NIfTI
in base64. Positions are mm as NIfTI has them: x to the patient's right, y to the front (RAS), where SimpleITK has LPS.
"""

import base64
import gzip
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from organbench.analysis.cohort import disagreement
from organbench.analysis.statistics import ALL
from organbench.core.files import atomic
from organbench.data import grids, images, resampling
from organbench.data.grids import Array, Grid
from organbench.evaluation.registry import MEASURED, shown
from organbench.reporting.colours import ORGAN_COLOURS, palette

VOXELS = 2_500_000  # of a shown volume at most: about 3 MB a case, opened in a second
HU_STEP = 4  # HU are rounded to multiples: not to be seen in any window, and nearly a third less to store


def display_grid(grid: Grid, most: int = VOXELS) -> Grid:
    """The finest grid over the same box that has at most so many voxels; axes that are coarser than others stay.

    A volume that is small enough keeps its own grid.
    """
    shown, spacing = grid, min(grid.spacing)
    while np.prod(shown.size) > most:
        spacing *= 1.02
        shown = grid.with_spacing([max(spacing, own) for own in grid.spacing])
    return shown


def case_data(
    name: str, volume: sitk.Image, reference: sitk.Image, predictions: Mapping[str, sitk.Image], organs: Sequence[str]
) -> dict[str, Any]:
    """What the page needs to draw one case.

    Args:
        name: the case's name.
        volume: CT in HU.
        reference: organ indices of the reference (0 background, k is `organs[k - 1]`), on the volume's grid.
        predictions: each model's organ indices, likewise.
        organs: the organs' names.

    Returns:
        case; spacing and original_spacing (mm, x y z of the patient); ct, reference and predictions (by model) as
        `encode` writes them, all on one grid (see `display_grid`); look, see `places`.
    """
    hu, grid = grids.oriented(volume)
    shown = display_grid(grid)
    ct = resampling.resample_volume(hu, grid, shown)
    ct = (np.rint(ct / HU_STEP) * HU_STEP).astype(np.int16)
    labels, *predicted = (
        resampling.resample_labels(grids.oriented(image)[0], grid, shown, len(organs))
        for image in (reference, *predictions.values())
    )
    return {
        "case": name,
        "spacing": shown.spacing,
        "original_spacing": grid.spacing,
        "ct": encode(ct, shown),
        "reference": encode(labels, shown),
        "predictions": {model: encode(array, shown) for model, array in zip(predictions, predicted, strict=True)},
        "look": places(labels, predicted, shown, organs),
    }


def encode(array: Array, grid: Grid) -> str:
    """An array (z y x) on a grid as gzipped NIfTI in base64: the same array, the same text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.nii"
        images.write(grids.to_image(array, grid), path)
        return base64.b64encode(gzip.compress(path.read_bytes(), mtime=0)).decode()


def places(reference: Array, predictions: Sequence[Array], grid: Grid, organs: Sequence[str]) -> dict[str, list[float]]:
    """Where to look at each organ: amid what is wrong, in the axial slice with the most wrong voxels of all models.

    Args:
        reference: organ indices of the reference, axes z y x.
        predictions: predicted ones.
        grid: the arrays' grid.
        organs: the organs' names.

    Returns:
        A voxel's centre (mm, x y z, RAS) by organ; the middle of the largest slice where nothing is wrong. Organs that
        neither reference nor prediction has are left out.
    """
    found = {}
    for k, organ in enumerate(organs, start=1):
        mask = reference == k
        wrong = np.zeros(mask.shape, np.uint8)
        for labels in predictions:
            wrong += (labels == k) != mask
        where = wrong if wrong.any() else mask
        if not where.any():
            continue
        z = int(where.sum(axis=(1, 2), dtype=np.int64).argmax())
        inside = np.argwhere(where[z])
        y, x = inside[((inside - inside.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
        steps = np.reshape(grid.direction, (3, 3)) @ (np.asarray(grid.spacing) * (x, y, z))
        found[organ] = (np.asarray([-1.0, -1.0, 1.0]) * (np.asarray(grid.origin) + steps)).round(2).tolist()
    return found


def ranking(shown: pd.DataFrame, agreements: pd.DataFrame) -> pd.DataFrame:
    """What cases are ranked by, for each organ and for organ `all`.

    Args:
        shown: a row per model, case and organ, with dice: of the predictions that the page shows.
        agreements: see `cohort.disagreement`.

    Returns:
        Indexed by case and organ: worst (the lowest Dice of any model, and for `all` of any organ), mean (over
        models, and for `all` first over organs), disagreement (see
        `cohort.disagreement`). NaN where there is none.
    """
    dice = shown.groupby(["case", "organ"], sort=False)["dice"].agg(worst="min", mean="mean")
    worst = shown.groupby("case", sort=False)["dice"].min()
    by_model = shown.groupby(["case", "model"], sort=False)["dice"].mean()
    every = pd.DataFrame({"worst": worst, "mean": by_model.groupby("case", sort=False).mean()})
    ranks = pd.concat([dice, pd.concat({ALL: every}, names=["organ"]).swaplevel()])
    return ranks.assign(disagreement=disagreement(agreements).reindex(ranks.index))


def study_data(
    per_case: pd.DataFrame,
    agreements: pd.DataFrame,
    *,
    study: str,
    generated: bool,
    organs: Sequence[str],
    folds: Mapping[str, int],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """What the page lists: the cases, what they are ranked by, and the metrics of the predictions that it shows.

    Args:
        per_case: the rows of all metrics tables.
        agreements: see `ranking`.
        study: the study's name.
        generated: the patients are phantoms.
        organs: the organs' names.
        folds: the shown cases, and the fold whose predictions are shown.
        seeds: of the models' trainings; the first one's predictions are shown.

    Returns:
        What JSON can hold; NaN became None.
    """
    fold = per_case["case"].map(folds)
    rows = per_case[(per_case["fold"] == fold) & (per_case["seed"] == seeds[0])]
    columns = [column for column in shown() if column in rows]
    heads, ranks = [MEASURED[column] for column in columns], ranking(rows, agreements)
    cases = []
    for case, of_case in rows.groupby("case", sort=False):
        values: dict[str, Any] = {organ: {"reference_ml": None, "models": {}} for organ in organs}
        for row in of_case.to_dict("records"):
            entry = values[row["organ"]]
            entry["reference_ml"] = number(row["reference_ml"])
            entry["models"][row["model"]] = [number(row[column]) for column in columns]
        ranked = {organ: [number(value) for value in row] for organ, row in ranks.loc[case].iterrows()}
        cases.append({"case": case, "fold": folds[case], "ranks": ranked, "organs": values})
    return {
        "study": study,
        "generated": generated,
        "seeds": list(seeds),
        "folds": len(set(folds.values())),
        "all": ALL,
        "organs": palette(organs, ORGAN_COLOURS),
        "models": list(dict.fromkeys(rows["model"])),
        "metrics": [{"name": head.label, "unit": head.unit, "decimals": head.decimals} for head in heads],
        "cases": cases,
    }


def number(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if pd.isna(value) or np.isinf(value) else round(float(value), 5)


def write_script(function: str, data: Mapping[str, Any], path: str | Path) -> None:
    """Write a script that calls one of the page's functions with data; whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(f"{function}({json.dumps(data, allow_nan=False)});\n", encoding="utf-8")
