"""Rollouts of whole dialogues: where the model asks, the simulated user replies, and the model speaks again.

TRL calls a Rollouts in place of its own generation (`rollout_func`); generation itself stays TRL's, with `generate` or
vLLM, over all dialogues that are still open. A sequence is prompt + response + reply + response ...; `env_mask` is 0 on
the user's tokens, so that the loss is on what the model said. Of a model that thinks aloud the user hears what follows
its reasoning block; the block stays in the sequence, where its tokens are learnt from, though inference does not send
it back.
"""

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from clarifyvlm import chat, processes
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.models.plain_text import plain
from clarifyvlm.records import Example, Prediction, Turn
from clarifyvlm.users import Asked, Scripted

SAID = "\N{OBJECT REPLACEMENT CHARACTER}"  # stands for a response when the template's words around it are asked for


class Rollouts:
    """Called with TRL's prompts (each repeated for its group) and the trainer; gives what TRL asks of `rollout_func`,
    one entry per prompt, and for the rewards each dialogue as a `prediction`.

    `turns`: responses of the model, 2 or 3. `intent`: whether the reading that the user has in mind is drawn per prompt
    (the group shares it) or per completion. `kinds`: user kind -> weight, drawn per prompt. A prompt that comes again
    meets another user.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        turns: int,
        intent: Literal["prompt", "completion"],
        kinds: dict[str, float],
        seed: int,
        user: Scripted | None = None,
    ):
        self.examples = {example.id: example for example in examples}
        self.turns, self.intent, self.kinds, self.seed = turns, intent, kinds, seed
        self.user = user or Scripted()

    def __call__(self, prompts: list[list[dict]], trainer) -> dict:
        count = trainer.num_generations if trainer.model.training else trainer.num_generations_eval
        prompt_ids, images, fields = trainer._tokenize_prompts(prompts)
        said, logprobs = trainer._generate_single_turn(prompt_ids, images, fields, count)
        users = self._users(prompts, count, trainer.state.global_step)
        dialogues = [Dialogue(*row) for row in zip(prompts, prompt_ids, users, strict=True)]
        speaking = dialogues
        for turn in range(1, self.turns + 1):
            for dialogue, ids, found in zip(speaking, said, logprobs or [None] * len(said), strict=True):
                dialogue.hear(ids, found, trainer.processing_class)
            if turn == self.turns:
                break
            speaking = self._replied([d for d in speaking if d.ids[-1] in trainer.eos_token_ids], turn, trainer)
            said, logprobs = _next_responses(speaking, dialogues[0], trainer)
            if not said:
                break
        return {
            "prompt_ids": prompt_ids,
            "completion_ids": [d.ids for d in dialogues],
            "logprobs": [d.logprobs for d in dialogues] if dialogues[0].logprobs is not None else None,
            "env_mask": [d.mask for d in dialogues],
            "prediction": [d.prediction() for d in dialogues],
        }

    def _replied(self, dialogues: "list[Dialogue]", turn: int, trainer) -> "list[Dialogue]":
        """Those to which the user replies: not where nothing is asked, nor about what is not there."""
        heard = [d for d in dialogues if d.user.example.ambiguity.readings]
        answers = [after_reasoning(d.turns[-1].text) for d in heard]
        said = self.user.replies(
            [
                Asked(d.user.example, answer, d.user.reading, d.user.kind, turn, d.user.seed)
                for d, answer in zip(heard, answers, strict=True)
            ]
        )
        for dialogue, reply in zip(heard, said, strict=True):
            if reply is not None:
                dialogue.reply(reply, trainer.processing_class)
        return [d for d, reply in zip(heard, said, strict=True) if reply is not None]

    def _users(self, prompts: list, count: int, step: int) -> "list[User]":
        users = []
        first = processes.rank() * len(prompts)  # a group may lie across processes
        for index, prompt in enumerate(prompts, start=first):
            example = self.examples[prompt[0]["example_id"]]
            group = f"{self.seed}:{step}:{example.id}"
            kind = random.Random(group).choices(list(self.kinds), self.kinds.values())[0]
            who = group if self.intent == "prompt" else f"{group}:{index % count}"
            reading = random.Random(f"{who}:reading").randrange(max(1, len(example.ambiguity.readings)))
            users.append(User(example, reading, kind, group))
        return users


def _next_responses(dialogues: "list[Dialogue]", filler: "Dialogue", trainer) -> tuple[list, list | None]:
    """The next response of each dialogue, on the very tokens so far; ([], None) where no process has one.

    All processes must generate, and equally many (a model in pieces, vLLM's server): `filler` makes up the number.
    """
    most = max(processes.gather([len(dialogues)]))
    if not most:
        return [], None
    asked = [*dialogues, *[filler] * (most - len(dialogues))]
    ids = [d.prompt_ids + d.ids for d in asked]
    _, images, fields = trainer._tokenize_prompts([d.prompt for d in asked])
    for name in fields.keys() & {"token_type_ids", "mm_token_type_ids"}:  # one per token: what follows is text
        fields[name] = [[*row, *[0] * (len(i) - len(row))] for row, i in zip(fields[name], ids, strict=True)]
    said, logprobs = trainer._generate_single_turn(ids, images, fields, 1)
    return said[: len(dialogues)], logprobs and logprobs[: len(dialogues)]


class User(NamedTuple):
    example: Example
    reading: int
    kind: str
    seed: str  # of its words


class Dialogue:
    """One completion as it grows: turns, tokens after the prompt, and which of them are the model's."""

    def __init__(self, prompt: list[dict], prompt_ids: list[int], user: User):
        self.prompt, self.prompt_ids, self.user = prompt, list(prompt_ids), user
        self.turns: list[Turn] = []
        self.ids: list[int] = []
        self.mask: list[int] = []
        self.logprobs: list[float] | None = None  # vLLM's; 0 for the user's tokens

    def hear(self, ids: list[int], logprobs: list[float] | None, processor) -> None:
        """The model's response."""
        text = processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        self.turns.append(Turn(role="assistant", text=text))
        self._add(ids, 1, logprobs)

    def reply(self, said: str, processor) -> None:
        """The user's words."""
        between = between_responses(processor, said)
        if between[0] == self.ids[-1]:  # the token that ended the response is part of the template
            between = between[1:]
        self.turns.append(Turn(role="user", text=said))
        self._add(between, 0, None if self.logprobs is None else [0.0] * len(between))

    def prediction(self) -> Prediction:
        example, reading, kind, _ = self.user
        return Prediction(
            example_id=example.id,
            turns=self.turns,
            reading=reading if example.ambiguity.readings else None,
            user_kind=kind if len(self.turns) > 1 else None,
            ask_cost=self.prompt[0]["ask_cost"],
        )

    def _add(self, ids: list[int], mask: int, logprobs: list[float] | None) -> None:
        self.ids += ids
        self.mask += [mask] * len(ids)
        if logprobs is not None:
            self.logprobs = [*(self.logprobs or []), *logprobs]


def between_responses(processor, reply: str) -> list[int]:
    """Tokens from the end of a response to the start of the next one, with the user's reply in the middle."""
    talk = [*chat.user_turn("?"), chat.text_turn("assistant", SAID), chat.text_turn("user", reply)]
    text = processor.apply_chat_template(plain(processor, talk), add_generation_prompt=True, tokenize=False)
    return processor.tokenizer(text.rpartition(SAID)[2], add_special_tokens=False)["input_ids"]
