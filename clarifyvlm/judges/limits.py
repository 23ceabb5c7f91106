"""What bounds the calls of an LLM judge: how many at once, how many at all, and how much they may cost."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass


class AdaptiveLimit:
    """At most `most` calls at once. Halved when the endpoint says "too many" (429), and one more again after as many
    good calls in a row as are allowed at once. Belongs to one event loop."""

    def __init__(self, most: int):
        self.most = self.now = most
        self._in_flight = self._good = self._lowered = 0
        self._open_at = 0.0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def slot(self):
        """Wait for a place; yields how often the limit had been lowered by then."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < self.now)
            self._in_flight += 1
        try:
            while (wait := self._open_at - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
            yield self._lowered
        finally:
            self._in_flight -= 1
            async with self._changed:
                self._changed.notify(max(0, self.now - self._in_flight))

    def good(self) -> None:
        self._good += 1
        if self._good >= self.now < self.most:
            self.now, self._good = self.now + 1, 0

    def too_many(self, lowered: int, wait_s: float) -> None:
        """A call that began after `lowered` cuts was one too many; nobody calls for `wait_s` seconds. Calls that were
        in flight together count as one: a burst of 64 halves the limit, it does not end it."""
        self._open_at = max(self._open_at, asyncio.get_running_loop().time() + wait_s)
        if lowered == self._lowered:
            self.now, self._good, self._lowered = max(1, self.now // 2), 0, self._lowered + 1


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
