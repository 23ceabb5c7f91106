"""How many calls of an LLM judge there may be at once."""

import asyncio
from contextlib import asynccontextmanager


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
