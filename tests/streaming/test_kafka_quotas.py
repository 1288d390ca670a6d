"""Who sends more than his quota is kept waiting by the broker: nothing is refused, nothing lost."""

import time
from uuid import uuid4

import pytest

from streaming.bus import Outgoing
from streaming.kafka import KafkaBus, topic_settings
from streaming.kafka_access import limit
from streaming.kafka_security import PLAIN_TEXT

# Who does not say who he is has this name in Kafka.
NOBODY = "ANONYMOUS"
BYTES, RECORDS, BYTES_PER_SECOND = 50_000, 9, 60_000
HELD_SECONDS_MIN = 3

pytestmark = pytest.mark.containers


async def test_a_source_over_its_quota_waits_and_nobody_else_does(kafka_bootstrap: str) -> None:
    topic = f"quota-{uuid4().hex}"
    # Of its own alone: another test may have made the calendar here, with more partitions.
    bus = KafkaBus(kafka_bootstrap, 1, topics={topic: topic_settings(1)}, ownership_topic=topic)
    await bus.start()

    async def seconds_to_send() -> float:
        begun = time.monotonic()
        for _ in range(RECORDS):
            await bus.publish([Outgoing(topic, 0, b"k", bytes(BYTES))])
        return time.monotonic() - begun

    try:
        await bus.create_topics([topic])
        await limit(kafka_bootstrap, PLAIN_TEXT, {NOBODY}, {"another": BYTES_PER_SECOND})
        before = await seconds_to_send()
        await limit(kafka_bootstrap, PLAIN_TEXT, {NOBODY}, {NOBODY: BYTES_PER_SECOND})
        held = await seconds_to_send()
        await limit(kafka_bootstrap, PLAIN_TEXT, {NOBODY}, {})
        # The pause that the last record has earned is still to be sat out.
        await bus.publish([Outgoing(topic, 0, b"k", b"")])
        after = await seconds_to_send()
        ends = await bus.ends([topic])
    finally:
        await limit(kafka_bootstrap, PLAIN_TEXT, {NOBODY, "another"}, {})
        await bus.stop()

    assert ends[topic, 0] == 3 * RECORDS + 1
    # 450 KB at 60 KB a second, on the average of some seconds.
    assert max(before, after) < HELD_SECONDS_MIN < held
