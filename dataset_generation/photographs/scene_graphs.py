"""Scene graphs of Visual Genome or GQA -> the facts of each picture: objects, attributes, relations.

Annotators write what they like, so names, colors and predicates are made comparable by the tables of
visual_genome.yaml. What stays in doubt (two colors on one thing, a group under one box) has no value.
"""

import gc
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern

from clarifyvlm.errors import UserError
from clarifyvlm.language.items import items_of
from clarifyvlm.language.lexicon import IRREGULAR, plural_of, vocabulary
from clarifyvlm.text_files import read_text
from clarifyvlm.world.places import place_of
from folder.faults import listed
from photographs.boxes import overlap, salience
from photographs.values import box_of, identity, whole

SAME_BOX = 0.5  # intersection over union from which two boxes of one name are one thing
MAX_SLIPS = 0.05  # share of the boxes that may lie mostly outside their pictures, and of the relations of nothing
UNUSED = ("synset", "relationship_id", "object_url", "url", "location", "weather")
JOINING = frozenset(("and", "or", "of", "in", "on", "at", "with", "without", "by", "for", "s", "the", "a", "an"))
PLURALS = {p: name for name, forms in IRREGULAR.items() for p in forms if p != name}


class Words:
    """The tables: annotators' words -> ours."""

    def __init__(self, tables: dict):
        self.synonyms = {v: name for name, variants in tables["synonyms"].items() for v in variants}
        self.colors = {v: color for color, variants in tables["colors"].items() for v in (color, *variants)}
        self.colorless = set(tables["colorless"])
        self.near = {frozenset(pair) for pair in tables["near_colors"]}
        self.predicates = {v: p for p, variants in tables["predicates"].items() for v in variants}
        self.shades, self.several = set(tables["shades"]), set(tables["several_colors"])
        self.worn = set(tables["worn"])
        self.near_names = {frozenset((a, b)) for group in tables["near_names"] for a in group for b in group if a != b}
        self.paired, self.singular_s = set(tables["paired"]), set(tables["singular_s"])
        self.not_asked = {*tables["uncountable"], *tables["parts"], *self.paired}
        self.above = defaultdict(set)  # name -> names that take it in
        for name, kinds in tables["kinds_of"].items():
            for kind in kinds:
                self.above[kind].add(name)
        self.canonical, self.readable = lru_cache(None)(self._canonical), lru_cache(None)(self._readable)
        self.colors_in, self.all_above = lru_cache(None)(self._colors_in), lru_cache(None)(self._all_above)

    def hinted(self, raw: str) -> set[str]:
        """The names in what is no name: "black and white dog" says that there is a dog."""
        return {found[0] for word in re.findall("[a-z]+", plain(raw)) if (found := self.canonical(word))}

    def _canonical(self, raw: str) -> tuple[str, bool] | None:
        """("car", is a group) for "Car", "cars", ...; None for what is no noun of letters."""
        name = plain(raw)
        if not re.fullmatch(r"[a-z]+(?: [a-z]+){0,2}", name) or not JOINING.isdisjoint(name.split()):
            return None
        name = self.synonyms.get(name, name)
        single = self._singular(name)
        return self.synonyms.get(single, single), single != name or name in self.paired

    def _singular(self, name: str) -> str:
        head, _, last = name.rpartition(" ")
        if last in PLURALS:
            last = PLURALS[last]
        elif name in self.paired or last in self.singular_s or last.endswith(("ss", "us", "is")):
            return name
        elif last.endswith("ies") and len(last) > 4:
            last = last[:-3] + "y"
        elif last.endswith(("ches", "shes", "xes", "sses", "buses")):
            last = last[:-2]
        elif last.endswith("s") and len(last) > 3:
            last = last[:-1]
        return f"{head} {last}".strip()

    def _readable(self, name: str) -> bool:
        """Whether the offline judge reads the name and its plural as nouns: "light" and "picture" mean more."""
        base = vocabulary(frozenset(), True).one.get(name)
        if base is not None and base[0] != "n":
            return False
        words = vocabulary(frozenset([name]), True)
        return items_of(name.split(), words) == [("n", (name, False))] and all(
            [kind for kind, _ in items_of(p.split(), words)] == ["n"] for p in plural_of(name)
        )

    def askable(self, name: str) -> bool:
        return name not in self.not_asked and name.split()[-1] not in self.not_asked and self.readable(name)

    def related(self, a: str, b: str) -> bool:
        """Whether a thing called `a` may be called `b` as well: person and man, car and police car."""
        return a.split()[-1] == b.split()[-1] or b in self.all_above(a) or a in self.all_above(b)

    def may_be(self, a: str, b: str) -> bool:
        """Whether where somebody wrote `b`, another may see an `a`: a name that is related, one that is often meant by
        the other, or what people wear where there is a person."""
        if self.related(a, b) or frozenset((a, b)) in self.near_names:
            return True
        return a in self.worn and (b == "person" or "person" in self.all_above(b))

    def _all_above(self, name: str) -> set[str]:
        found, new = set(), {name}
        while new:
            new = {up for n in new for up in (*self.above.get(n, ()), *self.above.get(n.split()[-1], ()))} - found
            found |= new
        return found

    def color(self, name: str, attributes: list[str]) -> str | None:
        """The one color that the attributes give; None for none, for several, for "red" with "not red", for people."""
        if name in self.colorless or self.all_above(name) & self.colorless:
            return None
        found, denied = set(), set()
        for attribute in map(plain, attributes):
            if attribute in self.several:
                return None
            if attribute.startswith(("not ", "non ")):
                denied |= self.colors_in(attribute[4:])
            else:
                found |= self.colors_in(attribute)
        return found.pop() if len(found) == 1 and not found & denied else None

    def _colors_in(self, attribute: str) -> set[str]:
        """ "dark red" -> red; "red and white" -> both."""
        found = set()
        for part in re.split(r"\band\b|\bor\b|,|/", attribute):
            words = part.split()
            while words and words[0] in self.shades:
                words = words[1:]
            if color := self.colors.get(" ".join(words)):
                found.add(color)
        return found


@lru_cache(maxsize=2**18)
def plain(text: str) -> str:
    """Lower case, single spaces, no hyphens."""
    return " ".join(str(text).lower().replace("-", " ").replace("_", " ").split())


@dataclass
class Picture:
    """One scene graph. A row of `objects` is (id, name as written, box (x, y, w, h), attributes)."""

    objects: list[tuple]
    relations: list[tuple]  # (predicate as written, subject id, object id)
    size: tuple[int, int] | None = None
    url: str | None = None  # where the picture was published
    also: list[tuple[str, str]] = field(default_factory=list)  # (name, second name) of objects that have one


@dataclass
class Graphs:
    """All scene graphs of a file, and what its names are like: how many pictures have each, and with what."""

    path: str
    format: str  # "Visual Genome" | "GQA"
    pictures: dict[str, Picture]
    synsets: dict[str, set[str]] = field(default_factory=dict)  # name as written -> WordNet's
    names: Counter = field(default_factory=Counter)  # name -> pictures
    colored: Counter = field(default_factory=Counter)  # name -> things with a color
    senses: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # name -> WordNet's synsets
    doing: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))  # name -> predicate -> things


def _lean(row: dict) -> dict:
    """Without what is not used; of the synsets, those of objects stay."""
    return {k: v for k, v in row.items() if k not in UNUSED and (k != "synsets" or "names" in row)}


def load(path: str, words: Words) -> Graphs:
    """The scene graphs of a file. UserError for one that is missing or of neither format, for ids that repeat, and
    where more than 5 % of the relations are of objects that are not there (others are passed over)."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        data = json.loads(read_text(path), object_hook=_lean)
        graphs = _visual_genome(path, data) if isinstance(data, list) else _gqa(path, data)
        _check(graphs)
    except FileNotFoundError:
        raise UserError(f"scene_graphs: no file {path}") from None
    except IsADirectoryError:
        raise UserError(f"scene_graphs: {path} is a folder; give the JSON file in it") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise UserError(
            f"scene_graphs: {path} is not in Visual Genome's format (scene_graphs.json: a list of pictures with "
            f"image_id and objects) nor in GQA's (a picture's id -> width, height, objects): {what}"
        ) from None
    finally:
        if collecting:
            gc.enable()
    if not graphs.pictures:
        raise UserError(f"scene_graphs: {path} has no pictures")
    _survey(graphs, words)
    return graphs


def _visual_genome(path: str, data: list) -> Graphs:
    ids = Counter(identity(row["image_id"]) for row in data)
    twice = [f"image_id {i!r} ({n} times)" for i, n in ids.items() if n > 1]
    if twice:
        raise listed(f"{path}: {len(twice)} pictures are there more than once", twice, "Keep one row of each.")
    pictures, synsets = {}, defaultdict(set)
    for row in data:
        objects = [
            (
                identity(o["object_id"]),
                intern(_names(o)[0]),
                _box(o),
                _attributes(o),
            )
            for o in (row["objects"] if "objects" in row else row["attributes"])  # attributes.json says it so
        ]
        for o in row.get("objects", ()):
            synsets[_names(o)[0]].update(map(intern, o.get("synsets") or ()))
        also = [(_names(o)[0], name) for o in row.get("objects", ()) for name in _names(o)[1:]]
        merged = {
            identity(m): identity(o["object_id"])
            for o in row.get("objects", ())
            for m in o.get("merged_object_ids") or ()
        }
        relations = []
        for r in row.get("relationships") or ():
            ends = _end(r, "subject"), _end(r, "object")
            relations.append((intern(str(r["predicate"])), *(merged.get(e, e) for e in ends)))
        pictures[str(identity(row["image_id"]))] = Picture(objects, relations, url=row.get("image_url"), also=also)
    return Graphs(path, "Visual Genome", pictures, synsets=synsets)


def _box(o: dict) -> tuple:
    return box_of((o["x"], o["y"], o["w"], o["h"]))


def _names(o: dict) -> list[str]:
    return [str(name) for name in (o["names"] if "names" in o else [o["name"]])] or [""]


def _end(relation: dict, which: str):
    return identity(relation[f"{which}_id"] if f"{which}_id" in relation else relation[which]["object_id"])


def _attributes(o: dict) -> list[str]:
    attributes = o.get("attributes") or []
    if not isinstance(attributes, list):
        raise TypeError(f"attributes {attributes!r} are no list")
    return [intern(str(a)) for a in attributes]  # the same few words millions of times


def _gqa(path: str, data: dict) -> Graphs:
    pictures = {}
    for image_id, row in data.items():
        objects = [(id, intern(str(o["name"])), _box(o), _attributes(o)) for id, o in row["objects"].items()]
        relations = [
            (intern(str(r["name"])), id, str(identity(r["object"])))
            for id, o in row["objects"].items()
            for r in o.get("relations") or []
        ]
        try:
            size = whole(row["width"]), whole(row["height"])
        except ValueError as error:
            raise UserError(f"{path}: picture {image_id}: width or height {error}") from None
        pictures[image_id] = Picture(objects, relations, size)
    return Graphs(path, "GQA", pictures)


def _check(graphs: Graphs) -> None:
    twice, lost, wrong = [], [], []
    for image_id, picture in graphs.pictures.items():
        ids = {o[0] for o in picture.objects}
        if len(ids) < len(picture.objects):
            count = Counter(o[0] for o in picture.objects)
            twice += [f"picture {image_id}: object {id!r}" for id, n in count.items() if n > 1]
        lost += [
            f"picture {image_id}: {p!r} of {s!r} and {o!r}"
            for p, s, o in picture.relations
            if s not in ids or o not in ids
        ]
        wrong += [
            f"picture {image_id}: object {id!r}: {box!r}"
            for id, _, box, _ in picture.objects
            if not all(isinstance(v, int | float) and abs(v) < 1e9 for v in box)
        ]
    if twice:
        raise listed(f"{graphs.path}: {len(twice)} object ids are there more than once", twice, "Give each its own.")
    relations = sum(len(p.relations) for p in graphs.pictures.values())
    if len(lost) > MAX_SLIPS * relations:
        raise listed(
            f"{graphs.path}: {len(lost)} of {relations} relations name an object that their picture does not have",
            lost,
            "Leave them out, or add the objects.",
        )
    if wrong:
        raise listed(f"{graphs.path}: {len(wrong)} boxes are not four numbers", wrong, "A box is x, y, w, h in pixels.")


def _survey(graphs: Graphs, words: Words) -> None:
    for raw, synsets in graphs.synsets.items():
        if found := words.canonical(raw):
            graphs.senses[found[0]] |= synsets
    for picture in graphs.pictures.values():
        by_id = {}
        for id, raw, _, attributes in picture.objects:
            found = words.canonical(raw)
            if found and not found[1]:
                by_id[id] = found[0]
                if words.color(found[0], attributes):
                    graphs.colored[found[0]] += 1
        graphs.names.update(set(by_id.values()))
        for raw, subject, _ in picture.relations:
            predicate = words.predicates.get(plain(raw))
            if predicate and subject in by_id:
                graphs.doing[by_id[subject]][predicate] += 1


def facts_of(picture: Picture, size: tuple[int, int], words: Words, weights, complete: bool) -> dict:
    """The facts of one picture; "groups" are the names that something carries, and of which nothing is asked: one box
    has several ("cars"), its name or place is in doubt, or it is another object's second name.

    Boxes of one name, a synonym or a more general name that lie on each other (intersection over union above 0.5) are
    one thing, with the attributes and relations of all. A relation to something without a usable name has object None.
    """
    width, height = size
    groups = {found[0] for name, b in picture.also if (found := words.canonical(b)) != words.canonical(name) and found}
    things = []  # [name, box, attributes, ids]
    for id, raw, box, attributes in sorted(picture.objects, key=lambda o: -o[2][2] * o[2][3]):
        found, box = words.canonical(raw), clipped(box, width, height)
        if found is None:
            groups |= words.hinted(raw)
            continue
        name, is_group = found
        if is_group or box is None:
            groups.add(name)
            continue
        for thing in things:
            if overlap(thing[1], box) > SAME_BOX and _same(words, thing[0], name):
                thing[0] = name if thing[0] in words.all_above(name) else thing[0]
                thing[2] += attributes
                thing[3].append(id)
                break
        else:
            things.append([name, box, list(attributes), [id]])
    groups |= {thing[0] for thing in things if not words.readable(thing[0])}
    things = sorted((t for t in things if words.readable(t[0])), key=lambda t: (t[1], t[0]))
    number = {id: f"o{i + 1}" for i, thing in enumerate(things) for id in thing[3]}
    relations = defaultdict(set)
    for raw, subject, object in picture.relations:
        if subject in number and number[subject] != number.get(object):
            predicate = plain(raw)
            relations[number[subject]].add((words.predicates.get(predicate, predicate), number.get(object)))
    objects = [_object(f"o{i + 1}", thing, relations, size, words, weights) for i, thing in enumerate(things)]
    facts = {"source": "visual_genome", "width": width, "height": height, "complete": complete, "objects": objects}
    return facts | {"groups": sorted(groups)}


def _same(words: Words, a: str, b: str) -> bool:
    return a == b or a in words.all_above(b) or b in words.all_above(a)


def _object(id: str, thing: list, relations: dict, size: tuple[int, int], words: Words, weights) -> dict:
    name, box, attributes, _ = thing
    (x0, y0, x1, y1), (width, height) = box, size
    related = sorted(relations[id], key=lambda r: (r[0], r[1] or ""))
    return {
        "id": id,
        "name": name,
        "box": [round(v, 1) for v in box],
        "place": place_of((x0 + x1) / 2, (y0 + y1) / 2, width, height),
        "salience": salience(box, width, height, *weights),
        "area_share": round((x1 - x0) * (y1 - y0) / (width * height), 5),
        "color": words.color(name, attributes),
        "attributes": sorted({plain(a) for a in attributes}),
        "relations": [{"predicate": p, "object": o} for p, o in related],
    }


def clipped(box: tuple, width: int, height: int) -> tuple[float, float, float, float] | None:
    """(x0, y0, x1, y1) inside the picture; None where half of the box or more is outside."""
    x, y, w, h = box
    x0, y0, x1, y1 = max(0.0, x), max(0.0, y), min(float(width), x + w), min(float(height), y + h)
    inside = max(0.0, x1 - x0) * max(0.0, y1 - y0)
    return (x0, y0, x1, y1) if inside > 0.5 * w * h > 0 else None
