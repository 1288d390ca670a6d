"""The records of a played world, to be counted as they are or with one of them broken."""

import asyncio
import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import orjson
from msgspec.structs import replace

from contracts.sources import SHIPPED_PATH
from pfdo.system import SERVICES, services_of
from streaming.bus import Outgoing, Record
from tests.support.outcome import AUTUMN, segments
from tests.support.world import World, day
from verification.count import Count
from verification.findings import Findings
from verification.sources import sources_of

YEAR_END = ("2020-11-07", "2020-12-08", "2021-01-06", "2021-01-12", "2021-02-08")
PAYER = "25701000"
Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True)
class Books:
    """All records of an installation, by topic and partition."""

    records: Mapping[Place, tuple[Record, ...]]

    def find(
        self, topic: str, kind: str, where: Callable[[dict[str, Any]], bool] = lambda _event: True
    ) -> tuple[Place, int, dict[str, Any]]:
        """Return where the first record of a kind stands: place, index there, and its event."""
        for place, records in self.records.items():
            for index, record in enumerate(records if place[0] == topic else ()):
                event = orjson.loads(record.value or b"{}")
                if event["type"].split(".")[1] == kind and where(event):
                    return place, index, event
        raise LookupError(f"no {kind} in {topic}")

    def with_records(self, place: Place, records: list[Record]) -> "Books":
        """Return the books with other records in one partition, numbered and chained anew."""
        if place[0] in {f"{service}.events.v1" for service in SERVICES}:
            records = chained(records)
        return Books({**self.records, place: tuple(records)})

    def changed(self, found: tuple[Place, int, dict[str, Any]], change: Any) -> "Books":
        """Return the books with one event changed; the chain is made to fit."""
        place, index, event = found
        event = copy.deepcopy(event)
        change(event)
        records = list(self.records[place])
        records[index] = replace(records[index], value=canonical(event))
        return self.with_records(place, records)

    def without(self, found: tuple[Place, int, Any]) -> "Books":
        """Return the books without one record."""
        place, index, _ = found
        records = list(self.records[place])
        del records[index]
        return self.with_records(place, records)


def canonical(event: Any) -> bytes:
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def chained(records: list[Record]) -> list[Record]:
    """Return the records of a journal with the numbers and hashes that their contents give."""
    found, before = [], "0" * 64
    for seq, record in enumerate(records, start=1):
        event = orjson.loads(record.value or b"")
        del event["hash"]
        event |= {"journalseq": seq, "prevhash": before}
        before = sha256(canonical(event)).hexdigest()
        found.append(replace(record, value=canonical(event | {"hash": before})))
    return found


def counted(
    books: Books,
    order: Any = None,
    sources: str | None = None,
    starts: Mapping[Place, int] | None = None,
) -> Findings:
    """Return what the count finds, fed in order of time unless another is given."""
    ends = {place: records[-1].offset + 1 for place, records in books.records.items() if records}
    text = SHIPPED_PATH.read_text() if sources is None else sources
    count = Count(sources_of(text), starts or {}, ends)
    records = [record for part in books.records.values() for record in part]
    for record in sorted(records, key=order or (lambda r: (r.appended_at_ms, r.topic, r.offset))):
        count.record(record)
    return count.conclude()


async def _play(world: World) -> None:
    with AUTUMN.open(encoding="utf-8") as lines:
        story = list(segments(lines))
    for number, segment in enumerate(story):
        if number == len(story) // 2:
            await _misbehave(world, story[number - 1])
            await _dispute(world)
        await world.publish(*segment)
        await world.settle()
    for date in YEAR_END:
        await world.publish(day(date))
        await world.settle()
        await world.publish(*_payments(world))
        await world.settle()


async def _misbehave(world: World, segment: list[dict[str, Any]]) -> None:
    """Send what no service can read, what is misplaced, and what waits in vain."""
    for value in (b"hello", b"", None, b'{"a":1.5}', b"\xff", b'{"a":1,"a":1}'):
        await world.publish_raw("attendance.events.v1", 0, value)
    await world.publish_raw("navigator.events.v1", 1, b"[]")
    await world.publish_raw("calendar.events.v1", 2, b"no day")
    mark = _mark("enr-nobody", "misplaced-and-parked")
    for partition in range(world.partitions):
        await world.bus.publish(
            [Outgoing("attendance.events.v1", partition, PAYER.encode(), canonical(mark))]
        )
    await world.publish(*(event for event in segment if event["source"] != "/calendar"))
    await world.settle()


async def _dispute(world: World) -> None:
    """Dispute four debits: one is corrected, two are answered, one stays open."""
    back = {_about(fact) for fact in world.journal("billing", "charge-reversed")}
    charged = [
        fact for fact in world.journal("billing", "lesson-charged") if _about(fact) not in back
    ][-4:]
    for number, fact in enumerate(charged):
        names = ("enrollment_id", "lesson_id")
        lesson = {name: fact["data"][name] for name in names}
        said = lesson | {"guardian_id": "guardian-00001", "ground": "was-absent"}
        await world.publish(_said("disputes.lesson-disputed", fact, said, number))
        await world.settle()
        if number == 0:
            corrected = {name: fact["data"][name] for name in ("lesson_date", "revision")}
            corrected |= {"mark": "absent", "evidence": "journal"}
            corrected["revision"] += 1
            mark = _said("attendance.lesson-marked", fact, lesson | corrected, number)
            await world.publish(mark)
        elif number in (1, 2):
            answer = {"by": "provider", "answer": "attended", "evidence": "qr"}
            await world.publish(_said("disputes.dispute-answered", fact, lesson | answer, number))
        await world.settle()


def _about(fact: Mapping[str, Any]) -> tuple[str, str, str]:
    return fact["partitionkey"], fact["data"]["enrollment_id"], fact["data"]["lesson_id"]


def _said(
    type_: str, about: Mapping[str, Any], data: Mapping[str, Any], number: int
) -> dict[str, Any]:
    stream = type_.partition(".")[0]
    return {
        "specversion": "1.0",
        "id": f"about-a-debit-{stream}-{number}-{type_.rpartition('-')[2]}",
        "source": f"/{stream}",
        "type": f"{type_}.v1",
        "time": about["time"],
        "subject": data["enrollment_id"],
        "partitionkey": about["partitionkey"],
        "data": dict(data),
    }


def _mark(enrollment_id: str, id_: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": id_,
        "source": "/attendance",
        "type": "attendance.lesson-marked.v1",
        "time": "2020-09-20T10:00:00+08:00",
        "subject": enrollment_id,
        "partitionkey": PAYER,
        "data": {
            "enrollment_id": enrollment_id,
            "lesson_id": "les-in-vain",
            "lesson_date": "2020-09-20",
            "mark": "present",
            "evidence": "journal",
            "revision": 1,
        },
    }


def _payments(world: World) -> list[dict[str, Any]]:
    paid = {fact["data"]["invoice_id"] for fact in world.journal("billing", "invoice-settled")}
    return [
        {
            "specversion": "1.0",
            "id": f"paid-{fact['data']['invoice_id']}"[-64:],
            "source": "/payers",
            "type": "payers.invoice-paid.v1",
            "time": "2020-11-10T10:00:00+08:00",
            "subject": fact["data"]["invoice_id"],
            "partitionkey": fact["partitionkey"],
            "data": {
                "invoice_id": fact["data"]["invoice_id"],
                "paid_on": "2020-11-10",
                "payment_reference": "order 1",
            },
        }
        for fact in world.journal("billing", "invoice-issued")
        if fact["data"]["invoice_id"] not in paid
    ]


@cache
def played_world() -> World:
    """Return a world in which the autumn was played to the end of its year and a bit more."""
    world = World(services_of(SERVICES), seed=5)
    asyncio.run(_play(world))
    return world


@cache
def played() -> Books:
    """Return the records of the played world."""
    world = played_world()
    return Books(
        {
            (topic, partition): tuple(world.log.log(topic, partition).records)
            for topic in world.log._logs
            for partition in range(world.partitions)
        }
    )
