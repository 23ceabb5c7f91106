"""The fields of a dataclass, read from its source: importing TRL takes seconds, a typing error is told at once."""

import ast
import dataclasses
import importlib.util
from functools import cache
from pathlib import Path
from types import UnionType

PLAIN = {
    "int": int, "float": float, "bool": bool, "str": str,
    "int | None": int | None, "float | None": float | None, "bool | None": bool | None, "str | None": str | None,
}  # fmt: skip
ANYTHING = list[str] | None  # a type that is not plain: whatever is given is right, until the class itself looks


def light(name: str) -> type | None:
    """A dataclass with the fields of the one that `name` ("package.module.Class") names, its bases' among them.

    All are optional; types that are not plain take anything. A default that the source spells out is the "default" of
    the field's metadata. None where the source cannot be followed.
    """
    module, _, class_name = name.rpartition(".")
    try:
        hints = _fields(module, class_name)
    except LookupError:
        return None
    fields = [(field, hint, dataclasses.field(default=None, metadata=meta)) for field, (hint, meta) in hints.items()]
    return dataclasses.make_dataclass(class_name, fields)


def _fields(module: str, class_name: str) -> dict[str, tuple[type | UnionType, dict]]:
    """Field -> (type, metadata) of a class that `module` defines or imports. LookupError where it does neither."""
    tree = _tree(module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            break
    else:
        return _fields(*_imported(module, class_name))
    found: dict[str, tuple[type | UnionType, dict]] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name) and base.id != "object":
            found |= _fields(module, base.id)
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            hint = ast.unparse(line.annotation)
            if not hint.startswith("ClassVar"):
                found[line.target.id] = PLAIN.get(hint, ANYTHING), _default(line.value)
    return found


def _default(value: ast.expr | None) -> dict:
    """{"default": ...} where the source has a literal: `= x`, `= field(default=x, ...)`, `= option("help", x)`."""
    if isinstance(value, ast.Call):
        named = [keyword.value for keyword in value.keywords if keyword.arg == "default"]
        value = next(iter(named + value.args[1:2]), None)
    try:
        return {"default": ast.literal_eval(value)} if value else {}
    except ValueError:
        return {}


def _imported(module: str, name: str) -> tuple[str, str]:
    """(module, name) that `from ... import name` in a module names; lazy packages have such lines for type checkers."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    if not node.level:
                        return node.module, alias.name
                    package = module.split(".") if _file(module).name == "__init__.py" else module.split(".")[:-1]
                    parts = package[: len(package) - node.level + 1]
                    return ".".join([*parts, *filter(None, [node.module])]), alias.name
    raise LookupError(f"{module} does not import {name}")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text(encoding="utf-8"))


def _file(module: str) -> Path:
    """The source of a module, without importing the packages that it is in."""
    package, *parts = module.split(".")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, *parts)
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    raise LookupError(f"no source of {module}")
