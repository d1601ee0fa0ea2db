"""The study's configuration: merge it onto the defaults, and check it, also for what people write in YAML.

Plain Python with yaml and jsonschema (which Snakemake brings), because the workflow needs it while it is parsed.
"""

import copy
import datetime
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from organbench.core.errors import InputError, plain, suggestion
from organbench.data import finding
from organbench.data.formats.nrrd import SEGMENTATION
from organbench.data.names import EMPTY
from organbench.evaluation.registry import METRICS
from organbench.study import augmenting, kinds, merging, tuning
from organbench.study import schema as schemas
from organbench.study.kinds import network

LARGEST_CONFIG, DEEPEST_CONFIG = 10000, 20  # values, and how deep they may be in one another

# Gy that do not matter, where a study says nothing: of a parotid they change the risk of losing its function by 2.5
# percentage points at most (Dijkema et al. 2010: TD50 39.9 Gy, m 0.40), and doses are computed to about 2 % of 70 Gy.
DOSE_MARGIN = {"dmean_error": 1.0}

Config = dict[str, Any]


def resolve(given: Mapping[str, Any], defaults: Mapping[str, Any], schema: Mapping[str, Any]) -> Config:
    """The whole configuration of a study, with a list of label values for each organ and of members for each ensemble.

    Args:
        given: what the user passed, from study files and the command line; numbers may be strings.
        defaults: the default study. What the user gives overrides it key by key, but what `merging.REPLACED` lists is
            replaced as a whole.
        schema: JSON schema of a configuration; its own defaults fill what neither of the two gives.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value; the message names the key.
    """
    check_size(given)
    given = as_given(given)
    config: Config = merging.merge(copy.deepcopy(dict(defaults)), schemas.coerce(given, schema))
    config = schemas.fill(config, schema)
    read_values(config)
    check_names(config)
    if isinstance(config.get("training"), Mapping):
        tuning.check_keys(config["training"].get("tune"), schema)
    schemas.check(config, schema)
    if config["dataset"]["dose"] is not None and "margin" not in (given.get("evaluation") or {}):
        config["evaluation"]["margin"] |= DOSE_MARGIN
    name_labels(config["dataset"])
    config["models"] = {name: kinds.of(name, config).complete(model) for name, model in config["models"].items()}
    for name in config["models"]:
        kinds.of(name, config).check(name, config)
    tuning.check(config)
    if fault := next(faults(config), None):
        raise InputError(f"config, {fault}")
    return config


def as_given(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration that may have been resolved before (`study.yaml`) as its user gave it, its organs by names."""
    dataset = config.get("dataset")
    if not isinstance(dataset, Mapping) or not isinstance(names := dataset.get("structures"), Mapping):
        return config
    organs = dataset.get("organs")
    if names and not (isinstance(organs, Mapping) and organs.keys() == names.keys()):
        return config
    known = {key: value for key, value in dataset.items() if key != "structures"}
    return {**config, "dataset": known | ({"organs": names} if names else {})}


def check_folder(folder: Path) -> None:
    """Check that a folder is none yet, or is one.

    Raises:
        InputError: it, or one above it, is a file or a link to nothing.
    """
    for part in (*reversed(folder.parents), folder):
        if os.path.lexists(part) and not part.is_dir():
            raise InputError(f"{part}: is no folder, and {folder} has to be one; move it away")


def faults(config: Config) -> Iterator[str]:
    """What the schema cannot see: values that do not agree with one another, and patterns of paths; `key: fault`."""
    dataset, organs, tolerance = config["dataset"], config["dataset"]["organs"], config["evaluation"]["tolerance_mm"]
    if finding.is_address(dataset["root"]):
        scheme = dataset["root"].partition("://")[0]
        if scheme not in finding.SCHEMES:
            known = ", ".join(finding.SCHEMES)
            yield f"dataset.root: {scheme}:// is not read; give a folder, or an address with {known}"
        if dataset["source"] != "nifti":
            yield f"dataset.root: is written to with source {dataset['source']}; give a folder"
    if dataset["source"] == "phantom" and dataset["cases"] is not None:
        yield "dataset.cases: phantoms are numbered; set dataset.phantom.cases"
    for key, names in (("models", config["models"]), ("dataset.organs", organs)):
        for name in EMPTY.intersection(names):
            yield f"{key}: {name} means an empty cell in tables; take another name"
    patterns = [key for key in ("image", "label", "dose") if dataset[key] is not None]
    for key in ("root", *patterns):
        if not dataset[key].isprintable():
            yield f"dataset.{key}: {dataset[key]!r} has characters that cannot be shown; rename it"
        if set("{}") & set(dataset[key].replace("{case}", "")):
            yield f"dataset.{key}: {dataset[key]!r} has braces; only {{case}} may stand in braces"
    for key in patterns:
        if Path(dataset[key]).is_absolute() or ".." in Path(dataset[key]).parts:
            yield f"dataset.{key}: {dataset[key]!r} leads elsewhere; give a path below dataset.root"
    if dataset["image"] == dataset["label"] and not dataset["structures"]:  # a folder may hold a series and structures
        yield "dataset.label: is the same as dataset.image; give the pattern of the label maps"
    yield from faults_of_structures(dataset)
    for kind in config["prediction"]["formats"]:
        if kind != "nifti" and (dataset["source"] != "nifti" or dataset["root"].partition("://")[1]):
            yield f"prediction.formats: {kind} refers to a DICOM series in a folder here; remove it"
    yield from faults_of_dose(config)
    if dataset["source"] == "phantom" and dataset["citation"] is not None:
        yield "dataset.citation: phantoms are generated by this study; set it to null"
    seen: dict[int, str] = {}
    for organ, values in organs.items():
        for value in values:
            if value in seen:
                yield f"dataset.organs: label {value} stands for both {seen[value]} and {organ}; keep one"
            seen[value] = organ
    for value in filter(seen.get, dataset["ignore_labels"]):
        yield f"dataset.ignore_labels: label {value} is also {seen[value]} in dataset.organs; keep one"
    low, high = config["preprocessing"]["window"]
    if low >= high:
        yield f"preprocessing.window: {low} is not below {high}; give [lowest, highest] HU"
    for organ in sorted(set(config["prediction"]["keep_largest"]) - set(organs)):
        yield f"prediction.keep_largest: {organ} is not in dataset.organs"
    yield from augmenting.faults(config, {name: network.settings(name, config)[1] for name in kinds.networks(config)})
    if isinstance(tolerance, Mapping) and set(tolerance) != set(organs):
        yield "evaluation.tolerance_mm: give one number, or a number for each of dataset.organs"


def read_values(config: Config) -> None:
    """Turn label values that came as strings, as from the command line, into numbers: no structure is called 5."""

    def value(one: Any) -> Any:
        return int(float(one)) if isinstance(one, str) and re.fullmatch(r"\d{1,9}(\.0+)?", one) else one

    organs = config["dataset"].get("organs") if isinstance(config.get("dataset"), dict) else None
    if not isinstance(organs, dict):
        return
    for organ, own in organs.items():
        organs[organ] = [value(one) for one in own] if isinstance(own, list) else value(own)


def name_labels(dataset: Config) -> None:
    """Give each organ a list of label values; named structures get 1, 2, ..., and their names are in `structures`."""
    listed = {organ: own if isinstance(own, list) else [own] for organ, own in dataset["organs"].items()}
    named = any(isinstance(one, str) for own in listed.values() for one in own)
    dataset["structures"] = listed if named else {}
    dataset["organs"] = {organ: [k] for k, organ in enumerate(listed, start=1)} if named else listed


def faults_of_structures(dataset: Config) -> Iterator[str]:
    """What is wrong with organs that are named structures; `key: fault`."""
    structures = dataset["structures"]
    for organ, names in structures.items():
        if numbers := [one for one in names if not isinstance(one, str)]:
            yield f"dataset.organs: {organ} has label value {numbers[0]} where others have names; give names"
        if not all(one.strip() and one.isprintable() for one in names if isinstance(one, str)):
            yield f"dataset.organs: {organ} has a name of a structure that is empty or cannot be shown; correct it"
    if structures and dataset["ignore_labels"]:
        yield "dataset.ignore_labels: organs are structures with names, and others are left out anyway; remove it"
    if not structures and dataset["label"].lower().endswith(SEGMENTATION):
        yield "dataset.organs: segments have names, and values that differ from case to case; give names, not values"
    if structures and dataset["source"] != "nifti":
        yield f"dataset.organs: source {dataset['source']} makes label maps; give label values"
    if not structures and dataset["missing_structures"] != "unannotated":
        yield "dataset.missing_structures: a label map shows all of its organs, but see dataset.annotated; remove it"
    if structures and dataset["annotated"] is not None:
        yield "dataset.annotated: which structures were drawn is in their files; remove it"


def faults_of_dose(config: Config) -> Iterator[str]:
    """What is wrong with the planned doses, or asks for them where there are none; `key: fault`."""
    dataset, evaluation = config["dataset"], config["evaluation"]
    if dataset["dose"] is None:
        for key, metrics in (("decides", [evaluation["decides"]]), ("margin", evaluation["margin"])):
            for metric in filter(of_dose, metrics):
                yield f"evaluation.{key}: {metric} needs a planned dose; set dataset.dose"
    elif dataset["source"] == "phantom":
        yield "dataset.dose: phantoms have none; set it to null"
    elif dataset["dose"] in (dataset["image"], dataset["label"]):
        yield "dataset.dose: is the same as dataset.image or dataset.label; give the pattern of the doses"


def of_dose(metric: str) -> bool:
    """Whether a metric is of a planned dose."""
    return METRICS[metric].dosed


def check_citation(dataset: Mapping[str, Any], references: str) -> None:
    """Check that what the data are cited by is there.

    Args:
        dataset: the config's `dataset`.
        references: BibTeX entries.

    Raises:
        InputError: none of the entries has the key.
    """
    key, known = dataset["citation"], re.findall(r"^@\w+{(\w+),", references, re.M)
    if key is not None and key not in known:
        hint = suggestion(key, known, "add it, or set null")
        raise InputError(
            f"config, dataset.citation: there is no entry {plain(key)} in workflow/report/references.bib; {hint}"
        )


def check_keys(path: str | Path) -> None:
    """Check what YAML's readers do without a word: of a key that is there twice they take the last, and 010 is 8.

    Raises:
        InputError: a study file has a key twice, or a whole number that begins with 0.
    """
    try:
        waiting = [yaml.compose(Path(path).read_text("utf-8"), yaml.SafeLoader)]
    except (yaml.YAMLError, RecursionError):  # JSON with tabs, or so deep that check_size refuses it
        return
    seen = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":int") and re.fullmatch("0[0-7_]+", node.value):
            line, read = node.start_mark.line + 1, int(node.value.replace("_", ""), 8)
            raise InputError(f"{path}, line {line}: YAML reads {plain(node.value)} as {read}; put it in quotes")
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))  # an alias may stand for what it is in
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        keys: set[str] = set()
        for key, value in node.value:
            waiting += [key, value]
            name = str(key.value)
            if name in keys:
                raise InputError(f"{path}, line {key.start_mark.line + 1}: {plain(name)} is there twice; keep one")
            keys.add(name)


def check_names(config: Config) -> None:
    """Check that names are text: YAML reads 7, 007 and 0x7 as the same number, and no as false.

    Raises:
        InputError: a network, an organ or a member of an ensemble is named by a number, a truth value or a date.
    """
    models, dataset, evaluation = (config.get(key) for key in ("models", "dataset", "evaluation"))
    named = {
        "models": models,
        "dataset.organs": dataset.get("organs") if isinstance(dataset, Mapping) else None,
        "evaluation.tolerance_mm": evaluation.get("tolerance_mm") if isinstance(evaluation, Mapping) else None,
    }
    for model, entry in models.items() if isinstance(models, Mapping) else ():
        if isinstance(entry, Mapping) and "ensemble" in entry:
            members = entry["ensemble"]
            named[f"models.{plain(model)}.ensemble"] = members if isinstance(members, list) else [members]
    for key, names in named.items():
        for name in names if isinstance(names, Mapping | list) else ():
            if isinstance(name, int | float | datetime.date):
                raise InputError(
                    f"config, {key}: without quotes {plain(name)} is a number, a truth value or a date to YAML, "
                    "and no name; put names in quotes"
                )


def check_size(given: Any) -> None:
    """Check that a configuration has an end: aliases of YAML may stand for themselves, or for one another many times.

    Raises:
        InputError: it is larger or deeper than any study.
    """
    waiting, parts = [(given, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        parts += 1
        if parts > LARGEST_CONFIG or depth > DEEPEST_CONFIG:
            raise InputError(
                f"config: has more than {LARGEST_CONFIG} values, or more than {DEEPEST_CONFIG} in one another; "
                "are there aliases (&, *) that repeat themselves?"
            )
        items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        waiting += [(item, depth + 1) for item in items]
