"""Rounds of a real Kafka that it has acknowledged and lost the end of: nobody can read on there.

A broker that stands still longer than its session does that now and then. Here it is done on
purpose: records of a transaction go to a partition that its coordinator is not told of, and gets no
marker from.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition  # type: ignore[import-untyped]

from streaming import kafka
from streaming.bus import Outgoing, Record
from streaming.kafka import KafkaBus, KafkaWriter
from tests.streaming.bus_behaviour import read, values
from tests.support.containers import ApacheKafka, require_docker

pytestmark = [pytest.mark.containers, pytest.mark.slow]

PARTITIONS = 2
QUIET_SECONDS = 1.0
ASIDE = "aside.events.v1"


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    """A broker that takes records of a transaction it does not know of."""
    require_docker()
    with ApacheKafka().with_env("KAFKA_TRANSACTION_PARTITION_VERIFICATION_ENABLE", "false") as own:
        yield own.bootstrap


@pytest.fixture
async def bus(bootstrap: str) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(bootstrap, PARTITIONS)
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
async def topics(bus: KafkaBus) -> tuple[str, str]:
    """A journal, and a topic for commands."""
    suffix = uuid4().hex[:12]
    names = (f"journal{suffix}.events.v1", f"journal{suffix}.commands.v1")
    await bus.create_topics([*names, ASIDE])
    return names


@pytest.fixture
def places(topics: tuple[str, str]) -> list[tuple[str, int]]:
    journal, commands = topics
    return [(journal, 0), (commands, 0), (commands, 1)]


async def append_hanging(writer: KafkaWriter, records: list[Outgoing]) -> None:
    """Append a round that is acknowledged and gets no marker."""
    manager = writer._producer._txn_manager
    told = manager.maybe_add_partition_to_txn
    # A transaction that its coordinator knows nothing of at all is not even ended.
    aside = Outgoing(ASIDE, 0, None, b"1")

    def keep_to_itself(place: TopicPartition) -> None:
        if place.topic == ASIDE:
            told(place)
        else:
            manager._txn_partitions.add(place)

    manager.maybe_add_partition_to_txn = keep_to_itself
    await writer.append([*records, aside])
    manager.maybe_add_partition_to_txn = told


async def readable(bus: KafkaBus, topic: str, partition: int) -> list[Record]:
    """What can be read within QUIET_SECONDS."""
    reader = await bus.reader(partition, {topic: 0})
    found: list[Record] = []
    until = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < until:
        found.extend((await reader.poll([topic], 100, 0.1)).records.get(topic, ()))
    await reader.close()
    return found


async def test_the_next_owner_ends_what_the_one_before_left_open(
    bus: KafkaBus, topics: tuple[str, str], places: list[tuple[str, int]]
) -> None:
    journal, commands = topics
    writer = await bus.writer("billing", 0, places)
    await writer.append([Outgoing(journal, 0, None, b"1"), Outgoing(commands, 1, None, b"a")])
    # Their markers are still on their way, and would end the next round too.
    await read(bus, 0, journal, count=1)
    await read(bus, 1, commands, count=1)
    await append_hanging(
        writer, [Outgoing(journal, 0, None, b"2"), Outgoing(commands, 1, None, b"b")]
    )
    assert values(await readable(bus, journal, 0)) == ["1"]
    assert values(await readable(bus, commands, 1)) == ["a"]

    heir = await bus.writer("billing", 0, places)

    assert values(await read(bus, 0, journal, count=2)) == ["1", "2"]
    assert values(await read(bus, 1, commands, count=2)) == ["a", "b"]
    assert heir.is_mended
    await heir.append([Outgoing(journal, 0, None, b"3")])
    assert values(await read(bus, 0, journal, count=3)) == ["1", "2", "3"]


async def test_an_owner_who_stays_notices_and_ends_it(
    bus: KafkaBus,
    topics: tuple[str, str],
    places: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal, commands = topics
    writer = await bus.writer("billing", 0, places)
    await append_hanging(writer, [Outgoing(commands, 1, None, b"b")])
    await writer.ensure_readable()
    assert await readable(bus, commands, 1) == [], "it is too early to call it hanging"

    monkeypatch.setattr(kafka, "HANGING_SECONDS_MIN", 0.0)
    await writer.ensure_readable()

    assert values(await read(bus, 1, commands, count=1)) == ["b"]
    assert not writer.is_mended
    await writer.append([Outgoing(journal, 0, None, b"1")])
    assert values(await read(bus, 0, journal, count=1)) == ["1"]


async def test_an_owner_whose_rounds_can_be_read_adds_nothing(
    bus: KafkaBus,
    topics: tuple[str, str],
    places: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal, _ = topics
    writer = await bus.writer("billing", 0, places)
    await writer.append([Outgoing(journal, 0, None, b"1")])
    await read(bus, 0, journal, count=1)
    ends = await bus.ends(topics)

    monkeypatch.setattr(kafka, "HANGING_SECONDS_MIN", 0.0)
    for _ in range(3):
        await writer.ensure_readable()
    heir = await bus.writer("billing", 0, places)

    assert not heir.is_mended
    assert await bus.ends(topics) == ends


async def test_a_round_of_another_that_is_under_way_is_left_to_him(
    bus: KafkaBus, topics: tuple[str, str], places: list[tuple[str, int]]
) -> None:
    _, commands = topics
    other = await bus.writer("billing", 1)
    begun, go_on = asyncio.Event(), asyncio.Event()
    producer: Any = other._producer
    commit = producer.commit_transaction

    async def commit_later() -> None:
        begun.set()
        await go_on.wait()
        await commit()

    producer.commit_transaction = commit_later
    round_of_other = asyncio.create_task(other.append([Outgoing(commands, 1, None, b"other's")]))
    await begun.wait()

    writer = await bus.writer("billing", 0, places)

    assert writer.is_mended, "it looked like one that hangs"
    assert await readable(bus, commands, 1) == []
    go_on.set()
    await round_of_other
    assert values(await read(bus, 1, commands, count=1)) == ["other's"]
