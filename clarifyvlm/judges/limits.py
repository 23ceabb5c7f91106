"""What bounds the calls of an LLM judge: how many at once, how many at all, and how much they may cost."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass


class AdaptiveLimit:
    """At most `most` calls at once. Halved when the endpoint says "too many" (429), and one more again after as many
    good calls in a row as are allowed at once. Belongs to one event loop."""

    def __init__(self, most: int):
        self.most = self.now = most
        self._in_flight = self._good = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def slot(self):
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < self.now)
            self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            async with self._changed:
                self._changed.notify_all()

    def good(self) -> None:
        self._good += 1
        if self._good >= self.now < self.most:
            self.now, self._good = self.now + 1, 0

    def too_many(self) -> None:
        self.now, self._good = max(1, self.now // 2), 0


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

    @property
    def usd(self) -> float:
        return (self.input_tokens * self.input_price + self.output_tokens * self.output_price) / 1e6

    def spent(self) -> bool:
        """Whether no further call may start. Calls in flight still end, so a budget is passed by at most those."""
        return (self.max_calls is not None and self.calls >= self.max_calls) or (
            self.budget_usd is not None and self.usd >= self.budget_usd
        )

    def add(self, usage) -> None:
        """Count the tokens of a reply's `usage`, where the endpoint tells them."""
        self.input_tokens += getattr(usage, "prompt_tokens", None) or 0
        self.output_tokens += getattr(usage, "completion_tokens", None) or 0

    def shown(self) -> dict[str, str]:
        """For a progress bar."""
        tokens = f"{(self.input_tokens + self.output_tokens) / 1000:.0f}k"
        cost = {"usd": f"{self.usd:.2f}"} if self.input_price or self.output_price else {}
        return {"calls": str(self.calls), "cached": str(self.from_cache), "tokens": tokens} | cost
