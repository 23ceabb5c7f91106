"""What the report says of its judge: the audit, several judges, and nothing from a file that is more than text."""

import json
import re
from pathlib import Path

import pytest

import report
from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Verdict
from reports import HOSTILE, make_report, parse, three_models


@pytest.fixture
def make(tmp_path):
    return lambda inference, data, *flags, out="report": make_report(tmp_path / out, inference, data, *flags)


@pytest.fixture(name="three_models")
def three(tmp_path, test_file) -> Path:
    return three_models(tmp_path / "inference", test_file)


AUDIT = {
    "judge": "scene",
    "data": "data/test.jsonl",
    "labels": None,
    "seed": 0,
    "responses": 500,
    "judge_failures": {"timeout": 3},
    "criteria": {
        "grounded": {
            "n": 441,
            "accuracy": {"value": 0.725, "low": 0.67, "high": 0.77, "n": 441},
            "kappa": {"value": 0.21, "low": 0.16, "high": 0.26, "n": 441},
            "ac2": {"value": 0.55, "low": 0.5, "high": 0.6, "n": 441},
            "confusion": {"0.00": {"0.00": 137, "1.00": 271}, "1.00": {"1.00": 33}},
        },
        "question_value": {"n": 0},
    },
    "faults": {"wrong_fact": {"n": 26, "all_right": 0.125}},
    "canaries": {"tried": 170, "failures": 0, "passed": [{"example_id": "c1", "text": HOSTILE}]},
    "effects": {
        "padded_2x": {
            "what": "Twice as many words.",
            "n": 57,
            "failures": 3,
            "flips": {"used_strategy": {"value": 0.0825, "low": 0.02, "high": 0.15, "n": 57}},
            "reward_shift": {"value": 0.1234, "low": 0.07, "high": 0.17, "n": 57},
        },
        "without_picture": {
            "what": "No picture.",
            "n": 0,
            "failures": 60,
            "flips": {},
            "reward_shift": {"value": None, "low": None, "high": None, "n": 0},
        },
    },
    "warnings": ["unreliable on grounded: <b>do not report on it</b>"],
    "disagreements": [
        {
            "example_id": f"d{i}",
            "question": HOSTILE,
            "fault": "wrong_fact",
            "text": f"response {i} {HOSTILE}",
            "differs": {
                "grounded": {"label": 0.0, "judge": None},
                "used_strategy": {"label": "infer", "judge": "answer"},
            },
        }
        for i in range(12)
    ],
    "usage": None,
}


def write_audit(folder: Path, *leave_out: str, **changes) -> str:
    path = folder / "judge_audit.json"
    path.write_text(json.dumps({k: v for k, v in (AUDIT | changes).items() if k not in leave_out}))
    return str(path)


def test_the_audit_of_the_judge_is_shown(three_models, test_file, make, tmp_path):
    """An audit that a reader never sees: a judge that is unreliable on a criterion, with nothing beside the number."""
    path = write_audit(tmp_path)
    content, markdown, html = make(three_models, test_file, "--judge_audit", path)
    audit = content["judge_audit"]
    assert audit["criteria"]["grounded"]["kappa"] == AUDIT["criteria"]["grounded"]["kappa"]
    assert audit["effects"]["padded_2x"] == AUDIT["effects"]["padded_2x"] and audit["warnings"] == AUDIT["warnings"]
    assert (audit["file"], audit["not_audited"], audit["disagreements_n"]) == (path, [], 12)
    assert len(audit["disagreements"]) == 10 and audit["canaries"]["passed_n"] == 1
    page = " ".join(parse(html).text)
    for shown in (
        "72.5",
        "0.210",
        "0.550",
        "271",
        "12.5",
        "1 of 170 canaries",
        "timeout: 3",
        "8.2",
        "+0.123",
        "1 warning",
    ):
        assert shown in page, shown
    assert "unreliable on grounded: <b>do not report on it</b>" in page and "response 9" in page
    assert "response 10" not in page and "not audited" not in page
    assert "- **unreliable on grounded" in markdown and "| grounded " in markdown and "+0.123 [" in markdown
    inputs = [entry["path"] for entry in json.loads((tmp_path / "report/run.json").read_text())["inputs"]]
    assert path in inputs


def test_natural_wordings_are_shown_with_who_wrote_them(three_models, test_file, make, tmp_path):
    """A report that shows the agreement on the judge's own wordings only, or opens with that on responses on which
    it was tuned, or figures of which nobody says who wrote the responses that they rest on."""
    share = {"value": 0.871, "low": 0.85, "high": 0.89, "n": 300}
    row = dict.fromkeys(("understood", "all_met", "used_strategy", "grounded"), share)
    row["ungrounded_paid"] = share | {"value": None, "low": None, "high": None, "n": 0}
    blind = row | {"used_strategy": share | {"value": 0.612}}
    natural = {"responses": 300, "all": row, "styles": {"terse": row}, "files": {"blind": blind}, "facts_alone": True}
    _, markdown, html = make(three_models, test_file, "--judge_audit", write_audit(tmp_path, natural=natural))
    for text in (markdown, " ".join(parse(html).text)):
        assert "written and labeled by language-model agents, all but one of whom had not seen the judge" in text
        assert "87.1" in text and "terse" in text and "300 natural responses" in text and "from the facts alone" in text
    assert "on which it was not tuned, it recognizes the strategy in 61.2 %" in " ".join(
        " ".join(parse(html).text).split()
    )
    without = make(three_models, test_file, "--judge_audit", write_audit(tmp_path), out="without")[2]
    assert "language-model agents" not in without


def test_an_audit_is_text_and_nothing_else(three_models, test_file, make, tmp_path):
    """A script in an audited response, in a warning or in the judge's name that runs when the report is opened."""
    hostile = {
        "judge": HOSTILE,
        "warnings": [HOSTILE],
        "judge_failures": {HOSTILE: 1},
        "data": HOSTILE,
        "labels": HOSTILE,
    }
    effect = AUDIT["effects"]["padded_2x"] | {"what": HOSTILE, "flips": {HOSTILE: AUDIT["criteria"]["grounded"]["ac2"]}}
    criterion = AUDIT["criteria"]["grounded"] | {"confusion": {HOSTILE: {HOSTILE: 1}}}
    hostile |= {"effects": {HOSTILE: effect}, "criteria": {HOSTILE: criterion}}
    hostile |= {"faults": {HOSTILE: AUDIT["faults"]["wrong_fact"]}}
    _, markdown, html = make(three_models, test_file, "--judge_audit", write_audit(tmp_path, **hostile))
    page = parse(html)
    assert page.tags.count("script") == 1 and not [a for a in page.attributes if a[1].startswith("on")]
    assert all(a[2].startswith("data:image/") for a in page.attributes if a[1] == "src")
    assert page.tags.count("body") == 1 and sum(HOSTILE in text for text in page.text) >= 20
    for table in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.M):
        assert len({len(line) for line in table.splitlines()}) == 1


def test_an_older_audit_is_shown_without_what_it_lacks(three_models, test_file, make, tmp_path):
    """A report that cannot be made with the audit of an earlier version."""
    keys = (
        "effects",
        "warnings",
        "faults",
        "canaries",
        "disagreements",
        "judge_failures",
        "responses",
        "data",
        "labels",
    )
    content, markdown, html = make(three_models, test_file, "--judge_audit", write_audit(tmp_path, *keys))
    assert content["judge_audit"]["canaries"] is None and content["judge_audit"]["effects"] == {}
    assert "0.210" in html and "canaries" not in markdown and "What should not matter" not in html


def test_the_audit_of_another_judge_is_said(three_models, test_file, make, tmp_path):
    """The audit of one judge taken for that of the judge that scored."""
    path = write_audit(tmp_path, judge="openai:m")
    content, markdown, html = make(three_models, test_file, "--judge_audit", path)
    said = "The audit is of openai:m; the verdicts here are by scene, which was not audited."
    assert (
        content["judge_audit"]["not_audited"] == ["scene"] and said in markdown and said in " ".join(parse(html).text)
    )


def test_a_report_without_an_audit_says_so(three_models, test_file, make):
    """Silence taken for trust; and a command that does not exist."""
    content, markdown, html = make(three_models, test_file)
    said = " ".join(" ".join(parse(html).text).split())
    assert "judge_audit" not in content and "The judge was not audited" in said and "Who judges" not in markdown
    assert f"python inference/audit_judge.py --data_file {test_file} --output_file judge_audit.json" in said


def test_a_file_that_is_no_audit_is_refused(three_models, test_file, tmp_path):
    """A stack trace, or an empty section, for the data's audit.json, for half a file, or for one that is not there."""
    argv = ["--data_file", str(test_file), "--inference_dir", str(three_models), "--output_dir", str(tmp_path / "r")]
    path = tmp_path / "judge_audit.json"
    with pytest.raises(UserError, match="No such file.*audit_judge.py"):
        report.main([*argv, "--judge_audit", str(path)])
    nan = '{"judge": "scene", "criteria": {"grounded": {"n": 1, "kappa": {"value": NaN, "low": 0, "high": 1, "n": 1}}}}'
    for text in ("", "[]", '{"examples": 3}', json.dumps(AUDIT)[:300], "\xff", nan):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(UserError, match="no judge_audit.json"):
            report.main([*argv, "--judge_audit", str(path)])
    inside = tmp_path / "r" / "judge_audit.json"
    inside.parent.mkdir(exist_ok=True)
    inside.write_text(json.dumps(AUDIT))
    with pytest.raises(UserError, match="lies in --output_dir"):
        report.main([*argv, "--judge_audit", str(inside)])
    assert inside.exists()


def rejudge(folder: Path, name: str, by: str, count: int | None = None) -> None:
    path = folder / name / "verdicts.jsonl"
    rows = jsonl.read(path, Verdict)
    jsonl.write_atomic(path, [row.model_copy(update={"judge": by}) for row in rows[:count]] + rows[len(rows[:count]) :])


def test_several_judges_are_said_and_not_compared(three_models, test_file, make):
    """Models that two judges scored, side by side as if it were one."""
    assert "ifferent judges" not in make(three_models, test_file)[2]
    rejudge(three_models, "sft", "openai:m\n# <b>")
    rejudge(three_models, "grpo", "openai:z", count=3)
    content, markdown, html = make(three_models, test_file, out="mixed")
    said = "Different judges: Base by scene; SFT by openai:m # <b>; GRPO by openai:z and scene; another by scene."
    assert said in markdown and said in " ".join(parse(html).text)
    assert {(d["a"], d["b"]) for d in content["differences"]} == {("another", "base")}
    assert content["models"]["grpo"]["judge"] == "openai:z, scene"


def test_no_pair_of_one_judge_leaves_a_sentence(three_models, test_file, make):
    """An empty section, or "there is one model", where there are several that cannot be compared."""
    for name in ("base", "sft", "grpo", "another"):
        rejudge(three_models, name, name)
    content, _, html = make(three_models, test_file)
    assert content["differences"] == [] and "No two models were judged by the same judge" in html
    for name in ("base", "sft", "grpo", "another"):
        rejudge(three_models, name, "a", count=2)
        rejudge(three_models, name, "b", count=1)
        path = three_models / name / "verdicts.jsonl"
        rows = jsonl.read(path, Verdict)
        jsonl.write_atomic(path, [rows[0], *(row.model_copy(update={"judge": "a"}) for row in rows[1:])])
    markdown = make(three_models, test_file)[1]
    assert "Several judges judged each model (Base by a and b;" in markdown
