"""A network that this workflow trains, of ours or imported: `{network: unet, features: [32, 64]}`."""

import copy
from typing import Any

from organbench import networks
from organbench.core import outside
from organbench.core.errors import InputError, plain, suggestion
from organbench.study import kinds, merging
from organbench.study.kinds import Config, Kind

KEPT = ("last", "best")  # what the training setting `weights` may be; anything else is a file


def settings(name: str, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model's network options, and the training settings with its own overrides applied.

    An imported network is not imported here: every key that is no training setting is taken for an option of it.
    `weights` with a file, and its `sha256`, become the option `pretrained`.

    Raises:
        InputError: the model is of an unknown network, or sets a key that is neither.
    """
    entry = dict(config["models"][name])
    start = pretrained(name, entry)
    training = copy.deepcopy({key: value for key, value in config["training"].items() if key not in ("seeds", "tune")})
    is_outside = outside.is_outside(entry["network"])
    if not is_outside and entry["network"] not in networks.available():
        raise InputError(
            f"config: there is no network {entry['network']!r}; available: {', '.join(networks.available())}; or give "
            "an import path such as monai.networks.nets.SegResNet, or file.py:Class"
        )
    options = set() if is_outside else set(networks.options_of(entry["network"]))
    network = {"network": entry.pop("network"), **start}
    for key, value in entry.items():
        if key in options or (is_outside and key not in training):
            network[key] = value
        elif key in training:
            merging.merge(training, {key: value})
        else:
            hint = suggestion(str(key), options | set(training), f"its options: {', '.join(sorted(options))}")
            raise InputError(f"config, models.{name}: unknown key {plain(key)}; {hint}")
    if network.get("dims", 2) == 3 and not entry.get("context"):
        training["context"] = 0  # a 3D network sees its neighbouring slices anyway
    return network, training


def pretrained(name: str, entry: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The option `pretrained` of a model that starts from a file of weights; takes what says so out of its entry.

    Raises:
        InputError: one of the two keys is missing.
    """
    if entry.get("weights") in (None, *KEPT):
        if "sha256" in entry:
            raise InputError(f"config, models.{name}: sha256 is of a file of weights; name that in weights")
        return {}
    weights = entry.pop("weights")
    if "sha256" not in entry:
        raise InputError(
            f"config, models.{name}.weights: {plain(weights)} is neither {' nor '.join(KEPT)}; for a file to start "
            f"from also give sha256, which sha256sum {plain(weights)} tells"
        )
    return {"pretrained": {"weights": weights, "sha256": entry.pop("sha256").lower()}}


def check(name: str, config: Config) -> None:
    """Check the model's own keys, and that patch and dimensions agree."""
    for key in sorted(kinds.known().keys() & config["models"][name].keys() - {KIND.key}):
        raise InputError(f"config, models.{name}: {key} does not go with network; remove one of the two")
    network, training = settings(name, config)
    if outside.is_outside(network["network"]):
        try:
            outside.files_of(network["network"])
        except InputError as error:
            raise InputError(f"config, models.{name}: {error}") from None
    if training["steps"] is None:
        raise InputError(f"config, models.{name}.steps: null is for nnU-Net, which has a recipe; give a number")
    dims = network.get("dims", 2)
    if len(training["patch"]) != dims:
        raise InputError(
            f"config, models.{name}: the network has {dims} dimensions, but training.patch is {training['patch']}; "
            f"give the model a patch of {dims} numbers ({'y x' if dims == 2 else 'z y x'})"
        )
    if training["context"] and dims == 3:
        raise InputError(f"config, models.{name}: context is for 2D networks; set it to 0 for this model")


KIND = Kind("network", check)
