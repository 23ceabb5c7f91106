"""variants.py: every variant is made, answered and judged, once; and bad input fails before a model loads."""

import json
from pathlib import Path

import pytest

import variants
from clarifyvlm import chat, jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.images import check_images
from clarifyvlm.records import Example, Prediction, Verdict
from clarifyvlm.users import scripted
from stages import FEW, ROOT, script

FOREIGN = {"background", "reworded"}  # not for pictures and words that the generator did not make


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("predict: {device: cpu, max_new_tokens: 4, batch_size: 5, turns: 1}\njudge: {judge: scene}\n")
    return path


def argv(config: Path, model: Path, data: Path, output: Path, *flags: str) -> list[str]:
    files = ["--config", str(config), "--model_name_or_path", str(model), "--data_file", str(data)]
    return [*files, "--output_dir", str(output), *flags]


def rows(folder: Path) -> tuple[list[Prediction], list[Verdict]]:
    return (
        jsonl.read(folder / "predictions.jsonl", Prediction, unique="example_id"),
        jsonl.read(folder / "verdicts.jsonl", Verdict, unique="example_id"),
    )


@pytest.mark.slow
def test_every_variant_is_answered_and_judged(config, tiny_model_dir, test_file, tmp_path, capsys):
    """A variant left out in silence, run on other examples, or without its flag; a rerun that writes anything anew."""
    output = tmp_path / "variants"
    command = argv(config, tiny_model_dir, test_file, output, "--name", "grpo", "--num_examples", "4")
    assert variants.main(command) == 0
    said = capsys.readouterr()
    examples = jsonl.read(test_file, Example)[:4]
    assert {p.name for p in output.iterdir()} == set(variants.VARIANTS) - FOREIGN
    for name in FOREIGN:
        assert f"{name}: left out, it applies to none of the 4 examples" in said.err
    for name in set(variants.VARIANTS) - FOREIGN:
        wanted = [e for e in examples if e.strategy == "clarify" or not name.startswith("user_")]
        predictions, verdicts = rows(output / name / "grpo")
        assert [p.example_id for p in predictions] == [v.example_id for v in verdicts] == [e.id for e in wanted]
        assert said.out.count(f"\n{name}: {len(wanted)} examples, strategy_right 0.") == 1
        record = json.loads((output / name / "grpo" / "predictions.run.json").read_text())["args"]
        assert [record["blank_image"], record["blank_question"]] == [name == "blank_image", name == "blank_question"]
        assert (record["turns"], record["user_kinds"]) == (
            (2, [name.removeprefix("user_")]) if name.startswith("user_") else (1, ["helpful"])
        )
    files = {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()}
    assert variants.main(command) == 0
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()} == files


def test_the_model_sees_the_variant(config, tiny_model_dir, test_file, tmp_path):
    """Predictions on the original words or pictures under a variant's name."""
    output = tmp_path / "variants"
    wanted = ["options", "blank_question", "resize"]
    command = argv(config, tiny_model_dir, test_file, output, "--name", "a", "--variants", *wanted)
    assert variants.main(command) == 0
    changed = jsonl.read(output / "options" / "examples.jsonl", Example)
    assert [p.messages for p in rows(output / "options" / "a")[0]] == [chat.messages(e) for e in changed]
    assert all(" or " in e.question for e in changed)
    assert [p.messages for p in rows(output / "blank_question" / "a")[0]] == [chat.user_turn("?")] * 10
    record = json.loads((output / "resize" / "a" / "predictions.run.json").read_text())["args"]
    assert record["data_file"] == str(output / "resize" / "examples.jsonl")


def test_another_user_replies(config, asking_model_dir, test_file, tmp_path, monkeypatch):
    """The helpful user under another's name; pictures that are not found from the variant's folder."""
    monkeypatch.chdir(tmp_path)
    config.write_text(config.read_text().replace("4", "32"))
    command = argv(config, asking_model_dir, Path("data/test.jsonl"), Path("runs/v"), "--variants", "user_unsure")
    assert variants.main(command) == 0
    data = tmp_path / "runs" / "v" / "user_unsure" / "examples.jsonl"
    examples = jsonl.read(data, Example)
    assert check_images([e.image for e in examples], data.parent) == len(examples) == 5
    assert not Path(examples[0].image).is_absolute() and not (data.parent / "images").exists()
    predictions, verdicts = rows(data.parent / asking_model_dir.name)
    asked = [p for p in predictions if len(p.turns) == 3]
    assert asked and all(p.turns[1].text in scripted.UNSURE and p.user_kind == "unsure" for p in asked)
    assert len(verdicts) == 5


def test_a_model_that_is_shown_nothing_may_babble(config, tiny_model_dir, test_file, tmp_path, monkeypatch):
    """A run that ends because of what a model says to an empty picture; or the same let pass elsewhere."""

    def babble(argv):
        given = dict(zip(argv, argv[1:], strict=False))
        ids = [e.id for e in jsonl.read(given["--data_file"], Example)[:4]]
        Path(given["--output_file"]).parent.mkdir(parents=True, exist_ok=True)
        said = [Prediction(example_id=i, text="There are none inThere are where one at: the star of one.") for i in ids]
        jsonl.write_atomic(given["--output_file"], said)

    monkeypatch.setattr(variants.predict, "main", babble)
    command = argv(
        config, tiny_model_dir, test_file, tmp_path / "v", "--name", "a", "--num_examples", "4", "--variants"
    )
    assert variants.main([*command, "blank_image"]) == 0
    failures = [v.failure for v in jsonl.read(tmp_path / "v" / "blank_image" / "a" / "verdicts.jsonl", Verdict)]
    assert failures and set(failures) == {"not_understood"}
    with pytest.raises(UserError, match="judge_max_failure_share"):
        variants.main([*command, "options"])


def test_generated_scenes_have_every_variant(config, tiny_model_dir, tmp_path, capsys):
    """A transform that the generator's own data do not pass."""
    data = tmp_path / "data"
    sizes = ["--num_train", "6", "--num_validation", "6", "--num_test", "24", "--num_test_ood", "0"]
    flags = ["--config", str(ROOT / "dataset_generation" / "configs" / "tiny.yaml"), "--output_dir", str(data)]
    script("dataset_generation/generate.py").main([*flags, *sizes, *FEW, "--audit", "off", "--num_workers", "1"])
    output = tmp_path / "variants"
    names = ["background", "reworded", "options_reversed"]
    command = argv(config, tiny_model_dir, data / "test.jsonl", output, "--variants", *names)
    assert variants.main(command) == 0
    assert [len(rows(output / name / tiny_model_dir.name)[1]) for name in names[:2]] == [24, 24]
    assert "left out, it applies" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--variants", "mirror", "mirrored"], r"no variant mirrored\. There are: mirror, resize, .*user_off_topic"),
        (["--variants", "background"], "variant background .*generated scenes.* applies to none of the 10 examples"),
        (["--variants", "user_wrong", "--num_examples", "1"], "applies to none of the 1 examples: clarify is right on"),
        (["--num_examples", "0"], "--num_examples: 0 must be at least 1"),
        (["--name", "../grpo"], "--name '../grpo': must be the name of a folder"),
        (["--name", "images"], "--name 'images'"),
        (["--model_name_or_path", "no/such/model/here"], "no/such/model/here"),
        (["--batch_size", "4"], "unknown flag --batch_size"),
    ],
)
def test_bad_input_is_refused(config, tiny_model_dir, test_file, tmp_path, flags, message, monkeypatch):
    """A typing error found after minutes of predictions; a name that writes outside the variant's folder."""
    monkeypatch.setattr("predict.main", lambda _: pytest.fail("a model was about to be loaded"))
    with pytest.raises(UserError, match=message):
        variants.main(argv(config, tiny_model_dir, test_file, tmp_path / "out", *flags))


def test_other_data_need_overwrite(config, tiny_model_dir, test_file, tmp_path):
    """Predictions on the first data, judged by the facts of the second."""
    command = argv(config, tiny_model_dir, test_file, tmp_path / "out", "--variants", "mirror", "--name", "a")
    assert variants.main([*command, "--num_examples", "4"]) == 0
    with pytest.raises(UserError, match="mirror.*was made with other settings"):
        variants.main([*command, "--num_examples", "6"])
    assert variants.main([*command, "--num_examples", "6", "--overwrite"]) == 0
    assert [len(found) for found in rows(tmp_path / "out" / "mirror" / "a")] == [6, 6]
