"""Plan a fold's dataset and preprocess its cases, as nnU-Net does."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.experiment_planning.experiment_planners.residual_unets import residual_encoder_unet_planners
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprint_dataset, plan_experiment_dataset
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from organbench.core.errors import InputError
from organbench.core.files import write_json
from organbench.hardware import devices
from organbench.learning.nnunet import recipe

PLANNERS = {
    "default": default_experiment_planner.ExperimentPlanner,
    "ResEncM": residual_encoder_unet_planners.nnUNetPlannerResEncM,
}
SMALLEST = 4  # voxels of the coarsest feature map, as in nnU-Net's planner


def prepare(job: Mapping[str, Any]) -> None:
    """Do it.

    Args:
        job: `entry`, the model's in the config; `preprocessed`, the folder where nnU-Net works; `training` and
            `validation`, names of cases; `threads`; `cost`, the file that says what it took.
    """
    entry, folder = job["entry"], Path(job["preprocessed"], recipe.DATASET)
    device = devices.prepare(threads=job["threads"], gpus=0)
    started = time.monotonic()
    with devices.energy_meter(device) as meter:
        extract_fingerprint_dataset(recipe.DATASET_ID, num_processes=job["threads"], show_progress_bar=False)
        plan_experiment_dataset(recipe.DATASET_ID, PLANNERS[entry["plans"]])
        plans = folder / f"{recipe.PLANS[entry['plans']]}.json"
        edit(plans, entry)
        splits = recipe.splits(job["training"], job["validation"])
        (folder / "splits_final.json").write_text(json.dumps(splits, indent=1))
        configuration = PlansManager(str(plans)).get_configuration(entry["nnunet"])
        preprocessor = configuration.preprocessor_class(verbose=False)
        preprocessor.show_progress_bar = False
        preprocessor.run(recipe.DATASET_ID, entry["nnunet"], plans.stem, num_processes=job["threads"])
    cost = {
        "planning_seconds": round(time.monotonic() - started, 3),
        **meter.joules(),
        **devices.peak_memory(device),
        **devices.describe(device),
        "plans": describe(plans, entry["nnunet"]),
    }
    write_json(cost, job["cost"])
    print(f"planned and preprocessed: {cost['plans']}", flush=True)


def edit(path: Path, entry: Mapping[str, Any]) -> None:
    """Put the entry's patch and batch into plans.

    Raises:
        InputError: the patch has another number of axes than the configuration, or is one that nnU-Net would change.
    """
    plans = json.loads(path.read_text())
    configuration, patch = entry["nnunet"], entry["patch"]
    if configuration not in plans["configurations"]:
        raise InputError(f"config, models: nnU-Net has no plan {configuration} for these scans; choose another")
    topology: dict[str, Any] = {}
    if patch is not None:
        spacing = plans["configurations"][configuration]["spacing"]
        *_, strides, kernels, allowed, _ = get_pool_and_conv_props(spacing, patch, SMALLEST, 999999)
        if list(map(int, allowed)) != list(patch):
            allowed = list(map(int, allowed))
            raise InputError(f"config, models: nnU-Net takes no patch {list(patch)} here; the next is {allowed}")
        topology = {"strides": strides, "kernels": kernels}
    changed = recipe.edited(plans, configuration, patch=patch, batch_size=entry["batch_size"], **topology)
    path.write_text(json.dumps(changed, indent=1))


def describe(path: Path, configuration: str) -> dict[str, Any]:
    """What a paper says of plans."""
    own = json.loads(path.read_text())["configurations"][configuration]
    keys = ("patch_size", "batch_size", "spacing", "normalization_schemes")
    stages = own["architecture"]["arch_kwargs"]["features_per_stage"]
    return {**{key: own[key] for key in keys}, "features": stages}
