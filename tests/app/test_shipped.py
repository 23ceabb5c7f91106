"""The tuned models that come with the repository: what their records say, and what the README shows of them."""

import hashlib
import json
import re

import pytest

from clarifyvlm.app import provenance, talk
from clarifyvlm.models import loading
from stages import ROOT

MODELS = ROOT / "models"


@pytest.mark.parametrize("name", ["tiny-sft", "tiny-grpo"])
def test_weights_are_those_of_the_record(name):
    """Weights of another run beside the card and the record of this one."""
    record = json.loads((MODELS / name / "run.json").read_text())
    for file, wanted in record["files"].items():
        assert hashlib.sha256((MODELS / name / file).read_bytes()).hexdigest() == wanted
    assert (MODELS / name / "model.safetensors").stat().st_size < 10_000_000
    card = (MODELS / name / "README.md").read_text()
    assert "Right in the end" in card and "/root" not in card


def test_lineage(monkeypatch, tmp_path):
    """A comparison with the models it was made from that does not find them, wherever it is asked for."""
    monkeypatch.chdir(tmp_path)
    found = talk.lineage(MODELS / "tiny-grpo")
    assert list(found) == ["GRPO", "SFT", "base"]
    assert [loading.model_label(path) for path in found.values()] == ["tiny-grpo", "tiny-sft", "tiny"]
    assert provenance.history(MODELS / "tiny-grpo").torn is None


def test_readme_shows_their_words():
    """A README whose example nobody gets who tries it."""
    from PIL import Image

    picture = Image.open(ROOT / "inference" / "example.png")
    table = (ROOT / "README.md").read_text().split("| you ask | untuned |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| \*(.+?)\* .*?\| (.+?) \| (.+?) \| (.+?) \|$", table, flags=re.M)
    assert len(rows) == 3
    for column, folder in enumerate(("tiny", "tiny-sft", "tiny-grpo"), start=1):
        speaker = talk.Speaker(folder, str(MODELS / folder), talk.SpeakerArguments())
        for row in rows:
            (*_, said) = talk.Talk(speaker, picture, row[0]).respond()
            assert said.text == row[column], (folder, row[0])
