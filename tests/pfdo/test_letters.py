"""Dead letters as work: listed with what was done about them, sent again in order, dismissed."""

import json
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.sources import load_sources
from contracts.vocabulary import PayerCode
from pfdo.letters import would_become
from streaming.bus import Outgoing, Polled
from streaming.letters import (
    AT_ONCE_MAX,
    HEAD_BYTES_MAX,
    Letter,
    can_be_redriven,
    dismiss,
    letters,
    not_looked_at,
    redrive,
    with_records,
)
from streaming.memory import MemoryReader
from streaming.routing import partition_of
from tests.pfdo.worlds import installation_of, world
from tests.support.world import World, day, event

PAYER = "25701000"


def provider(provider_id: str, **more: Any) -> bytes:
    data = {"provider_id": provider_id, "title": "Ладья", "state": "active", "revision": 1}
    made = event("navigator.provider-registered", PAYER, provider_id, data)
    return json.dumps(made | more).encode()


async def with_letters(*values: bytes) -> World:
    """Return a world in which these bytes came as records of the Navigator."""
    there = world()
    await there.publish(day("2020-08-30"))
    await there.settle()
    await send(there, *values)
    return there


async def send(there: World, *values: bytes) -> None:
    partition = partition_of(PAYER.encode(), there.partitions)
    topic = "navigator.events.v1"
    await there.bus.publish([Outgoing(topic, partition, PAYER.encode(), v) for v in values])
    await there.settle()


def of_the_future(provider_id: str) -> bytes:
    """Return a record of a source that this installation does not know yet as the Navigator's."""
    return provider(provider_id, source="/journal-bratsk")


async def found(there: World) -> list[Letter]:
    installation = installation_of(there)
    return await letters(installation.bus, installation.sources)


async def test_a_letter_tells_whose_it_is_and_keeps_its_bytes() -> None:
    there = await with_letters(b"\xff\xfe", of_the_future("prov-1"))

    first, second = await found(there)

    assert (first.reason, second.reason) == ("not_utf8", "source_mismatch")
    assert {first.owner, second.owner} == {"navigator"}
    assert {first.status, second.status} == {"open"}
    assert (first.head, first.length) == (b"\xff\xfe", 2)
    assert first.at[0] == "navigator.events.v1"
    assert set(first.to_data()) >= {
        "service", "id", "reason", "detail", "received_at", "sha256", "status"
    }  # fmt: skip


async def test_a_dismissed_letter_stays_with_the_reason() -> None:
    there = await with_letters(b"\xff\xfe", b"hello")
    first, second = await found(there)

    await dismiss(installation_of(there).bus, second, "Проба связи")

    again = await found(there)
    assert [one.id for one in again] == [first.id, second.id]
    assert [(one.status, one.remark) for one in again] == [
        ("open", ""),
        ("dismissed", "Проба связи"),
    ]
    assert again[1].head == b"hello"


async def test_what_was_sent_again_is_decided_anew_and_marked() -> None:
    there = await with_letters(of_the_future("prov-1"), provider("prov-2"), of_the_future("prov-3"))
    first, second = await found(there)

    await redrive(installation_of(there).bus, [second, first])
    await there.settle()

    marked = await found(there)
    assert [one.status for one in marked] == ["redriven", "redriven", "open", "open"]
    # Nothing was mended: they come back as letters of their own, in the order they came in first.
    assert [one.head for one in marked[2:]] == [first.head, second.head]
    kept = [record async for _, record in with_records(there.bus, marked)]
    assert all(record.key == PAYER.encode() for record in kept)


async def test_what_was_mended_is_told_by_a_dry_run_and_then_decided() -> None:
    narrow = load_sources()
    navigator = replace(narrow.by_name["navigator"], payers=frozenset({PayerCode("25703000")}))
    there = world()
    wide, there.sources = (
        there.sources,
        replace(narrow, by_name={**narrow.by_name, "navigator": navigator}),
    )
    await send(there, provider("prov-1"), b"hello")
    assert [one.reason for one in await found(there)] == ["out_of_scope", "not_json"]

    there.sources = wide
    for partition in range(there.partitions):
        there.kill("enrollment", partition)
    installation = installation_of(there)
    state = await there.state("enrollment")
    told = await would_become(installation, await found(there))

    assert [(what.decision, what.reason) for _, what in told] == [
        ("noted", ""),
        ("dead-lettered", "not_json"),
    ]
    assert told[0][1].published == ("enrollment.input-noted.v1",)
    assert [one.status for one in await found(there)] == ["open", "open"]
    assert await there.state("enrollment") == state

    await redrive(installation.bus, [told[0][0]])
    await there.settle()

    (noted,) = there.journal("enrollment", "input-noted")
    assert noted["subject"] == "prov-1"
    assert [one.status for one in await found(there)] == ["redriven", "open"]


async def test_a_hostile_record_cannot_pass_for_a_mark() -> None:
    there = await with_letters()
    partition = partition_of(PAYER.encode(), there.partitions)
    headers = (("pfdo-mark", b"dismissed"), ("pfdo-letter", b"enrollment:0:0"))
    await there.bus.publish(
        [Outgoing("navigator.events.v1", partition, PAYER.encode(), b"hello", headers)]
    )
    await there.settle()

    (letter,) = await found(there)

    assert (letter.status, letter.reason) == ("open", "not_json")
    assert can_be_redriven(letter)


LARGE_BYTES = 500_000
MANY = 40


async def test_large_letters_are_listed_without_their_bytes_and_sent_again_with_them() -> None:
    there = await with_letters()
    large = [f"{number:04}".encode() + b"x" * LARGE_BYTES for number in range(MANY)]
    await send(there, *large)

    tracemalloc.start()
    try:
        kept = await found(there)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert [(one.length, len(one.head or b"")) for one in kept] == [
        (LARGE_BYTES + 4, HEAD_BYTES_MAX)
    ] * MANY
    assert held < 4 * MANY * HEAD_BYTES_MAX
    await redrive(there.bus, [kept[7], kept[3]])
    topic, partition, _ = kept[3].at
    sent = [record.value for record in there.log.log(topic, partition).records[-2:]]
    assert sent == [large[3], large[7]]


async def test_letters_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    there = await with_letters(*([b"hello"] * 100))
    polls: list[int] = []
    poll = MemoryReader.poll

    async def counted(
        reader: MemoryReader, topics: Any, records_max: int, seconds: float
    ) -> Polled:
        polled = await poll(reader, topics, records_max, seconds)
        polls.append(sum(map(len, polled.records.values())))
        return polled

    monkeypatch.setattr(MemoryReader, "poll", counted)

    assert len(await found(there)) == 100
    assert max(polls) == AT_ONCE_MAX


async def test_letters_written_out_of_order_are_found_all_the_same() -> None:
    there = await with_letters(b"first", b"second", b"third")
    first, second, third = await found(there)
    # The clock of the log went back.
    late = replace(first, received_at=third.received_at + timedelta(hours=1))

    kept = [record.value async for _, record in with_records(there.bus, [late, second, third])]

    assert kept == [b"second", b"third", b"first"]


async def test_the_latest_letters_are_looked_at_and_the_older_are_counted() -> None:
    there = await with_letters(*(f"letter {number}".encode() for number in range(9)))
    installation = installation_of(there)

    latest = await letters(installation.bus, installation.sources, 4)
    older = await not_looked_at(installation.bus, 4)

    # The log of the world has gaps, as transactions leave them.
    every = await found(there)
    assert 0 < len(latest) < len(every) == 9
    assert latest == every[-len(latest) :]
    assert len(every) - len(latest) <= older
