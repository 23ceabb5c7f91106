"""ClarifyVLM from the terminal.

python main.py run [preset] [run_dir] [--overwrite]      the whole pipeline: hands over to run.sh
python main.py compare RUN RUN ...                       runs side by side: settings, paired differences
python main.py sweep PRESET RUN_DIR --STAGE.KEY VALUE ... [--seeds 0 1 2]
                                                         run.sh for every combination, and one table of results
python main.py benchmarks FOLDER MODEL ... --output_dir DIR
                                                         models on released benchmarks, and one table of results
python main.py ask --image picture.png --question "What color is the star?"
                                                         one question about one picture: the model answers or asks back
python main.py demo [--port 7860]                        the same as a page in the browser
python main.py publish --model_name_or_path runs/tiny/grpo --report_dir runs/tiny/report --output_dir published
                                                         a folder for others to load, with a model card
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from clarifyvlm import images
from clarifyvlm.app import benchmarks as benchmarking
from clarifyvlm.app import demo as demo_page
from clarifyvlm.app import publishing, talk
from clarifyvlm.app import sweep as sweeping
from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.models import loading

ROOT = Path(__file__).resolve().parent
DEFAULT_MODEL = Path("runs/tiny/grpo")


@dataclass
class AskArguments(talk.SpeakerArguments):
    image: str = field(kw_only=True, metadata={"help": "the picture"})
    question: str = field(kw_only=True, metadata={"help": "what to ask about it"})
    compare: bool = option("ask the earlier stages of this model, too", False)


def main(argv: list[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    commands = {
        "run": run,
        "compare": compare,
        "sweep": sweep,
        "benchmarks": benchmarks,
        "ask": ask,
        "demo": demo,
        "publish": publish,
    }
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


def compare(argv: list[str]) -> int:
    """Replace this process by the report's comparison of runs."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(ROOT / "inference/report.py"), "compare", *argv])


def sweep(argv: list[str]) -> int:
    """A grid of settings through run.sh."""
    return sweeping.main(argv, ROOT)


def benchmarks(argv: list[str]) -> int:
    """Models on the released files of published benchmarks."""
    return benchmarking.main(argv, ROOT)


def ask(argv: list[str]) -> int:
    """One picture, one question: the model answers, or asks back, hears the reply and answers."""
    (args,) = parse_args(
        [AskArguments],
        argv,
        description=(
            "One question about one picture: the model answers or asks back.\n\n"
            '    python main.py ask --image inference/example.png --question "What color is the star?"'
        ),
    )
    path = args.model_name_or_path or _default_model()
    loading.check_checkpoint(path)
    picture = images.open_image(args.image, max_side=args.image_max_side)
    question = args.question.strip()
    if not question:
        raise UserError("--question is empty.")
    if warning := talk.warning(path):
        print(f"warning: {warning}", file=sys.stderr)
    named = talk.lineage(path) if args.compare else {"Model": path}
    talks = [talk.Talk(talk.Speaker(name, where, args), picture, question) for name, where in named.items()]
    width = max(len(name) for name in named)
    print(f"{'You:':{width + 1}} {question}")
    for one in talks:
        _speak(one, width)
    asking = [one for one in talks if one.asks]
    if not talks[0].asks:
        return 0
    reply = _read_reply(width)
    if not reply:
        print("(no reply: the dialogue ends here)")
        return 0
    for one in asking:
        one.reply(reply)
        _speak(one, width)
    return 0


def demo(argv: list[str]) -> int:
    """The page."""
    (args,) = parse_args([demo_page.DemoArguments], argv, description="A page to talk to a model about a picture.")
    path = args.model_name_or_path or _default_model()
    loading.check_checkpoint(path)
    demo_page.serve(args, path)
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


def _speak(one: talk.Talk, width: int) -> None:
    """Print the model's next turn: in a terminal as it is spoken, then with its confidence."""
    head = f"{one.speaker.name + ':':{width + 1}} "
    print(head, end="", flush=True)
    shown = ""
    for said in one.respond():
        text = said if isinstance(said, str) else said.text
        if text.startswith(shown):  # a piece of a character is not shown before the rest of it
            print(text[len(shown) :], end="", flush=True)
            shown = text
    cut = " ... (cut: --max_new_tokens)" if said.finish_reason == "length" else ""
    print(f"{'' if shown else '(nothing)'}{cut}    [{one.strategy}, confidence {said.confidence:.0%}]", flush=True)


def _read_reply(width: int) -> str:
    """The user's line: typed in a terminal, else the next line of stdin, which is then shown; "" at its end."""
    head = f"{'You:':{width + 1}} "
    try:
        if sys.stdin.isatty():
            return input(head).strip()
        reply = sys.stdin.readline().strip()
    except EOFError:
        return ""
    if reply:
        print(f"{head}{reply}")
    return reply


if __name__ == "__main__":
    run_main(main)
