"""What any bus must do. Subclass, say how to connect, and inherit the tests."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from statistics import median
from typing import TypeVar
from uuid import uuid4

import pytest

from streaming.bus import Appended, Bus, Outgoing, Ownership, Polled, Reader, Record
from streaming.errors import FencedError

T = TypeVar("T")

PARTITIONS = 4
SOON_SECONDS = 30.0
"""How long to wait for what must come."""


class BusBehaviour(ABC):
    """The promises of a bus, whatever it is made of."""

    @abstractmethod
    def connect(self) -> Bus:
        """Return another process's connection to the installation under test, not started."""

    @pytest.fixture
    async def bus(self) -> AsyncIterator[Bus]:
        bus = self.connect()
        await bus.start()
        yield bus
        await bus.stop()

    @pytest.fixture
    def service(self) -> str:
        return f"service{uuid4().hex[:12]}"

    @pytest.fixture
    async def topics(self, bus: Bus) -> tuple[str, str]:
        suffix = uuid4().hex[:12]
        names = (f"journal{suffix}.events.v1", f"source{suffix}.events.v1")
        await bus.create_topics(names)
        return names

    async def test_every_part_of_a_record_comes_back_as_it_went(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, _ = topics
        sent = [
            Outgoing(journal, 1, b"45301000", b'{"a":1}', (("ce_id", b"e-1"), ("ce_id", b"e-2"))),
            Outgoing(journal, 1, None, b"\x00\xff\xfe", (("raw", bytes(range(256))), ("no", b""))),
            Outgoing(journal, 1, "ключ".encode(), None),
            Outgoing(journal, 1, None, None, (("имя", b"value"),)),
            Outgoing(journal, 1, b"", b""),
        ]
        before_ms = time.time_ns() // 1_000_000

        writer = await bus.writer(service, 1)
        await writer.append(sent)
        records = await read(bus, 1, journal, count=len(sent))

        assert [(r.key, r.value, r.headers) for r in records] == [
            (o.key, o.value, o.headers) for o in sent
        ]
        assert {(r.topic, r.partition) for r in records} == {(journal, 1)}
        assert all(abs(r.appended_at_ms - before_ms) < 60_000 for r in records)

    async def test_rounds_are_read_in_the_order_in_which_they_were_appended(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, _ = topics
        writer = await bus.writer(service, 0)

        appended: list[Appended] = []
        for number in range(10):
            appended += await writer.append(
                [outgoing(journal, 0, f"{number}-{index}") for index in range(3)]
            )
        records = await read(bus, 0, journal, count=30)

        assert values(records) == [f"{n}-{i}" for n in range(10) for i in range(3)]
        assert [r.offset for r in records] == [a.offset for a in appended]
        assert sorted({r.offset for r in records}) == [r.offset for r in records]
        times = [r.appended_at_ms for r in records]
        assert times == sorted(times)

    async def test_one_round_reaches_several_topics_and_partitions(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, commands = topics
        writer = await bus.writer(service, 2)

        appended = await writer.append(
            [
                outgoing(journal, 2, "fact"),
                outgoing(commands, 0, "command"),
                outgoing(journal, 2, "second fact"),
                outgoing(commands, 3, "other command"),
            ]
        )

        assert [(a.topic, a.partition) for a in appended] == [
            (journal, 2),
            (commands, 0),
            (journal, 2),
            (commands, 3),
        ]
        assert values(await read(bus, 2, journal, count=2)) == ["fact", "second fact"]
        assert values(await read(bus, 0, commands, count=1)) == ["command"]
        assert values(await read(bus, 3, commands, count=1)) == ["other command"]

    async def test_five_hundred_records_in_one_round(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, commands = topics
        sent = [
            outgoing(commands if index % 10 == 0 else journal, 1, f"{index:04}" + "x" * 400)
            for index in range(500)
        ]
        writer = await bus.writer(service, 1)

        appended = await writer.append(sent)
        records = await read(bus, 1, journal, count=450)
        commanded = await read(bus, 1, commands, count=50)

        assert values(records) == [text(o) for o in sent if o.topic == journal]
        assert values(commanded) == [text(o) for o in sent if o.topic == commands]
        at = {(r.topic, r.offset): r.value for r in [*records, *commanded]}
        assert [at[a.topic, a.offset] for a in appended] == [o.value for o in sent]

    async def test_an_empty_round_is_nothing(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        writer = await bus.writer(service, 0)

        assert list(await writer.append([])) == []
        assert (await bus.ends(topics))[topics[0], 0] == 0

    async def test_a_newer_writer_fences_the_older_one(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, _ = topics
        older = await bus.writer(service, 0)
        await older.append([outgoing(journal, 0, "by the older")])
        newer = await bus.writer(service, 0)

        with pytest.raises(FencedError):
            await older.append([outgoing(journal, 0, "too late")])
        await newer.append([outgoing(journal, 0, "by the newer")])

        assert values(await read(bus, 0, journal, count=2)) == ["by the older", "by the newer"]

    async def test_a_writer_that_wakes_up_after_its_heir_has_appended_is_fenced(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, commands = topics
        other_process = self.connect()
        await other_process.start()
        sleeper = await bus.writer(service, 3)
        heir = await other_process.writer(service, 3)
        await heir.append([outgoing(journal, 3, "heir")])

        with pytest.raises(FencedError):
            await sleeper.append([outgoing(journal, 3, "zombie"), outgoing(commands, 3, "zombie")])
        await heir.append([outgoing(journal, 3, "heir again"), outgoing(commands, 3, "go")])

        assert values(await read(bus, 3, journal, count=2)) == ["heir", "heir again"]
        assert values(await read(bus, 3, commands, count=1)) == ["go"]
        await other_process.stop()

    async def test_writers_of_other_partitions_and_services_are_left_alone(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, _ = topics
        one = await bus.writer(service, 0)
        other_partition = await bus.writer(service, 1)
        other_service = await bus.writer(f"{service}x", 0)

        await one.append([outgoing(journal, 0, "one")])
        await other_partition.append([outgoing(journal, 0, "two")])
        await other_service.append([outgoing(journal, 0, "three")])

        assert values(await read(bus, 0, journal, count=3)) == ["one", "two", "three"]

    async def test_reading_begins_at_the_position_given(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, _ = topics
        writer = await bus.writer(service, 0)
        appended: list[Appended] = []
        for number in range(5):
            appended += await writer.append([outgoing(journal, 0, str(number))])

        records = await read(bus, 0, journal, count=3, position=appended[2].offset)

        assert values(records) == ["2", "3", "4"]

    async def test_reading_goes_on_at_the_next_offset(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, _ = topics
        writer = await bus.writer(service, 0)
        for number in range(6):
            await writer.append([outgoing(journal, 0, str(number))])
        first = await bus.reader(0, {journal: 0})
        begun = await first.poll([journal], 2, SOON_SECONDS)

        rest = await read(bus, 0, journal, count=4, position=begun.next_offsets[journal])

        assert values(begun.records[journal]) == ["0", "1"]
        assert values(rest) == ["2", "3", "4", "5"]
        await first.close()

    async def test_a_poll_brings_no_more_than_it_was_asked_for(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, commands = topics
        writer = await bus.writer(service, 0)
        await writer.append(
            [outgoing(topic, 0, str(number)) for number in range(20) for topic in topics]
        )
        reader = await bus.reader(0, dict.fromkeys(topics, 0))

        seen: dict[str, list[str]] = {journal: [], commands: []}
        while sum(map(len, seen.values())) < 40:
            polled = await reader.poll(topics, 7, SOON_SECONDS)
            got = sum(map(len, polled.records.values()))
            assert 0 < got <= 7
            for topic, records in polled.records.items():
                assert records
                seen[topic] += values(records)

        every = [str(number) for number in range(20)]
        assert seen == {journal: every, commands: every}
        await reader.close()

    async def test_a_topic_that_was_not_asked_for_is_left_for_later(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, commands = topics
        writer = await bus.writer(service, 0)
        await writer.append([outgoing(journal, 0, "fact"), outgoing(commands, 0, "command")])
        reader = await bus.reader(0, dict.fromkeys(topics, 0))

        only = await reader.poll([commands], 10, SOON_SECONDS)
        then = await reader.poll([journal], 10, SOON_SECONDS)

        assert {topic: values(found) for topic, found in only.records.items()} == {
            commands: ["command"]
        }
        assert set(only.next_offsets) == {commands}
        assert {topic: values(found) for topic, found in then.records.items()} == {
            journal: ["fact"]
        }
        await reader.close()

    async def test_partitions_are_apart(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, _ = topics
        writer = await bus.writer(service, 0)
        await writer.append([outgoing(journal, at, f"in {at}") for at in range(PARTITIONS)])

        for at in range(PARTITIONS):
            assert values(await read(bus, at, journal, count=1)) == [f"in {at}"]

    async def test_empty_topics_are_at_their_end_at_once(
        self, bus: Bus, topics: tuple[str, str]
    ) -> None:
        reader = await bus.reader(0, dict.fromkeys(topics, 0))

        polled = await reader.poll(topics, 10, 0.0)

        assert polled == Polled({}, dict.fromkeys(topics, 0), frozenset(topics))
        await reader.close()

    async def test_a_topic_has_ended_when_its_last_record_was_read(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, commands = topics
        writer = await bus.writer(service, 0)
        for number in range(3):
            await writer.append([outgoing(journal, 0, str(number))])
        reader = await bus.reader(0, dict.fromkeys(topics, 0))

        first = await until(reader, topics, lambda polled: bool(polled.records), records_max=1)
        last = await until(reader, topics, lambda polled: journal in polled.ended)

        assert values(first.records[journal]) == ["0"]
        assert journal not in first.ended
        assert commands in first.ended
        assert last.next_offsets[journal] == (await bus.ends([journal]))[journal, 0]
        await reader.close()

    async def test_after_the_end_a_new_record_is_seen_quickly(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, commands = topics
        writer = await bus.writer(service, 0)
        await writer.append([outgoing(journal, 0, "old")])
        reader = await bus.reader(0, dict.fromkeys(topics, 0))
        await until(reader, topics, lambda polled: polled.ended == frozenset(topics))

        async def usual_wait() -> float:
            waits = []
            for number in range(8):
                await asyncio.sleep(0.06)
                waiting = asyncio.create_task(reader.poll(topics, 10, SOON_SECONDS))
                await asyncio.sleep(0.01)
                begun = time.monotonic()
                await writer.append([outgoing(commands if number % 2 else journal, 0, str(number))])
                polled = await waiting
                waits.append(time.monotonic() - begun)
                assert [values(found) for found in polled.records.values()] == [[str(number)]]
            return median(waits)

        # A machine that does other things may be slow once, but not each time.
        assert min([await usual_wait() for _ in range(3)]) < 0.15
        await reader.close()

    async def test_an_idle_poll_comes_back_in_time(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, _ = topics
        writer = await bus.writer(service, 0)
        await writer.append([outgoing(journal, 0, "only")])
        reader = await bus.reader(0, dict.fromkeys(topics, 0))
        await until(reader, topics, lambda polled: polled.ended == frozenset(topics))

        begun = time.monotonic()
        polled = await reader.poll(topics, 10, 0.3)
        seconds = time.monotonic() - begun

        assert not polled.records
        assert polled.ended == frozenset(topics)
        assert 0.25 < seconds < SOON_SECONDS / 2
        await reader.close()

    async def test_starts_and_ends_are_told_for_every_partition(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        journal, _ = topics
        writer = await bus.writer(service, 1)
        (appended,) = await writer.append([outgoing(journal, 1, "fact")])

        starts, ends = await bus.starts(topics), await bus.ends(topics)

        every = {(topic, at) for topic in topics for at in range(PARTITIONS)}
        assert starts == dict.fromkeys(every, 0)
        assert set(ends) == every
        assert ends[journal, 1] > appended.offset
        assert {place: end for place, end in ends.items() if end} == {
            (journal, 1): ends[journal, 1]
        }

    async def test_publishing_tells_where_each_record_stands(
        self, bus: Bus, topics: tuple[str, str]
    ) -> None:
        journal, source = topics
        sent = [
            outgoing(source if index % 3 else journal, index % PARTITIONS, str(index))
            for index in range(50)
        ]
        sent += [Outgoing(source, 0, None, None, (("only", b"headers"),))]

        appended = await bus.publish(sent)

        assert [(a.topic, a.partition) for a in appended] == [(o.topic, o.partition) for o in sent]
        for topic in topics:
            for at in range(PARTITIONS):
                mine = [i for i, o in enumerate(sent) if (o.topic, o.partition) == (topic, at)]
                records = await read(bus, at, topic, count=len(mine))
                assert [(r.offset, r.value) for r in records] == [
                    (appended[i].offset, sent[i].value) for i in mine
                ]

    async def test_many_publish_at_once(self, bus: Bus, topics: tuple[str, str]) -> None:
        _, source = topics

        told = await asyncio.gather(
            *(bus.publish([outgoing(source, 2, str(number))]) for number in range(40))
        )
        records = await read(bus, 2, source, count=40)

        by_offset = {r.offset: r.value for r in records}
        assert [by_offset[appended.offset] for (appended,) in told] == [
            str(number).encode() for number in range(40)
        ]

    async def test_topics_are_made_once(self, bus: Bus, topics: tuple[str, str]) -> None:
        new = f"new{uuid4().hex[:12]}.events.v1"

        assert set(await bus.create_topics([*topics, new])) == {new}
        assert set(await bus.create_topics([*topics, new])) == set()
        assert (await bus.ends([new]))[new, PARTITIONS - 1] == 0

    async def test_every_process_is_told_the_same_identity(self, bus: Bus) -> None:
        other_process = self.connect()
        await other_process.start()

        assert await other_process.identity() == await bus.identity() != ""
        await other_process.stop()

    async def test_a_single_member_owns_every_partition(self, bus: Bus, service: str) -> None:
        ownership = await bus.ownership(service)

        owned = await soon(anext(ownership.changes()))

        assert owned == frozenset(range(PARTITIONS))
        await ownership.close()

    async def test_closing_everything_twice_hurts_nobody(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        reader = await bus.reader(0, dict.fromkeys(topics, 0))
        writer = await bus.writer(service, 0)
        ownership = await bus.ownership(service)
        begun = time.monotonic()

        for _ in range(2):
            await reader.close()
            await writer.close()
            await ownership.close()
        await bus.stop()

        assert time.monotonic() - begun < 15.0

    async def test_closing_an_ownership_ends_its_changes(self, bus: Bus, service: str) -> None:
        ownership = await bus.ownership(service)
        seen = asyncio.create_task(collect(ownership))

        await ownership.close()

        assert await soon(seen) in ([], [frozenset(range(PARTITIONS))])

    async def test_stopping_the_bus_closes_what_is_open(
        self, bus: Bus, topics: tuple[str, str], service: str
    ) -> None:
        process = self.connect()
        await process.start()
        await process.reader(0, dict.fromkeys(topics, 0))
        await process.writer(service, 0)
        ownership = await process.ownership(service)
        seen = asyncio.create_task(collect(ownership))
        begun = time.monotonic()

        await process.stop()

        await soon(seen)
        assert time.monotonic() - begun < 15.0


class SharedBusBehaviour(BusBehaviour):
    """What a bus must do besides, if several processes may share out its partitions."""

    async def test_two_members_share_and_the_last_one_gets_all_back(
        self, bus: Bus, service: str
    ) -> None:
        other_process = self.connect()
        await other_process.start()
        first = await bus.ownership(service)
        ours = Watched(first)
        await ours.reaches(lambda: len(ours.now) == PARTITIONS)

        second = await other_process.ownership(service)
        theirs = Watched(second)
        await ours.reaches(lambda: len(ours.now) == PARTITIONS // 2)
        await theirs.reaches(lambda: len(theirs.now) == PARTITIONS // 2)
        shared = ours.now | theirs.now
        await second.close()
        await ours.reaches(lambda: len(ours.now) == PARTITIONS)

        assert shared == frozenset(range(PARTITIONS))
        await first.close()
        await other_process.stop()

    async def test_services_share_out_their_partitions_apart(self, bus: Bus, service: str) -> None:
        one = Watched(await bus.ownership(service))
        other = Watched(await bus.ownership(f"{service}x"))

        await one.reaches(lambda: len(one.now) == PARTITIONS)
        await other.reaches(lambda: len(other.now) == PARTITIONS)


class Watched:
    """The latest that an ownership has said."""

    def __init__(self, ownership: Ownership) -> None:
        self.now: frozenset[int] = frozenset()
        self._task = asyncio.create_task(self._watch(ownership))

    async def reaches(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(SOON_SECONDS):
            while not condition():
                await asyncio.sleep(0.02)

    async def _watch(self, ownership: Ownership) -> None:
        async for owned in ownership.changes():
            self.now = owned


async def collect(ownership: Ownership) -> list[frozenset[int]]:
    """Return all that an ownership says until it is closed."""
    return [owned async for owned in ownership.changes()]


async def read(
    bus: Bus, partition: int, topic: str, *, count: int, position: int = 0
) -> Sequence[Record]:
    """Return `count` records from `position`, and make sure that no more come."""
    reader = await bus.reader(partition, {topic: position})
    records: list[Record] = []
    try:
        async with asyncio.timeout(SOON_SECONDS):
            ended = False
            while len(records) < count or not ended:
                polled = await reader.poll([topic], 1_000, 0.2)
                records += polled.records.get(topic, ())
                ended = topic in polled.ended
    finally:
        await reader.close()
    assert len(records) == count
    return records


async def until(
    reader: Reader,
    topics: Collection[str],
    condition: Callable[[Polled], bool],
    records_max: int = 1_000,
) -> Polled:
    """Poll until the condition holds and return that poll."""
    async with asyncio.timeout(SOON_SECONDS):
        while not condition(polled := await reader.poll(topics, records_max, 0.2)):
            pass
    return polled


async def soon(awaited: Awaitable[T]) -> T:
    """Wait for what must come, but not for ever."""
    async with asyncio.timeout(SOON_SECONDS):
        return await awaited


def outgoing(topic: str, partition: int, value: str) -> Outgoing:
    """Return a record whose value is a text."""
    return Outgoing(topic, partition, b"45301000", value.encode())


def text(record: Record | Outgoing) -> str:
    """Return the value of a record as text."""
    assert record.value is not None
    return record.value.decode()


def values(records: Sequence[Record]) -> list[str]:
    """Return the values of records as texts."""
    return [text(record) for record in records]
