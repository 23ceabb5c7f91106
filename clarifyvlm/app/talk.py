"""Talking to models about one picture: what `main.py ask` and `main.py demo` share.

speaker = Speaker("grpo", "runs/tiny/grpo", SpeakerArguments())
talk = Talk(speaker, picture, "What color is the star?")
for said in talk.respond(): ...            # its text so far, then the whole response
if talk.asks: talk.reply("The one on the left."); ...
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clarifyvlm import chat
from clarifyvlm.app import provenance
from clarifyvlm.config import option
from clarifyvlm.endpoint.shapes import mended
from clarifyvlm.errors import UserError
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.models import loading
from clarifyvlm.records import Ambiguity, Example, Facts, Prediction, Verdict

if TYPE_CHECKING:
    from PIL import Image

    from clarifyvlm.models.generation import Generated

STAGE_NAMES = {"tuning_sft": "SFT", "tuning_grpo": "GRPO"}
PICTURES = {"scenes": "generated pictures of colored shapes"}  # source -> in words
QUESTION_STARTS = {  # the first words that fit -> what is asked
    r"\bcolou?rs?\b": "color",
    r"\bhow many\b|\bnumber of\b": "count",
    r"\bwhere\b|\bplace\b|\bposition\b": "position",
    r"\bshapes?\b": "shape",
    r"\bsize\b|\bhow (big|large|small)\b": "size",
    r"^(is|are|does|do|has|have|can)\b": "existence",
}


@dataclass
class SpeakerArguments:
    """Which models `ask` and `demo` load, and how they speak."""

    model_name_or_path: str | None = option(
        "checkpoint, adapter or hub name (default: runs/tiny/grpo, made by ./run.sh)", None
    )
    max_new_tokens: int = option("longest response, in tokens", 128, min=1)
    image_max_side: int | None = option("shrink a longer picture to this, in pixels", None, min=8)
    device: str | None = option("cuda, cuda:1, mps, cpu (default: the best there is)", None)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


def lineage(path: str | Path) -> dict[str, str]:
    """Name -> checkpoint, of `path` first and then of what it was made from: {"GRPO": ..., "SFT": ..., "base": ...}.

    A model that no record tells of is alone, under its own label."""
    history = provenance.history(path)
    found = {}
    for stage in reversed(history.stages):
        name = STAGE_NAMES[stage.record["stage"]]
        found[f"{name} ({loading.model_label(stage.folder)})" if name in found else name] = str(stage.folder)
    if not found:
        return {loading.model_label(path): str(path)}
    try:
        loading.check_checkpoint(history.base)
    except UserError:
        return found  # the base has gone, or is on a hub that cannot be reached
    return found | {"base": history.base}


def warning(path: str | Path) -> str:
    """A sentence where a model knows one kind of pictures only; "" for a general model."""
    made_for = loading.made_for(path)
    if not made_for:
        return ""
    kind = PICTURES.get(made_for, f"pictures of {made_for}")
    return f"This model was made for {kind} only. What it says about other pictures means nothing."


class Speaker:
    """A loaded model with its name."""

    def __init__(self, name: str, path: str, args: SpeakerArguments):
        from clarifyvlm.models.generation import Generator

        model, processor = loading.load(path, device=args.device, dtype=args.dtype)
        self.name = name
        self.generator = Generator(loading.merged(model), processor, max_new_tokens=args.max_new_tokens)


class Talk:
    """One question about one picture, and what a model and the user have said since."""

    def __init__(self, speaker: Speaker, picture: "Image.Image", question: str, example: Example | None = None):
        self.speaker, self.picture = speaker, picture
        question = mended(question)  # of a terminal that speaks another encoding
        self.example = example or _unannotated(question, picture)
        self.known = example is not None
        self.pointed: tuple[float, float] | None = None  # where the user clicked, as shares of width and height
        self.messages = chat.user_turn(question)
        self.said: list[Generated] = []
        self.verdicts: list[Verdict] = []

    def respond(self) -> "Iterator[str | Generated]":
        """The model's next turn as it is spoken, then the whole response, which is judged by then."""
        for said in self.speaker.generator.stream(self.messages, self.picture):
            if isinstance(said, str):
                yield said
            else:
                whole = said
        self.messages.append(chat.text_turn("assistant", after_reasoning(whole.text)))
        self.said.append(whole)
        (verdict,) = SceneJudge().judge([self.example], [Prediction(example_id=self.example.id, text=whole.text)])
        self.verdicts.append(verdict)
        yield whole

    def reply(self, text: str, pointed: tuple[float, float] | None = None) -> None:
        """What the user says to a question of the model; `pointed`: where they clicked instead of typing."""
        self.pointed = pointed
        self.messages.append(chat.text_turn("user", mended(text)))

    @property
    def strategy(self) -> str:
        """What the last response does, "none" where its words fit nothing, "not understood" where the judge cannot
        read them. Of a picture without annotation it is read
        off the words alone."""
        verdict = self.verdicts[-1]
        return (verdict.used_strategy or verdict.failure or "not_understood").replace("_", " ")

    @property
    def asks(self) -> bool:
        """Whether the model waits for a reply."""
        return bool(self.said) and (self.strategy == "clarify" or "?" in after_reasoning(self.said[-1].text))


def _unannotated(question: str, picture: "Image.Image") -> Example:
    """What the judge needs in order to say what a response does, where nobody knows what is in the picture."""
    kind = next(
        (kind for words, kind in QUESTION_STARTS.items() if re.search(words, question.lower().strip())), "other"
    )
    facts = Facts(source="upload", width=picture.width, height=picture.height, objects=[], complete=False)
    return Example(
        id="upload",
        split="test",
        image="upload",
        image_sha256="",
        question=question,
        kind=kind,
        ambiguity=Ambiguity(type="unknown", level=None, readings=[]),
        strategy="answer",
        reference="",
        facts=facts,
    )
