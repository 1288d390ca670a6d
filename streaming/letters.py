"""Dead letters as work: what could not be read, whose it is, and what an operator did about it.

A letter is a record of `<service>.dead-letters.v1`, with the bytes that came. What was done about
it stands in the same topic as a mark: a record with the headers `pfdo-mark` and `pfdo-letter`, and
the reason as its value. Neither is ever changed (docs/promises.md, section 3).
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from contracts.registry import EVENTS
from contracts.sources import Sources
from contracts.topics import DEAD_LETTERS, JOURNALS, Topic, all_topics, dead_letters_of
from streaming.bus import Bus, Outgoing, Record
from streaming.listening import listening_of
from streaming.reading import Reading
from streaming.service import Service
from streaming.whole import all_records

OPEN, REDRIVEN, DISMISSED = STATUSES = ("open", "redriven", "dismissed")
MARK, OF_LETTER = "pfdo-mark", "pfdo-letter"
REASON = "pfdo-reason"
_OURS = "pfdo-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter. `owner` is who sent it and can send it right; `at` is where it came in.

    `status` is `open`, `redriven` or `dismissed`; `remark` is why it was dismissed.
    """

    id: str
    service: str
    reason: str
    detail: str
    received_at: datetime
    sha256: str
    owner: str
    at: tuple[str, int, int]
    record: Record
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
    def age_days(self) -> int:
        """Return how many whole days ago it came."""
        return (datetime.now(UTC) - self.received_at).days


async def letters(bus: Bus, sources: Sources) -> list[Letter]:
    """Return all dead letters, oldest first, with what was done about them."""
    owners = {topic.name: _owner(topic) for topic in all_topics(sources)}
    found: dict[str, Letter] = {}
    marks: dict[str, tuple[str, str]] = {}
    for record in await all_records(bus, [topic.name for topic in DEAD_LETTERS]):
        headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
        # Asked in this order: a letter keeps the headers it came with, whatever they are called.
        if REASON in headers:
            letter = _letter(record, headers, owners)
            found[letter.id] = letter
        else:
            remark = (record.value or b"").decode("utf-8", "replace")
            marks[headers[OF_LETTER]] = (headers[MARK], remark)
    return [_marked(letter, *marks.get(letter.id, (OPEN, ""))) for letter in found.values()]


def _letter(record: Record, headers: dict[str, str], owners: dict[str, str]) -> Letter:
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
        record=record,
    )


def _marked(letter: Letter, status: str, remark: str) -> Letter:
    return replace(letter, status=status, remark=remark)


def _owner(topic: Topic) -> str:
    return topic.written_by if topic.source is None else topic.source.name


# --- what is done about them -------------------------------------------------------------------


def can_be_redriven(letter: Letter) -> bool:
    """Return whether its bytes may be sent again: nobody but a service writes a journal."""
    return letter.at[0] not in {topic.name for topic in JOURNALS}


def in_order(chosen: Iterable[Letter]) -> list[Letter]:
    """Return letters in the order they came in, which each key keeps when they are sent again."""
    return sorted(chosen, key=lambda letter: (letter.received_at, *letter.at))


async def redrive(bus: Bus, chosen: Sequence[Letter]) -> None:
    """Send the bytes of letters again, to where they came in, and mark them.

    Killed in between, a letter stays open though it was sent: sent again it is a copy, and a copy
    changes nothing.
    """
    for letter in in_order(chosen):
        await bus.publish([again(letter)])
        await _mark(bus, letter, REDRIVEN, "")


async def dismiss(bus: Bus, letter: Letter, why: str) -> None:
    """Mark a letter as nothing to be done about, and why."""
    await _mark(bus, letter, DISMISSED, why)


def again(letter: Letter) -> Outgoing:
    """Return the record as it came, without the headers of ours."""
    topic, partition, _ = letter.at
    record = letter.record
    headers = tuple(header for header in record.headers if not header[0].startswith(_OURS))
    return Outgoing(topic, partition, record.key, record.value, headers)


async def _mark(bus: Bus, letter: Letter, mark: str, why: str) -> None:
    headers = (
        (MARK, mark.encode()),
        (OF_LETTER, letter.id.encode()),
        ("pfdo-marked-at-ms", str(time.time_ns() // 1_000_000).encode()),
    )
    topic = dead_letters_of(letter.service).name
    partition = letter.record.partition
    await bus.publish([Outgoing(topic, partition, letter.record.key, why.encode(), headers)])


def as_record(letter: Letter) -> Record:
    """Return the record that a redrive would append, as its reader would get it."""
    sent = again(letter)
    return Record(
        topic=sent.topic,
        partition=sent.partition,
        offset=0,
        appended_at_ms=letter.record.appended_at_ms,
        key=sent.key,
        value=sent.value,
        headers=sent.headers,
    )


def still_unreadable(letter: Letter, sources: Sources, partitions: int) -> tuple[str, str] | None:
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
    read = Reading(nobody, letter.at[1], partitions, listening).read(as_record(letter))
    return None if read.defect is None else (read.defect.reason.value, read.defect.detail)
