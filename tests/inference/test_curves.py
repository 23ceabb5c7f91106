"""Training curves in the report: what was logged is what is drawn, and nothing a log holds breaks the page."""

import json
import re
from pathlib import Path

import pytest

from clarifyvlm.errors import UserError
from reporting import curves, plots
from reports import make_report, three_models

CSS = Path(plots.__file__).with_name("templates") / "report.css"


def write_log(folder: Path, rows: list[dict]) -> str:
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.json").write_text(json.dumps({"stage": "tuning_grpo"}))
    return str(folder)


def titles(training: dict) -> dict[str, list[str]]:
    return {group.title: [plot.title for plot in panels] for group, panels in training["groups"]}


def test_what_was_logged_is_drawn(tmp_path):
    """A curve of another key, one that is left out, rows without a step (the summary at the end) drawn as one, a
    penalty that never applied, or the loss of GRPO, which says nothing."""
    rows = [{"step": i, "reward": i / 10, "ask_rate/clarify": 0.5, "loss": 1e-9} for i in range(1, 9)]
    rows = [
        row | {"rewards/grounding/mean": -0.1, "rewards/asking/mean": 0.0, "resolved/helpful": 1.0, "judge_failures": 1}
        for row in rows
    ]
    folder = write_log(tmp_path / "grpo", [*rows, {"train_runtime": 5.0, "reward": 123456}])
    (found,) = curves.sections([folder])
    assert (found["name"], found["stage"]) == ("GRPO", "tuning_grpo")
    assert titles(found) == {
        "Reward": ["Total reward"],
        "Penalties in the reward": ["Grounding"],
        "Ask rate, by right strategy": ["clarify"],
        "Right in the end, by kind of user": ["Helpful"],
        "Judge": ["Judge failures"],
    }
    drawn = [plot for _, panels in found["groups"] for plot in panels]
    svg = drawn[0].svg()
    assert svg.startswith("<svg") and "123456" not in svg and "var(--m1, #3b7dd8)" in svg
    assert ">step<" in svg and ">mean<" in svg  # the axes are named
    assert [p.svg() for p in drawn] == [p.svg() for _, ps in curves.sections([folder])[0]["groups"] for p in ps]
    ids = [set(re.findall(r'id="([^"]+)"', plot.svg())) for plot in drawn]
    assert ids[0] and not ids[0] & ids[1], "two plots of one page share what they refer to"


def test_the_page_and_the_files_have_the_same_colors():
    """A curve that is blue in the paper and green in the page."""
    light = dict(re.findall(r"--(\w+): (#\w+);", CSS.read_text().split("@media")[0]))
    assert [light[f"m{i}"] for i in range(6)] == plots.MODELS
    assert (light["ink"], light["soft"]) == (plots.INK, plots.SOFT)


def test_odd_rows(tmp_path):
    """NaN, a text, one row alone or a hostile key that stops the report."""
    rows = [{"step": 1, "reward": float("nan"), "loss": "x", "kl": 1.0, "<script>": 1}, {"step": 2, "reward": 1.0}]
    (found,) = curves.sections([write_log(tmp_path / "o", rows)])
    assert found["groups"] == []


def test_page_and_files_show_them(tmp_path, test_file):
    """A section that is not there, that lacks a training or a curve, or that a report without trainings has; a figure
    of the page without its files for a paper, or one training's file over another's."""
    rows = [{"step": i, "loss": 1 / i, "kl": i / 100} for i in range(1, 30)]
    folders = [write_log(tmp_path / where / "sft", rows) for where in ("one", "two")]
    models = three_models(tmp_path / "inference", test_file)
    html = make_report(tmp_path / "a", models, test_file, "--paper", "--training_dirs", *folders)[2]
    section = html[html.index('<section id="training">') :]
    section = section[: section.index("</section>")]
    assert re.findall(r"<h3>(\w+) ", section) == ["SFT", "SFT"]
    assert re.findall(r'<svg role="img" aria-label="(.*?)"', section) == ["Train", "KL"] * 2
    for training in curves.sections(folders):
        assert all(plot.svg() in section for _, panels in training["groups"] for plot in panels)
    files = {path.name for path in (tmp_path / "a" / "paper").iterdir()}
    for i in range(2):
        assert {f"training{i}-sft-loss.svg", f"training{i}-sft-loss.pdf"} <= files
    assert {"story.svg", "story.pdf", "overview.tex", "strategies.tex"} <= files
    story = (tmp_path / "a" / "paper" / "story.svg").read_text()
    assert "var(" not in story and plots.MODELS[2] in story and ">GRPO<" in story
    assert (tmp_path / "a" / "paper" / "story.pdf").read_bytes().startswith(b"%PDF")
    assert 'id="training"' not in make_report(tmp_path / "b", models, test_file)[2]


def test_a_folder_without_a_log_is_named(tmp_path, test_file):
    """A traceback, or a report without the curves that were asked for."""
    models = three_models(tmp_path / "inference", test_file)
    with pytest.raises(UserError, match="--training_dirs .*none: there is no log.jsonl"):
        make_report(tmp_path / "r", models, test_file, "--training_dirs", str(tmp_path / "none"))
