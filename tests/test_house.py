"""The library is a house of folders in the order in which data flow; a folder imports only from those before it."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "workflow" / "scripts" / "organbench"
ORDER = [
    "core",
    "data",
    "hardware",
    "networks",
    "evaluation",
    "inference",
    "learning",
    "study",
    "analysis",
    "reporting",
    "commands",
    "cli",
]
WITH_TORCH = {"hardware", "networks", "inference", "learning"}
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
FILES = sorted(path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*.py"))


def folder(path):
    """The folder of the house in which a file lies; the name of a file that lies in none."""
    return Path(path).parts[0].removesuffix(".py")


def imports(path):
    """The modules that a file imports, whether at its top or in a function."""
    for node in ast.walk(ast.parse((LIBRARY / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that they can be followed"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_file_is_in_a_folder_of_the_house():
    assert {folder(path) for path in FILES} - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("path", FILES)
def test_a_file_imports_only_from_folders_before_its_own(path):
    used = {module.split(".")[1] for module in imports(path) if module.startswith("organbench.")}
    allowed = ORDER[: ORDER.index(folder(path)) + 1] if folder(path) in ORDER else []
    assert used <= set(allowed)


def test_only_what_trains_and_predicts_imports_torch():
    users = {folder(path) for path in FILES if any(module.split(".")[0] == "torch" for module in imports(path))}
    assert users == WITH_TORCH


def docstring_lines(node):
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return set(range(first.lineno, first.end_lineno + 1))
    return set()


@pytest.mark.parametrize("path", FILES)
def test_files_and_functions_are_short(path):
    text = (LIBRARY / path).read_text()
    lines = text.splitlines()
    assert len(lines) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            own = set(range(node.lineno, node.end_lineno + 1)) - docstring_lines(node)
            code = [number for number in own if lines[number - 1].strip()]
            assert len(code) <= LONGEST_FUNCTION, f"{node.name} has {len(code)} lines of code"
