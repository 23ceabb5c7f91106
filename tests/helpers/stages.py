"""For tests of the training stages: their scripts as modules, and a small data folder that holds every strategy."""

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STRATEGIES = ("answer", "infer", "enumerate", "clarify", "correct", "abstain")
FEW = ["--num_unambiguous", "0", "--num_replay", "0", "--min_per_cell", "0"]  # of generate.py: a few examples of tiny
COLORS = {"red": (220, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 220), "yellow": (240, 210, 40)}
PLACES = ("top left", "top right", "bottom left", "bottom right")


def script(path: str):
    """A stage script as a module; pytest's pythonpath has its folder, as when it is run."""
    file = ROOT / path
    name = path.replace("/", "_").removesuffix(".py")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def example(index: int, split: str = "train") -> dict:
    """A record of the strategy STRATEGIES[index % 6]: stars (and a circle) in the corners, asked for their color."""
    strategy = STRATEGIES[index % 6]
    turn = index // 6
    colors = [list(COLORS)[(turn + i) % 4] for i in range(4)]
    stars = {"answer": 1, "infer": 2, "enumerate": 2, "clarify": 4, "correct": 0, "abstain": 1}[strategy]
    objects = []
    for i in range(max(stars, 1)):
        x, y, side = (i % 2) * 48 + 4, (i // 2) * 48 + 4, 16 if strategy == "infer" and i else 32
        hidden = strategy == "abstain"
        objects.append(
            {
                "id": f"o{i}",
                "name": "star" if stars else "circle",
                "box": [x, y, x + side, y + side],
                "place": PLACES[i],
                "salience": side * side / 96**2,
                "color": None if hidden else colors[i],
                "size": "large" if side == 32 else "small",
                "hidden": ["color"] if hidden else [],
            }
        )
    found = objects if stars else []
    one = "the one at the {} is {}".format
    reference = {
        "answer": f"It is {colors[0]}.",
        "infer": f"I take you to mean the large star: it is {colors[0]}.",
        "enumerate": f"There are two stars: {one(PLACES[0], colors[0])} and {one(PLACES[1], colors[1])}.",
        "clarify": "Which star do you mean? Please say where it is.",
        "correct": "There is no star in the picture.",
        "abstain": "I cannot tell: the star is wrapped, so its color is hidden.",
    }[strategy]
    dialogue = None
    if strategy == "clarify":
        reply = f"The one at the {PLACES[1]}."
        dialogue = {"reading": 1, "question": reference, "reply": reply, "answer": f"It is {colors[1]}."}
    readings = [
        {"objects": [o["id"]], "expression": f"the star at the {o['place']}", "answer": o["color"]} for o in found
    ]
    types = {"answer": "none", "correct": "premise", "abstain": "unanswerable"}
    level = {"answer": 0, "infer": 1, "enumerate": 2, "clarify": 3}.get(strategy)
    return {
        "id": f"{split}{index:04d}",
        "split": split,
        "image": f"images/{split}{index:04d}.png",
        "image_sha256": "",
        "question": "What color is the star?",
        "kind": "color",
        "ambiguity": {"type": types.get(strategy, "referential"), "level": level, "readings": readings},
        "strategy": strategy,
        "reference": reference,
        "dialogue": dialogue,
        "facts": {"source": "scenes", "width": 96, "height": 96, "objects": objects},
    }


def write_data(folder: Path, train: int = 48, validation: int = 6) -> Path:
    """train.jsonl, validation.jsonl and pictures in `folder`; no two pictures are alike."""
    from PIL import Image, ImageDraw

    (folder / "images").mkdir(parents=True)
    for split, count in (("train", train), ("validation", validation)):
        lines = []
        for index in range(count):
            record = example(index, split)
            tint = 255 - 2 * (index % 50)
            picture = Image.new("RGB", (96, 96), (tint, 250, 245 if split == "train" else 235))
            for o in record["facts"]["objects"]:
                ImageDraw.Draw(picture).rectangle(o["box"], fill=COLORS.get(o["color"], (150, 150, 150)))
            picture.save(folder / record["image"])
            record["image_sha256"] = hashlib.sha256((folder / record["image"]).read_bytes()).hexdigest()
            lines.append(json.dumps(record) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return folder


def run(path: str, *arguments) -> subprocess.CompletedProcess:
    """A stage script run to its end as a user runs it."""
    return subprocess.run(_command(path, arguments), capture_output=True, text=True, cwd=ROOT)


def kill_when(path: str, there: Path, *arguments) -> None:
    """Run a stage script and kill -9 it as soon as the file `there` exists."""
    process = subprocess.Popen(_command(path, arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)
    deadline = time.monotonic() + 300
    while not there.exists():
        if process.poll() is not None:
            raise AssertionError(f"{path} ended before {there} was there: {process.stderr.read().decode()[-2000:]}")
        assert time.monotonic() < deadline, f"{there} did not appear"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def _command(path: str, arguments) -> list[str]:
    return [sys.executable, str(ROOT / path), *map(str, arguments)]
