"""The study's configuration: merge it onto the defaults, and check it.

Plain Python with yaml and jsonschema (which Snakemake brings), because the workflow needs it while it is parsed.
"""

import copy
import datetime
import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from organbench import networks
from organbench.core.errors import InputError
from organbench.data import finding, groups, splits
from organbench.data.names import EMPTY
from organbench.study import tuning

# given whole: the organs, networks, margins or tuned settings of two studies do not mix
REPLACED = (("models",), ("dataset", "organs"), ("evaluation", "margin"), ("training", "tune"))
LARGEST_CONFIG, DEEPEST_CONFIG = 10000, 20  # values, and how deep they may be in one another

Config = dict[str, Any]

# YAML has .nan and .inf, and NaN passes every minimum; and it has numbers of any length
FINITE = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: type(value) is int and abs(value) < 1 << 63,
        "number": lambda _, value: type(value) in (int, float) and abs(value) < float(1 << 63),
    }
)
Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=FINITE)


def resolve(given: Mapping[str, Any], defaults: Mapping[str, Any], schema: Mapping[str, Any]) -> Config:
    """The whole configuration of a study, with a list of label values for each organ and of members for each ensemble.

    Args:
        given: what the user passed, from study files and the command line; numbers may be strings.
        defaults: the default study. What the user gives overrides it key by key, but what `REPLACED` lists is replaced
            as a whole.
        schema: JSON schema of a configuration; its own defaults fill what neither of the two gives.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value; the message names the key.
    """
    check_size(given)
    config = merge(copy.deepcopy(dict(defaults)), coerce(given, schema))
    config = fill(config, schema)
    check_names(config)
    if isinstance(config.get("training"), Mapping):
        tuning.check_keys(config["training"].get("tune"), schema)
    errors = sorted(Validator(schema).iter_errors(config), key=lambda error: [str(part) for part in error.path])
    if errors:
        raise InputError(describe(errors[0], schema))
    organs = config["dataset"]["organs"]
    config["dataset"]["organs"] = {name: [value] if isinstance(value, int) else value for name, value in organs.items()}
    for name, model in config["models"].items():
        if "ensemble" in model:
            model["ensemble"] = [model["ensemble"]] if isinstance(model["ensemble"], str) else model["ensemble"]
            check_ensemble(name, model, config)
        else:
            check_model(name, model, config)
    tuning.check(config)
    check_values(config)
    return config


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


def check_folder(folder: Path) -> None:
    """Check that a folder is none yet, or is one.

    Raises:
        InputError: it, or one above it, is a file or a link to nothing.
    """
    for part in (*reversed(folder.parents), folder):
        if os.path.lexists(part) and not part.is_dir():
            raise InputError(f"{part}: is no folder, and {folder} has to be one; move it away")


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
        if isinstance(value, Mapping):
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]


def merge(base: Config, given: Mapping[str, Any], path: tuple[str, ...] = ()) -> Config:
    """Override `base` by `given`, key by key in nested mappings, but replace those listed in `REPLACED`."""
    for key, value in given.items():
        here = (*path, str(key))
        if isinstance(value, Mapping) and isinstance(base.get(key), dict) and here not in REPLACED:
            merge(base[key], value, here)
        else:
            base[key] = copy.deepcopy(value)
    return base


def coerce(value: Any, schema: Mapping[str, Any]) -> Any:
    """Turn strings into numbers, booleans or null where the schema wants no string, and 1.0 into 1 where it wants that.

    Numbers inside a mapping given by `--config` arrive as strings. What the schema does not know, such as the options
    of a network, is read as YAML would read it.
    """
    if isinstance(value, Mapping):
        schema = option(schema, "object")
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
        return {
            key: coerce(item, properties.get(key, rest if isinstance(rest, Mapping) else {}))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [coerce(item, option(schema, "array").get("items", {})) for item in value]
    types = types_of(schema)
    if isinstance(value, str) and "string" not in types:
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            return value
        if isinstance(parsed, str):  # YAML 1.1 reads 1e-3 as a string
            try:
                parsed = float(parsed)
            except ValueError:
                return value
        return coerce(parsed, schema)
    if isinstance(value, float) and value.is_integer() and "integer" in types and "number" not in types:
        return int(value)
    return value


def option(schema: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The option of an `anyOf` that admits a JSON type; the schema itself where it has no options."""
    return next((part for part in schema.get("anyOf", []) if kind in types_of(part)), schema)


def types_of(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a schema admits; those of an `enum` or `anyOf` too."""
    types = schema.get("type", [])
    found = {types} if isinstance(types, str) else set(types)
    for kind, name in ((str, "string"), (int, "integer")):
        if any(isinstance(value, kind) for value in schema.get("enum", [])):
            found.add(name)
    for part in schema.get("anyOf", []):
        found |= types_of(part)
    return found


def fill(value: Any, schema: Mapping[str, Any]) -> Any:
    """Fill in the schema's defaults, depth first; leaves what is given."""
    if isinstance(value, dict):
        for key, part in schema.get("properties", {}).items():
            if key not in value and "default" in part:
                value[key] = copy.deepcopy(part["default"])
            if key in value:
                value[key] = fill(value[key], part)
    return value


def describe(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> str:
    """One line on what is wrong with the configuration, with the nearest known key where one is unknown."""
    error = jsonschema.exceptions.best_match([error], key=relevance)  # of several options, the one that was meant
    where = ".".join(plain(part) for part in error.absolute_path) or "the top level"
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = sorted(error.schema.get("properties", {}))
        unknown = sorted(str(key) for key in error.instance if key not in known)
        near = difflib.get_close_matches(unknown[0], known, n=1) if unknown else []
        if unknown:
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
            return f"config, {where}: unknown key {plain(unknown[0])}; {hint}"
    message = error.message  # a value, and at the end what is wrong with it
    message = message if len(message) < 200 else f"{message[:100]}...{message[-100:]}"
    wanted = meaning(error.absolute_path, schema)
    return f"config, {where}: {message}" + (f"; it is: {wanted}" if wanted else "")


def relevance(error: jsonschema.ValidationError) -> tuple[Any, ...]:
    """How relevant jsonschema finds an error, but comparable where some keys are no text, as YAML's `no` and `1`."""
    depth, path, *rest = jsonschema.exceptions.relevance(error)
    return (depth, [str(part) for part in path], *rest)


def plain(value: Any) -> str:
    """A value in a line of text: cut, and quoted where it would break the line."""
    text = str(value)
    return text[:80] if text.isprintable() else repr(text[:80])


def meaning(path: Iterable[str | int], schema: Mapping[str, Any]) -> str | None:
    """The schema's description of a key, or of the nearest key above it that has one."""
    found = schema.get("description")
    for part in path:
        rest = schema.get("additionalProperties")
        schema = schema.get("properties", {}).get(part, rest if isinstance(rest, Mapping) else {})
        found = schema.get("description", found)
    return found


def model_settings(config: Config, name: str) -> tuple[Config, Config]:
    """A contender's network options, and the training settings with its own overrides applied.

    Raises:
        InputError: the contender is of an unknown network, or sets a key that is neither.
    """
    entry = dict(config["models"][name])
    training = copy.deepcopy(config["training"])
    for common in ("seeds", "tune"):
        training.pop(common)
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
            merge(training, {key: value})
        else:
            near = difflib.get_close_matches(str(key), sorted(options | set(training)), n=1)
            hint = f"did you mean {near[0]}?" if near else f"its options: {', '.join(sorted(options))}"
            raise InputError(f"config, models.{name}: unknown key {plain(key)}; {hint}")
    if network.get("dims", 2) == 3 and not entry.get("context"):
        training["context"] = 0  # a 3D network sees its neighbouring slices anyway
    return network, training


def check_model(name: str, model: Mapping[str, Any], config: Config) -> None:
    """Check what the schema cannot: a contender's own keys, and that patch and dimensions agree."""
    network, training = model_settings(config, name)
    dims = network.get("dims", 2)
    if len(training["patch"]) != dims:
        raise InputError(
            f"config, models.{name}: the network has {dims} dimensions, but training.patch is {training['patch']}; "
            f"give the contender a patch of {dims} numbers ({'y x' if dims == 2 else 'z y x'})"
        )
    if training["context"] and dims == 3:
        raise InputError(f"config, models.{name}: context is for 2D networks; set it to 0 for this contender")


def check_ensemble(name: str, model: Mapping[str, Any], config: Config) -> None:
    """Check what the schema cannot: that an ensemble's members are trained, and are more than one run."""
    others = sorted(set(model) - {"ensemble"})
    if others:
        raise InputError(
            f"config, models.{name}: {others[0]} does not go with ensemble, which trains nothing; remove one of the two"
        )
    trainable = trained(config)
    for member in model["ensemble"]:
        if member not in config["models"]:
            near = difflib.get_close_matches(member, trainable, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known contenders: {', '.join(trainable) or 'none'}"
            raise InputError(f"config, models.{name}.ensemble: there is no contender {member}; {hint}")
        if member not in trainable:
            raise InputError(
                f"config, models.{name}.ensemble: {member} is itself an ensemble; name contenders that are trained"
            )
    # A file may test a case in several folds; every other method trains on a case in all folds but one.
    if len(model["ensemble"]) * len(config["training"]["seeds"]) == 1 and config["split"]["method"] != "file":
        raise InputError(
            f"config, models.{name}.ensemble: {model['ensemble'][0]} is trained once, so there is nothing to average; "
            "add members, or seeds to training.seeds"
        )


def trained(config: Config) -> list[str]:
    """The contenders that are trained: all but the ensembles."""
    return [name for name, model in config["models"].items() if "ensemble" not in model]


def seeds_of(config: Config, name: str) -> list[int]:
    """The seeds of a contender's runs; an ensemble averages over all seeds, and its one run has the first's name."""
    seeds = config["training"]["seeds"]
    return seeds if name in trained(config) else seeds[:1]


def members_of(config: Config, folds: Sequence[splits.Fold], name: str, case: str) -> list[tuple[str, int, int]]:
    """The runs whose probabilities an ensemble averages for a case: contender, fold and seed of each.

    They are all runs of its members but those that learned from the case, or from another scan of its patient.
    """
    return [
        (member, fold, seed)
        for member in config["models"][name]["ensemble"]
        for fold in splits.unseen(folds, case, config["split"]["patient"])
        for seed in config["training"]["seeds"]
    ]


def check_values(config: Config) -> None:
    """Check what the schema cannot: values that must agree with one another, and patterns of paths."""
    dataset = config["dataset"]
    if finding.is_address(dataset["root"]):
        scheme = dataset["root"].partition("://")[0]
        if scheme not in finding.SCHEMES:
            known = ", ".join(finding.SCHEMES)
            raise InputError(
                f"config, dataset.root: {scheme}:// is not read; give a folder, or an address with {known}"
            )
        if dataset["source"] != "nifti":
            raise InputError(f"config, dataset.root: is written to with source {dataset['source']}; give a folder")
    if dataset["source"] == "phantom" and dataset["cases"] is not None:
        raise InputError("config, dataset.cases: phantoms are numbered; set dataset.phantom.cases")
    for key, names in (("models", config["models"]), ("dataset.organs", dataset["organs"])):
        for name in EMPTY.intersection(names):
            raise InputError(f"config, {key}: {name} means an empty cell in tables; take another name")
    for key in ("root", "image", "label"):
        if not dataset[key].isprintable():
            raise InputError(f"config, dataset.{key}: {dataset[key]!r} has characters that cannot be shown; rename it")
        if set("{}") & set(dataset[key].replace("{case}", "")):
            raise InputError(f"config, dataset.{key}: {dataset[key]!r} has braces; only {{case}} may stand in braces")
    for key in ("image", "label"):
        if Path(dataset[key]).is_absolute() or ".." in Path(dataset[key]).parts:
            raise InputError(f"config, dataset.{key}: {dataset[key]!r} leads elsewhere; give a path below dataset.root")
    if dataset["image"] == dataset["label"]:
        raise InputError("config, dataset.label: is the same as dataset.image; give the pattern of the label maps")
    if dataset["source"] == "phantom" and dataset["citation"] is not None:
        raise InputError("config, dataset.citation: phantoms are generated by this study; set it to null")
    organs = dataset["organs"]
    seen: dict[int, str] = {}
    for organ, values in organs.items():
        for value in values:
            if value in seen:
                raise InputError(
                    f"config, dataset.organs: label {value} stands for both {seen[value]} and {organ}; keep one"
                )
            seen[value] = organ
    for value in dataset["ignore_labels"]:
        if value in seen:
            raise InputError(
                f"config, dataset.ignore_labels: label {value} is also {seen[value]} in dataset.organs; keep one"
            )
    low, high = config["preprocessing"]["window"]
    if low >= high:
        raise InputError(f"config, preprocessing.window: {low} is not below {high}; give [lowest, highest] HU")
    unknown = sorted(set(config["prediction"]["keep_largest"]) - set(organs))
    if unknown:
        raise InputError(f"config, prediction.keep_largest: {unknown[0]} is not in dataset.organs")
    tolerance = config["evaluation"]["tolerance_mm"]
    if isinstance(tolerance, Mapping) and set(tolerance) != set(organs):
        raise InputError("config, evaluation.tolerance_mm: give one number, or a number for each of dataset.organs")


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
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "add it, or set null"
        raise InputError(
            f"config, dataset.citation: there is no entry {plain(key)} in workflow/report/references.bib; {hint}"
        )


def group_of(config: Config, cases: Sequence[str], incomplete: Iterable[str]) -> dict[str, str]:
    """The group of each of a study's cases; none where its `dataset.group` names no table.

    Args:
        config: the resolved configuration.
        cases: names of the study's cases.
        incomplete: those that lack a file, and so need no group.

    Raises:
        InputError: the table does not fit the cases, see `groups.read`.
    """
    dataset = config["dataset"]
    if dataset["group"] is None:
        return {}
    selected = dataset["cases"] is not None
    return groups.read(
        dataset["group"], cases, unusable=incomplete, selected=selected, patient=config["split"]["patient"]
    )
