"""The work of author.py: units of examples that share a question -> rows of progress.jsonl -> the files.

    unit       examples of one group with one question: the question is worded once for all of them, so that a minimal
               pair stays one. Their responses are worded one by one
    batch      units that are worked on together: in rounds, each a wording of whatever lacks one. What is decided in a
               round is decided in the order of the data, so that the same replies give the same files
    row        what became of an example: {"id", "outcome", "attempts", "passed", "rejections", "example"}

A killed run continues after the last whole batch, and replays the next one from the replies that are kept.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from authoring.calls import PASSING, Asker, stop
from authoring.checks import (
    MOST_WORDS,
    STEPS,
    Fault,
    Wordings,
    asked_blind,
    asked_readings,
    check_question,
    check_response,
    check_text,
    kept_words,
    not_full_marks,
    predictions,
)
from authoring.prompts import Dialogue, question_prompt, response_prompt, strategy_prompt
from clarifyvlm import images, jsonl
from clarifyvlm.endpoint.arguments import make_endpoint
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from folder.pictures import link
from folder.shares import SMALL_FIRST

BATCH = 64  # units
MOST_KEPT = 500  # characters of a rejected wording
MOST_GUESSED = 1000  # questions that the leak model sees


@dataclass
class Item:
    """One example on its way."""

    plan: Example
    attempts: dict[str, int] = field(default_factory=lambda: {"question": 0, "response": 0})
    passed: Counter = field(default_factory=Counter)  # step -> wordings that passed it
    rejections: list[dict] = field(default_factory=list)
    tried: list[tuple[str, str]] = field(default_factory=list)  # (response, reason)
    question: str | None = None  # once it is accepted
    authored: Example | None = None


@dataclass
class Unit:
    """The examples of one group that share a question."""

    items: list[Item]
    tried: list[tuple[str, str]] = field(default_factory=list)  # (question, reason)
    question: str | None = None

    @property
    def plan(self) -> Example:
        return self.items[0].plan


class Authoring:
    """`run`, then `write_files`. `files`: split -> JSONL file of the plan."""

    def __init__(self, options, args, files: dict[str, Path], output: Path):
        self.options, self.args, self.output = options, args, output
        self.root = Path(options.data_dir)
        self.steps = set(options.verify)
        self.plans = {s: jsonl.read(path, Example, unique="id") for s, path in files.items()}
        self.total = sum(len(plans) for plans in self.plans.values())
        ids = Counter(e.id for plans in self.plans.values() for e in plans)
        if twice := [i for i, n in ids.items() if n > 1]:
            raise UserError(f"{len(twice)} ids are in two splits of {self.root}: {', '.join(twice[:10])}")
        self.wordings = Wordings(options.max_repeats)
        self.author, self.asker = make_endpoint(args, "author"), Asker()
        self.usage = self.author.usage
        self.verifier = self._verifier(options.verifier_model or args.author_model)
        self.judge = self._judge()

    def _verifier(self, model: str):
        base_url, key = self.options.verifier_base_url, self.options.verifier_api_key_env
        more = {"model": model, "base_url": base_url, "api_key_env": key}
        return make_endpoint(self.args, "author", usage=self.usage, role="verifier", **more)

    def _judge(self):
        if self.options.reference_judge == "scene":
            from clarifyvlm.judges.scene import SceneJudge

            return SceneJudge()
        from clarifyvlm.judges.openai_api import OpenAIJudge

        return OpenAIJudge(self._verifier(self.verifier.model))

    # --- the work

    def run(self) -> None:
        """Word what has no row yet. UserError where the run has to stop; what is done is kept."""
        from tqdm import tqdm

        path = self.output / "progress.jsonl"
        with jsonl.Appender(path, key="id") as progress:
            done = {row["id"]: row for row in self.rows()}
            todo = [units for _, units in self._batches() if not self._is_done(units, done)]
            if todo and self.options.author_sees_image:
                images.check_unchanged((plan for plans in self.plans.values() for plan in plans), self.root)
            if todo:
                self._check_endpoints()
            with tqdm(total=self.total, initial=len(done), unit="ex", desc="author", mininterval=0.5) as bar:
                for split, units in self._batches():
                    if self._is_done(units, done):
                        self._remember(units, done)
                        continue
                    self.author.run(self._batch(units))
                    for item in (item for unit in units for item in unit.items):
                        if item.plan.id not in progress.done:
                            progress.append(self._row(item))
                            bar.update()
                    bar.set_postfix({"split": split} | self.usage.shown(bar.format_dict["elapsed"]), refresh=False)

    def _check_endpoints(self) -> None:
        picture = None
        if self.options.author_sees_image:
            from clarifyvlm.endpoint.pictures import picture_url

            first = next(e for plans in self.plans.values() for e in plans)
            picture, _ = picture_url(self.root / first.image)

        async def both():
            await self.author.reach(picture)
            if (self.verifier.base_url, self.verifier.model) != (self.author.base_url, self.author.model):
                await self.verifier.reach()

        self.author.run(both())

    def _batches(self) -> Iterator[tuple[str, list[Unit]]]:
        for split in SMALL_FIRST:
            units: dict[tuple[str, str], Unit] = {}
            for plan in self.plans.get(split, []):
                key = (plan.group_id or plan.id, plan.question)
                units.setdefault(key, Unit([])).items.append(Item(plan))
            whole = list(units.values())
            yield from ((split, whole[i : i + BATCH]) for i in range(0, len(whole), BATCH))

    @staticmethod
    def _is_done(units: list[Unit], done: dict[str, dict]) -> bool:
        return all(item.plan.id in done for unit in units for item in unit.items)

    def _remember(self, units: list[Unit], done: dict[str, dict]) -> None:
        """The questions of a batch of an earlier run, for the step `duplicate`."""
        for unit in units:
            for row in (done[item.plan.id] for item in unit.items):
                if row["question"]:
                    self.wordings.add([item.plan for item in unit.items], row["question"])
                    break

    async def _batch(self, units: list[Unit]) -> None:
        for _ in range(self.options.max_attempts):
            open_units = [u for u in units if u.question is None]
            for unit, (text, fault) in zip(open_units, await _all(self._question(u) for u in open_units), strict=True):
                fault = fault or self._duplicate(unit, text)
                if fault:
                    _reject(unit.items[0], "question", fault, text, unit.tried)
                else:
                    unit.question = text
                    for item in unit.items:
                        item.question = text
                    self.wordings.add([item.plan for item in unit.items], text)
        worded = [(u, item) for u in units if u.question is not None for item in u.items]
        for _ in range(self.options.max_attempts):
            left = [(u, item) for u, item in worded if item.authored is None]
            said = await _all(self._response(u, item) for u, item in left)
            found = [(item, response, fault) for (_, item), (response, fault) in zip(left, said, strict=True)]
            faults = await asyncio.to_thread(self._judged, found)
            for (unit, item), (response, _), fault in zip(left, said, faults, strict=True):
                if fault:
                    text = "" if response is None else json.dumps(response.model_dump(), ensure_ascii=False)
                    _reject(item, "response", fault, text, item.tried)
                else:
                    item.authored = self._example(unit, item, response)

    # --- questions

    async def _question(self, unit: Unit) -> tuple[str, Fault | None]:
        """(wording, what is wrong with it)."""
        plan, first = unit.plan, unit.items[0]
        for item in unit.items:
            item.attempts["question"] += 1
        prompt = question_prompt(plan, kept_words(plan), self.options.seed, MOST_WORDS["question"], unit.tried)
        said, fault = await self.asker.ask(self.author, prompt)
        if fault:
            return "", ("schema", fault)
        text = said.question
        fault = check_text(text, "question", plan, self.steps) or check_question(text, plan, self.steps)
        if fault:
            self._passed_until(first, fault[0])
            return text, fault
        worded = [item.plan.model_copy(update={"question": text}) for item in unit.items]
        for step, ask in (("readings", asked_readings), ("blind", asked_blind)):
            if step in self.steps:
                found = await _all(ask(self.asker, self.verifier, example) for example in worded)
                if fault := next((f for f in found if f), None):
                    self._passed_until(first, step)
                    return text, fault
        self._passed_until(first, "reference")
        return text, None

    def _passed_until(self, item: Item, step: str) -> None:
        before = STEPS[: STEPS.index(step)]
        item.passed.update(f"question {s}" for s in before if s in self.steps)

    def _duplicate(self, unit: Unit, text: str) -> Fault | None:
        if "duplicate" not in self.steps:
            return None
        fault = self.wordings.fault([item.plan for item in unit.items], text)
        if not fault:
            unit.items[0].passed["question duplicate"] += 1
        return fault

    # --- responses

    async def _response(self, unit: Unit, item: Item) -> tuple:
        """(what the author said or None, what is wrong with it)."""
        item.attempts["response"] += 1
        plan = item.plan.model_copy(update={"question": unit.question})
        picture = None
        if self.options.author_sees_image:
            from clarifyvlm.endpoint.pictures import picture_url

            picture = picture_url(self.root / plan.image)
        prompt = response_prompt(plan, MOST_WORDS["response"], picture, item.tried)
        said, fault = await self.asker.ask(self.author, prompt)
        if fault:
            return None, ("schema", fault)
        fault = check_response(said, plan, self.steps)
        if not fault or fault[0] != "schema":
            item.passed["response schema"] += 1
        if "language" in self.steps and (not fault or fault[0] == "reference"):
            item.passed["response language"] += 1
        return said, fault

    def _judged(self, found: list[tuple]) -> list[Fault | None]:
        """The fault of each (item, response, fault so far): where there is none, what the judge finds. One batch."""
        faults = [fault for _, _, fault in found]
        if "reference" not in self.steps:
            return faults
        asked, of = [], []
        for i, (item, response, fault) in enumerate(found):
            if not fault:
                plan = item.plan.model_copy(update={"question": item.question})
                asked += (pairs := predictions(response, plan))
                of += [(i, bool(final)) for final in range(len(pairs))]
        verdicts = self.judge.judge([e for e, _ in asked], [p for _, p in asked])
        if stopped := next((v.failure for v in verdicts if v.failure in ("budget", *PASSING)), None):
            raise stop(self.verifier, stopped)
        for (i, final), verdict in zip(of, verdicts, strict=True):
            faults[i] = faults[i] or not_full_marks(verdict, final)
        for i in {i for i, _ in of}:
            if not faults[i]:
                found[i][0].passed["response reference"] += 1
        return faults

    # --- rows and files

    def _example(self, unit: Unit, item: Item, said) -> Example:
        plan, dialogue = item.plan, None
        if isinstance(said, Dialogue):
            dialogue = plan.dialogue.model_copy(
                update={"question": said.response, "reply": said.reply, "answer": said.answer, "user_kind": "helpful"}
            )
        words = [plan.id, self.args.author_model, unit.question, *said.model_dump().values()]
        kept = {k: v for k, v in plan.provenance.items() if k != "form_held_out"}  # of the template's words
        provenance = kept | {
            "author": self.args.author_model,
            "plan": plan.id,
            "template": plan.question,
            "attempts": dict(item.attempts),
            "verified": [s for s in self.options.verify if s != "blind" or plan.strategy in ("answer", "infer")],
        }
        return plan.model_copy(
            update={
                "id": sha256(json.dumps(words).encode()).hexdigest()[:16],
                "question": unit.question,
                "reference": said.response,
                "dialogue": dialogue,
                "provenance": provenance,
            }
        )

    def _row(self, item: Item) -> dict:
        kept = item.authored
        if kept is None and self.options.keep_template:
            kept = item.plan.model_copy(
                update={"provenance": item.plan.provenance | {"author": None, "attempts": dict(item.attempts)}}
            )
        return {
            "id": item.plan.id,
            "split": item.plan.split,
            "type": item.plan.ambiguity.type,
            "strategy": item.plan.strategy,
            "outcome": "accepted" if item.authored else "template" if kept else "dropped",
            "attempts": item.attempts,
            "passed": dict(sorted(item.passed.items())),
            "rejections": item.rejections,
            "question": item.question,
            "example": kept and kept.model_dump(mode="json"),
        }

    def rows(self) -> list[dict]:
        """What became of every example so far."""
        with open(self.output / "progress.jsonl", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def outcomes(self) -> dict[str, int]:
        return dict(Counter(row["outcome"] for row in self.rows()))

    def write_files(self) -> dict[str, int]:
        """<split>.jsonl in the order of the plan, with the pictures; rejections.jsonl. The number of examples."""
        rows = {row["id"]: row for row in self.rows()}
        counts = {}
        for split, plans in self.plans.items():
            kept = [rows[plan.id]["example"] for plan in plans if rows[plan.id]["example"]]
            for image, digest in {example["image"]: example["image_sha256"] for example in kept}.items():
                link(self.root, image, digest, self.output, image)
            counts[split] = jsonl.write_atomic(self.output / f"{split}.jsonl", kept)
        in_order = [rows[plan.id] for plans in self.plans.values() for plan in plans]
        jsonl.write_atomic(self.output / "rejections.jsonl", (r for row in in_order for r in row["rejections"]))
        return counts

    def guess_strategies(self) -> tuple[int, int, float]:
        """(right guesses of the leak model, questions, share of the most frequent strategy)."""
        rows = [row for row in self.rows() if row["outcome"] == "accepted"]
        rows = rows[:: max(1, len(rows) // MOST_GUESSED)][:MOST_GUESSED]
        model = self._verifier(self.options.leak_model)

        async def guess_all():
            return await _all(self.asker.ask(model, strategy_prompt(row["question"])) for row in rows)

        said = self.author.run(guess_all())
        right = sum(
            bool(guess) and guess.strategy.strip().lower() == row["strategy"]
            for (guess, _), row in zip(said, rows, strict=True)
        )
        most = max(Counter(row["strategy"] for row in rows).values(), default=0)
        return right, len(rows), most / max(1, len(rows))


def _reject(item: Item, part: str, fault: Fault, text: str, tried: list[tuple[str, str]]) -> None:
    step, reason = fault
    item.rejections.append(
        {
            "id": item.plan.id,
            "part": part,
            "attempt": item.attempts[part],
            "step": step,
            "reason": reason,
            "wording": text[:MOST_KEPT],
        }
    )
    tried.append((text[:MOST_KEPT], reason))


async def _all(coroutines) -> list:
    """The results of all, in order. After an error no further call begins (Asker), and those in flight end."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    if error := next((r for r in results if isinstance(r, BaseException)), None):
        raise error
    return results
