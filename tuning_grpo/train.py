"""GRPO: reward an SFT checkpoint for the right strategy, judged against the facts of each picture.

    python tuning_grpo/train.py --config tuning_grpo/configs/tiny.yaml --model_name_or_path runs/tiny/sft \\
        --data_dir runs/tiny/data --output_dir runs/tiny/grpo

Reads an SFT checkpoint, train.jsonl and the pictures beside it; writes a checkpoint that loads by itself, log.jsonl
(every reward term by name) and run.json. The reward is clarifyvlm/rewards.py: each term is a small function of a
judge's verdict, the weights are flags, and inference/report.py prints the same total. Every option of TRL's
GRPOConfig is a flag, above all --num_generations, --per_device_train_batch_size, --gradient_accumulation_steps,
--steps_per_generation, --max_completion_length, --temperature, --max_steps, --learning_rate, --beta, --scale_rewards,
--save_steps, --bf16, --gradient_checkpointing, --seed, --overwrite, --report_to.
"""

import json
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from clarifyvlm import chat, config, images, jsonl, tracking, training_rules, users
from clarifyvlm.config import option
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.judges import Judge, JudgeArguments, make_judge, refuse_unannotated, self_preference
from clarifyvlm.judges.coverage import OTHER_JUDGES
from clarifyvlm.records import NOT_UNDERSTOOD, Example
from clarifyvlm.rewards import RewardWeights
from clarifyvlm.run_record import RunRecord
from clarifyvlm.strategies import AMBIGUITY_TYPES, STRATEGIES


@dataclass
class Options:
    model_name_or_path: str = option("SFT checkpoint: a whole model or an adapter.")
    data_dir: str = option("Folder with train.jsonl, validation.jsonl and their pictures.")
    allow_base_model: bool = option("Start from a model that had no SFT.", False)
    turns: int = option("2, 3: where the model asks, the simulated user replies, and it speaks again.", 1, min=1, max=3)
    user_kinds: list[str] = option(
        "Who replies, kind=weight: helpful, terse, changes_mind, unsure, wrong, off_topic.", factory=lambda: ["helpful"]
    )
    intent: Literal["prompt", "completion"] = option(
        "Draw the reading that the user has in mind for each prompt (its group shares it) or response.", "prompt"
    )
    ask_costs: list[float] = option(
        "With --turns 2, 3: each prompt tells one of these as the cost of a question; it is paid.", factory=list, min=0
    )
    num_prompts: int = option("Prompts to train on, in rounds of every strategy.", 600, min=1)
    round: list[str] = option(
        "strategy=N: a round holds N prompts of it; of the others, one. Dialogues come of clarify. type:strategy=N: N "
        "more of this type (lexical:enumerate=1).",
        factory=list,
    )
    num_validation_examples: int = option("For the strategy accuracy at the end; 0: without.", 300, min=0)
    dtype: str | None = option("Of the weights; unset: float32 on a CPU.", None)
    load_in_4bit: bool = option("Keep the base of an adapter in 4 bits (QLoRA).", False)
    attn_implementation: str | None = option(
        "As in transformers, e.g. flash_attention_2; unset: the model's own.", None
    )
    image_max_side: int | None = option("Shrink larger pictures, pixels. As in inference.", None, min=8)
    freeze_vision_tower: bool = option("Train all but the vision tower.", False)
    max_failed_batches: int = option(
        "Stop, with a checkpoint, after this many batches in a row without any verdict.", 3, min=1
    )
    judge_batch_timeout_s: float = option(
        "Deadline of the judge for a batch; below the process group's timeout.", 300.0, above=0
    )
    reference_judge: str = option(
        "A second, audited judge that is logged beside the first and trains nothing: scene, a panel's YAML "
        "file, or none. auto: scene where the facts are complete and another judge trains.",
        "auto",
    )
    reference_every: int = option("The reference judges every so many batches.", 1, min=1)
    generation_batch: int = option("Responses at once in the final validation.", 64, min=1)


def main(argv=None) -> int:
    tracking.check(argv)
    options, weights, judge_args, user_args, training = config.parse_args(
        [Options, RewardWeights, JudgeArguments, users.UserArguments, "clarifyvlm.training.GRPOArguments"],
        argv,
        description=__doc__,
        check=check,
    )
    from clarifyvlm import training as shared
    from clarifyvlm.models import loading

    check_options(training)
    user = users.make_user(user_args, options.turns)
    loading.check_checkpoint(options.model_name_or_path)
    if training.use_vllm:
        from clarifyvlm.models import vllm_engine

        vllm_engine.check_version()
        vllm_engine.check_adapter(options.model_name_or_path)
    check_is_sft(options.model_name_or_path, options.allow_base_model)
    data_dir = Path(options.data_dir)
    train_examples = jsonl.Indexed(data_dir / "train.jsonl", Example, lambda e: (e.ambiguity.type, e.strategy))
    if not train_examples:
        raise UserError(f"{data_dir / 'train.jsonl'} has no examples.")
    chosen = balanced(train_examples.notes, options.num_prompts, training.seed, parse_round(options.round))
    prompts = [train_examples[i] for i in chosen]
    validation = jsonl.read(data_dir / "validation.jsonl", Example)[: options.num_validation_examples]
    unknown = images.check_unchanged([*prompts, *validation], data_dir)
    images.check_images([e.image for e in [*prompts, *validation]], data_dir, max_side=options.image_max_side)
    refuse_unannotated(judge_args, [*prompts, *validation], data_dir)
    judge = make_judge(judge_args, data_dir)
    judge.check()
    user.check()
    reference = reference_of(options, judge_args, prompts)
    if warning := self_preference(judge_args, options.model_name_or_path):
        print(f"warning: {warning}", file=sys.stderr)

    inputs = [data_dir / "train.jsonl", data_dir / "validation.jsonl", options.model_name_or_path]
    inputs += [path for path in (judge_args.judge_panel, options.reference_judge) if path and Path(path).is_file()]
    record = shared.record_of(options, weights, judge_args, user_args, training)
    record |= {"pictures": unknown} if unknown else {}
    with RunRecord.start(
        training.output_dir, "tuning_grpo", record, inputs, ignore=shared.SPEED_ONLY, shared=True, given=training.given
    ) as run:
        if run.complete:
            print(f"{training.output_dir} is complete: nothing to do")
            return 0
        run.finish(**train(options, weights, training, judge, reference, user, prompts, validation))
    return 0


def reference_of(options: Options, judge_args: JudgeArguments, prompts: list[Example]) -> Judge | None:
    """The judge that --reference_judge names, checked."""
    name = options.reference_judge
    if name == "auto":
        exact = all(e.facts.complete for e in prompts)
        name = "scene" if exact and judge_args.judge != "scene" else "none"
    if name == "none":
        return None
    if name != "scene" and not Path(name).is_file():
        raise UserError(f"--reference_judge {name}: it can be auto, none, scene, or the YAML file of a panel.")
    kind = {"judge": "scene"} if name == "scene" else {"judge": "panel", "judge_panel": name}
    refuse_unannotated(replace(judge_args, **kind), prompts, options.data_dir, f"--reference_judge {name}")
    reference = make_judge(replace(judge_args, **kind), options.data_dir)
    reference.check()
    return reference


def check(options: Options, weights: RewardWeights, judge_args: JudgeArguments, user_args, training) -> None:
    """What the options are together, told before TRL is imported: `training` has what is known of them from there."""
    training_rules.check_numbers(training)
    training_rules.check_groups(training)
    user_kinds(options)
    parse_round(options.round)
    if user_args.reply_forms != "train":
        raise UserError(f"--reply_forms {user_args.reply_forms}: kept for evaluation; training on them spoils it.")
    users.make_user(user_args, options.turns)
    check_options(training)


def check_options(training) -> None:
    """The rules that hold between batch, group and save options; TRL finds some of them only while training."""
    if training.reward_weights is not None:
        raise UserError("--reward_weights: give the weights by name instead, as in --grounding_weight 0.3")
    if training.use_transformers_continuous_batching:
        raise UserError("--use_transformers_continuous_batching: TRL has it for text-only models. Give --use_vllm.")
    each, every = training_rules.steps_per_generation(training), generation_steps(training)
    if training.save_strategy in ("steps", ["steps"]):  # as TRL has it; as it is given
        if training.save_steps < 1 or training.save_steps % 1:
            raise UserError(f"--save_steps {training.save_steps}: must be a whole number of steps.")
        if training.save_steps * training.gradient_accumulation_steps % every:
            raise UserError(
                f"--save_steps {training.save_steps:g} x --gradient_accumulation_steps "
                f"{training.gradient_accumulation_steps} must be a multiple of --steps_per_generation {each} x "
                f"--num_iterations {training.num_iterations} = {every}: a checkpoint inside a generation batch that is "
                "still in use cannot be resumed exactly."
            )


def user_kinds(options: Options) -> dict[str, float]:
    """Kind of user -> weight. UserError where the options of dialogues do not go together."""
    if options.ask_costs and options.turns == 1:
        raise UserError("--ask_costs: needs --turns 2 or 3, so that a question is answered.")
    return users.parse_kinds(options.user_kinds, "--user_kinds")


def generation_steps(training) -> int:
    """Forward steps for which one generation batch is used."""
    return training_rules.steps_per_generation(training) * training.num_iterations


def check_is_sft(path: str, allow_base_model: bool) -> None:
    """UserError unless `path` was made by tuning_sft/train.py (its run.json says so) or the user knows better."""
    if allow_base_model:
        return
    try:
        stage = json.loads((Path(path) / "run.json").read_text())["stage"]
    except (OSError, ValueError, KeyError):
        stage = None
    if stage not in ("tuning_sft", "tuning_grpo"):
        raise UserError(
            f"{path} is no SFT checkpoint (no run.json of tuning_sft/train.py in it). GRPO only sharpens what a model "
            "already does now and then, and a bare base never asks back: run tuning_sft/train.py first, or give "
            "--allow_base_model if this model was tuned elsewhere."
        )


def parse_round(tokens: Sequence[str]) -> dict[str, int]:
    """["clarify=4", "lexical:infer=1"] -> {"clarify": 4, "lexical:infer": 1}. UserError for what is neither."""
    counts = {}
    for token in tokens:
        name, _, number = token.partition("=")
        type, _, strategy = name.rpartition(":")
        known = strategy in STRATEGIES and (not type or type in AMBIGUITY_TYPES)
        if not known or not number.isdecimal() or int(number) < 1:
            raise UserError(
                f"--round {token}: is not strategy=number, as in clarify=4, nor type:strategy=number, as in "
                f"lexical:infer=1. Strategies: {', '.join(STRATEGIES)}; types: {', '.join(AMBIGUITY_TYPES)}."
            )
        counts[name] = int(number)
    return counts


def balanced(
    cells: Sequence[tuple[str, str]], num_prompts: int, seed: int, in_round: dict[str, int] | None = None
) -> list[int]:
    """Which `num_prompts` examples to take, given (type, strategy) of each that there is: in rounds that hold one of
    each strategy, or as many as `in_round` says, and as many more of a "type:strategy" as it says.

    Raises UserError where the data have too few examples of one.
    """
    rng, in_round = random.Random(f"{seed}:prompts"), in_round or {}
    present = [s for s in STRATEGIES if any(strategy == s for _, strategy in cells)]
    a_round = [s for s in present for _ in range(in_round.get(s, 1))]
    a_round += [name for name, n in in_round.items() if ":" in name for _ in range(n)]
    rounds = num_prompts // len(a_round) if present else 0
    if rounds == 0:
        raise UserError(f"--num_prompts {num_prompts}: fewer than the {len(a_round)} of one round of strategies.")
    drawn, taken = {}, set()
    for name in sorted(set(a_round), key=lambda name: (":" not in name, a_round.index(name))):  # the narrow ones first
        fits = [i for i, (t, s) in enumerate(cells) if name in (s, f"{t}:{s}") and i not in taken]
        wanted = rounds * a_round.count(name)
        if len(fits) < wanted:
            raise UserError(
                f"--num_prompts {num_prompts} is {rounds} rounds of {len(a_round)} prompts, and train.jsonl has only "
                f"{len(fits)} {name}. Lower it to {len(fits) // a_round.count(name) * len(a_round)}, or generate more "
                "examples."
            )
        chosen = rng.sample(fits, wanted)
        taken |= set(chosen)
        drawn[name] = iter(chosen)
    return [next(drawn[name]) for _ in range(rounds) for name in rng.sample(a_round, len(a_round))]


def prompt_rows(examples: list[Example], data_dir: Path, image_max_side: int | None, ask_costs: list[float], processor):
    """Rows of one prompt each; the reward functions get the whole Example, so they cannot read another field."""
    from clarifyvlm.models.plain_text import plain
    from clarifyvlm.training import lazy_dataset

    def make_row(example: Example, turn: int) -> dict:
        picture = images.open_image(data_dir / example.image, max_side=image_max_side)
        cost = chat.draw_cost(example, ask_costs)
        first, *rest = plain(processor, chat.messages(example, ask_cost=cost))
        first |= {"example_id": example.id, "ask_cost": cost}  # for Rollouts
        return {"prompt": [first, *rest], "image": picture, "example": example}

    return lazy_dataset(examples, [(i, 0) for i in range(len(examples))], make_row)


def build_trainer(options: Options, weights: RewardWeights, training, prompts, judge: Judge, reference=None, user=None):
    """The GRPOTrainer on a loaded checkpoint, and the JudgeRewards that it asks."""
    from trl import GRPOTrainer, ModelConfig

    from clarifyvlm import training as shared
    from clarifyvlm import training_rows
    from clarifyvlm.models import decoding, loading
    from reward_functions import JudgeRewards

    if options.load_in_4bit and not loading.is_adapter(options.model_name_or_path):
        raise UserError(
            "--load_in_4bit: quantized weights cannot be trained; give the adapter of an SFT with --use_peft."
        )
    how = ModelConfig(dtype=options.dtype, load_in_4bit=options.load_in_4bit)
    model, processor = loading.load(
        options.model_name_or_path,
        device=str(training.device),
        dtype=options.dtype,
        trainable=True,
        quantization=shared.quantization(how),
        attn_implementation=options.attn_implementation,
    )
    scorer = JudgeRewards(
        judge,
        weights,
        deadline_s=options.judge_batch_timeout_s,
        reference=reference,
        reference_every=options.reference_every,
    )
    training.reward_weights = scorer.weights
    processor.tokenizer.padding_side = "left"  # TRL sees to it only where it loads the processor itself
    rollouts = None
    if options.turns > 1:
        from rollouts import Rollouts

        os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # of `rollout_func`
        how = {"turns": options.turns, "intent": options.intent, "kinds": user_kinds(options)}
        rollouts = Rollouts(prompts, seed=training.seed, user=user, **how)
    trainer = GRPOTrainer(
        model=model,  # an adapter is loaded trainable, so no peft_config: it goes on where SFT left it
        args=training,
        reward_funcs=scorer.functions,
        train_dataset=prompt_rows(
            prompts, Path(options.data_dir), options.image_max_side, options.ask_costs, processor
        ),
        processing_class=processor,
        rollout_func=rollouts,
    )
    if not training.use_vllm:
        decoding.speak_as_we_do(trainer.model, training.num_generations)
    training_rows.skip_rows_without_advantage(trainer)
    if options.freeze_vision_tower:
        shared.freeze_vision_tower(trainer.model)
    shared.record_base(trainer.model, options.model_name_or_path)
    return trainer, scorer


def train(
    options: Options, weights: RewardWeights, training, judge: Judge, reference, user, prompts, validation
) -> dict:
    """Train, save, then evaluate. Returns the counts for run.json."""
    from clarifyvlm import training as shared
    from clarifyvlm.training_callbacks import StopWhenJudgeFails, WarnOfCollapse

    shared.quiet()
    tracking.prepare(training)
    accumulation = training.gradient_accumulation_steps
    trainer, scorer = build_trainer(options, weights, training, prompts, judge, reference, user)
    trainer.add_callback(StopWhenJudgeFails(scorer, options.max_failed_batches))
    trainer.add_callback(WarnOfCollapse())
    shown = ("reward", "rewards/strategy/mean", "rewards/total/no_signal")
    shared.prepare_trainer(
        trainer, "GRPO", shown, resumable=lambda step: step * accumulation % generation_steps(training) == 0
    )
    print(
        f"training {shared.count_trainable(trainer.model)} on {len(prompts)} prompts, "
        f"{training.generation_batch_size // training.num_generations} x {training.num_generations} responses a batch",
        flush=True,
    )
    shared.train(trainer)
    if scorer.failed_batches >= options.max_failed_batches:
        raise UserError(
            f"the judge failed on {scorer.failed_batches} batches in a row ({scorer.last_failure}): stopped at step "
            f"{trainer.state.global_step} with a checkpoint. "
            + (
                f"{OTHER_JUDGES}, in a new output folder."
                if scorer.last_failure in NOT_UNDERSTOOD
                else "Mend the judge and run the same command: it continues."
            )
        )
    shared.save(trainer, trainer.processing_class)  # before evaluating: a failure there must not cost the training

    accuracy = validation and shared.strategy_accuracy(
        trainer.model,
        trainer.processing_class,
        validation,
        Path(options.data_dir),
        judge,
        max_new_tokens=training.max_completion_length,
        batch_size=options.generation_batch,
        image_max_side=options.image_max_side,
    )
    print(f"validation: strategy accuracy {shared.shown(accuracy) if validation else 'not judged'}")
    rewards = [row["reward"] for row in trainer.state.log_history if row.get("reward") is not None]
    failures = [row["judge_failures"] for row in trainer.state.log_history if "judge_failures" in row]
    return {
        "steps": trainer.state.global_step,
        "prompts": len(prompts),
        "first_reward": round(rewards[0], 4) if rewards else None,
        "last_reward": round(rewards[-1], 4) if rewards else None,
        "judge_failures": round(sum(failures) / len(failures), 4) if failures else None,
        "validation_examples": len(validation),
        "strategy_accuracy": accuracy or None,
    }


if __name__ == "__main__":
    run_main(main, continues=True)
