"""The report in a real browser: it loads without an error, fits a phone, and its filters show what they say."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports import HOSTILE, judged, make_report, three_models

BROWSER = next((b for b in ("chromium", "chromium-browser", "google-chrome", "chrome") if shutil.which(b)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine"),
]
FIRST = "<script>window.errors = []; addEventListener('error', e => errors.push(String(e.message)))</script>"


@pytest.fixture
def open_page(three_models_report, tmp_path):
    """A function: run a script (an expression of JSON) in the loaded page; returns (its value, the errors)."""

    def run(script: str, width: int = 1200, page_size: int = 24):
        report = f"document.title = 'RESULT' + JSON.stringify([await (async () => {{ {script} }})(), errors])"
        html = three_models_report.replace("<head>", f"<head>{FIRST}").replace(
            "</body>", f"<script type=module>{report}</script></body>"
        )
        assert "const PAGE = 24" in html
        (tmp_path / "page.html").write_text(html.replace("const PAGE = 24", f"const PAGE = {page_size}"))
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
        command += [
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=3000",
            f"file://{tmp_path}/page.html",
        ]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
        found = re.search(r"<title>RESULT(.*?)</title>", dom, re.S)
        assert found, dom[:500]
        value, errors = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        assert errors == []
        return value

    return run


@pytest.fixture
def three_models_report(tmp_path, test_file) -> str:
    folder = three_models(tmp_path / "inference", test_file)
    judged(folder, "hostile", test_file, lambda e: HOSTILE)
    return make_report(tmp_path / "report", folder, Path(test_file))[2]


def test_fits_desktop_and_phone(open_page):
    """A table that pushes a phone's page sideways, a script that fails, or a page that stays empty."""
    script = "return [document.documentElement.scrollWidth, innerWidth, document.querySelectorAll('.card').length]"
    for width in (1200, 500):  # 500 is the narrowest window that this browser makes
        scroll, inner, cards = open_page(script, width)
        assert scroll <= inner and cards == 10, width


SHOWN = "const shown = () => [...document.querySelectorAll('.card')].filter(c => c.checkVisibility()).length;"
TELL = "form.dispatchEvent(new Event('input'));"


def test_filters(open_page):
    """A filter that shows other examples than it says, or a count that is not what is shown."""
    script = f"""{SHOWN} const form = document.querySelector('.filters'); const found = {{}};
    const set = values => {{ form.reset(); for (const [k, v] of Object.entries(values)) form.elements[k].value = v;
        {TELL} return [shown(), form.querySelector('output').textContent] }};
    found.all = set({{}});
    found.clarify = set({{strategy: 'clarify'}});
    found.asked = set({{model: 'sft', used: 'clarify'}});
    found.never = set({{model: 'base', used: 'clarify'}});
    found.answered = set({{strategy: 'clarify', model: 'base', used: 'answer'}});
    found.words = set({{words: 'PLEASE say where'}});
    found.guesses = set({{model: 'base', failure: 'confident_guess'}});
    found.overAsks = set({{model: 'sft', failure: 'over_ask'}});
    found.anyones = set({{failure: 'confident_guess'}});
    form.reset(); form.elements.differ.checked = true; {TELL} found.differ = [shown(), ''];
    found.hostile = set({{words: '<script>alert(1)'}});
    found.groups = document.querySelectorAll('#gallery .group:not([hidden])').length;
    return found"""
    found = open_page(script)
    assert found["all"] == [10, "10 of 10"] and found["clarify"] == [5, "5 of 10"]
    assert found["asked"][0] == 10 and found["never"][0] == 0 and found["answered"][0] == 5
    assert found["guesses"][0] == found["overAsks"][0] == found["anyones"][0] == 5 and found["differ"][0] == 10
    assert 0 < found["words"][0] < 10 and found["hostile"][0] == 10 and found["groups"] == 2


def test_a_cell_of_a_confusion_table_opens_its_examples(open_page):
    """A cell that leads nowhere, or to other examples than it counts."""
    script = f"""{SHOWN} const found = [];
    for (const link of document.querySelectorAll('.confusion a')) {{
        link.click();
        await new Promise(done => setTimeout(done, 5));
        const count = Number(link.closest('td').title.split(' ')[0]);
        found.push([count, shown(), location.hash]);
    }}
    return found"""
    found = open_page(script)
    assert len(found) >= 8 and all(count == shown and "model=" in where for count, shown, where in found)


def test_every_number_opens_its_examples(open_page):
    """A number whose link shows nothing, or sets a filter that is not there."""
    script = f"""{SHOWN} const form = document.querySelector('.filters'); const empty = []; let links = 0;
    for (const link of document.querySelectorAll('.block a.examples, .failures a.examples')) {{
        link.click(); links++;
        await new Promise(done => setTimeout(done, 5));
        if (!shown() || !location.hash.startsWith('#gallery')) empty.push(link.outerHTML);
        for (const [name, value] of new URLSearchParams(link.hash.slice('#gallery'.length))) {{
            if (form.elements[name].value !== value) empty.push(name);
        }}
    }}
    return [links, empty]"""
    links, empty = open_page(script)
    assert links >= 30 and not empty


def test_keyboard(open_page):
    """Filters, cells or folded parts that only a mouse reaches."""
    script = """return ['.filters select', '.filters input', '.confusion a', 'summary', 'nav a'].map(s => {
        const node = document.querySelector(s); node.focus(); return document.activeElement === node })"""
    assert open_page(script) == [True] * 5


def test_the_gallery_is_paged_and_keeps_its_place_in_the_address(open_page):
    """A page of hundreds of examples in one scroll; a link to some of them that opens all, or the first page."""
    script = f"""{SHOWN} const form = document.querySelector('.filters');
    const pager = document.querySelector('.pager');
    const wait = () => new Promise(done => setTimeout(done, 50)); const found = [[shown(), pager.hidden]];
    form.elements.strategy.value = 'clarify'; {TELL} found.push([shown(), location.hash]);
    location.hash = '#gallery&strategy=answer&differ=on'; await wait();
    found.push([shown(), form.elements.strategy.value, form.elements.differ.checked]);
    form.elements.all.click(); found.push([shown(), form.elements.strategy.value, location.hash]);
    location.hash = '#definitions'; await wait(); found.push(location.hash);
    return found"""
    assert open_page(script) == [
        [10, True],
        [5, "#gallery&strategy=clarify"],
        [5, "answer", True],
        [10, "", "#gallery"],
        "#definitions",
    ]
    script = f"""{SHOWN} const pager = document.querySelector('.pager'); const found = [];
    const wait = () => new Promise(done => setTimeout(done, 50));
    found.push([shown(), pager.hidden, pager.querySelector('output').textContent, location.hash]);
    pager.querySelector('[name=next]').click();
    found.push([shown(), pager.querySelector('output').textContent, location.hash]);
    location.hash = '#gallery&page=2'; await wait(); found.push(shown());
    location.hash = '#gallery&page=99'; await wait();
    found.push([shown(), pager.querySelector('output').textContent]);
    return found"""
    pages = open_page(script, page_size=4)
    assert pages == [
        [4, False, "page 1 of 3", ""],
        [4, "page 2 of 3", "#gallery&page=2"],
        4,
        [2, "page 3 of 3"],
    ]
