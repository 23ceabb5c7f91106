"""The report's files: whole, in the documented schema, safe against what a model says, clear about what is missing."""

import json
import re
import resource
import shlex
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

import judge
import report
from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example, Verdict
from clarifyvlm.strategies import STRATEGIES
from measures import metrics
from reporting import schema, story, tables
from reports import HOSTILE, judged, make_report, parse, predict, three_models
from small_examples import write_examples

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make(tmp_path):
    return lambda inference, data, *flags, out="report": make_report(tmp_path / out, inference, data, *flags)


@pytest.fixture(name="three_models")
def three(tmp_path, test_file) -> Path:
    return three_models(tmp_path / "inference", test_file)


def test_metrics_json_has_the_documented_schema(three_models, test_file, make):
    """A key that other tools read renamed, a share outside 0..1, or an interval that leaves its value out."""
    content, _, _ = make(three_models, test_file)
    assert {"models", "constant_policies", "differences", "seed", "data", "judge"} <= set(content)
    assert list(content["models"]) == ["base", "sft", "grpo", "another"]
    assert {"always_answer", "always_ask", "always_list", "always_correct", "always_abstain", "always_empty"} <= set(
        content["constant_policies"]
    )
    shares = ("grounded", "overconfident", "over_asked", "answer_accuracy", "answer_accuracy_after_reply")
    for row in [*content["models"].values(), *content["constant_policies"].values()]:
        assert set(row["strategy_accuracy"]) == {"answer", "infer", "enumerate", "clarify", "correct", "abstain"}
        assert isinstance(row["judge_failures"], int)
        cells = [row["strategy_accuracy_macro"], *row["strategy_accuracy"].values(), *(row[key] for key in shares)]
        for cell in [*cells, row["reward"]]:
            assert set(cell) == {"value", "low", "high", "n"} and isinstance(cell["n"], int)
            assert (cell["value"] is None) == (cell["n"] == 0)
            assert cell["value"] is None or cell["low"] <= cell["value"] <= cell["high"]
        assert all(cell["value"] is None or 0 <= cell["low"] <= cell["high"] <= 1 for cell in cells)
    for row in content["differences"]:
        assert {"a", "b", "metric", "value", "low", "high", "p"} <= set(row) and 0 < row["p"] <= 1
    assert (content["judge"], content["seed"], content["data"]) == ("scene", 0, str(test_file))


def test_the_numbers_tell_the_models_apart(three_models, test_file, make):
    """Predictions or verdicts given to the wrong model; half of the examples are `answer`, half `clarify`."""
    models = make(three_models, test_file)[0]["models"]
    assert models["base"]["strategy_accuracy_macro"]["value"] == 0.5
    assert models["base"]["overconfident"]["value"] == 1.0 and models["base"]["over_asked"]["value"] == 0.0
    assert models["sft"]["strategy_accuracy_macro"]["value"] == 0.5 and models["sft"]["over_asked"]["value"] == 1.0
    assert models["grpo"]["strategy_accuracy_macro"]["value"] == 1.0 and models["grpo"]["reward"]["value"] == 1.0
    assert models["another"]["strategy_accuracy_macro"]["value"] == 0.0 and models["another"]["examples"] == 4


def test_a_model_that_answered_a_part_is_named(three_models, test_file, make):
    """Numbers of four questions beside numbers of ten, with nothing to tell them apart."""
    _, markdown, html = make(three_models, test_file)
    assert "measured on those: another 4." in markdown and "another answered only some of the questions" in html


def test_what_a_model_says_is_text_and_nothing_else(tmp_path, test_file, make):
    """A script in a response that runs when the report is opened, or a template in it that is filled in."""
    folder = tmp_path / "inference"
    judged(folder, "base", test_file, lambda e: HOSTILE)
    html = make(folder, test_file)[2]
    page = parse(html)
    assert page.tags.count("script") == 1 and not [a for a in page.attributes if a[1].startswith("on")]
    assert all(a[2].startswith("data:image/") for a in page.attributes if a[1] == "src")
    assert page.tags.count("body") == 1 and any(HOSTILE in text for text in page.text)


def test_broken_and_endless_text_from_another_tool_is_shown(tmp_path, test_file, make):
    """Bytes that are no UTF-8, half a surrogate pair or a megabyte in one response that stop the report or fill it."""
    examples = jsonl.read(test_file, Example)
    said = [b"bro\xff\xfeken", b"half \\ud83d of a pair", b"\\ud83d\\ude00 whole", b"A" * 1_000_000, b"nul \\u0000"]
    said += [b"</script><!-- ", b"\\u202eback\\u2066"] + [b"red"] * len(examples)
    folder = tmp_path / "inference" / "other"
    folder.mkdir(parents=True)
    lines = [b'{"example_id": "%s", "text": "%s"}\n' % (e.id.encode(), text) for e, text in zip(examples, said)]  # noqa: B905
    (folder / "predictions.jsonl").write_bytes(b"".join(lines))
    files = ["--predictions", str(folder / "predictions.jsonl"), "--output_file", str(folder / "verdicts.jsonl")]
    assert judge.main(["--data_file", str(test_file), *files]) == 0
    html = make(folder.parent, test_file)[2]
    page = parse(html)
    shown = "".join(page.text)
    for text in (
        "bro\ufffd\ufffdken",
        "half \ufffd of a pair",
        "\U0001f600 whole",
        "998,000 more characters",
        "</script><!-- ",
    ):
        assert text in shown
    assert page.tags.count("body") == page.tags.count("script") == 1 and len(html) < 1_000_000


def test_a_hostile_model_name_is_text(tmp_path, test_file, make):
    """A folder name that breaks the page's attributes or the table of report.md."""
    folder = tmp_path / "inference"
    name = 'a"><b|c&'
    judged(folder, name, test_file, lambda e: "It is red.")
    content, markdown, html = make(folder, test_file)
    assert list(content["models"]) == [name] and 'a"><b\\|c&' in markdown
    assert not [a for a in parse(html).attributes if a[1] == "<b|c&"] and "a&#34;&gt;&lt;b|c&amp;" in html


def test_odd_responses_do_not_break_the_page(tmp_path, test_file, make):
    """A response of a megabyte that bloats the page, and control characters or emoji that stop it."""
    folder = tmp_path / "inference"
    odd = ["x" * 1_000_000, "\x00\x07\r\n\t", "🦊" * 50, "", "   ", "]]>", "\ufeffIt is red.", "&lt;b&gt;", "%s", "{"]
    judged(folder, "base", test_file, lambda e: odd[int(e.id[2:])])
    html = make(folder, test_file)[2]
    assert len(html) < 1_000_000 and "more characters" in html and "🦊" in html and "(empty)" in html


def test_the_page_is_one_file(three_models, test_file, make):
    """A page that needs the network, or a picture beside it."""
    html = make(three_models, test_file)[2]
    links = [a[2] for a in parse(html).attributes if a[1] in ("src", "href")]
    assert links and all(link.startswith(("#", "data:image/")) for link in links)
    assert "@import" not in html and not re.search(r"url\((?!#)", html)


def test_the_gallery_shows_both_strategies_and_every_word(three_models, test_file, make):
    """Examples of one strategy only, a model's words missing, or another choice on every run."""
    html = make(three_models, test_file, "--gallery", "2")[2]
    assert html.count('<article class="card"') == 4
    assert 'id="gallery-answer"' in html and 'id="gallery-clarify"' in html and 'id="gallery-infer"' not in html
    assert html == make(three_models, test_file, "--gallery", "2", out="again")[2]
    assert '<article class="card"' not in make(three_models, test_file, "--gallery", "0", out="none")[2]


def test_dialogues_are_shown_with_the_reply(tmp_path, test_file, make):
    """The second turn lost between the predictions and the page."""
    folder, examples = tmp_path / "inference", jsonl.read(test_file, Example)
    turns = [("assistant", "Which star?"), ("user", "THE REPLY"), ("assistant", "THE END")]
    rows = [{"example_id": e.id, "turns": [{"role": r, "text": t} for r, t in turns], "reading": 0} for e in examples]
    jsonl.write_atomic(folder / "base" / "predictions.jsonl", rows)
    files = [str(folder / "base" / name) for name in ("predictions.jsonl", "verdicts.jsonl")]
    judge.main(["--data_file", str(test_file), "--predictions", files[0], "--output_file", files[1]])
    html = make(folder, test_file)[2]
    assert "THE REPLY" in html and "THE END" in html


def test_a_model_made_for_other_pictures_is_named(three_models, test_file, make):
    """Numbers of the embedded model on photographs that are taken for what a model can do."""
    record = {"counts": {"made_for": "scenes"}}
    for name, source in (("base", "scenes"), ("sft", "paintings")):
        told = three_models / name / "predictions.run.json"
        told.write_text(json.dumps(record | {"counts": {"made_for": source}}))
    metrics, markdown, html = make(three_models, test_file)
    (note,) = (note for note in metrics["notes"] if "was made for" in note)
    assert note.startswith("SFT was made for pictures of paintings only") and "of scenes its numbers" in note
    assert note in markdown and note in parse(html).text
    assert " of the questions right in the end" in markdown.splitlines()[2], "what changed comes first"


def test_text_alone_does_not_say_who_was_served(tmp_path, test_file, make):
    """Another tool's questions, to which nobody could reply, counted as bad service; a number without a word on what it
    leaves out; the note on a model that heard replies, too."""
    folder = tmp_path / "inference"
    judged(folder, "text_only", test_file, lambda e: e.reference)
    judged(folder, "answers", test_file, lambda e: "It is red.")
    content, markdown, html = make(folder, test_file)
    examples = jsonl.read(test_file, Example)
    asked = sum(e.strategy == "clarify" for e in examples)
    served = content["models"]["text_only"]["served"]
    assert 0 < asked < len(examples) and (served["value"], served["n"]) == (1.0, len(examples) - asked)
    assert content["models"]["answers"]["served"]["n"] == len(examples)  # who asks nothing has had its say
    (note,) = content["notes"]
    assert note.startswith(f"text_only asked back on {asked} questions and nobody replied") and note in markdown
    assert note in "".join(parse(html).text)
    (difference,) = (d for d in content["differences"] if d["metric"] == "served")
    assert difference["n"] == len(examples) - asked
    dialogue = content["dialogue"]["models"]["text_only"]
    assert dialogue["accuracy"]["direct"]["n"] == asked and dialogue["accuracy"]["one_reply"]["n"] == 0
    assert dialogue["served"]["one_reply"] == served


def test_missing_verdicts_name_the_command_that_makes_them(tmp_path, test_file):
    """A stack trace, or a report on the judged models alone; the command in the message must work as it stands."""
    folder = tmp_path / "inference"
    predict(folder, "base", test_file, lambda e: "It is red.")
    argv = ["--data_file", str(test_file), "--inference_dir", str(folder), "--output_dir", str(tmp_path / "report")]
    with pytest.raises(UserError, match="no verdicts on the predictions of base") as error:
        report.main(argv)
    command = shlex.split(str(error.value).splitlines()[-1])
    assert command[:2] == ["python", "inference/judge.py"] and judge.main(command[2:]) == 0
    assert report.main([*argv, "--resamples", "100"]) == 0


def test_half_judged_predictions_are_refused(tmp_path, test_file):
    """A judge run that was stopped, reported as if it were whole."""
    folder = tmp_path / "inference"
    judged(folder, "base", test_file, lambda e: "It is red.")
    path = folder / "base" / "verdicts.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:7]))
    with pytest.raises(UserError, match="lacks 3 of 10 verdicts.*\n.*inference/judge.py"):
        report.main(
            ["--data_file", str(test_file), "--inference_dir", str(folder), "--output_dir", str(tmp_path / "r")]
        )


def test_an_empty_inference_folder_names_predict(tmp_path, test_file):
    """A report on nothing."""
    argv = ["--data_file", str(test_file), "--inference_dir", str(tmp_path / "no"), "--output_dir", str(tmp_path / "r")]
    with pytest.raises(UserError, match="inference/predict.py"):
        report.main(argv)


def test_predictions_on_other_data_are_refused(tmp_path, test_file):
    """Predictions on test.jsonl reported against test_ood.jsonl: no id fits, and every number would be empty."""
    folder, other = tmp_path / "inference", write_examples(tmp_path / "other", 4)
    other.write_text(other.read_text().replace('"ex0', '"zz0'))
    judged(folder, "base", test_file, lambda e: "It is red.")
    with pytest.raises(UserError, match="10 of 10 rows are on examples that .* does not have"):
        report.main(["--data_file", str(other), "--inference_dir", str(folder), "--output_dir", str(tmp_path / "r")])


def test_judge_failures_are_shown(tmp_path, test_file, make):
    """Failures of the judge that nobody sees."""
    folder = tmp_path / "inference"
    judged(folder, "base", test_file, lambda e: "It is red.")
    path = folder / "base" / "verdicts.jsonl"
    rows = jsonl.read(path, Verdict)
    rows[2] = Verdict(example_id=rows[2].example_id, judge="scene", failure="timeout")
    jsonl.write_atomic(path, rows)
    content, markdown, html = make(folder, test_file)
    assert content["models"]["base"]["judge_failures"] == 1
    assert "timeout: 1" in html and re.search(r"Judge failures\s*\| 1 ", markdown)


def test_what_was_not_understood_stands_beside_the_numbers(tmp_path, test_file, make):
    """A table over the half of the responses that a judge can read and that passes for one over all; nothing that says
    which judge to take; reasoning blocks that nobody is told of."""
    folder = tmp_path / "inference"
    judged(folder, "base", test_file, lambda e: "It is red.")
    path = folder / "base" / "verdicts.jsonl"
    rows = jsonl.read(path, Verdict)
    lost = {"failure": "not_understood", "evidence": {"not_understood": "so to say"}}
    rows[2] = Verdict(example_id=rows[2].example_id, judge="scene", **lost)
    jsonl.write_atomic(path, rows)
    said = folder / "base" / "predictions.jsonl"
    said.write_text(said.read_text().replace("It is red.", "<think>Hm. Blue?</think>It is red.", 1))
    content, markdown, html = make(folder, test_file)
    row = content["models"]["base"]
    assert row["coverage"]["value"] == 0.9 and row["with_reasoning"] == 1
    assert row["not_understood_as_wrong"]["grounded"]["value"] == pytest.approx(0.9 * row["grounded"]["value"])
    assert re.search(r"Understood by the judge\s*\| 90\.0 \[", markdown) and "With those counted as wrong:" in markdown
    assert "Understood by the judge, by right strategy" in markdown
    for text in (markdown, html):
        assert "Base: the judge understood 90.0 % of 10 responses, less than the 95 %" in text
        assert "--judge openai" in text
        assert "1 of 10 responses have a reasoning block" in text
    assert "Counting responses that the judge did not understand as wrong: Base 90.0" in html
    assert 'title="so to say">not understood' in html


def test_a_picture_that_is_gone_is_said_not_fatal(three_models, test_file, make):
    """A report that cannot be made on a machine without the pictures."""
    for path in (test_file.parent / "images").iterdir():
        path.unlink()
    assert "no picture at images/" in make(three_models, test_file)[2]


def test_a_second_report_replaces_the_first(three_models, test_file, make, tmp_path):
    """A report that refuses (or stays as it was) when a model was added; --no_overwrite is for those who want that."""
    make(three_models, test_file)
    judged(three_models, "zebra", test_file, lambda e: "It is red.")
    assert "zebra" in make(three_models, test_file)[0]["models"]
    assert "zebra" in make(three_models, test_file, "--no_overwrite")[0]["models"]
    judged(three_models, "yak", test_file, lambda e: "It is red.")
    with pytest.raises(UserError, match="other settings"):
        make(three_models, test_file, "--no_overwrite")


def test_markdown_columns_line_up(three_models, test_file, make):
    """A table that is unreadable in the terminal, where run.sh prints it."""
    markdown = make(three_models, test_file)[1]
    for table in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.M):
        assert len({len(line) for line in table.splitlines()}) == 1


def test_a_thousand_examples_take_seconds(tmp_path):
    """A bootstrap in a Python loop: nine rows x 2,000 draws x 1,000 examples would take minutes."""
    data = write_examples(tmp_path / "data", 10)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    many = [
        r | {"id": f"{r['id']}-{k}", "image_sha256": f"{r['image_sha256']}{k // 2}"} for k in range(100) for r in rows
    ]
    jsonl.write_atomic(data, many)
    for name in ("base", "sft", "grpo"):
        judged(tmp_path / "inference", name, data, lambda e: e.reference)
    command = [sys.executable, str(ROOT / "inference/report.py"), "--data_file", str(data)]
    command += ["--inference_dir", str(tmp_path / "inference"), "--output_dir", str(tmp_path / "report")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True, timeout=300, cwd=tmp_path)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 10  # of the processor, not of the clock
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["examples"] == 1000


def test_baseline_and_latex(three_models, test_file, make):
    """Comparisons that nobody asked for, a difference with its sign turned, or a table that LaTeX cannot read."""
    content = make(three_models, test_file, "--baseline", "grpo")[0]
    pairs = {(row["a"], row["b"]) for row in content["differences"]}
    assert pairs == {("base", "grpo"), ("sft", "grpo"), ("another", "grpo")}
    macro = next(r for r in content["differences"] if r["a"] == "sft" and r["metric"] == "strategy_accuracy_macro")
    assert macro["value"] == -0.5
    with pytest.raises(UserError, match="--baseline nobody.*base, sft, grpo, another"):
        make(three_models, test_file, "--baseline", "nobody", out="other")
    tex = tables.latex(content | {"models": {r"50%_a&b\c": content["models"]["sft"]}})["overview"]
    rows = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert len({line.replace(r"\&", "").count("&") for line in rows}) == 1 and r"50\%\_a\&b\textbackslash{}c" in tex
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 1 and "50.0" in tex


def test_metrics_json_keeps_to_its_schema(three_models, test_file, make):
    """A key that is written and not in metrics.schema.json, or there and not written; a file older than the classes."""
    content, _, _ = make(three_models, test_file)
    assert schema.Metrics.model_validate(content).schema_version == schema.SCHEMA_VERSION
    for path, model in schema.SCHEMAS.items():
        assert json.loads(path.read_text()) == model.model_json_schema(), path
    assert set(metrics.METRICS) - {"strategy_accuracy"} < set(schema.Model.model_fields)


def spoil(folder: Path, how: str) -> str:
    """Make a model's files bad; a word of the reason."""
    predictions, verdicts = folder / "predictions.jsonl", folder / "verdicts.jsonl"
    rows = predictions.read_text().splitlines(keepends=True)
    if how == "torn":
        predictions.write_text("".join([*rows[:3], rows[3][:20]]))
        return "torn"
    if how == "foreign":
        predictions.write_text("".join([*rows, json.dumps({"id": "elsewhere", "text": "It is red."}) + "\n"]))
        return "the first: elsewhere"
    if how == "empty":
        predictions.write_text("")
        return "is empty"
    if how == "confident":
        predictions.write_text("".join(json.dumps(json.loads(row) | {"confidence": 7}) + "\n" for row in rows))
        return "Give a probability"
    if how == "half judged":
        verdicts.write_text("".join(verdicts.read_text().splitlines(keepends=True)[:3]))
        return "inference/judge.py"
    verdicts.unlink()
    return "no verdicts on the predictions of sft"


@pytest.mark.parametrize("how", ["torn", "foreign", "empty", "confident", "half judged", "not judged"])
def test_a_bad_folder_is_named_and_left_out(how, three_models, test_file, make, tmp_path, capsys):
    """One bad file of one of twenty models that costs the report on the others; a model that is gone without a word."""
    why = spoil(three_models / "sft", how)
    variants = tmp_path / "variants"
    for name in ("base", "sft", "grpo"):
        judged(variants / "mirror", name, test_file, lambda e: "It is red.")
    spoil(variants / "mirror" / "grpo", "empty")
    capsys.readouterr()
    content, markdown, html = make(three_models, test_file, "--variants_dir", str(variants))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert list(content["models"]) == ["base", "grpo", "another"]
    assert content["robustness"]["models"] == ["base"]
    assert [line.split()[1] for line in told] == [str(three_models / "sft"), str(variants / "mirror" / "grpo")]
    notes = [note for note in content["notes"] if "is left out" in note]
    assert len(notes) == 2 and why in notes[0] and "is empty" in notes[1] and "\n" not in "".join(notes)
    text = "".join(parse(html).text)
    assert all(note in markdown and note in text for note in notes)
    record = json.loads((tmp_path / "report" / "run.json").read_text())
    assert record["status"] == "complete" and len(record["counts"]["left_out"]) == 2


def test_where_no_folder_is_good_every_reason_is_told(three_models, test_file, tmp_path):
    """A report on nothing; the first reason only, so that they are mended one run at a time."""
    reasons = [spoil(three_models / n, how) for n, how in (("base", "torn"), ("sft", "empty"), ("grpo", "confident"))]
    spoil(three_models / "another", "half judged")
    argv = ["--data_file", test_file, "--inference_dir", three_models, "--output_dir", tmp_path / "r"]
    with pytest.raises(UserError) as error:
        report.main(list(map(str, argv)))
    assert all(reason in str(error.value) for reason in [*reasons, "lacks 1 of 4 verdicts", "inference/judge.py"])


def test_a_baseline_that_is_bad_is_an_error(three_models, test_file, tmp_path):
    """A report without the comparisons that were asked for."""
    spoil(three_models / "sft", "empty")
    argv = ["--data_file", test_file, "--inference_dir", three_models, "--output_dir", tmp_path / "r"]
    with pytest.raises(UserError, match="--baseline sft .* is empty"):
        report.main([*map(str, argv), "--baseline", "sft"])


def test_it_opens_with_the_last_model_tuned(three_models, test_file, make):
    """A first sentence about the model with the highest number, or about the base; a model named like its folder."""
    content, _, html = make(three_models, test_file)
    first = " ".join(re.sub(r"<[^>]+>", "", html[html.index('<div class="summary">') :]).split())
    assert first.startswith("GRPO gets 100.0 % of the questions right in the end")
    assert story.shown(list(content["models"])) == ["base", "sft", "grpo"]  # and not `another`
    assert story.shown(["base", "sft"]) == ["base", "sft"] and story.shown(["one"]) == ["one"]
    assert story.shown(["base", "grpo-seed0", "grpo-seed1"]) == ["base", "grpo-seed0"]
    assert story.shown(list("abcde")) == ["a", "b", "c", "e"]
    assert set(story.SITUATIONS) == set(STRATEGIES)


def test_every_definition_that_is_linked_is_there_before_the_gallery(three_models, test_file, make):
    """A metric's name that leads nowhere, or to the end of a page of hundreds of examples."""
    html = make(three_models, test_file)[2]
    links = set(re.findall(r'href="#(definition-\w+)"', html))
    assert len(links) > 10 and links <= set(re.findall(r'id="(definition-\w+)"', html))
    assert html.index('id="definitions"') < html.index('id="gallery"')


def test_open_shows_the_report(three_models, test_file, make, monkeypatch, tmp_path):
    """A browser that opens without being asked, or on another file."""
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    make(three_models, test_file)
    assert opened == []
    make(three_models, test_file, "--open")
    assert opened == [(tmp_path / "report" / "report.html").as_uri()]
