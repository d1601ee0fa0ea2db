"""A network that this workflow trains: `{network: unet, features: [32, 64]}`."""

import copy
from typing import Any

from organbench import networks
from organbench.core.errors import InputError, plain, suggestion
from organbench.study import merging
from organbench.study.kinds import Config, Kind


def settings(name: str, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model's network options, and the training settings with its own overrides applied.

    Raises:
        InputError: the model is of an unknown network, or sets a key that is neither.
    """
    entry = dict(config["models"][name])
    training = copy.deepcopy({key: value for key, value in config["training"].items() if key not in ("seeds", "tune")})
    if entry["network"] not in networks.available():
        raise InputError(
            f"config: there is no network {entry['network']!r}; available: {', '.join(networks.available())}"
        )
    options = set(networks.options_of(entry["network"]))
    network = {"network": entry.pop("network")}
    for key, value in entry.items():
        if key in options:
            network[key] = value
        elif key in training:
            merging.merge(training, {key: value})
        else:
            hint = suggestion(str(key), options | set(training), f"its options: {', '.join(sorted(options))}")
            raise InputError(f"config, models.{name}: unknown key {plain(key)}; {hint}")
    if network.get("dims", 2) == 3 and not entry.get("context"):
        training["context"] = 0  # a 3D network sees its neighbouring slices anyway
    return network, training


def check(name: str, config: Config) -> None:
    """Check the model's own keys, and that patch and dimensions agree."""
    network, training = settings(name, config)
    dims = network.get("dims", 2)
    if len(training["patch"]) != dims:
        raise InputError(
            f"config, models.{name}: the network has {dims} dimensions, but training.patch is {training['patch']}; "
            f"give the model a patch of {dims} numbers ({'y x' if dims == 2 else 'z y x'})"
        )
    if training["context"] and dims == 3:
        raise InputError(f"config, models.{name}: context is for 2D networks; set it to 0 for this model")


KIND = Kind("network", check)
