"""Predict a case with a network that nnU-Net has trained, as nnU-Net does: its windows, its mirroring, its resampling.

What `weights.pt` holds is also a checkpoint of nnU-Net's own; its `plans.json` and `dataset.json` are in it.
"""

import importlib.metadata
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from organbench.core.errors import InputError
from organbench.core.files import atomic, write_json
from organbench.hardware import devices
from organbench.inference.weights import read_archive


def version() -> str:
    """The version of nnU-Net here."""
    return importlib.metadata.version("nnunetv2")


def precision(device: torch.device) -> str:
    """What nnU-Net computes in on a device."""
    return "fp16" if device.type == "cuda" else "fp32"


def save(
    path: Path,
    network: nn.Module,
    *,
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    configuration: str,
    mirrored: Sequence[int] | None,
    trainer: str,
    size: Any,
    stamp: str,
) -> None:
    """Write a trained network with all that rebuilds it: plain values only.

    Args:
        path: the file.
        network: what nnU-Net has trained.
        plans: nnU-Net's.
        dataset: what `dataset.json` holds.
        configuration: `2d` or `3d_fullres`.
        mirrored: axes along which it may be mirrored.
        trainer: whose network it is, as nnU-Net knows it.
        size: parameters, and multiply_adds_per_voxel.
        stamp: of all that shaped the weights.
    """
    weights = {key: value.detach().cpu() for key, value in network.state_dict().items()}
    content = {
        "state_dict": weights,
        "network_weights": weights,  # what nnU-Net calls them; no second copy on disk
        "trainer_name": trainer,
        "init_args": {"configuration": configuration, "fold": 0},
        "inference_allowed_mirroring_axes": None if mirrored is None else [int(axis) for axis in mirrored],
        "plans": json.loads(json.dumps(plans)),
        "dataset": json.loads(json.dumps(dataset)),
        "size": dict(vars(size)),
        "training": stamp,
    }
    with atomic(path) as temporary:
        torch.save(content, temporary)


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote.

    Raises:
        InputError: the file is damaged or holds something else.
        OSError: it cannot be read now.
    """
    try:
        content = read_archive(path)
        content["plans"]["configurations"], content["network_weights"], content["size"]["parameters"]
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{path}: holds no weights of nnU-Net ({type(error).__name__}); delete it to train again"
        ) from None
    return content


def predict(job: Mapping[str, Any]) -> None:
    """Predict one case, with one fold's network and no other process.

    Args:
        job: `image`, the scan (.nii.gz); `weights`; `case`; `threads` and `gpus` of the job; `labels`, the file for
            organ indices on the scan's own grid; `cost`, the file that says what it took.
    """
    device = devices.prepare(threads=job["threads"], gpus=job["gpus"])
    content = load(Path(job["weights"]))
    predictor = predictor_of(content, device)
    voxels = count_voxels(predictor.network)
    reader = predictor.plans_manager.image_reader_writer_class()
    image, properties = reader.read_images([job["image"]])
    started = time.monotonic()
    with devices.energy_meter(device) as meter:
        found = predictor.predict_single_npy_array(image, properties)
    seconds = time.monotonic() - started
    with atomic(job["labels"]) as temporary:
        reader.write_seg(found, str(temporary), properties)
    described = devices.describe(device)
    described["versions"]["nnunetv2"] = version()
    cost = {
        "case": job["case"],
        "voxels": int(np.prod(found.shape)),
        "parameters": content["size"]["parameters"],
        "multiply_adds": round(content["size"]["multiply_adds_per_voxel"] * voxels[0]),
        "prediction_seconds": round(seconds, 3),
        "precision": precision(device),
        **meter.joules(),
        **devices.peak_memory(device),
        **described,
    }
    write_json(cost, job["cost"])


def predictor_of(content: Mapping[str, Any], device: torch.device) -> Any:
    """nnU-Net's predictor of a network that `load` gave."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(content["plans"])
    configuration = plans.get_configuration(content["init_args"]["configuration"])
    channels = determine_num_input_channels(plans, configuration, content["dataset"])
    classes = plans.get_label_manager(content["dataset"]).num_segmentation_heads
    network = nnUNetTrainer.build_network_architecture(plans, configuration, channels, classes, False)
    weights = content["network_weights"]
    network.load_state_dict(weights)
    predictor = nnUNetPredictor(device=device, allow_tqdm=False)
    mirrored = content["inference_allowed_mirroring_axes"]
    predictor.manual_initialization(
        network, plans, configuration, [weights], content["dataset"], content["trainer_name"], mirrored
    )
    return predictor


def count_voxels(network: nn.Module) -> list[int]:
    """A list whose one entry grows by the voxels that a network sees from now on."""
    seen = [0]

    def add(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen[0] += inputs[0].shape[0] * int(np.prod(inputs[0].shape[2:]))

    network.register_forward_pre_hook(add)
    return seen
