"""Finds facts in the journals of the services by the ids of their events.

An id says service, partition and number. Numbers are dense from 1, offsets from 0 may have holes: a
record stands one before its number or after that. Reading on from there by what is still missing
arrives at it in a few steps, and a chunk that was read serves its neighbours too.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.topics import JOURNALS
from streaming.bus import Bus

CHUNK_RECORDS = 200
CACHED_MAX = 5_000
STEPS_MAX = 64
POLL_SECONDS = 2.0
_JOURNALS = {topic.written_by: topic.name for topic in JOURNALS}


class JournalFacts:
    """Looks facts up in the journals on a bus; remembers those around them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._cache: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    async def find(self, event_ids: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return the data of the facts that were found, in order. Raises BusUnavailableError."""
        found = [await self._find(event_id) for event_id in event_ids]
        return [fact for fact in found if fact is not None]

    async def _find(self, event_id: str) -> Mapping[str, Any] | None:
        if event_id not in self._cache:
            service, _, place = event_id.partition(":")
            partition, _, number = place.partition(":")
            if service in _JOURNALS and partition.isdecimal() and number.isdecimal():
                await self._read(_JOURNALS[service], int(partition), int(number))
        return self._cache.get(event_id)

    async def _read(self, topic: str, partition: int, number: int) -> None:
        """Read the chunk of a journal in which a number stands, if it is there."""
        if partition >= self._bus.partitions:
            return
        start = (await self._bus.starts([topic]))[(topic, partition)]
        end = (await self._bus.ends([topic]))[(topic, partition)]
        at = max(number - 1, start)
        for _ in range(STEPS_MAX):
            if at >= end:
                return
            last = await self._chunk(topic, partition, at)
            if last is None or last[1] >= number:
                return
            offset, reached = last
            at = offset + (number - reached)

    async def _chunk(self, topic: str, partition: int, at: int) -> tuple[int, int] | None:
        """Read from an offset. Return offset and number of the last record, None without any."""
        reader = await self._bus.reader(partition, {topic: at})
        try:
            polled = await reader.poll([topic], CHUNK_RECORDS, POLL_SECONDS)
            while not polled.records and topic not in polled.ended:
                polled = await reader.poll([topic], CHUNK_RECORDS, POLL_SECONDS)
        finally:
            await reader.close()
        last = None
        for record in polled.records.get(topic, ()):
            envelope: dict[str, Any] = json.loads(record.value or b"{}")
            self._keep(envelope["id"], envelope["data"])
            last = (record.offset, int(envelope["journalseq"]))
        return last

    def _keep(self, event_id: str, data: Mapping[str, Any]) -> None:
        self._cache[event_id] = {name: value for name, value in data.items() if name != "input"}
        self._cache.move_to_end(event_id)
        while len(self._cache) > CACHED_MAX:
            self._cache.popitem(last=False)
