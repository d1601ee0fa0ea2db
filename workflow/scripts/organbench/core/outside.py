"""Networks of other packages, or in a file of one's own: what can be told of them without importing them.

Plain Python, because the workflow needs it while it is parsed.
"""

import ast
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path

from organbench.core import provenance
from organbench.core.errors import InputError

APART = {"torch", "numpy", "organbench"}  # packages that shape our own networks too, and are told as for these
INSTALLED = ("site-packages", "dist-packages")  # folders of packages that have a version


def is_outside(name: object) -> bool:
    """Whether a network's name is an import path, or a class in a file of one's own, and not one of ours."""
    parts = name.split(".") if isinstance(name, str) else []
    return len(parts) > 1 and (":" in parts[-1] or all(part.isidentifier() for part in parts))


def is_file(name: str) -> bool:
    """Whether it is a file of one's own: `net.py:Class`."""
    return ":" in name


def file_of(name: str) -> Path:
    """The file of `folder/net.py:Class`.

    Raises:
        InputError: there is no such file, or no class is named.
    """
    place, _, named = name.rpartition(":")
    if not named.isidentifier() or not place.endswith(".py"):
        raise InputError(f"network {name}: write file.py:Class, or an import path such as package.module.Class")
    if not Path(place).is_file():
        raise InputError(
            f"network {name}: there is no file {place}; give its path from where snakemake runs, or in full"
        )
    return Path(place)


def package_of(name: str) -> str:
    """The package of an import path."""
    return name.partition(".")[0]


def without_place(name: str) -> str:
    """The name without the folder that its file lies in, which shapes nothing."""
    return name if not is_file(name) else Path(name).name


def files_of(name: str) -> list[Path]:
    """The file, and those beside it that it imports, directly or not; none of an installed package.

    Raises:
        InputError: the file is not there, is no Python, or has relative imports.
    """
    if is_file(name):
        file = file_of(name)
    else:
        found = _module(name)
        if found is None or not set(INSTALLED).isdisjoint(found.parts):
            return []
        file = found
    return _followed(name, file, _root(name, file))


def sources_of(name: str) -> dict[str, Path]:
    """The same files by their names below the folder from which they are imported; raises as `files_of`."""
    found = files_of(name)
    if not found:
        return {}
    return {file.relative_to(_root(name, found[0])).as_posix(): file for file in found}


def code_of(name: str, versions: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a network's code is known by: a hash of what each file does, and packages with their versions.

    Args:
        name: as the config has it.
        versions: of the packages that jobs have, where they have others than this Python.

    Raises:
        InputError: there is no such file or package.
    """
    files = [] if package_of(name) in (versions or {}) else files_of(name)
    root, known = _root(name, files[0]) if files else Path(), versions or {}
    found = {f"imported/{file.relative_to(root).as_posix()}": provenance.file_fingerprint(file) for file in files}
    if not files:
        package = package_of(name)
        return {package: f"{package}=={known.get(package) or _version(name, package)}"}
    for package in sorted(_versioned(name, root)):
        # where it is neither pinned nor here, the file may do without: the check of networks builds it
        if version := known.get(package) if known else installed(package):
            found[package] = f"{package}=={version}"
    return found


def packages(name: str) -> set[str]:
    """The packages that it imports by name, from Python's own to that of an import path."""
    found = set() if is_file(name) else {package_of(name)}
    for file in files_of(name):
        for node in ast.walk(provenance.tree(file)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


def _versioned(name: str, root: Path) -> set[str]:
    """The packages that files of one's own import: neither Python's own, nor files beside them, nor told apart."""
    others = packages(name) - APART - sys.stdlib_module_names
    return {package for package in others if provenance.file_of(package, root) is None}


def installed(package: str) -> str | None:
    """The version of a package by the name of its import, without what it was built for; None where there is none."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package).partition("+")[0]
    for distribution in metadata.packages_distributions().get(package, []):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution).partition("+")[0]
    return None


def _followed(name: str, file: Path, root: Path) -> list[Path]:
    """The file first, then what it imports."""
    try:
        return [file, *(other for other in provenance.followed(file, root=root) if other != file)]
    except (ImportError, SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"network {name}: {' '.join(str(error).split())}; mend the file") from None


def _root(name: str, file: Path) -> Path:
    """The folder from which a file's modules are imported."""
    if is_file(name):
        return file.parent
    return next((Path(folder) for folder in sys.path if folder and file.is_relative_to(folder)), file.parent)


def _module(name: str) -> Path | None:
    """The file of an import path's package; None where it is not installed here. Imports nothing."""
    try:
        found = util.find_spec(package_of(name))
    except (ImportError, ValueError):
        return None
    if found is None or not found.origin:
        return None
    *parts, _ = name.split(".")
    place = Path(found.origin)
    if place.name == "__init__.py":
        inner = provenance.file_of(".".join(parts), place.parents[1])
        return inner or place
    return place


def _version(name: str, package: str) -> str:
    """The version of a package that a network is from.

    Raises:
        InputError: it is not installed.
    """
    if version := installed(package):
        return version
    hint = "pip install --no-deps -r requirements-monai.txt" if package == "monai" else f"pip install {package}"
    raise InputError(f"network {name}: there is no package {package}; run {hint}, or correct the name")
