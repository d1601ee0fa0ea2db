"""What nnU-Net is told of a fold: its dataset, its split, its plans and the length of its training."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DATASET, DATASET_ID = "Dataset001_OrganBench", 1
ENDING = ".nii.gz"
FOLD = 0  # each fold of the study has a dataset of its own, and in it one fold
VERSION = "2.8.1"  # of nnunetv2, which envs/nnunet.yaml pins
PLANS = {"default": "nnUNetPlans", "ResEncM": "nnUNetResEncUNetMPlans"}  # what nnU-Net calls its plans
EPOCHS, ITERATIONS, VALIDATION = 1000, 250, 50  # its own recipe: of an epoch so many steps, and batches that validate
LEVELS = 100  # epochs of a shorter training, at least: its learning rate falls once an epoch

Plans = dict[str, Any]


@dataclass(frozen=True)
class Schedule:
    """How long nnU-Net trains.

    Attributes:
        steps: iterations in all.
        epochs: over which its learning rate falls.
        iterations: of an epoch; the last one may be shorter.
        validation: batches of validation cases after an epoch.
    """

    steps: int
    epochs: int
    iterations: int
    validation: int

    @classmethod
    def of(cls, steps: int | None) -> "Schedule":
        """Its own recipe with None; otherwise as many steps, in epochs that are shorter where there would be few."""
        if steps is None:
            return cls(EPOCHS * ITERATIONS, EPOCHS, ITERATIONS, VALIDATION)
        iterations = min(ITERATIONS, math.ceil(steps / LEVELS))
        validation = max(1, round(VALIDATION * iterations / ITERATIONS))
        return cls(steps, math.ceil(steps / iterations), iterations, validation)

    def iterations_of(self, epoch: int) -> int:
        """Steps of an epoch, counted from 0."""
        return min(self.iterations, self.steps - epoch * self.iterations)

    def steps_before(self, epoch: int) -> int:
        """Steps that were taken when an epoch begins."""
        return min(epoch * self.iterations, self.steps)


def dataset_json(organs: Sequence[str], cases: int) -> dict[str, Any]:
    """What nnU-Net is told of a dataset: organs have the labels 1, 2, ... in their order.

    Args:
        organs: their names.
        cases: how many there are.
    """
    return {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **{organ: index for index, organ in enumerate(organs, start=1)}},
        "numTraining": cases,
        "file_ending": ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
    }


def splits(training: Sequence[str], validation: Sequence[str]) -> list[dict[str, list[str]]]:
    """What `splits_final.json` holds: one fold. Without validation cases nnU-Net validates on what it trains on."""
    return [{"train": list(training), "val": list(validation or training)}]


def edited(
    plans: Plans,
    configuration: str,
    *,
    patch: Sequence[int] | None = None,
    batch_size: int | None = None,
    strides: Sequence[Sequence[int]] = (),
    kernels: Sequence[Sequence[int]] = (),
) -> Plans:
    """Plans with another patch or batch.

    Args:
        plans: as nnU-Net made them.
        configuration: `2d` or `3d_fullres`.
        patch: voxels, [z] y x in the order of nnU-Net's axes; None keeps its own.
        batch_size: None keeps its own.
        strides: of each of the network's stages, as nnU-Net derives them from the patch.
        kernels: likewise.
    """
    plans = copy.deepcopy(plans)
    own = plans["configurations"][configuration]
    if batch_size is not None:
        own["batch_size"] = batch_size
    if patch is not None:
        own["patch_size"] = list(patch)
        stages = len(strides)
        network = own["architecture"]["arch_kwargs"]
        for key, length in (
            ("features_per_stage", stages),
            ("n_conv_per_stage", stages),
            ("n_blocks_per_stage", stages),
            ("n_conv_per_stage_decoder", stages - 1),
        ):
            if key in network:
                planned = list(network[key])
                network[key] = [planned[min(stage, len(planned) - 1)] for stage in range(length)]
        network |= {"n_stages": stages, "strides": plain(strides), "kernel_sizes": plain(kernels)}
    return plans


def plain(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Rows of whole numbers, as JSON can hold them."""
    return [[int(value) for value in row] for row in rows]


def environment(task: str, raw: str, preprocessed: str, results: str, threads: int) -> dict[str, str]:
    """The variables that nnU-Net reads.

    Args:
        task: prepare, train or predict.
        raw: the folder of datasets.
        preprocessed: of plans and preprocessed cases.
        results: of trainings.
        threads: of the job.
    """
    count = str(max(1, threads))
    return {
        "nnUNet_raw": raw,
        "nnUNet_preprocessed": preprocessed,
        "nnUNet_results": results,
        "nnUNet_def_n_proc": count,
        # to train none of its workers, see `trainer`; 0 breaks its planning
        "nnUNet_n_proc_DA": "0" if task == "train" else count,
        "nnUNet_wandb_enabled": "0",
        "OMP_NUM_THREADS": count,
    }
