"""A topic of a real Kafka that somebody deleted and made anew, while its partition rested."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]

from contracts.registry import EVENTS
from contracts.sources import load_sources
from contracts.topics import all_topics
from streaming.bus import Outgoing
from streaming.errors import HaltError
from streaming.kafka import KafkaBus
from streaming.listening import listening_of
from streaming.memory_store import MemoryStore
from streaming.processor import Processor
from streaming.telemetry import Telemetry
from tests.streaming.test_processor import NAME, child, request
from tests.support.containers import ApacheKafka, require_docker
from tests.support.mini_service import mini_service
from tests.support.world import day

pytestmark = [pytest.mark.containers, pytest.mark.slow]

SOURCES = load_sources()
TOPICS = [topic.name for topic in all_topics(SOURCES)]
JOURNAL = f"{NAME}.events.v1"
INPUTS = "payers.events.v1"
READ_SECONDS_MAX = 30


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    """A broker of its own: nobody else reads what is deleted here."""
    require_docker()
    with ApacheKafka() as kafka:
        yield kafka.bootstrap


@pytest.fixture
async def bus(bootstrap: str) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(bootstrap, 1)
    await bus.start()
    await bus.create_topics(TOPICS)
    yield bus
    await bus.stop()
    await made_anew(bootstrap, TOPICS)


async def made_anew(bootstrap: str, topics: list[str]) -> None:
    """Delete topics and make them again, as somebody does who knows nothing of us."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.delete_topics(topics)
    while set(topics) & set(await admin.list_topics()):
        await asyncio.sleep(0.05)
    await admin.close()
    bus = KafkaBus(bootstrap, 1)
    await bus.start()
    await bus.create_topics(topics)
    await bus.stop()


async def publish(bus: KafkaBus, *events: dict[str, Any]) -> None:
    for event in events:
        topic = f"{event['source'].removeprefix('/')}.events.v1"
        await bus.publish([Outgoing(topic, 0, b"25701000", json.dumps(event).encode())])


def owner(bus: KafkaBus, store: MemoryStore) -> Processor:
    listening = listening_of(NAME, SOURCES, EVENTS)
    return Processor(mini_service(), 0, bus, store, listening, Telemetry())


async def taken_over(processor: Processor, inputs: int) -> None:
    """Take over, and read on until so many inputs are decided."""
    await processor.take_over()
    async with asyncio.timeout(READ_SECONDS_MAX):
        while processor.partition.batch.end.seq < inputs:
            await processor.step(0.1)


@pytest.fixture
async def store(bus: KafkaBus) -> MemoryStore:
    """What a partition knows that has decided four inputs and rests."""
    kept = MemoryStore()
    await publish(bus, day("2020-08-30"), child(1), request(1), request(1, revision=2))
    processor = owner(bus, kept)
    await taken_over(processor, 4)
    # Until it rests what it published stands in its outbox too, and would be published again.
    while (await kept.standing(0, 1)).outbox:
        await processor.step(0.1)
    await processor.close()
    return kept


async def test_what_nobody_touched_is_gone_on_with(bus: KafkaBus, store: MemoryStore) -> None:
    await publish(bus, request(1, revision=3))
    processor = owner(bus, store)

    await taken_over(processor, 5)

    assert processor.partition.batch.end.seq == 5
    await processor.close()


@pytest.mark.parametrize("grown", [False, True])
async def test_an_own_journal_made_anew_halts(
    bootstrap: str, bus: KafkaBus, store: MemoryStore, grown: bool
) -> None:
    (before,) = (await bus.ends([JOURNAL])).values()
    await made_anew(bootstrap, [JOURNAL])
    if grown:
        await bus.publish([Outgoing(JOURNAL, 0, None, b"{}") for _ in range(before + 3)])
    processor = owner(bus, store)

    with pytest.raises(HaltError, match="damaged: restore it" if grown else "cut or made anew"):
        await processor.take_over()

    await processor.close()


@pytest.mark.parametrize("grown", [False, True])
async def test_an_input_topic_made_anew_halts_before_anything_of_it_is_decided(
    bootstrap: str, bus: KafkaBus, store: MemoryStore, grown: bool
) -> None:
    await made_anew(bootstrap, [INPUTS])
    if grown:
        await publish(bus, *(request(7, revision=number) for number in (1, 2, 3, 4)))
    processor = owner(bus, store)

    with pytest.raises(HaltError, match="topic was made anew"):
        await taken_over(processor, 5)

    assert processor.partition.batch.end.seq == 4
    await processor.close()
