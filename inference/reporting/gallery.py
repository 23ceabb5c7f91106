"""Which examples the report shows, and what of them: the same choice on every run, spread over the strategies."""

import base64
import io
from collections import Counter
from pathlib import Path

from clarifyvlm import images
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from clarifyvlm.strategies import STRATEGIES
from measures import failures
from measures.judged import Judged, by_hash

PER_CELL = 3  # examples of every cell of a confusion table and of every failure, as far as there is room
THUMBNAIL = 320  # pixels, longer side
SMALL_FILE = 24_000  # bytes: a picture this small goes in as it is
FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


def choose(examples: list[Example], models: list[Judged], best: str, per_strategy: int) -> list[tuple[Example, str]]:
    """(example, why) for each strategy: a few of everything that a model did, half of the rest failures of `best`, then
    what models differ on, then any.

    Within a group the order is that of a hash of the example's id: fixed, and blind to how interesting an example is.
    """

    def right(model: Judged, example: Example) -> float | None:
        verdict = model.verdict_on(example.id)
        return None if verdict is None else verdict.criteria["strategy_right"]

    by_name = {model.name: model for model in models}
    shown = []
    for strategy in STRATEGIES:
        mine = [e for e in examples if e.strategy == strategy and any(e.id in m.predictions for m in models)]
        mine.sort(key=by_hash)
        failed = [e for e in mine if right(by_name[best], e) == 0]
        differ = [e for e in mine if right(by_name[best], e) == 1 and any(right(m, e) == 0 for m in models)]
        groups = [(f"{best} fails", failed[: per_strategy // 2]), ("models differ", differ), ("", mine)]
        taken: dict[str, tuple[Example, str]] = {}
        for example in _of_every_cell(mine, models)[:per_strategy]:  # so that no cell of a confusion table is empty
            why = f"{best} fails" if example in failed else "models differ" if example in differ else ""
            taken[example.id] = (example, why)
        for why, group in groups:
            for example in group:
                if len(taken) < per_strategy:
                    taken.setdefault(example.id, (example, why))
        order = [why for why, _ in groups]
        shown += sorted(taken.values(), key=lambda pair: -order.index(pair[1]) if pair[1] else 1)
    return shown


def _of_every_cell(examples: list[Example], models: list[Judged]) -> list[Example]:
    """Up to PER_CELL of the examples for each model and each strategy that it used and failure that it has."""
    count: Counter[tuple[str, str]] = Counter()
    found = []
    for example in examples:
        cells = []
        for model in models:
            if verdict := model.verdict_on(example.id):
                modes = failures.of(example, verdict, model.predictions[example.id])
                cells += [(model.name, cell) for cell in (verdict.used_strategy, *modes)]
        if any(count[cell] < PER_CELL for cell in cells):
            found.append(example)
            count.update(cells)
    return found


def card(example: Example, why: str, models: list[Judged], root: Path) -> dict:
    """What the page needs to show one example."""
    return {
        "example": example,
        "why": why,
        "picture": picture(root / example.image),
        "readings": [(r.expression, r.answer) for r in example.ambiguity.readings],
        "said": (said := [_said(model, example) for model in models if example.id in model.predictions]),
        "did": {row["model"]: {"used": row["used"], "failures": row["failures"]} for row in said if row["used"]},
        "differ": len({row["right"] for row in said if row["used"]}) == 2,
    }


def _said(model: Judged, example: Example) -> dict:
    prediction, verdict = model.predictions[example.id], model.verdicts.get(example.id)
    failure = verdict.failure if verdict is not None else "no verdict"
    return {
        "model": model.name,
        "turns": prediction.turns,
        "used": None if failure else verdict.used_strategy,
        "right": None if failure or "strategy_right" in verdict.unknown else bool(verdict.criteria["strategy_right"]),
        "failures": [] if failure else failures.of(example, verdict, prediction),
        "failure": failure,
        "lost": verdict.evidence.get(failure, "")
        if verdict is not None and failure
        else "",  # the words that the judge could not place
    }


def picture(path: Path) -> str | None:
    """The picture as a data: address, made smaller where it is large; None where it cannot be opened."""
    try:
        image = images.open_image(path, max_side=THUMBNAIL)
    except UserError:
        return None
    kind = FORMATS.get(path.suffix.lower())
    if kind and path.stat().st_size <= SMALL_FILE:
        data = path.read_bytes()
    else:
        kind, buffer = "jpeg", io.BytesIO()
        image.save(buffer, "JPEG", quality=82)
        data = buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
