"""Which code a result comes from: followed by its imports, and compared without comments, docstrings and format."""

import ast
import hashlib
import itertools
from collections.abc import Iterable
from functools import cache
from pathlib import Path

IMPORTS = ("Import", "ImportFrom")
WITHOUT = {"ctx", "kind", "type_comment", "type_ignores"}  # fields of a syntax tree that say nothing of what is done


def followed(*files: Path, root: Path) -> list[Path]:
    """All files below `root` that shape what some files do: the files, and what they import, and so on.

    Args:
        files: where to begin.
        root: the folder from which modules are imported.

    Raises:
        ImportError: a relative import, which leads out of `root`.
        SyntaxError: a file is no Python.
    """
    waiting, found = list(files), set()
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += imported(file, root)
    return sorted(found)


@cache
def imported(file: Path, root: Path) -> tuple[Path, ...]:
    """The files below `root` that a file imports modules or names from.

    Raises:
        ImportError, SyntaxError: as `followed`.
    """
    found: set[Path | None] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found.update(file_of(alias.name, root) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, file, root)
            # a name is a module of its own, or else in the file of the module that it is imported from
            found.update(file_of(f"{module}.{alias.name}", root) or file_of(module, root) for alias in node.names)
            if module == "organbench.core.folders":  # a registry of the files beside it
                found.update(file.parent.glob("*.py"))
    return tuple(sorted(path for path in found if path is not None))


def file_of(module: str, root: Path) -> Path | None:
    """The file of a module below `root`; None where there is none."""
    place = root / Path(*module.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def absolute(node: ast.ImportFrom, file: Path, root: Path) -> str:
    """The module that a `from ... import` names, told from `root` also where the import is relative.

    Raises:
        ImportError: it leads out of `root`.
    """
    if not node.level:
        return node.module or ""
    package = file.relative_to(root).parts[: -node.level] if root in file.parents else ()
    if not package:
        raise ImportError(
            f"{file}, line {node.lineno}: this relative import leads out of {root}; name the module in full"
        )
    return ".".join([*package, *([node.module] if node.module else [])])


def fingerprint(files: Iterable[Path], root: Path) -> str:
    """A hash of what files do: the same after a change of comments, docstrings, format or place, and in every Python.

    Args:
        files: Python files.
        root: the folder from which their names are told.

    Raises:
        SyntaxError: a file is no Python.
    """
    digest = hashlib.sha256()
    for name, content in sorted((path.relative_to(root).as_posix(), file_fingerprint(path)) for path in files):
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


@cache
def file_fingerprint(file: Path) -> str:
    """A hash of what one file does."""
    return hashlib.sha256(repr(meaning(tree(file))).encode()).hexdigest()


@cache
def tree(file: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(file.read_text("utf-8"), filename=str(file))


def meaning(value: object) -> object:
    """A syntax tree as plain values: without docstrings, with imports that follow one another in one order.

    Fields that are empty are left out: newer Pythons have more of them.
    """
    if isinstance(value, ast.AST):
        fields = {name: field for name, field in ast.iter_fields(value) if not (name in WITHOUT or field in (None, []))}
        if isinstance(value, ast.Import | ast.ImportFrom):
            fields["names"] = sorted(fields["names"], key=lambda alias: (alias.name, alias.asname or ""))
        return type(value).__name__, [(name, meaning(field)) for name, field in fields.items()]
    if isinstance(value, list):
        return in_order([meaning(item) for item in value if not is_text(item)])
    return repr(value)


def is_text(node: object) -> bool:
    """Whether a node is a statement that is nothing but a string: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def in_order(statements: list[object]) -> list[object]:
    """Statements with each run of imports sorted."""
    found: list[object] = []
    for is_import, run in itertools.groupby(statements, lambda s: isinstance(s, tuple) and s[0] in IMPORTS):
        found += sorted(run, key=repr if is_import else lambda _: "")
    return found
