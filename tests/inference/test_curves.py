"""Training curves in the report: what was logged is what is drawn, and nothing a log holds breaks the page."""

import json
import re
from pathlib import Path

import pytest

from clarifyvlm.errors import UserError
from reporting import curves
from reports import make_report, three_models


def write_log(folder: Path, rows: list[dict]) -> str:
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.json").write_text(json.dumps({"stage": "tuning_grpo"}))
    return str(folder)


def test_what_was_logged_is_drawn(tmp_path):
    """A curve of another key, one that is left out, or rows without a step (the summary at the end) drawn as one."""
    rows = [{"step": i, "reward": i / 10, "ask_rate/clarify": 0.5, "judge_failures": 0.0} for i in range(1, 9)]
    folder = write_log(tmp_path / "grpo", [*rows, {"train_runtime": 5.0, "reward": 123456}])
    (found,) = curves.sections([folder])
    titles = [plot["title"] for plot in found["plots"]]
    assert (found["name"], found["stage"]) == ("grpo", "tuning_grpo")
    assert titles == ["Reward", "Asks, by right strategy", "Judge failures"]
    svg = found["plots"][0]["svg"]
    assert svg.startswith("<svg") and "123456" not in svg and "var(--m1)" in svg and "#0b00" not in svg
    again = curves.sections([folder])[0]["plots"]
    assert [p["svg"] for p in again] == [p["svg"] for p in found["plots"]]
    ids = [set(re.findall(r'id="([^"]+)"', plot["svg"])) for plot in found["plots"]]
    assert ids[0] and not ids[0] & ids[1], "two plots of one page share what they refer to"


def test_odd_rows(tmp_path):
    """NaN, a text, one row alone or a hostile key that stops the report."""
    rows = [{"step": 1, "reward": float("nan"), "loss": "x", "kl": 1.0, "<script>": 1}, {"step": 2, "reward": 1.0}]
    (found,) = curves.sections([write_log(tmp_path / "o", rows)])
    assert found["plots"] == []


def test_page_shows_them(tmp_path, test_file):
    """A section that is not there, that lacks a training or a curve, or that a report without trainings has."""
    rows = [{"step": i, "loss": 1 / i, "kl": i / 100} for i in range(1, 30)]
    folders = [write_log(tmp_path / name, rows) for name in ("sft", "grpo")]
    models = three_models(tmp_path / "inference", test_file)
    html = make_report(tmp_path / "a", models, test_file, "--training_dirs", *folders)[2]
    section = html[html.index('<section id="training">') :]
    section = section[: section.index("</section>")]
    assert re.findall(r"<h3>(\w+) ", section) == ["sft", "grpo"] and section.count("tuning_grpo") == 2
    assert re.findall(r'<svg role="img" aria-label="(.*?)"', section) == ["Loss", "KL to the start"] * 2
    for training in curves.sections(folders):
        assert all(plot["svg"] in section for plot in training["plots"])
    assert 'id="training"' not in make_report(tmp_path / "b", models, test_file)[2]


def test_a_folder_without_a_log_is_named(tmp_path, test_file):
    """A traceback, or a report without the curves that were asked for."""
    models = three_models(tmp_path / "inference", test_file)
    with pytest.raises(UserError, match="--training_dirs .*none: there is no log.jsonl"):
        make_report(tmp_path / "r", models, test_file, "--training_dirs", str(tmp_path / "none"))
