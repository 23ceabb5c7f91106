"""The JSONL records that the stages exchange: Example, Prediction, Verdict. One schema, one place.

Unknown fields are kept on reading (a user may add their own); missing or wrong ones are errors that
`clarifyvlm.jsonl` reports with file, line and field.
"""

from typing import Literal, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

Strategy = Literal["answer", "infer", "enumerate", "clarify", "correct", "abstain"]
AmbiguityType = Literal[
    "none", "referential", "attribute", "vague", "spatial", "lexical", "premise", "unanswerable", "unknown"
]
UserKind = Literal["helpful", "terse", "changes_mind", "unsure", "wrong", "off_topic"]  # users.USER_KINDS
INFORMED: tuple[UserKind, ...] = ("helpful", "terse", "changes_mind")  # their reply says which reading they mean
Split = Literal["train", "replay", "validation", "test", "unambiguous", "test_ood"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Record(BaseModel):
    model_config = ConfigDict(extra="allow", defer_build=True)


class Object(Record):
    """One thing in the picture. `box` is (x0, y0, x1, y1) in pixels of the picture, origin top left."""

    id: str
    name: str  # the noun: a shape ("star") in scenes, a class ("dog") in photographs
    box: tuple[float, float, float, float]
    place: str  # one of clarifyvlm.world.places.PLACES: the cell of a 3 x 3 grid that holds the box's center
    salience: float = Field(gt=0)  # drawn area as a share of the picture (scenes); AQuA's area + centrality (coco)
    color: str | None = None
    size: str | None = None
    pattern: str | None = None
    hidden: list[str] = []  # attributes that the picture does not show ("color" under wrapping, "name" in a blur)
    overlaps: list[str] = []  # ids of objects that this one touches or covers, or is covered by
    visible_share: float = 1.0


class Facts(Record):
    """What is in the picture: the ground truth that judges read."""

    source: str  # "scenes", "coco", ...
    width: int
    height: int
    objects: list[Object]
    background: str | None = None
    complete: bool = True  # false where the annotation may miss objects

    @property
    def annotated(self) -> bool:
        """False where nothing is known of what is in the picture: rows of a benchmark."""
        return self.complete or bool(self.objects)


class Reading(Record):
    """One way to understand the question."""

    objects: list[str]  # ids in facts.objects; empty for a word that nothing in the picture fits
    expression: str  # a noun phrase that means only this reading: "the star at the top left"
    answer: str | None  # canonical answer ("red", "star", "top left", "3", "yes"); None: the picture hides it


class Ambiguity(Record):
    type: AmbiguityType
    level: Literal[0, 1, 2, 3] | None
    readings: list[Reading]


class Turn(Record):
    role: Literal["user", "assistant"]
    text: str


class Dialogue(Record):
    """A clarifying dialogue for one drawn reading: question, reply, final answer. `reading` indexes readings. Where the
    reply does not tell it (a user who is unsure), the final answer asserts nothing."""

    reading: int
    question: str
    reply: str
    answer: str
    user_kind: UserKind = "helpful"
    listed: str | None = None  # what one can say in place of the question: every reading with its answer


class Example(Record):
    id: str
    split: Split
    image: str  # path relative to the JSONL file
    image_sha256: str
    question: str
    kind: str  # what is asked: color, shape, size, count, position, relation, existence, comparison
    ambiguity: Ambiguity
    strategy: Strategy
    reference: str
    dialogue: Dialogue | None = None
    group_id: str | None = None
    facts: Facts
    provenance: dict = {}

    @property
    def has_answer(self) -> bool:
        """Whether the right answer of any reading is known."""
        return any(reading.answer is not None for reading in self.ambiguity.readings)

    @model_validator(mode="after")
    def _dialogue_belongs_to_clarify(self):
        asks = self.strategy == "clarify"
        if self.dialogue is not None and not asks:
            raise ValueError("`dialogue` is for strategy `clarify` only")
        if asks and self.dialogue is None and self.facts.annotated:
            raise ValueError("strategy `clarify` needs a `dialogue` where the objects of the picture are known")
        if self.dialogue and not 0 <= self.dialogue.reading < len(self.ambiguity.readings):
            raise ValueError(f"dialogue.reading {self.dialogue.reading} is not an index of ambiguity.readings")
        return self


class Prediction(Record):
    """A model's words on one example. Another tool's `{"id", "text"}` or `{"id", "turns"}` is enough.

    `turns` starts with the model's first response: assistant, then user and assistant in turn.
    """

    example_id: str = Field(validation_alias=AliasChoices("example_id", "id"))
    text: str | None = None  # the first response; filled from turns where it is missing
    turns: list[Turn] = []
    model: str = "unknown"
    messages: list[dict] | None = None  # as sent
    completion_tokens: list[int] = []  # per assistant turn
    finish_reasons: list[str] = []  # per assistant turn: "stop" | "length"
    logprob: float | None = None  # sum over the first response's tokens
    confidence: float | None = None  # exp(mean log-probability) of the first response, 0..1
    reading: int | None = None  # the reading that the simulated user had in mind
    user_kind: str | None = None  # of clarifyvlm.users.USER_KINDS; None where nobody would reply
    ask_cost: float | None = None  # what the model was told that a question costs; a right answer is worth 1
    seed: int | None = None
    seconds: float | None = None

    @model_validator(mode="after")
    def _text_and_turns_agree(self):
        if self.text is None and not self.turns:
            raise ValueError('needs "text" or "turns"')
        if self.turns:
            if self.turns[0].role != "assistant":
                raise ValueError("turns must start with the model's response (role assistant)")
            if self.text is None:
                self.text = self.turns[0].text
        else:
            self.turns = [Turn(role="assistant", text=self.text)]
        return self


CRITERIA = (
    "strategy_right",
    "grounded",
    "answer_right",
    "overconfident",
    "over_asked",
    "complete",
    "question_value",
)
AFTER_REPLY = "answer_right_after_reply"
# Failures that say something of the response and nothing of the judge's state: asked again, they come again.
NOT_UNDERSTOOD = ("not_understood", "other_language")


class Verdict(Record):
    """A judge's finding on one prediction: a value per criterion, or a named failure. Never a made-up number.

    A criterion that does not apply is None (`question_value` of a response that asks nothing), and so is one of which
    the judge knows nothing, because it did not understand the words that it hangs on: those are in `unknown`.
    Values are 0..1; all but `complete` and `question_value` are 0 or 1.
    """

    example_id: str
    model: str = "unknown"
    judge: str
    used_strategy: Strategy | Literal["none"] | None = None  # "none": empty, garbage, off-topic
    criteria: dict[str, float | None] = {}
    listed: float | None = None  # of a list where asking is right: share of the readings that got their right answer
    answer_right_after_reply: float | None = None  # of the dialogue's last response, for the reading in mind
    used_after_reply: Strategy | Literal["none"] | None = None  # what that response does
    grounded_after_reply: float | None = None  # whether what it claims holds
    evidence: dict[str, str] = {}
    raw: str | None = None
    failure: str | None = None  # named: "timeout", "not_understood", ...; then criteria is empty
    unknown: list[str] = []  # of CRITERIA, and AFTER_REPLY: applies, but its value is not known
    votes: list["Verdict"] = []  # of the members of a panel

    @model_validator(mode="after")
    def _failed_or_scored(self):
        if self.failure is None and set(self.criteria) != set(CRITERIA):
            raise ValueError(f"criteria must have exactly the keys {', '.join(CRITERIA)} unless `failure` is set")
        if self.failure is not None and self.criteria:
            raise ValueError("a failed verdict has no criteria")
        if any(v is not None and not 0 <= v <= 1 for v in self.criteria.values()):
            raise ValueError("criteria must be within 0..1")
        if wrong := [name for name in self.unknown if name not in (*CRITERIA, AFTER_REPLY)]:
            raise ValueError(f"unknown: {', '.join(wrong)} is no criterion")
        values = self.criteria | {AFTER_REPLY: self.answer_right_after_reply}
        if valued := [name for name in self.unknown if values.get(name) is not None]:
            raise ValueError(f"unknown criteria must be null: {', '.join(valued)}")
        return self
