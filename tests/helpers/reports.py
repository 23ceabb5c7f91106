"""For tests of the report: models that say given things, judged by the scene judge; the report on them; its page."""

import json
from html.parser import HTMLParser
from pathlib import Path

import judge
import report
from clarifyvlm import jsonl
from clarifyvlm.records import Example
from measures import metrics
from measures.intervals import NO_VALUE
from reporting import page
from reporting.sections import SECTIONS, Report

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)"></p></body> {{ 7*7 }} {% raw %} \u202egnp.exe'


def predict(folder: Path, name: str, data: Path, say, count: int | None = None) -> Path:
    """Minimal predictions, as another tool would write them. Returns the model's folder."""
    examples = jsonl.read(data, Example)[:count]
    jsonl.write_atomic(folder / name / "predictions.jsonl", [{"example_id": e.id, "text": say(e)} for e in examples])
    return folder / name


def judged(folder: Path, name: str, data: Path, say, count: int | None = None) -> None:
    model = predict(folder, name, data, say, count)
    files = ["--predictions", str(model / "predictions.jsonl"), "--output_file", str(model / "verdicts.jsonl")]
    assert judge.main(["--data_file", str(data), *files]) == 0


def three_models(folder: Path, data: Path) -> Path:
    """base answers everything, sft asks about everything, grpo says the reference; another's folder sorts last."""
    judged(folder, "grpo", data, lambda e: e.reference)
    judged(folder, "base", data, lambda e: "It is red.")
    judged(folder, "another", data, lambda e: "", count=4)
    judged(folder, "sft", data, lambda e: "Which star do you mean, and where is it?")
    return folder


def make_report(output: Path, inference: Path, data: Path, *flags: str) -> tuple[dict, str, str]:
    """metrics.json, report.md and report.html of a report."""
    argv = ["--data_file", str(data), "--inference_dir", str(inference), "--output_dir", str(output)]
    assert report.main([*argv, "--resamples", "200", *flags]) == 0
    content = json.loads((output / "metrics.json").read_text())
    return content, (output / "report.md").read_text(), (output / "report.html").read_text()


def section_html(name: str, found: dict) -> str:
    """The section of the page called `name`, of what its measure found."""
    (section,) = (section for section in SECTIONS if section.name == name)
    names = list(found.get("models", [])) or ["m"]
    content = {"models": dict.fromkeys(names, {metrics.MACRO: NO_VALUE}), "resamples": 200, name: found}
    return page.render_section(section, Report(content, [], [], [], Path(), per_strategy=0, trainings=[]))


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text.append(data)


def parse(html: str) -> Page:
    page = Page()
    page.feed(html)
    return page
