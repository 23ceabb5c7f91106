"""The dataset card: README.md and contact_sheet.png in the output folder."""

import json
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import MISSING, fields
from pathlib import Path

from clarifyvlm.jsonl import write_text_atomic
from clarifyvlm.strategies import AMBIGUITY_TYPES, LEVELS, STRATEGIES
from folder.header import header, without_header

SHEET_COLUMNS, SHEET_PER_STRATEGY = 4, 4
TILE, MARGIN, TEXT_HEIGHT = 260, 22, 176
COLORS = {  # a strategy's label on the contact sheet
    "answer": "#2a6f4e",
    "infer": "#2563a8",
    "enumerate": "#6b3fa0",
    "clarify": "#b45309",
    "correct": "#b91c1c",
    "abstain": "#4b5563",
}


def command_of(script: str, settings: Iterable, hidden: Collection[str]) -> str:
    """The command line that makes a folder again: every option of the dataclasses `settings` that is not its default,
    nor `hidden`. Folders by their names: the card is the same wherever they are."""
    parts = [f"python dataset_generation/{script}"]
    for options in settings:
        for f in fields(options):
            value = getattr(options, f.name)
            default = f.default if f.default_factory is MISSING else f.default_factory()
            if f.name in hidden or value == default:
                continue
            if f.name in ("data_dir", "output_dir"):
                value = Path(value).name
            parts.append(f"--{f.name} {' '.join(map(str, value)) if isinstance(value, list) else value}")
    return " \\\n    ".join(parts)


def write_card(
    output: Path,
    stats: dict,
    findings: dict | None,
    command: str,
    about: Iterable[str],
    seed: int,
    same: str = "whatever the number of workers",
    section: Iterable[str] = (),
) -> None:
    """`about`: lines that say what the pictures are; `command`: what makes this folder again, with the `same` bytes;
    `section`: lines below the rest."""
    example = contact_sheet(output, [s for s in ("test", "validation", "train") if s in stats["counts"]])
    splits = list(stats["counts"])
    lines = [*header(output), "# Dataset card", "", *about, "", "Made by", "", "```bash", command, "```", ""]
    lines += [f"Seed {seed}. The same command gives the same bytes, {same}.", ""]
    if example:
        lines += ["![Examples of every strategy](contact_sheet.png)", ""]
    lines += ["## Files", "", "| file | examples |", "|---|---|"]
    lines += [f"| {s}.jsonl | {n:,} |" for s, n in stats["counts"].items()]
    lines += [
        "",
        "Splits are by picture: no picture, and none that shows the same things in the same places, is in two.",
    ]
    if "replay" in splits and stats["counts"]["replay"]:
        lines += ["replay.jsonl has questions that nobody asks back about, for SFT to keep what the base could do."]
    if "unambiguous" in splits and stats["counts"]["unambiguous"]:
        lines += ["Every question of unambiguous.jsonl has one reading, and every kind as many: what tuning costs."]
    if "test_ood" in splits and stats["counts"]["test_ood"]:
        lines += ["Every picture of test_ood shows a pair of shape and color that the other files never show or name."]
    lines += [
        "",
        "Minimal pairs: " + ", ".join(f"{n:,} groups of {size}" for size, n in sorted(stats["groups"].items())) + ". "
        "In a group of four, two questions are asked of two pictures, and each question and each picture has two right "
        "strategies.",
        "",
    ]
    for title, order in (
        ("strategy", list(STRATEGIES)),
        ("level", [str(v) for v in dict.fromkeys(LEVELS.values()) if v is not None] + ["none"]),
        ("type", list(AMBIGUITY_TYPES)),
        ("type and strategy", None),
        ("kind", None),
        ("kind and strategy", None),
        ("objects", None),
    ):
        table = stats["tables"][title]
        keys = [k for k in order or sorted({k for _, k in table}) if any(table[s, k] for s in splits)]
        lines += [
            f"## Examples per {title}",
            "",
            f"| {title} | {' | '.join(splits)} |",
            "|---" * (len(splits) + 1) + "|",
        ]
        lines += [f"| {k} | {' | '.join(str(table[s, k]) for s in splits)} |" for k in keys] + [""]
    lines += _audit_lines(findings)
    text = "\n".join(lines)
    if section:
        text = text.rstrip() + "\n\n" + "\n".join(section)
    write_text_atomic(output / "README.md", text)


HUB_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
HUB_LICENSE = re.compile(
    r"(apache|mit|cc|cc0|cc-by|odbl|odc-by|pddl)(-(nc|nd|sa|by|[0-9.]+))*"
)  # what the hub names so
COLUMNS = {
    "image": "the picture",
    "question": "what the user says",
    "kind": "what is asked for: color, shape, position, ...",
    "ambiguity": "type, level (0 to 3) and every reading: its objects, an expression that means only it, its answer",
    "strategy": f"what is right: {', '.join(STRATEGIES)}",
    "reference": "a response that follows the strategy",
    "dialogue": "for `clarify`: the question, the reply of a user who means `reading`, the final answer",
    "facts": "what is in the picture: objects with attributes and boxes (x0, y0, x1, y1 in pixels)",
    "group_id": "minimal-pair group: the same picture with another question, the same question with another picture",
    "provenance": "source, license and source_url of the picture (null where they are not known); the rest as JSON",
    "id, split, image_path, image_sha256, extra": "what a data folder needs to be made again; `extra` is JSON",
}

HUB_INTRO = """# {pretty_name}

Questions about pictures, each with the readings that it can have in its picture, the strategy that is right (answer,
infer, enumerate, clarify, correct or abstain) and a response that follows it.

```python
from datasets import load_dataset

data = load_dataset("this folder, or its name on the hub")
data["{split}"][0]["image"], data["{split}"][0]["question"]
```
"""


def write_hub_card(output: Path, pretty_name: str, features, splits: dict[str, dict], about: str, sheet: bool) -> None:
    """README.md with the hub's header. `splits`: what export.describe says of each; `about`: the data folder's card."""
    from huggingface_hub import DatasetCard

    licenses = sum((d["licenses"] for d in splits.values()), Counter())
    lines = [HUB_INTRO.format(pretty_name=pretty_name, split=next(iter(splits)))]
    lines += ["![Examples of every strategy](contact_sheet.png)", ""] * sheet
    lines += ["| split | examples |", "|---|---|", *(f"| {s} | {d['examples']:,} |" for s, d in splits.items()), ""]
    lines += ["| column | |", "|---|---|", *(f"| {name} | {what} |" for name, what in COLUMNS.items()), ""]
    lines += ["| license of the picture | examples |", "|---|---|"]
    named = sorted((" ".join((name or "not known").replace("|", "/").split()), n) for name, n in licenses.items())
    lines += [f"| {name} | {n:,} |" for name, n in named]
    lines += ["", *_demoted(about)]
    data = hub_header(pretty_name, features, splits, licenses)
    card = DatasetCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(lines).rstrip() + "\n")
    write_text_atomic(output / "README.md", str(card))


def hub_header(pretty_name: str, features, splits: dict[str, dict], licenses: Counter):
    """The card's header, as huggingface_hub.DatasetCardData."""
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from datasets.splits import SplitDict, SplitInfo
    from huggingface_hub import DatasetCardData

    total = sum(d["examples"] for d in splits.values())
    named = {name if name is None or HUB_LICENSE.fullmatch(name) else "other" for name in licenses}
    header = DatasetCardData(
        pretty_name=pretty_name,
        license="unknown" if named == {None} else named.pop() if len(named) == 1 else "other",
        language=["en"],
        task_categories=["visual-question-answering"],
        size_categories=[next((name for limit, name in HUB_SIZES if total < limit), "n>10M")],
        tags=["ambiguity", "clarifying-questions"],
        configs=[
            {"config_name": "default", "data_files": [{"split": s, "path": f"data/{s}-*"} for s in splits]},
        ],
    )
    sizes = SplitDict()
    for split, d in splits.items():
        sizes.add(SplitInfo(split, num_bytes=d["bytes"], num_examples=d["examples"]))
    info = DatasetInfo(
        features=features,
        splits=sizes,
        download_size=sum(d["file_bytes"] for d in splits.values()),
        dataset_size=sum(d["bytes"] for d in splits.values()),
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(header)
    return header


def _demoted(about: str) -> list[str]:
    """The card of the data folder as a section of another page: its headings one level lower, its picture left out."""
    lines = [line for line in without_header(about).splitlines() if not line.startswith("![")]
    lines = [f"#{line}" if line.startswith("#") else line for line in lines]
    return [line.replace("## Dataset card", "## How it was made") for line in lines]


def _audit_lines(findings: dict | None) -> list[str]:
    if findings is None:
        return ["## Audit", "", "Not made (`--audit off`).", ""]
    lines = ["## Audit", "", "Passed." if findings["passed"] else "**Failed:**", ""]
    lines += [f"- {f}" for f in findings["failures"]] + [""] * bool(findings["failures"])
    duplicates = findings["duplicates"]
    lines += [
        f"- pictures in two splits: {duplicates['pictures_in_two_splits']}; "
        f"lines that repeat another one's question and picture: {duplicates['repeated_lines']:.2%}",
        f"- examples in a minimal-pair group: {findings['in_a_group']:.1%}",
        "",
    ]
    if findings["probes"]:
        lines += [
            "A probe is a small classifier that tries to name the strategy from less than a model sees, trained on "
            "train, measured on validation and test.",
            "",
            "| it sees only | right | chance | bound | n | |",
            "|---|---|---|---|---|---|",
        ]
        for name, p in findings["probes"].items():
            bound = f"<= {p['limit']:.1%}" if p["bound"] else "none"
            note = "" if p["bound"] else p["meaning"]
            lines.append(
                f"| {name.replace('_', ' ')} | {p['accuracy']:.1%} | {p['chance']:.1%} | {bound} | {p['n']} | {note} |"
            )
        forms = findings["probes"]["question"]["by_form"]
        lines += [
            "",
            "The probe of the question, by the form of the expression: "
            + ", ".join(f"{form} {share:.0%} of {n}" for form, (share, n) in forms.items())
            + ". A misspelt word (lexical) is seen in the question by nature; that it is there says the type, and not "
            "the strategy. An expression by side, size or place cannot have every strategy, so its chance is higher.",
            "",
        ]
        within = [(name, key, cell) for name, p in findings["probes"].items() for key, cell in p["within"].items()]
        if within:
            lines += [
                "The same within each kind of question, and each type within it, of which there are enough: trained on "
                "half of its groups, measured on the other half.",
                "",
                "| it sees only | questions about | right | chance | n |",
                "|---|---|---|---|---|",
            ]
            lines += [
                f"| {name} | {key} | {cell['accuracy']:.1%}{'' if cell['ok'] else ' **(too much)**'} | "
                f"{cell['chance']:.1%} | {cell['n']} |"
                for name, key, cell in within
            ] + [""]
    return lines


def contact_sheet(output: Path, splits: list[str]) -> bool:
    """contact_sheet.png: examples of every strategy, of as many types and kinds as can be. False without examples."""
    from PIL import Image, ImageDraw, ImageFont

    by_strategy = _chosen(output, splits)
    chosen = [e for strategy in STRATEGIES for e in by_strategy[strategy]]
    if not chosen:
        return False
    rows = -(-len(chosen) // SHEET_COLUMNS)
    width, height = TILE + 2 * MARGIN, TILE + TEXT_HEIGHT + MARGIN
    sheet = Image.new("RGB", (SHEET_COLUMNS * width + MARGIN, rows * height + MARGIN), "#e9ecef")
    draw = ImageDraw.Draw(sheet)
    bold, small = ImageFont.load_default(17), ImageFont.load_default(14)
    for i, example in enumerate(chosen):
        x, y = MARGIN + (i % SHEET_COLUMNS) * width, MARGIN + (i // SHEET_COLUMNS) * height
        draw.rounded_rectangle([x, y, x + width - MARGIN, y + height - MARGIN], 12, fill="white")
        picture = _picture(output, example)
        sheet.paste(picture, (x + (width - MARGIN - picture.width) // 2, y + 12 + (TILE - picture.height) // 2))
        top = y + TILE + 20
        color = COLORS[example["strategy"]]
        label = example["strategy"]
        length = draw.textlength(label, font=small)
        draw.rounded_rectangle([x + 12, top, x + 26 + length, top + 22], 6, fill=color)
        draw.text((x + 19, top + 2), label, fill="white", font=small)
        draw.text((x + 34 + length, top + 2), example["ambiguity"]["type"], fill="#868e96", font=small)
        question = textwrap.fill(example["question"], 30)
        draw.multiline_text((x + 12, top + 28), question, fill="#212529", font=bold, spacing=2)
        answer = textwrap.fill(example["reference"], 38, max_lines=4, placeholder=" ...")
        below = top + 34 + 22 * (question.count("\n") + 1)
        draw.multiline_text((x + 12, below), answer, fill=color, font=small, spacing=3)
    sheet.save(output / "contact_sheet.png", "PNG", compress_level=6)
    return True


def _chosen(output: Path, splits: list[str]) -> dict[str, list[dict]]:
    """The first few examples of every strategy, such that types and kinds differ where they can."""
    chosen, seen = defaultdict(list), Counter()
    for variety in (True, False):
        for split in splits:
            with open(output / f"{split}.jsonl", encoding="utf-8") as file:
                for line in file:
                    row = json.loads(line)
                    mine = chosen[row["strategy"]]
                    key = (row["strategy"], row["ambiguity"]["type"], row["kind"], row["provenance"].get("form"))
                    if (
                        len(mine) >= SHEET_PER_STRATEGY
                        or (variety and seen[key])
                        or row["id"] in {e["id"] for e in mine}
                    ):
                        continue
                    mine.append(row)
                    seen[key] += 1
    return chosen


def _picture(output: Path, example: dict):
    from clarifyvlm.images import open_image
    from clarifyvlm.records import Facts
    from clarifyvlm.world import scenes

    if example["facts"]["source"] == "scenes":  # large, from the facts
        return scenes.render(Facts(**example["facts"]), TILE)
    image = open_image(output / example["image"])
    image.thumbnail((TILE, TILE))
    return image
