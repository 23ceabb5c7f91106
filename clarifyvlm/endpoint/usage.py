"""What the calls of an LLM judge add up to, and how many at all or how dear they may be."""

from dataclasses import dataclass


@dataclass
class Usage:
    """What was asked of the endpoint since the judge was made. Prices are USD per million tokens."""

    max_calls: int | None = None
    budget_usd: float | None = None
    input_price: float = 0.0
    output_price: float = 0.0
    calls: int = 0
    from_cache: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    spent_usd: float = 0.0

    def spent(self) -> bool:
        """Whether no further call may start. Calls in flight still end, so a budget is passed by at most those."""
        return (self.max_calls is not None and self.calls >= self.max_calls) or (
            self.budget_usd is not None and self.spent_usd >= self.budget_usd
        )

    def add(self, input_tokens: int, output_tokens: int) -> None:
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.spent_usd += (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6

    def shown(self, seconds: float) -> dict[str, str]:
        """For a progress bar, after so many seconds."""
        tokens = f"{(self.input_tokens + self.output_tokens) / 1000:.0f}k"
        cost = {"usd": f"{self.spent_usd:.2f}"} if self.input_price or self.output_price else {}
        rate = {"calls/s": f"{self.calls / max(seconds, 1e-3):.1f}"}
        return {"calls": str(self.calls)} | rate | {"cached": str(self.from_cache), "tokens": tokens} | cost


def total(usages: list[Usage]) -> Usage:
    """What several judges used together; their limits stay their own."""
    counts = ("calls", "from_cache", "input_tokens", "output_tokens", "spent_usd", "input_price", "output_price")
    return Usage(**{name: sum(getattr(usage, name) for usage in usages) for name in counts})
