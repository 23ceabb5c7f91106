"""Replies that the extract judge takes from its model, without the model: none breaks it, its own example is one."""

import json
import random
from pathlib import Path

from clarifyvlm import jsonl
from clarifyvlm.judges import extract_schema
from clarifyvlm.judges.claims import response_of
from clarifyvlm.judges.extract_schema import parse
from clarifyvlm.judges.finding import Finding
from clarifyvlm.language.facts import Case
from clarifyvlm.records import Example

SCENES = Path(__file__).parents[1] / "data" / "judge_scenes.jsonl"
EXAMPLES = jsonl.read(SCENES, Example)


def test_no_reply_raises():
    """A reply of the right form that no careful reader would give, and that takes the whole run with it."""
    rng = random.Random(0)
    words = "the a two several it one both other stars square object 星 café vermilion red big striped not left of top"
    words = [*words.split(), "second from the left", "wrapped", "bigger than", "next to", "none", "7", "gred"]
    response = " ".join(words)
    kept = 0
    for _ in range(1500):
        found = {name: [any_entry(schema, rng, words, response) for _ in range(rng.randint(0, 4))]
                 for name, schema in extract_schema.LISTS.items()}  # fmt: skip
        found |= {cue: rng.choice(["", "not", "vermilion"]) for cue in extract_schema.CUES}
        found["synonyms"] = [{"said": rng.choice(words), "means": rng.choice(words)}]
        try:
            found = parse(json.dumps(extract_schema.reply(**found, off_topic=rng.random() < 0.5)), "is " + response)
        except ValueError:
            continue
        kept += 1
        case = Case(rng.choice(EXAMPLES))
        read, _ = response_of(found, case)
        finding = Finding(case, "", read)
        finding.criteria()
        assert finding.used
    assert kept > 300


def any_entry(schema: dict, rng: random.Random, words: list[str], span: str) -> dict:
    """An entry with something in some of its fields; its span is the whole response."""
    found = {"span": span}
    for name, field in schema["properties"].items():
        if name == "span" or (rng.random() < 0.5 and name not in ("kind", "value", "property")):
            continue
        found[name] = {
            "string": lambda field=field: rng.choice(field.get("enum", words)),
            "boolean": lambda: rng.random() < 0.5,
            "integer": lambda: rng.randint(0, 2),
            "array": lambda field=field: [rng.choice(field["items"].get("enum", [0, 1, 2]))],
        }[field["type"]]()
    return found


def test_its_example_is_a_good_reply():
    """An example in the prompt that its own judge would refuse."""
    said = "I see two mugs. The big one on the left is crimson, the other might be teal. Which do you mean?"
    assert said in extract_schema.SYSTEM.replace("\n", " ")
    parse(json.dumps(extract_schema.EXAMPLE), said)
