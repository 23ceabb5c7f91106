"""Who replies in the dialogues: mostly users who say what they mean, and some who do not."""

import random

from clarifyvlm.records import INFORMED, Example
from clarifyvlm.users import scripted

# What is right to say to a user who was asked and told nothing, of more readings than one would list.
UNTOLD = (
    "Without knowing what you mean, I cannot tell.",
    "Without knowing that, I cannot tell.",
    "Then I cannot tell.",
    "Then I cannot say.",
)
# To a user who describes what is not there: say so, and ask once more. {what} is "purple star", as the question has it.
NO_SUCH_PLACE = (
    "There is none there. Which one do you mean?",
    "I see none there. Which one do you mean?",
    "There is no {what} there. Where is the one that you mean?",
)
NO_SUCH_THING = (
    "There is no such {what}. Which one do you mean?",
    "I see no such {what}. Which one do you mean?",
    "There is none like that. Which one do you mean?",
)
UNSEEN = "I see nothing like that, so I cannot tell."  # where something else fits what they describe


def draw_user(example: Example, kinds: dict[str, float], seed: int) -> None:
    """Let a user of a kind (kind -> weight) reply in the example's dialogue, if it has one: its reply and final answer
    as they are then."""
    dialogue = example.dialogue
    if dialogue is None:
        return
    rng = random.Random(f"{seed}:{example.id}:user")
    dialogue.user_kind = rng.choices(list(kinds), kinds.values())[0]
    dialogue.reply = scripted.reply(example, dialogue.question, dialogue.reading, dialogue.user_kind)
    if dialogue.reply is None:
        raise RuntimeError(
            f"the simulated user does not understand the generator's own question: {dialogue.question!r}"
        )
    if dialogue.user_kind not in INFORMED:
        described = (
            dialogue.user_kind == "wrong" and dialogue.reply not in scripted.UNSURE
        )  # who finds nothing wrong to say
        if described:
            what, is_place = scripted.what_is_not_there(example, dialogue.question)
            forms = NO_SUCH_PLACE if is_place else NO_SUCH_THING
            dialogue.answer = rng.choice(forms).format(what=what) if what else UNSEEN
        else:
            dialogue.answer = rng.choice(UNTOLD)
