"""What review.html shows: examples drawn from a data file, traps among them, pictures in the page."""

import base64
import io
import json
import random
import re
from collections import defaultdict
from hashlib import sha256
from pathlib import Path

from clarifyvlm import images
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from clarifyvlm.run_record import hash_input
from clarifyvlm.strategies import STRATEGIES

TEMPLATES = Path(__file__).parent / "templates"


def choose(examples: list[Example], count: int, num_traps: int, seed: int) -> tuple[list[Example], dict[str, dict]]:
    """(examples of the page with the traps among them, trap id -> {"of": example id, "how"}).

    Traps are made of examples that are not shown; where these are too few (everything is shown), of others as well,
    which are then there twice, right and wrong. UserError where too few can be made wrong.
    """
    rng = random.Random(f"review:{seed}")
    order = rng.sample(examples, len(examples))
    shown, rest = order[:count], order[count:]
    traps, keys = [], {}
    donors = defaultdict(list)
    for example in examples:
        donors[example.strategy, example.kind].append(example)
    for example in rest + shown:
        if len(traps) == num_traps:
            break
        ways = [(how, make) for how, make in TRAPS.items()]
        for how, make in rng.sample(ways, len(ways)):
            made = make(example, rng, donors)
            if made is not None:
                id = sha256(f"{seed}:{how}:{example.id}".encode()).hexdigest()[: len(example.id)]
                traps.append(made.model_copy(update={"id": id}))
                keys[id] = {"of": example.id, "how": how}
                break
    if len(traps) < num_traps:
        raise UserError(
            f"--num_traps {num_traps}: {len(traps)} of the {len(examples)} examples can be made wrong. Take fewer."
        )
    return rng.sample(shown + traps, len(shown) + len(traps)), keys


Donors = dict[tuple[str, str], list[Example]]  # (strategy, kind) -> examples


def other_answer(example: Example, rng: random.Random, donors: Donors) -> Example | None:
    """One reading's answer replaced by that of a thing elsewhere in the picture, in the reference, too."""
    answers = [r.answer for r in example.ambiguity.readings if r.answer]
    if example.strategy not in ("answer", "infer", "enumerate") or not answers:
        return None
    old = rng.choice(answers)
    objects, values = example.facts.objects, []
    for name in ("color", "name", "place", "size"):
        if old in (there := {getattr(o, name) for o in objects}):
            values = sorted(there - {None, *answers})
            break
    word = re.compile(rf"\b{re.escape(old)}\b")  # not the "red" of "colored"
    if not values or not word.search(example.reference):
        return None
    new = rng.choice(values)
    reference = word.sub(lambda _: new, example.reference)
    readings = [r.model_copy(update={"answer": new}) if r.answer == old else r for r in example.ambiguity.readings]
    ambiguity = example.ambiguity.model_copy(update={"readings": readings})
    return example.model_copy(update={"ambiguity": ambiguity, "reference": reference})


def reading_left_out(example: Example, rng: random.Random, donors: Donors) -> Example | None:
    """One reading of several is not there."""
    readings = example.ambiguity.readings
    if len(readings) < 2 or example.strategy not in ("enumerate", "clarify"):
        return None
    out = rng.randrange(len(readings))
    ambiguity = example.ambiguity.model_copy(update={"readings": readings[:out] + readings[out + 1 :]})
    dialogue = example.dialogue and example.dialogue.model_copy(update={"reading": 0})
    return example.model_copy(update={"ambiguity": ambiguity, "dialogue": dialogue})


def other_strategy(example: Example, rng: random.Random, donors: Donors) -> Example | None:
    """A good question is refused, any other answered; in the words of an example of the same kind for which that is
    right, since a sentence that only traps have would be learned."""
    wrong = ("correct", "abstain") if example.strategy in ("answer", "infer") else ("answer",)
    responses = [(s, d.reference) for s in wrong for d in donors.get((s, example.kind), ())]
    responses = [(s, words) for s, words in responses if words != example.reference]
    if not responses:
        return None
    strategy, reference = rng.choice(responses)
    return example.model_copy(update={"strategy": strategy, "reference": reference, "dialogue": None})


TRAPS = {
    "an answer of another thing": other_answer,
    "a reading is left out": reading_left_out,
    "another strategy": other_strategy,
}


def render(items: list[Example], data_file: Path, reasons: dict[str, str], max_side: int) -> str:
    """The page. Texts of the data are JSON in it, shown as text and never as markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    content = {
        "data": data_file.name,
        "data_sha256": hash_input(data_file),
        "reasons": reasons,
        "items": [_item(example, data_file.parent, max_side) for example in items],
    }
    text = json.dumps(content, ensure_ascii=False)
    for character in "<>&\u2028\u2029":  # "</script>" in a question ends nothing
        text = text.replace(character, f"\\u{ord(character):04x}")
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    html = environment.get_template("review.html").render(content=Markup(text), data=data_file.name)
    return html.encode("utf-8", "replace").decode()


def _item(example: Example, root: Path, max_side: int) -> dict:
    boxes = {o.id: o.box for o in example.facts.objects}
    return {
        "id": example.id,
        "image": _picture(root / example.image, max_side),
        "width": example.facts.width,
        "height": example.facts.height,
        "question": example.question,
        "strategy": example.strategy,
        "why": STRATEGIES[example.strategy],
        "type": example.ambiguity.type,
        "readings": [
            {"expression": r.expression, "answer": r.answer, "boxes": [boxes[o] for o in r.objects if o in boxes]}
            for r in example.ambiguity.readings
        ],
        "reference": example.reference,
        "dialogue": example.dialogue and [example.dialogue.question, example.dialogue.reply, example.dialogue.answer],
    }


def _picture(path: Path, max_side: int) -> str:
    """Its data URL: small pictures as PNG, others as JPEG."""
    picture = images.open_image(path, max_side=max_side)
    kind = "PNG" if max(picture.size) <= max_side // 2 else "JPEG"
    file = io.BytesIO()
    picture.save(file, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
