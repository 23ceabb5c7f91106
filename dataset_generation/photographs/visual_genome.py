"""The `visual_genome` source: photographs with scene graphs (Visual Genome's or GQA's), without any model.

Questions ask for colors ("What color is the car?"), places, what someone is holding, wearing, riding, ..., and whether
there is a thing; the readings are the things of that name, and attributes and relations answer each. Scene graphs are
not complete: that nothing carries a name (or a synonym, a more general or a more special name) is weaker evidence than
a missing box of a class in COCO, and nothing is counted unless the graphs are trusted (`--trust_scene_graphs`). They
cannot carry `abstain`: no attribute says what is hidden.
"""

from functools import lru_cache
from itertools import combinations
from pathlib import Path

import yaml

from clarifyvlm.errors import UserError
from clarifyvlm.language.fitting import answer_of
from clarifyvlm.records import Example, Object
from clarifyvlm.users import parse_kinds
from clarifyvlm.world.queries import NUMBERS
from folder.names import check_apart
from folder.pictures import headers_of, unusable
from folder.shares import Slot
from photographs import scene_graphs, scene_pictures
from photographs.boxes import salience_weights
from photographs.build import build_examples
from photographs.plan import plan_jobs
from photographs.question import SALIENT, Candidate, Job, Question, Settings, slot_for

FEWEST_PICTURES = 2  # that have a name, for it to be asked for where it is not
WORDS = yaml.safe_load((Path(__file__).parent / "visual_genome.yaml").read_text(encoding="utf-8"))
NAMES = scene_graphs.Words(WORDS)


@lru_cache(maxsize=1)
def _load(path: str) -> scene_graphs.Graphs:
    return scene_graphs.load(path, NAMES)


def settings(options) -> Settings:
    check_apart(options.image_dir, options.output_dir)  # pictures are found by their names alone
    users = parse_kinds(options.dialogue_users, "dialogue_users")
    if options.supercategories:
        raise UserError("supercategories: only classes of COCO have them; leave it at 0")
    graphs = _load(options.scene_graphs)
    count = len(scene_pictures.files_of(graphs, options.image_dir))
    trusted = "are taken to be complete" if options.trust_scene_graphs else (
        "are not complete: that a thing is not there, and that there is no other one, is what nobody annotated"
    )  # fmt: skip
    about = (
        f"{count} photographs with scene graphs in {graphs.format}'s format; questions and answers follow from names, "
        f"boxes, attributes and relations, which {trusted}. `abstain` is not among the strategies: nothing says what "
        "is hidden. Scene graphs do not say the pictures' licenses; `provenance` has the address where they have it.",
    )
    return Settings("visual_genome", options.image_dir, options.seed, users, about)


def plan(settings: Settings, options, shares: dict[Slot, float], kinds: dict[str, float]) -> dict[str, list[Job]]:
    """split -> jobs."""
    graphs = _load(options.scene_graphs)
    files = scene_pictures.files_of(graphs, options.image_dir)
    weights = salience_weights(options)
    if kinds.get("count") and not options.trust_scene_graphs:
        raise UserError("kinds: count: scene graphs may miss things. Leave it out, or set --trust_scene_graphs")
    asked = {n: c for n, c in sorted(graphs.names.items()) if c >= FEWEST_PICTURES and NAMES.askable(n)}

    def facts_of(names: list[str]) -> dict[str, dict]:
        annotated = {name: graphs.pictures[files[name]].size for name in sorted(names)}
        headers, faults = headers_of(Path(options.image_dir), annotated, options.box_space)
        if faults:
            raise unusable(faults, names, "the scene graphs")
        pictures = {name: graphs.pictures[files[name]] for name in headers}
        if options.box_space == "stored":
            pictures = {name: scene_pictures.upright(p, headers[name]) for name, p in pictures.items()}
        scene_pictures.check_boxes(graphs, {files[n]: (p, headers[n].size) for n, p in pictures.items()})
        complete = options.trust_scene_graphs
        return {n: scene_graphs.facts_of(p, headers[n].size, NAMES, weights, complete) for n, p in pictures.items()}

    def candidates(facts: dict, rng) -> list[Candidate]:
        objects = [Object(**o) for o in facts["objects"]]
        questions = _questions(objects, facts["groups"], asked, graphs, rng, options.min_area)
        return [(q, slot) for q in questions if (slot := classify(q, objects, options.salient_threshold))]

    def origin(name: str) -> dict[str, str]:
        url = graphs.pictures[files[name]].url
        return {"source_url": url} if url else {}

    return plan_jobs(options, shares, kinds, list(files), facts_of, candidates, _why_never, origin)


def _why_never(slot: Slot) -> str:
    if slot.strategy == "abstain":
        return " (scene graphs do not say what is hidden: `abstain` cannot be asked of them; set it to 0)"
    return " (only what is not in a picture is corrected: premise:correct)" if slot.strategy == "correct" else ""


def _questions(objects: list[Object], groups: list[str], asked: dict[str, int], graphs, rng, min_area: float) -> list:
    """Every question that may be asked of a picture, in a random order. `asked`: name -> pictures that have it."""
    present = sorted({o.name for o in objects})
    small = {o.name for o in objects if o.area_share < min_area}
    carried = [*present, *groups]
    clear = [
        n
        for n in present
        if NAMES.askable(n)
        and n not in small
        and n not in groups
        and not any(m != n and NAMES.related(n, m) for m in carried)
    ]
    absent = _absent(carried, asked, 2 + len(clear), graphs.senses, rng)
    questions = [Question(k, n) for n in clear for k in ("position", "existence", "count")]
    questions += [Question("color", n) for n in clear]
    questions += [
        Question("relation", n, predicate=p)
        for n in clear
        for p in sorted({r["predicate"] for o in objects if o.name == n for r in o.relations})
        if p in WORDS["predicates"]
    ]
    for n in absent:
        questions += [Question(k, n) for k in ("position", "existence")]
        questions += [Question("color", n)] * bool(graphs.colored[n])
        questions += [Question("relation", n, predicate=p) for p in sorted(graphs.doing.get(n, ()))]
    rng.shuffle(questions)
    return questions


def _absent(carried: list[str], asked: dict[str, int], number: int, senses: dict[str, set[str]], rng) -> list[str]:
    """Names that nothing here carries or may be called by, the frequent ones first: they are asked for elsewhere, too.
    `senses`: synsets of names; those who share one name the same thing."""
    if not asked:
        return []
    drawn = dict.fromkeys(rng.choices(list(asked), list(asked.values()), k=3 * number))
    there = set().union(*(senses.get(m, ()) for m in carried))
    return [n for n in drawn if there.isdisjoint(senses.get(n, ())) and not any(NAMES.may_be(n, m) for m in carried)][
        :number
    ]


def answers(question: Question, objects: list[Object]) -> list[str | None]:
    """An answer per thing of the name (None where it is in doubt), or the one of a count or existence question."""
    named = question.named(objects)
    match question.kind:
        case "count":
            return [NUMBERS[len(named)] if len(named) < len(NUMBERS) else None]
        case "existence":
            return ["yes" if named else "no"]
        case "position":
            return [o.place for o in named]
        case "color":
            return [o.color for o in named]
    by_id = {o.id: o for o in objects}
    return [_partner(o, question.predicate, by_id) for o in named]


def _partner(o: Object, predicate: str, by_id: dict[str, Object]) -> str | None:
    """The name of the one thing that `o` is holding (wearing, ...); None for none, several, and what has no name."""
    found = [r["object"] for r in o.relations if r["predicate"] == predicate]
    if len(found) != 1 or found[0] is None:
        return None
    name = by_id[found[0]].name
    if not NAMES.askable(name) or NAMES.related(name, o.name) or answer_of(name, "relation")[0] != "name":
        return None
    return name


def classify(question: Question, objects: list[Object], salient: float = SALIENT) -> Slot | None:
    """The type and strategy of a question; None where people would not agree or the words would not do."""
    named, found = question.named(objects), answers(question, objects)
    if None in found:
        return None
    if question.kind in ("count", "existence"):
        return None if question.kind == "count" and not named else Slot("none", "answer")
    if any(_alike(question.kind, a, b) for a, b in combinations(sorted(set(found)), 2)):
        return None
    slot = slot_for(question, named, found, salient)
    if slot is None or slot.strategy not in ("infer", "enumerate") or question.kind == "position":
        return slot
    if slot.strategy == "enumerate":  # the list tells them apart by their places
        return slot if question.kind == "relation" or len({o.place for o in named}) == len(named) else None
    if question.kind == "relation":  # with what it holds, the salient one still stands out
        by_id = {o.id: o for o in objects}
        best = max(named, key=lambda o: o.salience)
        others = [by_id[r["object"]] for o in named for r in o.relations if r["predicate"] == question.predicate]
        return slot if all(o.salience < best.salience for o in others) else None
    return slot


def _alike(kind: str, a: str, b: str) -> bool:
    """Whether two different answers may be one: silver and gray, bat and baseball bat."""
    if kind == "color":
        return frozenset((a, b)) in NAMES.near
    return kind == "relation" and NAMES.related(a, b)


def build(settings: Settings, split: str, index: int, job: Job, salt: int, image_dir: Path) -> list[Example]:
    """The examples of one picture."""
    return build_examples(settings, split, job, image_dir, answers, WORDS)
