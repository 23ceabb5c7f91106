"""A job of the plan -> the examples of one photograph, which is copied as it is."""

import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from clarifyvlm.records import Example, Facts
from folder.pictures import write_bytes
from photographs import words
from photographs.question import Job, Settings


def build_examples(
    settings: Settings, split: str, job: Job, image_dir: Path, answers: Callable, phrasings: dict
) -> list[Example]:
    """The examples of one picture, which is copied to `image_dir`/<split>/ as it is.

    `answers`: (question, objects) -> an answer per object that is meant, or the one of a count or existence question.
    """
    rng = random.Random(f"{settings.seed}:{split}:{job.file_name}")
    content = (Path(settings.image_dir) / job.file_name).read_bytes()
    write_bytes(image_dir / split / job.file_name, content)  # in its own folder: two may have pictures of one name
    facts = Facts(**job.facts)
    image, digest = f"images/{split}/{job.file_name}", sha256(content).hexdigest()
    examples = [
        words.example(settings, split, q, slot, facts, image, digest, answers(q, facts.objects), phrasings, rng)
        for q, slot in job.questions
    ]
    for example in examples:
        example.provenance |= job.origin
    return examples
