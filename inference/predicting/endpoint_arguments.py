"""The flags of predict.py --backend openai, apart from the client that takes them: that is slow to import."""

from dataclasses import dataclass

from clarifyvlm.endpoint.arguments import with_flags


@with_flags(
    "endpoint",
    without=("model", "concurrency", "max_tokens", "budget_usd", "input_price", "output_price"),
    timeout_s=120.0,
)
@dataclass
class EndpointArguments:
    """How to reach the model of --backend openai; --batch_size calls are in flight at once."""
