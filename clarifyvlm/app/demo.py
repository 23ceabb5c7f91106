"""The page of `main.py demo`: a picture, a question; the model answers or asks back, you reply, it answers.

Beside the dialogue: what the model did (strategy, confidence), the readings where the picture is annotated, and what
the earlier stages say to the same question. Gradio is an extra (`pip install -e '.[demo]'`); the page is for
this machine only unless --host says otherwise, loads nothing from elsewhere and tells nobody of its use.
"""

import errno
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import chain
from pathlib import Path

from clarifyvlm import images, jsonl, machine
from clarifyvlm.app import panel as demo_panel
from clarifyvlm.app import provenance, talk
from clarifyvlm.config import option
from clarifyvlm.errors import UserError
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.models import loading
from clarifyvlm.records import Example
from clarifyvlm.run_record import hash_input
from clarifyvlm.strategies import STRATEGIES
from clarifyvlm.world.places import at, place_of

SCENES_PER_STRATEGY = 2
MAX_UPLOAD = "25mb"
MAX_WORDS = 2000  # characters of a question or a reply
EXAMPLE = "What color is the star?"
KEPT_S = 3600  # uploads and dialogues of a user who has gone
CSS, SCRIPT = (Path(__file__).with_name(name) for name in ("demo.css", "demo.js"))


@dataclass
class DemoArguments(talk.SpeakerArguments):
    compare: bool = option("ask the earlier stages of this model, too", True)
    data_file: str | None = option("examples.jsonl with pictures to try (default: the test set of its data)", None)
    host: str = option("0.0.0.0: open to anyone who can reach this machine", "127.0.0.1")
    port: int = option("0: a free one", 7860, min=0, max=65535)


@dataclass
class Dialogue:
    """What was asked and said about a picture."""

    path: str | None = None  # the picture's file as the page has it; None: the page shows none
    picture: object = None  # PIL.Image; None where the file is not one
    refused: str = ""  # why it is not
    annotated: dict[str, Example] = field(default_factory=dict)  # question -> its example, of a scene
    talks: list[talk.Talk] = field(default_factory=list)  # the model's own first
    shown: list[dict] = field(default_factory=list)  # the turns as the page has them
    heard: str | None = None  # words that wait for the model
    pointed: tuple[float, float] | None = None  # where the click was that they came from
    speaking: bool = False


@dataclass
class Visit:
    """One visitor's page: what it is about now."""

    dialogue: Dialogue = field(default_factory=Dialogue)


def serve(args: DemoArguments, path: str) -> None:
    """Load the models, open the page, and stay until Ctrl-C, SIGTERM or the end of the terminal."""
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    machine.forget_socks()
    try:
        import gradio
    except ImportError as error:
        raise UserError(f"the page needs Gradio, which is not installed ({error}): pip install -e '.[demo]'") from None
    port = _port(args.host, args.port)
    named = talk.lineage(path) if args.compare else {loading.model_label(path): path}
    data_file = args.data_file or _test_set(path)
    examples = jsonl.read(data_file, Example) if data_file else []
    root = Path(data_file).parent if data_file else Path()
    shown = scenes(examples)
    images.check_unchanged(shown, root)
    images.check_images([e.image for e in shown], root)
    speakers = [talk.Speaker(name, where, args) for name, where in named.items()]
    uploads = tempfile.mkdtemp(prefix="clarifyvlm-demo-")
    os.environ["GRADIO_TEMP_DIR"] = uploads  # the only folder whose files the page gives out
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        page = Page(gradio, speakers, shown, examples, root, args, talk.warning(path)).blocks
        page.queue(max_size=64)
        _, url, _ = page.launch(
            server_name=args.host,
            server_port=port,
            share=False,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            max_file_size=MAX_UPLOAD,
            prevent_thread_lock=True,
            enable_monitoring=False,
            css=CSS.read_text(),
            js=SCRIPT.read_text(),
            theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        )
        print(f"The page: {url}   (models: {', '.join(s.name for s in speakers)}; Ctrl-C ends it)", flush=True)
        if args.host not in ("127.0.0.1", "localhost"):
            print(f"--host {args.host}: anyone who reaches this machine may use it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            page.close(verbose=False)
            print("stopped")
    finally:
        shutil.rmtree(uploads, ignore_errors=True)


def scenes(examples: Sequence[Example]) -> list[Example]:
    """A few examples of every strategy, each on a picture of its own."""
    found: dict[str, list[Example]] = {strategy: [] for strategy in STRATEGIES}
    pictures = set()
    for example in examples:
        if len(found[example.strategy]) < SCENES_PER_STRATEGY and example.image_sha256 not in pictures:
            found[example.strategy].append(example)
            pictures.add(example.image_sha256)
    return [row[i] for i in range(SCENES_PER_STRATEGY) for row in found.values() if i < len(row)]


class Page:
    """The page's parts (`blocks` is Gradio's page) and what happens in them."""

    def __init__(
        self, gr, speakers: list[talk.Speaker], shown, examples, root: Path, args: DemoArguments, warning: str = ""
    ):
        """`shown`: those of `examples` whose pictures, in `root`, can be picked; `warning`: what to say beside other
        pictures."""
        self.gr, self.speakers, self.scenes, self.root, self.args = gr, speakers, shown, root, args
        self.warning = warning
        self.of_picture: dict[str, dict[str, Example]] = {}
        pictures = {e.image_sha256 for e in shown}
        for example in examples:
            if example.image_sha256 in pictures:
                self.of_picture.setdefault(example.image_sha256, {})[_plain(example.question)] = example
        self.blocks = self._build()

    def _build(self):
        gr = self.gr

        with gr.Blocks(title="ClarifyVLM", analytics_enabled=False, delete_cache=(KEPT_S, KEPT_S)) as page:
            visit = gr.State(Visit(), time_to_live=KEPT_S)
            gr.HTML(demo_panel.TITLE)
            with gr.Row(elem_id="main"):
                with gr.Column(scale=4, min_width=300, elem_id="left"):
                    picture = gr.Image(
                        label="Picture",
                        sources=["upload", "clipboard"],
                        height=400,
                        elem_id="picture",
                        buttons=[],
                        placeholder=self._invitation(),
                    )
                    # The file's path, unopened: clarifyvlm.images opens it, and says in words what is wrong.
                    picture.preprocess = lambda payload: payload and payload.path
                    pointed = gr.Textbox(visible="hidden", elem_id="pointed")  # demo.js says where a click was
                    gallery = None
                    if self.scenes:
                        gr.HTML("<h2>Pictures to try, each with a question</h2>", elem_id="or")
                        gallery = gr.Gallery(
                            [str(self.root / e.image) for e in self.scenes],
                            label="Scenes",
                            show_label=False,
                            columns=4,
                            allow_preview=False,
                            height="auto",
                            object_fit="contain",
                            interactive=False,
                            buttons=[],
                            elem_id="scenes",
                        )
                with gr.Column(scale=4, min_width=300, elem_id="middle"):
                    dialogue = gr.Chatbot(
                        label=f"You and {self.speakers[0].name}",
                        height=360,
                        render_markdown=False,
                        buttons=[],
                        placeholder="Pick a picture, then ask about it.",
                        elem_id="dialogue",
                    )
                    notice = gr.HTML("", elem_id="notice")
                    words = gr.Textbox(
                        label="Your question",
                        placeholder=EXAMPLE,
                        max_length=MAX_WORDS,
                        elem_id="words",
                    )
                    with gr.Row():
                        send = gr.Button("Send", variant="primary", elem_id="send", min_width=80)
                        anew = gr.Button("New question", elem_id="anew", min_width=80)
                with gr.Column(scale=4, min_width=300, elem_id="right"):
                    panel = gr.HTML(demo_panel.empty(), elem_id="panel")

            talking = [visit, dialogue, notice, words, panel]
            # On a busy machine events come late and together. All go through the queue, one after another, so that what
            # they do to the page comes back in the same order; "multiple": none is dropped for coming too early.
            event = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 1}
            quick = event | {"concurrency_id": "page", "trigger_mode": "multiple"}
            slow = event | {"concurrency_id": "models", "trigger_mode": "multiple"}
            once = quick | {"trigger_mode": "once"}  # Enter, twice
            hearing = gr.on([words.submit, send.click], self.hear, [visit, picture, words], talking, **once)
            hearing.then(self.speak, [visit], talking[1:], **slow)
            pointing = pointed.change(self.point, [visit, picture, pointed], talking, **quick)
            pointing.then(self.speak, [visit], talking[1:], **slow)
            gr.on([picture.upload, picture.clear], self.new_picture, [visit, picture], talking, **quick)
            gr.on([anew.click, dialogue.clear], self.new_question, [visit], talking, **quick)
            if gallery is not None:

                def pick(visit: Visit, event: gr.SelectData):  # type: ignore[name-defined]  # Gradio reads this type
                    return self.pick(visit, event.index)

                gallery.select(pick, [visit], [picture, *talking], **quick)
        return page

    def _invitation(self) -> str:
        """What stands where there is no picture: no invitation to try photographs where they mean nothing."""
        if self.warning:
            return ("Pick a picture below.\n" if self.scenes else "Drop in a picture.\n") + self.warning
        return "Drop in a picture, or click to choose one"

    # --- what happens

    def new_picture(self, visit: Visit, path: str | None):
        """Another picture, or none: the dialogue about the last one is over. The page goes on showing a file that
        cannot be used: to take it away might take away the next one, which is there already."""
        if path == visit.dialogue.path:  # a question that came before this has begun it
            return visit, *[self.gr.skip()] * 4
        return self._begin(visit, self._about(path))

    def pick(self, visit: Visit, index: int):
        """A scene of the gallery, with its question. The page gets a copy, which goes away like an upload."""
        example = self.scenes[index]
        original = self.root / example.image
        copy = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"]), original.name)
        shutil.copyfile(original, copy)
        *page, box, panel = self._begin(visit, self._about(str(copy), original))
        return str(copy), *page, box | {"value": example.question}, panel

    def new_question(self, visit: Visit):
        last = visit.dialogue
        return self._begin(visit, Dialogue(last.path, last.picture, last.refused, last.annotated))

    def _about(self, path: str | None, original: str | Path | None = None) -> Dialogue:
        """A dialogue about the picture that the page has at `path`, which may be a copy of `original`."""
        if path is None:
            return Dialogue()
        original = original or path
        try:
            picture = images.open_image(original, max_side=self.args.image_max_side)
        except UserError as error:
            told = str(error).removeprefix(f"{original}: ")
            return Dialogue(path, refused=f"This file cannot be used: {told}.")
        return Dialogue(path, picture, annotated=self.of_picture.get(hash_input(original), {}))

    def _begin(self, visit: Visit, dialogue: Dialogue) -> tuple:
        visit.dialogue = dialogue
        return visit, *self._untold(dialogue)

    def _untold(self, dialogue: Dialogue) -> tuple:
        """The page before the models speak. What is being typed stays."""
        panel = demo_panel.empty(dialogue.annotated)
        return dialogue.shown, self._notice(dialogue, dialogue.refused), _box(self.gr, replying=False), panel

    def _notice(self, dialogue: Dialogue, alert: str = "") -> str:
        """An alert; else, beside a picture that is none of the known ones, what the model was made for."""
        if alert or dialogue.picture is None or dialogue.annotated:
            return demo_panel.notice(alert)
        return demo_panel.notice(self.warning, "note")

    def point(self, visit: Visit, path: str | None, place: str):
        """A click on the picture, "x,y" in shares of its sides: the reply of a user who points; nothing where the model
        waits for none."""
        dialogue = visit.dialogue
        waits = dialogue.talks and dialogue.talks[0].asks and not (dialogue.heard or dialogue.speaking)
        clicked = re.fullmatch(r"(0\.\d+),(0\.\d+)", place)
        if not clicked or not waits or path != dialogue.path:
            return visit, *[self.gr.skip()] * 4
        x, y = map(float, clicked.groups())
        page = self.hear(visit, path, f"The one {at(place_of(x, y, 1, 1))}.")
        dialogue.pointed = x, y
        return page

    def hear(self, visit: Visit, path: str | None, words: str):
        """Take a question or a reply about the picture that the page shows, at once; `speak` comes after it."""
        keep, words = self.gr.skip(), words.strip()
        shown, box, panel = keep, keep, keep
        if path != visit.dialogue.path:  # this comes before the event that the picture is another one
            _, shown, _, box, panel = self._begin(visit, self._about(path))
        dialogue, told = visit.dialogue, ""
        if dialogue.picture is None:
            told = dialogue.refused or "Pick a picture first."
        elif dialogue.heard or dialogue.speaking:
            told = "One moment: the models are still answering."
        elif not words:
            told = "Write something first."
        else:
            dialogue.heard, dialogue.pointed, box = words, None, box | {"value": ""}
            shown = dialogue.shown = [*dialogue.shown, _turn("user", words), _turn("assistant", "...")]
        return visit, shown, self._notice(dialogue, told), box, panel

    def speak(self, visit: Visit) -> Iterator[tuple]:
        """What the models say to what was heard. Called late, it answers what the dialogue that the page has by then
        has heard; where another one is begun meanwhile, it stops and leaves the page to that."""
        dialogue = visit.dialogue
        if dialogue.heard is None:
            yield (self.gr.skip(),) * 4
            return
        dialogue.speaking = True  # first, that `hear` takes nothing in between
        words, dialogue.heard = dialogue.heard, None
        try:
            for page in chain(self._answer(dialogue, words), [None]):
                if visit.dialogue is not dialogue:  # the last words may have come after the page was cleared
                    yield self._untold(visit.dialogue)
                    return
                if page is not None:
                    yield page
        finally:
            dialogue.speaking = False

    def _answer(self, dialogue: Dialogue, words: str) -> Iterator[tuple]:
        """The page as the model speaks; then as the others do."""
        gr, keep = self.gr, self.gr.skip()
        try:
            if dialogue.talks and dialogue.talks[0].asks:
                talks = [one for one in dialogue.talks if one.asks]
                for one in talks:
                    one.reply(words, dialogue.pointed)
            else:
                example = dialogue.annotated.get(_plain(words))
                talks = dialogue.talks = [talk.Talk(s, dialogue.picture, words, example) for s in self.speakers]
            for one in talks:
                for said in one.respond():
                    growing = said if isinstance(said, str) else None
                    if one is dialogue.talks[0]:  # what it thinks aloud is in the panel
                        answer = after_reasoning(said if isinstance(said, str) else said.text)
                        shown = answer or ("(nothing)" if growing is None else "...")
                        dialogue.shown = [*dialogue.shown[:-1], _turn("assistant", shown)]
                    yield dialogue.shown, keep, keep, demo_panel.of(dialogue.talks, speaking=one, growing=growing)
            page = (
                dialogue.shown,
                self._notice(dialogue),
                _box(gr, replying=dialogue.talks[0].asks),
                demo_panel.of(dialogue.talks),
            )
        except Exception as error:
            dialogue.talks = []
            told = str(error) if isinstance(error, UserError) else "The model failed. Its terminal says why."
            if not isinstance(error, UserError):
                traceback.print_exc()
            page = dialogue.shown, demo_panel.notice(told), _box(gr, replying=False), keep
        dialogue.speaking = False  # before the page has the last of it: a reply may come at once
        yield page


def _box(gr, replying: bool):
    label, example = ("Your reply", "Type it, or click on the picture") if replying else ("Your question", EXAMPLE)
    return gr.update(label=label, placeholder=example)


def _turn(role: str, text: str) -> dict:
    return {"role": role, "content": escape(text)}  # Gradio shows HTML


def _plain(question: str) -> str:
    return " ".join(question.casefold().split()).rstrip("?. ")


def _test_set(path: str) -> Path | None:
    for stage in reversed(provenance.history(path).stages):
        if stage.data_dir and (stage.data_dir / "test.jsonl").is_file():
            return stage.data_dir / "test.jsonl"
    return None


def _port(host: str, port: int) -> int:
    """`port`, or a free one for 0. UserError where it cannot be listened on."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: a port is a number from 0 to 65535.")
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise UserError(f"--host {host}: is no IPv4 address or name of this machine ({error}).") from None
            raise UserError(f"--port {port}: cannot be used ({error}); give another, or 0 for a free one.") from None
        return found.getsockname()[1]
