"""Dead letters as work: what could not be read, whose it is, and what an operator did about it.

A letter is a record of `<service>.dead-letters.v1`, with the bytes that came. What was done about
it stands in the same topic as a mark: a record with the headers `pfdo-mark` and `pfdo-letter`, and
the reason as its value. Neither is ever changed (docs/promises.md, section 3).
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

from contracts.registry import EVENTS
from contracts.sources import Sources
from contracts.topics import DEAD_LETTERS, JOURNALS, Topic, all_topics, dead_letters_of
from streaming.bus import Bus, Outgoing, Reader, Record
from streaming.errors import BusUnavailableError
from streaming.listening import listening_of
from streaming.reading import Reading
from streaming.service import Service
from streaming.whole import POLL_SECONDS, to_the_end

OPEN, REDRIVEN, DISMISSED = STATUSES = ("open", "redriven", "dismissed")
MARK, OF_LETTER = "pfdo-mark", "pfdo-letter"
REASON = "pfdo-reason"
HEAD_BYTES_MAX = 2_000
"""So much of what came is kept in memory to be shown; the rest is read again when it is needed."""
AT_ONCE_MAX = 10
"""So many records with all their bytes are in memory at a time; each may take a megabyte."""
PARTITIONS_AT_ONCE_MAX = 4
FETCH_SECONDS_MAX = 30.0
_OURS = "pfdo-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter. `owner` is who sent it and can send it right; `at` is where it came in.

    `kept_at` is where the letter itself stands, with all its `length` bytes; `head` is how they
    begin. `status` is `open`, `redriven` or `dismissed`; `remark` is why it was dismissed.
    """

    id: str
    service: str
    reason: str
    detail: str
    received_at: datetime
    sha256: str
    owner: str
    at: tuple[str, int, int]
    kept_at: tuple[str, int, int]
    head: bytes | None
    length: int
    status: str = OPEN
    remark: str = ""

    def to_data(self) -> dict[str, Any]:
        """Return the letter as `pfdo dead-letters list --json` has it, without its bytes."""
        topic, partition, offset = self.at
        return {
            "service": self.service,
            "id": self.id,
            "reason": self.reason,
            "detail": self.detail,
            "received_at": self.received_at.isoformat(timespec="milliseconds"),
            "sha256": self.sha256,
            "status": self.status,
            "remark": self.remark,
            "owner": self.owner,
            "topic": topic,
            "partition": partition,
            "offset": offset,
        }

    @property
    def is_cut(self) -> bool:
        """Return whether more came than `head`."""
        return self.length > len(self.head or b"")

    @property
    def age_days(self) -> int:
        """Return how many whole days ago it came."""
        return (datetime.now(UTC) - self.received_at).days


async def letters(bus: Bus, sources: Sources, latest_max: int | None = None) -> list[Letter]:
    """Return dead letters, oldest first, with what was done about them.

    All of them, or of what each partition of each service keeps the `latest_max` records.
    """
    owners = {topic.name: _owner(topic) for topic in all_topics(sources)}
    topics = [topic.name for topic in DEAD_LETTERS]
    starts, ends = await bus.starts(topics), await bus.ends(topics)
    at_once = asyncio.Semaphore(PARTITIONS_AT_ONCE_MAX)

    async def of(partition: int) -> Iterable[_Kept]:
        begin = {t: _begin(starts[t, partition], ends[t, partition], latest_max) for t in topics}
        held = {t: offset for t, offset in begin.items() if offset < ends[t, partition]}
        async with at_once:
            return await _of_partition(bus, partition, held, owners)

    parts = await asyncio.gather(*(of(partition) for partition in range(bus.partitions)))
    found = sorted((kept for part in parts for kept in part), key=lambda kept: kept[0])
    return [letter for _, letter in found]


async def not_looked_at(bus: Bus, latest_max: int) -> int:
    """Return how many records are older than the `latest_max` that `letters` looks at."""
    topics = [topic.name for topic in DEAD_LETTERS]
    starts, ends = await bus.starts(topics), await bus.ends(topics)
    return sum(_begin(start, ends[at], latest_max) - start for at, start in starts.items())


def _begin(start: int, end: int, latest_max: int | None) -> int:
    return start if latest_max is None else max(start, end - latest_max)


_Kept: TypeAlias = tuple[tuple[int, str, int, int], Letter]
"""A letter, and by what it is sorted: when it was written, and where."""


async def _of_partition(
    bus: Bus, partition: int, positions: Mapping[str, int], owners: Mapping[str, str]
) -> Iterable[_Kept]:
    """Fold letters and marks while they are read; a mark stands after its letter."""
    found: dict[str, _Kept] = {}
    async with aclosing(to_the_end(bus, partition, positions, AT_ONCE_MAX)) as records:
        async for record in records:
            headers = {
                name: value.decode("utf-8", "replace")
                for name, value in record.headers
                if name.startswith(_OURS)
            }
            # Asked in this order: a letter keeps the headers it came with, whatever their names.
            if REASON in headers:
                letter = _letter(record, headers, owners)
                written = (record.appended_at_ms, record.topic, partition, record.offset)
                found[letter.id] = (written, letter)
            elif (of_letter := headers.get(OF_LETTER, "")) in found:
                written, letter = found[of_letter]
                remark = (record.value or b"").decode("utf-8", "replace")
                marked = replace(letter, status=headers[MARK], remark=remark)
                found[letter.id] = (written, marked)
    return found.values()


def _letter(record: Record, headers: Mapping[str, str], owners: Mapping[str, str]) -> Letter:
    service = record.topic.partition(".")[0]
    topic = headers["pfdo-topic"]
    return Letter(
        id=f"{service}:{record.partition}:{record.offset}",
        service=service,
        reason=headers[REASON],
        detail=headers["pfdo-detail"],
        received_at=datetime.fromtimestamp(int(headers["pfdo-received-at-ms"]) / 1000, UTC),
        sha256=headers["pfdo-sha256"],
        owner=owners.get(topic, topic),
        at=(topic, int(headers["pfdo-partition"]), int(headers["pfdo-offset"])),
        kept_at=(record.topic, record.partition, record.offset),
        head=None if record.value is None else record.value[:HEAD_BYTES_MAX],
        length=len(record.value or b""),
    )


def _owner(topic: Topic) -> str:
    return topic.written_by if topic.source is None else topic.source.name


# --- what is done about them -------------------------------------------------------------------


def can_be_redriven(letter: Letter) -> bool:
    """Return whether its bytes may be sent again: nobody but a service writes a journal."""
    return letter.at[0] not in {topic.name for topic in JOURNALS}


def in_order(chosen: Iterable[Letter]) -> list[Letter]:
    """Return letters in the order they came in, which each key keeps when they are sent again."""
    return sorted(chosen, key=lambda letter: (letter.received_at, *letter.at))


async def with_records(
    bus: Bus, chosen: Iterable[Letter]
) -> AsyncGenerator[tuple[Letter, Record], None]:
    """Yield letters with the records that keep their bytes: partition by partition, in order.

    One record is in memory at a time. Raises BusUnavailableError, and HaltError if it is gone.
    """
    ordered = in_order(chosen)
    for partition in sorted({letter.kept_at[1] for letter in ordered}):
        these = [letter for letter in ordered if letter.kept_at[1] == partition]
        reading: _Reading | None = None
        try:
            for number, letter in enumerate(these):
                topic, _, offset = letter.kept_at
                if reading is None or offset < reading.next[topic]:
                    # The first time, or the clock of the log went back between two letters.
                    if reading is not None:
                        await reading.reader.close()
                    firsts = _firsts(these[number:])
                    reading = _Reading(await bus.reader(partition, firsts), firsts)
                yield letter, await reading.record(topic, offset)
        finally:
            if reading is not None:
                await reading.reader.close()


def _firsts(letters_: Sequence[Letter]) -> dict[str, int]:
    """Return by topic where the first of letters stands."""
    first: dict[str, int] = {}
    for letter in letters_:
        topic, _, offset = letter.kept_at
        first[topic] = min(offset, first.get(topic, offset))
    return first


class _Reading:
    """Records of a partition, asked for by offset, forwards in each topic."""

    def __init__(self, reader: Reader, firsts: Mapping[str, int]) -> None:
        self.reader = reader
        self.next = dict(firsts)
        self._read: dict[str, deque[Record]] = {topic: deque() for topic in firsts}
        """What a poll brought beyond what was asked for: offsets have holes."""

    async def record(self, topic: str, offset: int) -> Record:
        """Return the record at an offset, not before `next`."""
        read = self._read[topic]
        deadline = time.monotonic() + FETCH_SECONDS_MAX
        while time.monotonic() < deadline:
            while read and read[0].offset <= offset:
                record = read.popleft()
                self.next[topic] = record.offset + 1
                if record.offset == offset:
                    return record
            if read:
                break
            polled = await self.reader.poll([topic], AT_ONCE_MAX, POLL_SECONDS)
            if polled.records.get(topic):
                read.extend(polled.records[topic])
                deadline = time.monotonic() + FETCH_SECONDS_MAX
            elif topic in polled.ended:
                break
        raise BusUnavailableError(f"{topic}: the record at {offset} cannot be read")


async def redrive(bus: Bus, chosen: Sequence[Letter]) -> None:
    """Send the bytes of letters again, to where they came in, and mark them.

    Killed in between, a letter stays open though it was sent: sent again it is a copy, and a copy
    changes nothing.
    """
    async with aclosing(with_records(bus, chosen)) as found:
        async for letter, record in found:
            await bus.publish([again(letter, record)])
            await _mark(bus, letter, REDRIVEN, "")


async def dismiss(bus: Bus, letter: Letter, why: str) -> None:
    """Mark a letter as nothing to be done about, and why."""
    await _mark(bus, letter, DISMISSED, why)


def again(letter: Letter, kept: Record) -> Outgoing:
    """Return the record as it came, without the headers of ours."""
    topic, partition, _ = letter.at
    headers = tuple(header for header in kept.headers if not header[0].startswith(_OURS))
    return Outgoing(topic, partition, kept.key, kept.value, headers)


async def _mark(bus: Bus, letter: Letter, mark: str, why: str) -> None:
    headers = (
        (MARK, mark.encode()),
        (OF_LETTER, letter.id.encode()),
        ("pfdo-marked-at-ms", str(time.time_ns() // 1_000_000).encode()),
    )
    topic = dead_letters_of(letter.service).name
    key = letter.id.encode()
    await bus.publish([Outgoing(topic, letter.kept_at[1], key, why.encode(), headers)])


def as_record(letter: Letter, kept: Record) -> Record:
    """Return the record that a redrive would append, as its reader would get it."""
    sent = again(letter, kept)
    return Record(
        topic=sent.topic,
        partition=sent.partition,
        offset=0,
        appended_at_ms=kept.appended_at_ms,
        key=sent.key,
        value=sent.value,
        headers=sent.headers,
    )


def still_unreadable(
    letter: Letter, kept: Record, sources: Sources, partitions: int
) -> tuple[str, str] | None:
    """Return reason and detail why a letter could not be read now either; None if it could.

    What would then be decided only its service can tell (`streaming.rehearsal`).
    """
    listening = {each.topic: each for each in listening_of(letter.service, sources, EVENTS)}
    if letter.at[0] not in listening:
        return "out_of_scope", f"{letter.service} reads no {letter.at[0]}"
    nobody = Service(
        name=letter.service,
        state_version=0,
        kinds={},
        facts={},
        calendar=EVENTS["calendar.day-opened.v1"],
        opened_day=lambda event: event.date,
    )
    read = Reading(nobody, letter.at[1], partitions, listening).read(as_record(letter, kept))
    return None if read.defect is None else (read.defect.reason.value, read.defect.detail)
