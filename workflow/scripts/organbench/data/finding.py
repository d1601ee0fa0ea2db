"""A data set's cases, by the names of its files, and which files are there that are made or fetched.

Plain Python, because the workflow needs it while it is parsed.
"""

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from organbench.core.errors import InputError
from organbench.data import splits
from organbench.data.names import CASE_NAME, EMPTY, LONGEST_NAME
from organbench.data.sources.openkbp.patients import patients

FETCHING = ".fetching"  # folder below root for patients that are being fetched
GENERATED = ".generated"  # file below root that says that phantoms were put there
SCHEMES = {"s3": "s3", "http": "http", "https": "http"}  # of addresses, and the storage plugin of each


def find_cases(dataset: Mapping[str, Any], stored: Sequence[str] | None = None) -> tuple[list[str], dict[str, str]]:
    """Find a data set's cases by the names of its files.

    Args:
        dataset: the config's `dataset`.
        stored: the paths below root of all that is there, where root is an address and can be listed.

    Returns:
        The names of all cases, in natural order; and of those that lack a file, with `on_bad_case: skip`, why they
        cannot be used.

    Raises:
        InputError: the folder is missing or holds no case, a case's name could not be used as a folder's, `cases` names
            one that is not there, or, with `on_bad_case: stop`, a volume has no labels or labels have no volume; a line
            a case.
    """
    if dataset["source"] == "phantom":
        return [str(number) for number in range(dataset["phantom"]["cases"])], {}
    root, chosen = dataset["root"].rstrip("/"), dataset.get("cases")
    incomplete: dict[str, str] = {}
    if dataset["source"] == "openkbp":
        found = {case: files_of(dataset, case)[0] for case in patients()}
    elif is_address(root) and stored is None:
        if chosen is None:
            raise InputError(f"config, dataset.cases: {root} cannot be listed; list the names of its cases here")
        found = {case: files_of(dataset, case)[0] for case in map(str, chosen)}
    else:
        found, incomplete = pairs(dataset, root, stored)
    for case, path in found.items():
        if not re.fullmatch(CASE_NAME, case) or len(case) > LONGEST_NAME:
            raise InputError(
                f"{path if path.isprintable() else repr(path)}: the case's name {case!r} cannot name a folder; "
                f"use up to {LONGEST_NAME} letters, digits, '.', '_' and '-' only"
            )
        if case in EMPTY:
            raise InputError(f"{path}: {case} means an empty cell in tables; give the case another name")
    names = list(found) if chosen is None else [str(case) for case in chosen]
    for case in names:
        if case not in found:
            raise InputError(f"config, dataset.cases: there is no case {case} in {root}; correct or remove the name")
    names = sorted(names, key=splits.natural)
    incomplete = {case: incomplete[case] for case in names if case in incomplete}
    if incomplete and dataset["on_bad_case"] == "stop":
        raise InputError("\n".join(incomplete.values()))
    return names, incomplete


def pairs(dataset: Mapping[str, Any], root: str, stored: Sequence[str] | None) -> tuple[dict[str, str], dict[str, str]]:
    """Match volumes and labels: a file of each case, and of those that lack one, why they cannot be used."""
    if stored is None and not Path(root).is_dir():
        raise InputError(f"{root}: the data set's folder is not there; put the data there or set dataset.root")
    volumes, labels = (matching(root, dataset[key], stored) for key in ("image", "label"))
    if dataset["label"] == dataset["image"]:  # folders, each with a series and its structures
        pass
    elif len(dataset["label"]) >= len(dataset["image"]):  # "{case}.nii.gz" also matches "{case}-labels.nii.gz"
        volumes = {case: path for case, path in volumes.items() if path not in labels.values()}
    else:
        labels = {case: path for case, path in labels.items() if path not in volumes.values()}
    if not volumes:
        raise InputError(
            f"{root}: no file matches dataset.image {dataset['image']!r}; check dataset.root and the pattern"
        )
    incomplete = {}
    for case in volumes | labels:
        image, label = files_of(dataset, case)
        if case not in labels:
            incomplete[case] = f"{image}: has no labels; add {label} or remove the volume"
        elif case not in volumes:
            incomplete[case] = f"{label}: has no volume; add {image} or remove the labels"
        for path in (image, label):
            if case not in incomplete and stored is None and not (Path(path).is_file() or Path(path).is_dir()):
                incomplete[case] = f"{path}: is no file, nor a link to one; mend or remove it"
    return labels | volumes, incomplete


def matching(root: str, pattern: str, stored: Sequence[str] | None) -> dict[str, str]:
    """The files and folders below `root`, or of those `stored`, that match a pattern with `{case}`, by the case."""
    before, *rest = (re.escape(part) for part in pattern.split("{case}"))
    expression = re.compile(before + "(?P<case>[^/]+)" + "".join(part + "(?P=case)" for part in rest[:-1]) + rest[-1])
    if stored is None:
        files = Path(root).glob("*".join(glob.escape(part) for part in pattern.split("{case}")))
        stored = [path.relative_to(root).as_posix() for path in files]
    return {match["case"]: f"{root}/{match[0]}" for match in map(expression.fullmatch, sorted(stored)) if match}


def files_of(dataset: Mapping[str, Any], case: str) -> tuple[str, str]:
    """The paths of a case's volume and labels."""
    image, label = (f"{dataset['root'].rstrip('/')}/{dataset[key]}" for key in ("image", "label"))
    return image.replace("{case}", case), label.replace("{case}", case)


def doses(
    dataset: Mapping[str, Any], cases: Iterable[str], stored: Sequence[str] | None = None
) -> dict[str, list[str]]:
    """Find the planned dose of each case: a file, or all files of a folder; no file where there is none.

    Args:
        dataset: the config's `dataset`, with a pattern of doses.
        cases: the study's.
        stored: as for `find_cases`. At an address that cannot be listed each case is taken to have its dose, and so is
            each of OpenKBP's patients, as its dose is fetched.

    Raises:
        InputError: no case has a dose.
    """
    root = dataset["root"].rstrip("/")
    wanted = {case: f"{root}/{dataset['dose'].replace('{case}', case)}" for case in cases}
    if dataset["source"] == "openkbp" or (is_address(root) and stored is None):
        return {case: [path] for case, path in wanted.items()}
    if stored is not None:
        there = {f"{root}/{path}" for path in stored}
        found = {
            case: [path] if path in there else sorted(file for file in there if file.startswith(f"{path}/"))
            for case, path in wanted.items()
        }
    else:
        found = {case: files_at(Path(path)) for case, path in wanted.items()}
    if wanted and not any(found.values()):
        first = next(iter(wanted.values()))
        raise InputError(f"config, dataset.dose: no case has one, the first would be {first}; correct the pattern")
    return found


def files_at(path: Path) -> list[str]:
    """A file, or all files of a folder but for hidden ones; none where there is neither."""
    if path.is_dir():
        return sorted(str(file) for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    return [str(path)] if path.is_file() else []


def absent(dataset: Mapping[str, Any], cases: Iterable[str]) -> list[str]:
    """Those of OpenKBP's patients that have to be fetched. What a user has put there is never touched.

    Raises:
        InputError: one of a patient's two files is there, and no fetching of it was begun.
    """
    missing = []
    for case in cases:
        paths = [Path(file) for file in files_of(dataset, case)]
        there = [path for path in paths if path.exists()]
        if len(there) == 1 and not Path(dataset["root"], FETCHING, case).exists():
            (other,) = set(paths) - set(there)
            raise InputError(f"{there[0]}: {other.name} is not there; add it, or move this one away to fetch both")
        if len(there) < 2:
            missing.append(case)
    return missing


def check_phantoms(dataset: Mapping[str, Any], cases: Iterable[str]) -> None:
    """Check that phantoms are not written over a user's files: a study that forgets its source makes phantoms.

    Raises:
        InputError: a file of that name is there, and no phantom was ever put into the folder.
    """
    there = (path for case in cases for path in map(Path, files_of(dataset, case)) if path.exists())
    if not Path(dataset["root"], GENERATED).exists() and (found := next(there, None)):
        raise InputError(
            f"{found}: would be overwritten by a phantom; to read it, set dataset.source to nifti, "
            "to make phantoms, set dataset.root to another folder"
        )


def is_address(root: str) -> bool:
    """Whether a root is an address in object storage or on the web, and no folder."""
    return "://" in root
