"""Merging the input topics of a partition by time, as Kafka Streams does.

The record with the smallest (time of append, topic) is next. A topic with nothing buffered holds
the others back until it is known to be at its end: after twelve days of outage the marks of day
one are still decided on day one (ARCHITECTURE.md).
"""

from collections import deque
from collections.abc import Iterable, Mapping

from streaming.bus import Reader, Record

BUFFERED_PER_TOPIC_MAX = 1_000


class Merge:
    """The records of a partition in one order."""

    def __init__(self, reader: Reader, topics: Iterable[str]) -> None:
        self._reader = reader
        self._buffers: dict[str, deque[Record]] = {topic: deque() for topic in topics}
        self._ended: frozenset[str] = frozenset()
        self._next: dict[str, int] = {}

    async def fill(self, timeout_seconds: float) -> None:
        """Read on; wait at most `timeout_seconds` for something to come."""
        wanted = [t for t, b in self._buffers.items() if len(b) < BUFFERED_PER_TOPIC_MAX]
        polled = await self._reader.poll(wanted, BUFFERED_PER_TOPIC_MAX, timeout_seconds)
        for topic, records in polled.records.items():
            self._buffers[topic].extend(records)
        self._ended = polled.ended
        self._next.update(polled.next_offsets)

    def take(self, records_max: int) -> list[Record]:
        """Return the next records, as far as their order is known."""
        taken: list[Record] = []
        if any(not b and t not in self._ended for t, b in self._buffers.items()):
            return taken
        heads = {t: b for t, b in self._buffers.items() if b}
        while heads and len(taken) < records_max:
            if len(heads) == 1:
                topic, buffer = next(iter(heads.items()))
            else:
                topic, buffer = min(heads.items(), key=_first)
            taken.append(buffer.popleft())
            if not buffer:
                del heads[topic]
                if topic not in self._ended:
                    break
        return taken

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is buffered."""
        return not any(self._buffers.values())

    def read_up_to(self) -> Mapping[str, int]:
        """Return, for topics with nothing buffered, the offset before which all was taken."""
        return {t: offset for t, offset in self._next.items() if not self._buffers[t]}


def _first(head: tuple[str, deque[Record]]) -> tuple[int, str]:
    topic, buffer = head
    return buffer[0].appended_at_ms, topic
