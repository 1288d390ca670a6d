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
from contracts.topics import DEAD_LETTERS, JOURNALS, Topic, all_topics, dead_letters_of
from pfdo.records import Place, whole
from pfdo.system import services_of
from streaming.bus import Outgoing, Record
from streaming.installation import Installation
from streaming.listening import listening_of
from streaming.rehearsal import Rehearsed, rehearse

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
    at: Place
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


async def letters(installation: Installation) -> list[Letter]:
    """Return all dead letters, oldest first, with what was done about them."""
    owners = {topic.name: _owner(topic) for topic in all_topics(installation.sources)}
    found: dict[str, Letter] = {}
    marks: dict[str, tuple[str, str]] = {}
    for record in await whole(installation, [topic.name for topic in DEAD_LETTERS]):
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


async def redrive(installation: Installation, chosen: Sequence[Letter]) -> None:
    """Send the bytes of letters again, to where they came in, and mark them.

    Killed in between, a letter stays open though it was sent: sent again it is a copy, and a copy
    changes nothing.
    """
    for letter in in_order(chosen):
        await installation.bus.publish([_again(letter)])
        await _mark(installation, letter, REDRIVEN, "")


async def dismiss(installation: Installation, letter: Letter, why: str) -> None:
    """Mark a letter as nothing to be done about, and why."""
    await _mark(installation, letter, DISMISSED, why)


def _again(letter: Letter) -> Outgoing:
    topic, partition, _ = letter.at
    record = letter.record
    headers = tuple(header for header in record.headers if not header[0].startswith(_OURS))
    return Outgoing(topic, partition, record.key, record.value, headers)


async def _mark(installation: Installation, letter: Letter, mark: str, why: str) -> None:
    headers = (
        (MARK, mark.encode()),
        (OF_LETTER, letter.id.encode()),
        ("pfdo-marked-at-ms", str(time.time_ns() // 1_000_000).encode()),
    )
    topic = dead_letters_of(letter.service).name
    partition = letter.record.partition
    await installation.bus.publish(
        [Outgoing(topic, partition, letter.record.key, why.encode(), headers)]
    )


async def would_become(
    installation: Installation, chosen: Sequence[Letter]
) -> list[tuple[Letter, Rehearsed]]:
    """Return what the service that could not read a letter would decide now, in the order sent."""
    ordered = in_order(chosen)
    told: dict[str, Rehearsed] = {}
    for name, partition in dict.fromkeys((one.service, one.at[1]) for one in ordered):
        these = [one for one in ordered if (one.service, one.at[1]) == (name, partition)]
        (service,) = services_of([name])
        rehearsed = await rehearse(
            service,
            partition,
            installation.bus.partitions,
            await installation.store(name),
            listening_of(name, installation.sources, EVENTS),
            [_as_record(one) for one in these],
        )
        told |= {one.id: what for one, what in zip(these, rehearsed, strict=True)}
    return [(letter, told[letter.id]) for letter in ordered]


def _as_record(letter: Letter) -> Record:
    again = _again(letter)
    return Record(
        topic=again.topic,
        partition=again.partition,
        offset=0,
        appended_at_ms=letter.record.appended_at_ms,
        key=again.key,
        value=again.value,
        headers=again.headers,
    )
