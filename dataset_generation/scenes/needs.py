"""What a question needs to be in a picture so that a strategy is right: the fixed attributes of some objects."""

from clarifyvlm.world import scenes
from clarifyvlm.world.queries import MISSPELLINGS, Query
from folder.shares import Slot
from scenes.questions import OVERALL


def objects_needed(world: scenes.World, query: Query, slot: Slot, rng) -> list[dict]:
    """The attributes of each object that a question needs in a picture where `slot` is right."""
    asked = {"color": "color", "shape": "name", "size": "size", "comparison": "color"}.get(query.kind)
    if query.kind in OVERALL:
        return _needed_overall(query, slot, rng)
    if slot.strategy == "correct":
        return []
    if query.form == "attribute":
        return [_fitting(query, rng)]
    if query.kind in ("relation", "comparison"):
        return _needed_beside(world, query, slot, rng)
    if slot.strategy == "abstain":
        return [_fitting(query, rng) | {"hidden": [asked]}]
    if slot.strategy == "answer" and slot.type == "none":
        return [_fitting(query, rng) | _other_hidden(query, asked, rng)]
    if slot.strategy == "answer":
        values = {"color": world.colors, "name": world.names, "size": world.sizes}[asked]
        same = {asked: rng.choice(values)}
        return [_fitting(query, rng) | same for _ in range(rng.choice((2, 2, 3)))]
    if slot.strategy == "infer":
        if query.word and rng.random() < 0.5:
            return [_fitting(query, rng) | _other_hidden(query, asked, rng)]
        small = [{"size": world.sizes[0]}] * rng.choice((1, 1, 2) if query.side else (1, 1, 2, 3))
        return [_fitting(query, rng) | size for size in [{"size": world.sizes[-1]}, *small]]
    n = rng.choice((2, 2, 3)) if slot.strategy == "enumerate" else rng.choice((4, 4, 4, 4, 5))
    size = {"size": query.size or rng.choice(world.sizes)}
    return [_fitting(query, rng) | size | _other_hidden(query, asked, rng) for _ in range(n)]


def _needed_beside(world: scenes.World, query: Query, slot: Slot, rng) -> list[dict]:
    """Objects for a question that sets one thing beside another."""
    plain = Query("position", name=query.name, color=query.color)
    beside = {a: v for a, v in (("name", query.other_name), ("color", query.other_color)) if v}
    anchors = (
        1 if slot.strategy == "abstain" else 2 if (slot.type, slot.strategy) == ("referential", "answer") else None
    )
    needed = [_fitting(query, rng)] * anchors if anchors else objects_needed(world, plain, slot, rng)
    if query.kind == "relation":
        if slot.strategy == "abstain":
            return [*needed, beside | {"hidden": ["color" if query.other_color else "name"]}]
        return [*needed, beside] if slot.strategy != "answer" or rng.random() < 0.7 else needed
    if slot.strategy == "abstain":
        hidden = {"hidden": ["color"]}
        return [needed[0] | hidden, beside] if rng.random() < 0.5 else [*needed, beside | hidden]
    color = {"color": rng.choice(world.colors)}
    same = rng.randrange(1, len(needed)) if len(needed) > 1 else rng.choice((0, 1))
    rng.shuffle(needed)
    return [*(n | color for n in needed[:same]), *needed[same:], beside | color]


def _needed_overall(query: Query, slot: Slot, rng) -> list[dict]:
    """Objects for a count or existence question."""
    n = rng.choice((0, 1, 1, 2, 2, 3, 4)) if query.kind == "count" else rng.choice((0, 1, 1, 2))
    if slot.strategy == "answer":
        return [_fitting(query, rng) for _ in range(n)]
    maybe = rng.choice([a for a in ("name", "color") if getattr(query, a)])
    known = [_fitting(query, rng) for _ in range(n if query.kind == "count" else 0)]
    return [*known, _fitting(query, rng) | {"hidden": [maybe]}]


def _fitting(query: Query, rng) -> dict:
    """Attributes that make an object fit the question's expression, but for its place."""
    fixed = {a: v for a in ("name", "color", "size") if (v := getattr(query, a))}
    if query.word:
        fixed[query.misspells] = rng.choice(MISSPELLINGS[query.word])
    return fixed


def _other_hidden(query: Query, asked: str | None, rng) -> dict:
    """Now and then, something hidden that the question is not about."""
    used = {a for a in ("name", "color") if getattr(query, a)} | ({query.misspells} if query.word else set()) | {asked}
    free = [a for a in ("name", "color") if a not in used]
    return {"hidden": [rng.choice(free)]} if free and rng.random() < 0.15 else {}
