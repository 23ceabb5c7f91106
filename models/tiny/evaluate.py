"""Measure the embedded base on held-out pictures: what it sees, in whose words, and that it still picks one reading.

    python models/tiny/evaluate.py --model_dir models/tiny --num_questions 500

Writes `evaluation.json` and the tables between the markers of the model card (`README.md`) in --model_dir.
Answers are generated (greedy) through AutoProcessor and AutoModelForImageTextToText, as every user loads it.
"""

import argparse
import json
import os
import random
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "30000")

KINDS = ("color", "shape", "size", "position", "count", "existence")
LISTED = (2, 3, 4)  # objects of a kind that are all to be named
SEED = "held-out"  # pretraining draws from integer seeds
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    p, z2 = right / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * ((p * (1 - p) + z2 / (4 * n)) / n) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def rows(number: int):
    """(name, [(facts, Asked, answers that count as right)]) per row of the tables."""
    from clarifyvlm.world.plain_questions import PHRASES, Asked
    from pretraining_data import sample_scene
    from pretraining_questions import ask

    def draw(name, kind, fits=lambda asked: True, **how):
        rng = random.Random(f"{SEED}:{name}")
        items = []
        while len(items) < number:
            facts = sample_scene(rng)
            asked = ask(facts, kind, rng, **how)
            if asked and fits(asked):
                items.append((facts, asked, {asked.answer}))
        return name, items

    for kind in KINDS:
        yield draw(kind, kind, strict=True)
    for kind in KINDS:
        yield draw(f"{kind}, held-out words", kind, strict=True, held_out=True)
    for n in LISTED:
        yield draw(f"all {n} of a kind named", "list", lambda asked, n=n: len(asked.objects) == n)
    for kind in ("misspelt", "verify", "what_at", "describe"):
        yield draw(kind, kind, lambda asked: len(asked.objects) <= 1, strict=True)
    for kind in ("scene", "compare", "meant"):
        yield draw(kind, kind)
    yield draw("meant, held-out words", "meant", held_out=True)
    rng = random.Random(f"{SEED}:chat")
    small_talk = [Asked(text, PHRASES["chat"]["answer"], None) for text in PHRASES["chat"]["held_out"]]
    yield "small talk, held-out words", [(sample_scene(rng), asked, {asked.answer}) for asked in small_talk]


def ambiguous(number: int):
    """Questions about color and shape with several readings: right is a direct answer for any one of them."""
    from clarifyvlm.world.plain_questions import direct
    from clarifyvlm.world.queries import Query
    from pretraining_data import sample_scene
    from pretraining_questions import ask

    rng = random.Random(f"{SEED}:ambiguous")
    items = []
    while len(items) < number:
        facts, kind = sample_scene(rng), rng.choice(("color", "shape"))
        asked = ask(facts, kind, rng)
        if asked and len(asked.objects) > 1:
            query = Query(kind)
            answers = {query.answer_for(o) for o in asked.objects} - {None}
            if len(answers) > 1:
                items.append((facts, asked, {direct(kind, a) for a in answers}))
    return "ambiguous: answered for one reading", items


def messages(asked) -> list[dict]:
    """The turns of a question as chat messages."""
    from clarifyvlm.chat import text_turn, user_turn

    if not asked.before:
        return user_turn(asked.question)
    question, answer = (part.split("|>")[-1] for part in asked.before.split("<|end|>")[:2])
    return [*user_turn(question), text_turn("assistant", answer), text_turn("user", asked.question)]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, default=Path(__file__).parent)
    parser.add_argument("--num_questions", type=int, default=500, help="per row")
    parser.add_argument("--batch_size", type=int, default=64)
    args = parser.parse_args(argv)

    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from clarifyvlm.world.scenes import TINY_WORLD, render

    processor = AutoProcessor.from_pretrained(args.model_dir)
    processor.tokenizer.padding_side = "left"
    model = AutoModelForImageTextToText.from_pretrained(args.model_dir, dtype=torch.float32).eval()
    blank = Image.new("RGB", (TINY_WORLD.image_size,) * 2, (252, 252, 250))

    def respond(turns, pictures):
        texts = [processor.apply_chat_template(t, add_generation_prompt=True) for t in turns]
        inputs = processor(text=texts, images=pictures, return_tensors="pt", padding=True)
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=40, do_sample=False)
        return processor.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    table = {}
    for name, items in (*rows(args.num_questions), ambiguous(args.num_questions)):
        answers = [asked.answer for _, asked, _ in items]
        row = {"n": len(items), "chance": max(answers.count(a) for a in set(answers)) / len(answers)}
        for condition in ("seen", "blanked"):
            right, wrong = 0, []
            for start in range(0, len(items), args.batch_size):
                batch = items[start : start + args.batch_size]
                pictures = [render(facts) if condition == "seen" else blank for facts, _, _ in batch]
                responses = respond([messages(asked) for _, asked, _ in batch], pictures)
                for (_, asked, accepted), response in zip(batch, responses, strict=True):
                    right += response.strip() in accepted
                    if response.strip() not in accepted:
                        question = " / ".join(m["content"][-1]["text"] for m in messages(asked))
                        wrong.append({"question": question, "right": sorted(accepted), "said": response.strip()})
            low, high = wilson(right, len(items))
            row[condition] = {"accuracy": right / len(items), "low": low, "high": high}
            if condition == "seen":
                row["mistakes"] = wrong[:5]
        table[name] = row
        print(name, {c: round(row[c]["accuracy"], 3) for c in ("seen", "blanked")}, flush=True)
    (args.model_dir / "evaluation.json").write_text(json.dumps(table, indent=1) + "\n")
    card = args.model_dir / "README.md"
    if card.exists():
        head, rest = card.read_text().split(BEGIN)
        lines = [
            "| question | n | accuracy, 95 % interval | picture blanked | most frequent answer |",
            "|---|---|---|---|---|",
        ]
        for name, row in table.items():
            seen = row["seen"]
            lines.append(
                f"| {name} | {row['n']} | {seen['accuracy']:.1%} ({seen['low']:.1%} – {seen['high']:.1%}) "
                f"| {row['blanked']['accuracy']:.1%} | {row['chance']:.1%} |"
            )
        card.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
