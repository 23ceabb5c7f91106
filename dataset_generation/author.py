"""Have a language model word the examples of a data folder anew: questions, reference responses and dialogues.

Reads the splits of <data_dir> and their pictures, writes the same files to --output_dir, with
rejections.jsonl, audit.json, README.md (the card) and run.json. What is asked of which picture, what it can mean and
what is right to say stay as they are: the model only words it, and every wording is verified
(authoring/checks.py). A wording that fails is asked for again with the reason. A stopped run is continued by the same
command; no reply is paid twice.

    python dataset_generation/author.py --config dataset_generation/configs/author.yaml --data_dir runs/coco/data \
        --output_dir runs/coco/authored --author_base_url http://localhost:8000/v1 --author_model NAME
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.errors import UserError, run_main
from folder.shares import split_files


@dataclass
class Options:
    data_dir: str = option("data folder, as generate.py writes it")
    output_dir: str = option("folder to write to")
    seed: int = option("draws the styles that the model is asked for", 0)
    verify: list[Literal["schema", "language", "leak", "readings", "blind", "reference", "duplicate"]] = option(
        "what a wording has to pass",
        factory=lambda: ["schema", "language", "leak", "readings", "blind", "reference", "duplicate"],
    )
    max_attempts: int = option("wordings asked for, of a question and of a response", 3, min=1)
    max_repeats: int = option("how often the set may have the same question", 20, min=1)
    keep_template: bool = option("keep an example as it was where no wording is good; else it is dropped", False)
    author_sees_image: bool = option("show the picture to the model that words the responses", False)
    verifier_model: str | None = option("model that derives the readings and answers blind; unset: the author", None)
    verifier_base_url: str | None = option("its endpoint; unset: the author's", None)
    verifier_api_key_env: str | None = option("environment variable with its key", None)
    reference_judge: Literal["scene", "openai"] = option(
        "who checks the references; scene: offline, by the facts; openai: the verifier's model", "scene"
    )
    leak_model: str | None = option(
        "model at the verifier's endpoint that guesses strategies from questions; reported", None
    )
    audit: Literal["fail", "warn", "off"] = option(
        "fail: exit code 3 when the data give the strategy away; warn: only say so", "fail"
    )
    overwrite: bool = option("delete what an earlier run left in output_dir", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    from authoring.arguments import SPEED_ONLY, AuthorArguments

    options, args = parse_args([Options, AuthorArguments], argv, description=__doc__)
    files = _check(options)

    from authoring.work import Authoring
    from clarifyvlm.run_record import RunRecord

    settings = asdict(options) | asdict(args)
    ignore = (*SPEED_ONLY, "audit")
    stage = "dataset_generation/author.py"
    with RunRecord.start(options.output_dir, stage, settings, files.values(), ignore=ignore) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        work = Authoring(options, args, files, run.output)
        work.run()
        return _finish(options, args, work, run)


def _check(options: Options) -> dict[str, Path]:
    """split -> file. UserError for what can be seen before any call."""
    data_dir = Path(options.data_dir)
    files = split_files(data_dir)
    if data_dir.resolve() == Path(options.output_dir).resolve():
        raise UserError("--output_dir and --data_dir are one folder; give another --output_dir")
    if "schema" not in options.verify:
        raise UserError("--verify: `schema` cannot be left out: what is not JSON of the form asked for has no words")
    return files


def _finish(options: Options, args, work, run) -> int:
    """Files, audit, card and record. 3 where the audit fails and may."""
    from authoring.card_section import NOT_SHOWN, lines_of, summary
    from folder.card import command_of
    from folder.finish import finish

    if not sum(work.write_files().values()):
        raise UserError(
            f"none of {work.total} examples has a good wording; {run.output / 'rejections.jsonl'} says why. Give "
            "another --author_model, or look at the reasons that come most often:\n" + "\n".join(summary(work.rows()))
        )
    guessed = work.guess_strategies() if options.leak_model else None
    about = [
        f"The examples of {Path(options.data_dir).name}, worded anew by {args.author_model}. Pictures, facts, readings "
        "and strategies are those of that data set, whose own card says where they come from."
    ]
    return finish(
        run,
        options,
        command_of("author.py", [options, args], NOT_SHOWN),
        about,  # and no shares: what was dropped is no fault of the balance, and the card's table shows it
        summary=summary(work.rows()),
        counts=work.outcomes() | {"usage": {k: v for k, v in asdict(work.usage).items() if v}},
        same="from the replies kept",
        section=lines_of(work.rows(), options, args, guessed),
    )


if __name__ == "__main__":
    run_main(main, continues=True)
