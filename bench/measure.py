"""How it is measured, from outside and alike for each way to debit: throughput and latency."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]

from bench.figures import Latency, percentiles
from bench.surroundings import Surroundings, cpu_seconds
from contracts.attendance import LessonMarked
from contracts.envelope import Envelope
from pfdo.settling import readers_of, settled
from pfdo.system import SERVICES
from streaming.installation import open_installation
from streaming.routing import partition_of
from streaming.whole import up_to

MARKS = "attendance.events.v1"
JOURNAL = "billing.events.v1"
CHARGED = "billing.lesson-charged.v1"
DRAINED_SECONDS_MAX = 180.0
SETTLE_SECONDS_MAX = 3_600.0


class Record(NamedTuple):
    """What is sent, and where to."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


def records(
    events: Iterable[Mapping[str, Any]], partitions: int = 1, topic: str | None = None
) -> list[Record]:
    """Return events as sources send them, to the topics of their sources without `topic`.

    What belongs to a payer goes to the payer's partition, a day to each.
    """
    sent = []
    for event in events:
        to = topic or f"{event['source'].removeprefix('/')}.events.v1"
        value = json.dumps(event, ensure_ascii=False).encode()
        if "partitionkey" in event:
            key = event["partitionkey"].encode()
            sent.append(Record(to, partition_of(key, partitions), key, value))
        else:
            sent += [Record(to, partition, None, value) for partition in range(partitions)]
    return sent


async def send(bootstrap: str, sent: Iterable[Record]) -> None:
    """Append records in big batches."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5
    )
    await producer.start()
    try:
        acknowledged = [
            await producer.send(one.topic, one.value, key=one.key, partition=one.partition)
            for one in sent
        ]
        await asyncio.gather(*acknowledged)
    finally:
        await producer.stop()


async def consumer_at_end(bootstrap: str, topic: str, partitions: int = 1) -> AIOKafkaConsumer:
    """Return a consumer that reads what is committed from now on."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        fetch_max_wait_ms=5,
        enable_auto_commit=False,
    )
    await consumer.start()
    places = [TopicPartition(topic, partition) for partition in range(partitions)]
    consumer.assign(places)
    await consumer.seek_to_end(*places)
    for place in places:
        await consumer.position(place)
    return consumer


async def sent_at_a_rate(bootstrap: str, sent: Sequence[Record], rate: float) -> dict[str, float]:
    """Send events at a rate; return when each was due, by its id.

    Not when it left: who is late at sending has kept somebody waiting.
    """
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    sent_at: dict[str, float] = {}
    begun = time.perf_counter()
    try:
        for number, one in enumerate(sent):
            due = begun + number / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            sent_at[orjson.loads(one.value)["id"]] = due
            await producer.send(one.topic, one.value, key=one.key, partition=one.partition)
    finally:
        await producer.stop()
    return sent_at


async def charges(consumer: AIOKafkaConsumer, count: int) -> AsyncIterator[tuple[str, str, float]]:
    """Yield so many debits as they can be read: the id of the mark, that of the debit, and when."""
    read = 0
    while read < count:
        batches = await consumer.getmany(timeout_ms=1000)
        now = time.perf_counter()
        for batch in batches.values():
            for record in batch:
                envelope = orjson.loads(record.value)
                told = envelope["data"].get("input")
                if envelope["type"] == CHARGED and told:
                    read += 1
                    yield told["id"], envelope["id"], now


async def paced(
    bootstrap: str, sent: Sequence[Record], rate: int, answers: str = JOURNAL, partitions: int = 1
) -> Latency:
    """Send marks at a rate; measure until `lesson-charged` can be read (read_committed)."""
    return percentiles(rate, await latencies(bootstrap, sent, rate, answers, partitions))


async def latencies(
    bootstrap: str, sent: Sequence[Record], rate: int, answers: str = JOURNAL, partitions: int = 1
) -> list[float]:
    """Do so, and return the seconds of each mark, in their order."""
    consumer = await consumer_at_end(bootstrap, answers, partitions)

    async def read() -> dict[str, float]:
        return {mark: at async for mark, _, at in charges(consumer, len(sent))}

    reading = asyncio.create_task(read())
    try:
        sent_at = await sent_at_a_rate(bootstrap, sent, rate)
        read_at = await asyncio.wait_for(reading, DRAINED_SECONDS_MAX)
    finally:
        reading.cancel()
        await consumer.stop()
    return [read_at[id_] - at for id_, at in sent_at.items()]


async def drained(
    bootstrap: str,
    sent: Sequence[Record],
    *,
    pids: Sequence[int],
    answers: str = JOURNAL,
    partitions: int = 1,
) -> dict[str, float]:
    """Return durable debits a second, and the CPU time that processes use for one.

    From the first record sent to the last debit readable (read_committed).
    """
    consumer = await consumer_at_end(bootstrap, answers, partitions)
    used, begun = sum(map(cpu_seconds, pids)), time.perf_counter()
    sending = asyncio.create_task(send(bootstrap, sent))
    charged = 0
    try:
        async with asyncio.timeout(DRAINED_SECONDS_MAX):
            while charged < len(sent):
                batches = await consumer.getmany(timeout_ms=1000)
                for batch in batches.values():
                    charged += sum(CHARGED.encode() in one.value for one in batch)
        seconds = time.perf_counter() - begun
        used = sum(map(cpu_seconds, pids)) - used
        await sending
    finally:
        await consumer.stop()
    return {"per_second": len(sent) / seconds, "cpu_us": used / len(sent) * 1e6}


async def published(
    around: Surroundings, topic: str, partitions: int = 1
) -> AsyncIterator[dict[str, Any]]:
    """Yield what is committed in a topic now, each partition oldest first."""
    async with open_installation(around.installation_settings(partitions)) as installation:
        bus = installation.bus
        starts, ends = await bus.starts([topic]), await bus.ends([topic])
        for partition in range(partitions):
            async for polled in up_to(bus, partition, {topic: starts[topic, partition]}, ends):
                for record in polled.records.get(topic, ()):
                    yield orjson.loads(record.value or b"")


def decode(value: bytes) -> None:
    """Read a mark with every check, and nothing else."""
    LessonMarked.model_validate(Envelope.model_validate_json(value).data)


async def limit(bootstrap: str, topic: str, count: int) -> dict[str, float]:
    """Return events a second of reading and typed decoding, and nothing else."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        read = 0
        used, begun = time.process_time(), time.perf_counter()
        while read < count:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                for record in batch:
                    decode(record.value)
                read += len(batch)
        seconds = time.perf_counter() - begun
        return {
            "per_second": read / seconds,
            "cpu_us": (time.process_time() - used) / read * 1e6,
        }
    finally:
        await consumer.stop()


async def play(around: Surroundings, segments: Iterable[Sequence[Record]], partitions: int) -> None:
    """Send segment by segment, each when all services have come to rest."""
    for segment in segments:
        for _, part in groupby(segment, key=lambda one: one.topic):
            await send(around.bootstrap, list(part))
        await at_rest(around, partitions)


async def at_rest(around: Surroundings, partitions: int, names: Collection[str] = SERVICES) -> None:
    """Wait until services have decided all that there is."""
    async with open_installation(around.installation_settings(partitions)) as installation:
        readers = [one for one in readers_of(installation, cabinet=False) if one.name in names]
        done, left = await settled(installation, readers, SETTLE_SECONDS_MAX)
    if not done:
        raise SystemExit(f"the services do not come to rest; left to do: {left}")
