"""Your own pictures, with or without captions -> scene graphs, by a vision model: facts first, questions afterwards.

Reads the pictures of --image_dir, asks the model for the things in each (names, attributes, boxes, relations), checks
what it says, and writes GQA's scene-graph format, which generate.py reads:

    python dataset_generation/describe.py --image_dir my_pictures --output_file runs/mine/scene_graphs.json \
        --author_base_url http://localhost:8000/v1 --author_model NAME --confirm
    python dataset_generation/generate.py --config dataset_generation/configs/visual_genome.yaml \
        --scene_graphs runs/mine/scene_graphs.json --image_dir my_pictures --num_examples 80 --output_dir runs/mine/data

A caption is a line of --captions ({"image", "caption"}) or a .txt file beside the picture. Bad pictures are listed and
passed over. A stopped run is continued by the same command; no reply is paid twice.
"""

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel

from authoring.arguments import SPEED_ONLY, AuthorArguments
from authoring.calls import Asker, Prompt, Said
from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.endpoint.arguments import make_endpoint
from clarifyvlm.errors import UserError, run_main
from folder.faults import listed

SUFFIXES = (".jpg", ".jpeg", ".png")  # what scene_graphs.py finds by a picture's id
SCALE = 1000  # boxes are asked for in thousandths of the picture's sides
SLACK = 20  # so far outside, a box is cut off at the edge; further, it is wrong
SMALLEST = 4  # thousandths of a side
MOST_OBJECTS, MOST_ATTRIBUTES = 60, 8
SAME_BOX = 0.5  # intersection over union from which two boxes of one name are one thing
BATCH = 32  # pictures
MOST_FAULTS = 10  # that the model is told of
WORDS = re.compile(r"[a-z]+(?:[ -][a-z]+){0,2}")  # a name, an attribute: one to three words


class Thing(Said):
    id: int
    name: str
    attributes: list[str]
    box: list[float]


class Relation(Said):
    subject: int
    predicate: str
    object: int


class Scene(Said):
    objects: list[Thing]
    relations: list[Relation]


class There(Said):
    there: bool


RULES = """List the things that can be seen in the attached picture, for a data set; at most {most}, large ones first.
- Each thing of a kind is an entry of its own (three cups: three entries), also where they are alike.
- `name`: a common noun of one to three words, lower case, singular. `attributes`: colors and other properties that \
can be seen, one or two words each; none that is a guess. `box`: [left, top, right, bottom] in thousandths of the \
picture's width and height (0 to 1000), tight around what can be seen.
- `relations`: what a thing does with another (holding, wearing, riding, sitting on ...), by their ids.
- Only what is in the picture. A caption in the data was written by somebody and may be wrong."""
AGAIN = "\n- `wrong_before`: what was wrong with an earlier list; mend it."
CONFIRM = """Look at the attached picture, at the box given as [left, top, right, bottom] in thousandths of its width \
and height. Is the thing described there, with these properties, and does the box hold it? `there`: true or false."""


@dataclass
class Options:
    image_dir: str = option("folder of the pictures (.jpg, .png), with folders in it or not")
    output_file: str = option("scene graphs to write (.json)")
    captions: str | None = option('JSONL with {"image", "caption"}', None)
    confirm: bool = option("ask about each thing once more; drop what is not there", False)
    max_attempts: int = option("lists asked for, of one picture", 3, min=1)
    overwrite: bool = option("delete the output file and start anew", False)
    redo: bool = option(REDO, False)


class Row(BaseModel):
    """A line of <output>.progress.jsonl: what became of one picture."""

    image: str
    graph: dict | None = None
    fault: str | None = None
    attempts: int = 0
    objects: int = 0  # that the model named
    dropped: int = 0  # that were no good: box, name, group
    merged: int = 0  # into another one of the same name and place
    unconfirmed: int = 0


def main(argv: list[str] | None = None) -> int:
    options, args = parse_args([Options, AuthorArguments], argv, description=__doc__)
    pictures, captions = _check(options)

    from clarifyvlm.jsonl import write_text_atomic
    from clarifyvlm.run_record import RunRecord

    inputs = [options.captions] if options.captions else []
    settings = asdict(options) | asdict(args) | {"pictures": _digest(options.image_dir, pictures, captions)}
    stage = "dataset_generation/describe.py"
    with RunRecord.start(options.output_file, stage, settings, inputs, ignore=SPEED_ONLY) as run:
        if run.complete:
            print(f"{options.output_file} is complete; nothing to do")
            return 0
        progress = _progress_file(options)
        if run.anew:
            progress.unlink(missing_ok=True)
        describe(options, args, pictures, captions, progress)
        rows = {row.image: row for row in _rows(progress)}
        graphs = {Path(p).stem: rows[p].graph for p in pictures if rows[p].graph}
        counts = _report(options, [rows[p] for p in pictures])
        if not graphs:
            raise UserError(f"no picture of {options.image_dir} could be described; the reasons are above")
        write_text_atomic(options.output_file, json.dumps(graphs, ensure_ascii=False) + "\n")
        run.finish(**counts)
    return 0


def _check(options: Options) -> tuple[list[str], dict[str, str]]:
    """(pictures relative to the folder, in order; picture -> caption)."""
    folder = Path(options.image_dir)
    if Path(options.output_file).suffix != ".json":
        raise UserError(f"--output_file {options.output_file}: must end in .json")
    if not folder.is_dir():
        raise UserError(f"--image_dir: no folder {folder}")
    there = sorted(p for p in [*folder.iterdir(), *folder.glob("*/*")] if p.is_file() and not p.name.startswith("."))
    pictures = [p.relative_to(folder).as_posix() for p in there if p.suffix.lower() in SUFFIXES]
    if not pictures:
        raise UserError(f"--image_dir {folder}: no picture ({', '.join(SUFFIXES)}) in it")
    stems = Counter(Path(p).stem for p in pictures)
    if twice := [p for p in pictures if stems[Path(p).stem] > 1]:
        hint = "A picture's name without its ending is its id: give each its own."
        raise listed(f"{len(twice)} pictures of {folder} share their names with others", twice, hint)
    captions = {p: (folder / p).with_suffix(".txt").read_text(encoding="utf-8", errors="replace").strip()
                for p in pictures if (folder / p).with_suffix(".txt").is_file()}  # fmt: skip
    return pictures, captions | _captions(options, pictures)


def _captions(options: Options, pictures: list[str]) -> dict[str, str]:
    from clarifyvlm import jsonl

    class Caption(BaseModel):
        image: str
        caption: str

    if not options.captions:
        return {}
    rows = {row.image: row.caption for row in jsonl.read(options.captions, Caption, unique="image")}
    if unknown := [image for image in rows if image not in set(pictures)]:
        problem = f"{len(unknown)} of {len(rows)} captions are of pictures that are not in {options.image_dir}"
        raise listed(f"{options.captions}: {problem}", unknown, "`image` is the path relative to that folder.")
    return rows


def _digest(image_dir: str, pictures: list[str], captions: dict[str, str]) -> str:
    """Of names, sizes and captions: another folder is another run."""
    from clarifyvlm.endpoint.cache import key_of

    return key_of(pictures=[(p, (Path(image_dir) / p).stat().st_size) for p in pictures], captions=captions)[:16]


def _progress_file(options: Options) -> Path:
    path = Path(options.output_file)
    return path.with_name(f"{path.stem}.progress.jsonl")


def _rows(path: Path) -> list[Row]:
    from clarifyvlm import jsonl

    return jsonl.read(path, Row, unique="image")


# --- the work -------------------------------------------------------------------------------------------------------


def describe(options: Options, args: AuthorArguments, pictures: list[str], captions: dict, progress: Path) -> None:
    """A row for each picture that has none yet. UserError where the run has to stop; what is done is kept."""
    import asyncio

    from tqdm import tqdm

    from clarifyvlm import jsonl
    from clarifyvlm.endpoint.pictures import picture_url

    endpoint, asker = make_endpoint(args, "author"), Asker()
    usage = endpoint.usage
    root = Path(options.image_dir)

    async def batch(names: list[str], bar, output) -> None:
        async def one(name: str) -> None:
            row = await _describe(options, asker, endpoint, name, picture_of(name), captions.get(name))
            output.append(row)
            bar.update()
            bar.set_postfix(usage.shown(bar.format_dict["elapsed"]), refresh=False)

        results = await asyncio.gather(*map(one, names), return_exceptions=True)
        if error := next((r for r in results if r is not None), None):
            raise error

    def picture_of(name: str) -> tuple[str, str] | UserError:
        try:
            return picture_url(root / name)
        except UserError as error:
            return error

    with jsonl.Appender(progress, key="image") as output:
        left = [name for name in pictures if name not in output.done]
        good = next((p for p in map(picture_of, left) if not isinstance(p, UserError)), None)
        if good:
            endpoint.check(good[0])
        with tqdm(total=len(pictures), initial=len(pictures) - len(left), unit="picture", desc="describe") as bar:
            for start in range(0, len(left), BATCH):
                endpoint.run(batch(left[start : start + BATCH], bar, output))


async def _describe(options: Options, asker: Asker, endpoint, name: str, picture, caption: str | None) -> Row:
    if isinstance(picture, UserError):
        return Row(image=name, fault=str(picture))
    from folder.pictures import size_of

    row, wrong = Row(image=name), None
    while row.attempts < options.max_attempts:
        row.attempts += 1
        data = {"caption": caption[:1000]} if caption else {}
        rules = RULES.format(most=MOST_OBJECTS) + AGAIN * bool(wrong)
        data |= {"wrong_before": wrong} if wrong else {}
        scene, fault = await asker.ask(endpoint, Prompt(rules, data, Scene, picture))
        wrong = [fault] if fault else faults_of(scene)
        if not wrong:
            break
    if fault:
        row.fault = fault
        return row
    things, relations = _usable(scene, row)  # at the last attempt, what is good of it
    if options.confirm:
        things = await _confirmed(asker, endpoint, things, picture, row)
    if not things:
        row.fault = f"nothing usable: {'; '.join(wrong[:3])}" if wrong else "no thing in it"
        return row
    origin = {"model": endpoint.model, "caption": caption is not None, "confirmed": options.confirm}
    row.graph = graph(things, relations, size_of(Path(options.image_dir) / name), origin)
    return row


async def _confirmed(asker: Asker, endpoint, things: list[Thing], picture, row: Row) -> list[Thing]:
    import asyncio

    def asked(thing: Thing):
        data = {"thing": " ".join([*thing.attributes, thing.name]), "box": [round(v) for v in thing.box]}
        return asker.ask(endpoint, Prompt(CONFIRM, data, There, picture))

    replies = await asyncio.gather(*map(asked, things), return_exceptions=True)
    if error := next((r for r in replies if isinstance(r, BaseException)), None):
        raise error
    kept = [thing for thing, (said, _) in zip(things, replies, strict=True) if said and said.there]
    row.unconfirmed = len(things) - len(kept)
    return kept


# --- checks ---------------------------------------------------------------------------------------------------------


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


def _usable(scene: Scene, row: Row) -> tuple[list[Thing], list[Relation]]:
    """The things that are good, those of one name and place merged, and the relations between them."""
    from photographs.boxes import overlap

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


def _report(options: Options, rows: list[Row]) -> dict[str, int]:
    """The counts, and on the terminal what could not be described."""
    failed = [row for row in rows if row.graph is None]
    counts = {
        "pictures": len(rows),
        "described": len(rows) - len(failed),
        "objects": sum(len(row.graph["objects"]) for row in rows if row.graph),
        "dropped": sum(row.dropped for row in rows),
        "merged": sum(row.merged for row in rows),
        "unconfirmed": sum(row.unconfirmed for row in rows),
    }
    print(
        f"{options.output_file}: {counts['described']} of {counts['pictures']} pictures, {counts['objects']} things; "
        f"left out: {counts['dropped']} that were no good, {counts['merged']} that were there twice, "
        f"{counts['unconfirmed']} that were not confirmed"
    )
    if failed:
        faults = [f"{row.image}: {row.fault}" for row in failed]
        print(listed(f"{len(failed)} pictures are left out", faults, f"All are in {_progress_file(options)}."))
    return counts


if __name__ == "__main__":
    run_main(main, continues=True)
