"""The panel: majority per criterion, disagreement kept, and no verdict where there is no majority of judges."""

from pathlib import Path

import pytest

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.judges import JudgeArguments, make_judge, self_preference
from clarifyvlm.judges.panel import majority
from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict
from judge_server import GOOD, Server, completion

SCENES = Path(__file__).parents[1] / "data" / "judge_scenes.jsonl"
EXAMPLES = {e.id: e for e in jsonl.read(SCENES, Example)}
LIST = EXAMPLES["list-color"]


def vote(judge: str, used: str | None, failure: str | None = None, **criteria) -> Verdict:
    scored = {} if failure else dict.fromkeys(CRITERIA) | {"strategy_right": float(used == "enumerate")} | criteria
    return Verdict(example_id=LIST.id, judge=judge, used_strategy=used, criteria=scored, failure=failure)


def decide(*votes: Verdict) -> Verdict:
    return majority("panel", LIST, Prediction(example_id=LIST.id, text="x"), votes)


def test_majority_per_criterion():
    """One judge that decides alone, a mean that is no vote, or votes that are thrown away."""
    votes = (
        vote("a", "answer", grounded=0.0, overconfident=1.0, complete=0.0),
        vote("b", "enumerate", grounded=1.0, overconfident=0.0, complete=0.5),
        vote("c", "enumerate", grounded=0.0, overconfident=0.0, complete=1.0),
    )
    verdict = decide(*votes)
    assert verdict.used_strategy == "enumerate" and verdict.votes == list(votes)
    assert verdict.criteria == dict.fromkeys(CRITERIA) | {
        "strategy_right": 1.0, "grounded": 0.0, "overconfident": 0.0, "complete": 0.5,
    }  # fmt: skip


def test_strategy_and_its_criteria_agree():
    """A used strategy of one judge beside a `strategy_right` or a `question_value` of another."""
    verdict = decide(
        vote("a", "clarify", question_value=1.0), vote("b", "clarify", question_value=0.5), vote("c", "enumerate")
    )
    assert (verdict.used_strategy, verdict.criteria["strategy_right"]) == ("clarify", 0.0)
    assert verdict.criteria["question_value"] == 0.75
    verdict = decide(vote("a", "clarify", question_value=1.0), vote("b", "answer"), vote("c", "answer"))
    assert verdict.criteria["question_value"] is None


def test_ties_go_to_the_first_judge():
    """A tie that falls by chance, so that two runs differ."""
    assert decide(vote("a", "answer", grounded=1.0), vote("b", "infer", grounded=0.0)).used_strategy == "answer"
    assert decide(vote("b", "infer", grounded=0.0), vote("a", "answer", grounded=1.0)).criteria["grounded"] == 0.0


def test_half_of_the_judges_are_no_quorum():
    """One judge of two that decides because the other one is down."""
    down = vote("b", None, failure="timeout")
    verdict = decide(vote("a", "enumerate"), down)
    assert verdict.failure == "no_quorum" and verdict.criteria == {} and verdict.votes[1].failure == "timeout"
    assert decide(vote("a", "enumerate"), vote("c", "answer"), down).failure is None
    assert decide(vote("a", "enumerate"), vote("b", None, failure="budget")).failure == "budget"


@pytest.fixture
def panel(server, tmp_path):
    """A panel of the scene judge and two endpoints, as a user writes it."""
    with Server() as second:
        file = tmp_path / "panel.yaml"
        file.write_text(
            "judges:\n  - judge: scene\n"
            f"  - {{judge: openai, judge_base_url: '{server.url}', judge_model: m}}\n"
            f"  - {{judge: openai, judge_base_url: '{second.url}', judge_model: n, judge_timeout_s: 2}}\n"
        )
        yield make_judge(JudgeArguments(judge="panel", judge_panel=str(file), judge_max_retries=0)), server, second


def test_panel_of_real_judges(panel):
    """Judges asked one after another, verdicts in another order, calls that are not counted, or a name that hides who
    judged."""
    judge, first, second = panel
    judge.check()
    second.reply = lambda request: completion(GOOD | {"used_strategy": "answer"})
    texts = ["The one at the top left is red, the one in the center blue.", "It is red.", ""]
    seen = []
    verdicts = judge.judge(
        [LIST] * 3, [Prediction(example_id=LIST.id, text=t) for t in texts], lambda i, v: seen.append(i)
    )
    assert [v.used_strategy for v in verdicts] == ["enumerate", "answer", "none"] and sorted(seen) == [0, 1, 2]
    assert [vote.used_strategy for vote in verdicts[0].votes] == ["enumerate", "enumerate", "answer"]
    assert judge.usage.calls == 4 and len(first.requests) == len(second.requests) == 3  # with the preflight
    assert judge.name == verdicts[0].judge and judge.name.startswith("panel(scene, openai:m:rubric-")
    assert Verdict.model_validate_json(verdicts[0].model_dump_json()) == verdicts[0]


def test_one_judge_down_is_outvoted(panel):
    """A panel that fails with its weakest member, or that hides that one failed."""
    judge, first, _ = panel
    first.reply = lambda request: (500, {}, {})
    (verdict,) = judge.judge([LIST], [Prediction(example_id=LIST.id, text="Both are red and blue.")])
    assert verdict.failure is None and [v.failure for v in verdict.votes] == [None, "http_5xx", None]


def test_a_panel_says_what_it_did_not_understand():
    """A member that does not understand a response and passes for one that was down; a criterion that nobody knows and
    that comes out as one that does not apply."""
    about = {"example_id": LIST.id, "judge": "one"}
    criteria = dict.fromkeys(CRITERIA) | {"strategy_right": 1.0}
    knows = Verdict(**about, used_strategy="enumerate", criteria=criteria, unknown=["complete"])
    lost = Verdict(**about, failure="not_understood")
    down = Verdict(**about, failure="timeout")
    prediction = Prediction(example_id=LIST.id, text="Mmh.")
    assert majority("panel", LIST, prediction, [knows, lost]).failure == "not_understood"
    assert majority("panel", LIST, prediction, [knows, lost, down]).failure == "no_quorum"
    assert majority("panel", LIST, prediction, [knows, knows, lost]).unknown == ["complete"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("judges: [{judge: scene}]", "two judges or more"),
        ("juges: []", "one key, `judges`"),
        ("judges: [{judge: scene}, {judge: panel}]", "judge 2: expected keys"),
        (
            "judges: [{judge: scene}, {judge: openai, judge_modle: m}]",
            "judge 2: unknown key 'judge_modle'.*judge_model",
        ),
        ("judges: [{judge: scene}, {judge: openai, judge_timeout_s: soon}]", "judge 2: .*judge_timeout_s.*'soon'"),
        ("judges: [{judge: scene}, {judge: openai}]", "needs --judge_model"),
    ],
)
def test_bad_panel_files(tmp_path, content, message):
    """A misspelt key that leaves a judge with its defaults, or a stack trace."""
    (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        make_judge(JudgeArguments(judge="panel", judge_panel=str(tmp_path / "p.yaml")))


def test_a_judge_of_the_policy_s_family_is_named(tmp_path):
    """A judge that favors its own family and nobody is told."""
    one = JudgeArguments(judge="openai", judge_model="qwen3-32b")
    assert "qwen3-32b judges Qwen/Qwen2.5-VL-3B-Instruct" in self_preference(one, "Qwen/Qwen2.5-VL-3B-Instruct")
    assert self_preference(one, "HuggingFaceTB/SmolVLM2-500M") is None and self_preference(one, "ours") is None
    assert self_preference(JudgeArguments(), "Qwen/Qwen2.5-VL-3B-Instruct") is None
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    assert self_preference(one, str(tmp_path))
    (tmp_path / "p.yaml").write_text("judges: [{judge: scene}, {judge: openai, judge_model: qwen3-32b}]")
    panel = JudgeArguments(judge="panel", judge_panel=str(tmp_path / "p.yaml"))
    assert self_preference(panel, str(tmp_path)).startswith("qwen3-32b judges")
