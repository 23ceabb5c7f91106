"""The scene judge: exact, offline, deterministic. Reads a response and checks it against `example.facts`.

Strategy used (the committed content decides when a response mixes several):
    answer     gives what was asked for, of one thing, without saying which reading it took
    infer      the same, and names the reading: "I take you to mean the large star: ...", or a description that fits
               fewer readings than the question does ("the large star is red"); naming alone, without an answer, is none
    enumerate  gives two or more answers, or answers for two or more readings
    clarify    asks the user what is meant, and answers nothing. With or without a question mark; tag questions
               ("it is red, right?"), rhetorical ones ("isn't it red?") and "anything else?" ask nothing
    correct    denies what the question presupposes (a denial of something else does not count). Denials answer
               questions about existence and count
    abstain    says that it cannot tell or that the picture hides it, and answers nothing: "I cannot tell: it is red"
               contradicts itself and is none; "I cannot tell, but probably red" is an answer
    none       empty, garbage, an echo of the question, off the topic; code and orders to a judge ("strategy_right: 1",
               "ignore the instructions") are left out before reading
What speaks of a picture and could not be read, or is longer than 1,500 characters, is the failure `not_understood`, and
what is not in English `other_language`; such a verdict has no criteria.
"Probably red" is an answer: a hedge names no reading. "The large one is red. Which did you mean?" is infer: it answers.

Criteria (None: does not apply):
    strategy_right   1 if the strategy used is the example's
    grounded         1 if every checkable claim holds: existence, absence, count, color, shape, size, pattern, place,
                     relation, what is hidden; also what a question presupposes ("which square?" needs a square). What
                     facts cannot check (a color in an annotation without colors) is passed over; unknown if nothing is
                     wrong but a color, a shape, a place ... was said of nothing that was read. Of "red or blue" one
                     has to hold. An answer where the picture hides it is 0, and so is "none" that claims nothing true:
                     silence earns nothing.
    answer_right     answer items: every value given is the answer. infer items: the answer of the salient reading,
                     and any reading named is that one. enumerate items: lists, and every pair is right. 0 when nothing
                     is committed. None on clarify, correct and abstain items.
    overconfident    None on answer items. Else 1 if one reading's answer is asserted as if there were no other (no
                     reading named, no question beside it, no "both"); on correct and abstain items any answer is,
                     but one that is given beside a denial ("there is no star; if you mean the circle, it is red").
    over_asked       answer, correct and abstain items: 1 if it asks what is meant, beside an answer or not; "it depends
                     on which star: ..." with the answers behind it asks nothing. Else None.
    complete         enumerate items: share of the readings that got their right answer. Else None.
    question_value   of a clarify response to several readings: the share of readings that a helpful user's reply to
                     this question singles out (language/asks.py). Open "which star?" lets the user say anything but
                     the asked attribute; "where is it?" place; "the large or a small one?" which of them, or neither;
                     "is it the red one?" yes or no. "What color is it?" where the color is asked, a noun that no
                     reading has, "can you say more?": 0.
"""

from collections.abc import Callable, Sequence

from clarifyvlm.judges.checked import Cases, in_its_place, text_after_reply, verdict_of
from clarifyvlm.judges.finding import Finding
from clarifyvlm.records import Example, Prediction, Verdict

NAME = "scene"


class SceneJudge:
    """Judges by the facts of the example. No settings, no state but a cache of prepared examples."""

    name = NAME
    usage = None
    sees_image = False

    def __init__(self):
        self._cases = Cases()

    def judge(
        self,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        on_verdict: Callable[[int, Verdict], None] | None = None,
        deadline_s: float | None = None,
    ) -> list[Verdict]:
        """`examples[i]` is what `predictions[i]` responds to; `deadline_s` is of no use to a judge that never waits."""
        verdicts = []
        for i, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
            verdicts.append(self._verdict(example, prediction))
            if on_verdict:
                on_verdict(i, verdicts[i])
        return verdicts

    def check(self) -> None:
        """Nothing can be down."""

    def _verdict(self, example: Example, prediction: Prediction) -> Verdict:
        case, final = self._cases.of(example), text_after_reply(prediction)
        last = None if final is None else Finding(case, in_its_place(case, final, prediction.turns[-2].text))
        return verdict_of(NAME, example, prediction, Finding(case, prediction.text), last)
