"""Measuring a prediction of the CT's four largest organs: OrganBench, DeepMind's surface-distance, and MONAI.

The prediction is the truth, shifted by one slice, two rows and three columns. Seconds are those of the work on arrays
that are in memory. And the most memory that evaluating a whole-body scan of 512 x 512 x 900 voxels takes.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contest
import inputs

CLASSES = 7
ORGANS = list(inputs.ORGANS)[:4]
SHIFT = (1, 2, 3)  # voxels, z y x
TOLERANCE_MM = 2.0
SLICES = 900


def organbench(work: Path) -> dict[str, float]:
    """OrganBench's metrics.measure, in one thread.

    Dice, IoU, precision, recall, HD, HD95, mean surface distance, surface Dice, added path length, volumes.
    """
    from organbench.evaluation import metrics

    reference, prediction, spacing = load(work)
    started = time.perf_counter()
    table = metrics.measure(reference, prediction, organs=ORGANS, spacing=spacing, tolerance_mm=TOLERANCE_MM)
    return {"seconds": time.perf_counter() - started, **table[["dice", "hd95", "nsd"]].mean().round(6)}


def surface_distance(work: Path) -> dict[str, float]:
    """surface-distance: Dice, HD95, mean surface distances and surface Dice of each organ's masks."""
    import numpy as np
    import surface_distance as package

    reference, prediction, spacing = load(work)
    started = time.perf_counter()
    rows = []
    for true, predicted in masks(reference, prediction):
        found = package.compute_surface_distances(true, predicted, spacing[::-1])
        package.compute_average_surface_distance(found)
        rows.append(
            (
                package.compute_dice_coefficient(true, predicted),
                package.compute_robust_hausdorff(found, 95),
                package.compute_surface_dice_at_tolerance(found, TOLERANCE_MM),
            )
        )
    seconds = time.perf_counter() - started
    return {"seconds": seconds, **dict(zip(("dice", "hd95", "nsd"), np.mean(rows, axis=0).round(6), strict=True))}


def monai(work: Path) -> dict[str, float]:
    """MONAI: compute_dice, compute_hausdorff_distance (95th percentile) and compute_surface_dice, organ by organ.

    It counts voxels on the border where the two others weigh surface elements by area, so distances are not the same.
    """
    import numpy as np
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    reference, prediction, spacing = load(work)
    zyx = spacing[::-1]
    started = time.perf_counter()
    rows = []
    for pair in masks(reference, prediction):
        true, predicted = (torch.from_numpy(mask)[None, None] for mask in pair)
        rows.append(
            (
                float(compute_dice(predicted, true)),
                float(compute_hausdorff_distance(predicted, true, include_background=True, percentile=95, spacing=zyx)),
                float(compute_surface_dice(predicted, true, [TOLERANCE_MM], include_background=True, spacing=zyx)),
            )
        )
    seconds = time.perf_counter() - started
    return {"seconds": seconds, **dict(zip(("dice", "hd95", "nsd"), np.mean(rows, axis=0).round(6), strict=True))}


def whole_body(work: Path) -> dict[str, float]:
    """All that workflow/scripts/evaluate.py does with a scan of 512 x 512 x 900 voxels."""
    from organbench.data import grids
    from organbench.data.images import read_labels
    from organbench.evaluation import metrics

    started = time.perf_counter()
    files = [work / "metrics" / f"{what}.nii.gz" for what in ("long-labels", "long-prediction")]
    reference, prediction = (read_labels(file, inputs.indices(CLASSES)) for file in files)
    grids.check_pair(grids.Grid.of(reference), grids.Grid.of(prediction), *files)
    (true, grid), (predicted, _) = (grids.oriented(image) for image in (reference, prediction))
    metrics.measure(true, predicted, organs=list(inputs.ORGANS), spacing=grid.spacing, tolerance_mm=TOLERANCE_MM)
    return {"seconds": time.perf_counter() - started}


def load(work: Path) -> tuple[Any, Any, tuple[float, ...]]:
    """Organ indices of reference and prediction (z y x), and the spacing (mm, x y z)."""
    import numpy as np

    folder = work / "metrics"
    return (
        np.load(folder / "labels.npy"),
        np.load(folder / "prediction.npy"),
        tuple(inputs.read_json(folder / "spacing.json")),
    )


def masks(reference: Any, prediction: Any) -> Iterator[tuple[Any, Any]]:
    """The masks of each organ, true and predicted."""
    for index in range(1, len(ORGANS) + 1):
        yield reference == index, prediction == index


def shifted(labels: Any) -> Any:
    """Labels (z y x) moved by `SHIFT`; what leaves the scan is lost."""
    import numpy as np

    result = np.zeros_like(labels)
    result[tuple(slice(n, None) for n in SHIFT)] = labels[tuple(slice(None, -n) for n in SHIFT)]
    return result


def prepare(work: Path, ct: Path) -> None:
    """The CT's labels and their shifted copy, as arrays; and a long scan of them, mirrored again and again along z."""
    import numpy as np
    import SimpleITK as sitk

    from organbench.core.files import write_json
    from organbench.data import images

    folder = work / "metrics"
    if (folder / "spacing.json").exists():
        return
    folder.mkdir(exist_ok=True)
    image = sitk.ReadImage(inputs.make_ct(work, ct, CLASSES) / "labels.nii.gz")
    labels = sitk.GetArrayFromImage(image)
    four = np.where(labels <= len(ORGANS), labels, 0).astype(np.uint8)
    np.save(folder / "labels.npy", four)
    np.save(folder / "prediction.npy", shifted(four))
    longer = np.pad(labels, ((0, SLICES - len(labels)), (0, 0), (0, 0)), mode="symmetric")
    for name, array in (("labels", longer), ("prediction", shifted(longer))):
        written = sitk.GetImageFromArray(array)
        written.SetSpacing((*image.GetSpacing()[:2], 1.0))
        written.SetDirection(image.GetDirection())
        images.write(written, folder / f"long-{name}.nii.gz")
    write_json(image.GetSpacing(), folder / "spacing.json")


FASTER = {"what": "metrics of four organs", "measure": "seconds", "ours": "organbench"}
SMALL = {"what": "peak memory of evaluating 512 x 512 x 900", "measure": "peak_mib", "ours": "whole body", "most": 2048}

if __name__ == "__main__":
    contest.main(
        "metrics",
        {"organbench": organbench, "surface-distance": surface_distance, "monai": monai, "whole body": whole_body},
        claims=[
            FASTER | {"against": ["surface-distance"], "least": 5},
            FASTER | {"against": ["monai"], "least": 6},
            SMALL,
        ],
        prepare=prepare,
    )
