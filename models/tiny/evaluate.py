"""Measure the embedded base on held-out unambiguous questions, per kind, with the picture and with it blanked.

    python models/tiny/evaluate.py --model_dir models/tiny --num_questions 500

Writes `evaluation.json` and the table between the markers of the model card (`README.md`) in --model_dir.
Answers are generated (greedy) through AutoProcessor and AutoModelForImageTextToText, as every user loads it.
"""

import argparse
import json
import os
import random
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "30000")

KINDS = ("color", "shape", "size", "position", "count", "existence")
SEED = "held-out"  # pretraining draws from integer seeds
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    p, z2 = right / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * ((p * (1 - p) + z2 / (4 * n)) / n) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, default=Path(__file__).parent)
    parser.add_argument("--num_questions", type=int, default=500, help="per kind")
    parser.add_argument("--batch_size", type=int, default=64)
    args = parser.parse_args(argv)

    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from clarifyvlm.chat import user_turn
    from clarifyvlm.world.scenes import render
    from pretraining_data import TINY_WORLD, sample_scene
    from pretraining_questions import ask

    processor = AutoProcessor.from_pretrained(args.model_dir)
    processor.tokenizer.padding_side = "left"
    model = AutoModelForImageTextToText.from_pretrained(args.model_dir, dtype=torch.float32).eval()

    def respond(questions, pictures):
        texts = [processor.apply_chat_template(user_turn(q), add_generation_prompt=True) for q in questions]
        inputs = processor(text=texts, images=pictures, return_tensors="pt", padding=True)
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=24, do_sample=False)
        return processor.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    from PIL import Image

    blank = Image.new("RGB", (TINY_WORLD.image_size,) * 2, (252, 252, 250))
    table = {}
    for kind in KINDS:
        rng = random.Random(f"{SEED}:{kind}")
        items = []
        while len(items) < args.num_questions:
            facts = sample_scene(rng)
            pair = ask(facts, kind, rng, strict=True)
            if pair:
                items.append((*pair[:2], facts))
        row = {"n": len(items)}
        answers = [a for _, a, _ in items]
        row["chance"] = max(answers.count(a) for a in set(answers)) / len(answers)
        for condition in ("seen", "blanked"):
            right, wrong = 0, []
            for start in range(0, len(items), args.batch_size):
                batch = items[start : start + args.batch_size]
                pictures = [render(f) if condition == "seen" else blank for _, _, f in batch]
                for (q, a, _), said in zip(batch, respond([q for q, _, _ in batch], pictures), strict=True):
                    right += said.strip() == a
                    if said.strip() != a:
                        wrong.append({"question": q, "right": a, "said": said.strip()})
            low, high = wilson(right, len(items))
            row[condition] = {"accuracy": right / len(items), "low": low, "high": high}
            if condition == "seen":
                row["mistakes"] = wrong[:5]
        table[kind] = row
        print(
            kind,
            {c: round(row[c]["accuracy"], 3) for c in ("seen", "blanked")},
            flush=True,
        )
    (args.model_dir / "evaluation.json").write_text(json.dumps(table, indent=1) + "\n")
    card = args.model_dir / "README.md"
    if card.exists():
        head, rest = card.read_text().split(BEGIN)
        lines = [
            "| kind | n | accuracy, 95 % interval | picture blanked | most frequent answer |",
            "|---|---|---|---|---|",
        ]
        for kind, row in table.items():
            seen = row["seen"]
            lines.append(
                f"| {kind} | {row['n']} | {seen['accuracy']:.1%} ({seen['low']:.1%} – {seen['high']:.1%}) "
                f"| {row['blanked']['accuracy']:.1%} | {row['chance']:.1%} |"
            )
        card.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
