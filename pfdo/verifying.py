"""Feeding the count of `verification` with everything an installation holds."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contracts.sources import SHIPPED_PATH
from pfdo.options import Advance
from streaming.bus import Bus
from streaming.errors import BusUnavailableError
from streaming.installation import Installation
from streaming.merging import Merge
from streaming.telemetry import Telemetry
from verification.count import Count
from verification.findings import Missing
from verification.sources import sources_of

READ_RECORDS_MAX = 1_000
POLL_SECONDS = 0.05
PENDING_POLL_SECONDS = 0.25


@dataclass(slots=True)
class Counting:
    """A count under way: it can be read on whenever there is more."""

    bus: Bus
    count: Count
    positions: dict[tuple[str, int], int]
    advance: Advance = field(default=lambda _count: None)

    async def read_on(self) -> None:
        """Count all that has come since, partition by partition, in order of time."""
        ends = await self.bus.ends(self.count.topics)
        for partition in range(self.bus.partitions):
            left = {
                topic: self.positions[topic, partition]
                for topic in self.count.topics
                if self.positions[topic, partition] < ends[topic, partition]
            }
            if left:
                await self._read(partition, left, ends)

    async def _read(
        self, partition: int, left: Mapping[str, int], ends: Mapping[tuple[str, int], int]
    ) -> None:
        reader = await self.bus.reader(partition, left)
        merge = Merge(reader, left)
        try:
            while any(self.positions[topic, partition] < ends[topic, partition] for topic in left):
                records = merge.take(READ_RECORDS_MAX)
                for record in records:
                    self.count.record(record)
                    self._stand_at(record.topic, partition, record.offset + 1)
                if not records:
                    await merge.fill(POLL_SECONDS)
                for topic, offset in merge.read_up_to().items():
                    self._stand_at(topic, partition, offset)
        finally:
            await reader.close()

    def _stand_at(self, topic: str, partition: int, offset: int) -> None:
        before = self.positions[topic, partition]
        if offset > before:
            self.positions[topic, partition] = offset
            self.advance(offset - before)


async def begin(installation: Installation) -> Counting:
    """Return a count of an installation that has read nothing yet.

    Raises BusUnavailableError.
    """
    path = installation.settings.sources or SHIPPED_PATH
    sources = sources_of(await asyncio.to_thread(Path(path).read_text, encoding="utf-8"))
    bus = installation.bus
    topics = Count(sources, {}, {}).topics
    starts, ends = await bus.starts(topics), await bus.ends(topics)
    return Counting(bus, Count(sources, starts, ends), dict(starts))


async def follow_books(counting: Counting, wait_seconds: float, look_seconds: float) -> Count:
    """Count on for as long as all of it holds; return the count with what does not.

    What is not decided yet may be on its way; after `wait_seconds` it is a violation here too. A
    bus that is away is waited for, and the time that it is away is not counted.
    """
    count, log = counting.count, Telemetry().log
    since: dict[Missing, float] = {}
    is_away = False
    while True:
        try:
            count.ends = await counting.bus.ends(count.topics)
            await counting.read_on()
        except BusUnavailableError as error:
            if not is_away:
                log.warning("the bus is away, it is waited for", error=str(error))
            is_away, since = True, {}
        else:
            if is_away:
                log.warning("the bus is there again")
            is_away = False
            now = time.monotonic()
            since = {missing: since.get(missing, now) for missing in count.pending()}
            if any(now - begun > wait_seconds for begun in since.values()):
                return count
        if not count.findings.ok:
            return count
        await asyncio.sleep(look_seconds)


async def count_books(counting: Counting, wait_seconds: float) -> Count:
    """Return the count after everything was read, and waited for if it is still to come.

    Inputs that were acknowledged before the count began may take `wait_seconds` to be decided.
    """
    until = time.monotonic() + wait_seconds
    await counting.read_on()
    while counting.count.pending() and time.monotonic() < until:
        await asyncio.sleep(PENDING_POLL_SECONDS)
        await counting.read_on()
    counting.count.conclude()
    return counting.count
