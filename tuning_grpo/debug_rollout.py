"""Print one GRPO group: prompt, completions (with --turns 2, dialogues), every criterion, reward term and advantage.

    python tuning_grpo/debug_rollout.py --model_name_or_path runs/tiny/sft --data_file runs/tiny/data/train.jsonl

Reads a checkpoint and a data file; writes nothing. Without --example_id it takes the first example of --strategy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clarifyvlm import chat, config, images, jsonl, rewards
from clarifyvlm.config import option
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.judges import JudgeArguments, make_judge, refuse_unannotated
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.records import CRITERIA, Example, Prediction, Strategy, Turn, UserKind
from clarifyvlm.users import scripted
from reward_functions import advantages


@dataclass
class Options:
    model_name_or_path: str = option("Checkpoint: a whole model or an adapter.")
    data_file: str = option("JSONL file of examples; pictures are relative to it.")
    example_id: str | None = option("Which example.", None)
    strategy: Strategy = option("Else the first one of this strategy.", "clarify")
    num_generations: int = option("Completions in the group.", 8, min=2)
    turns: int = option("2, 3: the simulated user replies where the model asks.", 1, min=1, max=3)
    user_kind: UserKind = option("Who replies.", "helpful")
    reading: int = option("The reading that the user has in mind, from 0.", 0, min=0)
    temperature: float = option("As in training.", 1.0, above=0)
    max_completion_length: int = option("Tokens.", 64, min=1)
    seed: int = option("Of the sampling.", 0)
    device: Literal["cpu", "cuda", "mps"] | None = option("Unset: a GPU if there is.", None)


def main(argv=None) -> int:
    options, weights, judge_args = config.parse_args(
        [Options, rewards.RewardWeights, JudgeArguments], argv, description=__doc__
    )
    data_file = Path(options.data_file)
    example = find(jsonl.read(data_file, Example), options)
    readings = len(example.ambiguity.readings)
    if options.turns > 1 and readings and options.reading >= readings:
        raise UserError(f"--reading {options.reading}: of {example.id} from 0 to {readings - 1}.")
    images.check_unchanged([example], data_file.parent)
    picture = images.open_image(data_file.parent / example.image)
    refuse_unannotated(judge_args, [example], data_file)
    judge = make_judge(judge_args, data_file.parent)
    judge.check()

    from clarifyvlm.models import loading
    from clarifyvlm.models.generation import Generator

    model, processor = loading.load(options.model_name_or_path, device=options.device)
    generator = Generator(
        model, processor, max_new_tokens=options.max_completion_length, temperature=options.temperature
    )
    group = talk(generator, example, picture, options)
    print_group(example, group, judge.judge([example] * len(group), group), weights)
    return 0


def talk(generator, example: Example, picture, options: Options) -> list[Prediction]:
    """The group: each response, and where it asks, the user's reply and the next response."""
    dialogues: list[list[Turn]] = [[] for _ in range(options.num_generations)]
    speaking = dialogues
    for turn in range(1, options.turns + 1):
        conversations = [chat.messages(example, turns) for turns in speaking]
        responses = generator(conversations, [picture] * len(speaking), seed=options.seed + turn - 1)
        for turns, response in zip(speaking, responses, strict=True):
            turns.append(Turn(role="assistant", text=response.text))
        if turn == options.turns or not example.ambiguity.readings:
            break
        replied = []
        for turns in speaking:
            said = scripted.reply(example, after_reasoning(turns[-1].text), options.reading, options.user_kind, turn)
            if said is not None:
                turns.append(Turn(role="user", text=said))
                replied.append(turns)
        if not replied:
            break
        speaking = replied
    who = {"reading": options.reading, "user_kind": options.user_kind}
    return [Prediction(example_id=example.id, turns=turns, **(who if len(turns) > 1 else {})) for turns in dialogues]


def find(examples: list[Example], options: Options) -> Example:
    for example in examples:
        if example.id == options.example_id or (not options.example_id and example.strategy == options.strategy):
            return example
    sought = f"id {options.example_id}" if options.example_id else f"strategy {options.strategy}"
    raise UserError(f"{options.data_file}: no example with {sought}")


def print_group(example: Example, group: list[Prediction], verdicts, weights: rewards.RewardWeights) -> None:
    """The group as text: what was asked, then each completion with its verdict, terms, total and advantage."""
    print(f"example    {example.id}   picture {example.image}")
    print(f"question   {example.question}")
    print(f"readings   {'; '.join(f'{r.expression} -> {r.answer}' for r in example.ambiguity.readings) or 'none'}")
    print(f"right      {example.strategy}   e.g. {example.reference}")
    totals = [rewards.total(example, v, p, weights) for v, p in zip(verdicts, group, strict=True)]
    for index, (prediction, verdict, total, advantage) in enumerate(
        zip(group, verdicts, totals, advantages(totals), strict=True), start=1
    ):
        print(
            f"\n{index}. "
            + "\n   ".join(f"{turn.role + ': ' if n else ''}{turn.text!r}" for n, turn in enumerate(prediction.turns))
        )
        terms = rewards.terms(example, verdict, prediction, weights)
        if terms is None:
            why = verdict.failure or f"it knows nothing of {', '.join(verdict.unknown)}"
            print(f"   the judge failed: {why}; no reward, advantage 0")
            print("".join(f"   {name} {words!r}\n" for name, words in verdict.evidence.items()), end="")
            continue
        then = f", then {verdict.used_after_reply}" if verdict.used_after_reply else ""
        print(f"   strategy used  {verdict.used_strategy}{then}")
        print("   criteria       " + "  ".join(f"{c} {_number(verdict.criteria[c])}" for c in CRITERIA))
        earned = {name: weights.of(name) * value for name, value in terms.items()}
        print("   terms          " + "  ".join(f"{name} {_number(value)}" for name, value in earned.items()))
        print(f"   reward         {total:+.3f}   advantage {advantage:+.3f}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value or 0.0:.2f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    run_main(main)
