"""One test for each published benchmark: rows in its released form (their form; invented content), as examples."""

import json

import pytest

import released
from benchmark_rows import PEOPLE, file_converter, picture, table
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from stages import ROOT


@pytest.fixture
def convert(tmp_path):
    return file_converter(tmp_path)


def said(e: Example) -> tuple:
    return e.strategy, e.ambiguity.type, e.ambiguity.level, e.reference


def readings(e: Example) -> list[tuple]:
    return [(r.expression, r.answer) for r in e.ambiguity.readings]


def test_aqua(convert):
    """A level that AQuA gives and that is lost; rows of the original ClarifyVLM that stop without the way on."""
    rows = [{"image": "a.png", "level": level, "question": f"What {level}?"} for level in (0, "1", 2.0, 3)]
    examples = convert("aqua", "train.json", rows)
    assert [said(e)[:3] for e in examples] == [
        ("answer", "none", 0),
        ("infer", "referential", 1),
        ("enumerate", "referential", 2),
        ("clarify", "referential", 3),
    ]
    with pytest.raises(UserError, match="--benchmark clarifyvlm_original"):
        convert("aqua", "train.jsonl", [{"image": "a.png", "level": "ambig", "question": "Q?"}])


def test_ambiguous_vqa(convert, tmp_path):
    """A question that comes out once for each meaning, as if each were all of it; a meaning's answers lost."""
    meant = [("What place?", "park"), ("What place?", "garden"), ("What place?", "park"), ("Why there?", "to rest")]
    questions = [
        {"image_id": 42, "question": "Where is he?", "question_id": f"42001_{i}", "new_question": new}
        for i, (new, _) in enumerate(meant)
    ]
    questions.append({"image_id": 42, "question": "Who?", "question_id": "42002_0", "new_question": "Who is he?"})
    answers = [
        {"question_id": q["question_id"], "image_id": 42, "answers": [{"answer": word, "answer_id": i}]}
        for i, (q, word) in enumerate(zip(questions, [*(word for _, word in meant), "Ann"], strict=True))
    ]
    (tmp_path / "annotations.json").write_text(json.dumps({"annotations": answers}))
    flags = ("--annotations", tmp_path / "annotations.json")
    several, one = convert("ambiguous_vqa", "questions.json", {"questions": questions}, *flags)
    assert said(several) == ("enumerate", "unknown", None, "") and said(one) == ("answer", "unknown", None, "Ann")
    assert readings(several) == [("What place?", "park"), ("Why there?", "to rest")]
    assert several.provenance["key"] == "42001" and len(several.provenance["released"]["rows"]) == 4
    with pytest.raises(UserError, match="row 2: contradicts row 1.*'garden', not 'park' .--benchmark ambiguous_vqa"):
        convert("vqav2", "questions.json", {"questions": questions}, *flags)
    kept = convert("vqav2", "questions.json", {"questions": questions}, *flags, "--leave_out_contradictions")
    assert [e.reference for e in kept] == ["park", "park", "Ann"]


def test_clarifyvlm_original(convert):
    """The question back lost, or a level made up."""
    rows = [
        {"image": "flickr8k/Images/a.png", "level": "ambig", "question": "What is on?", "answer": "Which one?"},
        {"image": "flickr8k/Images/b.png", "level": "unambig", "question": "What is off?", "answer": "The lamp is."},
    ]
    ambiguous, clear = convert("clarifyvlm_original", "train.jsonl", rows)
    assert said(ambiguous) == ("clarify", "unknown", None, "Which one?") and readings(ambiguous) == []
    assert said(clear) == ("answer", "none", None, "The lamp is.")


def test_clearvqa(convert):
    """The gold question back or the category lost; a level that ClearVQA does not have."""
    row = {
        "question_id": "v1",
        "image": "a.png",
        "question": "What color is the left cup?",
        "gold_answer": "red",
        "answers": PEOPLE,
        "caption": "two cups",
        "blurred_question": "What color is the cup?",
        "clarification_question": "The left one?",
        "ambiguity_category": "refer",
    }
    rows = [row, row | {"question_id": "v2", "ambiguity_category": "intent", "clarification_question": ""}]
    clear, blurred, _, bare = convert("clearvqa", "val_annotated.jsonl", rows)
    assert said(clear) == ("answer", "none", None, "red")
    assert said(blurred) == ("clarify", "referential", None, "The left one?")
    assert blurred.dialogue.question == "The left one?" and blurred.dialogue.answer == "red"
    assert blurred.dialogue.reply == "I mean: What color is the left cup?"
    assert said(bare) == ("clarify", "vague", None, "") and bare.dialogue is None
    assert clear.provenance["released"]["caption"] == "two cups"
    with pytest.raises(UserError, match="ambiguity_category is 'taste': refer, intent, spell"):
        convert("clearvqa", "val.jsonl", [row | {"ambiguity_category": "taste"}])


def test_gqa(convert):
    """The kind of question, lost where nested columns are made flat or are text; test questions taken for others."""
    row = {"id": "07", "imageId": "a", "question": "Is it big?", "answer": "yes", "fullAnswer": "Yes, it is big."}
    forms = [
        {"types": {"semantic": "attr", "structural": "verify"}},
        {"types": "{'semantic': 'attr', 'structural': 'verify'}"},
        {"types.semantic": "attr", "types.structural": "verify"},
    ]
    for form in forms:
        (e,) = convert("gqa", "rows.csv", table([row | form]))
        assert said(e) == ("answer", "unknown", None, "Yes, it is big.") and e.kind == "attr"
        assert (e.provenance["key"], readings(e)) == ("07", [("Is it big?", "yes")])
        assert "verify" in str(e.provenance["released"])
    with pytest.raises(UserError, match="no public answers: take val_balanced"):
        convert("gqa", "test.json", {"07": {"imageId": "a", "question": "Is it big?"}})


def test_haloquest(convert):
    """Responses in one cell taken as one or as letters; what is denied taken for an answer."""
    columns = (
        "",
        "image_name",
        "url",
        "image type",
        "hallucination type",
        "question",
        "groundtruth responses",
        "split",
    )
    cells = [
        ("0", "a.png", "http://x/a.png", "real", "false premises", "Which hat?", "No hat; There is none;", "eval"),
        ("1", "b.png", "http://x/b.png", "real", "insufficient context", "How old?", "One cannot see it", "eval"),
        ("2", "a.png", "http://x/a.png", "real", "visual challenge", "How many?", "Two\n; There are two", "eval"),
    ]
    rows = [dict(zip(columns, row, strict=True)) for row in cells]
    premise, context, visual = convert("haloquest", "haloquest-eval.csv", table(rows))
    assert said(premise) == ("correct", "premise", None, "No hat") and readings(premise) == []
    assert premise.provenance["references"] == ["No hat", "There is none"] and premise.provenance["key"] == "0"
    assert said(context) == ("abstain", "unanswerable", None, "One cannot see it")
    assert said(visual) == ("answer", "unknown", None, "Two") and readings(visual) == [("How many?", "Two")]
    assert visual.provenance["released"]["image type"] == "real"
    again = rows[2] | {"": "3", "groundtruth responses": "A pair of them"}
    assert len(convert("haloquest", "haloquest-eval.csv", table([*rows, again]))) == 4  # no contradiction
    rows[0]["split"] = "train"
    with pytest.raises(UserError, match="row 1: split is 'train': a row to train on. Give --split train"):
        convert("haloquest", "haloquest-train.csv", table(rows))
    assert len(convert("haloquest", "haloquest-train.csv", table(rows), "--split", "train")) == 3


def test_long_names_are_names(convert, tmp_path):
    """Names of more than a hundred letters, as HaloQuest's, taken for the picture itself."""
    name = f"{'a_cat_with_a_hat_' * 8}.png"
    (tmp_path / "pictures" / name).write_bytes(picture(7))
    row = {"image_name": name, "hallucination type": "false premise", "question": "Q?", "groundtruth responses": "No."}
    (e,) = convert("haloquest", "rows.json", [row])
    assert e.provenance["released"]["image_name"] == name


def test_mm_aqa(convert):
    """A question whose evidence was taken away that is taken for an answerable one; options the model does not see."""
    row = {"id": "x1", "image": "a.png", "question": "Which is it?", "options": "['a cup', 'a dog']", "answer": "B"}
    rows = [row | {"answerable": True}, row | {"id": "x2", "question": "And now?", "answerable": "unanswerable"}]
    solvable, not_ = convert("mm_aqa", "rows.json", rows)
    assert solvable.question == "Which is it?\nA. a cup\nB. a dog" and solvable.reference == "a dog"
    assert solvable.provenance["accepted"] == ["B. a dog", "B", "a dog"]
    assert said(not_) == ("abstain", "unanswerable", None, "")


def test_mm_upd(convert):
    """The hub's `upd` refused; its kind lost; a pair apart; an option E that the model does not see."""
    row = {
        "index": 7,
        "image": "a.png",
        "question": "What is it?",
        "hint": "nan",
        "A": "a cup",
        "B": "a kite",
        "C": "nan",
        "E": "None of the above",
        "answer": "B",
        "type": "standard",
        "split": "dev",
        "masked_answer": "nan",
    }
    rows = [row, row | {"B": "nan", "answer": "E", "type": "upd", "masked_answer": "a kite"}]
    standard, upd = convert("mm_upd", "mmaad_option/test.jsonl", rows)
    assert standard.question == "What is it?\nA. a cup\nB. a kite\nE. None of the above"
    assert said(standard) == ("answer", "unknown", None, "a kite")
    assert said(upd) == ("correct", "premise", None, "None of the above")
    assert standard.kind == upd.kind == "aad" and standard.group_id == upd.group_id == "mm_upd-7"
    assert upd.provenance["released"]["masked_answer"] == "a kite"
    (old,) = convert("mm_upd", "rows.jsonl", [row | {"type": "ivqd"}])
    assert old.kind == "ivqd" and old.strategy == "correct"


def test_pope(convert):
    """JSON lines under the name of JSON refused; a label that is neither yes nor no."""
    rows = [
        {"question_id": i, "image": "COCO_val2014_000000000042.png", "text": f"Is there a {thing}?", "label": label}
        for i, (thing, label) in enumerate((("cup", "yes"), ("dog", "no")), start=1)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    cup, dog = convert("pope", "coco_pope_random.json", lines)
    assert said(cup) == ("answer", "unknown", None, "yes") and (dog.reference, dog.kind) == ("no", "existence")
    assert len(convert("pope", "one.json", json.dumps(rows[0]))) == 1
    with pytest.raises(UserError, match="row 1: label is 'maybe': yes, no was expected"):
        convert("pope", "rows.json", [rows[0] | {"label": "maybe"}])


def test_racquet(convert):
    """Rows of both files that get the same id; a reading or an answer made up."""
    row = {
        "id": 1,
        "image_url": "https://x.org/123/a.png",
        "question": "What is the person wearing?",
        "question_idx": 1,
    }
    (general,) = convert("racquet", "racquet_general.jsonl", [row])
    (bias,) = convert("racquet", "racquet_bias.jsonl", [row])
    assert said(general) == ("clarify", "referential", None, "") and readings(general) == []
    assert (general.provenance["key"], bias.provenance["key"]) == ("general-1", "bias-1") and general.id != bias.id
    assert general.provenance["released"]["question_idx"] == 1


def test_unk_vqa(convert):
    """A question made unanswerable that is taken for an answerable one; how it was altered lost."""
    row = {"question_id": 6, "question": "What is he wearing?", "image_name": "a.png", "alter_type": "T-1"}
    yes = {"binary": True, "other": {"answer": "nothing", "options": {"orig": "glasses"}}}
    no = {"binary": False, "other": {"answer": "1", "reason": ["3"]}}
    rows = [row | {"answerability": yes}, row | {"question_id": 7, "question": "And he?", "answerability": no}]
    can, cannot = convert("unk_vqa", "annt_val.json", {"reason_map": {"3": "lacks"}, "annotation": rows})
    assert said(can) == ("answer", "unknown", None, "nothing") and can.kind == "T-1"
    assert said(cannot) == ("abstain", "unanswerable", None, "")
    assert cannot.provenance["released"]["answerability"] == no


def test_vizwiz(convert):
    """ "Unsuitable image" as the right answer; a split without labels whose rows are called faulty."""
    people = ["unsuitable image"] * 4 + ["Unanswerable."] + ["lemon"] * 2 + ["tea", "soup", "no"]
    row = {"image": "a.png", "question": "What flavor?", "answerable": 1, "answer_type": "other"}
    (e,) = convert("vizwiz", "val.json", [row | {"answers": [{"answer": word} for word in people]}])
    assert said(e) == ("answer", "unknown", None, "lemon") and e.provenance["answers"] == people
    (none,) = convert("vizwiz", "val.json", [row | {"answers": people[:5]}])
    assert said(none) == ("abstain", "unanswerable", None, "")
    hub = {"image": "a.png", "question": "What flavor?", "answers": ["unanswerable"] * 10, "category": "unanswerable"}
    assert convert("vizwiz", "rows.json", [hub])[0].strategy == "abstain"
    for answers in ({}, {"answers": []}, {"answers": None, "answerable": None}):
        with pytest.raises(UserError, match="none of its 2 rows has answers or answerable.*take val.json"):
            convert("vizwiz", "test.json", [{"image": "a.png", "question": f"Q{i}?"} | answers for i in range(2)])


def test_vq_focusambiguity(convert):
    """The released columns refused; the regions that a question may mean lost; ids that change with the order."""
    rows = [
        {"id": 11, "set": "test", "file_name": "a.png", "question": "What is it?", "label": "ambiguous"},
        {"id": 12, "set": "test", "file_name": "b.png", "question": "What is on?", "label": "unambiguous"},
    ]
    rows[0] |= {"focus_areas": ["left.png", "right.png"], "size": {"width": 4}}
    rows[1] |= {"focus_areas": [[[0, 0], [4, 4]]]}
    several, one = convert("vq_focusambiguity", "test_gt.json", rows)
    assert said(several) == ("clarify", "referential", None, "") and said(one) == ("answer", "none", None, "")
    assert readings(several) == [("region 1 of 2 (left.png)", None), ("region 2 of 2 (right.png)", None)]
    assert readings(one) == [("region 1 of 1", None)] and one.provenance["released"]["focus_areas"] == [
        [[0, 0], [4, 4]]
    ]
    assert {e.id for e in convert("vq_focusambiguity", "test_gt.json", rows[::-1])} == {several.id, one.id}
    with pytest.raises(UserError, match="set is 'train': a row to train on"):
        convert("vq_focusambiguity", "train_gt.json", [row | {"set": "train"} for row in rows])


def test_vqav2(convert, tmp_path):
    """Answers of another split joined by number; a second file not named; pictures in the rows not looked for."""
    question = {"image_id": 42, "question": "What is it?", "question_id": 42000}
    with pytest.raises(UserError, match="second file: --annotations"):
        convert("vqav2", "questions.json", {"questions": [question]})
    answer = {"question_id": 42000, "image_id": 42, "answers": [{"answer": word} for word in PEOPLE]}

    def joined(*answers):
        (tmp_path / "annotations.json").write_text(json.dumps({"annotations": answers}))
        flags = ("--annotations", tmp_path / "annotations.json")
        return convert("vqav2", "questions.json", {"questions": [question]}, *flags)

    (e,) = joined(answer)
    assert said(e) == ("answer", "unknown", None, "red") and e.provenance["answers"] == PEOPLE
    with pytest.raises(UserError, match="42000 is of picture 43, .* of 42. Are they of one split"):
        joined(answer | {"image_id": 43})
    with pytest.raises(UserError, match="two rows with question_id 42000 differ"):
        joined(answer, answer | {"answers": ["blue"]})
    with pytest.raises(UserError, match="has none of the questions"):
        joined(answer | {"question_id": 1})
    hub = question | answer | {"image": "a.png", "image_id": 999}
    assert convert("vqav2", "rows.json", [hub])[0].provenance["released"]["image_id"] == 999


@pytest.mark.parametrize("name", released.NAMES)
def test_every_module_says_what_it_is(name):
    """A benchmark without its license or its home page, or one that no test above converts."""
    benchmark = released.module(name).BENCHMARK
    assert benchmark.home.startswith("https://") and benchmark.license and benchmark.seen and benchmark.silent
    assert f"def test_{name}(" in (ROOT / "tests/dataset_generation/test_released.py").read_text()


def test_the_table_in_the_docs_is_made_from_the_modules():
    """A benchmark that docs/benchmarks.md does not list, or lists as it was."""
    text = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert released.table() in text, "write it anew: python tests/helpers/released_table.py"
