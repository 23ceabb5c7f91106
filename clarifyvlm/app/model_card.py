"""The model card of a published checkpoint: what it is, how it was made, how it did, where it fails, how to use it.

Every figure is taken from the records and from metrics.json as they are, with its n and interval.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm import tracking
from clarifyvlm.app import provenance
from clarifyvlm.strategies import STRATEGIES

SIGNATURE = "Made by ClarifyVLM's `python main.py publish`"
NOT_SETTINGS = ("data_dir", "output_dir", "model_name_or_path", "overwrite", "resume_from_checkpoint", "logging_dir")
METRICS = {
    "strategy_accuracy_macro": "Strategy accuracy (macro over the strategies)",
    "overconfident": "Overconfident on ambiguous questions (lower is better)",
    "over_asked": "Asked back where there is one reading (lower is better)",
    "grounded": "Grounded: no claim contradicts the picture",
    "answer_accuracy": "Answer accuracy on one-reading questions",
    "answer_accuracy_after_reply": "Answer accuracy after the user's reply",
    "served": "Served after at most one reply",
    "reward": "Mean reward (no share)",
    "coverage": "Understood by the judge; the numbers above are over these",
}
COMPARED = ("strategy_accuracy_macro", "overconfident", "over_asked", "served")
SIGNED = ("reward",)  # not shares: not shown in percent


@dataclass
class Facts:
    name: str  # of the repository on the hub, or of the folder
    on_hub: bool
    adapter: bool
    base: str | None  # its name on the hub
    license: str | None
    made_for: str | None
    history: provenance.History
    results: provenance.Results | None
    merging: dict | None  # publishing's check, where an adapter was folded in


def card(facts: Facts) -> str:
    parts = [_front_matter(facts), _what(facts), _made(facts), _results(facts), _limits(facts), _use(facts)]
    return "\n\n".join(part.strip() for part in parts) + f"\n\n{SIGNATURE}.\n"


def license_of(base: str) -> str | None:
    """What the front matter of the base's own card says: of a local folder, or of the hub's cache."""
    path = Path(base) / "README.md"
    if not Path(base).is_dir():
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(base, "README.md")
        if not isinstance(cached, str):
            return None
        path = Path(cached)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    front = re.match(r"---\n(.*?)\n---\n", text, flags=re.S)
    found = front and re.search(r"^license:\s*['\"]?([\w.-]+)", front.group(1), flags=re.M)
    return found.group(1) if found else None


def _front_matter(facts: Facts) -> str:
    stages = [stage.record["stage"].removeprefix("tuning_") for stage in facts.history.stages]
    lines = ["---"]
    lines += [f"license: {facts.license}"] if facts.license else []
    lines += [f"base_model: {facts.base}"] if facts.base else []
    lines += [f"base_model_relation: {'adapter' if facts.adapter else 'finetune'}"] if facts.base else []
    lines += [f"library_name: {'peft' if facts.adapter else 'transformers'}", "pipeline_tag: image-text-to-text"]
    tags = ["clarifyvlm", "vision-language", "ambiguity", "clarifying-questions", *dict.fromkeys(stages)]
    return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags), "language:", "- en", "---"])


def _what(facts: Facts) -> str:
    kind = "An adapter (PEFT) for" if facts.adapter else "A vision-language model, tuned from"
    lines = [
        f"# {facts.name}",
        f"{kind} {_base(facts)}, that notices when a question about a picture can be understood in several ways. "
        "Instead of picking one reading with full confidence it chooses among six strategies: answer; say which "
        "reading it took, and answer; list the readings with their answers; ask back, and use the reply; correct a "
        "question that presupposes what is not there; say that the picture cannot tell.",
    ]
    if facts.made_for:
        lines.append(
            f"It was made for one kind of pictures only: `{facts.made_for}`"
            + (" (generated pictures of colored shapes)" if facts.made_for == "scenes" else "")
            + ". What it says about others means nothing."
        )
    if not facts.license:
        lines.append("Its license is that of its base, which is not recorded here.")
    return "\n\n".join(lines)


def _base(facts: Facts) -> str:
    return f"`{facts.base or _local(facts.history.base)}`"


def _local(path: str) -> str:
    """A path without what only this machine knows: as it is where it is relative, else its last part."""
    parts = Path(path).parts
    return Path(path).name if not parts or parts[0] in ("/", "..", "~") else path


# --- how it was made ---------------------------------------------------------------------------------------------


def _made(facts: Facts) -> str:
    history = facts.history
    lines = ["## How it was made"]
    if not history.stages:
        lines.append("There is no record of the runs that made it.")
    elif history.torn:
        lines.append(f"As far as the records go: {history.torn}.")
    for number, stage in enumerate(history.stages, start=1):
        lines.append(f"### {number}. {stage.record['stage']}")
        lines.append("\n".join(f"- {line}" for line in _stage(stage)))
        if stage.shares and stage.shares not in [earlier.shares for earlier in history.stages[: number - 1]]:
            lines.append(f"Examples per strategy in that data:\n\n{stage.shares}")
    if facts.merging:
        m = facts.merging
        lines.append(
            f"The adapter is folded into its base, in float32, and cast to {m['dtype']} once. Loaded again, on one "
            f"picture, its logits differ from the adapter's by {m['difference']:.2g} at most; the adapter itself "
            f"changes them by up to {m['effect']:.2g}, and the largest is {m['largest']:.2g}."
        )
    return "\n\n".join(lines)


def _stage(stage: provenance.Stage) -> list[str]:
    record = stage.record
    counts = record.get("counts", {})
    steps = f"{stage.steps} (a checkpoint on the way)" if stage.steps else counts.get("steps", "not recorded")
    seen = [
        f"{counts[key]:,} {key.replace('_', ' ')}"
        for key in ("train_examples", "train_rows", "prompts")
        if key in counts
    ]
    versions = ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
    settings = {k: v for k, v in record.get("args", {}).items() if k not in NOT_SETTINGS + tracking.SPEED_ONLY}
    lines = [
        f"data: {_data(stage)}",
        f"steps: {steps}" + (f"; {', '.join(seen)}" if seen else ""),
        "settings that differ from the defaults: "
        + (", ".join(_setting(*item) for item in settings.items()) or "none"),
        f"seconds: {record.get('seconds', 'not recorded')}",
        f"versions: {versions or 'not recorded'}",
        f"commit: {record.get('commit') or 'not recorded'}",
    ]
    if not stage.steps and "resumed" in record:
        lines[3] += f" (of the last of {record['resumed'] + 1} sittings)"
    return lines


def _data(stage: provenance.Stage) -> str:
    if stage.data is None:
        return "not there any more as it was; sha256 of its train.jsonl: " + next(
            (i["sha256"] for i in stage.record.get("inputs", []) if i["path"].endswith("train.jsonl")), "not recorded"
        )
    args, counts = stage.data.get("args", {}), stage.data.get("counts", {})
    files = ", ".join(f"{name} {count:,}" for name, count in counts.items() if isinstance(count, int))
    seed = f", seed {args['seed']}" if "seed" in args else ""
    return f"`{stage.data.get('stage')}`, source {args.get('source', 'not recorded')}{seed}; examples: {files}"


def _setting(name: str, value) -> str:
    text = str(value)
    if "://" in text or name.endswith(("_url", "_cache_dir", "_api_key_env")):
        return f"`{name}` (set)"
    return f"`{name} {_local(text) if '/' in text else text}`"


# --- how it did --------------------------------------------------------------------------------------------------


def _results(facts: Facts) -> str:
    lines = ["## Results"]
    if facts.results is None:
        return "\n\n".join([*lines, "It was not evaluated."])
    found, metrics = facts.results, facts.results.metrics
    row = metrics["models"][found.row]
    judge = metrics.get("judges", {}).get(found.row) or [metrics.get("judge")]
    who = "its predictions were made by this checkpoint" if found.matched else "named by hand, not checked against it"
    lines.append(
        f"Row `{found.row}` of the report ({who}): {metrics['examples']:,} questions on {metrics['pictures']:,} "
        f"pictures of `{_local(metrics['data'])}`, judge `{', '.join(map(str, judge))}`, seed {metrics['seed']}; 95 % "
        f"intervals, drawn over pictures. Judge failures, left out: {row['judge_failures']}."
    )
    table = ["| | value [95 % interval] | n |", "|---|---|---|"]
    table += [
        f"| {label} | {_cell(row[key], key)} | {row[key]['n']:,} |" for key, label in METRICS.items() if _has(row, key)
    ]
    lines.append("\n".join(table))
    by_strategy = [
        f"| {s} | {_cell(row['strategy_accuracy'][s])} | {row['strategy_accuracy'][s]['n']:,} |"
        for s in STRATEGIES
        if _has(row.get("strategy_accuracy", {}), s)
    ]
    if by_strategy:
        lines.append("\n".join(["| the right strategy | how often it took it | n |", "|---|---|---|", *by_strategy]))
    differences = [d for d in metrics.get("differences", []) if d["a"] == found.row and d["metric"] in COMPARED]
    if differences:
        shown = ["| difference in points, paired | from | value [95 % interval] | n (all pairs) |", "|---|---|---|---|"]
        shown += [
            f"| {METRICS[d['metric']]} | `{d['b']}` | {_cell(d, signed=True)} | {d['n']:,} |"
            for d in differences
            if d["value"] is not None
        ]
        lines.append("\n".join(shown))
    return "\n\n".join(lines)


def _has(row: dict, key: str) -> bool:
    return key in row and row[key]["value"] is not None and row[key]["n"] > 0


def _cell(estimate: dict, key: str = "", signed: bool = False) -> str:
    """`90.0 % [88.3, 91.5]`, or `0.86 [0.84, 0.88]` for what is no share."""
    values = [estimate[k] for k in ("value", "low", "high")]
    if key in SIGNED:
        value, low, high = (f"{v:.2f}" for v in values)
        return f"{value} [{low}, {high}]"
    value, low, high = (f"{100 * v:+.1f}" if signed else f"{100 * v:.1f}" for v in values)
    return f"{value}{'' if signed else ' %'} [{low}, {high}]"


def _with_n(estimate: dict, signed: bool = False) -> str:
    return f"{_cell(estimate, signed=signed)}{' points' if signed else ''}, n = {estimate['n']:,}"


def _limits(facts: Facts) -> str:
    lines = []
    if facts.made_for:
        lines.append(f"It knows pictures of `{facts.made_for}` and the words of that data; elsewhere it is of no use.")
    if facts.results is None:
        lines.append("How often it is overconfident, asks without need or is wrong has not been measured.")
    else:
        lines += _failures(facts.results)
        lines.append("The intervals are those of one training run: another seed can give other values.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _failures(results: provenance.Results) -> list[str]:
    metrics, name = results.metrics, results.row
    row = metrics["models"][name]
    lines = []
    if _has(row, "overconfident"):
        share = _with_n(row["overconfident"])
        lines.append(f"It asserts one reading of an ambiguous question as if there were no other: {share}.")
    if _has(row, "over_asked"):
        lines.append(f"It asks back where there is only one reading: {_with_n(row['over_asked'])}.")
    for key, what in (("strategy_accuracy", "strategy"), ("strategy_accuracy_by_type", "type of ambiguity")):
        kinds = {kind: e for kind, e in row.get(key, {}).items() if _has(row[key], kind)}
        if kinds:
            worst = min(kinds, key=lambda kind: kinds[kind]["value"])
            lines.append(f"Weakest {what}: `{worst}`, strategy accuracy {_with_n(kinds[worst])}.")
    return lines + _changed(metrics.get("robustness", {}).get("variants", {}), name)


def _changed(variants: dict, name: str) -> list[str]:
    """The change of pictures or words that costs this model most, where such were measured."""
    drops = {}
    for variant, content in variants.items():
        of_model = content["models"].get(name)
        if of_model and of_model["accuracy"]["macro"]["difference"]["value"] is not None:
            drops[variant] = of_model["accuracy"]["macro"]["difference"]
    if not drops:
        return ["How it does on changed pictures and words (`inference/variants.py`) was not measured."]
    worst = min(drops, key=lambda variant: drops[variant]["value"])
    what = variants[worst].get("what") or worst
    return [
        f"Of the changes measured, worst for it is: {what}. Strategy accuracy changes by {_with_n(drops[worst], True)}."
    ]


# --- how to use it -----------------------------------------------------------------------------------------------


def _use(facts: Facts) -> str:
    name = facts.name if facts.on_hub else f"./{facts.name}"
    local = f"./{facts.name.rpartition('/')[2]}"
    if facts.adapter:
        base = facts.base or "PATH_OF_THE_BASE"
        load = (
            f'model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained("{base}"), "{name}").eval()'
        )
        imports = "from peft import PeftModel\n"
    else:
        load = f'model = AutoModelForImageTextToText.from_pretrained("{name}").eval()'
        imports = ""
    download = f"hf download {facts.name} --local-dir {local}\n" if facts.on_hub else ""
    return f"""## How to use it

In ClarifyVLM, where it asks back and hears your reply:

```bash
{download}python main.py ask --model_name_or_path {local} --image picture.png --question "What color is the star?"
```

With transformers alone:

```python
{imports}from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained("{name}")
{load}
content = [
    {{"type": "image", "image": Image.open("picture.png").convert("RGB")}},
    {{"type": "text", "text": "What color is the star?"}},
]
inputs = processor.apply_chat_template(
    [{{"role": "user", "content": content}}],
    add_generation_prompt=True,
    tokenize=True,
    return_dict=True,
    return_tensors="pt",
    processor_kwargs={{"add_special_tokens": False}},
).to(model.device, model.dtype)
said = model.generate(**inputs, max_new_tokens=128, do_sample=False)
print(processor.decode(said[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```"""
