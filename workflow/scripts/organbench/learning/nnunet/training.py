"""Train nnU-Net on a fold that was prepared, and leave what every training leaves."""

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from organbench.core.files import atomic, write_json
from organbench.core.jobs import termination
from organbench.hardware import devices
from organbench.inference import nnunet
from organbench.learning import building
from organbench.learning.nnunet import recipe
from organbench.learning.nnunet.trainer import Trainer

SAVE_SECONDS = 60.0  # between checkpoints, at least


def train(job: Mapping[str, Any]) -> None:
    """Do it, from the last checkpoint if there is one.

    Args:
        job: `entry`, the model's in the config; `preprocessed`, as for `prepare`; `organs`, in order; `seed`;
            `validated`, whether there are validation cases; `stamp`, of all that shapes the weights; `threads` and
            `gpus` of the job; `folder`, for weights.pt, history.csv and cost.json. Checkpoints lie where nnU-Net keeps
            its results.
    """
    device = devices.prepare(threads=job["threads"], gpus=job["gpus"])
    as_it_comes(device)
    entry, folder = job["entry"], Path(job["preprocessed"], recipe.DATASET)
    plans = json.loads((folder / f"{recipe.PLANS[entry['plans']]}.json").read_text())
    dataset = json.loads((folder / "dataset.json").read_text())
    trainer = Trainer(plans | {"continue_training": False}, entry["nnunet"], recipe.FOLD, dataset, device)
    with devices.energy_meter(device) as meter, termination() as ending:
        trainer.set_up(
            recipe.Schedule.of(entry["steps"]),
            seed=job["seed"],
            stamp=job["stamp"],
            workers=max(0, job["threads"] - 1) if device.type == "cuda" else 0,
            meter=meter,
            save_seconds=float(os.environ.get("ORGANBENCH_CHECKPOINT_SECONDS", SAVE_SECONDS)),
            ending=ending,
        )
        trainer.resume()
        trainer.run_training()
    write(trainer, job)


def as_it_comes(device: torch.device) -> None:
    """On a GPU have nnU-Net choose algorithms as it does by itself: its loss has none that repeats there."""
    if device.type == "cuda":
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = True


def write(trainer: Trainer, job: Mapping[str, Any]) -> None:
    """Write weights, history and cost into the job's folder."""
    device, folder, organs = trainer.device, Path(job["folder"]), list(job["organs"])
    network: Any = trainer.network
    network = getattr(network, "_orig_mod", network)  # as it was before it was compiled
    trainer.set_deep_supervision_enabled(False)
    plans, configuration = trainer.plans_manager.plans, trainer.configuration_manager
    size = building.count(network, trainer.num_input_channels, configuration.patch_size)
    nnunet.save(
        folder / "weights.pt",
        network,
        plans={key: value for key, value in plans.items() if key != "continue_training"},
        dataset=trainer.dataset_json,
        configuration=trainer.configuration_name,
        mirrored=trainer.inference_allowed_mirroring_axes,
        trainer=nnUNetTrainer.__name__,  # so that nnU-Net's own programs find it
        size=size,
        stamp=job["stamp"],
    )
    rows = trainer.rows(organs)
    if not job["validated"]:  # it has validated on what it learned from
        rows = [{key: "" if key.startswith("dice_") else value for key, value in row.items()} for row in rows]
    with atomic(folder / "history.csv") as path, path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    samples = trainer.schedule.steps * trainer.batch_size
    described = devices.describe(device)
    described["versions"]["nnunetv2"] = nnunet.version()
    cost = {
        "parameters": size.parameters,
        "multiply_adds_per_voxel": size.multiply_adds_per_voxel,
        "training_seconds": round(trainer.seconds, 3),
        "samples_per_second": round(samples / max(trainer.seconds, 1e-9), 3),
        "precision": nnunet.precision(device),
        **trainer.joules,
        "fingerprint": {"step": trainer.schedule.steps, "sha256": building.fingerprint(network)},
        "stamp": job["stamp"],
        "bit_exact": device.type == "cpu",
        "resumed": [{"epoch": epoch} for epoch in trainer.resumed_at],
        **devices.peak_memory(device),
        **described,
        "steps": trainer.schedule.steps,
    }
    write_json(cost, folder / "cost.json")
    print(f"trained for {trainer.schedule.steps} steps", flush=True)
