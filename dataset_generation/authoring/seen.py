"""What a vision model says that it sees, checked, and as a scene graph."""

import re
from collections import Counter

from authoring.boxes import SCALE
from authoring.calls import ParsedReply
from photographs.boxes import overlap

SLACK = 20  # so far outside, a box is cut off at the edge; further, it is wrong
SMALLEST = 4  # thousandths of a side
MOST_OBJECTS, MOST_ATTRIBUTES = 60, 8
SAME_BOX = 0.5  # intersection over union from which two boxes of one name are one thing
MOST_FAULTS = 10  # that the model is told of
WORDS = re.compile(r"[a-z]+(?:[ -][a-z]+){0,2}")  # a name, an attribute: one to three words


class Thing(ParsedReply):
    id: int
    name: str
    attributes: list[str]
    box: list[float]


class Relation(ParsedReply):
    subject: int
    predicate: str
    object: int


class Scene(ParsedReply):
    objects: list[Thing]
    relations: list[Relation]


def faults_of(scene: Scene) -> list[str]:
    """What is wrong with a list of things; nothing where it is []."""
    faults = [fault for thing in scene.objects if (fault := _fault(thing))]
    ids = Counter(thing.id for thing in scene.objects)
    faults += [f"id {i} is there {n} times" for i, n in ids.items() if n > 1]
    faults += [
        f"relation {r.subject} {r.predicate} {r.object}: no such things"
        for r in scene.relations
        if r.subject not in ids or r.object not in ids or r.subject == r.object
    ]
    if len(scene.objects) > MOST_OBJECTS:
        faults.append(f"{len(scene.objects)} things; at most {MOST_OBJECTS}")
    return faults[:MOST_FAULTS]


def _fault(thing: Thing) -> str | None:
    where = f"thing {thing.id}"
    if not WORDS.fullmatch(_plain(thing.name)):
        return f"{where}: name {thing.name[:60]!r} is not one to three plain words"
    if len(thing.attributes) > MOST_ATTRIBUTES:
        return f"{where}: {len(thing.attributes)} attributes; at most {MOST_ATTRIBUTES}"
    if bad := next((a for a in thing.attributes if not WORDS.fullmatch(_plain(a))), None):
        return f"{where}: attribute {bad[:60]!r} is not one to three plain words"
    if len(thing.box) != 4 or not all(-SLACK <= v <= SCALE + SLACK for v in thing.box):
        return f"{where}: box {thing.box[:5]} is not [left, top, right, bottom] from 0 to {SCALE}"
    x0, y0, x1, y1 = _clipped(thing.box)
    if x1 - x0 < SMALLEST or y1 - y0 < SMALLEST:
        return f"{where}: box {thing.box} has no area: left < right and top < bottom"
    return None


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").split())


def _clipped(box: list[float]) -> list[float]:
    return [min(max(v, 0.0), float(SCALE)) for v in box]


def usable(scene: Scene, row) -> tuple[list[Thing], list[Relation]]:
    """The things that are good, those of one name and place merged, and the relations between them; `row` counts."""
    row.objects = len(scene.objects)
    ids = Counter(thing.id for thing in scene.objects)
    good = [t for t in scene.objects if not _fault(t) and ids[t.id] == 1][:MOST_OBJECTS]
    row.dropped = row.objects - len(good)
    kept: list[Thing] = []
    of: dict[int, int] = {}  # id -> id of the thing that it is
    for thing in good:
        thing = Thing(
            id=thing.id,
            name=_plain(thing.name),
            attributes=list(dict.fromkeys(map(_plain, thing.attributes))),
            box=_clipped(thing.box),
        )
        same = next((k for k in kept if k.name == thing.name and overlap(k.box, thing.box) > SAME_BOX), None)
        if same is None:
            kept.append(thing)
        else:
            same.attributes = list(dict.fromkeys([*same.attributes, *thing.attributes]))
            row.merged += 1
        of[thing.id] = (same or thing).id
    relations = [
        Relation(subject=of[r.subject], predicate=_plain(r.predicate), object=of[r.object])
        for r in scene.relations
        if r.subject in of and r.object in of and of[r.subject] != of[r.object] and WORDS.fullmatch(_plain(r.predicate))
    ]
    return kept, relations


def graph(things: list[Thing], relations: list[Relation], size: tuple[int, int], origin: dict) -> dict:
    """A picture in GQA's format: boxes x, y, w, h in pixels of the upright picture."""
    width, height = size
    objects = {}
    for thing in things:
        x0, y0, x1, y1 = (v * side / SCALE for v, side in zip(thing.box, (width, height) * 2, strict=True))
        box = {"x": round(x0, 1), "y": round(y0, 1), "w": round(x1 - x0, 1), "h": round(y1 - y0, 1)}
        objects[str(thing.id)] = {"name": thing.name} | box | {"attributes": thing.attributes, "relations": []}
    for r in relations:
        relation = {"name": r.predicate, "object": str(r.object)}
        if str(r.subject) in objects and str(r.object) in objects:
            mine = objects[str(r.subject)]["relations"]
            mine += [relation] if relation not in mine else []
    return {"width": width, "height": height, "objects": objects, "origin": origin}
