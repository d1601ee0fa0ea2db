"""Training steps a second: OrganBench's whole loop, the bare network on one batch, and a plain MONAI recipe.

The network, patch and batch are the default study's U-Net's, the cases its patients. Seconds are those of a step, after
steps that are not counted; reading and preparing the cases, validation and checkpoints are in nobody's time.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import contest
import inputs

WARMUP, STEPS = 10, 50


def organbench(work: Path) -> dict[str, float]:
    """organbench.learning.trainer.Trainer on prepared cases, as the workflow calls it.

    Batches read by a thread, augmentation, forward, loss, backward, clipping, fused AdamW, progress; bf16 where the
    processor has it, channels last, repeatable to the last bit.
    """
    import torch

    from organbench.data import cases
    from organbench.hardware import devices
    from organbench.learning.trainer import Trainer

    options, settings = inputs.training_settings()
    settings |= {"steps": WARMUP + STEPS, "validate_every": WARMUP}  # the seconds are told at these steps
    study = inputs.default_study()
    threads = torch.get_num_threads()
    trained = Trainer(
        inputs.task(options, settings, study["preprocessing"]["window"], study["dataset"]["organs"]),
        [cases.load(work / "cases" / str(number)) for number in range(inputs.PHANTOMS)],
        [],
        device=devices.prepare(threads=threads, gpus=1),
        checkpoint=work / "checkpoint.pt",
        stamp="",
        workers=max(1, threads // 2),
    ).train()
    told = {row["step"]: row["seconds"] for row in trained.rows}
    return rate(told[WARMUP + STEPS] - told[WARMUP])


def rate(seconds: float) -> dict[str, float]:
    """What a contestant tells of its counted steps."""
    return {"seconds": seconds / STEPS, "steps_per_second": STEPS / seconds}


def timed(steps: Iterator[Any], device: Any) -> dict[str, float]:
    """Run the steps, those that are not counted first."""
    import torch

    started = 0.0
    for done, _ in enumerate(steps, start=1):
        if done in (WARMUP, WARMUP + STEPS):
            if device.type == "cuda":
                torch.cuda.synchronize()
            if done > WARMUP:
                break
            started = time.perf_counter()
    return rate(time.perf_counter() - started)


def network_on_one_batch(work: Path) -> dict[str, float]:
    """The same network, precision, memory format, loss, clipping and optimizer on one random batch on the device.

    No data, no augmentation, and torch is not asked for repeatable results.
    """
    import torch
    from torch import nn

    from organbench import networks
    from organbench.hardware import devices
    from organbench.learning import choices

    options, settings = inputs.training_settings()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = devices.precision(settings["precision"], device)
    channels, classes = 2 * settings["context"] + 1, len(inputs.default_study()["dataset"]["organs"]) + 1
    torch.manual_seed(0)
    network = networks.build(options, in_channels=channels, classes=classes, norm=settings["norm"])
    network = devices.place(network, device, 2).train()
    make_optimizer = choices.load("optimizer", settings["optimizer"])
    optimizer = make_optimizer(network.parameters(), settings["learning_rate"], settings["weight_decay"])
    loss_of = choices.load("loss", settings["loss"])
    shape = (settings["batch_size"], *settings["patch"])
    images = torch.rand(shape[0], channels, *shape[1:], device=device) * 2 - 1
    images = images.contiguous(memory_format=devices.memory_format(2))
    targets = torch.randint(classes, shape, device=device)

    def steps() -> Iterator[None]:
        while True:
            optimizer.zero_grad(set_to_none=True)
            with devices.autocast(device, precision):
                logits = network(images)
            loss_of(logits, targets).backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings["gradient_clip"])
            optimizer.step()
            yield

    return timed(steps(), device)


def monai(work: Path, workers: int) -> dict[str, float]:
    """A plain MONAI recipe, with the default study's ranges; its best number of workers counts.

    CacheDataset keeps the results of LoadImaged, EnsureChannelFirstd, Orientationd, Spacingd, ScaleIntensityRanged and
    ClassesToIndicesd; RandCropByLabelClassesd (7 crops of each of 2 patients), RandAffined, RandShiftIntensityd,
    RandScaleIntensityd, RandGaussianNoised, RandAdjustContrastd; DataLoader; DiceCELoss; AdamW. No clipping. float32,
    torch's memory format.
    """
    import numpy as np
    import torch
    from monai import transforms
    from monai.data import CacheDataset, DataLoader
    from monai.losses import DiceCELoss
    from torch.utils.data import RandomSampler

    from organbench import networks

    options, settings = inputs.training_settings()
    study = inputs.default_study()
    change = settings["augmentation"]
    low, high = study["preprocessing"]["window"]
    context, patch = settings["context"], settings["patch"]
    slices, classes = 2 * context + 1, len(study["dataset"]["organs"]) + 1
    near = settings["foreground"] / (classes - 1)
    patients = 2
    unit = 2.0 / (high - low)  # of what the network sees, a HU
    angle = np.deg2rad(change["rotation"])
    both = ["image", "label"]
    recipe = transforms.Compose(
        [
            transforms.LoadImaged(both),
            transforms.EnsureChannelFirstd(both),
            transforms.Orientationd(both, axcodes="LPS"),
            transforms.Spacingd(both, pixdim=study["preprocessing"]["spacing"], mode=("bilinear", "nearest")),
            transforms.ScaleIntensityRanged("image", a_min=low, a_max=high, b_min=-1.0, b_max=1.0, clip=True),
            transforms.ClassesToIndicesd("label", num_classes=classes),
            transforms.RandCropByLabelClassesd(
                both,
                label_key="label",
                spatial_size=[*patch, slices],
                ratios=[1 - settings["foreground"], *[near] * (classes - 1)],
                num_classes=classes,
                num_samples=settings["batch_size"] // patients,
                indices_key="label_cls_indices",
                warn=False,
            ),
            transforms.Lambdad("image", lambda image: image[0].permute(2, 0, 1)),  # slices become channels
            transforms.Lambdad("label", lambda label: label[..., context]),
            transforms.RandAffined(
                both,
                prob=1.0,
                rotate_range=angle,
                scale_range=[change["scale"]] * 2,
                mode=("bilinear", "nearest"),
                padding_mode="border",
                cache_grid=True,
                spatial_size=patch,
            ),
            transforms.RandShiftIntensityd("image", prob=1.0, offsets=change["hu_shift"] * unit),
            transforms.RandScaleIntensityd("image", prob=1.0, factors=change["hu_scale"]),
            transforms.RandGaussianNoised("image", prob=1.0, std=change["hu_noise"] * unit),
            transforms.RandAdjustContrastd("image", prob=1.0, gamma=(1 - change["gamma"], 1 + change["gamma"])),
        ]
    )
    files = [
        {"image": work / "phantoms" / f"volume-{number}.nii.gz", "label": work / "phantoms" / f"labels-{number}.nii.gz"}
        for number in range(inputs.PHANTOMS)
    ]
    dataset = CacheDataset(files, recipe, progress=False)
    drawn = RandomSampler(dataset, replacement=True, num_samples=patients * (WARMUP + STEPS))
    loader = DataLoader(dataset, batch_size=patients, sampler=drawn, num_workers=workers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = networks.build(options, in_channels=slices, classes=classes, norm=settings["norm"]).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings["learning_rate"], weight_decay=settings["weight_decay"]
    )
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True)

    def steps() -> Iterator[None]:
        for batch in loader:
            images, labels = batch["image"].to(device), batch["label"].to(device)
            optimizer.zero_grad()
            loss_of(network(images), labels).backward()
            optimizer.step()
            yield

    return timed(steps(), device)


MONAI = {f"monai, {workers} workers": partial(monai, workers=workers) for workers in (0, 1, 2)}
CLAIM = {"what": "training steps a second", "measure": "seconds", "ours": "organbench"}

if __name__ == "__main__":
    contest.main(
        "training",
        {"organbench": organbench, "network on one batch": network_on_one_batch, **MONAI},
        claims=[
            CLAIM | {"against": ["network on one batch"], "least": 0.95},
            CLAIM | {"against": list(MONAI), "least": 2.5},
        ],
        prepare=lambda work, _: inputs.make_phantoms(work),
        needs_ct=False,
    )
