"""What is measured: throughput of three ways to debit, and latency at a paced load."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faststream import FastStream
from faststream.kafka import KafkaBroker
from redis.asyncio import Redis

from bench.load import PAYER
from contracts.attendance import LessonMarked
from contracts.envelope import Envelope
from streaming.routing import partition_of

MARKS = "attendance.events.v1"
JOURNAL = "billing.events.v1"
QUIET_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds at a rate of events a second."""

    rate: int
    count: int
    p50: float
    p99: float
    p999: float


def percentiles(rate: int, seconds: Sequence[float]) -> Latency:
    """Return the percentiles of latencies given in seconds."""
    cut = statistics.quantiles([value * 1000 for value in seconds], n=1000, method="inclusive")
    return Latency(rate, len(seconds), cut[499], cut[989], cut[998])


def encoded(events: Sequence[dict[str, Any]]) -> list[bytes]:
    """Return events as a source would send them."""
    return [json.dumps(event, ensure_ascii=False).encode() for event in events]


async def send(bootstrap: str, topic: str, partition: int, values: Sequence[bytes]) -> None:
    """Append records in big batches."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5
    )
    await producer.start()
    try:
        sent = [
            await producer.send(topic, value, key=PAYER.encode(), partition=partition)
            for value in values
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def consumer_at_end(bootstrap: str, topic: str, partition: int) -> AIOKafkaConsumer:
    """Return a consumer that reads what is committed from now on."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        fetch_max_wait_ms=5,
        enable_auto_commit=False,
    )
    await consumer.start()
    place = TopicPartition(topic, partition)
    consumer.assign([place])
    await consumer.seek_to_end(place)
    await consumer.position(place)
    return consumer


async def sent_at_a_rate(
    bootstrap: str, partition: int, values: Sequence[bytes], rate: int
) -> dict[str, float]:
    """Send marks at a rate; return when each left, by the id of its event."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    sent_at: dict[str, float] = {}
    begun = time.perf_counter()
    try:
        for number, value in enumerate(values):
            wait = begun + number / rate - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            sent_at[orjson.loads(value)["id"]] = time.perf_counter()
            await producer.send(MARKS, value, key=PAYER.encode(), partition=partition)
    finally:
        await producer.stop()
    return sent_at


async def charges(consumer: AIOKafkaConsumer, count: int) -> AsyncIterator[tuple[str, str, float]]:
    """Yield so many debits as they can be read: the id of the mark, that of the debit, and when."""
    read = 0
    while read < count:
        batches = await consumer.getmany(timeout_ms=1000)
        now = time.perf_counter()
        for records in batches.values():
            for record in records:
                envelope = orjson.loads(record.value)
                told = envelope["data"].get("input")
                if envelope["type"] == "billing.lesson-charged.v1" and told:
                    read += 1
                    yield told["id"], envelope["id"], now


async def paced(bootstrap: str, partition: int, values: Sequence[bytes], rate: int) -> Latency:
    """Send marks at a rate; measure until `billing.lesson-charged` can be read (read_committed)."""
    consumer = await consumer_at_end(bootstrap, JOURNAL, partition)

    async def read() -> dict[str, float]:
        return {mark: at async for mark, _, at in charges(consumer, len(values))}

    reading = asyncio.create_task(read())
    try:
        sent_at = await sent_at_a_rate(bootstrap, partition, values, rate)
        read_at = await asyncio.wait_for(reading, QUIET_SECONDS_MAX)
    finally:
        reading.cancel()
        await consumer.stop()
    return percentiles(rate, [read_at[id_] - at for id_, at in sent_at.items()])


async def ours(bootstrap: str, partition: int, values: Sequence[bytes]) -> float:
    """Return durable debits a second: from the first record sent to the last charge readable."""
    consumer = await consumer_at_end(bootstrap, JOURNAL, partition)
    begun = time.perf_counter()
    sending = asyncio.create_task(send(bootstrap, MARKS, partition, values))
    charged = 0
    try:
        async with asyncio.timeout(QUIET_SECONDS_MAX * 5):
            while charged < len(values):
                batches = await consumer.getmany(timeout_ms=1000)
                for records in batches.values():
                    charged += sum(b'"billing.lesson-charged.v1"' in r.value for r in records)
        seconds = time.perf_counter() - begun
        await sending
    finally:
        await consumer.stop()
    return len(values) / seconds


async def limit(bootstrap: str, topic: str, count: int) -> float:
    """Return events a second of reading and typed decoding, and nothing else."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        read = 0
        begun = time.perf_counter()
        while read < count:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    envelope = Envelope.model_validate_json(record.value)
                    LessonMarked.model_validate(envelope.data)
                read += len(records)
        return read / (time.perf_counter() - begun)
    finally:
        await consumer.stop()


async def usual(bootstrap: str, redis_url: str, topic: str, count: int) -> float:
    """Return debits a second of the usual way: a handler, Redis and a publish per message."""
    broker = KafkaBroker(bootstrap, logger=None)
    redis = Redis.from_url(redis_url)
    done = asyncio.Event()
    state = {"seen": 0, "begun": 0.0, "ended": 0.0}
    publisher = broker.publisher(f"{topic}.out")

    @broker.subscriber(topic, group_id=f"usual-{time.time_ns()}", auto_offset_reset="earliest")
    async def handle(body: dict[str, Any]) -> None:
        state["begun"] = state["begun"] or time.perf_counter()
        data = LessonMarked.model_validate(body["data"])
        if await redis.set(f"usual:{body['id']}", 1, nx=True, ex=3600):
            left = await redis.decrby(f"usual:purse:{data.enrollment_id}", 100)
            await publisher.publish({"enrollment_id": data.enrollment_id, "left": left})
        state["seen"] += 1
        if state["seen"] == count:
            state["ended"] = time.perf_counter()
            done.set()

    app = FastStream(broker, logger=None)
    await app.start()
    try:
        await asyncio.wait_for(done.wait(), QUIET_SECONDS_MAX)
    finally:
        await app.stop()
        await redis.aclose()
    return count / (state["ended"] - state["begun"])


def home(partitions: int) -> int:
    """Return the partition of the bench's municipality."""
    return partition_of(PAYER.encode(), partitions)
