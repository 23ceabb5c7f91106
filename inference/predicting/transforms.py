"""Variants of an examples file that keep what is right, with the same ids: a verdict on a variant can be set beside the
verdict on the original, example by example.

A transform changes the picture, or the words of the question, and everything in the example that follows from it. Where
it does not apply (an example without a second answer to offer, a photograph that cannot be drawn anew) the example is
left out and counted.
"""

import functools
import hashlib
import io
import itertools
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clarifyvlm import images, jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from clarifyvlm.run_record import RunRecord
from clarifyvlm.world import wording
from clarifyvlm.world.places import PLACES
from clarifyvlm.world.queries import Query

if TYPE_CHECKING:
    from PIL.Image import Image

    Changed = tuple[Example, Image] | None

SCALE = 1.25
OPPOSITE = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
ATTRIBUTES = {"color": "color", "shape": "name", "size": "size", "position": "place"}  # by the kind of question


class AppliesToNone(UserError):
    """A transform that can change none of the examples."""


def mirror(example: Example, picture: "Image") -> "Changed":
    from PIL import ImageOps

    example = example.model_copy(deep=True)
    for o in example.facts.objects:
        x0, y0, x1, y1 = o.box
        o.box = (round(example.facts.width - x1, 6), y0, round(example.facts.width - x0, 6), y1)
        o.place = _swapped(o.place)
    for reading in example.ambiguity.readings:
        reading.expression = _swapped(reading.expression)
        reading.answer = reading.answer and _swapped(reading.answer)
    example.question, example.reference = _swapped(example.question), _swapped(example.reference)
    if example.dialogue:
        for part in ("question", "reply", "answer"):
            setattr(example.dialogue, part, _swapped(getattr(example.dialogue, part)))
    query = example.provenance.get("query")
    if isinstance(query, dict):
        example.provenance["query"] = {k: _swapped(v) if isinstance(v, str) else v for k, v in query.items()}
    return example, ImageOps.mirror(picture)


def _swapped(text: str) -> str:
    """Left and right as whole words: all that says in words on which side something is."""
    return re.sub(r"\b(left|right)(?=most\b|\b)", lambda m: OPPOSITE[m[0]], text, flags=re.IGNORECASE)


def resize(example: Example, picture: "Image") -> "Changed":
    from PIL import Image

    width, height = (round(SCALE * side) for side in picture.size)
    if width * height > images.MAX_PIXELS:
        return None
    example = example.model_copy(deep=True)
    facts = example.facts
    across, down = round(SCALE * facts.width) / facts.width, round(SCALE * facts.height) / facts.height
    for o in facts.objects:
        x0, y0, x1, y1 = o.box
        o.box = (round(x0 * across, 2), round(y0 * down, 2), round(x1 * across, 2), round(y1 * down, 2))
    facts.width, facts.height = round(SCALE * facts.width), round(SCALE * facts.height)
    return example, picture.resize((width, height), Image.Resampling.LANCZOS)


def background(example: Example, picture: "Image") -> "Changed":
    from PIL import ImageChops

    from clarifyvlm.world import scenes

    names = sorted(scenes.BACKGROUNDS)
    if example.facts.source != "scenes" or example.facts.background not in names:
        return None
    drawn = scenes.render(example.facts)
    if drawn.size != picture.size or ImageChops.difference(drawn, picture).getbbox():
        return None  # not the picture of these facts: drawn anew it would change in more than its background
    example = example.model_copy(deep=True)
    example.facts.background = names[(names.index(example.facts.background) + 1) % len(names)]
    return example, scenes.render(example.facts)


def reworded(example: Example, picture: "Image") -> "Changed":
    asked = example.provenance.get("query")
    if example.facts.source != "scenes" or not asked:
        return None
    wordings = _wordings(tuple(sorted(asked.items())))
    others = [words for words in wordings if words != example.question]
    if example.question not in wordings and not example.provenance.get("form_held_out"):
        return None  # someone else's words
    if not others:
        return None
    example = example.model_copy(deep=True)
    example.question = random.Random(f"reworded:{example.id}").choice(others)
    return example, picture


@functools.cache
def _wordings(asked: tuple) -> list[str]:
    """Every question that phrasings.yaml has for a query, given as sorted items, but for those that are held out."""
    return sorted(wording.questions(Query(**dict(asked))))


def options(example: Example, picture: "Image") -> "Changed":
    return _with_options(example, picture, 1)


def options_reversed(example: Example, picture: "Image") -> "Changed":
    return _with_options(example, picture, -1)


def _with_options(example: Example, picture: "Image", step: int) -> "Changed":
    values = _options(example)
    if not values:
        return None
    values = values[::step]
    words = f"{', '.join(values[:-1])} or {values[-1]}?"
    example = example.model_copy(deep=True)
    asked = example.question if example.question.endswith((".", "?")) else f"{example.question}?"
    example.question = f"{asked} {words[0].upper()}{words[1:]}"
    return example, picture


def _options(example: Example) -> list[str] | None:
    """The answers of the readings, or the one answer and another that it could have been, in a drawn order."""
    answers = sorted({r.answer or "" for r in example.ambiguity.readings})
    # Lexical: beside a misspelt word the options are the only words that the judge knows, and seem to be the subject.
    if example.kind not in ATTRIBUTES or example.ambiguity.type in ("attribute", "lexical"):
        return None
    if not answers or "" in answers:
        return None
    rng = random.Random(f"options:{example.id}")
    if len(answers) == 1:
        others = _others(example, answers[0])
        if not others:
            return None
        answers.append(rng.choice(others))
    return rng.sample(answers, len(answers))


def _others(example: Example, answer: str) -> list[str]:
    """Values of the asked attribute that other things in the picture have; where there are none, of the world."""
    from clarifyvlm.world.scenes import TINY_WORLD

    if answer in OPPOSITE:
        return [OPPOSITE[answer]]
    attribute = ATTRIBUTES[example.kind]
    seen = {getattr(o, attribute) for o in example.facts.objects if attribute not in o.hidden}
    world = {"color": TINY_WORLD.colors, "name": TINY_WORLD.names, "size": TINY_WORLD.sizes, "place": PLACES}
    known = {value for value in seen if value} - {answer} or set(world[attribute]) - {answer}
    return sorted(known)


class Transform(NamedTuple):
    what: str
    change: Callable[[Example, "Image"], "Changed"]


TRANSFORMS = {
    "mirror": Transform("the picture mirrored; left and right swapped in all words", mirror),
    "resize": Transform(f"the picture at {SCALE} times its width and height in pixels", resize),
    "background": Transform("generated scenes: drawn anew on another background", background),
    "reworded": Transform("generated scenes: another phrasing of the same question", reworded),
    "options": Transform("the question followed by its possible answers: Red, blue or green?", options),
    "options_reversed": Transform("the same answers in the reverse order: Green, blue or red?", options_reversed),
}


def apply(
    name: str,
    examples: Sequence[Example],
    root: str | Path,
    output_dir: str | Path,
    overwrite: bool = False,
    redo: bool = False,
) -> Path:
    """Write output_dir/examples.jsonl and its pictures in output_dir/images; what is complete is kept as it is.

    Pictures of `examples` are relative to `root`. Ids, and what is right, stay; provenance gets {"transform": name}.
    Raises UserError for an unknown name, a bad picture, or a file made of other examples (`overwrite` deletes
    it, `redo` puts it away), and
    AppliesToNone where no example can be changed.
    """
    transform = named(name)
    path = Path(output_dir) / "examples.jsonl"
    changed = _changed(name, examples, Path(root))
    first = next(changed, None)
    if first is None:
        raise AppliesToNone(
            f"variant {name} ({transform.what}) applies to none of the {len(examples)} examples. Leave it out, or give "
            "other data."
        )
    settings = {"transform": name, "examples": digest(examples)}
    with RunRecord.start(path, "transform", settings | {"overwrite": overwrite, "redo": redo}) as run:
        if run.complete:
            return path
        rows = (_stored(*found, path.parent) for found in itertools.chain([first], changed))
        count = jsonl.write_atomic(path, rows)
        run.finish(examples=count, left_out=len(examples) - count)
    print(f"{path}: {count} examples, {len(examples) - count} left out")
    return path


def digest(examples: Sequence[Example]) -> str:
    """sha256 of examples, for the record of a run on some of a file."""
    return hashlib.sha256("\n".join(jsonl.dumps(e) for e in examples).encode()).hexdigest()


def named(name: str) -> Transform:
    if name not in TRANSFORMS:
        raise UserError(f"no transform {name!r}. There are: {', '.join(TRANSFORMS)}.")
    return TRANSFORMS[name]


def _changed(name: str, examples: Sequence[Example], root: Path) -> Iterator[tuple[Example, "Image | Path"]]:
    """The changed examples, each with its new picture, or the file of the old one where that stays."""
    for example in examples:
        file = root / example.image
        picture = images.open_image(file)
        found = TRANSFORMS[name].change(example, picture)
        if found:
            changed, drawn = found
            changed.provenance["transform"] = name
            yield changed, file if drawn is picture else drawn


def _stored(example: Example, picture: "Image | Path", folder: Path) -> Example:
    """`example` with its picture in folder/images, named by content: questions about one picture keep sharing one."""
    if isinstance(picture, Path):
        content, suffix = picture.read_bytes(), picture.suffix
    else:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=1)
        content, suffix = buffer.getvalue(), ".png"
    example.image_sha256 = hashlib.sha256(content).hexdigest()
    example.image = f"images/{example.image_sha256[:16]}{suffix}"
    target = folder / example.image
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".tmp")
        temporary.write_bytes(content)
        os.replace(temporary, target)
    return example
