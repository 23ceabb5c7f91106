"""The page of `main.py demo`: a picture, a question; the model answers or asks back, you reply, it answers.

Beside the dialogue stands what the model did (strategy, confidence), the readings where the picture is annotated, and
what the models that it was made from say to the same. Gradio is an extra (`pip install -e '.[demo]'`); the page is for
this machine only unless --host says otherwise, loads nothing from elsewhere and tells nobody of its use.
"""

import errno
import os
import shutil
import signal
import socket
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from clarifyvlm import images, jsonl
from clarifyvlm.app import panel as demo_panel
from clarifyvlm.app import provenance, talk
from clarifyvlm.errors import UserError
from clarifyvlm.models import loading
from clarifyvlm.records import Example
from clarifyvlm.strategies import STRATEGIES

SCENES_PER_STRATEGY = 2
MAX_UPLOAD = "25mb"
MAX_WORDS = 2000  # characters of a question or a reply
EXAMPLE = "What color is the star?"
KEPT_S = 3600  # uploads and dialogues of a user who has gone
CSS = Path(__file__).with_name("demo.css")


@dataclass
class DemoArguments(talk.SpeakerArguments):
    compare: bool = field(
        default=True, metadata={"help": "put each question also to the models that this one was made from"}
    )
    data_file: str | None = field(
        default=None, metadata={"help": "examples.jsonl to pick scenes from (default: the test set beside its data)"}
    )
    host: str = field(default="127.0.0.1", metadata={"help": "0.0.0.0: anyone who reaches this machine may use it"})
    port: int = field(default=7860, metadata={"help": "0: a free one"})


@dataclass
class Session:
    """What one visitor's page is about."""

    picture: object = None  # PIL.Image
    annotated: dict[str, Example] = field(default_factory=dict)  # question -> its example, of a scene
    talks: list[talk.Talk] = field(default_factory=list)  # the model's own first
    shown: list[dict] = field(default_factory=list)  # the dialogue as the page has it
    heard: str | None = None  # words that wait for the model
    speaking: bool = False
    over: "Session | None" = None  # the one that was begun instead


def serve(args: DemoArguments, path: str) -> None:
    """Load the models, open the page, and stay until Ctrl-C, SIGTERM or the end of the terminal."""
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
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
    images.check_images([e.image for e in shown], root)
    speakers = [talk.Speaker(name, where, args) for name, where in named.items()]
    uploads = tempfile.mkdtemp(prefix="clarifyvlm-demo-")
    os.environ["GRADIO_TEMP_DIR"] = uploads  # the only folder whose files the page gives out
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        page = Page(gradio, speakers, shown, examples, root, args).blocks
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
            theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        )
        print(f"The page: {url}   (models: {', '.join(s.name for s in speakers)}; Ctrl-C ends it)", flush=True)
        if args.host not in ("127.0.0.1", "localhost"):
            print(f"--host {args.host}: anyone who reaches this machine may use it", flush=True)
        page.block_thread()
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

    def __init__(self, gr, speakers: list[talk.Speaker], shown, examples, root: Path, args: DemoArguments):
        """`shown`: those of `examples` whose pictures, in `root`, can be picked."""
        self.gr, self.speakers, self.scenes, self.root, self.args = gr, speakers, shown, root, args
        self.of_picture: dict[str, dict[str, Example]] = {}
        pictures = {e.image_sha256 for e in shown}
        for example in examples:
            if example.image_sha256 in pictures:
                self.of_picture.setdefault(example.image_sha256, {})[_plain(example.question)] = example
        self.blocks = self._build()

    def _build(self):
        gr = self.gr

        with gr.Blocks(title="ClarifyVLM", analytics_enabled=False, delete_cache=(KEPT_S, KEPT_S)) as page:
            session = gr.State(None, time_to_live=KEPT_S)
            gr.HTML(demo_panel.TITLE)
            with gr.Row():
                with gr.Column(scale=3, min_width=300):
                    picture = gr.Image(
                        label="Picture", sources=["upload", "clipboard"], height=260, elem_id="picture", buttons=[]
                    )
                    # The file's path, unopened: clarifyvlm.images opens it, and says in words what is wrong.
                    picture.preprocess = lambda payload: payload and payload.path
                    gallery = None
                    if self.scenes:
                        gr.HTML("<h2>... or a scene; a question comes with it</h2>", elem_id="or")
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
                with gr.Column(scale=4, min_width=300):
                    dialogue = gr.Chatbot(
                        label=f"You and {self.speakers[0].name}",
                        height=340,
                        render_markdown=False,
                        buttons=[],
                        placeholder="Drop in a picture or pick a scene, then ask about it.",
                        elem_id="dialogue",
                    )
                    notice = gr.HTML("", elem_id="notice")
                    words = gr.Textbox(
                        label="Your question",
                        placeholder=EXAMPLE,
                        max_length=MAX_WORDS,
                        autofocus=True,
                        elem_id="words",
                    )
                    with gr.Row():
                        send = gr.Button("Send", variant="primary", elem_id="send", min_width=80)
                        anew = gr.Button("New question", elem_id="anew", min_width=80)
                with gr.Column(scale=4, min_width=300):
                    panel = gr.HTML(demo_panel.empty(), elem_id="panel")

            talking = [session, dialogue, notice, words, panel]
            quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
            slow = quick | {"queue": True, "concurrency_limit": 1, "concurrency_id": "models"}
            hearing = gr.on([words.submit, send.click], self.hear, [session, words], [dialogue, notice, words], **quick)
            hearing.then(self.speak, [session], [dialogue, notice, words, panel], trigger_mode="multiple", **slow)
            gr.on([picture.upload, picture.clear], self.new_picture, [session, picture], [picture, *talking], **quick)
            gr.on([anew.click, dialogue.clear], self.new_question, [session], talking, **quick)
            if gallery is not None:

                def pick(before: Session | None, event: gr.SelectData):
                    return self.pick(before, event.index)

                gallery.select(pick, [session], [picture, *talking], **quick)
        return page

    # --- what happens

    def new_picture(self, before: Session | None, path: str | None):
        """Another picture: the dialogue about the last one is over."""
        if path is None:
            return None, *self._start(before, Session())
        try:
            found = Session(images.open_image(path, max_side=self.args.image_max_side))
        except UserError as error:
            told = str(error).removeprefix(f"{path}: ")
            return None, *self._start(before, Session(), f"This file cannot be used: {told}.")
        return self.gr.skip(), *self._start(before, found)

    def pick(self, before: Session | None, index: int):
        """A scene of the gallery, with its question."""
        example = self.scenes[index]
        picture = images.open_image(self.root / example.image, max_side=self.args.image_max_side)
        found = Session(picture, self.of_picture[example.image_sha256])
        return picture, *self._start(before, found, words=example.question)

    def new_question(self, before: Session | None):
        return self._start(before, Session(before.picture, before.annotated) if before else Session())

    def _start(self, before: Session | None, session: Session, notice: str = "", words: str | None = None):
        """An empty dialogue; what is being typed stays, unless there are other `words`."""
        if before is not None:
            before.over = session
        box = _box(self.gr, replying=False) | ({} if words is None else {"value": words})
        return session, [], demo_panel.notice(notice), box, demo_panel.empty(session.annotated)

    def hear(self, session: Session | None, words: str):
        """Take a question or a reply, at once; `speak` comes after it."""
        keep, words = self.gr.skip(), words.strip()
        if session is None or session.picture is None:
            return keep, demo_panel.notice("Drop in a picture or pick a scene first."), keep
        if session.heard or session.speaking:
            return keep, demo_panel.notice("One moment: not all models have spoken yet."), keep
        if not words:
            return keep, demo_panel.notice("Write something first."), keep
        session.heard = words
        session.shown = [*session.shown, _turn("user", words), _turn("assistant", "...")]
        return session.shown, "", self.gr.update(value="")

    def speak(self, session: Session | None) -> Iterator[tuple]:
        """What the model says to what was heard, as it is spoken; then what the other models say. On a busy machine
        this is called late, with the session that the page has by then: whatever was heard in that one is answered."""
        gr, keep = self.gr, self.gr.skip()
        if session is None or session.heard is None:
            yield keep, keep, keep, keep
            return
        words, session.heard, session.speaking = session.heard, None, True
        try:
            if session.talks and session.talks[0].asks:
                talks = [one for one in session.talks if one.asks]
                for one in talks:
                    one.reply(words)
            else:
                example = session.annotated.get(_plain(words))
                talks = session.talks = [talk.Talk(s, session.picture, words, example) for s in self.speakers]
            for one in talks:
                for said in one.respond():
                    if begun := session.over:  # the last words may have come after the page was cleared
                        if not begun.heard and not begun.talks:
                            yield [], keep, keep, demo_panel.empty(begun.annotated)
                        return
                    text = said if isinstance(said, str) else said.text or "(nothing)"
                    if one is session.talks[0]:
                        session.shown = [*session.shown[:-1], _turn("assistant", text or "...")]
                    growing = text if isinstance(said, str) else None
                    yield session.shown, keep, keep, demo_panel.of(session.talks, speaking=one, growing=growing)
            yield session.shown, "", _box(gr, replying=session.talks[0].asks), demo_panel.of(session.talks)
        except Exception as error:
            session.talks = []
            told = str(error) if isinstance(error, UserError) else "The model failed. Its terminal says why."
            if not isinstance(error, UserError):
                traceback.print_exc()
            yield session.shown, demo_panel.notice(told), _box(gr, replying=False), keep
        finally:
            session.speaking = False


def _box(gr, replying: bool):
    label, example = ("Your reply", "The one at the top left.") if replying else ("Your question", EXAMPLE)
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
