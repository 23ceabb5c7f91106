"""`report.py compare`: runs beside each other, and the mean over them with an interval that holds for the recipe."""

import json
import shutil

import pytest
from scipy import stats

import report
from clarifyvlm.errors import UserError
from measures import comparison
from reporting import side_by_side
from reports import judged, make_report, three_models
from small_examples import write_examples


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on one test set; the second's grpo asks about everything."""
    folder = tmp_path_factory.mktemp("runs")
    test_file = write_examples(folder / "data")
    for name in ("one", "two"):
        three_models(folder / name / "inference", test_file)
    shutil.rmtree(folder / "two" / "inference" / "grpo")
    judged(folder / "two" / "inference", "grpo", test_file, lambda e: "Which star do you mean, and where is it?")
    for name in ("one", "two"):
        make_report(folder / name / "report", folder / name / "inference", test_file)
    return folder


def test_each_run_has_its_own_column(runs, tmp_path, capsys):
    """Numbers of one run under the name of another, a model left out, or a file that is not what was printed."""
    assert report.main(["compare", f"{runs}/one", f"{runs}/two/report", "--output_file", f"{tmp_path}/c.md"]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "c.md").read_text()
    assert [line for line in printed.splitlines() if line.startswith("## ")][:4] == [
        "## base",
        "## sft",
        "## grpo",
        "## another",
    ]
    grpo = printed.split("## grpo")[1].split("##")[0].splitlines()
    head = [cell.strip() for cell in grpo[2].split("|")]
    accuracy = [cell.strip() for cell in next(line for line in grpo if "Strategy accuracy" in line).split("|")]
    assert head[2:4] == ["one", "two"] and accuracy[2].startswith("100.0 [") and accuracy[3].startswith("50.0 [")
    assert accuracy[4].startswith("75.0 [") and "All runs answered the same 10 questions" in printed
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
