"""Topics up to their ends, for who looks at them once and keeps nothing."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

from streaming.bus import Bus, Polled, Record

READ_RECORDS_MAX = 1_000
POLL_SECONDS = 0.05


async def up_to(
    bus: Bus, partition: int, starts: Mapping[str, int], ends: Mapping[tuple[str, int], int]
) -> AsyncIterator[Polled]:
    """Yield what a partition of topics holds, from `starts` (by topic) to `ends`, and perhaps more.

    Nothing is yielded if there is nothing. Raises BusUnavailableError, HaltError.
    """
    left = {topic for topic, start in starts.items() if start < ends[topic, partition]}
    if not left:
        return
    reader = await bus.reader(partition, {topic: starts[topic] for topic in left})
    try:
        while left:
            polled = await reader.poll(sorted(left), READ_RECORDS_MAX, POLL_SECONDS)
            yield polled
            left = {t for t in left if polled.next_offsets[t] < ends[t, partition]}
    finally:
        await reader.close()


async def all_records(bus: Bus, topics: Sequence[str]) -> list[Record]:
    """Return all records of topics up to their present ends, by time of append."""
    partitions = range(bus.partitions)
    parts = await asyncio.gather(*(_partition(bus, topics, p) for p in partitions))
    found = [record for part in parts for record in part]
    found.sort(key=lambda r: (r.appended_at_ms, r.topic, r.partition, r.offset))
    return found


async def _partition(bus: Bus, topics: Sequence[str], partition: int) -> list[Record]:
    starts = await bus.starts(topics)
    positions = {topic: starts[topic, partition] for topic in topics}
    return [record async for record in to_the_end(bus, partition, positions)]


async def to_the_end(
    bus: Bus, partition: int, positions: Mapping[str, int], records_max: int = READ_RECORDS_MAX
) -> AsyncGenerator[Record, None]:
    """Yield the records of a partition of topics from `positions` on, topic by topic in order.

    `records_max` are in memory at a time.
    """
    left = set(positions)
    if not left:
        return
    reader = await bus.reader(partition, positions)
    try:
        while left:
            polled = await reader.poll(sorted(left), records_max, POLL_SECONDS)
            for records in polled.records.values():
                for record in records:
                    yield record
            left -= polled.ended
    finally:
        await reader.close()
