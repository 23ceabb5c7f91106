"""The page of `main.py demo` in headless Chromium: whole dialogues by keys and by touch, bad uploads, two users, a busy
machine; and what its events do when they come late or in another order."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from clarifyvlm import jsonl
from clarifyvlm.app import demo, panel, talk
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from clarifyvlm.run_record import hash_input
from small_examples import write_examples

ROOT = Path(__file__).resolve().parents[2]
BROWSER = next((b for b in ("chromium", "chromium-browser", "google-chrome", "chrome") if shutil.which(b)), None)


def in_browser(test):
    without = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
    return pytest.mark.slow(without(test))


TURNS = "#dialogue [data-testid=user], #dialogue [data-testid=bot]"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
QUESTION, ASKED, REPLY, ANSWER = (
    "What color is the star?",
    "Which star do you mean?",
    "The one at the top left.",
    "It is red.",
)


@pytest.fixture(scope="module")
def page_url(tmp_path_factory, asking_model_dir, tiny_model_dir):
    """The page of a model whose record says that it was tuned from another one."""
    folder = tmp_path_factory.mktemp("demo")
    data, tuned = write_examples(folder / "data"), folder / "tuned"
    shutil.copytree(asking_model_dir, tuned)
    inputs = [{"path": str(tiny_model_dir), "sha256": hash_input(tiny_model_dir)}]
    record = {"stage": "tuning_sft", "status": "complete", "inputs": inputs}
    (tuned / "run.json").write_text(json.dumps(record | {"args": {"model_name_or_path": str(tiny_model_dir)}}))
    command = [sys.executable, ROOT / "main.py", "demo", "--model_name_or_path", tuned, "--data_file", data]
    command += ["--port", "0", "--device", "cpu", "--max_new_tokens", "40"]
    uploads = folder / "tmp"
    uploads.mkdir()
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(uploads)}
    )
    line = next((line for line in process.stdout if line.startswith("The page: ")), "")
    assert "models: SFT, base" in line, "the page did not start"
    yield line.split()[2]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert process.stdout.read() == "stopped\n"  # and not that something is kept, or that it continues
    assert list(uploads.glob("clarifyvlm-demo-*")) == []  # uploads go with the page


@pytest.fixture
def scene(page_url, tmp_path) -> Path:
    """The file of a picture whose question has four readings; the page knows them."""
    write_examples(tmp_path / "same")
    return tmp_path / "same" / "images" / "0003.png"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=shutil.which(BROWSER), args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def visit(browser, page_url):
    """A function: open the page as another visitor. No page may call another host, or fail in its scripts."""
    contexts, faults = [], []

    def visit(**how):
        context = browser.new_context(**how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda r: r.url.startswith((page_url, "data:", "blob:")) or faults.append(r.url))
        page.goto(page_url)
        page.locator("#words textarea").wait_for()
        return page

    yield visit
    for context in contexts:
        context.close()
    assert faults == []


def says(page, *turns: str) -> None:
    """Wait until the dialogue is these turns."""
    from playwright.sync_api import expect

    expect(page.locator(TURNS)).to_have_text(list(turns), timeout=30_000)


def label(page, text: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#words label")).to_contain_text(text, timeout=30_000)


def pick(page, star: int) -> None:
    """The scene of the gallery by keys; its question then stands in the box."""
    page.locator("#scenes button").nth(star).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#words textarea').value.startsWith('What color')")


@in_browser
def test_a_dialogue_by_keys(visit):
    """A page that needs a mouse, forgets the dialogue at the reply, or does not show what the models did."""
    page = visit(viewport={"width": 1300, "height": 900})
    words = page.locator("#words textarea")
    page.keyboard.press("Tab")
    pick(page, 1)
    words.focus()
    words.fill(QUESTION)
    page.keyboard.press("Enter")
    says(page, QUESTION, ASKED)
    label(page, "Your reply")
    page.keyboard.type(REPLY)  # the box still has the focus
    page.keyboard.press("Enter")
    says(page, QUESTION, ASKED, REPLY, ANSWER)
    label(page, "Your question")
    cards = page.locator("#panel .card")
    assert cards.count() == 2 and cards.nth(1).locator("h3").inner_text() == "base"
    shown = page.locator("#panel").inner_text()
    assert re.search(rf"SFT\s+\W?{re.escape(ASKED)}\W?\s+clarify.* \d+% confident\s+\W?{re.escape(ANSWER)}", shown), (
        shown
    )
    page.locator("#anew").click()
    says(page)


@in_browser
def test_a_question_and_a_reply_by_clicks(visit):
    """A question of the panel that does not get into the box; a click on the picture that is not a reply."""
    page = visit(viewport={"width": 1300, "height": 900})
    page.locator("#scenes button").nth(3).click()
    question = page.locator("#panel button.question").first
    question.wait_for()
    page.locator("#words textarea").fill("")
    question.click()
    assert page.locator("#words textarea").input_value() == QUESTION
    page.locator("#send").click()
    label(page, "Your reply")
    frame = page.locator("#picture img").bounding_box()
    page.mouse.click(frame["x"] + frame["width"] / 6, frame["y"] + frame["height"] / 6)
    says(page, QUESTION, ASKED, REPLY, ANSWER)
    assert page.locator("#picture .ring").count() == page.locator("#panel .drawn circle").count() == 1


@in_browser
def test_readings_of_a_scene(visit):
    """Readings of another question than the one asked, or a verdict where nobody knows what is right."""
    page = visit()
    page.locator("#scenes button").nth(1).click()
    page.wait_for_function("document.querySelector('#words textarea').value.startsWith('What color')")
    page.get_by_text("Questions to try").wait_for()
    page.locator("#send").click()
    page.locator("#panel .readings li").first.wait_for()
    shown = page.locator("#panel").inner_text()
    assert "Right here: clarify" in shown and "4 readings" in shown and "the star at the top left: red" in shown
    page.locator("#anew").click()
    says(page)
    page.locator("#words textarea").fill("Is it late?")
    page.locator("#send").click()
    page.get_by_text("not annotated for this picture").wait_for()
    assert page.locator("#panel .right, #panel .wrong, #panel .readings").count() == 0


@in_browser
def test_bad_uploads_get_a_sentence(visit, tmp_path):
    """A stack trace, a page that hangs, or a question about the picture before the broken one."""
    page = visit()
    page.locator("#send").click()
    notice = page.locator("#notice [role=alert]")
    notice.wait_for()
    assert "picture" in notice.inner_text()
    whole = (ROOT / "inference/example.png").read_bytes()
    for name, content, told in (
        ("torn.png", whole[: len(whole) // 2], "corrupt or truncated picture"),
        ("notes.png", b"not a picture", "not a picture in a known format"),
        ("empty.png", b"", "an empty file"),
    ):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#picture input[type=file]", tmp_path / name)
        page.get_by_text(re.compile(f"This file cannot be used: {told}")).wait_for()
        assert str(tmp_path) not in notice.inner_text() and "Traceback" not in page.content()
    page.locator("#words textarea").fill(QUESTION)
    page.locator("#send").click()
    says(page)
    page.set_input_files("#picture input[type=file]", ROOT / "inference/example.png")
    notice.wait_for(state="detached")
    page.locator("#send").click()
    says(page, QUESTION, ASKED)


def show(page, file: Path) -> None:
    """Drop a picture in, and wait until the page shows it: the server need not know of it yet."""
    page.set_input_files("#picture input[type=file]", file)
    page.locator(f"#picture img[src*='{file.name}']").wait_for(state="attached")


def ask(page, words: str) -> None:
    page.locator("#words textarea").fill(words)
    page.keyboard.press("Enter")


@pytest.fixture
def busy():
    """Every core has something else to do."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    yield
    for other in others:
        other.kill()
        other.wait()


@in_browser
def test_a_hasty_visitor_of_a_busy_machine(visit, scene, tmp_path, busy):
    """A question that is lost, refused or about another picture than the page shows, or a reply that is, where the
    visitor does not wait: ten times."""
    (tmp_path / "torn.png").write_bytes(scene.read_bytes()[:100])
    page = visit()
    for _ in range(10):
        show(page, tmp_path / "torn.png")
        show(page, scene)
        ask(page, QUESTION)
        label(page, "Your reply")
        ask(page, REPLY)
        says(page, QUESTION, ASKED, REPLY, ANSWER)
        assert page.locator("#panel .readings li").count() == 4
        show(page, ROOT / "inference/example.png")
        ask(page, QUESTION + " Tell me.")
        says(page, QUESTION + " Tell me.", ANSWER)
        page.get_by_text("not annotated for this picture").wait_for()
        assert page.locator("#notice [role=alert]").count() == 0


@in_browser
def test_two_users_at_once_on_phones(visit):
    """One visitor's words in another's dialogue, or a page wider than a phone."""
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    first, second = visit(**phone), visit(**phone)
    for page in (first, second):
        page.locator("#scenes button").nth(1).tap()
        page.wait_for_function("document.querySelector('#words textarea').value.startsWith('What color')")
    first.locator("#words textarea").fill(QUESTION)
    second.locator("#words textarea").fill(QUESTION + " Tell me.")
    first.locator("#send").tap()
    second.locator("#send").tap()
    says(first, QUESTION, ASKED)
    says(second, QUESTION + " Tell me.", ANSWER)
    label(first, "Your reply")
    label(second, "Your question")
    first.locator("#words textarea").fill(REPLY)
    first.locator("#send").tap()
    says(first, QUESTION, ASKED, REPLY, ANSWER)
    says(second, QUESTION + " Tell me.", ANSWER)
    assert first.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def page(asking_model_dir):
    """The page without a browser: a test sends its events in whatever order."""
    gradio = pytest.importorskip("gradio")
    args = demo.DemoArguments(device="cpu", max_new_tokens=40)
    return demo.Page(gradio, [talk.Speaker("model", str(asking_model_dir), args)], [], [], Path(), args)


@pytest.fixture
def pictures(tmp_path) -> list[str]:
    paths = [tmp_path / f"{name}.png" for name in ("red", "blue")]
    for path in paths:
        Image.new("RGB", (96, 96), path.stem).save(path)
    return list(map(str, paths))


def turns(shown: list[dict]) -> list[str]:
    return [turn["content"] for turn in shown]


@pytest.mark.slow
def test_a_late_answer_stands_under_its_own_question(page, pictures):
    """On a busy machine: a question whose turn comes when the page is about another one already, answered in its
    place, under its words; and a reply that is lost without a word while the models speak."""
    visit = demo.Visit()
    page.hear(visit, pictures[0], "Is it late?")
    page.new_question(visit)
    page.hear(visit, pictures[0], QUESTION)
    late = list(page.speak(visit))  # the old question's turn, when the page is about the new one
    assert turns(late[-1][0]) == [QUESTION, ASKED]
    skip = page.gr.skip()
    assert list(page.speak(visit)) == [(skip,) * 4]
    page.hear(visit, pictures[0], REPLY)
    speaking = page.speak(visit)
    next(speaking)
    assert "One moment" in page.hear(visit, pictures[0], "And the circle?")[2]
    *_, last = speaking
    assert turns(last[0]) == [QUESTION, ASKED, REPLY, ANSWER] and last[1] == ""


@pytest.mark.slow
def test_a_question_is_about_the_picture_that_the_page_shows(page, pictures):
    """A question asked of the picture before, or lost, since it came sooner than the event of its picture."""
    red, blue = pictures
    visit = demo.Visit()
    page.new_picture(visit, red)
    shown = page.hear(visit, blue, QUESTION)[1]
    assert turns(shown)[0] == QUESTION and visit.dialogue.picture.getpixel((0, 0)) == (0, 0, 255)
    *_, last = page.speak(visit)
    assert page.new_picture(visit, blue)[1:] == (page.gr.skip(),) * 4  # the page has its dialogue already
    assert turns(page.hear(visit, blue, REPLY)[1])[:3] == [QUESTION, ASKED, REPLY]
    assert page.new_picture(visit, None)[1] == [] and "Pick a picture first" in page.hear(visit, None, QUESTION)[2]


@pytest.mark.slow
def test_a_click_on_the_picture_replies_with_the_place(page, pictures):
    """A click that asks a question, that replies with another place, or that a forged place gets past; a click that is
    not marked in the panel."""
    visit, skip = demo.Visit(), page.gr.skip()
    page.hear(visit, pictures[0], QUESTION)
    assert page.point(visit, pictures[0], "0.9,0.1")[1:] == (skip,) * 4  # the model has not asked yet
    list(page.speak(visit))
    for place in ("", "1.5,0.2", "nan,0.1", "0.1,0.2<b>"):
        assert page.point(visit, pictures[0], place)[1:] == (skip,) * 4
    assert page.point(visit, pictures[1], "0.9,0.1")[1:] == (skip,) * 4  # a picture that the page has no longer
    shown = page.point(visit, pictures[0], "0.9,0.1")[1]
    assert turns(shown)[2] == "The one at the top right."
    *_, last = page.speak(visit)
    assert turns(last[0])[:2] == [QUESTION, ASKED] and len(last[0]) == 4
    assert visit.dialogue.talks[0].pointed == (0.9, 0.1)


def test_readings_are_drawn_where_they_are(tmp_path):
    """Boxes of other objects, a number that fits another line of the list, or a picture without boxes that breaks."""
    data = write_examples(tmp_path)
    example = next(e for e in jsonl.read(data, Example) if len(e.ambiguity.readings) > 1)
    talks = SimpleNamespace(example=example, known=True, picture=Image.new("RGB", (96, 96)), pointed=(0.5, 0.25))
    html = panel._readings(talks)
    boxes = {o.id: o.box for o in example.facts.objects}
    objects = [boxes[name] for r in example.ambiguity.readings for name in r.objects]
    assert html.count("<rect") == html.count("<li>") == len(objects)
    assert [tuple(map(float, found)) for found in re.findall(r"<rect x=([\d.]+) y=([\d.]+)", html)] == [
        (round(left, 1), round(top, 1)) for left, top, _, _ in objects
    ]
    assert f"cx={0.5 * example.facts.width:.1f}" in html
    bare = example.model_copy(update={"facts": example.facts.model_copy(update={"objects": []})})
    assert "<svg" not in panel._readings(SimpleNamespace(**vars(talks) | {"example": bare}))


@pytest.mark.slow
def test_a_picture_of_another_kind_comes_with_a_warning(page, pictures, tmp_path):
    """A photograph that a model of colored shapes is asked about, without a word; an invitation to try one."""
    warned = demo.Page(page.gr, page.speakers, [], [], Path(), page.args, "Made for scenes only.")
    visit = demo.Visit()
    assert "Made for scenes only." in warned.new_picture(visit, pictures[0])[2]
    warned.hear(visit, pictures[0], QUESTION)
    *_, last = warned.speak(visit)
    assert last[1] == "<p role=note>Made for scenes only.</p>"
    assert "Made for scenes only." in warned._invitation() and "click to choose" in page._invitation()
    (tmp_path / "torn.png").write_bytes(b"not a picture")
    assert "cannot be used" in warned.new_picture(visit, str(tmp_path / "torn.png"))[2]


@pytest.mark.slow
def test_a_reply_may_come_with_the_last_word(page, pictures):
    """A reply refused, since the page shows what was asked a moment before the models count as done."""
    visit = demo.Visit()
    page.hear(visit, pictures[0], QUESTION)
    for update in page.speak(visit):
        label = update[2].get("label")
        if label == "Your reply":
            assert turns(page.hear(visit, pictures[0], REPLY)[1])[2] == REPLY
    assert label == "Your reply"


@pytest.mark.slow
def test_a_dialogue_that_is_over_leaves_the_page(page, pictures):
    """Words about the picture before that come after the page was cleared, and stay on it."""
    visit = demo.Visit()
    page.hear(visit, pictures[0], QUESTION)
    speaking = page.speak(visit)
    update = next(speaking)
    while update[2].get("label") is None:
        update = next(speaking)  # the last of it
    page.new_picture(visit, pictures[1])
    shown, _, box, _ = next(speaking)
    assert shown == [] and box["label"] == "Your question" and list(speaking) == []


@pytest.mark.slow
def test_a_fault_of_the_model_is_a_sentence(page, pictures, monkeypatch, capsys):
    """A dialogue that waits for ever, or goes on without the turn that failed."""
    visit = demo.Visit()
    monkeypatch.setattr(page.speakers[0].generator, "_generate", lambda *_: 1 / 0)
    page.hear(visit, pictures[0], QUESTION)
    *_, last = page.speak(visit)
    assert "The model failed" in last[1] and "ZeroDivisionError" in capsys.readouterr().err
    assert visit.dialogue.talks == [] and not visit.dialogue.speaking


@in_browser
def test_what_is_said_is_text(visit):
    """Words that become part of the page."""
    page = visit()
    page.set_input_files("#picture input[type=file]", ROOT / "inference/example.png")
    page.locator("#picture img").wait_for()
    hostile = "<img src=x onerror=\"document.title='owned'\"> **bold** $x$"
    page.locator("#words textarea").fill(hostile)
    page.locator("#send").click()
    page.locator("#panel .card").nth(1).locator("meter").wait_for()
    assert page.locator(TURNS).first.inner_text().strip() == hostile
    assert page.title() == "ClarifyVLM" and page.locator("#dialogue img[src=x]").count() == 0


@in_browser
def test_only_uploads_are_given_out(page_url):
    """A page through which any file of the machine can be read."""
    for path in ("/etc/passwd", ROOT / "README.md", ROOT / "models/tiny/config.json"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{page_url}gradio_api/file={path}", timeout=20)
        assert refused.value.code in (403, 404), path


def test_without_gradio_the_command_is_named(asking_model_dir, monkeypatch):
    """A traceback where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=re.escape("pip install -e '.[demo]'")):
        demo.serve(demo.DemoArguments(), str(asking_model_dir))


@pytest.mark.slow
def test_a_port_in_use_is_named(asking_model_dir, capsys):
    """A traceback, or a page on another port than was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        args = demo.DemoArguments(port=taken.getsockname()[1], device="cpu")
        with pytest.raises(UserError, match="--port"):
            demo.serve(args, str(asking_model_dir))
    with pytest.raises(UserError, match="--port 70000"):
        demo.serve(demo.DemoArguments(port=70000), str(asking_model_dir))
    for host in ("nowhere.invalid", "192.0.2.1", "::1"):  # no such name; another machine's; no IPv4
        with pytest.raises(UserError, match=f"--host {host}: is no IPv4 address or name of this machine"):
            demo.serve(demo.DemoArguments(host=host, port=0), str(asking_model_dir))
