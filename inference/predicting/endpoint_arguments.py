"""The flags of predict.py --backend openai, apart from the client that takes them: that is slow to import."""

from dataclasses import dataclass, field


@dataclass
class EndpointArguments:
    """How to reach the model of --backend openai; --batch_size calls are in flight at once."""

    endpoint_base_url: str | None = field(
        default=None, metadata={"help": "endpoint of --backend openai, e.g. http://localhost:8000/v1"}
    )
    endpoint_api_key_env: str = field(default="OPENAI_API_KEY", metadata={"help": "environment variable with its key"})
    endpoint_timeout_s: float = field(
        default=120.0, metadata={"help": "deadline of one call with its retries, seconds"}
    )
    endpoint_max_retries: int = field(default=3, metadata={"help": "retries on 408/409/429/5xx and lost connections"})
    endpoint_max_calls: int | None = field(default=None, metadata={"help": "stop, with everything kept, at so many"})
    endpoint_cache_dir: str | None = field(
        default=None, metadata={"help": "folder of the replies kept (temperature 0); unset: ~/.cache/clarifyvlm"}
    )
