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
from photographs.question import Question, Settings, in_one_place

THAN = {
    None: "larger in the picture than",
    "left": "further to the left than",
    "right": "further to the right than",
    "above": "higher up in the picture than",
    "below": "lower down in the picture than",
}
BESIDE = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
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
    question = fill(
        rng.choice(templates["relation" if q.predicate else q.form]),
        q,
    )
    key = f"{settings.source}:{settings.seed}:{question}:{digest}"
    words = reference(q, slot.strategy, meant, facts, phrasings, rng)
    dialogue = None
    if slot.strategy == "clarify":
        drawn = rng.randrange(len(meant))
        answer = direct(q, meant[drawn].answer, phrasings, rng)
        dialogue = Dialogue(reading=drawn, question=words, reply="", answer=answer)  # folder/dialogues.py: the reply
        if len(meant) < len(NUMBERS) and (q.predicate or len(meant[0].objects) == 1):  # nobody lists pairs
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
    if q.overall:
        named = q.named(facts.objects)
        expression = f"the {plural_of(q.name)[0]}" if q.kind == "count" else with_article(f"a {q.name}")
        return [Reading(objects=[o.id for o in named], expression=expression, answer=found[0])]
    meant = q.meant(facts.objects)
    return [
        Reading(
            objects=[*(o.id for o in objects), *_partner(q, objects[0])],
            expression=_expression(q, objects, meant),
            answer=a,
        )
        for objects, a in zip(meant, found, strict=True)
        if a is not None
    ]


def _expression(q: Question, objects: tuple[Object, ...], meant: list[tuple[Object, ...]]) -> str:
    """ "the cup in the center and the bottle at the top left": of a pair, what there is only one of is left out."""
    slots = [list({o.id: o for o in slot}.values()) for slot in zip(*meant, strict=True)]
    named = [
        expression_for(q.name if i == 0 else q.other, o, slot)
        for i, (o, slot) in enumerate(zip(objects, slots, strict=True))
        if len(slots) == 1 or len(slot) > 1
    ]
    return " and ".join(named)


def _partner(q: Question, o: Object) -> list[str]:
    """The id of what `o` is holding: a reading of "what is the man holding" is of both."""
    return [r["object"] for r in o.relations if r["predicate"] == q.predicate] if q.predicate else []


def expression_for(name: str, o: Object, named: list[Object]) -> str:
    """ "the dog at the top left", or, with two in one cell, "the second dog from the left at the top left"."""
    row, side = in_one_place(o, named) or (sorted((p for p in named if p.place == o.place), key=middle), "left")
    if len(row) == 1:
        return f"the {name} {at(o.place)}"
    i = row.index(o)
    return f"the {ORDINALS[i] if i < len(ORDINALS) else f'{i + 1}th'} {name} from the {side} {at(o.place)}"


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
            return fill(rng.choice(phrasings[_which(q, meant)]), q, number=number)
    return fill(rng.choice(phrasings["correct"]), q)


def _which(q: Question, meant: list[Reading]) -> str:
    """What of a pair is to be told: both, or the second where all readings are of one first."""
    if q.predicate or len(meant[0].objects) == 1 or len({r.objects[1] for r in meant}) == 1:
        return "clarify"
    return "clarify_other" if len({r.objects[0] for r in meant}) == 1 else "clarify_pair"


def direct(q: Question, answer: str, phrasings: dict, rng) -> str:
    """A plain answer."""
    templates = phrasings["answers"]
    if q.form == "others":
        return rng.choice(templates["others"]).format(**_claim(q, answer, phrasings))
    if q.kind == "count":
        noun = q.name if answer == "one" else plural_of(q.name)[0]
        return rng.choice(templates["count"]).format(answer=answer, is_are="is" if answer == "one" else "are", nps=noun)
    if answer in ("yes", "no"):
        return rng.choice(templates["yes_no" if q.kind == "existence" else q.kind][answer])
    return fill(rng.choice(templates[q.kind]), q, **_claim(q, answer, phrasings))


def _claim(q: Question, answer: str, phrasings: dict) -> dict[str, str]:
    """`answer` as it stands alone, `claim` as a clause ("it is at the top left"), and `It` that begins it."""
    words = _words(q, answer)
    it = "it" if q.predicate else phrasings["pronouns"].get(q.name, "it")  # "it is a cup" that the man is holding
    claim = f"{it} is {words}"
    if answer in ("yes", "no") and q.kind != "count":
        is_ = f"{it} is" if q.kind == "comparison" else "there is"
        claim = f"{answer}, {is_}" if answer == "yes" else f"{answer}, {is_} not"
    elif q.form == "others":
        words = "none" if answer == "no" else answer
        claim = f"there {'is' if answer in ('no', 'one') else 'are'} {words}"
    return {"answer": words, "claim": claim, "Claim": claim[:1].upper() + claim[1:], "It": it.capitalize()}


def _words(q: Question, answer: str) -> str:
    """ "at the top left", "a cup", "red"."""
    if q.kind == "position":
        return f"on the {answer}" if answer in ("left", "right") else at(answer)
    return f"a {answer}" if q.predicate else answer


def _part(q: Question, r: Reading, by_id: dict) -> str:
    """One reading in a list."""
    if q.form in ("relation", "comparison", "others") and not q.predicate:
        return f"for {r.expression}, {'none' if r.answer == 'no' and q.kind == 'count' else r.answer}"
    one = f"the one {at(by_id[r.objects[0]].place)}" if q.kind == "color" else "one"
    return f"{one} is {f'{q.predicate} ' if q.predicate else ''}{_words(q, r.answer)}"


def _large(q: Question, o: Object, facts: Facts) -> str:
    """ "large dog"; of a super-category the class: "elephant", or "large elephant" where there is another."""
    if not q.members:
        return f"large {q.name}"
    return o.name if sum(p.name == o.name for p in facts.objects) == 1 else f"large {o.name}"


def fill(template: str, q: Question, **more) -> str:
    text = template.format(
        np=q.name,
        nps=plural_of(q.name)[0],
        other=q.other,
        beside=BESIDE.get(q.side),
        than=THAN.get(q.side),
        predicate=q.predicate,
        **more,
    )
    return with_article(text[:1].upper() + text[1:])


def with_article(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeio]|umb)", r"\1n ", text)


def middle(o: Object) -> float:
    return (o.box[0] + o.box[2]) / 2
