"""SFT: teach a VLM the reference responses.

    python tuning_sft/train.py --config tuning_sft/configs/tiny.yaml --model_name_or_path models/tiny \\
        --data_dir runs/tiny/data --output_dir runs/tiny/sft

Reads train.jsonl, validation.jsonl and the pictures beside them; writes a checkpoint that loads by itself (the whole
model, or with --use_peft an adapter that names its base), log.jsonl and run.json. A dialogue is two rows, the
question asked back and the answer after the reply; the loss is on the responses only. Every option of TRL's
SFTConfig and ModelConfig is a flag, above all --num_train_epochs, --max_steps, --per_device_train_batch_size,
--gradient_accumulation_steps, --learning_rate, --save_steps, --bf16, --gradient_checkpointing, --seed, --overwrite,
--report_to, --use_peft, --lora_r, --lora_alpha, --lora_target_modules, --load_in_4bit (QLoRA), --attn_implementation,
--dtype.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clarifyvlm import chat, config, images, jsonl, tracking, training_rules
from clarifyvlm.config import option
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.judges import JudgeArguments, make_judge
from clarifyvlm.records import Example
from clarifyvlm.run_record import RunRecord


@dataclass
class Options:
    data_dir: str = option("Folder with train.jsonl, validation.jsonl and their pictures.")
    num_train_examples: int | None = option("Train on the first N; unset: on all.", None, min=1)
    num_replay_examples: int | None = option(
        "Of replay.jsonl: questions that nobody asks back about, which keep what the base could do. Unset: all.",
        None,
        min=0,
    )
    num_validation_examples: int = option("For the validation loss and accuracy; 0: without.", 300, min=0)
    image_max_side: int | None = option("Shrink larger pictures, pixels. As in inference.", None, min=8)
    image_processor: str | None = option("Settings of the model's image processor to change, a JSON mapping.", None)
    ask_costs: list[float] = option(
        "Two examples of three tell one of these as the cost of a question, those where asking is right "
        "tell each; the dearer it is, the more of them list all readings instead.",
        factory=list,
        min=0,
    )
    skip_without_reference: bool = option(
        "Leave out examples without a reference response, as many published benchmarks have them.", False
    )
    freeze_vision_tower: bool = option("Train all but the vision tower.", False)
    max_new_tokens: int = option("Longest response in the final validation.", 64, min=1)
    generation_batch: int = option("Responses generated at once in it; memory only.", 64, min=1)


def main(argv=None) -> int:
    tracking.check(argv)
    options, training, model_args = config.parse_args(
        [Options, "clarifyvlm.training.SFTArguments", "trl.ModelConfig"], argv, description=__doc__, check=check
    )
    from clarifyvlm import training as shared
    from clarifyvlm.models import loading

    loading.check_checkpoint(model_args.model_name_or_path)
    data_dir = Path(options.data_dir)
    firsts = {data_dir / "train.jsonl": options.num_train_examples}
    if options.num_replay_examples != 0 and (data_dir / "replay.jsonl").exists():
        firsts[data_dir / "replay.jsonl"] = options.num_replay_examples
    parts = {path: jsonl.Indexed(path, Example, partial(note, options), n) for path, n in firsts.items()}
    if empty := [path for path, part in parts.items() if not part]:
        raise UserError(f"{empty[0]} has no examples.")
    validation = jsonl.read(data_dir / "validation.jsonl", Example)[: options.num_validation_examples]
    for path, part in parts.items():
        check_references([n for _, n in part.notes], path, options.skip_without_reference)
    check_references([rows_of(e) for e in validation], data_dir / "validation.jsonl", options.skip_without_reference)
    if training.eval_strategy != "no" and not any(map(rows_of, validation)):
        raise UserError(f"--eval_strategy {training.eval_strategy.value}: there are no validation examples.")
    shown = [picture for part in parts.values() for picture, _ in part.notes]
    shown += [images.Shown(e.image, e.image_sha256) for e in validation]
    unknown = images.check_unchanged(shown, data_dir)
    images.check_images([s.image for s in shown], data_dir, max_side=options.image_max_side)

    inputs = [*parts, data_dir / "validation.jsonl", model_args.model_name_or_path]
    record = shared.record_of(options, training, model_args) | ({"pictures": unknown} if unknown else {})
    with RunRecord.start(
        training.output_dir, "tuning_sft", record, inputs, ignore=shared.SPEED_ONLY, shared=True, given=training.given
    ) as run:
        if run.complete:
            print(f"{training.output_dir} is complete: nothing to do")
            return 0
        run.finish(**train(options, training, model_args, list(parts.values()), validation))
    return 0


def check(options: Options, training, model_args) -> None:
    """What the options are together, told before TRL is imported: of TRL's they have what is known from there."""
    training_rules.check_numbers(training)
    if training.max_length is not None or training.packing:
        raise UserError("--max_length and --packing cut or mix the image tokens of a VLM: leave them unset.")


def note(options: Options, example: Example) -> tuple[images.Shown, int]:
    """What is to be known of a training example beforehand: its picture, and how many rows it makes."""
    return images.Shown(example.image, example.image_sha256), rows_of(example, options.ask_costs)


def rows_of(example: Example, ask_costs: Sequence[float] = ()) -> int:
    """How many rows an example makes: one per assistant turn, and where asking is right one for each of `ask_costs`;
    none without a reference response, for an empty one would teach silence."""
    said = (example.dialogue.question, example.dialogue.answer) if example.dialogue else (example.reference,)
    if not all(text.strip() for text in said):
        return 0
    return (2 + (len(ask_costs) if example.dialogue.listed else 0)) if example.dialogue else 1


def check_references(counts: Sequence[int], path: Path, skip: bool) -> None:
    """UserError where examples make no rows (`rows_of`), unless they are to be left out: then they are counted."""
    lost = sum(count == 0 for count in counts)
    if lost and (lost == len(counts) or not skip):
        raise UserError(
            f"{path}: {lost:,} of {len(counts):,} examples have no reference response: the model would learn to say "
            "nothing. "
            + ("None is left to learn from." if lost == len(counts) else "--skip_without_reference leaves them out.")
        )
    if lost:
        print(f"{path}: {lost:,} of {len(counts):,} examples left out, which have no reference response")


def rows(
    examples: Sequence[Example],
    counts: Sequence[int],
    data_dir: Path,
    image_max_side: int | None = None,
    ask_costs: Sequence[float] = (),
    processor=None,
):
    """Prompt/completion rows, `counts` (rows_of) of each example: TRL then puts the loss on completions only.

    Two of three tell one of `ask_costs`, whatever is right: what they tell must not say that asking is. Where it is,
    the same question is told every cost, so that nothing but the cost differs between asking and listing. With the
    `processor`, control tokens in the texts are plain text."""
    from clarifyvlm.models.plain_text import plain
    from clarifyvlm.training import lazy_dataset

    told = [*ask_costs, *ask_costs, *[None] * len(ask_costs)]

    def make_row(example: Example, number: int) -> dict:
        turn = number if number < 2 else 0
        listed = example.dialogue is not None and example.dialogue.listed is not None
        if number >= 2:
            cost = ask_costs[number - 2]
        else:
            cost = None if listed and turn == 0 else chat.draw_cost(example, told)
        prompt, completion = chat.reference_messages(example, cost)[turn]
        if processor is not None:
            prompt, completion = plain(processor, prompt), plain(processor, completion)
        picture = images.open_image(data_dir / example.image, max_side=image_max_side)
        return {"prompt": prompt, "completion": completion, "image": picture}

    return lazy_dataset(examples, [(i, n) for i, count in enumerate(counts) for n in range(count)], make_row)


def train(options: Options, training, model_args, parts: list[jsonl.Indexed], validation) -> dict:
    """Train, save, then evaluate. Returns the counts for run.json."""
    from torch.utils.data import ConcatDataset
    from trl import SFTTrainer, get_peft_config

    from clarifyvlm import training as shared
    from clarifyvlm.models import loading

    shared.quiet()
    tracking.prepare(training)
    shared.refuse_unsupported(model_args)
    model, processor = loading.load(
        model_args.model_name_or_path,
        device=str(training.device),
        dtype=model_args.dtype,
        trainable=True,
        image_processor=options.image_processor,
        quantization=shared.quantization(model_args),
        attn_implementation=model_args.attn_implementation,
    )
    if model_args.use_peft and model_args.lora_target_modules is None:
        model_args.lora_target_modules = "all-linear"
    continues_adapter = loading.is_adapter(model_args.model_name_or_path)

    data_dir = Path(options.data_dir)
    row_counts = [n for part in parts for _, n in part.notes]
    to_validate = [rows_of(e) for e in validation]
    of_all = {"data_dir": data_dir, "image_max_side": options.image_max_side, "processor": processor}
    trainer = SFTTrainer(
        model=model,
        args=training,
        train_dataset=rows(ConcatDataset(parts), row_counts, ask_costs=options.ask_costs, **of_all),
        eval_dataset=rows(validation, to_validate, **of_all) if any(to_validate) else None,
        processing_class=processor,
        peft_config=None if continues_adapter else get_peft_config(model_args),
    )
    if options.freeze_vision_tower:
        shared.freeze_vision_tower(trainer.model)
    shared.record_base(trainer.model, model_args.model_name_or_path)
    shared.prepare_trainer(trainer, "SFT", shown=("loss", "mean_token_accuracy"))
    print(
        f"training {shared.count_trainable(trainer.model)} on {len(trainer.train_dataset)} responses "
        f"to {sum(n > 0 for n in row_counts)} examples",
        flush=True,
    )
    shared.train(trainer)
    shared.save(trainer, processor)  # before evaluating: a failure there must not cost the training

    loss = trainer.evaluate()["eval_loss"] if any(to_validate) else None
    known = [e for e in validation if e.facts.annotated]  # the scene judge reads facts
    if len(known) < len(validation):
        print(
            f"strategy accuracy: without {len(validation) - len(known):,} of {len(validation):,} validation examples, "
            "of which nothing is annotated; inference/judge.py --judge openai can judge them"
        )
    accuracy = known and shared.strategy_accuracy(
        trainer.model,
        processor,
        known,
        data_dir,
        make_judge(JudgeArguments()),
        max_new_tokens=options.max_new_tokens,
        batch_size=options.generation_batch,
        image_max_side=options.image_max_side,
    )
    told = "no validation examples" if loss is None else f"validation loss {loss:.3f}"
    print(f"{told}; strategy accuracy {shared.shown(accuracy) if known else 'not judged'}")
    return {
        "steps": trainer.state.global_step,
        "train_examples": sum(n > 0 for n in row_counts),
        "train_rows": len(trainer.train_dataset),
        "validation_examples": len(validation),
        "validation_loss": None if loss is None else round(loss, 4),
        "strategy_accuracy": accuracy or None,
    }


if __name__ == "__main__":
    run_main(main, continues=True)
