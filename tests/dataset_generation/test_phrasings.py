"""The forms of phrasings.yaml: every one of them is read as the question that it asks."""

import pytest

from clarifyvlm import jsonl
from clarifyvlm.language.facts import Case
from clarifyvlm.records import Example
from clarifyvlm.world.queries import MISSPELLINGS, Query
from clarifyvlm.world.wording import PHRASINGS, questions
from stages import script


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> list[tuple[Example, Query]]:
    """Generated examples of every kind and form, with their queries."""
    folder = tmp_path_factory.mktemp("phrasings")
    command = ["--config", "dataset_generation/configs/scenes.yaml", "--num_train", "300", "--num_validation", "0"]
    command += ["--num_test", "0", "--num_test_ood", "0", "--audit", "off", "--output_dir", str(folder)]
    assert script("dataset_generation/generate.py").main(command) == 0
    return [(e, Query(**e.provenance["query"])) for e in jsonl.read(folder / "train.jsonl", Example)]


@pytest.mark.parametrize("held_out", [False, True])
def test_the_judge_finds_what_every_form_asks_about(asked, held_out):
    """A form whose words the scene judge takes for another thing: "color of the star" as an unknown thing called
    color, the second object of a comparison for the first."""
    wrong, kinds = [], set()
    for example, query in asked:
        kinds.add(query.kind)
        fitting = {o.id for o in query.matches(example.facts)}
        for text in questions(query, held_out):
            case = Case(example.model_copy(update={"question": text}))
            found = {o.id for o in case.find(case.question, case.objects)[0]}
            if query.word:
                right = query.word in case.question_tokens and case.guesses >= set(MISSPELLINGS[query.word])
            else:
                right = found == fitting or (query.size and fitting <= found)
            if not right:
                wrong.append((text, case.question))
    assert not wrong, f"{len(wrong)}: {wrong[:20]}"
    assert kinds >= set(PHRASINGS["questions"]) - {"count", "existence"}


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("kind", ["count", "existence"])
def test_forms_about_the_whole_picture(asked, kind, held_out):
    """The same for questions that count: plurals, "any star"."""
    facts = next(e for e, _ in asked)
    for query in (Query(kind, name="star"), Query(kind, color="red"), Query(kind, name="square", color="blue")):
        for text in questions(query, held_out):
            asks = Case(facts.model_copy(update={"question": text, "kind": kind})).question
            assert (asks.name, asks.color) == (query.name, query.color), text


def test_forms_kept_for_the_test_set():
    """A held-out form that is one of training, but for its marks and capitals."""

    def plain(form: str) -> str:
        return form.lower().strip(".?")

    for kind, forms in PHRASINGS["questions"].items():
        held_out = PHRASINGS["questions_held_out"][kind]
        assert len(held_out) >= 2 and not {plain(f) for f in held_out} & {plain(f) for f in forms}, kind
