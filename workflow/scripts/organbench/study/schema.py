"""The schema of a configuration, with what the library's registries add to it.

Plain Python, because the workflow needs it while it is parsed.
"""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from organbench.core.errors import InputError, plain, suggestion
from organbench.data import splits
from organbench.evaluation.registry import METRICS
from organbench.learning import choices

Names = Mapping[str, str]  # a name that a key may have, and what it means in a few words, or nothing


def registries() -> Mapping[str, Names]:
    """The names that each registry holds now."""
    return {
        "splits": {name: method.meaning for name, method in splits.METHODS.items()},
        "metrics": dict.fromkeys(METRICS, ""),
        **{choices.FOLDERS[key]: dict.fromkeys(choices.names(key), "") for key in choices.FOLDERS},
    }


# YAML has .nan and .inf, and NaN passes every minimum; and it has numbers of any length
FINITE = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: type(value) is int and abs(value) < 1 << 63,
        "number": lambda _, value: type(value) in (int, float) and abs(value) < float(1 << 63),
    }
)
Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=FINITE)


def load(path: str | Path) -> dict[str, Any]:
    """Read the schema. `registry: splits` in it becomes the `enum` of that registry's names.

    What each name means goes on at the end of the key's description. `properties: augmentations` become their keys.
    """
    result: dict[str, Any] = filled(yaml.safe_load(Path(path).read_text("utf-8")))
    return result


def filled(part: Any) -> Any:
    """A part of the schema with the names of registries."""
    if isinstance(part, list):
        return [filled(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: filled(value) for key, value in part.items()}
    if part.get("properties") == choices.AUGMENTATIONS:
        part["properties"] = choices.settings()
    if isinstance(part.get("registry"), str):  # and no key of that name
        names = registries()[part.pop("registry")]
        part["enum"] = list(names)
        meanings = "; ".join(f"{name}: {meaning}" for name, meaning in names.items() if meaning)
        if meanings and "description" in part:
            part["description"] += f" ({meanings})"
    return part


def check(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Check a configuration.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value; the message names the key.
    """
    errors = sorted(Validator(schema).iter_errors(config), key=lambda error: [str(part) for part in error.path])
    if errors:
        raise InputError(describe(errors[0], schema))


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
            parsed = float(parsed) if isinstance(parsed, str) else parsed  # YAML 1.1 reads 1e-3 as a string
        except (yaml.YAMLError, ValueError):
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
    return found.union(*map(types_of, schema.get("anyOf", [])))


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
        if unknown:
            hint = suggestion(unknown[0], known, f"known keys: {', '.join(known)}")
            return f"config, {where}: unknown key {plain(unknown[0])}; {hint}"
    message = error.message  # a value, and at the end what is wrong with it
    message = message if len(message) < 200 else f"{message[:100]}...{message[-100:]}"
    wanted = meaning(error.absolute_path, schema)
    return f"config, {where}: {message}" + (f"; it is: {wanted}" if wanted else "")


def relevance(error: jsonschema.ValidationError) -> tuple[Any, ...]:
    """How relevant jsonschema finds an error, but comparable where some keys are no text, as YAML's `no` and `1`."""
    depth, path, *rest = jsonschema.exceptions.relevance(error)
    return (depth, [str(part) for part in path], *rest)


def meaning(path: Iterable[str | int], schema: Mapping[str, Any]) -> str | None:
    """The schema's description of a key, or of the nearest key above it that has one."""
    found = schema.get("description")
    for part in path:
        rest = schema.get("additionalProperties")
        schema = schema.get("properties", {}).get(part, rest if isinstance(rest, Mapping) else {})
        found = schema.get("description", found)
    return found
