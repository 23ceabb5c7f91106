"""GRPO on a real tiny model with the real GRPOTrainer: what must never happen (DESIGN.md), and what a kill costs."""

import json
import shutil
import zlib
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from clarifyvlm import jsonl, rewards
from clarifyvlm.errors import UserError
from clarifyvlm.judges import JudgeArguments
from clarifyvlm.models import checkpoints, loading
from clarifyvlm.records import CRITERIA, NOT_UNDERSTOOD, Example, Verdict
from launching import log
from stages import ROOT, STRATEGIES, kill_when, run, script, write_data

FLAGS = (
    "--per_device_train_batch_size",
    24,
    "--num_generations",
    4,
    "--max_completion_length",
    12,
    "--num_prompts",
    24,
)
FLAGS += ("--learning_rate", 1e-3, "--disable_tqdm", "true", "--logging_steps", 1)


class RecordingJudge:
    """Notes all that it is shown. Its verdicts depend on the text alone, in a way that tells the babble of a random
    model apart (to the scene judge all of it is nothing); fails on everything if told."""

    name, usage, sees_image = "recording", None, False

    def __init__(self, fails: bool = False):
        self.fails, self.batches = fails, []

    def check(self):
        pass

    def verdict(self, example, prediction):
        code = zlib.crc32(prediction.text.encode())
        criteria = dict.fromkeys(CRITERIA) | {"strategy_right": code % 2, "grounded": code // 2 % 2}
        return Verdict(example_id=example.id, judge=self.name, used_strategy="answer", criteria=criteria)

    def judge(self, examples, predictions, on_verdict=None, deadline_s=None):
        self.batches.append((list(examples), list(predictions)))
        if self.fails:
            return [Verdict(example_id=e.id, judge=self.name, failure="timeout") for e in examples]
        return [self.verdict(e, p) for e, p in zip(examples, predictions, strict=True)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("grpo") / "data")


def arguments(model: Path, data: Path, output: Path, *more) -> list[str]:
    options = ("--model_name_or_path", model, "--data_dir", data, "--output_dir", output, "--allow_base_model")
    return [str(a) for a in (*options, "--max_steps", 4, "--save_steps", 2, *FLAGS, *more)]


def grpo(*args) -> int:
    return script("tuning_grpo/train.py").main(arguments(*args))


def weights(folder: Path) -> bytes:
    return next(folder.glob("*model.safetensors")).read_bytes()


def build(model: Path, data: Path, output: Path, judge, *more):
    """The real trainer as tuning_grpo/train.py builds it."""
    from clarifyvlm.config import parse_args

    module = script("tuning_grpo/train.py")
    types = [module.Options, rewards.RewardWeights, "clarifyvlm.training.GRPOArguments"]
    options, reward_weights, training = parse_args(types, arguments(model, data, output, *more))
    examples = jsonl.read(data / "train.jsonl", Example)
    drawn = module.balanced([(e.ambiguity.type, e.strategy) for e in examples], options.num_prompts, training.seed)
    prompts = [examples[i] for i in drawn]
    trainer, scorer = module.build_trainer(options, reward_weights, training, prompts, judge)
    return trainer, scorer, prompts


@pytest.fixture(scope="module")
def stepped(tiny_model_dir, data_dir, tmp_path_factory):
    """(trainer, judge, generation batches as the trainer received them, scored batches) after two real steps."""
    judge = RecordingJudge()
    output = tmp_path_factory.mktemp("stepped")
    trainer, _, _ = build(tiny_model_dir, data_dir, output, judge, "--max_steps", 2, "--save_strategy", "no")
    received, scored = [], []
    score = trainer._generate_and_score_completions

    def watch(inputs):
        received.append(inputs)
        scored.append(score(inputs))
        return scored[-1]

    trainer._generate_and_score_completions = watch
    trainer.train()
    return trainer, judge, received, scored


def test_every_group_is_one_prompt_and_one_picture(stepped):
    """Catches groups whose members answer different prompts, so that advantages mean nothing (never happen, 1)."""
    _, judge, received, _ = stepped
    assert len(received) == 2
    for inputs, (examples, _) in zip(received, judge.batches, strict=True):
        groups = [inputs[i : i + 4] for i in range(0, 24, 4)]
        for group in groups:
            assert len({row["example"].id for row in group}) == 1
            assert len({json.dumps(row["prompt"]) for row in group}) == 1
            assert len({row["image"].tobytes() for row in group}) == 1
        assert len({group[0]["image"].tobytes() for group in groups}) == 6
        assert [e.id for e in examples] == [row["example"].id for row in inputs]
        assert {group[0]["example"].strategy for group in groups} == set(STRATEGIES)  # a round holds every strategy


def test_reward_sees_the_right_label_and_facts(stepped, data_dir):
    """Catches a reward that reads another field than the data writes, or grades without facts (never happen, 2, 3)."""
    _, judge, received, _ = stepped
    written = {e.id: e for e in jsonl.read(data_dir / "train.jsonl", Example)}
    for inputs, (examples, predictions) in zip(received, judge.batches, strict=True):
        for row, example, prediction in zip(inputs, examples, predictions, strict=True):
            assert example == written[prediction.example_id]  # strategy, readings and facts, as on disk
            assert row["prompt"][0]["content"][1]["text"] == example.question
            assert example.facts.objects


def test_image_tokens_are_intact(stepped):
    """Catches truncated or doubled image tokens, and prompts that differ from inference's (never happen, 6, 7)."""
    from clarifyvlm import chat
    from clarifyvlm.models.generation import encode

    trainer, _, received, scored = stepped
    processor = trainer.processing_class
    image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    for inputs, batch in zip(received, scored, strict=True):
        assert (batch["prompt_ids"] == image_token).sum(dim=1).tolist() == [36] * 24
        assert (batch["completion_ids"] == image_token).sum() == 0
        ours = encode(processor, [chat.messages(row["example"]) for row in inputs], [row["image"] for row in inputs])
        assert batch["prompt_ids"].tolist() == ours["input_ids"].tolist()
        assert batch["pixel_values"].equal(ours["pixel_values"])


def test_a_blanked_picture_changes_the_log_probabilities(stepped):
    """Catches a policy update that does not see the picture."""
    import torch

    trainer, _, _, scored = stepped
    batch = scored[-1]
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)

    def logps(pixels):
        with torch.no_grad():
            kept = batch["completion_ids"].shape[1]
            return trainer._get_per_token_logps_and_entropies(
                trainer.model, ids, mask, kept, pixel_values=pixels, num_images=batch["num_images"]
            )[0]

    seen, blank = logps(batch["pixel_values"]), logps(torch.zeros_like(batch["pixel_values"]))
    changed = ((seen - blank).abs() * batch["completion_mask"]).amax(dim=1)
    assert (changed > 1e-6).all()


def test_advantages_are_those_of_the_total(stepped):
    """Catches a debug_rollout that shows other advantages than the trainer uses, and weights that are not passed on."""
    trainer, judge, _, scored = stepped
    advantages = script("tuning_grpo/reward_functions.py").advantages
    (examples, predictions), batch = judge.batches[-1], scored[-1]
    verdicts = [judge.verdict(e, p) for e, p in zip(examples, predictions, strict=True)]
    totals = [rewards.total(e, v, p) for e, v, p in zip(examples, verdicts, predictions, strict=True)]
    ours = [a for i in range(0, 24, 4) for a in advantages(totals[i : i + 4])]
    assert batch["advantages"].tolist() == pytest.approx(ours, abs=1e-3) and max(ours) > 0.5
    assert trainer.args.reward_weights == [rewards.RewardWeights().of(name) for name in rewards.TERMS]


def test_every_term_is_logged_by_name(stepped):
    """Catches a total that is logged without its terms, and collapse to asking that nobody would see."""
    trainer, *_ = stepped
    row = next(row for row in trainer.state.log_history if "reward" in row)
    for name in rewards.TERMS:
        assert {f"rewards/{name}/mean", f"rewards/{name}/std", f"rewards/{name}/no_signal"} <= set(row)
    assert {"rewards/total/no_signal", "frac_reward_zero_std", "judge_failures", "judge_seconds"} <= set(row)
    assert {"ask_rate/all", "criteria/strategy_right", "criteria/grounded", "completions/mean_length"} <= set(row)
    assert {f"ask_rate/{s}" for s in STRATEGIES} <= set(row)


def test_reference_judge_is_chosen_and_refused(data_dir):
    """Catches a weak judge that trains unwatched although the exact one costs nothing, and a name misspelt that turns
    the watch off."""
    module = script("tuning_grpo/train.py")
    prompts = jsonl.read(data_dir / "train.jsonl", Example)

    def of(reference: str, judge: str = "openai", prompts=prompts):
        options = module.Options(model_name_or_path="m", data_dir=str(data_dir), reference_judge=reference)
        return module.reference_of(options, JudgeArguments(judge=judge, judge_model="m"), prompts)

    assert of("auto").name == "scene" and of("auto", "scene") is None and of("none") is None
    photos = [e.model_copy(update={"facts": e.facts.model_copy(update={"complete": False})}) for e in prompts]
    assert of("auto", prompts=photos) is None and of("scene", prompts=photos).name == "scene"
    with pytest.raises(UserError, match="--reference_judge scenes: it can be"):
        of("scenes")


def test_a_judge_that_reads_facts_is_refused_without_them(data_dir, tiny_model_dir, tmp_path, monkeypatch):
    """Catches training on the verdicts of a judge that knows nothing of the pictures, alone, in a panel or beside."""
    module = script("tuning_grpo/train.py")
    rows = [json.loads(line) for line in (data_dir / "validation.jsonl").read_text().splitlines()]
    bare = tmp_path / "bare"
    shutil.copytree(data_dir, bare)
    rows[0]["facts"] |= {"objects": [], "complete": False}
    rows[0]["ambiguity"]["readings"] = []
    rows[0]["dialogue"] = None
    (bare / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    panel = tmp_path / "panel.yaml"
    panel.write_text("judges:\n- {judge: openai, judge_model: a}\n- {judge: scene}\n")
    monkeypatch.setattr(loading, "load", lambda *a, **k: pytest.fail("the model was loaded"))
    server = ("--judge_base_url", "http://127.0.0.1:9/v1", "--judge_model", "m")
    for judge in (("scene",), ("extract", *server), ("panel", "--judge_panel", panel)):
        with pytest.raises(UserError, match=f"of 1 examples .* --judge {judge[0]} needs facts.*--judge openai"):
            grpo(tiny_model_dir, bare, tmp_path / "o", "--judge", *judge)
    assert not (tmp_path / "o").exists()
    unknown = [Example.model_validate(rows[0])]
    options = module.Options(model_name_or_path="m", data_dir=str(bare), reference_judge="scene")
    debug = ["--model_name_or_path", str(tiny_model_dir), "--data_file", str(bare / "validation.jsonl")]
    with pytest.raises(UserError, match="--judge scene needs facts"):
        script("tuning_grpo/debug_rollout.py").main([*debug, "--example_id", rows[0]["id"]])
    with pytest.raises(UserError, match="--reference_judge scene needs facts"):
        module.reference_of(options, JudgeArguments(judge="openai", judge_model="m"), unknown)


def test_judge_failures_stop_the_run_and_move_nothing(tiny_model_dir, data_dir, tmp_path, monkeypatch):
    """Catches judge failures scored as 0 (never happen, 4), and a run that goes on for hours with a dead judge."""
    module = script("tuning_grpo/train.py")
    judge = RecordingJudge(fails=True)
    monkeypatch.setattr(module, "make_judge", lambda *_: judge)
    with pytest.raises(UserError, match="judge failed on 2 batches in a row .timeout.: stopped at step 2"):
        module.main(arguments(tiny_model_dir, data_dir, tmp_path / "o", "--max_failed_batches", 2, "--save_steps", 3))
    assert checkpoints.last_whole(tmp_path / "o").name == "checkpoint-2"
    assert json.loads((tmp_path / "o" / "run.json").read_text())["status"] == "running"
    before = loading.load(tiny_model_dir, device="cpu")[0].state_dict()
    after = loading.load(tmp_path / "o" / "checkpoint-2", device="cpu")[0].state_dict()
    assert all(before[name].equal(after[name]) for name in before)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--num_generations", 5), "they must be whole groups"),
        (("--num_generations", 1), "--num_generations 1: must be at least 2"),
        (("--save_steps", 3, "--steps_per_generation", 4), "must be a multiple of --steps_per_generation 4"),
        (("--save_steps", 3, "--num_iterations", 2), "must be a multiple of"),
        (("--num_prompts", 60), "Lower it to 48"),
        (("--round", "clarify=3"), "3 rounds of 8 prompts, and train.jsonl has only 8 clarify. Lower it to 16"),
        (("--turns", 2, "--ask_costs", 0.2, -1), "--ask_costs: -1.0 must be at least 0"),
        (("--ask_costs", 0.2), "--ask_costs: needs --turns 2 or 3"),
        (("--turns", 2, "--reply_forms", "held_out"), "--reply_forms held_out: kept for evaluation"),
        (("--user", "openai"), "--user openai: needs --turns 2 or 3"),
        (("--turns", 4), "--turns: 4 must be at most 3"),
        (("--round", "ask=3"), "--round ask=3: is not strategy=number, as in clarify=4"),
        (("--reward_weights", 1, 2), "give the weights by name"),
        (("--use_transformers_continuous_batching",), "Give --use_vllm"),
        (("--trust_remote_code",), "not supported"),
    ],
)
def test_batch_rules_are_checked_before_the_model_loads(
    flags, message, tiny_model_dir, data_dir, tmp_path, monkeypatch
):
    """Catches a group size that does not divide the batch, found only after minutes of loading; and a checkpoint
    inside a generation batch, which cannot be resumed exactly."""
    monkeypatch.setattr(loading, "load", lambda *a, **k: pytest.fail("the model was loaded"))
    with pytest.raises(UserError, match=message):
        grpo(tiny_model_dir, data_dir, tmp_path / "o", *flags)
    assert not (tmp_path / "o").exists()


def test_a_bare_base_is_refused(tiny_model_dir, data_dir, tmp_path):
    """Catches GRPO that silently starts from the base, or whose SFT checkpoint is missing."""
    args = [a for a in arguments(tiny_model_dir, data_dir, tmp_path / "o") if a != "--allow_base_model"]
    with pytest.raises(UserError, match="no SFT checkpoint"):
        script("tuning_grpo/train.py").main(args)
    with pytest.raises(UserError, match="no model directory"):
        grpo(tmp_path / "sft", data_dir, tmp_path / "o")


@pytest.mark.parametrize("config", sorted((ROOT / "tuning_grpo/configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_configs_parse(config):
    """Catches a shipped config with a key or a value that the script refuses."""
    from clarifyvlm.config import parse_args

    module = script("tuning_grpo/train.py")
    types = [module.Options, rewards.RewardWeights, JudgeArguments, "clarifyvlm.training.GRPOArguments"]
    flags = ["--config", str(config), "--model_name_or_path", "m", "--data_dir", "d", "--output_dir", "o"]
    module.check_options(parse_args(types, flags)[-1])


def test_debug_rollout_prints_every_term(tiny_model_dir, data_dir, capsys):
    """Catches a debug view that leaves out a criterion or a term."""
    flags = ("--model_name_or_path", tiny_model_dir, "--data_file", data_dir / "train.jsonl", "--num_generations", 3)
    assert script("tuning_grpo/debug_rollout.py").main([str(f) for f in (*flags, "--max_completion_length", 8)]) == 0
    out = capsys.readouterr().out
    assert "right      clarify" in out and out.count("advantage") == 3
    assert all(name in out for name in (*rewards.TERMS, "question_value", "over_asked"))


@pytest.mark.slow
def test_kill_and_resume_is_bit_exact(tiny_model_dir, data_dir, tmp_path):
    """Catches a resume that loses weights, optimizer, prompts' order or the sampling's random state."""
    undisturbed, output = tmp_path / "undisturbed", tmp_path / "grpo"
    done = run("tuning_grpo/train.py", *arguments(tiny_model_dir, data_dir, undisturbed))
    assert done.returncode == 0, done.stderr
    args = arguments(tiny_model_dir, data_dir, output)
    kill_when("tuning_grpo/train.py", output / "checkpoint-2" / checkpoints.SEAL, *args)
    done = run("tuning_grpo/train.py", *args)
    assert done.returncode == 0, done.stderr
    assert "continuing from" in done.stdout and weights(output) == weights(undisturbed)
    rows = [row for row in log(output) if "judge_failures" in row]
    assert len(rows) == 4
    for row in rows:  # what a random model says may not be understood, or be taken for another language; no more
        assert row["judge_failures"] == pytest.approx(sum(row[f"judge_failures/{n}"] for n in NOT_UNDERSTOOD))
    assert json.loads((output / "run.json").read_text())["counts"]["judge_failures"] < 0.2


@pytest.mark.slow
def test_an_adapter_goes_on_where_sft_left_it(tiny_adapter_dir, data_dir, tmp_path, monkeypatch):
    """Catches an adapter that is not loaded, so that GRPO trains the base (never happen, 6): with a learning rate of
    0 the output must be the SFT adapter itself, and an adapter that lacks weights must be refused."""
    monkeypatch.setattr(script("tuning_grpo/train.py"), "make_judge", lambda *_: RecordingJudge())
    still = tmp_path / "still"
    assert grpo(tiny_adapter_dir, data_dir, still, "--learning_rate", 0, "--max_steps", 1) == 0
    before = load_file(tiny_adapter_dir / "adapter_model.safetensors")
    after = load_file(still / "adapter_model.safetensors")
    assert before.keys() == after.keys() and all(before[k].equal(after[k]) for k in before)
    moved = tmp_path / "moved"
    assert grpo(tiny_adapter_dir, data_dir, moved, "--max_steps", 1, "--learning_rate", 0.1) == 0
    after = load_file(moved / "adapter_model.safetensors")
    assert not all(before[k].equal(after[k]) for k in before) and not (moved / "model.safetensors").exists()

    torn = shutil.copytree(tiny_adapter_dir, tmp_path / "torn")
    del before[sorted(before)[0]]
    save_file(before, torn / "adapter_model.safetensors")
    with pytest.raises(UserError, match="lacks 1 weights"):
        grpo(torn, data_dir, tmp_path / "x")
