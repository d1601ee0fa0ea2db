"""Registries whose rows are files: what is put into the folder is known, and no list names it."""

import importlib
import pkgutil
from types import ModuleType


def modules(package: str) -> list[ModuleType]:
    """The modules of a package, by name. `provenance` counts them all as imported by whoever imports this function."""
    paths = importlib.import_module(package).__path__
    return [importlib.import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules(paths)]
