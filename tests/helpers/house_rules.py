"""The rules that hold the layout together, read from the syntax trees: an import counts wherever it stands (lazy, for
type checking only, by importlib). import-linter holds such rules over packages, but half of our code are scripts.

    python tests/helpers/house_rules.py        # lists what breaks a rule
"""

import ast
import functools
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("dataset_generation", "tuning_sft", "tuning_grpo", "inference")
FOLDERS = (*STAGES, "clarifyvlm", "models/tiny", "scripts", "benchmarks", "tests")
NO_SCRIPTS = ("tuning_grpo/rollouts.py", "tuning_grpo/reward_functions.py")  # modules at a door: TRL calls them
RUNS_SCRIPTS = "inference/variants.py"  # runs predict.py and judge.py, as a user would
EDITS_PATH = "benchmarks/measure.py"


@dataclass(frozen=True)
class Module:
    """A script or a module. `folder`: of FOLDERS, or "" for main.py; `dotted`: its name as its folder's scripts import
    it ("measures.metrics"), of clarifyvlm the whole name."""

    folder: str
    dotted: str
    file: str  # relative to the root
    is_package: bool

    @property
    def is_script(self) -> bool:
        return self.folder in STAGES and "." not in self.dotted and not self.is_package

    @property
    def room(self) -> str:
        """Modules of one room are one box: a package of a stage or of clarifyvlm; scripts are boxes of their own."""
        depth = 2 if self.folder == "clarifyvlm" else 1
        return f"{self.folder}/{'.'.join(self.dotted.split('.')[:depth])}"


def violations(root: Path = ROOT) -> list[str]:
    """One sentence for each place that breaks a rule; [] where all hold."""
    modules = _modules(root)
    tops = {stage: {name.split(".")[0] for folder, name in modules if folder == stage} for stage in STAGES}
    found, edges = [], defaultdict(set)
    for module in modules.values():
        source = (root / module.file).read_text(encoding="utf-8")
        tree = _parsed(source)
        for line, imported in _imports(tree, module):
            target = _target(imported, module, modules)
            if imported == "sys.path":
                found.append(f"{module.file}:{line}: touches sys.path")
            if target:
                edges[module].add(target)
                allowed = target.file in NO_SCRIPTS or module.file == RUNS_SCRIPTS or module.folder not in STAGES
                if target.is_script and not allowed:
                    found.append(f"{module.file}:{line}: imports the script {target.file}")
            elif module.folder in (*STAGES, "clarifyvlm", ""):
                top = imported.split(".")[0]
                others = [s for s in STAGES if s != module.folder and (top == s or top in tops[s])]
                if others or top == module.folder:
                    found.append(f"{module.file}:{line}: imports {imported}, which is of {(others or [top])[0]}/")
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path" and module.file != EDITS_PATH:
                found.append(f"{module.file}:{node.lineno}: touches sys.path")
        if module.is_script and module.file not in NO_SCRIPTS and 'if __name__ == "__main__"' not in source:
            found.append(f"{module.file}: stands at the door of a stage, and cannot be run")
    rooms = [(m.dotted, m.folder) for m in modules.values() if m.folder in STAGES and m.is_package]
    for name, folder in rooms:
        found += [f"{s}/{name}: {folder}/ has a room of that name" for s in STAGES if s != folder and name in tops[s]]
    found += [
        f"circle of modules: {c}" for c in _circles({m.file: {t.file for t in edges[m]} for m in modules.values()})
    ]
    boxes = defaultdict(set)
    for module, targets in edges.items():
        boxes[module.room] |= {t.room for t in targets} - {module.room}
    return found + [f"circle of rooms: {circle}" for circle in _circles(boxes)]


@functools.cache
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def _modules(root: Path) -> dict[tuple[str, str], Module]:
    """(folder, dotted name) -> module."""
    found = {("", "main"): Module("", "main", "main.py", False)}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            if is_package := parts[-1] == "__init__":
                parts = parts[:-1]
            if folder == "tests":
                parts = parts[-1:]  # pytest puts the folder of a test, and of the helpers, on the path
            dotted = ".".join(["clarifyvlm", *parts] if folder == "clarifyvlm" else parts)
            found[folder, dotted] = Module(folder, dotted, path.relative_to(root).as_posix(), is_package)
    return found


def _imports(tree: ast.AST, module: Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import; of `from a import b`, a.b, which may be a module or a name in a."""
    package = module.dotted.split(".")[: None if module.is_package else -1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.lineno, str(node.args[0].value)


def _target(imported: str, module: Module, modules: dict) -> Module | None:
    """The module that is meant: of the same folder (where the script's own come first), or of clarifyvlm."""
    parts = imported.split(".")
    for end in range(len(parts), 0, -1):
        dotted = ".".join(parts[:end])
        for folder in (module.folder, "clarifyvlm", *(STAGES if module.folder in ("benchmarks", "tests") else ())):
            if target := modules.get((folder, dotted)):
                return target
    return None


def _circles(edges: dict[str, set[str]]) -> list[str]:
    """Each strongly connected part of two nodes or more (or a node that imports itself)."""

    def reach(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            for target in edges.get(todo.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    reached = {node: reach(node) for node in edges}
    circles = {
        tuple(sorted({node} | {other for other in reached[node] if node in reached.get(other, ())}))
        for node in edges
        if node in reached[node]
    }
    return [" <-> ".join(circle) for circle in sorted(circles)]


if __name__ == "__main__":
    broken = violations()
    print("\n".join(broken) or "all rules hold")
    sys.exit(bool(broken))
