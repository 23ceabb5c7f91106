"""A published benchmark as examples, so that inference/ runs on it as on data of one's own.

    python dataset_generation/benchmark.py --benchmark vizwiz --data_file val.json --image_dir val \
        --output_dir runs/vizwiz/data

What the benchmark says is taken over: question, picture, answers, the strategy that follows from its labels. What it
does not say (objects, boxes, other readings, references) stays empty and is never made up; a judge that needs it says
so. Writes <split>.jsonl, images/, README.md and run.json.
"""

import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.errors import UserError, run_main
from folder.header import header
from folder.names import check_apart
from released import NAMES, module
from released.convert import Conversion
from released.files import Pictures
from released.rows import Source


@dataclass
class Options:
    """Which benchmark, and where it lies."""

    benchmark: Literal[NAMES] = option("what the rows are: docs/benchmarks.md has a table")
    output_dir: str = option("folder for <split>.jsonl, images/, README.md and run.json")
    data_file: str | None = option("its rows: json, jsonl, parquet, arrow, tsv, csv", None)
    annotations: str | None = option("VQAv2, AmbiguousVQA: the file of answers beside the questions", None)
    image_dir: str | None = option("folder of the pictures, where rows only name them", None)
    hub_id: str | None = option("instead of --data_file: a data set of the hub", None)
    hub_config: str | None = option("its configuration", None)
    hub_split: str = option("its split", "test")
    columns: list[str] = option("ours=theirs, where a release names a column otherwise", factory=list)
    split: Literal["train", "validation", "test"] = option("the split written", "test")
    num_rows: int | None = option("only the first N rows", None, min=1)
    leave_out_contradictions: bool = option(
        "of rows that contradict each other about one picture and question, keep the first", False
    )
    overwrite: bool = option("start anew", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__)
    if (options.data_file is None) == (options.hub_id is None):
        raise UserError("give --data_file or --hub_id, one of the two")

    from clarifyvlm.jsonl import write_atomic, write_text_atomic
    from clarifyvlm.run_record import RunRecord

    check_apart(options.image_dir, options.output_dir)
    inputs = [path for path in (options.data_file, options.annotations) if path]
    source = Source(
        options.benchmark,
        options.data_file,
        options.annotations,
        options.hub_id,
        options.hub_config,
        options.hub_split,
        dict(_rename(token) for token in options.columns),
        options.num_rows,
    )
    found = Conversion(source, Pictures(options.image_dir), options.split, options.leave_out_contradictions)
    found.run()  # what is wrong is said before anything is written
    with RunRecord.start(options.output_dir, "dataset_generation/benchmark.py", asdict(options), inputs) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        found.write_pictures(run.output)
        write_atomic(run.output / f"{options.split}.jsonl", found.examples)
        card = _card(options, found.examples, found.left_out)
        write_text_atomic(run.output / "README.md", "\n".join([*header(run.output), card]))
        run.finish(examples=len(found.examples), left_out=found.left_out.total())
    counts = Counter(e.strategy for e in found.examples)
    print(
        f"{options.output_dir}: {len(found.examples):,} examples:", ", ".join(f"{n:,} {s}" for s, n in counts.items())
    )
    for reason, n in found.left_out.items():
        print(f"left out: {n:,} {reason}", file=sys.stderr)
    return 0


def _rename(token: str) -> tuple[str, str]:
    ours, equals, theirs = token.partition("=")
    if not (ours and equals and theirs):
        raise UserError(f"--columns {token}: ours=theirs was expected, as in question=query")
    return ours, theirs


def _card(options: Options, examples: list, left_out: dict[str, int]) -> str:
    benchmark = module(options.benchmark).BENCHMARK
    counts = Counter(e.strategy for e in examples)
    given = {
        "a type": sum(e.ambiguity.type != "unknown" for e in examples),
        "a level": sum(e.ambiguity.level is not None for e in examples),
        "a reading": sum(bool(e.ambiguity.readings) for e in examples),
        "an answer": sum(e.has_answer for e in examples),
        "a reference": sum(bool(e.reference) for e in examples),
    }
    lines = [
        f"# {benchmark.name}: {benchmark.what}",
        "",
        f"{len(examples):,} examples on {len({e.image_sha256 for e in examples}):,} pictures, converted by "
        f"`dataset_generation/benchmark.py` from `{options.hub_id or Path(options.data_file).name}`.",
        "Questions, answers and pictures are the benchmark's: its license and its citation hold.",
        f"Home: {benchmark.home}. License: {benchmark.license}.",
        f"Objects and boxes are empty, and so is what it does not say: {benchmark.silent}.",
        "",
        "| right strategy | examples |",
        "|---|---|",
        *(f"| {strategy} | {n:,} |" for strategy, n in counts.items()),
        "",
        "| the source gives | of how many |",
        "|---|---|",
        *(f"| {what} | {n:,} |" for what, n in given.items()),
        "",
        *(f"Left out: {n:,} {reason}." for reason, n in left_out.items()),
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    run_main(main)
