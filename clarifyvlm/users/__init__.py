"""The simulated user: the script of scripted.py, exact on scenes, or a language model (language_model.py), for
photographs."""

from collections.abc import Sequence

from clarifyvlm.errors import UserError
from clarifyvlm.users.arguments import SPEED_ONLY, USER_KINDS, Asked, UserArguments, parse_kinds

__all__ = ["USER_KINDS", "SPEED_ONLY", "Asked", "Scripted", "UserArguments", "make_user", "parse_kinds"]


def make_user(args: UserArguments, turns: int):
    """What has `replies(asked)`, a reply or None for each response, and `check()`. UserError where options lack, or
    nobody would reply in so many `turns`."""
    if args.reply_forms != "train" and (args.user != "scripted" or turns == 1):
        raise UserError(f"--reply_forms {args.reply_forms}: needs --user scripted and --turns 2 or 3.")
    if args.user == "scripted":
        return Scripted(args.reply_forms)
    if turns == 1:
        raise UserError("--user openai: needs --turns 2 or 3, so that there is a reply.")
    from clarifyvlm.users.language_model import Played

    return Played(args)


class Scripted:
    def __init__(self, forms: str = "train"):
        self.forms = forms  # of users/replies.yaml

    def replies(self, asked: Sequence[Asked]) -> list[str | None]:
        """What the user says to each response; None where it asks nothing."""
        from clarifyvlm.users import scripted

        return [scripted.reply(a.example, a.response, a.reading, a.kind, a.turn, self.forms, a.seed) for a in asked]

    def check(self) -> None:
        """Nothing can be down."""
