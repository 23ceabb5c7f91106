"""People check a data set: a page to look at examples, and what several of them decided put together.

    python dataset_generation/review.py page --data_file runs/tiny/data/test.jsonl --output_dir runs/tiny/review
    python dataset_generation/review.py merge --data_file runs/tiny/data/test.jsonl --reviews ann.jsonl bob.jsonl \
        --output_file runs/tiny/data/test_verified.jsonl

`page` writes review.html, one file that opens from disk: picture with boxes, question, readings, reference; accept,
reject, note by key; it exports JSONL. Among the examples are traps, made wrong on purpose, without a mark; their key
(traps.json) stays beside the page. `merge` keeps what was accepted and says how far the reviewers agree.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.errors import UserError, run_main

REASONS = {  # key on the page -> why an example is rejected
    "1": "wrong readings",
    "2": "wrong strategy",
    "3": "wrong reference",
    "4": "unnatural question",
    "5": "unusable picture",
    "6": "other",
}
MAX_SIDE = 640  # pixels of a picture on the page


@dataclass
class PageOptions:
    data_file: str = option("examples.jsonl to be checked")
    output_dir: str = option("folder for review.html and traps.json")
    num_examples: int = option("examples drawn, without the traps", 200, min=1)
    num_traps: int = option("examples that are made wrong and mixed in", 20, min=0)
    seed: int = option("draws examples, traps and their order", 0)
    overwrite: bool = option("start anew", False)
    redo: bool = option(REDO, False)


@dataclass
class MergeOptions:
    data_file: str = option("examples.jsonl that was reviewed")
    reviews: list[str] = option("exports of the page, one per reviewer")
    output_file: str = option("JSONL of the accepted examples; <name>.summary.json beside it")
    traps: str | None = option("traps.json of the page", None)
    keep: Literal["all", "any", "most"] = option(
        "keep what all of its reviewers accepted, any of them, or more than half", "all"
    )
    min_reviews: int = option("keep only what at least so many of them reviewed", 1, min=1)
    seed: int = option("of the draws behind the intervals", 0)
    overwrite: bool = option("start anew", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    commands = {"page": page, "merge": merge}
    if argv[:1] in (["-h"], ["--help"], []) or argv[0] not in commands:
        print(__doc__)
        if argv[:1] in (["-h"], ["--help"]):
            return 0
        raise UserError("say `page` or `merge` first; `review.py page --help` lists its flags")
    return commands[argv[0]](argv[1:])


def page(argv: list[str]) -> int:
    (options,) = parse_args([PageOptions], argv, description=__doc__)

    from clarifyvlm import images, jsonl
    from clarifyvlm.records import Example
    from clarifyvlm.run_record import RunRecord
    from reviewing import page

    examples = jsonl.read(options.data_file, Example, unique="id")
    if not examples:
        raise UserError(f"{options.data_file} has no examples.")
    inputs = [options.data_file]
    with RunRecord.start(options.output_dir, "dataset_generation/review.py page", asdict(options), inputs) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        items, traps = page.choose(examples, options.num_examples, options.num_traps, options.seed)
        images.check_unchanged(items, Path(options.data_file).parent)
        images.check_images([item.image for item in items], Path(options.data_file).parent)
        html = page.render(items, Path(options.data_file), REASONS, MAX_SIDE)
        jsonl.write_text_atomic(run.output / "review.html", html)
        jsonl.write_text_atomic(run.output / "traps.json", json.dumps(traps, indent=2) + "\n")
        run.finish(examples=len(items) - len(traps), traps=len(traps))
    print(f"{options.output_dir}/review.html: {len(items) - len(traps)} examples and {len(traps)} traps")
    print("Keep traps.json to yourself; everyone who reviews opens the same page and exports a file.")
    return 0


def merge(argv: list[str]) -> int:
    (options,) = parse_args([MergeOptions], argv, description=__doc__)
    _check_output(options)
    if not 1 <= options.min_reviews <= len(options.reviews):
        raise UserError(
            f"--min_reviews {options.min_reviews}: from 1 to the number of --reviews, {len(options.reviews)}."
        )

    from clarifyvlm import jsonl
    from clarifyvlm.records import Example
    from clarifyvlm.run_record import RunRecord
    from reviewing import merging

    examples = jsonl.read(options.data_file, Example, unique="id")
    traps = merging.read_traps(options.traps)
    reviews = merging.read(options.reviews, options.data_file, {e.id for e in examples}, traps)
    summary, accepted = merging.summarize(examples, reviews, traps, options.keep, options.seed, options.min_reviews)
    inputs = [options.data_file, *options.reviews, *([options.traps] if options.traps else [])]
    stage = "dataset_generation/review.py merge"
    with RunRecord.start(options.output_file, stage, asdict(options), inputs) as run:
        if run.complete:
            print(f"{options.output_file} is complete; nothing to do")
            return 0
        rows = merging.rows(examples, accepted, Path(options.data_file), run.output)
        jsonl.write_atomic(run.output, rows)
        told = run.output.with_suffix(".summary.json")
        jsonl.write_text_atomic(told, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
        run.finish(accepted=len(rows), reviewed=summary["reviewed"])
    print("\n".join(merging.sentences(summary)))
    print(f"{options.output_file}: {len(rows):,} of {summary['reviewed']:,} examples")
    return 0


def _check_output(options: MergeOptions) -> None:
    """With --overwrite the output is deleted first: it must be none of the inputs."""
    output = Path(options.output_file)
    if output.suffix != ".jsonl":
        raise UserError(f"--output_file {output}: must end in .jsonl.")
    for path in (options.data_file, *options.reviews):
        if output.resolve() == Path(path).resolve():
            raise UserError(f"--output_file {output} is one of the files to be read; give another.")


if __name__ == "__main__":
    run_main(main)
