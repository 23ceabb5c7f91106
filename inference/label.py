"""Label responses of a model in the terminal: what people say of them, to hold a judge against.

    python inference/label.py --data_file runs/tiny/data/test.jsonl \
        --predictions runs/tiny/inference/grpo/predictions.jsonl --output_file labels.jsonl --annotator ann

Draws --num_labels of the predictions, as many of every right strategy as there are, and shows them in a shuffled order
with the question, its readings and the facts; never with the right strategy, the reference or a verdict. One key each:
u takes the last key back, space skips a response, x stops. Where stdin is no terminal, it is one key per line.

A response is a line of --output_file as soon as it is labeled, for `audit_judge.py --labels` and `report.py --labels`.
Answers that contradict each other are asked again, those in the file too. The same command continues where it stopped.
"""

import json
import os
import random
import select
import shutil
import sys
import textwrap
import unicodedata
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from clarifyvlm import images, jsonl
from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.records import CRITERIA, Example, Object, Prediction
from clarifyvlm.strategies import STRATEGIES
from measures.contradictions import contradiction
from predicting.answered import answered

UNDO, SKIP, STOP = "u", " ", "x"
COMMANDS = {UNDO: "back", SKIP: "skipped", STOP: "stop"}
STRATEGY_KEYS = {
    "a": "answer", "i": "infer", "e": "enumerate", "q": "clarify", "c": "correct", "s": "abstain", "n": "none",
}  # fmt: skip
YES_NO = {"y": 1.0, "n": 0.0}
NONE = "none of these: empty, garbage, off the topic, or only the question again"
# Wordings hold for every right strategy, so that none of them gives it away.
ASKED = {
    "used_strategy": "Which strategy does it follow, rightly or not? What it commits to counts: with an answer, a "
    "question beside it is no clarify; naming the reading it took makes infer of answer. When each is right:",
    "grounded": "Grounded? Nothing it claims contradicts the facts. No, too, if it claims to know what is hidden, or "
    "follows no strategy and claims nothing true.",
    "answer_right": "Is its answer right? For one reading, or several with the same answer: that answer. Where one "
    "reading stands out: the answer of that one, and no other named. Where several are equal: it lists, and every "
    "entry is right. No if it commits to none.",
    "overconfident": "Overconfident? It asserts one answer as if there were no other reading: none named, no question "
    "beside it. Where no reading has an answer: any answer.",
    "over_asked": "Does it ask what is meant, beside an answer or not?",
    "complete": "How many of the {n} readings does it give the right answer for?",
    "question_value": "How many of the {n} readings would a helpful reply to its question single out? A question about "
    "what the user wants to know singles out none.",
}
UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories: control, turning text around, surrogates, line breaks
MOST_SHOWN = 4000  # characters of a response
ESCAPE_S = 0.05  # what follows ESC within this many seconds belongs to the same key


@dataclass
class ScriptArguments:
    data_file: str = option("examples.jsonl that the predictions are about")
    predictions: str = option("predictions.jsonl of one model")
    output_file: str = option("labels.jsonl to write, or to continue")
    annotator: str = option("who labels: a name or initials, kept in every line")
    num_labels: int = option("responses to label; more of them later keep those done", 60, min=1)
    seed: int = option("of the draw and of its order; give all annotators the same", 0)


@dataclass
class Question:
    name: str  # used_strategy or one of CRITERIA
    text: str
    options: dict[str, str | float] = field(default_factory=dict)  # what is typed -> what it means

    @property
    def typed(self) -> bool:
        """Whether an answer takes more than one key, and so an Enter."""
        return len(self.options) > 10


@dataclass
class Item:
    """A response to label, with the answers so far by question; `saved`: they are in the file."""

    example: Example
    prediction: Prediction
    model: str
    given: dict[str, str | float] = field(default_factory=dict)
    saved: bool = False


THE_END = Question("end", f"That was the last one: {UNDO} goes back, {STOP} ends.")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([ScriptArguments], argv, description=__doc__)
    _check(args)
    sys.stdout.reconfigure(errors="backslashreplace")  # a response may have characters that the terminal lacks
    items = draw(_items(args), args.num_labels, args.seed)
    images.check_unchanged([item.example for item in items], Path(args.data_file).parent)
    labels = Labels(args.output_file, args.annotator)
    items.sort(key=labels.place)
    at = sum(item.saved for item in items)
    if labels.contradictory:
        print(f"{len(labels.contradictory)} labels in {args.output_file} contradict themselves: they are asked again")
    few = " (there are no more)" if len(items) < args.num_labels else ""
    print(f"{len(items)} responses to label{few}; {at} of them are labeled by {escaped(args.annotator)}")
    try:
        with Keys() as keys:
            label(items, at, keys, labels, Path(args.data_file).absolute().parent)
    finally:  # Ctrl-C, too
        done = sum(item.saved for item in items)
        hint = "; the same command shows the others" if done < len(items) else ""
        print(f"\n{args.output_file}: {done} of {len(items)} labeled by {escaped(args.annotator)}{hint}", flush=True)
    return 0


def _check(args: ScriptArguments) -> None:
    if not args.annotator.strip():
        raise UserError("--annotator is empty: give a name or initials, so that labels of two people can be compared.")
    if Path(args.output_file).suffix != ".jsonl":
        raise UserError(f"--output_file {args.output_file}: must end in .jsonl.")


def _items(args: ScriptArguments) -> list[Item]:
    """Every prediction with its example. One without a model's name gets that of its folder, as in the report."""
    pairs, _ = answered(args.data_file, args.predictions, args.output_file)
    folder = Path(args.predictions).absolute().parent.name
    return [Item(e, p, folder if p.model == "unknown" else p.model) for e, p in pairs]


def draw(items: list[Item], num_labels: int, seed: int) -> list[Item]:
    """`num_labels` items (all, where there are fewer), as many of every right strategy as there are, shuffled.

    The draw does not depend on the order of `items`, and one of more labels holds every one of fewer.
    """
    pools = {strategy: [] for strategy in STRATEGIES}
    for item in sorted(items, key=lambda item: item.example.id):
        pools[item.example.strategy].append(item)
    for strategy, pool in pools.items():
        random.Random(f"{seed}:{strategy}").shuffle(pool)
    drawn = [item for turn in zip_longest(*pools.values()) for item in turn if item][:num_labels]
    random.Random(f"{seed}:order").shuffle(drawn)
    return drawn


# --- what is asked -----------------------------------------------------------------------------------------------


def questions(example: Example, used: str | None) -> list[Question]:
    """What is asked about a response that follows `used` (None: not known yet), in order.

    They depend on what the annotator sees and says, never on the right strategy: to ask only what applies to it would
    give it away. `criteria` drops what does not apply.
    """
    readings = len(example.ambiguity.readings)
    always = ("grounded", "answer_right", "overconfident", "over_asked")
    asked = [Question("used_strategy", ASKED["used_strategy"], STRATEGY_KEYS)]
    asked += [Question(name, ASKED[name], YES_NO) for name in always]
    share = {"infer": "complete", "enumerate": "complete", "clarify": "question_value"}.get(used)
    if share and readings > 1:
        options = {str(count): count / readings for count in range(readings + 1)}
        asked += [Question(share, ASKED[share].format(n=readings), options)]
    return asked


def next_question(item: Item) -> Question | None:
    """The first question without an answer; None where all have one."""
    asked = questions(item.example, item.given.get("used_strategy"))
    return next((question for question in asked if question.name not in item.given), None)


def criteria(example: Example, given: dict[str, str | float]) -> dict[str, float | None]:
    """The seven CRITERIA by the definitions in clarifyvlm/judges/scene.py, from what was `given` to `questions`."""
    right = example.strategy
    applies = {
        "answer_right": right in ("answer", "infer", "enumerate"),
        "overconfident": right != "answer",
        "over_asked": right in ("answer", "correct", "abstain"),
        "complete": right == "enumerate",
    }
    values = {"complete": 0.0, "question_value": None}  # where they were not asked: nothing listed, no question
    values |= given | {"strategy_right": float(given["used_strategy"] == right)}
    return {name: values[name] if applies.get(name, True) else None for name in CRITERIA}


def label(items: list[Item], at: int, keys: "Keys", labels: "Labels", root: Path) -> None:
    """Ask about `items` from number `at` on until all are done or the annotator stops; keep each that is complete."""
    shown = None
    while True:
        item = items[at] if at < len(items) else None
        if item and at != shown:
            print(f"\n{describe(item, root, f'{at + 1} of {len(items)}')}")
        shown = at
        question = next_question(item) if item else THE_END
        key = ask(keys, question)
        if key == STOP:
            return
        if key == UNDO and item and item.given:
            item.given.popitem()
        elif key == UNDO and at == 0:
            print("This is the first one.")
        elif key == UNDO:
            at -= 1
            labels.take_back(items[at])
            if items[at].given:
                items[at].given.popitem()
        elif key == SKIP and item:
            item.given.clear()
            at += 1
        elif item:
            item.given[question.name] = question.options[key]
            if why := contradiction(item.example, item.given["used_strategy"], item.given):
                item.given.popitem()
                print(f"{why}: answer again, or take the one before back ({UNDO})")
            elif next_question(item) is None:
                labels.add(item)
                at += 1


def ask(keys: "Keys", question: Question) -> str:
    """The answer to a question: one of its options, or of COMMANDS. The end of stdin stops."""
    print(f"\n{textwrap.fill(question.text, _width())}")
    if question.name == "used_strategy":
        for key, name in STRATEGY_KEYS.items():
            print(f"  {key}  {name:<10} {STRATEGIES.get(name, NONE)}")
    options = list(question.options)
    choice = f"{options[0]}..{options[-1]}, then Enter" if question.typed else "/".join([*options, UNDO, STOP])
    while True:
        print(f"{choice} > ", end="", flush=True)
        key = keys.read(question.typed) or STOP
        if key in question.options or key in COMMANDS:
            meaning = question.options.get(key) if question.name == "used_strategy" else None
            print(meaning or COMMANDS.get(key) or {"y": "yes", "n": "no"}.get(key, key))
            return key
        print(f"{escaped(key)}: no answer here")


# --- what is shown -----------------------------------------------------------------------------------------------


def describe(item: Item, root: Path, number: str) -> str:
    """The item for a terminal, which nothing in it drives, without the right strategy, the reference and the model."""
    example, width, picture = item.example, _width(), root / item.example.image
    lines = [
        f"--- {number}   (u: back, space: skip, x: stop) ".ljust(width, "-"),
        f"picture   {escaped(str(picture))}" + ("" if picture.is_file() else "   (no such file: go by the facts)"),
        f"question  {escaped(example.question)}",
        "readings  and their answers" if example.ambiguity.readings else "readings  none: nothing in the picture fits",
    ]
    for i, reading in enumerate(example.ambiguity.readings, start=1):
        answer = "hidden in the picture" if reading.answer is None else escaped(reading.answer)
        objects = f"   ({escaped(', '.join(reading.objects))})" if reading.objects else ""
        lines.append(f"  {i:>2}  {escaped(reading.expression)}: {answer}{objects}")
    lines.append("facts" if example.facts.complete else "facts     (there may be more that nobody annotated)")
    lines += [f"  {_object(o)}" for o in example.facts.objects]
    text = item.prediction.text
    lines += ["response" if text.strip() else "response  (empty)", *_quoted(text[:MOST_SHOWN], width)]
    if len(text) > MOST_SHOWN:
        lines.append(f"  (and {len(text) - MOST_SHOWN:,} characters more)")
    return "\n".join(lines)


def _object(o: Object) -> str:
    words = [w for w in (o.size, o.pattern if o.pattern != "solid" else None, o.color, o.name) if w]
    hidden = f", hidden: {', '.join({'name': 'shape'}.get(h, h) for h in o.hidden)}" if o.hidden else ""
    return escaped(f"{o.id}  {' '.join(words)}, {o.place}, salience {o.salience:.2f}{hidden}")


def _quoted(text: str, width: int) -> list[str]:
    """Every line behind a bar, so that none passes for one of this script."""
    lines = []
    for line in text.split("\n"):
        parts = textwrap.wrap(escaped(line), width - 4, drop_whitespace=False, replace_whitespace=False)
        lines += [f"  | {part}" for part in parts or [""]]
    return lines


def escaped(text: str) -> str:
    """`text` with the characters that drive a terminal, turn text around or break lines spelt out: ESC as \\x1b."""
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in UNSAFE else c for c in text)


def _width() -> int:
    return max(40, min(100, shutil.get_terminal_size((100, 24)).columns))


# --- keys and the file -------------------------------------------------------------------------------------------


class Keys:
    """Single keys from a terminal, without Enter; lines from anything else. Leaving it restores the terminal."""

    def __enter__(self):
        self.saved = None
        if sys.stdin.isatty():
            import termios
            import tty

            self.saved = termios.tcgetattr(sys.stdin.fileno())
            tty.setcbreak(sys.stdin.fileno(), termios.TCSADRAIN)  # Ctrl-C stays an interrupt
        return self

    def __exit__(self, *_):
        if self.saved is not None:
            import termios

            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self.saved)

    def read(self, typed: bool = False) -> str | None:
        """The next key (line) in lower case, empty ones left out; with `typed` a number up to its Enter. None: end."""
        if self.saved is None:
            for line in iter(sys.stdin.readline, ""):
                if key := line.rstrip("\r\n").lower():
                    return key
            return None
        number = ""
        while True:
            key = self._press()
            if key == "\n":
                if number:
                    return number
            elif not typed or key is None or key in COMMANDS:
                return key
            elif key in "0123456789":
                number += key
                print(key, end="", flush=True)
            elif key in "\b\x7f" and number:
                number = number[:-1]
                print("\b \b", end="", flush=True)

    def _press(self) -> str | None:
        """One key press; None for Ctrl-D. Arrow keys and pasted text, which start with ESC, are no presses."""
        fd = sys.stdin.fileno()
        while (byte := os.read(fd, 1)) == b"\x1b":
            while select.select([fd], [], [], ESCAPE_S)[0] and os.read(fd, 4096):
                pass
        return None if byte in (b"", b"\x04") else byte.decode("ascii", "replace").lower().replace("\r", "\n")


class Labels:
    """The file of labels. Opened for each row, as a row takes a person minutes and others may write to it as well."""

    def __init__(self, path: str | Path, annotator: str):
        from measures.human_labels import Label

        self.path, self.annotator = Path(path), annotator
        try:
            with jsonl.Appender(self.path):
                pass  # drops a torn last line
        except OSError as error:
            raise UserError(f"--output_file {path}: cannot be written: {error.strerror}. Give another file.") from None
        rows = jsonl.read(self.path, Label)
        self._rows = {_key(row.model_dump()): (place, row) for place, row in enumerate(rows)}
        self.contradictory: set[tuple] = set()  # the keys of rows that are to be replaced

    def place(self, item: Item) -> float:
        """Where in the file the item's label was at the start; infinity, and `saved` unset, where none (that holds)."""
        key = _key(self._row(item))
        place, row = self._rows.get(key, (float("inf"), None))
        if row and contradiction(item.example, row.used_strategy, row.criteria):
            self.contradictory.add(key)
            place = float("inf")
        item.saved = place < float("inf")
        return place

    def add(self, item: Item) -> None:
        found = {"used_strategy": item.given["used_strategy"], "criteria": criteria(item.example, item.given)}
        if (key := _key(self._row(item))) in self.contradictory:
            self._remove(key)
        with jsonl.Appender(self.path) as output:
            output.append(self._row(item) | found)
        item.saved = True

    def take_back(self, item: Item) -> None:
        """Take the item's row, if it has one, out of the file; the other lines stay as they are."""
        if item.saved:
            self._remove(_key(self._row(item)))
            item.saved = False

    def _remove(self, key: tuple) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not line.strip() or _key(json.loads(line)) != key]
        jsonl.write_text_atomic(self.path, b"".join(kept).decode())

    def _row(self, item: Item) -> dict:
        row = {"example_id": item.example.id, "model": item.model, "annotator": self.annotator}
        return row | {"text": item.prediction.text}


def _key(row: dict) -> tuple:
    """What a label is of: the words of a response, too, for a model may say something else after more training."""
    return tuple(row[name] for name in ("annotator", "model", "example_id", "text"))


if __name__ == "__main__":
    run_main(main)
