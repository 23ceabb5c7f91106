"""What people read, the READMEs and docs/: their length, links, spelling and wording; figures as old as their data."""

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from measures import metrics

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["dataset_generation", "tuning_sft", "tuning_grpo", "inference"]
WORDS = {"README.md": 2000} | {f"{stage}/README.md": 1200 for stage in STAGES}
CARDS = ["models/tiny/README.md", "inference/auditing/natural/README.md"]
PAGES = [*WORDS, *CARDS, *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md"))]
PAGES += ["CONTRIBUTING.md", "CHANGELOG.md"]
FENCED = re.compile(r"^```.*?^```", flags=re.M | re.S)
# Right, though codespell knows them as something else: "dialogue" is what the field writes, "nd" an end of "2nd".
RIGHT = "dialogue,dialogues,nd"
# Misspelled on purpose, for readers of misspelled words.
MISSPELLED = "clarifyvlm/language/*,tests/*,dataset_generation/authoring/*,uv.lock"
# Ways to say it that had to be read twice.
UNCLEAR = (
    "who describes what is not there it still believes",
    "Nobody who says nothing is guessed at",
    "two examples of three tell one of these",
    "costs what happens after them",
    "who accepts them did not look",
    "what a model would get that never looks",
    "taken down by a third",
    "mended against",
    "without further words",
    "in pieces",
    "who tells nothing is not guessed at",
    "Who was told nothing",
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WORDS)
def test_readmes_are_short(name):
    """A README that nobody reads to its end: what is not needed at once belongs in docs/."""
    assert len(read(name).split()) <= WORDS[name]


@pytest.mark.parametrize("name", PAGES)
def test_wording(name):
    """A sentence that had been made plain, back as it was."""
    text = " ".join(read(name).split()).lower()
    assert not [phrase for phrase in UNCLEAR if phrase.lower() in text]


def anchors(name: str) -> set[str]:
    """The ids that GitHub gives the headings of a page."""
    headings = re.findall(r"^#{1,6} (.+)$", FENCED.sub("", read(name)), flags=re.M)
    found, seen = set(), {}
    for heading in headings:
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return found


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    """A link to a file that has moved, or to a heading that was renamed."""
    text = re.sub(r"`[^`\n]*`", "", FENCED.sub("", read(name)))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|srcset|href)=\"([^\"]+)\"", text)
    lost = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue  # elsewhere: there may be no network
        path, _, anchor = unquote(link).partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        if not target.exists():
            lost.append(link)
        elif anchor and anchor not in anchors(str(target.resolve().relative_to(ROOT))):
            lost.append(link)
    assert not lost, lost


def test_every_page_is_linked_from_the_readme():
    """A page that nobody finds."""
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")}
    assert not {page for page in pages if f"({page}" not in read("README.md")}


def codespell(*arguments: str) -> str:
    pytest.importorskip("codespell_lib")
    command = [sys.executable, "-m", "codespell_lib", f"--ignore-words-list={RIGHT}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


def test_spelling():
    """A misspelled word in anything that is tracked."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    kinds = (".md", ".py", ".sh", ".yaml", ".toml", ".html", ".css", ".js", ".sbatch", ".cff")
    files = [name for name in listed if name.endswith(kinds) and (ROOT / name).is_file()]
    assert len(files) > 100
    assert codespell("--builtin=clear", f"--skip={MISSPELLED}", *files) == ""


def test_american_spelling():
    """British spelling on a page or in the code, between words that are spelled the American way."""
    assert codespell("--builtin=clear,rare,en-GB_to_en-US", *PAGES) == ""
    listed = subprocess.run(["git", "ls-files", "*.py", "*.sh"], cwd=ROOT, capture_output=True, text=True, check=True)
    code = [name for name in listed.stdout.split() if not name.startswith("tests/") and (ROOT / name).is_file()]
    found = codespell("--builtin=en-GB_to_en-US", f"--skip={MISSPELLED}", "--ignore-words-list=writeable", *code)
    assert found == ""


def test_the_spelling_check_finds_faults(tmp_path):
    """A check that passes whatever it is given."""
    (tmp_path / "a.md").write_text("The colour that was recieved.\n")
    found = codespell("--builtin=clear,rare,en-GB_to_en-US", str(tmp_path / "a.md"))
    assert "colour" in found and "recieved" in found


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "scripts/figures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["figures"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["figures"]


def test_figures_show_the_results_that_are_there(figures):
    """A figure drawn before its results were measured again: run python scripts/figures.py."""
    sources = json.loads(read("docs/figures/sources.json"))
    assert set(sources) == {"grpo", "report", "demonstrations"}
    for name, files in sources.items():
        for file, digest in files.items():
            assert hashlib.sha256((ROOT / file).read_bytes()).hexdigest() == digest, f"{name} is older than {file}"
    for scheme in figures.COLORS:
        assert read(f"docs/figures/pipeline-{scheme}.svg") == figures.pipeline(scheme)
        for file in (*(f"{name}-{scheme}.svg" for name in ("grpo", "demonstrations")), f"report-{scheme}.png"):
            assert 1000 < (ROOT / "docs/figures" / file).stat().st_size <= 300 * 1024


def test_tables_of_the_default_run(figures):
    """Numbers in the README that are not those of the run that its figures show."""
    for name, table in figures.tables(json.loads(read("docs/figures/default_run.json"))).items():
        assert read(name).partition(figures.BEGIN)[2].partition(figures.END)[0] == "\n" + table


def test_figures_are_drawn_from_a_run(figures, tmp_path, monkeypatch):
    """A metric that was renamed, so that --run_dir finds it no more; a curve that is not what the code draws."""
    assert set(figures.METRICS) - {"strategy_accuracy_macro"} <= set(metrics.METRICS)
    with pytest.raises(figures.UserError, match="finish the run"):
        figures.read_run(tmp_path)
    run = json.loads(read("docs/figures/default_run.json"))
    (tmp_path / "report").mkdir()
    (tmp_path / "grpo").mkdir()
    report = {"seed": 0, "examples": run["examples"], "models": run["models"]}
    report["tuning_cost"] = {"models": {name: {"accuracy": value} for name, value in run["one_reading"].items()}}
    (tmp_path / "report/metrics.json").write_text(json.dumps(report))
    log = run["grpo_log"]
    rows = [dict(zip(log, values, strict=True)) for values in zip(*log.values(), strict=True)]
    (tmp_path / "grpo/log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"train_loss": 0.0}]))
    assert figures.read_run(tmp_path) == run
    monkeypatch.setattr(figures, "FIGURES", tmp_path)
    figures.save(figures.curves(log, "dark"), "grpo-dark.svg")
    assert (tmp_path / "grpo-dark.svg").read_bytes() == (ROOT / "docs/figures/grpo-dark.svg").read_bytes()
