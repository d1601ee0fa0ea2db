"""What a training is named by: all that shapes its weights, and nothing else.

Dates, places, threads, environments and the names that people give (to models, organs, cases, folders) are not in it.
"""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from organbench.core import outside, provenance
from organbench.core.runs import read_cost
from organbench.data import annotations
from organbench.learning import augmentations

# Of the library: what is computed in a training step, with how batches are read and scaled,
SHAPING = ("networks/", "learning/", "hardware/devices.py", "inference/windows.py", "data/intensity.py")
BRINGING_ABOUT = tuple(
    f"learning/{name}.py"
    for name in ("run", "choices", "checkpoint", "rehearsal", "inspection", "nnunet/calling", "nnunet/__main__")
)
CHOOSING = ("inference/", "evaluation/", "data/")  # where validation cases choose the weights
ONLY_SHOWN = ("validate_every",)  # of the settings: what the last weights do not depend on
SHOWN = 5  # that many names are told
WITHOUT = "-without"  # in a case's hash: before the indices of organs that were not annotated
UNKNOWN = "it does not say what shaped it"
TORCH = "the version of PyTorch"
MAY_STAY = (UNKNOWN, TORCH)  # reasons to train anew that someone may decide against

Identity = dict[str, Any]
"""The parts that shape weights, and under `sha256` the hash of them all."""


def code_of(files: Sequence[Path], root: Path, *, chosen: bool) -> dict[str, str]:
    """A hash of what each file does that shapes weights, by its name in the library.

    Args:
        files: what a training's script imports, see `provenance.followed`.
        root: the folder from which modules are imported.
        chosen: whether validation cases choose the weights (`weights: best`).
    """
    library, counted = root / "organbench", SHAPING + CHOOSING if chosen else SHAPING
    names = {path.relative_to(library).as_posix(): path for path in files if library in path.parents}
    shaping = [name for name in names if name.startswith(counted) and name not in BRINGING_ABOUT]
    return {name: provenance.file_fingerprint(names[name]) for name in shaping}


def of(
    *,
    code: Mapping[str, str],
    settings: Mapping[str, Any],
    window: Sequence[float],
    organs: Sequence[str],
    seed: int,
    training: Mapping[str, str],
    validation: Mapping[str, str],
) -> Identity:
    """Name a training.

    Args:
        code: as `code_of` says.
        settings: the model's `network` options and its `training`, where validation cases choose the weights the
            `prediction`, and where crops are flipped along x the pairs of organs that then change places (`mirrored`).
        window: HU that the network sees as -1 and 1.
        organs: names of the organs, of which only the number and the order count.
        seed: of the training.
        training: a hash of the arrays of each case that is trained on, in order, see `arrays_of`.
        validation: of each case that is validated on.
    """
    parts = {
        "code": dict(code),
        **shaping(settings),
        "window": list(window),
        "organs": len(organs),
        "seed": seed,
        "cases": {"training": dict(training), "validation": dict(validation)},
    }
    if "prediction" in settings:
        largest = [list(organs).index(organ) for organ in settings["prediction"]["keep_largest"]]
        parts["prediction"] = {**settings["prediction"], "keep_largest": largest}
    return {**json.loads(json.dumps(parts)), "sha256": digest(parts)}


def shaping(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A model's `network` and `training`, without what weights do not depend on, and its pairs of `mirrored` organs."""
    without = () if "prediction" in settings else ONLY_SHOWN
    training = {key: value for key, value in settings["training"].items() if key not in without}
    changes = training.get("augmentation", {}).items()
    if changes:  # those with a probability of 0 may be newer than a training
        kept = (not isinstance(value, Mapping) or augmentations.is_on(value) for _, value in changes)
        training["augmentation"] = dict(itertools.compress(changes, kept))
    network = dict(settings["network"])
    if "network" in network:
        network["network"] = outside.without_place(network["network"])
    if "pretrained" in network:
        network["pretrained"] = network["pretrained"]["sha256"]
    pairs = {"mirrored": settings["mirrored"]} if "mirrored" in settings else {}
    return {"network": network, "training": training, **pairs}


def digest(parts: Mapping[str, Any]) -> str:
    """A hash of the parts but `sha256`; cases count by their arrays and order, not by their names."""
    cases = {role: list(found.values()) for role, found in parts["cases"].items()}
    counted = {key: part for key, part in {**parts, "cases": cases}.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def arrays_of(info: Mapping[str, Any]) -> str:
    """A hash of a prepared case's arrays, and which organs they do not show although they may be there.

    Args:
        info: what its `case.json` holds.
    """
    arrays = "-".join(f"{info['checksums'][name]:08x}" for name in sorted(info["checksums"]))
    unknown = annotations.indices(info)
    return "-".join([f"{arrays}{WITHOUT}", *map(str, unknown)]) if unknown else arrays


def sources_of(info: Mapping[str, Any]) -> str:
    """A hash of the files that a case was prepared from, from what its `source.json` holds under `sources`."""
    return "-".join(str(info["sources"][name]["sha256"]) for name in sorted(info["sources"]))


def told(infos: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The cases of which it is known what would be learned from them."""
    by_files = "nnunet" in settings["network"]
    return {case: info for case, info in infos.items() if not by_files or info.get("sources")}


def content_of(info: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """A hash of what is learned from a case: of its arrays, but nnU-Net reads the files themselves."""
    return sources_of(info) if "nnunet" in settings["network"] else arrays_of(info)


def recorded(cost: Mapping[str, Any]) -> Identity | None:
    """What a finished training was named by, from what its `cost.json` holds; None where that does not tell."""
    try:
        found = cost["identity"]
        return found if found["sha256"] == digest(found) else None
    except (KeyError, TypeError, AttributeError):
        return None


def differences(then: Identity | None, now: Identity) -> list[str]:
    """Say why a finished training is not the one that is wanted; nothing where it is.

    Args:
        then: what the finished one was named by; None: nobody knows.
        now: what the wanted one is named by.
    """
    if then is None:
        return [UNKNOWN]
    if then["sha256"] == now["sha256"]:
        return []
    found = []
    changed = sorted({file for file, _ in then["code"].items() ^ now["code"].items()})
    for package in [name for name in changed if "==" in then["code"].get(name, "") + now["code"].get(name, "")]:
        changed.remove(package)
        before, after = (part["code"].get(package, "none") for part in (then, now))
        found.append(f"the package of the network was {before} and is {after}")
    if changed:
        found.append(f"the code of {listed(changed)} is another")
    for key in ("network", "training", "prediction"):
        before, after = (flat(part.get(key, {}), key) for part in (then, now))
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name):
                found.append(f"{name} was {plain(before.get(name))} and is {plain(after.get(name))}")
    if then.get("mirrored") != now.get("mirrored"):
        found.append("dataset.mirrored has other organs")
    for key, name in (("window", "preprocessing.window"), ("organs", "the number of organs"), ("seed", "the seed")):
        if then[key] != now[key]:
            found.append(f"{name} was {plain(then[key])} and is {plain(now[key])}")
    for role, verb in (("training", "trained"), ("validation", "validated")):
        before, after = then["cases"][role], now["cases"][role]
        new, gone = ([case for case in a if case not in b] for a, b in ((after, before), (before, after)))
        other = [case for case in after if case in before and after[case] != before[case]]
        found += [f"case {listed(new)} is {verb} on now"] if new else []
        found += [f"case {listed(gone)} is not {verb} on any more"] if gone else []
        same = [case for case in other if len({part[case].partition(WITHOUT)[0] for part in (before, after)}) == 1]
        changed = [case for case in other if case not in same]
        found += [f"the arrays of {role} case {listed(changed)} are others"] if changed else []
        found += [f"of {role} case {listed(same)} other organs were annotated"] if same else []
        if not (new or gone or other) and list(before) != list(after):
            found.append(f"the {role} cases have another order")
    return found or ["it is another training"]


def of_cases(infos: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Any]) -> Identity | None:
    """Name a training of which the names of its cases are known; None where one of them could not be prepared.

    Args:
        infos: what the `case.json` of each case holds, by its name.
        wanted: arguments of `of`, with names of cases in place of their arrays.
    """
    known = told(infos, wanted["settings"])
    there = {*wanted["training"], *wanted["validation"]} <= known.keys()
    return expected(wanted, known, {}) if there else None


def expected(wanted: Mapping[str, Any], infos: Mapping[str, Mapping[str, Any]], cost: Mapping[str, Any]) -> Identity:
    """Name a training before all of its cases are prepared: those that are not yet are taken to come out as they did.

    Args:
        wanted: arguments of `of`, with names of cases in place of their arrays.
        infos: what the `case.json` of each case holds that is prepared.
        cost: what the `cost.json` of the finished training holds.
    """
    infos = told(infos, wanted["settings"])
    before = (recorded(cost) or {"cases": {"training": {}, "validation": {}}})["cases"]
    arrays = {
        role: {
            case: content_of(infos[case], wanted["settings"])
            if case in infos
            else before[role].get(case, "not prepared yet")
            for case in wanted[role]
        }
        for role in before
    }
    return of(**{**wanted, **arrays})


def of_folders(job: Mapping[str, Any], infos: Mapping[str, Mapping[str, Any]]) -> Identity:
    """Name the training of a job, whose cases are given by their folders; those that are excluded are not counted.

    Args:
        job: code, settings, window, organs and seed as for `of`; training and validation, folders of prepared cases.
        infos: what the `case.json` of each case holds, by its name.
    """
    wanted = {key: job[key] for key in ("code", "settings", "window", "organs", "seed")}
    cases = {role: [Path(folder).name for folder in job[role]] for role in ("training", "validation")}
    usable = {role: [case for case in found if case in infos] for role, found in cases.items()}
    return expected(wanted | usable, infos, {})


def outdated(finished: Sequence[tuple[str, Mapping[str, Any]]], infos: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say which finished trainings are not what the study asks for, and why: a line each.

    Args:
        finished: the folder of each, and the arguments of `of_cases`.
        infos: what the `case.json` of each case holds, by its name.
    """
    lines = []
    for folder, wanted in finished:
        then, now = recorded(read_cost(folder)), of_cases(infos, wanted)
        if then and now and (why := differences(then, now)):
            lines.append(f"{folder}: {'; '.join(why)}")
    return lines


def flat(settings: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Settings by their whole names, such as `training.augmentation.flip`."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{key}.{name}") if isinstance(value, Mapping) else {f"{key}.{name}": value}
    return found


def plain(value: Any) -> str:
    """A setting as people write it; `unset` where there is none."""
    return "unset" if value is None else json.dumps(value)


def listed(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
