"""Write the tables of config/README.md: every key, from the schema, with the default study's value.

Usage: python docs/update_config.py
"""

import copy
import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import marked
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from organbench import networks  # noqa: E402
from organbench.study.schema import fill, load  # noqa: E402

PAGE = ROOT / "config" / "README.md"
BEGIN = "<!-- every key, by docs/update_config.py -->\n"
Schema = Mapping[str, Any]


def tables(schema: Schema, defaults: Schema) -> str:
    """A heading and a table a section of the configuration; keys that are in no section come first.

    Args:
        schema: of a configuration.
        defaults: the default study.
    """
    defaults = fill(copy.deepcopy(dict(defaults)), schema)
    sections = {key: part for key, part in schema["properties"].items() if inner(part)}
    alone = {key: part for key, part in schema["properties"].items() if key not in sections}
    found = [table(rows(alone, defaults))]
    for key, part in sections.items():
        content = rows(inner(part), defaults.get(key), f"{key}.")
        if not part.get("properties"):  # names are free: the default study's have nothing to do with a reader's
            content = rows(own(part, schema), {}, f"{key}.<name>.") + network_rows(inner(part), f"{key}.<name>.")
        found.append(f"### {key}\n\n{sentence(part['description'])}\n\n{table(content)}")
    return "\n" + "\n".join(found) + "\n"


def own(part: Schema, schema: Schema) -> Schema:
    """The keys of a model's entry but those that are as in `training`, which has a section of its own."""
    training = schema["properties"]["training"]["properties"]
    return {key: each for key, each in inner(part).items() if each != training.get(key)}


def inner(part: Schema) -> Schema:
    """The keys of a section, or those of each of its entries where their names are free."""
    rest = part.get("additionalProperties")
    return part.get("properties") or (rest.get("properties", {}) if isinstance(rest, Mapping) else {})


def rows(properties: Schema, defaults: Any, path: str = "") -> list[list[str]]:
    """A row a key that has a value: its path, what it is, what it may be, the default study's value."""
    found = []
    for key, part in properties.items():
        value = defaults.get(key) if defaults else None
        if part.get("properties"):
            found += rows(part["properties"], value, f"{path}{key}.")
        else:
            shown = code(value) if defaults and key in defaults else ""
            described = part["description"].replace("<", "&lt;")  # or a browser takes it for a tag
            found.append([f"`{path}{key}`", described, allowed(part), shown])
    return found


def network_rows(known: Schema, path: str) -> list[list[str]]:
    """A row an option of each network that is not in the schema, from the signature and docstring of its class."""
    found = []
    for name in networks.available():
        network = importlib.import_module(f"organbench.networks.{name}").Network
        described = dict(re.findall(r"^ {4}(\w+): (.+)$", inspect.getdoc(network), re.M))
        for key in (option for option in networks.options_of(name) if option not in known):
            value = inspect.signature(network).parameters[key].default
            shown = "" if value is inspect.Parameter.empty else code(value)
            found.append([f"`{path}{key}`", described[key].rstrip("."), f"with `network: {name}`", shown])
    return found


def allowed(part: Schema) -> str:
    """The values that a schema admits, in words."""
    if "anyOf" in part:
        return ", or ".join(allowed(option) for option in part["anyOf"])
    if "enum" in part:
        return ", ".join(code(value) for value in part["enum"])
    types = [part["type"]] if isinstance(part["type"], str) else part["type"]
    words = " or ".join({"boolean": "`true`, `false`", "null": "`null`"}.get(kind, kind) for kind in types)
    words = words.replace("string", "text").replace("integer", "whole number")
    if "array" in types:
        return words.replace("array", f"{amount(part)}: {allowed(part['items'])}")
    if "object" in types:
        rest, known = part["additionalProperties"], part.get("properties", {})
        names = ", ".join(code(name) for name in known or part.get("propertyNames", {}).get("enum", [])) or "name"
        rest = "a list of values that the key may have" if known else allowed(rest)
        return words.replace("object", f"mapping of {names} to {rest}")
    limits = [
        f"{word} {part[key]}"
        for key, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        )
        if key in part
    ]
    if "pattern" in part:
        limits.append(f"that matches `{part['pattern']}`")
    return " ".join([words, *limits])


def amount(part: Schema) -> str:
    """How many values an array holds."""
    least, most = part.get("minItems", 0), part.get("maxItems")
    if most is None:
        return "list"
    return f"list of {least}" if least == most else f"list of {least} to {most}"


def code(value: Any) -> str:
    """A value as it is written in a study."""
    written = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return f"`{written.removesuffix(chr(10)).removesuffix('...').strip()}`"


def sentence(text: str) -> str:
    """A description as a paragraph."""
    return f"{text[0].upper()}{text[1:]}."


def table(content: list[list[str]]) -> str:
    """A Markdown table of rows of four cells."""
    lines = [["key", "what it is", "values", "default"], ["---"] * 4, *content]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


if __name__ == "__main__":
    schema = load(ROOT / "workflow/schemas/config.schema.yaml")
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())
    marked.replace(PAGE, BEGIN, tables(schema, defaults))
