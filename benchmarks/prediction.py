"""A CT from its file to its segmentation's file on the original grid: OrganBench, MONAI and nnU-Net v2.

All use the same network with the same weights (inputs.py), no mirroring, and windows that hold a whole slice, so that
each voxel is computed once. Each keeps its own defaults of precision and memory format.
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import contest
import inputs

CLASSES = 7


def scored(work: Path, path: Path, started: float) -> dict[str, float]:
    """Seconds since the start (imports excluded), and the mean Dice of what was written, to show that it is the job."""
    seconds = time.perf_counter() - started
    import numpy as np
    import SimpleITK as sitk

    written, truth = (sitk.ReadImage(file) for file in (path, work / f"ct-{CLASSES}" / "labels.nii.gz"))
    assert written.GetSize() == truth.GetSize()
    assert np.allclose(written.GetDirection(), truth.GetDirection())
    ours, theirs = sitk.GetArrayViewFromImage(written), sitk.GetArrayViewFromImage(truth)
    dice = [
        2 * np.sum((ours == k) & (theirs == k)) / (np.sum(ours == k) + np.sum(theirs == k)) for k in range(1, CLASSES)
    ]
    return {"seconds": seconds, "dice": float(np.mean(dice))}


def predictor(folder: Path) -> tuple[Any, Any]:
    """What workflow/scripts/predict.py sets up: the predictor, and which parts of a prediction go."""
    import torch

    from organbench.hardware import devices
    from organbench.inference import weights
    from organbench.inference.prediction import Predictor
    from organbench.study.settings import Study

    settings = Study.of(inputs.default_study()).prediction
    device = devices.prepare(threads=torch.get_num_threads(), gpus=1)
    network, recipe = weights.load(folder / "weights.pt", device)
    whole = Predictor(network, recipe, replace(settings, mirror=False), device, batch_size=inputs.BATCH)
    return whole, settings.specks(recipe.organ_ml, recipe.organs)


def organbench(work: Path) -> dict[str, float]:
    """OrganBench's two jobs one after the other.

    Convert: volume and labels are read, checked and resampled, the case is written. Predict: slices in batches; each
    organ's probability is resampled to the original grid (linear), then argmax; specks removed; NIfTI written. bf16
    where the processor has it, channels last.
    """
    from organbench.data import cases, conversion
    from organbench.inference.prediction import predict_case

    folder = work / f"ct-{CLASSES}"
    started = time.perf_counter()
    organs = inputs.indices(CLASSES)
    conversion.convert(
        "ct",
        folder / "volume.nii.gz",
        folder / "labels.nii.gz",
        folder / "converted",
        organs=organs,
        spacing=inputs.SPACING,
    )
    network, specks = predictor(folder)
    case = cases.load(folder / "converted")
    prediction = predict_case(network, case, specks)
    conversion.write_prediction(prediction, case, folder / "organbench.nii.gz")
    return scored(work, folder / "organbench.nii.gz", started)


def organbench_image_only(work: Path) -> dict[str, float]:
    """As above, but the labels are not looked at and no case is written: just what the peers do, too."""
    import SimpleITK as sitk

    from organbench.data import cases, conversion, grids, resampling
    from organbench.data.grids import Grid
    from organbench.data.images import read_volume
    from organbench.inference.prediction import predict_case

    folder = work / f"ct-{CLASSES}"
    started = time.perf_counter()
    volume = read_volume(folder / "volume.nii.gz")
    original, orientation = Grid.of(volume), grids.orientation(volume)
    volume = grids.orient(volume)
    oriented = Grid.of(volume)
    working = oriented.with_spacing(inputs.SPACING)
    image = resampling.resample_volume(sitk.GetArrayViewFromImage(volume), oriented, working)
    info = {"orientation": orientation, "organs": inputs.indices(CLASSES)}
    case = cases.Case("ct", image, image[:0], image[:0], info, working, oriented, original)
    network, specks = predictor(folder)
    prediction = predict_case(network, case, specks)
    conversion.write_prediction(prediction, case, folder / "image-only.nii.gz")
    return scored(work, folder / "image-only.nii.gz", started)


def network_of(folder: Path, device: Any) -> Any:
    """The network as it is built, for a peer: in torch's default memory format, ready to predict."""
    import torch

    from organbench import networks

    content = torch.load(folder / "weights.pt", map_location="cpu", weights_only=True)
    recipe = content["recipe"]
    network = networks.build(
        recipe["network"], in_channels=recipe["in_channels"], classes=recipe["classes"], norm=recipe["norm"]
    )
    network.load_state_dict(content["state_dict"])
    return network.to(device).eval()


def monai(work: Path, invert: str = "probabilities") -> dict[str, float]:
    """MONAI, the recipe of the model zoo's spleen_ct_segmentation.

    LoadImaged, EnsureChannelFirstd, Orientationd, Spacingd (bilinear), ScaleIntensityRanged; SliceInferer with whole
    slices in batches of the same size; softmax; Invertd of the probabilities (linear), argmax, SaveImaged. With "labels
    inverted" argmax comes first and Invertd brings labels back by the nearest voxel: less work, and staircases where
    the others have smooth borders. float32, torch's memory format.
    """
    import numpy as np
    import torch
    from monai import transforms
    from monai.inferers import SliceInferer

    folder = work / f"ct-{CLASSES}"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started = time.perf_counter()
    network = network_of(folder, device)
    low, high = inputs.WINDOW
    prepare = transforms.Compose(
        [
            transforms.LoadImaged("image"),
            transforms.EnsureChannelFirstd("image"),
            transforms.Orientationd("image", axcodes="LPS"),
            transforms.Spacingd("image", pixdim=inputs.SPACING, mode="bilinear"),
            transforms.ScaleIntensityRanged("image", a_min=low, a_max=high, b_min=-1.0, b_max=1.0, clip=True),
            transforms.EnsureTyped("image"),
        ]
    )
    steps: dict[str, list[Any]] = {
        "probabilities": [
            transforms.Activationsd("pred", softmax=True),
            transforms.Invertd("pred", transform=prepare, orig_keys="image", nearest_interp=False),
            transforms.AsDiscreted("pred", argmax=True),
        ],
        "labels": [
            transforms.AsDiscreted("pred", argmax=True),
            transforms.Invertd("pred", transform=prepare, orig_keys="image", nearest_interp=True),
        ],
    }
    save = transforms.SaveImaged(
        "pred",
        output_dir=folder,
        output_postfix=f"monai-{invert}",
        output_dtype=np.uint8,
        separate_folder=False,
        print_log=False,
    )
    finish = transforms.Compose([*steps[invert], save])
    inferer = SliceInferer(spatial_dim=2, roi_size=inputs.PATCH, sw_batch_size=inputs.BATCH, overlap=0)
    case = prepare({"image": folder / "volume.nii.gz"})
    with torch.inference_mode():  # MONAI's axes are x y z, the network's are y x
        case["pred"] = inferer(
            case["image"][None].to(device), lambda batch: network(batch.transpose(-1, -2)).transpose(-1, -2)
        )[0]
    finish(case)
    return scored(work, folder / f"volume_monai-{invert}.nii.gz", started)


def nnunet(work: Path) -> dict[str, float]:
    """nnU-Net v2's nnUNetPredictor.predict_from_files_sequential, its way without further processes.

    All settings its own (Gaussian weights, step 0.5, cubic resampling of the image, linear of the logits, slices one at
    a time, float32), but mirroring off. Its CT normalisation is given the numbers that make it the others' window.
    """
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    folder = work / f"ct-{CLASSES}"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started = time.perf_counter()
    network = network_of(folder, device)
    plans, configuration, dataset = inputs.nnunet_plans(CLASSES)
    predictor = nnUNetPredictor(use_mirroring=False, device=device, allow_tqdm=False)
    predictor.manual_initialization(network, plans, configuration, [network.state_dict()], dataset, "none", None)
    predictor.predict_from_files_sequential([[str(folder / "volume.nii.gz")]], [str(folder / "nnunet")])
    return scored(work, folder / "nnunet.nii.gz", started)


CLAIM = {"what": "a case's prediction, from file to NIfTI", "measure": "process_seconds"}

if __name__ == "__main__":
    contest.main(
        "prediction",
        {
            "organbench": organbench,
            "organbench, image only": organbench_image_only,
            "monai": monai,
            "monai, labels inverted": partial(monai, invert="labels"),
            "nnunet": nnunet,
        },
        claims=[
            CLAIM | {"ours": "organbench", "against": ["monai"], "least": 4},
            CLAIM | {"ours": "organbench", "against": ["monai, labels inverted"], "least": 4},
            CLAIM | {"ours": "organbench", "against": ["nnunet"], "least": 3},
            CLAIM | {"ours": "organbench, image only", "against": ["monai"], "least": 4},
            CLAIM | {"ours": "organbench, image only", "against": ["monai, labels inverted"], "least": 4},
            CLAIM | {"ours": "organbench, image only", "against": ["nnunet"], "least": 3},
        ],
        prepare=lambda work, ct: inputs.make_weights(work, ct, CLASSES),
    )
