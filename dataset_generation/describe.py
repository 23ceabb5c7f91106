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
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from unicodedata import normalize

from pydantic import BaseModel

from authoring.arguments import SPEED_ONLY, AuthorArguments
from authoring.boxes import LARGE, SIZE, Convention, convention_of, drawn, fit
from authoring.calls import Asker, ParsedReply, Prompt
from authoring.seen import MOST_OBJECTS, Scene, Thing, faults_of, graph, usable
from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.endpoint.arguments import make_endpoint
from clarifyvlm.errors import UserError, run_main
from folder.faults import listed
from folder.names import Names
from photographs.scene_pictures import SUFFIXES

BATCH = 32  # pictures


class There(ParsedReply):
    there: bool


RULES = """List the things that can be seen in the attached picture, for a data set; at most {most}, large ones first.
- Each thing of a kind is an entry of its own (three cups: three entries), also where they are alike.
- `name`: a common noun of one to three words, lower case, singular. `attributes`: colors and other properties that \
can be seen, one or two words each; none that is a guess. `box`: [left, top, right, bottom] in thousandths of the \
picture's width and height (0 to 1000), tight around what can be seen.
- `relations`: what a thing does with another (holding, wearing, riding, sitting on ...), by their ids.
- Only what is in the picture. A caption in the data was written by somebody and may be wrong."""
AGAIN = "\n- `wrong_before`: what was wrong with an earlier list; mend it."
CONFIRM = """Look at the attached picture, at the box given as {words}. Is the thing described there, with these \
properties, and does the box hold it? `there`: true or false."""


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
    names = Names(folder, "--image_dir", SUFFIXES)  # as scene_pictures.py, which will look for them
    pictures, others = names.files, names.others
    more = f"{len(others)} pictures of other kinds ({others[0]}, ...): convert them to JPEG" if others else ""
    if not pictures:
        raise UserError(f"--image_dir {folder}: no picture ({', '.join(SUFFIXES)}) in it{more and '; '}{more}")
    if more:
        print(f"warning: left out: {more}", file=sys.stderr)
    if twice := [p for p in pictures if len(names.find_stem(Path(p).stem)) > 1]:
        hint = "A picture's name without its ending is its id: give each its own."
        raise listed(f"{len(twice)} pictures of {folder} share their names with others", twice, hint)
    captions = {p: (folder / p).with_suffix(".txt").read_text(encoding="utf-8-sig", errors="replace").strip()
                for p in pictures if (folder / p).with_suffix(".txt").is_file()}  # fmt: skip
    return pictures, captions | _captions(options, pictures)


def _captions(options: Options, pictures: list[str]) -> dict[str, str]:
    from clarifyvlm import jsonl

    class Caption(BaseModel):
        image: str
        caption: str

    if not options.captions:
        return {}
    spelled = {normalize("NFC", p): p for p in pictures}
    read = jsonl.read(options.captions, Caption, unique="image")
    rows = {spelled.get(normalize("NFC", row.image), row.image): row.caption for row in read}
    if unknown := [image for image in rows if image not in set(pictures)]:
        problem = f"{len(unknown)} of {len(rows)} captions are of pictures that are not in {options.image_dir}"
        raise listed(f"{options.captions}: {problem}", unknown, "`image` is the path relative to that folder.")
    return rows


def _digest(image_dir: str, pictures: list[str], captions: dict[str, str]) -> str:
    """Of pictures and captions: another folder is another run."""
    from clarifyvlm import images
    from clarifyvlm.endpoint.cache import key_of

    content = images.check_unchanged([images.Shown(p, "") for p in pictures], image_dir)
    return key_of(pictures=content, captions=captions)[:16]


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

    convention = Convention()
    endpoint, asker = make_endpoint(args, "author"), Asker()
    usage = endpoint.usage
    root = Path(options.image_dir)

    async def batch(names: list[str], bar, output) -> None:
        async def one(name: str) -> None:
            row = await _describe(options, asker, endpoint, convention, name, picture_of(name), captions.get(name))
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
            convention = endpoint.run(_convention(options, asker, endpoint))
        with tqdm(total=len(pictures), initial=len(pictures) - len(left), unit="picture", desc="describe") as bar:
            for start in range(0, len(left), BATCH):
                endpoint.run(batch(left[start : start + BATCH], bar, output))


async def _convention(options: Options, asker: Asker, endpoint) -> Convention:
    """How the model gives boxes: it is shown a drawn picture first. UserError where its boxes fit in no way, or are in
    pixels of a picture that its server has made smaller."""
    boxes, fault = await _boxes_of_drawn(options, asker, endpoint, 1)
    what = fault or f"its boxes were {boxes[:4]}"
    if (found := convention_of(boxes)) is None:
        raise UserError(
            f"{endpoint.model} does not find the things in a drawn picture of {SIZE[0]} x {SIZE[1]} pixels ({what}): "
            "its boxes would be in the wrong places. Give an --author_model that can say where things are."
        )
    if found.unit == "pixels" and not fit(found, (await _boxes_of_drawn(options, asker, endpoint, LARGE))[0], LARGE):
        raise UserError(
            f"{endpoint.model} gives boxes in pixels, and not in those of a picture of {SIZE[0] * LARGE} x "
            f"{SIZE[1] * LARGE}: its server makes pictures smaller before the model sees them. Raise the most pixels "
            "there (max_pixels), or give an --author_model whose boxes are in thousandths."
        )
    if found != Convention():
        print(f"{endpoint.model} gives boxes as {found.words}; they are converted")
    return found


async def _boxes_of_drawn(options: Options, asker: Asker, endpoint, scale: int) -> tuple[list[list[float]], str | None]:
    """(the boxes that the model gives of the drawn picture, what was wrong with its reply)."""
    from clarifyvlm.endpoint.pictures import encoded

    said, fault, data = None, None, {}
    for _ in range(options.max_attempts):
        rules = RULES.format(most=MOST_OBJECTS) + AGAIN * bool(fault)
        said, fault = await asker.ask(endpoint, Prompt(rules, data, Scene, encoded(drawn(scale))))
        if not fault:
            break
        data = {"wrong_before": [fault]}
    return [thing.box for thing in said.objects] if said else [], fault


async def _describe(
    options: Options, asker: Asker, endpoint, convention: Convention, name: str, picture, caption: str | None
) -> Row:
    if isinstance(picture, UserError):
        return Row(image=name, fault=str(picture))
    from folder.pictures import size_of

    row, wrong = Row(image=name), None
    shown = _size_sent(Path(options.image_dir) / name)
    while row.attempts < options.max_attempts:
        row.attempts += 1
        data = {"caption": caption[:1000]} if caption else {}
        rules = RULES.format(most=MOST_OBJECTS) + AGAIN * bool(wrong)
        data |= {"wrong_before": wrong} if wrong else {}
        scene, fault = await asker.ask(endpoint, Prompt(rules, data, Scene, picture))
        for thing in scene.objects if scene else ():
            thing.box = convention.read(thing.box, shown)
        wrong = [fault] if fault else faults_of(scene)
        if not wrong:
            break
    if fault:
        row.fault = fault
        return row
    things, relations = usable(scene, row)  # at the last attempt, what is good of it
    if options.confirm:
        things = await _confirmed(asker, endpoint, convention, things, picture, shown, row)
    if not things:
        row.fault = f"nothing usable: {'; '.join(wrong[:3])}" if wrong else "no thing in it"
        return row
    origin = {"model": endpoint.model, "caption": caption is not None, "confirmed": options.confirm}
    row.graph = graph(things, relations, size_of(Path(options.image_dir) / name), origin)
    return row


def _size_sent(path: Path) -> tuple[int, int]:
    from clarifyvlm.endpoint.pictures import LONGEST_SIDE
    from clarifyvlm.images import open_image

    return open_image(path, max_side=LONGEST_SIDE).size


async def _confirmed(
    asker: Asker, endpoint, convention: Convention, things: list[Thing], picture, size: tuple[int, int], row: Row
) -> list[Thing]:
    import asyncio

    rules = CONFIRM.format(words=convention.words)

    def asked(thing: Thing):
        data = {"thing": " ".join([*thing.attributes, thing.name]), "box": convention.said(thing.box, size)}
        return asker.ask(endpoint, Prompt(rules, data, There, picture))

    replies = await asyncio.gather(*map(asked, things), return_exceptions=True)
    if error := next((r for r in replies if isinstance(r, BaseException)), None):
        raise error
    kept = [thing for thing, (said, _) in zip(things, replies, strict=True) if said and said.there]
    row.unconfirmed = len(things) - len(kept)
    return kept


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
