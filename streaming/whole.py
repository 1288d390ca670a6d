"""Topics from beginning to end, for who looks at them once and keeps nothing."""

import asyncio
from collections.abc import Sequence

from streaming.bus import Bus, Record

READ_RECORDS_MAX = 1_000
POLL_SECONDS = 0.05


async def all_records(bus: Bus, topics: Sequence[str]) -> list[Record]:
    """Return all records of topics up to their present ends, by time of append."""
    partitions = range(bus.partitions)
    parts = await asyncio.gather(*(_partition(bus, topics, p) for p in partitions))
    found = [record for part in parts for record in part]
    found.sort(key=lambda r: (r.appended_at_ms, r.topic, r.partition, r.offset))
    return found


async def _partition(bus: Bus, topics: Sequence[str], partition: int) -> list[Record]:
    starts = await bus.starts(topics)
    reader = await bus.reader(partition, {topic: starts[(topic, partition)] for topic in topics})
    found: list[Record] = []
    left = set(topics)
    try:
        while left:
            polled = await reader.poll(sorted(left), READ_RECORDS_MAX, POLL_SECONDS)
            for records in polled.records.values():
                found.extend(records)
            left -= polled.ended
    finally:
        await reader.close()
    return found
