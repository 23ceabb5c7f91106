"""Published benchmarks: one module for each, with `BENCHMARK` (what it is) and `items(row)` (what a row becomes)."""

import importlib
import pkgutil

HELPERS = ("convert", "files", "items", "parquet_rows", "rows")
NAMES = tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in HELPERS))


def module(name: str):
    """The module of one of NAMES."""
    return importlib.import_module(f"released.{name}")


def table() -> str:
    """The table of benchmarks in docs/benchmarks.md, in Markdown."""
    lines = [
        "| `--benchmark` | released columns | becomes | does not say | form | license |",
        "|---|---|---|---|---|---|",
    ]
    for name in NAMES:
        b = module(name).BENCHMARK
        columns = ", ".join(filter(None, b.columns))
        cells = [f"`{name}`: [{b.name}]({b.home}), {b.what}", columns, b.becomes, b.silent, b.seen, b.license]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
