"""`export.py --format`: rows as other trainers read them, and the data folder itself as `datasets` reads it."""

import json

import pytest

from clarifyvlm import chat
from clarifyvlm.records import Example
from stages import ROOT, script, write_data

EXPORT = "dataset_generation/export.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Every strategy, dialogues among them. Do not write into it."""
    return write_data(tmp_path_factory.mktemp("trainers") / "data", train=24, validation=6)


def export(data, folder, format):
    assert script(EXPORT).main(["--data_dir", str(data), "--output_dir", str(folder), "--format", format]) == 0
    return folder


def examples(data, split="train"):
    return [Example.model_validate_json(line) for line in open(data / f"{split}.jsonl")]


def rows(path):
    return [json.loads(line) for line in open(path)]


def load(folder, name, cache):
    from datasets import load_dataset

    return load_dataset(str(folder), name, cache_dir=str(cache))


def test_trl_trains_on_the_sft_rows_as_our_own_stage_does(data, tmp_path, tiny_model_dir):
    """Catches rows that TRL does not read, a picture or a turn that is lost, another prompt than our own stage's, and a
    loss on prompts."""
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl import SFTConfig, SFTTrainer

    loaded = load(export(data, tmp_path / "trl", "trl"), "sft", tmp_path / "cache")
    taught = [pair for e in examples(data) for pair in chat.reference_messages(e)]
    assert {split: len(part) for split, part in loaded.items()}.keys() == {"train", "validation"}
    assert len(loaded["train"]) == len(taught) > 24
    processor = AutoProcessor.from_pretrained(tiny_model_dir)
    settings = {"per_device_train_batch_size": len(taught), "max_steps": 1, "report_to": "none", "use_cpu": True}
    trainer = SFTTrainer(
        model=AutoModelForImageTextToText.from_pretrained(tiny_model_dir),
        args=SFTConfig(str(tmp_path / "out"), max_length=None, bf16=False, **settings),
        train_dataset=loaded["train"],
        processing_class=processor,
    )
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(taught))])
    assert len(batch["pixel_values"]) == len(taught)
    for row, (prompt, said) in enumerate(taught):
        kept = batch["labels"][row] != -100
        assert processor.decode(batch["labels"][row][kept]) == said[0]["content"][0]["text"] + "<|end|>"
        text = processor.decode(batch["input_ids"][row][batch["attention_mask"][row] == 1])
        pictures = text.count("<image>")
        ours = processor.apply_chat_template([*prompt, *said])
        assert text == ours.replace("<image>", "<image>" * pictures) and pictures > 1


def test_trl_gives_reward_functions_the_record(data, tmp_path, tiny_model_dir):
    """Catches GRPO prompts that TRL does not read, and columns that do not reach the reward function."""
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl import GRPOConfig, GRPOTrainer

    loaded = load(export(data, tmp_path / "trl", "trl"), "grpo", tmp_path / "cache")
    assert [Example.model_validate_json(row["example"]) for row in loaded["train"]] == examples(data)
    seen = []

    def reward(completions, strategy, solution, example, **_):
        seen.extend(zip(strategy, solution, example, strict=True))
        return [float(i) for i in range(len(completions))]

    settings = {"per_device_train_batch_size": 4, "num_generations": 2, "max_completion_length": 2, "max_steps": 1}
    trainer = GRPOTrainer(
        model=AutoModelForImageTextToText.from_pretrained(tiny_model_dir),
        reward_funcs=reward,
        args=GRPOConfig(str(tmp_path / "out"), report_to="none", use_cpu=True, bf16=False, **settings),
        train_dataset=loaded["train"],
        processing_class=AutoProcessor.from_pretrained(tiny_model_dir),
    )
    trainer.train()
    assert len(seen) == 4
    for strategy, solution, text in seen:
        example = Example.model_validate_json(text)
        assert (strategy, solution) == (example.strategy, example.reference)


def conversation(example):
    prompt, said = chat.reference_messages(example)[-1]
    texts = ["".join(part.get("text", "<image>") for part in m["content"]) for m in [*prompt, *said]]
    return [{"role": m["role"], "content": text} for m, text in zip([*prompt, *said], texts, strict=True)]


def test_llama_factory_finds_rows_and_pictures_by_its_dataset_info(data, tmp_path):
    """Catches a file that dataset_info.json does not name, turns that do not alternate, more or fewer marks than
    pictures, and a picture that is not beside it: what LLaMA-Factory's documentation of its sharegpt format asks."""
    folder = export(data, tmp_path / "lf", "llamafactory")
    info = json.loads((folder / "dataset_info.json").read_text())
    assert list(info) == ["clarifyvlm_train", "clarifyvlm_validation"]
    assert not list(folder.glob("grpo*"))
    for split in ("train", "validation"):
        described = info[f"clarifyvlm_{split}"]
        tags, columns = described["tags"], described["columns"]
        assert described["formatting"] == "sharegpt"
        found = rows(folder / described["file_name"])
        for row, e in zip(found, examples(data, split), strict=True):
            turns = row[columns["messages"]]
            roles = [turn[tags["role_tag"]] for turn in turns]
            assert roles == [tags["user_tag"], tags["assistant_tag"]] * (len(turns) // 2)
            assert "".join(turn[tags["content_tag"]] for turn in turns).count("<image>") == len(row["images"]) == 1
            assert turns == conversation(e)
            assert (folder / row[columns["images"]][0]).read_bytes() == (data / e.image).read_bytes()


def test_swift_rows_name_their_pictures_wherever_it_is_run(data, tmp_path, monkeypatch):
    """Catches pictures by relative paths, prompts that hold the answer, and a solution that is another one's."""
    folder = export(data, tmp_path / "swift", "swift")
    monkeypatch.chdir("/")
    taught, asked = rows(folder / "sft_train.jsonl"), rows(folder / "grpo_train.jsonl")
    for row, prompt, e in zip(taught, asked, examples(data), strict=True):
        assert row["messages"] == conversation(e)
        assert prompt["messages"] == [{"role": "user", "content": "<image>" + e.question}]
        assert prompt["solution"] == e.reference and Example.model_validate_json(prompt["example"]) == e
        for named in (row["images"], prompt["images"]):
            assert open(named[0], "rb").read() == (data / e.image).read_bytes()


@pytest.mark.parametrize("format", ["trl", "llamafactory", "swift"])
def test_what_a_trainer_would_misread(data, tmp_path, capsys, format):
    """Catches a question that tells the trainer of a second picture, and examples that teach silence, or that are left
    out without a word."""
    from clarifyvlm.errors import UserError

    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "images").symlink_to(data / "images")
    lines = rows(data / "train.jsonl")[:6]
    lines[0]["reference"] = ""
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    export(folder, tmp_path / "out", format)
    counts = json.loads((tmp_path / "out/run.json").read_text())["counts"]
    assert "sft: 1 examples without a reference response are left out" in capsys.readouterr().out
    assert counts["sft_train"] == (6 if format == "trl" else 5)  # of five examples, one a dialogue of two rows
    lines[1]["question"] = "What is <image>?"
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match="1 of 6 examples.*\n.*train.jsonl:2: a text holds <image>"):
        export(folder, tmp_path / "refused", format)
    assert not list((tmp_path / "refused").rglob("*train*"))


def test_datasets_gives_the_records_of_a_data_folder(tmp_path):
    """Catches a data folder that `load_dataset` takes for pictures, that fails on records of several shapes, or that
    loses a split or a field. (Floats may come back a last digit off.)"""
    from folder.header import header, without_header

    folder = tmp_path / "data"
    config = str(ROOT / "dataset_generation/configs/smoke.yaml")
    assert script("dataset_generation/generate.py").main(["--config", config, "--output_dir", str(folder)]) == 0
    assert without_header((folder / "README.md").read_text()).lstrip().startswith("# Dataset card")
    loaded = load(folder, None, tmp_path / "cache")
    for split, part in loaded.items():
        for row, line in zip(part, rows(folder / f"{split}.jsonl"), strict=True):
            facts, told = row.pop("facts"), line.pop("facts")
            assert row == line and [o["id"] for o in facts["objects"]] == [o["id"] for o in told["objects"]]
    written = {path.stem for path in folder.glob("*.jsonl") if path.stat().st_size}
    assert set(loaded) == written >= {"train", "validation", "test", "test_ood"}

    lines = rows(folder / "train.jsonl")
    lines[3]["difficulty"] = {"votes": 3}  # what other tools add
    lines[4]["provenance"] = {"source": "coco", "query": [1, "two"]}
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "README.md").write_text("\n".join(header(folder)))
    again = load(folder, None, tmp_path / "cache")["train"]
    assert again[3]["difficulty"] == {"votes": 3} and again[0]["difficulty"] is None
    assert again[4]["provenance"] == lines[4]["provenance"]
