"""nnU-Net on the same cases and folds: `{nnunet: 2d}`, by its own recipe or for as many steps as others get."""

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from organbench.core.errors import InputError, plain, suggestion
from organbench.learning.nnunet import recipe
from organbench.study.kinds import Config, Kind

DEFAULTS = {
    "nnunet": "3d_fullres",
    "plans": "default",
    "steps": None,
    "patch": None,
    "batch_size": None,
    "version": recipe.VERSION,
    "python": None,
}
CHECKPOINTS = "nnunet"  # in a run's folder, until it has ended
BROUGHT_ABOUT_BY = ("python",)  # which interpreter has nnU-Net shapes nothing


def settings(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `models` with what it does not say."""
    found = {**DEFAULTS, **entry}
    return found | {"python": found["python"] and os.path.expanduser(found["python"])}


def shaping(entry: Mapping[str, Any], labels: Sequence[Sequence[int]]) -> dict[str, Any]:
    """What shapes the weights of an entry, beside code, cases and seed; in the form of a network's settings.

    Args:
        entry: of `models`.
        labels: values of each organ in the label maps, which nnU-Net reads itself.
    """
    own = {key: value for key, value in settings(entry).items() if key not in BROUGHT_ABOUT_BY}
    return {"network": {**own, "labels": [list(values) for values in labels]}, "training": {}}


def check(name: str, config: Config) -> None:
    """Check the entry's keys, its patch and its interpreter."""
    entry = config["models"][name]
    for key in entry:
        if key not in DEFAULTS:
            hint = suggestion(str(key), DEFAULTS, f"its keys: {', '.join(DEFAULTS)}")
            raise InputError(
                f"config, models.{name}: unknown key {plain(key)}, as nnU-Net has settings of its own; {hint}"
            )
    own = settings(entry)
    axes = "y x" if own["nnunet"] == "2d" else "z y x"
    if own["patch"] is not None and len(own["patch"]) != len(axes.split()):
        raise InputError(
            f"config, models.{name}.patch: nnU-Net's {own['nnunet']} takes {axes}, not {own['patch']}; "
            "or leave it out, and nnU-Net plans it"
        )
    python = own["python"]
    if python is not None and not shutil.which(python):
        raise InputError(
            f"config, models.{name}.python: {plain(python)} is no program here; give the path of the python that has "
            "nnunetv2"
        )


def schedule(entry: Mapping[str, Any]) -> recipe.Schedule:
    """How long an entry trains."""
    return recipe.Schedule.of(settings(entry)["steps"])


def words(name: str, config: Config) -> str:
    """Sentences of methods.md."""
    own = settings(config["models"][name])
    dims = {"2d": "2D", "3d_fullres": "3D full-resolution"}[own["nnunet"]]
    plans = "its default plans" if own["plans"] == "default" else "plans ResEncM [@isensee2024revisited]"
    if own["steps"] is None:
        length = f"by its own recipe ({recipe.EPOCHS} epochs of {recipe.ITERATIONS} steps)"
    else:
        length = f"for {own['steps']} steps, over which the decay of its learning rate was stretched"
    changed = [
        f"a {what} of {' x '.join(map(str, value)) if isinstance(value, list) else value}"
        for what, value in (("patch", own["patch"]), ("batch", own["batch_size"]))
        if value is not None
    ]
    by_hand = f", but for {' and '.join(changed)}, which we set" if changed else ""
    return (
        f"{name} was nnU-Net {own['version']} [@isensee2021nnunet] in its {dims} configuration with {plans}. Of each "
        "fold it saw the training and validation cases alone, on the scanner's grid; it planned its own preprocessing, "
        f"network, patch and batch{by_hand}. It was trained {length}, with its own augmentation, loss and optimizer. "
        "Its windows, mirroring and resampling were its own. But for the number of seeds, what is said below of "
        f"training and prediction is not about it. The Dice in the learning curve of {name} is its own estimate, on "
        "random patches of validation cases, and on a GPU its weights do not repeat to the last bit."
    )


KIND = Kind("nnunet", check, weights="nnunet_train", predictions="nnunet_predict", words=words)
