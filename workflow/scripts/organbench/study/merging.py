"""What a study says over what it starts from."""

import copy
from collections.abc import Mapping
from typing import Any

# given whole: the organs, networks, margins or tuned settings of two studies do not mix
REPLACED = (("models",), ("dataset", "organs"), ("dataset", "mirrored"), ("evaluation", "margin"), ("training", "tune"))


def merge(base: dict[str, Any], given: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Override `base` by `given`, key by key in nested mappings, but replace those listed in `REPLACED`."""
    for key, value in given.items():
        here = (*path, str(key))
        if isinstance(value, Mapping) and isinstance(base.get(key), dict) and here not in REPLACED:
            merge(base[key], value, here)
        else:
            base[key] = copy.deepcopy(value)
    return base
