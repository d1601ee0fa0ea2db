"""Tiny patients, settings and networks for the tests of what is trained and predicted."""

import copy

import numpy as np
import SimpleITK as sitk
import torch
from hypothesis import settings
from torch import nn

from organbench.core.files import tuples
from organbench.data import cases, conversion
from organbench.inference.settings import Prediction
from organbench.inference.windows import scaled
from organbench.learning.settings import Task, Training
from organbench.learning.trainer import Trainer

ORGANS = {"liver": [1], "bladder": [5]}
HU = {0: 0, 1: 300, 5: 600}  # so far apart that a tiny network soon learns them
WINDOW = (-1000, 1000)

UNET = {"network": "unet", "dims": 2, "features": [4, 8]}
GHOSTUNET = {"network": "ghostunet", "dims": 2, "features": [4, 8]}

NO_AUGMENTATION = {"rotation": 0, "scale": 0, "flip": [], "hu_shift": 0, "hu_scale": 0, "hu_noise": 0, "gamma": 0}
AUGMENTATION = {
    "rotation": 15,
    "scale": 0.15,
    "flip": ["x"],
    "hu_shift": 20,
    "hu_scale": 0.1,
    "hu_noise": 20,
    "gamma": 0.1,
}
TRAINING = {
    "steps": 6,
    "batch_size": 3,
    "patch": [16, 16],
    "context": 0,
    "foreground": 0.67,
    "loss": "dice_ce",
    "norm": "batch",
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "schedule": "polynomial",
    "warmup": 2,
    "gradient_clip": 1.0,
    "precision": "fp32",
    "ema": 0,
    "deep_supervision": False,
    "slices": "all",
    "compile": False,
    "validate_every": 2,
    "weights": "last",
    "augmentation": AUGMENTATION,
}

PREDICTION = {"overlap": 0.5, "mirror": False, "smallest_part": 0.0, "keep_largest": []}


def training_settings(**changes):
    """The config's `training` of a tiny study, with changes."""
    return copy.deepcopy(TRAINING) | changes


def settings_of(**changes):
    """The same as a training gets them."""
    return Training(**tuples(training_settings(**changes)))


def task_of(settings=TRAINING, *, network=UNET, prediction=PREDICTION, window=WINDOW, seed=0):
    """What a tiny network is to learn."""
    settings, prediction = Training(**tuples(settings)), Prediction(**tuples(prediction))
    return Task(network, settings, prediction, window, organs=tuple(ORGANS), seed=seed)


def train(patients, validation, checkpoint, *, network=UNET, prediction=PREDICTION, seed=0, settings=None, **options):
    """Train a tiny network on the patients."""
    task = task_of(settings or TRAINING, network=network, prediction=prediction, seed=seed)
    options = {"device": torch.device("cpu"), "stamp": "stamp"} | options
    return Trainer(task, patients, validation, checkpoint=checkpoint, **options).train()


def examples(count):
    """Settings of a property test: this many examples, the same in every run."""
    return settings(max_examples=count, deadline=None, derandomize=True)


def label_map(shape=(6, 24, 20), *, bladder=True):
    """Label values (z y x): a large liver, and a bladder of few voxels in the opposite corner."""
    labels = np.zeros(shape, np.uint8)
    labels[1:-1, 2:13, 2:11] = 1
    if bladder:
        labels[2:4, 19:22, 15:18] = 5
    return labels


def write_patient(folder, name, labels, *, seed=0, noise=20.0, spacing=(3.0, 3.0, 5.0), orientation="LPS"):
    """Write a volume that shows the labels (values as in `ORGANS`), and the labels; return both paths."""
    hu = np.vectorize(HU.get)(labels) + np.random.default_rng(seed).normal(0.0, noise, labels.shape)
    if noise == 0:
        hu[0, 0, 0] = -1024  # a scan has air
    paths = []
    for kind, array in (("volume", np.rint(hu).astype(np.int16)), ("labels", labels)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing)
        image.SetOrigin((-30.0, 12.5, 40.0))
        paths.append(folder / f"{kind}-{name}.nii.gz")
        sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(paths[-1]))
    return paths


def make_case(folder, name="a", labels=None, *, working=(None, None, None), **options):
    """A prepared case of a patient as `write_patient` writes it."""
    labels = label_map() if labels is None else labels
    volume_path, label_path = write_patient(folder, name, labels, **options)
    conversion.convert(name, volume_path, label_path, folder / name, organs=ORGANS, spacing=working)
    return cases.load(folder / name)


class Pointwise(nn.Module):
    """A "network" whose three logits depend only on the voxel's own intensity, so no crop or window changes them."""

    def __init__(self, divisor=1):
        super().__init__()
        self.divisor = divisor
        self.seen = []  # the shape of each input
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        self.seen.append(tuple(images.shape))
        own = images[:, images.shape[1] // 2]
        return self.scale * torch.stack([torch.zeros_like(own), 2 * own, 1 - 3 * own * own], dim=1)


def pointwise(image):
    """What `Pointwise` makes of an image (HU, z y x): probabilities (class z y x)."""
    with torch.inference_mode():
        return Pointwise()(scaled(torch.from_numpy(np.asarray(image))[None, None], WINDOW))[0].softmax(0).numpy()
