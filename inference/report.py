r"""Say how well each model knows when to ask: predictions and verdicts -> metrics.json, report.md, report.html.

    python inference/report.py --data_file runs/tiny/data/test.jsonl --inference_dir runs/tiny/inference \
        --output_dir runs/tiny/report

Every folder in --inference_dir with predictions.jsonl and verdicts.jsonl is one model, named after the folder: base,
sft and grpo come first, then the others in alphabetical order. Models may have answered different examples: each is
measured on its own, and two are compared on those that both answered. A folder with bad files is named, with the
reason, and left out. report.html is one file that opens anywhere. `report.py compare RUN RUN ...` puts runs side by
side.
"""

import json
import sys
import webbrowser
from dataclasses import asdict, dataclass
from pathlib import Path

from clarifyvlm import jsonl
from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.records import Example
from clarifyvlm.run_record import RunRecord, hash_input
from measures.judged import title
from reporting import audit_file, curves, model_folders


@dataclass
class ReportArguments:
    # what
    data_file: str = option("examples.jsonl that the models answered")
    inference_dir: str = option("folder of folders, one per model, with predictions and verdicts")
    output_dir: str = option("folder for metrics.json, report.md and report.html")
    variants_dir: str | None = option(
        "folder of inference/variants.py: the models on changed pictures and questions", None
    )
    judge_audit: str | None = option(
        "judge_audit.json of inference/audit_judge.py: how far the judge can be trusted", None
    )
    unambiguous_file: str | None = option(
        "questions with one reading, answered in <inference_dir>/<model>/unambiguous/: what tuning cost",
        None,
    )
    labels: str | None = option("JSONL of inference/label.py, to correct the metrics for the judge's errors", None)
    # how
    resamples: int = option("bootstrap samples for the 95 % intervals", 2000, min=100)
    seed: int = option("of the bootstrap", 0)
    gallery: int = option("examples shown per strategy; 0: none", 100, min=0)
    baseline: str | None = option("compare every model with this one only; unset: every two", None)
    training_dirs: list[str] = option("output folders of trainings whose curves are shown", factory=list)
    paper: bool = option("also write the figures (SVG, PDF) and tables (LaTeX) for a paper, to paper/", False)
    open: bool = option("open the report in the browser", False)
    overwrite: bool = option("make the report again; false: keep one whose inputs are unchanged", True)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["compare"]:
        from reporting import side_by_side

        return side_by_side.main(argv[1:])
    (args,) = parse_args([ReportArguments], argv, description=__doc__, section="report")
    folders = model_folders.find(Path(args.inference_dir), args.data_file)
    if args.baseline and args.baseline not in [folder.name for folder in folders]:
        names = ", ".join(folder.name for folder in folders)
        raise UserError(
            f"--baseline {args.baseline}: no model of that name in {args.inference_dir}. There are: {names}."
        )
    audit = audit_file.read(args.judge_audit) if args.judge_audit else None
    labels = _read_labels(args.labels) if args.labels else None
    extra = [path for path in (args.judge_audit, args.labels) if path]
    for path in extra:
        if Path(args.output_dir).resolve() in Path(path).resolve().parents:
            raise UserError(f"{path} lies in --output_dir, which every report empties. Move it, and give its new path.")
    variants = model_folders.of_variants(Path(args.variants_dir), args.data_file) if args.variants_dir else {}
    judged = [*folders, *(folder for found in variants.values() for folder in found)]
    plain = [folder / "unambiguous" for folder in folders] if args.unambiguous_file else []
    judged += [folder for folder in plain if folder.is_dir()]
    inputs = [
        *curves.paths(args.training_dirs),
        args.data_file,
        *([args.unambiguous_file] if args.unambiguous_file else []),
        *(
            path
            for folder in judged
            for name in ("predictions", "verdicts")
            if (path := folder / f"{name}.jsonl").exists()
        ),
        *extra,
    ]
    with RunRecord.start(args.output_dir, "report", asdict(args), inputs, ignore=["open"]) as run:
        if run.complete:
            print(f"{args.output_dir}: complete already")
        else:
            run.finish(**_report(args, folders, variants, audit, labels))
            print(f"{args.output_dir}: metrics.json, report.md, report.html{', paper/' if args.paper else ''}")
    if args.open:
        webbrowser.open((Path(args.output_dir) / "report.html").resolve().as_uri())
    return 0


def _report(
    args: ReportArguments, folders: list[Path], variants: dict, audit: dict | None, labels: list | None
) -> dict:
    """Write metrics.json, report.md, report.html and paper/. Returns counts for run.json."""
    from measures import comparison, constant_policies, metrics, published, results
    from reporting import coverage, page, plots, schema, story, tables
    from reporting.sections import SECTIONS, Report

    examples = jsonl.read(args.data_file, Example, unique="id")
    if not examples:
        raise UserError(f"{args.data_file} has no examples.")
    known = {example.id for example in examples}
    models, left_out = model_folders.load_all(folders, known, args.data_file)
    without = {folder.name: why for folder, why in left_out.items()}
    if not models:
        raise UserError("\n".join(without.values()))
    if args.baseline in without:
        raise UserError(f"--baseline {args.baseline} cannot be in the report: {without[args.baseline]}")
    changed = {}
    for variant, found in variants.items():
        found = [folder for folder in found if folder.name not in without]
        changed[variant], bad = model_folders.load_all(found, known, args.data_file)
        left_out |= bad
    for folder, why in left_out.items():
        print(f"warning: {folder} is left out: {why}", file=sys.stderr)
    draws = {"seed": args.seed, "resamples": args.resamples}

    content = results.measure(examples, models, baseline=args.baseline, **draws)
    some, floors = constant_policies.play(examples)
    content["constant_policies"] = results.measure(some, floors, **draws)["models"] if floors else {}
    content["differences"] = comparison.correct(content["differences"])
    content["mcnemar"] = comparison.exact_tests(examples, models, content["differences"])
    content["seeds"] = comparison.seeds(content["models"])
    for section in SECTIONS:
        if section.measure:
            inputs = (examples, models, changed) if section.on_variants else (examples, models)
            content[section.name] = section.measure(*inputs, **draws)
    own = published.differences(examples, models, args.baseline, **draws)
    content["published_differences"] = comparison.correct(own)
    notes = []
    if args.unambiguous_file:
        whole = [folder for folder in folders if folder not in left_out]
        content["tuning_cost"], notes = _tuning_cost(args, whole, draws)
    notes += [f"{folder} is left out: {' '.join(why.split())}" for folder, why in left_out.items()]
    notes += [_out_of_place(folder, examples) for folder in folders if folder not in left_out]
    notes += [metrics.left_open(examples, model) for model in models]
    notes += coverage.notes(content["models"])
    content["notes"] = [note for note in notes if note]
    content |= {
        "seed": args.seed,
        "resamples": args.resamples,
        "schema_version": schema.SCHEMA_VERSION,
        "data": args.data_file,
        "data_sha256": hash_input(args.data_file),
        "examples": len(examples),
        "pictures": len({example.image_sha256 for example in examples}),
        "judge": ", ".join(sorted({judge for model in models for judge in model.judges})),
    }
    if audit:
        others = sorted({judge for model in models for judge in model.judges} - {audit["judge"]})
        content["judge_audit"] = audit | {"file": args.judge_audit, "not_audited": others}
    if labels is not None:
        content["labels"] = {"file": args.labels} | _correct(content, examples, models, labels, draws)
    output = Path(args.output_dir)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    jsonl.write_text_atomic(output / "metrics.json", text)
    jsonl.write_text_atomic(output / "report.md", tables.markdown(content, story.sentences(content)))
    trainings = curves.sections(args.training_dirs)
    shown = Report(content, examples, models, floors, Path(args.data_file).parent, args.gallery, trainings)
    if args.paper:
        for name, table in tables.latex(content).items():
            jsonl.write_text_atomic(output / "paper" / f"{name}.tex", table)
        for name, found in shown.figures.items():
            plots.save(name, found, output / "paper")
    jsonl.write_text_atomic(output / "report.html", page.render(shown))
    return {
        "examples": len(examples),
        "models": [model.name for model in models],
        "left_out": list(map(str, left_out)),
        "judge_failures": {model.name: sum(model.failures.values()) for model in models},
    }


def _tuning_cost(args: ReportArguments, folders: list[Path], draws: dict) -> tuple[dict, list[str]]:
    """What metrics.json says of the questions with one reading, and which models are left out."""
    from measures import tuning_cost

    examples = jsonl.read(args.unambiguous_file, Example, unique="id")
    if ambiguous := [e.id for e in examples if e.strategy != "answer"]:
        raise UserError(
            f"{args.unambiguous_file}: {len(ambiguous)} of {len(examples)} examples are not of the strategy `answer` "
            f"(the first: {ambiguous[0]}). --unambiguous_file takes questions with one reading only."
        )
    known = {example.id for example in examples}
    found, left_out = [], {}
    for folder in folders:
        try:
            found.append(model_folders.load(folder / "unambiguous", known, args.unambiguous_file, folder.name))
        except UserError as error:
            left_out[folder.name] = " ".join(str(error).split())
    if not found:
        raise UserError(
            f"--unambiguous_file {args.unambiguous_file}: no model has answered it. Predictions and verdicts on it are "
            f"looked for in {args.inference_dir}/<model>/unambiguous/."
        )
    notes = [f"What tuning cost {title(name)} is not known: {why}" for name, why in left_out.items()]
    return {"file": args.unambiguous_file} | tuning_cost.measure(examples, found, **draws), notes


def _out_of_place(folder: Path, examples: list[Example]) -> str | None:
    """A sentence where a model was made for other pictures than these, as the record of its predictions says."""
    record = folder / "predictions.run.json"
    made_for = json.loads(record.read_text())["counts"].get("made_for") if record.is_file() else None
    others = sorted({example.facts.source for example in examples} - {made_for})
    if not made_for or not others:
        return None
    return (
        f"{title(folder.name)} was made for pictures of {made_for} only; on pictures of {', '.join(others)} its "
        "numbers show that the pipeline runs, not what a model can do."
    )


def _correct(content: dict, examples: list[Example], models: list, labels: list, draws: dict) -> dict:
    """Add "corrected" to the models that enough labels are on. Returns what metrics.json says of the labels."""
    from measures import human_labels

    people, summary = human_labels.match(labels, models, examples, **draws)
    for model in models:
        if len(people[model.name]) >= human_labels.MIN_RESPONSES:
            found = human_labels.correct(examples, model, people[model.name], **draws)
            content["models"][model.name]["corrected"] = found
    return summary


def _read_labels(path: str) -> list:
    from measures.human_labels import Label

    labels = jsonl.read(path, Label, made_by="inference/label.py")
    if not labels:
        raise UserError(f"{path} has no labels; label some responses with inference/label.py, or leave --labels out.")
    return labels


if __name__ == "__main__":
    run_main(main)
