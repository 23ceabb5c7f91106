"""The flags of the model that writes, apart from its calls, which are slow to import."""

from dataclasses import dataclass

from clarifyvlm.config import option
from clarifyvlm.endpoint.arguments import speed_only, with_flags


@with_flags("author", without=("model",), timeout_s=120.0)
@dataclass
class AuthorArguments:
    """The model that writes, and how to reach it. Limits of calls and cost count the verifier's, too."""

    author_model: str = option("model name at the endpoint")


SPEED_ONLY = speed_only("author")  # these change nothing that is written: a rerun may change them
