"""The words and records of questions about photographs: readings, reference responses, dialogues."""

import random
import re
from hashlib import sha256
from pathlib import Path

from clarifyvlm.language.lexicon import plural_of
from clarifyvlm.records import Ambiguity, Dialogue, Example, Facts, Object, Reading
from clarifyvlm.strategies import LEVELS
from clarifyvlm.world.places import PLACES, at
from clarifyvlm.world.queries import NUMBERS
from folder.shares import Slot
from photographs.question import Question, Settings

OVERALL = ("count", "existence")  # one reading, of the whole picture
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def example(
    settings: Settings,
    split: str,
    q: Question,
    slot: Slot,
    facts: Facts,
    image: str,
    digest: str,
    found: list[str],
    phrasings: dict,
    rng: random.Random,
) -> Example:
    """One record. `found`: the answers; `image`: relative to the JSONL file, `digest`: of its bytes."""
    meant = readings(q, facts, found)
    templates = phrasings["questions"]
    question = fill(rng.choice(templates["side" if q.sided else q.kind]), q)
    key = f"{settings.source}:{settings.seed}:{question}:{digest}"
    words = reference(q, slot.strategy, meant, facts, phrasings, rng)
    dialogue = None
    if slot.strategy == "clarify":
        drawn = rng.randrange(len(meant))
        answer = direct(q, meant[drawn].answer, phrasings, rng)
        dialogue = Dialogue(reading=drawn, question=words, reply="", answer=answer)  # folder/dialogues.py: the reply
        if len(meant) < len(NUMBERS):
            dialogue.listed = reference(q, "enumerate", meant, facts, phrasings, random.Random(f"{key}:listed"))
    return Example(
        id=sha256(key.encode()).hexdigest()[:16],
        split=split,
        image=image,
        image_sha256=digest,
        question=question,
        kind=q.kind,
        ambiguity=Ambiguity(type=slot.type, level=LEVELS[slot.strategy], readings=meant),
        strategy=slot.strategy,
        reference=words,
        dialogue=dialogue,
        group_id=f"{settings.source}-{Path(image).stem}",
        facts=facts,
        provenance={
            "source": settings.source,
            "seed": settings.seed,
            "query": {k: v for k, v in vars(q).items() if v},
            "form": "which side" if q.sided else q.kind,
        },
    )


def readings(q: Question, facts: Facts, found: list[str]) -> list[Reading]:
    """Every reading with its objects, an expression that means only it, and its answer."""
    named = q.named(facts.objects)
    if q.kind in OVERALL:
        expression = f"the {plural_of(q.name)[0]}" if q.kind == "count" else with_article(f"a {q.name}")
        return [Reading(objects=[o.id for o in named], expression=expression, answer=found[0])]
    return [
        Reading(objects=[o.id, *_partner(q, o)], expression=expression_for(q, o, named), answer=a)
        for o, a in zip(named, found, strict=True)
    ]


def _partner(q: Question, o: Object) -> list[str]:
    """The id of what `o` is holding: a reading of "what is the man holding" is of both."""
    return [r["object"] for r in o.relations if r["predicate"] == q.predicate] if q.predicate else []


def expression_for(q: Question, o: Object, named: list[Object]) -> str:
    """ "the dog at the top left", or, with two in one cell, "the second dog from the left at the top left"."""
    same = sorted((p for p in named if p.place == o.place), key=middle)
    if len(same) == 1:
        return f"the {q.name} {at(o.place)}"
    i = same.index(o)
    return f"the {ORDINALS[i] if i < len(ORDINALS) else f'{i + 1}th'} {q.name} from the left {at(o.place)}"


def reference(q: Question, strategy: str, meant: list[Reading], facts: Facts, phrasings: dict, rng) -> str:
    """A response that follows `strategy`."""
    by_id = {o.id: o for o in facts.objects}
    match strategy:
        case "answer":
            return direct(q, meant[0].answer, phrasings, rng)
        case "infer":
            salient = max(meant, key=lambda r: by_id[r.objects[0]].salience)
            large = _large(q, by_id[salient.objects[0]], facts)
            return fill(rng.choice(phrasings["infer"]), q, large=large, **_claim(q, salient.answer, phrasings))
        case "enumerate":
            order = sorted(meant, key=lambda r: PLACES.index(by_id[r.objects[0]].place))
            parts = [_part(q, r, by_id) for r in order]
            listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
            return fill(rng.choice(phrasings["enumerate"]), q, number=NUMBERS[len(meant)], list=listed)
        case "clarify":
            number = NUMBERS[len(meant)] if len(meant) < len(NUMBERS) else str(len(meant))
            return fill(rng.choice(phrasings["clarify"]), q, number=number)
    return fill(rng.choice(phrasings["correct"]), q)


def direct(q: Question, answer: str, phrasings: dict, rng) -> str:
    """A plain answer."""
    templates = phrasings["answers"]
    if q.kind == "count":
        noun = q.name if answer == "one" else plural_of(q.name)[0]
        return rng.choice(templates["count"]).format(answer=answer, is_are="is" if answer == "one" else "are", nps=noun)
    if answer in ("yes", "no"):
        return rng.choice(templates["relation" if q.kind == "relation" else "yes_no"][answer])
    return fill(rng.choice(templates[q.kind]), q, **_claim(q, answer, phrasings))


def _claim(q: Question, answer: str, phrasings: dict) -> dict[str, str]:
    """`answer` as it stands alone, `claim` as a clause ("it is at the top left"), and `It` that begins it."""
    words = _words(q, answer)
    it = "it" if q.predicate else phrasings["pronouns"].get(q.name, "it")  # "it is a cup" that the man is holding
    claim = {"yes": "yes, there is", "no": "no, there is not"}.get(answer, f"{it} is {words}")
    return {"answer": words, "claim": claim, "It": it.capitalize()}


def _words(q: Question, answer: str) -> str:
    """ "at the top left", "a cup", "red"."""
    if q.kind == "position":
        return f"on the {answer}" if answer in ("left", "right") else at(answer)
    return f"a {answer}" if q.predicate else answer


def _part(q: Question, r: Reading, by_id: dict) -> str:
    """One reading in a list."""
    one = f"the one {at(by_id[r.objects[0]].place)}" if q.kind == "color" else "one"
    return f"{one} is {f'{q.predicate} ' if q.predicate else ''}{_words(q, r.answer)}"


def _large(q: Question, o: Object, facts: Facts) -> str:
    """ "large dog"; of a super-category the class: "elephant", or "large elephant" where there is another."""
    if not q.members:
        return f"large {q.name}"
    return o.name if sum(p.name == o.name for p in facts.objects) == 1 else f"large {o.name}"


def fill(template: str, q: Question, **more) -> str:
    text = template.format(
        np=q.name, nps=plural_of(q.name)[0], other=q.other, side=q.side, predicate=q.predicate, **more
    )
    return with_article(text)


def with_article(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeio]|umb)", r"\1n ", text)


def middle(o: Object) -> float:
    return (o.box[0] + o.box[2]) / 2
