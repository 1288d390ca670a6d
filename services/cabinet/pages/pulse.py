"""Tells the pages that are open when their family's facts may have changed.

One task looks at the standing of the partitions as long as somebody listens, for all of them.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from services.cabinet.queries import Queries
from streaming.errors import StoreUnavailableError

LOOK_SECONDS = 0.3
LISTENERS_MAX = 2_000
LISTENING_OF_ONE_MAX = 5
"""So many pages of one person are told of changes: nobody takes all there is room for."""


class Pulse:
    """How often each partition was changed; `closing` is set when the server goes."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._seqs: dict[int, int] = {}
        self._moved = asyncio.Condition()
        self._listeners: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self.closing = asyncio.Event()

    def is_full(self, subject: str) -> bool:
        """Return whether no more may listen, or no more of somebody's pages."""
        return (
            self._listeners.total() >= LISTENERS_MAX
            or self._listeners[subject] >= LISTENING_OF_ONE_MAX
        )

    @asynccontextmanager
    async def listening(self, subject: str) -> AsyncIterator[None]:
        """Keep the look-out going while the block runs, for somebody's page."""
        self._listeners[subject] += 1
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            yield
        finally:
            self._listeners[subject] -= 1
            if not self._listeners[subject]:
                del self._listeners[subject]
            if not self._listeners:
                self._task.cancel()
                self._task = None

    def seqs(self, partitions: Iterable[int]) -> tuple[int, ...]:
        """Return where partitions stand."""
        return tuple(self._seqs.get(partition, -1) for partition in partitions)

    async def moved(
        self, partitions: Iterable[int], since: tuple[int, ...], seconds_max: float
    ) -> bool:
        """Wait until one of the partitions stands elsewhere. Return False after `seconds_max`."""
        wanted = list(partitions)
        try:
            async with asyncio.timeout(seconds_max), self._moved:
                await self._moved.wait_for(
                    lambda: self.seqs(wanted) != since or self.closing.is_set()
                )
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Send everybody home."""
        self.closing.set()
        async with self._moved:
            self._moved.notify_all()

    async def _look(self) -> None:
        while True:
            try:
                seqs = {each["partition"]: each["seq"] for each in await self._queries.as_of()}
            except StoreUnavailableError:
                seqs = self._seqs
            if seqs != self._seqs:
                async with self._moved:
                    self._seqs = seqs
                    self._moved.notify_all()
            await asyncio.sleep(LOOK_SECONDS)
