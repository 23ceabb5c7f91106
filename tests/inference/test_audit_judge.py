"""The audit of judges: labels that hold by construction, published coefficients, and a bad judge that shows."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import audit_judge
from auditing import wordings
from auditing.corruptions import labeled
from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict
from measures import agreement
from stages import FEW, script

BAR = 0.99
CONFIGS = Path(__file__).resolve().parents[2] / "inference" / "configs"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "data"
    config = Path(__file__).resolve().parents[2] / "dataset_generation/configs/tiny.yaml"
    argv = ["--config", str(config), "--output_dir", str(folder), "--num_train", "240", "--num_validation", "0"]
    argv += ["--num_test", "1400", "--num_test_ood", "0", "--image_size", "48", "--seed", "5", *FEW]
    script("dataset_generation/generate.py").main(argv)
    return folder / "test.jsonl"


def run(data: Path, output: Path, *flags) -> dict:
    argv = ["--data_file", str(data), "--output_file", str(output), "--resamples", "200", "--num_natural", "0"]
    argv += map(str, flags)
    assert audit_judge.main(argv) == 0
    return json.loads(output.read_text())


def test_scene_judge_passes_its_audit(data, tmp_path):
    """A fault of the scene judge on generated wording, with the reward and every number of the report behind it."""
    found = run(data, tmp_path / "audit.json", "--num_responses", 3000)
    assert found["responses"] >= 2000 and found["judge_failures"] == {} and found["canaries"]["passed"] == []
    assert found["warnings"] == [] and found["usage"] is None
    for name, criterion in found["criteria"].items():
        assert criterion["n"] >= 300 and criterion["accuracy"]["value"] >= BAR, (name, found["disagreements"][:3])
        assert criterion["accuracy"]["low"] <= criterion["accuracy"]["value"] <= criterion["accuracy"]["high"]
    assert set(found["faults"]) == {
        "reference", "empty", "confident_guess", "asked_instead", "abstained", "denied", "missing_reading",
        "wrong_entry", "wrong_fact", "guessed_unseen", "useless_question", "partial_question",
    }  # fmt: skip


def test_bad_judge_shows_as_bad(data, tmp_path, monkeypatch):
    """An audit that any judge passes: here one that finds everything grounded, and takes every strategy for right."""

    class Kind(SceneJudge):
        name = "kind"

        def _verdict(self, example, prediction):
            verdict = super()._verdict(example, prediction)
            if verdict.failure:
                verdict = super()._verdict(example, Prediction(example_id=example.id, text=""))
            kind = {"grounded": 1.0, "strategy_right": 1.0}
            return verdict.model_copy(update={"criteria": verdict.criteria | kind})

    monkeypatch.setattr(audit_judge, "make_judge", lambda *args, **options: Kind())
    found = run(data, tmp_path / "audit.json", "--num_responses", 1000)
    told = "\n".join(found["warnings"])
    assert "unreliable on grounded: accuracy 0." in told and "unreliable on strategy_right" in told
    assert "unreliable on over_asked" not in told and "180 of 180 canaries passed" in told
    for name in ("grounded", "strategy_right"):
        assert found["criteria"][name]["accuracy"]["high"] < 0.85
        assert abs(found["criteria"][name]["kappa"]["value"]) < 0.01, "kappa of a constant judge is 0"
    assert found["criteria"]["over_asked"]["accuracy"]["value"] == 1.0
    assert len(found["canaries"]["passed"]) == found["canaries"]["tried"] > 100
    assert found["faults"]["wrong_fact"]["all_right"] == 0 and len(found["disagreements"]) > 300


def test_coefficients_are_the_published_ones():
    """Cohen's and Gwet's coefficients mixed up. A table with 118 + 2 of 125 agreed: kappa 0.42, AC1 0.95 by hand."""
    table = np.array([[[118.0, 5.0], [0.0, 2.0]]])
    observed = 120 / 125
    chance = (123 / 125) * (118 / 125) + (2 / 125) * (7 / 125)
    assert agreement._kappa(table)[0] == pytest.approx((observed - chance) / (1 - chance))
    prevalence = (123 + 118) / 250
    chance = 2 * prevalence * (1 - prevalence)
    assert agreement._ac2(table)[0] == pytest.approx((observed - chance) / (1 - chance))
    assert agreement._kappa(table)[0] < 0.5 < 0.9 < agreement._ac2(table)[0]


def criterion(confusion: dict) -> dict:
    """Responses with this confusion table, as `agreement` reads them."""
    responses, verdicts = [], []
    for label, row in confusion.items():
        for said, count in row.items():
            for _ in range(count):
                example = SimpleNamespace(image=f"{len(responses)}.png")
                responses.append(SimpleNamespace(example=example, labels={"grounded": label}))
                criteria = {name: None for name in CRITERIA} | {"grounded": said}
                verdicts.append(Verdict(example_id="x", judge="x", criteria=criteria))
    return agreement.agreement("grounded", responses, verdicts, seed=0, resamples=200)


@pytest.mark.parametrize(
    "confusion,measure",
    [
        ({1.0: {1.0: 50}, 0.0: {0.0: 50}}, None),
        ({1.0: {1.0: 30, 0.0: 20}, 0.0: {0.0: 30, 1.0: 20}}, "kappa"),  # a coin, nearly
        (
            {1.0: {1.0: 94, 0.0: 2}, 0.0: {0.0: 2, 1.0: 2}},
            None,
        ),  # one label prevails: kappa is low, the judge is not bad
        ({1.0: {1.0: 95}, 0.0: {1.0: 5}}, "kappa"),  # one label prevails, and the judge knows no other
        ({1.0: {1.0: 50, 0.0: 46}, 0.0: {0.0: 4}}, "AC2"),
    ],
)
def test_unreliable_criteria_are_told(confusion, measure):
    """A judge that is no better than chance and raises no warning, or a good one that does as one label prevails."""
    warning = agreement.unreliable("grounded", criterion(confusion))
    assert warning is None if measure is None else f", {measure} " in warning and "do not train" in warning


def test_criteria_that_do_not_apply_count_for_nothing():
    """A judge that is credited with the examples to which a criterion does not apply: that is for code to settle."""
    found = criterion({None: {None: 900}, 1.0: {1.0: 10, 0.0: 10}})
    assert found["n"] == 20 and found["accuracy"]["value"] == 0.5
    assert criterion({None: {None: 5}}) == {"n": 0}


def test_bad_flags_and_files_are_named(data, tmp_path):
    """A traceback, or an hour of judging, where a flag cannot be right."""
    output = tmp_path / "audit.json"
    for flags in (("--repeats", 1), ("--num_responses", -1), ("--labels", tmp_path / "none"), ("--num_responses", 0)):
        with pytest.raises(UserError, match=flags[0]):
            run(data, output, *flags)


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_judge_of_a_config_is_audited(config, data, tmp_path):
    """A config whose judge is another one than the one that is audited, or that the audit cannot read."""
    found = run(data, tmp_path / "audit.json", "--config", config, "--num_responses", 50, "--num_effect_items", 0)
    assert found["judge"] == "scene" and found["effects"] == {}
    with pytest.raises(UserError, match="needs --judge_model"):
        run(data, tmp_path / "llm.json", "--config", write_config(tmp_path))


def write_config(folder: Path) -> Path:
    path = folder / "llm.yaml"
    path.write_text("predict:\n  seed: 0\njudge:\n  judge: openai\n  judge_max_failure_share: 0.1\n")
    return path


def test_same_seed_same_responses(data):
    """An audit that cannot be repeated."""
    examples = jsonl.read(data, Example)[:100]
    texts = [[r.text for r in labeled(examples, seed)] for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_labels_of_people(data, tmp_path):
    """Labels of people that are ignored, or a bad line that is not named."""
    example = jsonl.read(data, Example)[0]
    row = {"example_id": example.id, "text": example.reference, "used_strategy": example.strategy, "criteria": {}}
    labels = tmp_path / "labels.jsonl"
    rows = [row | {"criteria": {"grounded": g}, "note": "a line\u2028in a line"} for g in (1.0, 0.0)]
    labels.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    found = run(data, tmp_path / "audit.json", "--num_responses", 0, "--labels", labels)
    assert found["criteria"]["used_strategy"]["accuracy"]["value"] == 1.0
    assert found["criteria"]["grounded"]["confusion"] == {"0.00": {"1.00": 1}, "1.00": {"1.00": 1}}
    assert found["criteria"]["complete"] == {"n": 0} and len(found["disagreements"]) == 1
    for bad, message in ((row | {"example_id": "x"}, "line 1.*--data_file"), (row | {"criteria": {"nice": 1}}, "nice")):
        labels.write_text(json.dumps(bad) + "\n")
        with pytest.raises(UserError, match=message):
            run(data, tmp_path / "bad.json", "--labels", labels, "--overwrite")


def test_a_complete_audit_stays(data, tmp_path, capsys):
    """A rerun of run.sh that pays for the judge's audit again, or an audit of one judge kept for another."""
    flags = ("--num_responses", 30, "--num_effect_items", 0)
    run(data, tmp_path / "a.json", *flags)
    before = (tmp_path / "a.json").stat().st_mtime_ns
    run(data, tmp_path / "a.json", *flags)
    assert (tmp_path / "a.json").stat().st_mtime_ns == before and "complete already" in capsys.readouterr().out
    with pytest.raises(UserError, match="judge: scene -> openai"):
        run(data, tmp_path / "a.json", *flags, "--judge", "openai", "--judge_model", "m")
    run(data, tmp_path / "a.json", *flags, "--overwrite")
    assert (tmp_path / "a.json").stat().st_mtime_ns != before


# --- natural wordings


def natural(labels: dict, style: str = "plain", file: str = "development", picture: str = "a") -> wordings.Response:
    example = SimpleNamespace(id=picture, image=picture, image_sha256=picture, question="Which?")
    return wordings.Response(example, style, "So to say, red.", labels, file)


def verdict_on(*, failure: str | None = None, used: str = "answer", unknown=(), **criteria) -> Verdict:
    about = {"example_id": "x", "judge": "test", "failure": failure}
    if failure:
        return Verdict(**about)
    values = dict.fromkeys(CRITERIA) | criteria
    return Verdict(**about, used_strategy=used, criteria=values, unknown=list(unknown))


def test_natural_responses_are_there_and_whole():
    """Rows that no example belongs to, labels of a misspelled criterion, or disputed ones that are scored."""
    found = wordings.read(None, seed=0)
    assert len(found) > 1500 and len({r.fault for r in found}) == 9 and {r.file for r in found} == set(wordings.FILES)
    assert {name for r in found for name in r.labels} == set(agreement.AUDITED)
    assert all(value != "?" for r in found for value in r.labels.values())
    some = wordings.read(50, seed=0)
    assert [r.text for r in some] == [r.text for r in wordings.read(50, seed=0)] and len(some) == 50
    assert {r.file for r in some} == set(wordings.FILES), "a sample of one file only"


def test_natural_numbers_by_hand():
    """What a judge does not understand that counts as wrong or as right, a false claim that is paid and does not show,
    another language that is taken for a lack of understanding, a criterion that the judge says it does not know."""
    labels = {"used_strategy": "answer", "grounded": 0.0, "answer_right": None}
    rows = [
        (natural(labels), verdict_on(grounded=0.0)),
        (natural(labels, "terse"), verdict_on(grounded=1.0)),
        (natural(labels, "terse"), verdict_on(unknown=["grounded"])),
        (natural(labels, file="blind"), verdict_on(failure="not_understood")),
        (natural({"used_strategy": "other_language"}), verdict_on(failure="other_language")),
        (natural(labels), verdict_on(failure="timeout")),
        (natural(labels, file="blind"), verdict_on(used="clarify", grounded=0.0)),
    ]
    found = wordings.measure([r for r, _ in rows], [v for _, v in rows], seed=0, resamples=100)
    assert (found["all"]["understood"]["value"], found["all"]["understood"]["n"]) == (0.8, 5)
    assert (found["all"]["all_met"]["value"], found["all"]["all_met"]["n"]) == (0.6, 5)
    assert found["all"]["ungrounded_paid"]["value"] == 0.25
    assert found["styles"]["terse"]["ungrounded_paid"]["value"] == 0.5
    assert found["files"]["blind"]["understood"]["value"] == 0.5
    assert found["judge_failures"] == {"not_understood": 1, "other_language": 1, "timeout": 1}
    assert len(found["disagreements"]) == 1, "of blind responses nobody is shown which are judged otherwise"


def test_a_judge_that_reads_no_natural_wording_is_called_so_first(data, tmp_path, monkeypatch, capsys):
    """An audit that says 100 % because the responses are worded by whoever wrote the judge."""

    class Schoolbook(SceneJudge):
        def _verdict(self, example, prediction):
            if len(prediction.text) % 3:
                return super()._verdict(example, prediction)
            return Verdict(example_id=example.id, judge="scene", failure="not_understood")

    monkeypatch.setattr(audit_judge, "make_judge", lambda *_: Schoolbook())
    flags = ("--num_responses", 30, "--num_effect_items", 0, "--num_natural", 300)
    found = run(data, tmp_path / "a.json", *flags)
    assert found["natural"]["responses"] == 300 and found["natural"]["facts_alone"] is False
    assert 0.5 < found["natural"]["all"]["understood"]["value"] < 0.8
    assert found["warnings"][0].startswith("low coverage: of responses in natural wordings")
    assert "--judge openai" in found["warnings"][0]
    said = capsys.readouterr().out.split("30 responses of known labels")[1].splitlines()
    assert said[1].startswith("WARNINGS") and "low coverage" in said[2] and "natural: 300 responses" in "\n".join(said)


def test_nothing_low_is_no_warning():
    """A judge that is warned of for what it does well."""
    rows = [(natural({"used_strategy": "answer", "grounded": 1.0}), verdict_on(grounded=1.0))] * 20
    found = wordings.measure([r for r, _ in rows], [v for _, v in rows], seed=0, resamples=100)
    assert wordings.warnings(found) == [] == wordings.warnings(None)
    wrong = [(r, verdict_on(grounded=0.0)) for r, _ in rows]
    found = wordings.measure([r for r, _ in wrong], [v for _, v in wrong], seed=0, resamples=100)
    assert [w.split(":")[0] for w in wordings.warnings(found)] == ["low agreement"]
