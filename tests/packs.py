"""Tiny packed models for the tests."""

import torch
from tiny import ORGANS, PREDICTION, UNET, WINDOW

from organbench.core.files import tuples
from organbench.inference import models
from organbench.inference.settings import Prediction
from organbench.inference.weights import Recipe

TEXTS = {models.CARD: "# A card\n", models.METHODS: "# Methods\n", models.SCORES: "metric,organ\n"}


def recipe_of(network=UNET, *, patch=(8, 8), context=0, run="unet/fold0-seed0", **changes):
    fields = {
        "network": network,
        "in_channels": 1 + 2 * context,
        "classes": 3,
        "norm": "batch",
        "deep_supervision": False,
        "patch": patch,
        "context": context,
        "organs": tuple(ORGANS),
        "window": WINDOW,
        "precision": "fp32",
        "organ_ml": (1.5, 0.5),
        "parameters": 10,
        "multiply_adds_per_voxel": 2.5,
        "run": run,
    }
    return Recipe(**{**fields, **changes})


def model_of(*members, organs=ORGANS, spacing=(None, None, None), prediction=PREDICTION, **changes):
    known = {"name": "unet", "study": "tiny", "trained_on": {"p50_hu": (-2000.0, 2000.0)}}
    settings = Prediction(**tuples(prediction))
    return models.Model(members=members, organs=organs, spacing=spacing, prediction=settings, **{**known, **changes})


def member_of(recipe=None, **changes):
    known = {"training": ("a-b-c",), "validation": (), "versions": {"torch": "2"}}
    return models.Member(recipe=recipe or recipe_of(), **{**known, **changes})


def network_of(recipe, seed=0):
    torch.manual_seed(seed)
    return recipe.build()


def pack(path, model=None, states=None, sources=None):
    """Write a model, by default one with one U-Net of random weights."""
    model = model or model_of(member_of())
    states = states or [network_of(member.recipe).state_dict() for member in model.members]
    models.write(path, model, states, TEXTS, sources or {})
    return path
