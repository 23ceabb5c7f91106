"""Rollouts of dialogues with the real GRPOTrainer: what the model was shown, what it said, and what the loss is on."""

import numpy as np
import pytest

from clarifyvlm import chat, config, jsonl, users
from clarifyvlm.errors import UserError
from clarifyvlm.judges import make_judge
from clarifyvlm.models.generation import encode
from clarifyvlm.records import Example, Turn
from clarifyvlm.users import scripted
from families import HERE, build
from stages import example, script, write_data

GROUP = 3


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("rollouts") / "data", 12, 6)


def trainer_of(model, data, output, **more):
    module = script("tuning_grpo/train.py")
    flags = {"model_name_or_path": model, "data_dir": data, "output_dir": output, "allow_base_model": "true"}
    flags |= {"num_prompts": 12, "num_generations": GROUP, "per_device_train_batch_size": 12 * GROUP, "turns": 2}
    flags |= {"max_completion_length": 40, "max_steps": 1, "bf16": "false", "learning_rate": 0.0, "temperature": 0.6}
    flags |= more  # at temperature 1 the little model says control tokens now and then, which no turn shows
    flags["save_strategy"] = "no"
    options, weights, judge, training = config.parse_args(
        [module.Options, module.RewardWeights, module.JudgeArguments, "clarifyvlm.training.GRPOArguments"],
        [f"--{name}={value}" for name, value in flags.items()],
    )
    examples = jsonl.read(data / "train.jsonl", Example)
    return module.build_trainer(options, weights, training, examples, make_judge(judge))[0]


def rolled_out(trainer) -> tuple[list[dict], dict, list]:
    """(rows with their predictions, what TRL learns from, what each generation was given) of one step."""
    made, given = [], []
    score, generate = trainer._generate_and_score_completions, trainer._generate_single_turn
    trainer._generate_and_score_completions = lambda rows: made.append((rows, score(rows))) or made[-1][1]
    trainer._generate_single_turn = lambda *args: given.append(args) or generate(*args)
    trainer.train()
    return *made[0], given


def sequence(batch, row: int) -> tuple[list[int], list[int]]:
    """Tokens after the prompt, and which of them are learnt from."""
    there = batch["completion_mask"][row].bool()
    return batch["completion_ids"][row][there].tolist(), batch["tool_mask"][row][there].tolist()


def rebuilt(processor, turns: list) -> list[tuple[str, int]]:
    """(text, whether it is the model's) of the pieces of a dialogue by the chat template, after the prompt."""
    prompt = chat.user_turn("?")
    talk = [chat.text_turn(turn.role, turn.text) for turn in turns]
    pieces, told = [], processor.apply_chat_template(prompt, add_generation_prompt=True)
    for end, turn in enumerate(turns, start=1):
        whole = processor.apply_chat_template([*prompt, *talk[:end]], add_generation_prompt=turn.role == "user")
        pieces.append((whole.removeprefix(told), int(turn.role == "assistant")))
        told = whole
    return pieces


def test_each_sequence_is_its_turns_token_by_token(asking_model_dir, data_dir, tmp_path):
    """Loss on the user's words; a reply that the template words otherwise than in inference; a response cut or doubled;
    a second response to another dialogue's reply."""
    trainer = trainer_of(asking_model_dir, data_dir, tmp_path, user_kinds="terse", turns=3)
    rows, batch, given = rolled_out(trainer)
    processor = trainer.processing_class
    talks = replies = 0
    for row, inputs in enumerate(rows):
        turns, (ids, mask) = inputs["prediction"].turns, sequence(batch, row)
        decode = processor.tokenizer.decode
        pieces = rebuilt(processor, turns)
        if ids[-1] != processor.tokenizer.eos_token_id:  # cut at the longest
            pieces[-1] = (pieces[-1][0].removesuffix(processor.tokenizer.eos_token), 1)
        assert decode(ids) == "".join(text for text, _ in pieces)
        for model, ours in ((1, "assistant"), (0, "user")):
            learnt = decode([i for i, m in zip(ids, mask, strict=True) if m == model])
            assert learnt == "".join(text for text, mine in pieces if mine == model), ours
        example, prediction = inputs["example"], inputs["prediction"]
        replies += len(turns) // 2
        if len(turns) > 1:
            talks += 1
            seed = f"{trainer.args.seed}:0:{example.id}"  # of step 0
            said = scripted.reply(example, turns[0].text, prediction.reading, "terse", seed=seed)
            assert turns[1].text == said
    assert talks > len(rows) // 3  # the model asks, and whoever can replies
    assert len(given) > 1 and sum(len(ids) for ids, *_ in given[1:]) == replies  # only the open ones speak again
    trained_on = batch["completion_mask"] * batch["tool_mask"]
    assert batch["num_items_in_batch"] == trained_on.sum()


def test_each_prompt_tells_its_cost_and_its_dialogues_pay_it(asking_model_dir, data_dir, tmp_path):
    """A group whose members were told different costs; a cost that the reward does not know of."""
    # a model that never saw a cost: hot enough that it asks now and then
    trainer = trainer_of(asking_model_dir, data_dir, tmp_path, ask_costs=0.25, temperature=1.2, seed=3)
    rows, batch, _ = rolled_out(trainer)
    for row in rows:
        assert row["prediction"].ask_cost == 0.25
        asked = chat.messages(row["example"], ask_cost=0.25)
        assert [message["content"] for message in row["prompt"]] == [message["content"] for message in asked]
    asked = encode(trainer.processing_class, [r["prompt"] for r in rows], [r["image"] for r in rows])
    assert batch["prompt_ids"].tolist() == asked["input_ids"].tolist()
    log = next(entry for entry in trainer.state.log_history if "rewards/asking/mean" in entry)
    questions = sum(len(row["prediction"].turns) > 1 for row in rows)
    assert questions and log["rewards/asking/mean"] <= -0.25 * questions / len(rows) + 1e-6


def test_a_group_means_the_same_thing(asking_model_dir, data_dir, tmp_path):
    """Members of a group whose users mean different readings, so that luck of the draw is an advantage; users of
    another kind than asked for; the same users at every step."""
    trainer = trainer_of(asking_model_dir, data_dir, tmp_path, user_kinds="helpful")
    rows, _, _ = rolled_out(trainer)
    groups = [rows[i : i + GROUP] for i in range(0, len(rows), GROUP)]
    for group in groups:
        assert len({row["example"].id for row in group}) == 1
        assert len({row["prediction"].reading for row in group} - {None}) <= 1
    module = script("tuning_grpo/rollouts.py")
    examples = [r["example"] for r in rows if len(r["example"].ambiguity.readings) == 4][::GROUP]
    prompts = [[{"example_id": e.id}] for e in examples for _ in range(8)]
    drawn = {}
    for intent in ("prompt", "completion"):
        kinds = {"helpful": 3.0, "unsure": 1.0}
        made = module.Rollouts(examples, turns=2, intent=intent, kinds=kinds, seed=0)
        drawn[intent] = [made._users(prompts, 8, step) for step in range(50)]
        assert drawn[intent] == [made._users(prompts, 8, step) for step in range(50)]
    for group in drawn["prompt"]:
        assert all(user == group[i - i % 8] for i, user in enumerate(group))
    assert len({group[0].reading for group in drawn["prompt"]}) == 4
    assert all(len({u.kind for u in users[:8]}) == 1 for users in drawn["completion"])
    assert sum(len({u.reading for u in users[:8]}) > 1 for users in drawn["completion"]) > 45
    unsure = [u.kind == "unsure" for users in drawn["prompt"] for u in users[::8]]
    assert 0.15 < sum(unsure) / len(unsure) < 0.35


@pytest.mark.slow
@pytest.mark.parametrize("family", HERE)
def test_every_family_speaks_again_on_the_whole_conversation(family, data_dir, tmp_path, monkeypatch):
    """A template whose turns end in other tokens than generation does; a second response without the picture."""
    trainer = trainer_of(build(family, tmp_path / "base"), data_dir, tmp_path, max_completion_length=4)
    monkeypatch.setattr(scripted, "reply", lambda *_: "The one at the top left.")
    processor, generate = trainer.processing_class, trainer._generate_single_turn
    end = processor.tokenizer("?" + _end_of(processor), add_special_tokens=False)["input_ids"][-1]

    def short(*args):
        said, logprobs = generate(*args)
        letters = processor.tokenizer("red", add_special_tokens=False)["input_ids"]
        return [[*letters, end] for _ in said], logprobs  # random models never end

    trainer._generate_single_turn = short
    trainer.eos_token_ids = [*trainer.eos_token_ids, end]
    rows, batch, given = rolled_out(trainer)
    talking = [(row["prediction"], row) for row in rows if len(row["prediction"].turns) == 3]
    assert talking and len(given) == 2 and len(given[1][0]) == len(talking)
    for (prediction, row), ids in zip(talking, given[1][0], strict=True):
        said = encode(processor, [chat.messages(row["example"], prediction.turns[:2])], [row["image"]])
        assert list(ids) == said["input_ids"][0].tolist()
    fields = given[1][2]
    alone = encode(
        processor, [chat.messages(row["example"]) for _, row in talking], [row["image"] for _, row in talking]
    )
    assert np.array(fields["pixel_values"]).shape == alone["pixel_values"].shape


def _end_of(processor) -> str:
    """What the template writes behind a response."""
    whole = processor.apply_chat_template([*chat.user_turn("?"), chat.text_turn("assistant", "@")])
    return whole.rpartition("@")[2].strip()


def test_the_user_hears_what_follows_a_reasoning_block():
    """A user who replies to what the model only thought, or to a block without an answer."""
    rollouts = script("tuning_grpo/rollouts.py")
    heard = []

    class Listens:
        def replies(self, asked):
            heard.extend(a.response for a in asked)
            return [None] * len(asked)

    item = Example.model_validate(example(3))  # clarify
    one = rollouts.Rollouts([item], turns=2, intent="prompt", kinds={"helpful": 1}, seed=0, user=Listens())
    said = ("<think>The red one?</think>Which star?", "<think>Which star?")
    dialogues = [rollouts.Dialogue([], [], rollouts.User(item, 0, "helpful", "s")) for _ in said]
    for dialogue, text in zip(dialogues, said, strict=True):
        dialogue.turns.append(Turn(role="assistant", text=text))
    assert one._replied(dialogues, 1, None) == [] and heard == ["Which star?", ""]


def test_what_all_processes_must_do_together(monkeypatch):
    """A process without open dialogues that waits at the end of the step while the others wait for it to generate."""
    module = script("tuning_grpo/rollouts.py")
    asked = []

    class Trainer:
        def _tokenize_prompts(self, prompts):
            return None, None, {"token_type_ids": [[1] for _ in prompts]}

        def _generate_single_turn(self, ids, images, fields, count):
            asked.append((ids, fields["token_type_ids"], count))
            return [[9] for _ in ids], None

    class Open:
        prompt, prompt_ids, ids = [], [1], [2, 3]

    monkeypatch.setattr(module.processes, "gather", lambda sizes: [*sizes, 2])
    for number in (0, 1, 2):
        said, _ = module._next_responses([Open()] * number, Open(), Trainer())
        assert len(said) == number and asked[-1] == ([[1, 2, 3]] * 2, [[1, 0, 0]] * 2, 1)
    monkeypatch.setattr(module.processes, "gather", lambda sizes: [*sizes, 0])
    assert module._next_responses([], Open(), Trainer()) == ([], None) and len(asked) == 3


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["helpful=1", "moody"], "no user is 'moody'; there are helpful, terse"),
        (["terse=much"], "is not kind=weight, as in terse=0.2"),
        (["terse=-1"], "is not kind=weight"),
        (["terse=0"], "at least one weight must be above 0"),
    ],
)
def test_users_that_there_are_not(tokens, message):
    """A misspelt kind that replies as another one."""
    with pytest.raises(UserError, match=message):
        users.parse_kinds(tokens, "--user_kinds")
    assert users.parse_kinds(["helpful", "terse=0.5"], "--user_kinds") == {"helpful": 1.0, "terse": 0.5}
