"""Human verification: the page holds what is to be judged and does not tell its traps; exports become a data set."""

import json
import re
import shutil
import subprocess
from html import unescape

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from clarifyvlm.run_record import hash_input
from reviewing import merging
from reviewing import page as review_page
from stages import script

review = script("dataset_generation/review.py")
BROWSER = next((b for b in ("chromium", "chromium-browser", "google-chrome", "chrome") if shutil.which(b)), None)


def slow_browser(test):
    return pytest.mark.slow(pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")(test))


@pytest.fixture
def data(tmp_path):
    """60 examples of generated scenes."""
    config = str(review.Path(review.__file__).parent / "configs" / "smoke.yaml")
    sizes = ["--num_train", "0", "--num_validation", "0", "--num_test", "60", "--num_test_ood", "0"]
    argv = ["--config", config, *sizes, "--audit", "off", "--num_workers", "1", "--output_dir", str(tmp_path / "data")]
    assert script("dataset_generation/generate.py").main(argv) == 0
    return tmp_path / "data" / "test.jsonl"


@pytest.fixture
def page(data, tmp_path):
    """(what the page holds, its traps, its HTML)"""
    argv = ["page", "--data_file", str(data), "--output_dir", str(tmp_path / "review"), "--num_examples", "40"]
    assert review.main([*argv, "--num_traps", "8"]) == 0
    html = (tmp_path / "review" / "review.html").read_text()
    content = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])
    return content, json.loads((tmp_path / "review" / "traps.json").read_text()), html


def export(path, data, annotator, decisions, **changes):
    """An export of the page: id -> True, or why it is rejected."""
    about = {"annotator": annotator, "data_sha256": hash_input(data), "note": "", "seconds": 4.0} | changes
    rows = [
        {
            "id": id,
            **about,
            "decision": "accept" if said is True else "reject",
            "reason": None if said is True else said,
        }
        for id, said in decisions.items()
    ]
    jsonl.write_atomic(path, rows)
    return str(path)


def merge(data, out, *files, flags=()):
    argv = ["merge", "--data_file", str(data), "--output_file", str(out), "--reviews", *files, *flags]
    assert review.main(argv) == 0
    return jsonl.read(out, Example), json.loads(out.with_suffix(".summary.json").read_text())


def test_page_shows_what_is_to_be_judged(data, page):
    """An example without its picture, readings or dialogue; one that is there twice."""
    content, traps, html = page
    by_id = {e.id: e for e in jsonl.read(data, Example)}
    shown = [item for item in content["items"] if item["id"] not in traps]
    assert len(shown) == 40 and len(traps) == 8 and len({i["id"] for i in content["items"]}) == 48
    for item in shown:
        example = by_id[item["id"]]
        assert (item["question"], item["reference"]) == (example.question, example.reference)
        assert [r["answer"] for r in item["readings"]] == [r.answer for r in example.ambiguity.readings]
        assert item["image"].startswith("data:image/png;base64,") and bool(item["dialogue"]) == bool(example.dialogue)
    assert "http" not in re.sub(r"http://www.w3.org/2000/svg", "", html)


def test_traps_are_wrong_and_not_told(data, page):
    """A trap that is right after all, that anyone can see in the page's source, or that is shown unchanged beside."""
    content, traps, html = page
    by_id = {e.id: e for e in jsonl.read(data, Example)}
    items = {item["id"]: item for item in content["items"]}
    assert not {trap["of"] for trap in traps.values()} & set(items) and "trap" not in html
    for id, trap in traps.items():
        example, item = by_id[trap["of"]], items[id]
        readings = [r.answer for r in example.ambiguity.readings]
        same = (item["strategy"], [r["answer"] for r in item["readings"]]) == (example.strategy, readings)
        assert not same and len(id) == len(example.id), trap["how"]
    assert len({trap["how"] for trap in traps.values()}) == 3


def test_hostile_texts_end_nothing(data, tmp_path):
    """A question that closes the script and runs its own."""
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    rows[0]["question"] = '</script><script>alert(1)</script> \u2028 "?'
    data.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    argv = ["page", "--data_file", str(data), "--output_dir", str(tmp_path / "r"), "--num_examples", "60"]
    assert review.main([*argv, "--num_traps", "0"]) == 0
    html = (tmp_path / "r" / "review.html").read_text()
    assert html.count("</script>") == 2 and "alert(1)</" not in html and "\\u003cscript" in html


def test_merge_keeps_what_was_accepted(data, page, tmp_path):
    """A rejected example or a trap that is kept; pictures that are not found from the new place."""
    content, traps, _ = page
    ids = [item["id"] for item in content["items"]]
    own = [id for id in ids if id not in traps]
    ann = dict.fromkeys(ids, True) | dict.fromkeys(own[:5], "wrong readings")
    bob = dict.fromkeys(ids, True) | dict.fromkeys(own[3:9], "other") | dict.fromkeys(traps, "wrong strategy")
    files = [export(tmp_path / f"{n}.jsonl", data, n, d) for n, d in (("ann", ann), ("bob", bob))]
    traps_file = ["--traps", str(tmp_path / "review" / "traps.json")]
    kept, summary = merge(data, tmp_path / "far" / "all.jsonl", *files, flags=traps_file)
    assert {e.id for e in kept} == set(own[9:]) and all((tmp_path / "far" / e.image).is_file() for e in kept)
    assert kept[0].provenance["review"] == {"accepted_by": ["ann", "bob"]}
    kept, _ = merge(data, tmp_path / "any.jsonl", *files, flags=[*traps_file, "--keep", "any"])
    assert {e.id for e in kept} == set(own) - set(own[3:5])
    told = summary["reviewers"]
    assert told["ann"]["traps"]["value"] == 0.0 and told["bob"]["traps"]["value"] == 1.0
    assert told["bob"]["rejected"] == {"other": 6} and sum(told["ann"]["missed_traps"].values()) == 8
    assert summary["disagreed"] == 7 and summary["disagreements"][0]["ann"] == "wrong readings"


def test_agreement_against_scikit_learn(data, page, tmp_path):
    """Kappa of another table; AC1 that is not its closed form; an interval beside its value."""
    content, traps, _ = page
    rng = np.random.default_rng(0)
    own = [item["id"] for item in content["items"] if item["id"] not in traps]
    said = {n: {id: True if rng.random() < 0.7 else "other" for id in own} for n in ("ann", "bob")}
    files = [export(tmp_path / f"{n}.jsonl", data, n, d) for n, d in said.items()]
    (row,) = merge(data, tmp_path / "kept.jsonl", *files)[1]["agreement"]
    a, b = ([said[n][id] is True for id in own] for n in ("ann", "bob"))
    assert row["kappa"]["value"] == pytest.approx(cohen_kappa_score(a, b), abs=1e-9)
    p, q = np.mean([x == y for x, y in zip(a, b, strict=True)]), (np.mean(a) + np.mean(b)) / 2
    assert row["ac1"]["value"] == pytest.approx((p - 2 * q * (1 - q)) / (1 - 2 * q * (1 - q)), abs=1e-9)
    assert all(row[k]["low"] <= row[k]["value"] <= row[k]["high"] for k in ("agreed", "kappa", "ac1"))


def test_bad_exports_are_named(data, page, tmp_path):
    """A traceback, or decisions about other data counted for these."""
    content, traps, _ = page
    own = next(item["id"] for item in content["items"] if item["id"] not in traps)
    good = export(tmp_path / "ann.jsonl", data, "ann", {own: True})

    def refused(match, *files, flags=()):
        with pytest.raises(UserError, match=match):
            merge(data, tmp_path / "out.jsonl", *files, flags=flags)
        assert not (tmp_path / "out.jsonl").exists()

    refused("another file", export(tmp_path / "x.jsonl", data, "x", {own: True}, data_sha256="0"))
    refused("came before", good, export(tmp_path / "again.jsonl", data, "ann", {own: True}))
    refused("are not in .*\n.*nobody(.|\n)*--traps", export(tmp_path / "u.jsonl", data, "u", {"nobody": True}))
    (tmp_path / "empty.jsonl").write_text("")
    refused("no decisions", str(tmp_path / "empty.jsonl"))
    refused("not the traps.json", good, flags=["--traps", str(data)])
    with pytest.raises(UserError, match="say `page` or `merge`"):
        review.main(["pages"])
    argv = ["page", "--data_file", str(data), "--output_dir", str(tmp_path / "p"), "--num_examples", "59"]
    with pytest.raises(UserError, match="of the 60 examples can be made wrong"):
        review.main([*argv, "--num_traps", "61"])


def test_output_that_is_an_input(data, page, tmp_path):
    """--overwrite that deletes the data file or an export before anything is written."""
    content, traps, _ = page
    own = next(item["id"] for item in content["items"] if item["id"] not in traps)
    ann, before = export(tmp_path / "ann.jsonl", data, "ann", {own: True}), data.read_bytes()
    for out in (data, tmp_path / "ann.jsonl"):
        with pytest.raises(UserError, match="one of the files to be read"):
            merge(data, out, ann, flags=["--overwrite"])
    with pytest.raises(UserError, match=r"must end in \.jsonl"):
        merge(data, tmp_path / "out", ann)
    with pytest.raises(UserError, match="--min_reviews 2"):
        merge(data, tmp_path / "out.jsonl", ann, flags=["--min_reviews", "2"])
    assert data.read_bytes() == before and len((tmp_path / "ann.jsonl").read_text().splitlines()) == 1


def test_a_page_of_every_example_has_traps(data, tmp_path):
    """A test set that can be checked whole only without traps, so that nobody knows who looked."""
    argv = ["page", "--data_file", str(data), "--output_dir", str(tmp_path / "p"), "--num_examples", "60"]
    assert review.main([*argv, "--num_traps", "10"]) == 0
    assert len(json.loads((tmp_path / "p" / "traps.json").read_text())) == 10


def test_traps_use_the_words_of_the_data(data):
    """Sentences that only traps have, words cut in two, strategies without traps: who has seen one knows them all."""
    examples = jsonl.read(data, Example)
    items, traps = review_page.choose(examples, 60, 50, 0)
    by_id, said = {e.id: e for e in examples}, {e.reference for e in examples}
    strategies = set()
    for item in (i for i in items if i.id in traps):
        true = by_id[traps[item.id]["of"]]
        strategies.add(true.strategy)
        if traps[item.id]["how"] == "another strategy":
            assert item.reference in said - {true.reference} and item.strategy != true.strategy
            assert (item.dialogue is None) or item.strategy == "clarify"
    assert strategies == {e.strategy for e in examples}
    example = next(e for e in examples if len({o.color for o in e.facts.objects} - {None}) > 1)
    color = next(o.color for o in example.facts.objects if o.color)
    reading = example.ambiguity.readings[0].model_copy(update={"answer": color})
    ambiguity = example.ambiguity.model_copy(update={"readings": [reading]})
    made = example.model_copy(
        update={"strategy": "answer", "ambiguity": ambiguity, "reference": f"It is un{color}ed: {color}."}
    )
    wrong = review_page.other_answer(made, review_page.random.Random(0), {})
    assert wrong.reference == f"It is un{color}ed: {wrong.ambiguity.readings[0].answer}." and wrong != made


def test_merge_says_who_did_not_look_and_what_one_alone_saw(data, page, tmp_path, capsys):
    """A reviewer who accepts every trap and is not named; `all` of one reviewer passing for two; a sure 1.00."""
    content, traps, _ = page
    own = [item["id"] for item in content["items"] if item["id"] not in traps]
    files = [
        export(tmp_path / "ann.jsonl", data, "ann", dict.fromkeys([*own, *traps], True)),
        export(tmp_path / "bob.jsonl", data, "bob", dict.fromkeys(own[:30], True) | dict.fromkeys(traps, "other")),
    ]
    flags = ["--traps", str(tmp_path / "review" / "traps.json")]
    kept, summary = merge(data, tmp_path / "one.jsonl", *files, flags=flags)
    said = capsys.readouterr().out
    assert "warning: ann accepted 8 of 8 traps" in said and "warning: bob" not in said
    assert len(kept) == 40 and summary["reviewed_by"] == {"1": 10, "2": 30}
    kept, _ = merge(data, tmp_path / "two.jsonl", *files, flags=[*flags, "--min_reviews", "2"])
    assert {e.id for e in kept} == set(own[:30])
    assert 0.7 < summary["agreement"][0]["agreed"]["low"] < summary["agreement"][0]["agreed"]["high"] == 1.0


def test_merge_of_a_linked_data_file(data, page, tmp_path):
    """Pictures looked for beside what a link points at, where the data folder has only the link."""
    content, traps, _ = page
    own = next(item["id"] for item in content["items"] if item["id"] not in traps)
    (tmp_path / "store").mkdir()
    data.rename(tmp_path / "store" / "blob")
    data.symlink_to(tmp_path / "store" / "blob")
    kept, _ = merge(data, tmp_path / "far" / "out.jsonl", export(tmp_path / "ann.jsonl", data, "ann", {own: True}))
    assert (tmp_path / "far" / kept[0].image).is_file()


FIRST = "<script>window.errors = []; addEventListener('error', e => errors.push(String(e.message)))</script>"
PRESS = """const press = (key, more) =>
        document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, ...more }));
    const named = name => { $("name").value = name; begin(); };"""


@pytest.fixture
def in_browser(page, tmp_path):
    """A function: run a script in the loaded page; returns what it returns. The page may log nothing, nor raise."""

    def run(script: str, width: int = 1200):
        quiet = "for (const c of ['log', 'warn', 'error']) console[c] = (...a) => errors.push(a.join(' '));"
        end = (
            f"{PRESS} (async () => {{ {script} }})().then(v => document.title = 'RESULT' + JSON.stringify([v, errors]))"
        )
        html = page[2].replace("<head>", f"<head>{FIRST}<script>{quiet}</script>")
        (tmp_path / "page.html").write_text(html.replace("</body>", f"<script>{end}</script></body>"))
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000"]
        dom = subprocess.run([*command, f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120)
        found = re.search(r"<title>RESULT(.*?)</title>", dom.stdout, re.S)
        assert found, dom.stdout[:300]
        value, errors = json.loads(unescape(found[1]))
        assert errors == []
        return value

    return run


@slow_browser
@pytest.mark.parametrize("width", [1200, 500])  # 500 is the narrowest window that this browser makes
def test_the_page_in_a_browser(data, page, tmp_path, in_browser, width):
    """Keys that do nothing, decisions that are not exported or lost on reload, a page that does not fit a phone."""
    said = in_browser(
        """named("ann"); press("a"); press("2"); press("ArrowLeft"); press("u"); press("3"); press("b");
        const saved = localStorage.getItem(key()); begin();
        return [lines(), saved, $("progress").textContent, $("question").textContent, $("boxes").style.display,
            document.documentElement.scrollWidth <= innerWidth]""",
        width,
    )
    lines, saved, progress, question, boxes, fits = said
    rows, items = [json.loads(line) for line in lines.splitlines()], page[0]["items"]
    assert fits and progress == "3 of 48, 2 decided" and boxes == "none"
    assert [(r["id"], r["decision"], r["reason"]) for r in rows] == [
        (items[0]["id"], "accept", None),
        (items[1]["id"], "reject", "wrong reference"),
    ]
    assert set(json.loads(saved)) == {r["id"] for r in rows} and question == items[2]["question"]
    (tmp_path / "ann.jsonl").write_text(lines)
    assert merging.read([str(tmp_path / "ann.jsonl")], str(data), {i["id"] for i in items}, {})


@slow_browser
def test_nothing_that_was_decided_is_lost(in_browser):
    """A note before the decision that goes with a move; undo of a change of mind that takes the first decision, too;
    a key held down that accepts one after another; the seconds of the first look lost by a second one."""
    note, undone, held, capital, seconds = in_browser(
        """named("ann"); $("note").value = "odd"; $("note").onchange(); press("ArrowRight"); press("ArrowLeft");
        const note = [$("note").value, lines()];
        since -= 5000; press("a"); press("ArrowLeft"); press("2");
        const seconds = decided[items[0].id].seconds;
        press("u"); const undone = [decided[items[0].id].decision, at];
        at = 2; show(); for (let i = 0; i < 5; i++) press("a", { repeat: true });
        const held = lines().split("\\n").length - 1;
        press("A"); return [note, undone, held, decided[items[2].id]?.decision, seconds]"""
    )
    assert note == ["odd", ""] and undone == ["accept", 0] and held == 1 and capital == "accept"
    assert 5 <= seconds < 7


@slow_browser
def test_import(in_browser):
    """An older export that deletes what the browser has; another's decisions under one's own name; a torn line."""
    found = in_browser(
        """named("ann"); press("a"); const old = lines(); press("2"); press("3");
        $("name").value = ""; begin(); load(old); const merged = [$("name").value, lines().split("\\n").length - 1];
        const told = $("told").textContent, refused = [];
        const bad = [old.replaceAll('"ann"', '"bob"'), old.replace("accept", "maybe"), old.slice(0, 20), "",
            old.replaceAll(data.data_sha256, "0")];
        for (const text of bad) { try { load(text); refused.push(false); } catch { refused.push(true); } }
        let asked = 0; $("import").addEventListener("click", event => { asked += 1; event.preventDefault(); });
        $("load").focus(); $("load").click();
        return { merged, told, refused, after: lines().split("\\n").length - 1, asked,
            focused: document.activeElement === $("load") }"""
    )
    assert found["merged"] == ["ann", 3] and found["told"] == "1 decisions imported" and found["after"] == 3
    assert found["refused"] == [True] * 5 and found["asked"] == 1 and found["focused"]


@slow_browser
def test_a_browser_that_saves_nothing_says_so(in_browser):
    """A warning that the next example overwrites: two hundred decisions are gone with the tab."""
    said = in_browser(
        """named("ann"); Storage.prototype.setItem = () => { throw new Error("full") }; press("a");
        return [$("told").textContent, $("told").checkVisibility(), $("progress").textContent]"""
    )
    assert said == ["Not saved by this browser: export often.", True, "2 of 48, 1 decided"]
