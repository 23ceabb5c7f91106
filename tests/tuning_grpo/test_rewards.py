"""The reward: faultless responses earn 1, constant policies little, and a judge's failure is no score."""

import pytest

from clarifyvlm import rewards
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import CRITERIA, Example, Prediction, Turn, Verdict
from stages import STRATEGIES, example, script

EXAMPLES = [Example.model_validate(example(i)) for i in range(24)]  # four of each strategy

POLICIES = {
    "answer": "It is red.",
    "infer": "I take you to mean the large star: it is red.",
    "list": "There are two stars: the one at the top left is red and the one at the top right is green.",
    "ask": "Which star do you mean, and where is it?",
    "correct": "There is no star in the picture.",
    "abstain": "I cannot tell from the picture.",
    "empty": "",
}


def said(item: Example, text: str) -> Prediction:
    return Prediction(example_id=item.id, text=text)


def judged(item: Example, text: str) -> Verdict:
    return SceneJudge().judge([item], [said(item, text)])[0]


def total(item: Example, text: str) -> float:
    return rewards.total(item, judged(item, text), said(item, text))


def of(strategy: str) -> Example:
    return EXAMPLES[STRATEGIES.index(strategy)]


def verdict(used: str = "answer", failure: str | None = None, unknown=(), **criteria) -> Verdict:
    about = {"example_id": "x", "judge": "test"}
    if failure:
        return Verdict(**about, failure=failure)
    criteria = {c: None for c in CRITERIA} | criteria
    return Verdict(**about, used_strategy=used, criteria=criteria, unknown=list(unknown))


@pytest.mark.parametrize("item", EXAMPLES, ids=lambda e: e.id)
def test_references_earn_one(item):
    """Catches a term that takes something from a right response, so that GRPO trains away from the references."""
    assert total(item, item.reference) == pytest.approx(1.0)


@pytest.mark.parametrize("policy", POLICIES)
def test_constant_policies_earn_less_than_half(policy):
    """Catches a reward that always asking, answering, listing, ... would collect (DESIGN, never happen, 9)."""
    earned = sum(total(item, POLICIES[policy]) for item in EXAMPLES) / len(EXAMPLES)
    assert earned < 0.5 * sum(total(item, item.reference) for item in EXAMPLES) / len(EXAMPLES)
    assert earned < 0.25


def test_faults_cost():
    """Catches a term that is inert or has the wrong sign: each fault must earn less than the response without it."""
    enumerate_item, clarify_item, answer_item = of("enumerate"), of("clarify"), of("answer")
    both = enumerate_item.reference
    first = enumerate_item.ambiguity.readings[0].answer
    assert total(answer_item, "It is red.") > total(answer_item, "It is blue.") > total(answer_item, "")
    assert total(answer_item, "It is red.") > total(answer_item, "Which star do you mean?")
    assert total(enumerate_item, both) > total(enumerate_item, f"It is {first}.")
    assert total(clarify_item, clarify_item.reference) > total(clarify_item, "What color is the star you mean?")
    assert total(clarify_item, clarify_item.reference) > total(clarify_item, POLICIES["answer"])
    assert total(answer_item, "It is red.") > total(answer_item, "It is red. " + "It really is red indeed. " * 12)
    missing = verdict("enumerate", strategy_right=1, grounded=1, complete=0.5, answer_right=1)
    assert rewards.total(enumerate_item, missing, said(enumerate_item, both)) == pytest.approx(
        1 - 0.5 * rewards.RewardWeights().completeness_weight
    )


def test_right_strategy_with_every_fault_beats_a_wrong_one():
    """Catches weights that unteach a hard strategy: a list with slips must not earn less than a wrong guess."""
    for item in EXAMPLES:
        faulty = judged(item, item.reference)
        for criterion in ("grounded", "complete", "answer_right", "question_value"):
            if faulty.criteria[criterion] is not None:
                faulty.criteria[criterion] = 0.0
        wrong = {text: judged(item, text) for text in POLICIES.values()}
        wrong = {text: v for text, v in wrong.items() if not v.criteria["strategy_right"]}
        best = max(rewards.total(item, v, said(item, text)) for text, v in wrong.items())
        assert rewards.total(item, faulty, said(item, item.reference)) > best


def dialogue(item: Example, *texts: str, kind: str = "helpful", reading: int = 1) -> Prediction:
    turns = [Turn(role="user" if i % 2 else "assistant", text=text) for i, text in enumerate(texts)]
    return Prediction(example_id=item.id, turns=turns, reading=reading, user_kind=kind)


def worth(prediction: Prediction, weights: rewards.RewardWeights | None = None) -> float:
    item = of("clarify")
    return rewards.total(item, SceneJudge().judge([item], [prediction])[0], prediction, weights)


def test_a_reply_that_is_ignored_is_not_paid_for():
    """Catches dialogues that earn by asking well, whatever is said after the reply."""
    item = of("clarify")
    ask, where = item.reference, "The one at the top right."
    right, wrong = (item.ambiguity.readings[i].answer for i in (1, 0))
    assert worth(dialogue(item, ask, where, f"It is {right}.")) == pytest.approx(1.0) == worth(said(item, ask))
    ignored = worth(dialogue(item, ask, where, f"It is {wrong}."))
    assert ignored == pytest.approx(1.0 - rewards.RewardWeights().resolution_weight)
    assert ignored == worth(dialogue(item, ask, where, ask)) == worth(dialogue(item, ask, where, "grmpf"))
    # a question whose reply cannot help, and then a guess: no better than not to ask
    useless = "What color is the star you mean?"
    assert worth(dialogue(item, useless, "That is what I am asking.", f"It is {wrong}.")) <= 0.0


@pytest.mark.parametrize("kind", ["unsure", "off_topic", "wrong"])
def test_who_was_told_nothing_must_not_guess(kind):
    """Catches a reward under which the lucky guess after "I don't know" pays as an answer does."""
    item = of("clarify")
    right = item.ambiguity.readings[1].answer
    parts = [f"the one at the {r.expression.split(' at the ')[1]} is {r.answer}" for r in item.ambiguity.readings]
    every = f"There are four stars: {', '.join(parts[:-1])} and {parts[-1]}."
    best = worth(dialogue(item, item.reference, "I don't know.", every, kind=kind))
    assert best == pytest.approx(1.0)
    cannot = "Without knowing which star, I cannot tell."
    assert worth(dialogue(item, item.reference, "I don't know.", cannot, kind=kind)) == pytest.approx(1.0)
    for then in (f"It is {right}.", f"The star at the top right is {right}.", item.reference, "grmpf", every + " "):
        earned = worth(dialogue(item, item.reference, "I don't know.", then, kind=kind))
        assert (earned == best) == (then == every + " "), then
    false = every.replace(item.ambiguity.readings[0].answer, "purple")
    assert worth(dialogue(item, item.reference, "I don't know.", false, kind=kind)) < best


def test_who_describes_what_is_not_there_is_told_so():
    """Catches a model that is not paid for saying that the user is mistaken, because it asks in the same breath; and
    one that is paid for denying what is there."""
    item = of("clarify")
    reply = "The one at the bottom middle."
    told = worth(
        dialogue(item, item.reference, reply, "There is no star at the bottom middle. Which one?", kind="wrong")
    )
    assert told == pytest.approx(1.0)
    for then in ("Which one do you mean?", "There is no star at the top left. Which one do you mean?", "It is red."):
        assert worth(dialogue(item, item.reference, reply, then, kind="wrong")) < 0.5, then


def test_what_a_question_costs_is_paid():
    """Catches a cost that is told and not paid, or paid for one question of two; a guess that pays without being right,
    or where no cost was told."""
    item = of("clarify")
    ask, where, right = item.reference, "The one at the top right.", item.ambiguity.readings[1].answer
    once = dialogue(item, ask, where, f"It is {right}.")
    twice = dialogue(item, ask, "I don't know.", ask, where, f"It is {right}.")
    again = dialogue(item, ask, where, ask)
    for prediction, questions in ((once, 1), (twice, 2), (again, 2)):
        told = prediction.model_copy(update={"ask_cost": 0.3})
        assert worth(told) == pytest.approx(worth(prediction) - 0.3 * questions)
    assert worth(once.model_copy(update={"ask_cost": 0.0})) == worth(once)
    asks = verdict("clarify")  # of a judge that does not look at the end, where nobody knows the answer
    assert rewards.asking(item, asks, once.model_copy(update={"ask_cost": 0.3})) == pytest.approx(-0.3)
    for then, free, lucky in ((f"It is {right}.", -0.2, 0.8), ("It is purple.", -0.5, -0.5)):
        guess = said(item, then).model_copy(update={"reading": 1})
        assert worth(guess) == pytest.approx(free)
        assert worth(guess.model_copy(update={"ask_cost": 0.9})) == pytest.approx(lucky)
    assert worth(said(item, f"It is {right}.").model_copy(update={"reading": 0, "ask_cost": 0.9})) == pytest.approx(
        -0.2
    )


def test_a_list_may_take_the_place_of_a_dear_question():
    """Catches a list of everything that is worth nothing where asking costs more than reading it, or as much as asking
    for free; a list with gaps or of false things that is worth as much; a worth where no cost was told."""
    item = of("clarify")
    parts = [f"the one at the {r.expression.split(' at the ')[1]} is {r.answer}" for r in item.ambiguity.readings]
    every = said(item, f"There are four stars: {', '.join(parts[:-1])} and {parts[-1]}.")
    some = said(item, f"I see these stars: {', '.join(parts[:2])} and {parts[2]}.")
    false = said(item, every.text.replace(item.ambiguity.readings[0].answer, "purple"))
    however_long = rewards.RewardWeights(length_weight=0)
    assert worth(every, however_long) == worth(some, however_long) == pytest.approx(0.0)
    told = [worth(p.model_copy(update={"ask_cost": 0.8}), however_long) for p in (every, some, false)]
    assert told == pytest.approx([1 - 0.4, 0.75 - 0.4, 0.75 - 0.4 - rewards.RewardWeights().grounding_weight])
    with_list = item.model_copy(update={"dialogue": item.dialogue.model_copy(update={"listed": every.text})})
    (verdict,) = SceneJudge().judge([with_list], [every])
    for cost, length in ((0.8, 0.0), (None, rewards.length(item, verdict, every))):
        assert rewards.length(with_list, verdict, every.model_copy(update={"ask_cost": cost})) == length
    assert rewards.length(item, verdict, every) < 0  # the question's length is the measure where no cost is told
    assert worth(said(item, item.reference).model_copy(update={"ask_cost": 0.2})) > told[0]
    assert worth(said(item, item.reference).model_copy(update={"ask_cost": 0.6})) < told[0]


def test_silence_is_no_way_out():
    """Catches a reward under which saying nothing beats a wrong strategy, so that the policy falls silent."""
    for item in EXAMPLES:
        wrong = [total(item, text) for name, text in POLICIES.items() if name != "empty"]
        assert total(item, "") < min(wrong) and total(item, "grmpf 123") < min(wrong)


def test_judge_failure_is_none_not_zero():
    """Catches a judge's failure scored as the lowest score (DESIGN, what must never happen, 4)."""
    failed = verdict(failure="timeout")
    assert rewards.terms(of("answer"), failed, said(of("answer"), "It is red.")) is None
    assert rewards.total(of("answer"), failed, said(of("answer"), "It is red.")) is None


def test_total_is_the_weighted_sum_of_its_terms():
    """Catches a total that hides something beside the logged terms, or a weight that no term reads."""
    item = of("answer")
    words = said(item, "It is blue. " + "Very much so. " * 20)
    found = verdict("answer", strategy_right=1, grounded=0, answer_right=0, over_asked=1, overconfident=1)
    values = rewards.terms(item, found, words)
    weights = rewards.RewardWeights()
    assert rewards.total(item, found, words) == pytest.approx(sum(weights.of(n) * v for n, v in values.items()))
    for name in ("strategy", "grounding", "overconfidence", "over_asking", "answer", "length"):
        heavier = rewards.RewardWeights(**{f"{name}_weight": weights.of(name) + 1})
        assert rewards.total(item, found, words, heavier) != rewards.total(item, found, words), name


class CountingJudge:
    """Judges with the scene judge; fails on the texts in `fails`."""

    usage = None

    def __init__(self, fails=()):
        self.calls, self.fails, self.judge_scene = 0, fails, SceneJudge()

    def judge(self, examples, predictions, on_verdict=None, deadline_s=None):
        self.calls += 1
        verdicts = self.judge_scene.judge(examples, predictions)
        return [
            Verdict(example_id=p.example_id, judge="test", failure="timeout") if p.text in self.fails else v
            for p, v in zip(predictions, verdicts, strict=True)
        ]


def score(scorer, items: list[Example], texts: list[str]) -> tuple[dict[str, list], dict[str, float]]:
    metrics = {}
    completions = [[{"role": "assistant", "content": t}] for t in texts]
    ids = [[0] * len(t.split()) for t in texts]
    columns = {}
    for name, function in zip(scorer.names, scorer.functions, strict=True):
        columns[name] = function(
            prompts=None, completions=completions, example=items, completion_ids=ids, log_metric=metrics.__setitem__
        )
    return columns, metrics


def test_one_judge_call_serves_all_reward_functions():
    """Catches a judge asked once per term: eight times the cost, and with a noisy judge eight different verdicts."""
    judge_rewards = script("tuning_grpo/reward_functions.py").JudgeRewards
    judge = CountingJudge()
    scorer = judge_rewards(judge, rewards.RewardWeights())
    item = of("answer")
    columns, _ = score(scorer, [item, item], ["It is red.", "It is blue."])
    assert judge.calls == 1
    assert columns["strategy"] == [1.0, 1.0] and columns["answer"] == [0.0, -1.0]
    columns, _ = score(scorer, [item, item], ["It is blue.", "It is red."])
    assert judge.calls == 2 and columns["answer"] == [-1.0, 0.0]


def test_failures_are_left_out_and_counted():
    """Catches judge failures that become numbers, go uncounted, or never stop a run whose judge is down."""
    judge_rewards = script("tuning_grpo/reward_functions.py").JudgeRewards
    scorer = judge_rewards(CountingJudge(fails=("It is red.",)), rewards.RewardWeights())
    item = of("answer")
    columns, metrics = score(scorer, [item, item], ["It is red.", "It is blue."])
    assert all(values[0] is None and values[1] is not None for values in columns.values())
    assert metrics["judge_failures"] == 0.5 and scorer.failed_batches == 0
    score(scorer, [item, item], ["It is red.", "It is red."])
    score(scorer, [item, item], ["It is red.", "It is red."])
    assert scorer.failed_batches == 2 and scorer.last_failure == "timeout"
    score(scorer, [item], ["It is blue."])
    assert scorer.failed_batches == 0


@pytest.mark.parametrize(
    ("right", "used", "unknown", "paid"),
    [
        ("answer", "answer", "grounded", False),
        ("answer", "answer", "answer_right", False),
        ("answer", "answer", "complete", True),  # no term reads it here
        ("answer", "clarify", "answer_right", True),  # the strategy is wrong: nor is its answer
        ("clarify", "clarify", "question_value", False),
        ("clarify", "clarify", "answer_right_after_reply", False),
        ("enumerate", "enumerate", "complete", False),
    ],
)
def test_what_is_not_known_does_not_pay(right, used, unknown, paid):
    """Catches mumbling that earns what a faultless response does: a criterion of None read as 'no fault'."""
    item = of(right)
    found = verdict(used, unknown=[unknown], strategy_right=float(used == right))
    assert (rewards.total(item, found, said(item, "It is, so to say, red.")) is not None) == paid


def test_a_criterion_without_weight_may_be_unknown():
    """Catches completions that are left out for the sake of a term that counts nothing."""
    item = of("answer")
    found = verdict("answer", unknown=["grounded"], strategy_right=1.0)
    unweighted = rewards.RewardWeights(grounding_weight=0.0)
    assert rewards.total(item, found, said(item, "It is red."), unweighted) == 1.0


class Mumbled:
    """Understands nothing of "Mmh."."""

    name, usage = "deaf", None

    def judge(self, examples, predictions, on_verdict=None, deadline_s=None):
        said = {"Mmh.": verdict(failure="not_understood"), "Red, mmh.": verdict(unknown=["grounded"], strategy_right=1)}
        return [said.get(p.text) or judged(e, p.text) for e, p in zip(examples, predictions, strict=True)]


def test_thinking_aloud_costs_no_length():
    """Catches a right answer that earns less because the model thought before it."""
    item = of("answer")
    thought = f"<think>{'Let me look at the picture once more. ' * 20}</think>{item.reference}"
    assert rewards.length(item, judged(item, item.reference), said(item, thought)) == 0.0


def test_what_is_not_understood_is_left_out_under_its_name():
    """Catches completions that count as bad because the judge cannot read them, that nobody can tell from judge
    failures in the log, and a training that goes on for ever on batches of which nothing is understood."""
    judge_rewards = script("tuning_grpo/reward_functions.py").JudgeRewards
    scorer = judge_rewards(Mumbled(), rewards.RewardWeights())
    item = of("answer")
    columns, metrics = score(scorer, [item] * 4, ["It is red.", "Mmh.", "Red, mmh.", "It is blue."])
    assert [value is None for value in columns["strategy"]] == [False, True, True, False]
    assert metrics["judge_failures/not_understood"] == metrics["judge_failures/unknown_criterion"] == 0.25
    assert metrics["judge_failures"] == 0.5 and scorer.failed_batches == 0
    assert score(scorer, [item] * 2, ["It is red."] * 2)[1]["judge_failures/not_understood"] == 0
    score(scorer, [item] * 2, ["Mmh.", "Red, mmh."])
    score(scorer, [item] * 2, ["Mmh.", "Mmh."])
    assert scorer.failed_batches == 2 and scorer.last_failure == "not_understood"


def test_logged_numbers():
    """Catches wrong alarms: share of groups without signal, ask-rate per right strategy, length correlation."""
    judge_rewards = script("tuning_grpo/reward_functions.py").JudgeRewards
    scorer = judge_rewards(CountingJudge(), rewards.RewardWeights())
    a, c = of("answer"), of("clarify")
    texts = ["It is red.", "Which star do you mean?", "Which star do you mean?", "Which star do you mean?"]
    _, metrics = score(scorer, [a, a, c, c], texts)
    assert metrics["rewards/strategy/no_signal"] == 0.5  # the group of `c` agrees
    assert metrics["rewards/total/no_signal"] == 0.5
    assert metrics["rewards/completeness/no_signal"] == 1.0
    assert metrics["ask_rate/answer"] == 0.5 and metrics["ask_rate/clarify"] == 1.0
    assert metrics["strategy_right/answer"] == 0.5 and metrics["strategy_right/clarify"] == 1.0
    module = script("tuning_grpo/reward_functions.py")
    assert module.pearson([(0, 1), (1, 2), (2, 3)]) == pytest.approx(1)
    assert module.pearson([(0, 3), (1, 2), (2, 1)]) == pytest.approx(-1)
    assert module.pearson([(1, 3), (1, 2)]) is None


def test_a_judge_that_is_fooled_is_seen():
    """Catches reward hacking that nobody sees: a judge that passes everything, a policy that is paid for it, and no
    number in the log that says so."""

    class Kind(CountingJudge):
        def judge(self, examples, predictions, on_verdict=None, deadline_s=None):
            found = super().judge(examples, predictions)
            passed = {"strategy_right": 1.0, "grounded": 1.0}
            return [v.model_copy(update={"criteria": v.criteria | passed, "used_strategy": "clarify"}) for v in found]

    judge_rewards, c = script("tuning_grpo/reward_functions.py").JudgeRewards, of("clarify")
    texts = ["Which star do you mean?", "It is red.", "It is red.", "blah"]
    _, metrics = score(judge_rewards(Kind(), rewards.RewardWeights(), reference=SceneJudge()), [c] * 4, texts)
    assert metrics["criteria/strategy_right"] == 1.0 and metrics["reference/reward_gap"] > 0.5
    assert metrics["reference/disagreement/used_strategy"] == 0.75
    _, metrics = score(judge_rewards(CountingJudge(), rewards.RewardWeights(), reference=SceneJudge()), [c] * 4, texts)
    assert metrics["reference/reward_gap"] == 0 and metrics["reference/disagreement/strategy_right"] == 0
    every = judge_rewards(Kind(), rewards.RewardWeights(), reference=SceneJudge(), reference_every=2)
    logged = ["reference/reward_gap" in score(every, [c] * 4, texts)[1] for _ in range(3)]
    assert logged == [True, False, True]


def test_advantages_leave_out_failures():
    """Catches a None that is averaged in as 0, which would hand its neighbors a spurious advantage."""
    advantages = script("tuning_grpo/reward_functions.py").advantages
    assert advantages([1.0, None, 0.0]) == pytest.approx([0.70700, 0.0, -0.70700], abs=1e-3)
    assert advantages([None, 1.0]) == [0.0, 0.0] == advantages([0.5, 0.5])
