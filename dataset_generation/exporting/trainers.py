"""Rows as other trainers read them: TRL, LLaMA-Factory and ms-swift. No prompt is built here, but by clarifyvlm.chat.

    trl           sft/<split>.parquet: prompt, completion, images; grpo/<split>.parquet: prompt, images, and the columns
                  that a reward function gets (`for_rewards`). The pictures are in the files.
    llamafactory  sft_<split>.jsonl: messages, images; dataset_info.json, which names them; images/. It has no GRPO.
    swift         sft_<split>.jsonl: messages, images; grpo_<split>.jsonl: these and the columns `for_rewards`; images/.
                  Pictures are named by their absolute path, as its documentation asks.

Where the loss is on every turn of the assistant (LLaMA-Factory, ms-swift), a dialogue is one row; for TRL, whose loss
is on completions, it is two, as in tuning_sft.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from clarifyvlm import chat
from clarifyvlm.jsonl import dumps, write_atomic, write_text_atomic
from clarifyvlm.records import Example
from exporting.examples import with_pictures
from folder.shares import split_files

ROWS_AT_ONCE = 100  # held in memory
MARKS = ("<image>", "<video>", "<audio>", "<bbox>", "<ref-object>")  # what the trainers put something in place of
LLAMA_FACTORY_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
TRL_CARD = """---
configs:
{configs}---

# SFT rows and GRPO prompts for TRL

```bash
trl sft --dataset_name "this folder" --dataset_config sft ...
trl grpo --dataset_name "this folder" --dataset_config grpo ...
```

Reward functions get the columns of `grpo` as arguments: `strategy`, `solution` (a right response) and `example` (the
whole record, JSON).
"""


def export(data_dir: Path, output: Path, format: str) -> dict[str, int]:
    """Write the files of `format`; their names without the ending -> rows. A split without examples is left out."""
    counts, seen = {}, {"sft": set(), "grpo": set()}
    for split in split_files(data_dir):
        for kind in ("sft",) if format == "llamafactory" else ("sft", "grpo"):
            rows = _rows(with_pictures(data_dir, split, seen[kind], _mark_in), output, format, kind)
            if format == "trl":
                n = _write_parquet(output / kind / f"{split}.parquet", rows)
            else:
                n = write_atomic(output / f"{kind}_{split}.jsonl", rows)
                if not n:
                    (output / f"{kind}_{split}.jsonl").unlink()
            if n:
                counts[f"{kind}_{split}"] = n
    if format == "trl":
        write_text_atomic(output / "README.md", _trl_card(counts))
    if format == "llamafactory":
        columns = {"messages": "messages", "images": "images"}
        sets = {
            f"clarifyvlm_{name.removeprefix('sft_')}": {
                "file_name": f"{name}.jsonl",
                "formatting": "sharegpt",
                "columns": columns,
                "tags": LLAMA_FACTORY_TAGS,
            }
            for name in counts
        }
        write_text_atomic(output / "dataset_info.json", json.dumps(sets, indent=2) + "\n")
    return counts


def _rows(examples: Iterator[tuple[Example, bytes]], output: Path, format: str, kind: str) -> Iterator[dict]:
    from folder.pictures import write_bytes

    silent = 0
    for example, content in examples:
        mark = "" if format == "trl" else "<image>"  # TRL puts the picture in front of the first turn itself
        taught = [(_plain(prompt, mark), _plain(said, mark)) for prompt, said in chat.reference_messages(example)]
        if kind == "sft" and not all(said[0]["content"].strip() for _, said in taught):
            silent += 1
            continue
        if format == "trl":
            pictures = [{"bytes": content, "path": None}]
        else:
            path = output / example.image
            if not path.exists():
                write_bytes(path, content)
            pictures = [str(path.resolve()) if format == "swift" else example.image]
        prompts = _plain(chat.messages(example), mark)
        if kind == "grpo":
            name = "prompt" if format == "trl" else "messages"
            yield {name: prompts, "images": pictures, **for_rewards(example)}
        elif format == "trl":
            yield from ({"prompt": prompt, "completion": said, "images": pictures} for prompt, said in taught)
        else:
            prompt, said = taught[-1]
            yield {"messages": [*prompt, *said], "images": pictures}
    if silent:
        print(f"{kind}: {silent} examples without a reference response are left out (they would teach silence)")


def for_rewards(example: Example) -> dict[str, str]:
    """What a reward function is told of a prompt: the right strategy, a right response, and the whole record."""
    return {"strategy": example.strategy, "solution": example.reference, "example": dumps(example)}


def _plain(messages: list[dict], mark: str) -> list[dict]:
    """Messages whose content is one text, with `mark` where the picture goes."""
    return [
        {"role": m["role"], "content": "".join(mark if p["type"] == "image" else p["text"] for p in m["content"])}
        for m in messages
    ]


def _mark_in(example: Example) -> str | None:
    """The fault of an example whose texts hold what a trainer would put a picture in place of."""
    texts = [example.question, example.reference]
    if example.dialogue:
        texts += [example.dialogue.question, example.dialogue.reply, example.dialogue.answer]
    found = [mark for mark in MARKS if any(mark in text for text in texts)]
    return f"a text holds {found[0]}, which the trainer would take for a picture or a box" if found else None


def _write_parquet(path: Path, rows: Iterator[dict]) -> int:
    """The number of rows; the file is complete or absent, and absent without rows."""
    from datasets import Features, Image, List, Value
    from datasets.arrow_writer import ParquetWriter

    turns = List({"role": Value("string"), "content": Value("string")})
    others = {"strategy": Value("string"), "solution": Value("string"), "example": Value("string")}
    columns = {"completion": turns} if path.parent.name == "sft" else others
    features = Features({"prompt": turns, "images": List(Image()), **columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    count = 0
    try:
        with ParquetWriter(path=str(unfinished), features=features, writer_batch_size=ROWS_AT_ONCE) as writer:
            for row in rows:
                writer.write(features.encode_example(row))
                count += 1
            if count:
                writer.finalize()
                os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _trl_card(counts: dict[str, int]) -> str:
    lines = []
    for kind in ("sft", "grpo"):
        splits = [name.removeprefix(f"{kind}_") for name in counts if name.startswith(f"{kind}_")]
        if splits:
            lines += [f"- config_name: {kind}", "  data_files:"]
            lines += [f"  - split: {split}\n    path: {kind}/{split}.parquet" for split in splits]
    return TRL_CARD.format(configs="".join(f"{line}\n" for line in lines))
