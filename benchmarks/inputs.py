"""What the benchmarks work on: a public chest CT, weights that know its organs, a long scan, and phantoms.

All is made in the work folder, once, the same every time.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contest import HERE

# The label values are TotalSegmentator's (version 2).
ORGANS: dict[str, Sequence[int]] = {
    "liver": [5],
    "lungs": range(10, 15),
    "kidneys": [2, 3],
    "bone": [*range(25, 51), *range(69, 79), *range(91, 117)],
    "heart": [51],
    "aorta": [52],
}
MORE_ORGANS: dict[str, Sequence[int]] = ORGANS | {
    "spleen": [1],
    "stomach": [6],
    "pancreas": [7],
    "oesophagus": [15],
    "trachea": [16],
    "colon": [20],
    "back_muscles": [86, 87],
}
ORGANS_OF = {7: ORGANS, 14: MORE_ORGANS}  # by number of classes, background included
SPACING = (1.5, 1.5, 1.5)  # mm
WINDOW = (-500, 500)  # HU
PATCH = (240, 240)  # voxels: all of the CT's slice at that spacing, so that no contestant has to move a window
NETWORK = {"network": "unet", "dims": 2, "features": [16, 32, 64, 128, 256]}
BATCH = 8  # slices computed at once
PHANTOMS = 21  # as many cases as the default study trains on


def default_study() -> dict[str, Any]:
    """The configuration of the default study, checked and complete."""
    import yaml

    from organbench.study import configuration, schema

    root = HERE.parent
    defaults = yaml.safe_load((root / "config.yaml").read_text())
    known = schema.load(root / "workflow" / "schemas" / "config.schema.yaml")
    return configuration.resolve({}, defaults, known)


def make_phantoms(work: Path) -> None:
    """The default study's patients as NIfTI files and as prepared cases, in `work/phantoms` and `work/cases`."""
    from organbench.data import conversion, images
    from organbench.data.sources.phantoms.scan import phantom

    study = default_study()
    settings = study["dataset"]["phantom"]
    for number in range(PHANTOMS):
        files = [work / "phantoms" / f"{what}-{number}.nii.gz" for what in ("volume", "labels")]
        case = work / "cases" / str(number)
        if not (case / "case.json").exists():
            for image, file in zip(phantom(number, seed=settings["seed"], size=settings["size"]), files, strict=True):
                images.write(image, file)
            conversion.convert(
                str(number),
                *files,
                case,
                organs=study["dataset"]["organs"],
                spacing=study["preprocessing"]["spacing"],
            )


def make_ct(work: Path, ct: Path, classes: int) -> Path:
    """The CT (a link) and its labels, merged to organ indices 1, 2 ...; both gzipped.

    Returns:
        `work/ct-<classes>`, with `volume.nii.gz` and `labels.nii.gz`.
    """
    import numpy as np
    import SimpleITK as sitk

    from organbench.data import images

    folder = work / f"ct-{classes}"
    if (folder / "labels.nii.gz").exists():
        return folder
    folder.mkdir(exist_ok=True)
    (folder / "volume.nii.gz").symlink_to((ct / "cxr.nii.gz").resolve())
    mask = sitk.ReadImage(ct / "mask.nii.gz")
    table = np.zeros(256, np.uint8)
    for index, values in enumerate(ORGANS_OF[classes].values(), start=1):
        table[list(values)] = index
    labels = sitk.GetImageFromArray(table[sitk.GetArrayViewFromImage(mask)])
    labels.CopyInformation(mask)
    images.write(labels, folder / "labels.nii.gz")
    return folder


def indices(classes: int) -> Mapping[str, Sequence[int]]:
    """The label values of the organs in the merged labels."""
    return {organ: [index] for index, organ in enumerate(ORGANS_OF[classes], start=1)}


def make_weights(work: Path, ct: Path, classes: int, steps: int = 150) -> None:
    """A network that finds the CT's organs, `work/ct-<classes>/weights.pt`: it is trained on that very CT.

    With it predictions look like organs and not like noise, on which connected parts, compression and the search for
    organs cost other times than in use. It is flipped along y in training because not every contestant orients volumes.
    """
    import torch

    from organbench.data import cases, conversion
    from organbench.hardware import devices
    from organbench.inference import weights
    from organbench.learning.trainer import Trainer

    folder = make_ct(work, ct, classes)
    if (folder / "weights.pt").exists():
        return
    organs = indices(classes)
    conversion.convert(
        "ct",
        folder / "volume.nii.gz",
        folder / "labels.nii.gz",
        folder / "case",
        organs=organs,
        spacing=SPACING,
    )
    _, settings = training_settings()
    settings |= {"steps": steps, "batch_size": 4, "patch": list(PATCH), "context": 0}
    settings["augmentation"] = settings["augmentation"] | {"flip": ["y"]}
    trained = Trainer(
        task(NETWORK, settings, WINDOW, organs),
        [cases.load(folder / "case")],
        [],
        device=devices.prepare(threads=torch.get_num_threads(), gpus=1),
        checkpoint=folder / "checkpoint.pt",
        stamp="",
    ).train()
    weights.save(folder / "weights.pt", trained.network, trained.recipe)


def task(
    network: Mapping[str, Any], settings: Mapping[str, Any], window: Sequence[float], organs: Iterable[str]
) -> Any:
    """What a network is to learn, as a study with these settings has it; with the default study's way of predicting."""
    from organbench.core.files import tuples
    from organbench.learning.settings import Task, Training
    from organbench.study.settings import Study

    prediction, (low, high) = Study.of(default_study()).prediction, window
    return Task(network, Training(**tuples(settings)), prediction, (low, high), tuple(organs), seed=0)


def training_settings() -> tuple[dict[str, Any], dict[str, Any]]:
    """The default study's U-Net: its own options, and its training settings."""
    from organbench.study.kinds import network

    return network.settings("unet", default_study())


def make_long_scan(work: Path, ct: Path, classes: int, slices: int = 900) -> None:
    """A whole-body scan of 512 x 512 x `slices`, 1 mm apart, as a prepared case `work/ct-<classes>/long`.

    The CT, mirrored again and again along z; int16.
    """
    import numpy as np
    import SimpleITK as sitk

    from organbench.data import conversion, images

    folder = make_ct(work, ct, classes)
    if (folder / "long" / "case.json").exists():
        return
    files = [folder / f"long-{what}.nii.gz" for what in ("volume", "labels")]
    for name, kind, file in zip(("volume", "labels"), (np.int16, np.uint8), files, strict=True):
        image = sitk.ReadImage(folder / f"{name}.nii.gz")
        array = sitk.GetArrayViewFromImage(image).astype(kind)
        longer = sitk.GetImageFromArray(np.pad(array, ((0, slices - len(array)), (0, 0), (0, 0)), mode="symmetric"))
        longer.SetSpacing((*image.GetSpacing()[:2], 1.0))
        longer.SetOrigin(image.GetOrigin())
        longer.SetDirection(image.GetDirection())
        images.write(longer, file)
    conversion.convert("long", *files, folder / "long", organs=indices(classes), spacing=SPACING)


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text())


def nnunet_plans(classes: int) -> tuple[Any, Any, dict[str, Any]]:
    """What nnU-Net plans for a network of ours: plans, its 2D configuration, and the data set's description.

    Resampling is what its default planner chooses: cubic for images, linear for labels and logits, nearest along z
    where slices are thick. The normalisation is `WINDOW`.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    low, high = WINDOW
    middle, half = (low + high) / 2, (high - low) / 2
    resampling: dict[str, Any] = {}
    for what, is_seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1)):
        resampling[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        resampling[f"resampling_fn_{what}_kwargs"] = {
            "is_seg": is_seg,
            "order": order,
            "order_z": 0,
            "force_separate_z": None,
        }
    configuration = resampling | {
        "data_identifier": "benchmark",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": BATCH,
        "patch_size": list(PATCH),
        "spacing": list(SPACING)[::-1],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "architecture": {},  # the network is given ready-made
    }
    plans = PlansManager(
        {
            "dataset_name": "benchmark",
            "plans_name": "nnUNetPlans",
            "image_reader_writer": "SimpleITKIO",
            "label_manager": "LabelManager",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "foreground_intensity_properties_per_channel": {
                "0": {"mean": middle, "std": half, "percentile_00_5": low, "percentile_99_5": high}
            },
            "configurations": {"2d": configuration},
        }
    )
    labels = {"background": 0} | {organ: index for index, organ in enumerate(ORGANS_OF[classes], start=1)}
    dataset = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"}
    return plans, plans.get_configuration("2d"), dataset
