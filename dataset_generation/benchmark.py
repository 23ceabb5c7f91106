"""A published benchmark as examples, so that inference/ runs on it as on data of one's own.

    python dataset_generation/benchmark.py --benchmark vizwiz --data_file val.json --image_dir val \
        --output_dir runs/vizwiz/data

What the benchmark says is taken over: question, picture, answers, the strategy that follows from its labels. What it
does not say (objects, boxes, other readings, references) stays empty and is never made up; a judge that needs it says
so. Writes <split>.jsonl, images/, README.md and run.json.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.errors import UserError, run_main
from folder.faults import listed
from released import aqua, clearvqa, files, gqa, mm_upd, vizwiz, vq_focusambiguity, vqav2

MODULES = (aqua, clearvqa, mm_upd, vq_focusambiguity, vizwiz, vqav2, gqa)
RELEASED = {module.__name__.removeprefix("released."): module for module in MODULES}
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@dataclass
class Options:
    """Which benchmark, and where it lies."""

    benchmark: Literal["aqua", "clearvqa", "mm_upd", "vq_focusambiguity", "vizwiz", "vqav2", "gqa"] = option(
        "what the rows are: README.md has a table"
    )
    output_dir: str = option("folder for <split>.jsonl, images/, README.md and run.json")
    data_file: str | None = option("its rows: json, jsonl, parquet, arrow, tsv, csv", None)
    annotations: str | None = option("VQAv2: the file of answers beside the questions", None)
    image_dir: str | None = option("folder of the pictures, where rows only name them", None)
    hub_id: str | None = option("instead of --data_file: a data set of the hub", None)
    hub_config: str | None = option("its configuration", None)
    hub_split: str = option("its split", "test")
    columns: list[str] = option("ours=theirs, where a release names a column otherwise", factory=list)
    split: Literal["train", "validation", "test"] = option("the split written", "test")
    num_rows: int | None = option("only the first N rows", None, min=1)
    overwrite: bool = option("start anew", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__)
    if (options.data_file is None) == (options.hub_id is None):
        raise UserError("give --data_file or --hub_id, one of the two")

    from clarifyvlm.jsonl import write_atomic, write_text_atomic
    from clarifyvlm.run_record import RunRecord

    inputs = [path for path in (options.data_file, options.annotations) if path]
    pictures = files.Pictures(options.image_dir)
    examples, left_out = _examples(options, pictures)  # a first look: what is wrong is said before anything is written
    with RunRecord.start(options.output_dir, "dataset_generation/benchmark.py", asdict(options), inputs) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        _examples(options, pictures, run.output)
        write_atomic(run.output / f"{options.split}.jsonl", examples)
        write_text_atomic(run.output / "README.md", _card(options, examples, left_out))
        run.finish(examples=len(examples), left_out=sum(left_out.values()))
    counts = Counter(e.strategy for e in examples)
    print(f"{options.output_dir}: {len(examples):,} examples:", ", ".join(f"{n:,} {s}" for s, n in counts.items()))
    for reason, n in left_out.items():
        print(f"left out: {n:,} {reason}", file=sys.stderr)
    return 0


def _rows(options: Options) -> Iterator[dict]:
    if options.hub_id:
        return files.read_hub(options.hub_id, options.hub_config, options.hub_split)
    rows = files.read(options.data_file)
    if not options.annotations:
        return rows
    answers = {str(row.get("question_id")): row for row in files.read(options.annotations)}
    return (row | answers.get(str(row.get("question_id")), {}) for row in rows)


def _renamed(rows: Iterator[dict], options: Options) -> Iterator[dict]:
    """The rows with --columns applied. UserError where the first of them is none of the benchmark."""
    renames = dict(_rename(token) for token in options.columns)
    wanted = RELEASED[options.benchmark]
    for number, row in enumerate(rows, start=1):
        if options.num_rows is not None and number > options.num_rows:
            return
        row = row | {ours: row[theirs] for ours, theirs in renames.items() if theirs in row}
        missing = [name for name in (*wanted.COLUMNS, wanted.PICTURE) if row.get(name) is None]
        if number == 1 and missing:
            raise UserError(
                f"{options.data_file or options.hub_id} is no {options.benchmark} as this script knows it: its first "
                f"row has no {', '.join(missing)}. It has {', '.join(row)}. Another version may name them otherwise: "
                f"--columns {missing[0]}=..."
            )
        yield row


def _rename(token: str) -> tuple[str, str]:
    ours, equals, theirs = token.partition("=")
    if not (ours and equals and theirs):
        raise UserError(f"--columns {token}: ours=theirs was expected, as in question=query")
    return ours, theirs


def _examples(options: Options, pictures, output: Path | None = None) -> tuple[list, dict[str, int]]:
    """(examples, {why rows were left out: how many}); their pictures are written where there is an `output`.

    UserError that lists what is wrong with the rows.
    """
    from tqdm import tqdm

    benchmark = RELEASED[options.benchmark]
    examples, ids, faults, missing = [], {}, [], []
    unanswered = 0
    rows = tqdm(_renamed(_rows(options), options), "write" if output else "read", unit="row", mininterval=0.5)
    for number, row in enumerate(rows, start=1):
        if absent := [name for name in benchmark.COLUMNS if row.get(name) is None]:
            if absent == ["answers"]:  # a test split whose answers are not public
                unanswered += 1
            else:
                faults.append(f"row {number}: no {', '.join(absent)}")
            continue
        try:
            items = benchmark.items(row)
        except ValueError as error:
            faults.append(f"row {number}: {error}")
            continue
        found = pictures.get(row.get(benchmark.PICTURE)) or pictures.get(row.get("filename"))
        if found is None:
            missing.append(str(row.get(benchmark.PICTURE))[:80])
            continue
        image, digest, size = _picture(*found, options.split, output)
        key = "-".join(str(row[name]) for name in benchmark.ID if row.get(name) is not None) or str(number)
        for item in items:
            group = item.about.get("pair") or (key if len(items) > 1 else None)
            example = _example(options, item, key, group, image, digest, size)
            if example.id in ids:
                faults.append(f"row {number}: {key} {item.version} is in row {ids[example.id]} already")
            ids.setdefault(example.id, number)
            examples.append(example)
    source = options.data_file or options.hub_id
    if faults:
        problem = f"{source}: {len(faults):,} rows are not as {options.benchmark} has them"
        raise listed(problem, faults, "Is it another version? --columns ours=theirs renames columns.")
    if missing:
        where = f"in {options.image_dir}" if options.image_dir else "in the rows"
        raise listed(f"{source}: {len(missing):,} pictures are not {where}", missing, "Give their folder: --image_dir.")
    if not examples:
        raise UserError(f"{source}: no row with a question{' and its answers' if unanswered else ''}")
    return examples, {"rows without public answers": unanswered} if unanswered else {}


def _example(options: Options, item, key: str, group: str | None, image: str, digest: str, size: tuple[int, int]):
    from clarifyvlm.records import Ambiguity, Example, Facts, Reading

    name = f"{options.benchmark}:{key}:{item.version}:{item.question}"
    return Example(
        id=sha256(f"{name}:{digest}".encode()).hexdigest()[:16],
        split=options.split,
        image=image,
        image_sha256=digest,
        question=item.question,
        kind=item.kind,
        ambiguity=Ambiguity(
            type=item.type,
            level=item.level,
            readings=[Reading(objects=[], expression=e, answer=a) for e, a in item.readings],
        ),
        strategy=item.strategy,
        reference=item.reference,
        group_id=f"{options.benchmark}-{group}" if group else None,
        facts=Facts(source=options.benchmark, width=size[0], height=size[1], objects=[], complete=False),
        provenance={"benchmark": options.benchmark, "key": key, "version": item.version}
        | {k: v for k, v in item.about.items() if v is not None},
    )


def _picture(name: str, content: bytes, split: str, output: Path | None) -> tuple[str, str, tuple[int, int]]:
    """(path relative to the output, sha256, (width, height)) of a picture; it is written to `output` as it is."""
    from io import BytesIO

    from PIL import Image

    from folder.pictures import write_bytes

    digest = sha256(content).hexdigest()
    try:
        with Image.open(BytesIO(content)) as picture:
            size, suffix = picture.size, SUFFIXES.get(picture.format or "")
    except (OSError, ValueError) as error:
        raise UserError(f"picture {name}: not a picture in a known format ({error})") from None
    if suffix is None:
        raise UserError(f"picture {name}: neither {', '.join(SUFFIXES)}")
    path = f"images/{split}/{digest[:16]}{suffix}"
    if output and not (output / path).exists():
        write_bytes(output / path, content)
    return path, digest, size


def _card(options: Options, examples: list, left_out: dict[str, int]) -> str:
    counts = Counter(e.strategy for e in examples)
    lines = [
        f"# {options.benchmark}: {RELEASED[options.benchmark].WHAT}",
        "",
        f"{len(examples):,} examples on {len({e.image_sha256 for e in examples}):,} pictures, converted by "
        f"`dataset_generation/benchmark.py` from `{options.hub_id or Path(options.data_file).name}`.",
        "Questions, answers and pictures are the benchmark's: its licence and its citation hold. Objects, boxes,",
        "references and readings that it does not give are empty.",
        "",
        "| right strategy | examples |",
        "|---|---|",
        *(f"| {strategy} | {n:,} |" for strategy, n in counts.items()),
        "",
        *(f"Left out: {n:,} {reason}." for reason, n in left_out.items()),
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    run_main(main)
