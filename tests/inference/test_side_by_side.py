"""`main.py compare`: runs beside each other, which settings differ, paired differences, the mean over repetitions."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats

import report
from clarifyvlm.errors import UserError
from measures import comparison
from reporting import side_by_side, tables
from reports import judged, make_report, three_models
from small_examples import write_examples
from stages import ROOT


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on one test set; the second's grpo asks about everything."""
    folder = tmp_path_factory.mktemp("runs")
    test_file = write_examples(folder / "data")
    for name in ("one", "two"):
        three_models(folder / name / "inference", test_file)
    shutil.rmtree(folder / "two" / "inference" / "grpo")
    judged(folder / "two" / "inference", "grpo", test_file, lambda e: "Which star do you mean, and where is it?")
    for seed, name in enumerate(("one", "two")):
        write_record(folder / name / "data/run.json", seed=seed)
        make_report(folder / name / "report", folder / name / "inference", test_file)
    return folder


def test_each_run_has_its_own_column(runs, tmp_path, capsys):
    """Numbers of one run under the name of another, a model left out, or a file that is not what was printed."""
    assert report.main(["compare", f"{runs}/one", f"{runs}/two/report", "--output_file", f"{tmp_path}/c.md"]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "c.md").read_text()
    assert [line for line in printed.splitlines() if line.startswith("## ")][:5] == [
        "## Settings that differ",
        "## base",
        "## sft",
        "## grpo",
        "## another",
    ]
    grpo = printed.split("\n## grpo\n")[1].split("##")[0].splitlines()
    head = [cell.strip() for cell in grpo[1].split("|")]
    accuracy = [cell.strip() for cell in next(line for line in grpo if "Strategy accuracy" in line).split("|")]
    assert head[2:4] == ["one", "two"] and accuracy[2].startswith("100.0 [") and accuracy[3].startswith("50.0 [")
    assert accuracy[4] == "75.0" and "All runs answered the same 10 questions" in printed
    assert "## sft \N{MINUS SIGN} base" in printed


def test_the_mean_over_runs_is_students(runs):
    """An interval of a mean over seeds that is another's than Student's, or that forgets the shared questions."""
    values = [0.7, 0.74, 0.69, 0.75]
    rows = [{"value": v, "low": v - 0.03, "high": v + 0.03, "n": 500} for v in values]
    low, high = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    apart = comparison.pooled(rows, same_data=False)
    assert (apart["low"], apart["high"], apart["n"]) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9), 4)
    assert apart["sd"] == pytest.approx(stats.tstd(values), abs=1e-9)
    shared = comparison.pooled(rows, same_data=True)
    half = (((high - low) / 2) ** 2 + 0.03**2) ** 0.5
    assert shared["high"] - shared["value"] == pytest.approx(half, abs=1e-9)


def test_a_mean_of_one_run_is_none():
    """One run shown with a spread between runs."""
    nothing = {"value": None, "low": None, "high": None, "n": 0}
    assert comparison.pooled([{"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}, nothing, None], same_data=False) is None


def test_other_questions_and_judges_are_said(runs, tmp_path, capsys):
    """Runs on different questions, or by different judges, side by side as if they were comparable."""
    content = json.loads((runs / "one" / "report" / "metrics.json").read_text())
    for name, judge in (("a", "scene"), ("b", "openai:x")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps(content | {"judge": judge, "data_sha256": name}))
    report.main(["compare", f"{tmp_path}/a", f"{tmp_path}/b"])
    printed = capsys.readouterr().out
    assert "different questions (a 10, b 10)" in printed and "a by scene; b by openai:x" in printed
    assert "No records" in printed and "mean over runs" not in printed and "nothing is paired" in printed


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "no metrics.json"),
        ("{}", "of this version"),
        ("not json", "of this version"),
    ],
)
def test_what_is_no_run_is_named(runs, tmp_path, made, message):
    """A folder without a report, or a file of an older version, that ends in a traceback."""
    if made is not None:
        (tmp_path / "metrics.json").write_text(made)
    with pytest.raises(UserError, match=message) as error:
        report.main(["compare", f"{runs}/one", str(tmp_path)])
    assert str(tmp_path) in str(error.value)


def test_one_run_cannot_be_compared(runs):
    """A comparison of a run with itself."""
    with pytest.raises(UserError, match="two or more different"):
        report.main(["compare", f"{runs}/one", f"{runs}/./one"])


def test_runs_of_one_name_are_told_apart(runs, tmp_path):
    """Two folders of the same last name whose columns cannot be told apart."""
    names = side_by_side.short_names([f"{runs}/one/report", f"{tmp_path}/x/one"])
    assert list(names) == [f"{runs}/one/report", f"{tmp_path}/x/one"]
    assert list(side_by_side.short_names([f"{runs}/one/report", f"{runs}/two"])) == ["one", "two"]


def write_record(path: Path, inputs: dict[str, str] | None = None, **args) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = [{"path": name, "sha256": sha256} for name, sha256 in (inputs or {}).items()]
    path.write_text(json.dumps({"status": "complete", "args": args, "inputs": inputs}))


def recorded(folder: Path, metrics: dict, *, made_in: str, **sft) -> Path:
    """A run with the records of run.sh, which name the folder that it was made in."""
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "metrics.json").write_text(json.dumps(metrics))
    common = {"overwrite": False, "redo": False}
    write_record(folder / "data/run.json", output_dir=f"{made_in}/data", seed=sft["seed"], **common)
    base = {"models/tiny": sft.pop("base", "1" * 64)}
    model = {"model_name_or_path": "models/tiny", "data_dir": f"{made_in}/data", "output_dir": f"{made_in}/sft"}
    write_record(folder / "sft/run.json", base, **model, **sft)
    for name in ("base", "sft"):
        place = f"{made_in}/inference/{name}"
        given = {"model_name_or_path": f"{made_in}/sft", "output_file": f"{place}/predictions.jsonl"}
        write_record(folder / f"inference/{name}/predictions.run.json", **given, **common, turns=sft.get("turns", 2))
    return folder


def compare(capsys, *arguments) -> str:
    assert report.main(["compare", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def table(printed: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, the line of dashes left out."""
    lines = [line for line in printed.split(f"# {heading}\n")[1].split("\n#")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|--")]


@pytest.fixture
def content(runs) -> dict:
    return json.loads((runs / "one" / "report" / "metrics.json").read_text())


def test_settings_are_compared_key_by_key(content, tmp_path, capsys):
    """A setting that is not shown, or a difference that is none: the runs' own paths, where they were made."""
    a = recorded(tmp_path / "a", content, made_in="runs/a", seed=0, turns=2)
    b = recorded(tmp_path / "b", content, made_in="/elsewhere/b", seed=0, turns=1, learning_rate=1e-4, base="2" * 64)
    (b / "inference/another").mkdir()
    printed = compare(capsys, a, b)
    assert table(printed, "Settings that differ") == [
        ["", "a", "b"],
        ["sft.model_name_or_path", "models/tiny (11111111)", "models/tiny (22222222)"],
        ["sft.turns", "2", "1"],
        ["sft.learning_rate", "default", "0.0001"],
        ["predictions.turns", "2", "1"],
    ]
    assert "differ in more than the seed" in printed and "mean over runs" not in printed
    (b / "inference/base/predictions.run.json").write_text("torn")
    shutil.rmtree(a / "sft")
    rows = table(compare(capsys, a, b), "Settings that differ")
    assert rows[1:] == [["sft", "no record", "recorded"], ["predictions.turns", "2", "1"]]


@pytest.mark.parametrize(
    ("seeds", "sha256", "more", "said", "mean"),
    [
        ([0, 1, 2], "same", {}, "the test set, which they share", "interval"),
        ([0, 1, 2], None, {}, "questions drawn by its own seed", "interval"),
        ([0, 1], None, {}, "needs 3 runs", "number"),
        ([0, 0, 0], None, {}, "no seed of the data", None),
        ([0, 0, 0], "same", {}, "not even a seed differs", None),
        ([0, 1, 2], "same", {"warmup": 1}, "in more than the seed", None),
        ([0, 1, 2], None, {"warmup": 1}, "in more than the seed", None),
    ],
)
def test_the_mean_is_over_repetitions_only(content, tmp_path, capsys, seeds, sha256, more, said, mean):
    """A mean over different settings or questions, or an interval of two runs that is as wide as all there is."""
    folders = []
    for number, seed in enumerate(seeds):
        changed = content | {"data_sha256": sha256 or f"of {number}"}
        folders.append(recorded(tmp_path / f"run{number}", changed, made_in="x", seed=seed, **(more if number else {})))
    printed = compare(capsys, *folders)
    head, _, accuracy = table(printed, "sft")[:3]
    assert said in printed and (head[-2:] == ["mean over runs", "SD between runs"]) == bool(mean)
    if mean:
        assert ("[" in accuracy[-2]) == (mean == "interval") and accuracy[-2].startswith("50.0")


def test_runs_on_the_same_questions_are_paired(runs, tmp_path, capsys):
    """A difference of the wrong sign, of models that differ, or with an interval that is not the report's."""
    together = tmp_path / "together"
    for name in ("one", "two"):
        shutil.copytree(runs / name / "inference/grpo", together / name)
    content, _, _ = make_report(tmp_path / "report", together, runs / "data/test.jsonl", "--baseline", "one")
    row = next(d for d in content["differences"] if d["metric"] == "strategy_accuracy_macro")
    assert (row["a"], row["b"], row["value"]) == ("two", "one", -0.5)
    printed = compare(capsys, runs / "one/report", runs / "two")
    assert "The same responses in all of them: base, sft, another." in printed
    head, _, accuracy = table(printed.partition("## Minus one, paired")[2], "grpo")[:3]
    assert head == ["", f"two {tables.MINUS} one"] and accuracy[1] == tables.interval(row, signed=True)


def test_what_cannot_be_paired_is_said(runs, tmp_path, capsys):
    """Verdicts of two judges, or on other questions, paired; a traceback where questions or predictions are gone."""
    other = Path(shutil.copytree(runs / "two", tmp_path / "other"))
    verdicts = other / "inference/grpo/verdicts.jsonl"
    verdicts.write_text(verdicts.read_text().replace('"judge": "scene"', '"judge": "openai:x"'))
    for name in ("base", "sft", "another"):
        (other / "inference" / name / "predictions.jsonl").unlink()
    assert "judged by the same: nothing is paired" in compare(capsys, runs / "one", other)
    content = json.loads((other / "report/metrics.json").read_text())
    (other / "report/metrics.json").write_text(json.dumps(content | {"data": "nowhere/test.jsonl"}))
    assert "no longer there as they were" in compare(capsys, other, runs / "one/report/metrics.json")
    (other / "report/metrics.json").write_text(json.dumps(content | {"data_sha256": "others"}))
    assert "No other run answered the questions of one: nothing is paired" in compare(capsys, runs / "one", other)


def test_a_summary_has_a_row_for_each_recipe(content, tmp_path, capsys):
    """Seeds of two recipes in one mean, a setting that is taken for a seed, or a mean of two seeds with an interval."""
    cells = ["lr=1,seed=0", "lr=1,seed=1", "lr=1,seed=2", "lr=2,seed=0", "lr=2,seed=1", "predict.turns=2"]
    for number, cell in enumerate(cells):
        content["models"]["sft"]["strategy_accuracy_macro"]["value"] = number / 10
        (tmp_path / cell).mkdir()
        (tmp_path / cell / "metrics.json").write_text(json.dumps(content | {"data_sha256": cell[-1]}))
    rows = table(compare(capsys, *(tmp_path / cell for cell in cells), "--summary", "sft"), "sft")
    assert [row[:2] for row in rows] == [["", "runs"], ["lr=1", "3"], ["lr=2", "2"], ["predict.turns=2", "1"]]
    assert rows[1][3].startswith("10.0 [") and rows[2][3] == "35.0" and rows[3][3].startswith("50.0 [")
    with pytest.raises(UserError, match="no model gpro"):
        report.main(["compare", str(tmp_path / cells[0]), "--summary", "gpro"])


def test_main_hands_over(runs):
    """Runs that main.py loses on the way, or looks for beside itself; a message that ends in a traceback."""
    command = [sys.executable, ROOT / "main.py", "compare"]
    done = subprocess.run([*command, "one", "two"], cwd=runs, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("# Runs side by side"), done.stderr
    done = subprocess.run([*command, "one"], cwd=runs, capture_output=True, text=True)
    assert done.returncode == 2 and "two or more different ones" in done.stderr and "Traceback" not in done.stderr
