"""Topics on Kafka: made by us alone, and set as they must be whoever made them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]

from streaming.bus import Bus, Outgoing
from streaming.errors import BusUnavailableError
from streaming.kafka import KafkaBus
from tests.streaming.bus_behaviour import PARTITIONS

pytestmark = pytest.mark.containers


@pytest.fixture
async def bus(kafka_bootstrap: str) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(kafka_bootstrap, PARTITIONS)
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
async def admin(kafka_bootstrap: str) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    yield admin
    await admin.close()


@pytest.fixture
def topic() -> str:
    return f"source{uuid4().hex[:12]}.events.v1"


QUESTIONS: dict[str, Callable[[Bus, str], Awaitable[object]]] = {
    "starts": lambda bus, topic: bus.starts([topic]),
    "ends": lambda bus, topic: bus.ends([topic]),
    "reader": lambda bus, topic: bus.reader(0, {topic: 0}),
    "publish": lambda bus, topic: bus.publish([Outgoing(topic, 0, b"key", b"value")]),
}


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_topic_is_not_made_by_asking_for_it(
    bus: KafkaBus, admin: Any, topic: str, question: str
) -> None:
    with pytest.raises(BusUnavailableError, match="pfdo topics create"):
        await QUESTIONS[question](bus, topic)

    assert topic not in await admin.list_topics()
    await bus.create_topics([topic])
    await QUESTIONS[question](bus, topic)


async def test_a_topic_that_others_made_is_set_right_and_keeps_what_is_theirs(
    bus: KafkaBus, admin: Any, topic: str
) -> None:
    # Seven days and the sender's clock are what Kafka gives: both lose or misorder records.
    theirs = {"retention.ms": "604800000", "segment.bytes": "20000000"}
    await admin.create_topics(
        [
            NewTopic(
                name=topic, num_partitions=PARTITIONS, replication_factor=1, topic_configs=theirs
            )
        ]
    )
    await bus.create_topics([topic])

    assert await bus.wrong_settings([topic]) == {
        topic: {
            "compression.type": "producer",
            "retention.ms": "604800000",
            "message.timestamp.type": "CreateTime",
        }
    }
    assert await bus.correct_settings([topic]) == [topic]
    assert await bus.wrong_settings([topic]) == {}
    assert await bus.correct_settings([topic]) == []
    assert (await bus._settings([topic]))[topic]["segment.bytes"] == ("20000000", True)
