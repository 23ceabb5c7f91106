"""Write what was measured, benchmarks/results/, as tables into docs/.

    python benchmarks/table.py

docs/speed.md: every row that has a bar; of start-up, the slowest script. docs/results.md: demonstrations.md as it is.
"""

import json

from clarifyvlm.config import parse_args
from clarifyvlm.errors import run_main
from measure import ROOT

RESULTS = (
    "predict",
    "training",
    "memory",
    "pipeline",
    "startup",
    "generation",
    "judge",
    "report",
    "photographs",
    "conversion",
)
BEGIN, END = "<!-- benchmarks/table.py: begin -->", "<!-- benchmarks/table.py: end -->"


def main(argv: list[str] | None = None) -> int:
    parse_args([], argv, description=__doc__)
    for name, content in tables().items():
        path = ROOT / name
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        path.write_text(f"{before}{BEGIN}\n{content}{END}{after}", encoding="utf-8")
        print(f"{path}: written")
    return 0


def tables() -> dict[str, str]:
    """File -> its table."""
    demonstrations = (ROOT / "benchmarks" / "results" / "demonstrations.md").read_text(encoding="utf-8")
    return {"docs/speed.md": table(), "docs/results.md": demonstrations}


def table() -> str:
    lines = ["| | measured | baseline | ratio | bar | met |", "|---|---|---|---|---|---|"]
    for name in RESULTS:
        content = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
        rows = [row for row in content["rows"] if row["bar"]]
        if name == "startup":
            rows = [
                max((r for r in rows if what in r["measure"]), key=lambda r: r["value"]) for what in ("--help", "key")
            ]
        machine, date = content["machine"], content["date"][:10]
        lines.append(f"| **`{name}.py`**, {machine['cpu']}, {machine['cores']} cores, {date} | | | | | |")
        lines += [line(row) for row in rows]
    return "\n".join(lines) + "\n"


def line(row: dict) -> str:
    baseline = "" if row["baseline"] is None else number(row["baseline"])
    ratio = f"{row['ratio']:.2f}" if row["bar"].startswith("ratio") else ""
    met = "yes" if row["ok"] else "**no**"
    return f"| {row['measure']} | {number(row['value'])} {row['unit']} | {baseline} | {ratio} | {row['bar']} | {met} |"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    run_main(main)
