"""Play files and publishing: CloudEvents, one a line, to the topics of their sources."""

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.envelope import CONTENT_TYPE
from streaming.bus import Outgoing
from streaming.errors import SettingError
from streaming.installation import Installation
from streaming.routing import partition_of

BATCH_RECORDS_MAX = 2_000
HEADERS = (("content-type", CONTENT_TYPE.encode()),)
CALENDAR_SOURCE = "/calendar"


class BrokenInputError(Exception):
    """A line is no CloudEvent, or of no known source; nothing was published."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a play file: an event, or None for an empty line (a barrier)."""

    number: int
    event: Mapping[str, Any] | None
    text: str


def read_lines(lines: Iterable[str], topics: Iterable[str]) -> list[Line]:
    """Return all lines of a file; `topics` are those that sources write.

    Raises BrokenInputError naming the first that is wrong.
    """
    known = set(topics)
    return [_line(number, line.strip(), known) for number, line in enumerate(lines, start=1)]


def _line(number: int, text: str, topics: set[str]) -> Line:
    if not text:
        return Line(number, None, "")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenInputError(f"line {number} is no JSON: {error}") from error
    if not isinstance(event, dict):
        raise BrokenInputError(f"line {number} is no CloudEvent: it is no JSON object")
    for name in ("specversion", "id", "source", "type"):
        if not isinstance(event.get(name), str):
            raise BrokenInputError(f"line {number} is no CloudEvent: {name!r} is missing")
    if topic_of(event) not in topics:
        raise BrokenInputError(
            f"line {number}: {event['source']} is no source of this installation. Sources stand "
            "in contracts/sources.yaml, or in the file PFDO_SOURCES names."
        )
    if event["source"] != CALENDAR_SOURCE and not _is_key(event.get("partitionkey")):
        raise BrokenInputError(f"line {number} is no CloudEvent of ours: no partitionkey")
    return Line(number, event, text)


def _is_key(value: object) -> bool:
    """Return whether a value can be the key of a record: text, and no half of a character."""
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


def topic_of(event: Mapping[str, Any]) -> str:
    """Return the topic of an event's source."""
    return f"{str(event['source']).removeprefix('/')}.events.v1"


def is_calendar(line: Line) -> bool:
    """Return whether a line opens a day, in every partition."""
    return line.event is not None and line.event["source"] == CALENDAR_SOURCE


def records_of(line: Line, partitions: int) -> list[Outgoing]:
    """Return the records of a line: one, or one for each partition if it opens a day."""
    assert line.event is not None
    topic, value = topic_of(line.event), line.text.encode()
    if is_calendar(line):
        return [Outgoing(topic, partition, None, value, HEADERS) for partition in range(partitions)]
    key = str(line.event["partitionkey"]).encode()
    return [Outgoing(topic, partition_of(key, partitions), key, value, HEADERS)]


def segments(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield runs of lines between barriers; a calendar event is a run of its own."""
    run: list[Line] = []
    for line in lines:
        if line.event is None or is_calendar(line):
            if run:
                yield run
            run = []
            if line.event is not None:
                yield [line]
        else:
            run.append(line)
    if run:
        yield run


async def publish(
    installation: Installation,
    lines: Iterable[Line],
    published: Callable[[int], None] = lambda _count: None,
) -> Counter[str]:
    """Publish lines in their order; return how many by topic."""
    counts: Counter[str] = Counter()
    waiting: list[Outgoing] = []
    number = 0
    for line in lines:
        if line.event is None:
            continue
        waiting += records_of(line, installation.bus.partitions)
        counts[topic_of(line.event)] += 1
        number += 1
        if len(waiting) >= BATCH_RECORDS_MAX:
            await _publish(installation, waiting, _up_to(line))
            waiting = []
            published(number)
            number = 0
    if waiting:
        await _publish(installation, waiting, _up_to(line))
    published(number)
    return counts


def _up_to(line: Line) -> str:
    return f"one of the {BATCH_RECORDS_MAX} lines up to line {line.number}"


async def _publish(installation: Installation, records: Sequence[Outgoing], what: str) -> None:
    try:
        await installation.bus.publish(records)
    except ValueError as error:
        raise SettingError(
            f"{what}: {error}. Leave it out, and publish again: what is there already does no harm."
        ) from error


async def publish_raw(
    installation: Installation, topic: str, key: str | None, values: Iterable[bytes]
) -> int:
    """Publish bytes as they are, to the partition of the key."""
    encoded = None if key is None else key.encode()
    partition = 0 if encoded is None else partition_of(encoded, installation.bus.partitions)
    if topic not in installation.topics:
        raise SettingError(f"{topic} is no topic of this installation: `pfdo topics create`.")
    records = [Outgoing(topic, partition, encoded, value) for value in values]
    await _publish(installation, records, "one of the lines")
    return len(records)


@dataclass(frozen=True, slots=True)
class Played:
    """What became of playing a file."""

    published: int
    settled: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return it as `pfdo play --json` prints it."""
        return {
            "published": self.published,
            "settled": self.settled,
            "seconds": round(self.seconds, 3),
            "rate": round(self.published / self.seconds, 1) if self.seconds else 0.0,
        }


async def play(
    installation: Installation,
    lines: list[Line],
    settle: Callable[[], Awaitable[bool]],
    advanced: Callable[[int], None] = lambda _count: None,
) -> Played:
    """Publish a play file, waiting at each barrier until `settle` says that all is settled."""
    begun, published = time.monotonic(), 0
    is_settled = await settle()
    for run in segments(lines):
        if not is_settled:
            break
        counts = await publish(installation, run)
        published += counts.total()
        is_settled = await settle()
        advanced(len(run))
    return Played(published, is_settled, time.monotonic() - begun)
