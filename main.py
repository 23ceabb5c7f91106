"""ClarifyVLM from the terminal.

python main.py run [preset] [run_dir] [--overwrite]      the whole pipeline: hands over to run.sh
python main.py ask --image picture.png --question "What color is the star?"
                                                         one picture, one question: the model answers, or asks back
python main.py publish --model_name_or_path runs/tiny/grpo --report_dir runs/tiny/report --output_dir published
                                                         a folder that others can load, with a model card
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clarifyvlm import chat, images, models, publishing
from clarifyvlm.config import parse_args
from clarifyvlm.errors import UserError, run_main

ROOT = Path(__file__).resolve().parent
DEFAULT_MODEL = Path("runs/tiny/grpo")


@dataclass
class AskArguments:
    image: str = field(metadata={"help": "the picture"})
    question: str = field(metadata={"help": "what to ask about it"})
    model_name_or_path: str | None = field(
        default=None, metadata={"help": f"checkpoint, adapter or hub name (default: {DEFAULT_MODEL}, made by ./run.sh)"}
    )
    max_new_tokens: int = field(default=128, metadata={"help": "longest response, in tokens"})
    image_max_side: int | None = field(default=None, metadata={"help": "shrink a longer picture to this, in pixels"})
    device: str | None = field(default=None, metadata={"help": "cuda, cuda:1, mps, cpu (default: the best there is)"})
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


def main(argv: list[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    commands = {"run": run, "ask": ask, "publish": publish}
    if argv and argv[0] in commands:
        return commands[argv[0]](argv[1:])
    if argv and argv[0] not in ("-h", "--help"):
        raise UserError(f"unknown command {argv[0]!r}; there are: {', '.join(commands)}. --help shows more.")
    print(__doc__.strip())
    return 0 if argv else 2


def run(argv: list[str]) -> int:
    """Replace this process by run.sh, which knows the order of the stages."""
    sys.stdout.flush()
    os.execv(ROOT / "run.sh", [str(ROOT / "run.sh"), *argv])


def ask(argv: list[str]) -> int:
    """One picture, one question: the model answers, or asks back, hears the reply and answers."""
    (args,) = parse_args([AskArguments], argv, description="One picture, one question; the model answers or asks back.")
    path = args.model_name_or_path or _default_model()
    models.check_checkpoint(path)
    picture = images.open_image(args.image, max_side=args.image_max_side)
    if not args.question.strip():
        raise UserError("--question is empty.")

    from clarifyvlm.generation import Generator

    model, processor = models.load(path, device=args.device, dtype=args.dtype)
    speak = Generator(models.merged(model), processor, max_new_tokens=args.max_new_tokens)
    conversation = chat.user_turn(args.question)
    print(f"You:   {args.question}")
    (said,) = speak([conversation], [picture])
    _show(said)
    if "?" not in said.text:
        return 0
    reply = _read_reply()
    if not reply:
        print("(no reply: the dialogue ends here)")
        return 0
    conversation += [chat.text_turn("assistant", said.text), chat.text_turn("user", reply)]
    (said,) = speak([conversation], [picture])
    _show(said)
    return 0


def publish(argv: list[str]) -> int:
    """A checkpoint -> a folder that others can load, with its model card; to the hub only with --push_to_hub."""
    (args,) = parse_args(
        [publishing.PublishArguments], argv, description="A folder that others can load, with a model card."
    )
    folder = publishing.publish(args)
    print(f"{folder}: read {folder / 'README.md'} before you pass it on")
    return 0


def _default_model() -> str:
    for folder in (DEFAULT_MODEL, ROOT / DEFAULT_MODEL):
        if folder.is_dir():
            print(f"model: {DEFAULT_MODEL} (another one: --model_name_or_path)", file=sys.stderr)
            return str(folder)
    raise UserError(
        f"there is no {DEFAULT_MODEL} yet. `./run.sh` makes it in minutes; or give --model_name_or_path (models/tiny "
        "is the untuned model)."
    )


def _show(said) -> None:
    cut = " ... (cut: --max_new_tokens)" if said.finish_reason == "length" else ""
    print(f"Model: {said.text or '(nothing)'}{cut}    [confidence {said.confidence:.0%}]", flush=True)


def _read_reply() -> str:
    """The user's line: typed in a terminal, else the next line of stdin, which is then shown; "" at its end."""
    try:
        if sys.stdin.isatty():
            return input("You:   ").strip()
        reply = sys.stdin.readline().strip()
    except EOFError:
        return ""
    if reply:
        print(f"You:   {reply}")
    return reply


if __name__ == "__main__":
    run_main(main)
