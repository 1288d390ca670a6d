"""Kafka keeps the promises of a bus, whatever strangers write into its topics."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from statistics import median
from typing import TypeVar
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.admin.config_resource import (  # type: ignore[import-untyped]
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]
from aiokafka.errors import MessageSizeTooLargeError  # type: ignore[import-untyped]
from aiokafka.record.default_records import (  # type: ignore[import-untyped]
    _DefaultRecordBatchBuilderPy,
)

from streaming import kafka
from streaming.bus import Bus, Outgoing, Polled, Record, Writer
from streaming.errors import BusUnavailableError, FencedError, HaltError, SettingError
from streaming.kafka import KafkaBus, topic_settings
from tests.streaming.bus_behaviour import (
    PARTITIONS,
    SharedBusBehaviour,
    outgoing,
    read,
    until,
    values,
)
from tests.support.containers import ApacheKafka, free_port, require_docker

pytestmark = pytest.mark.containers

T = TypeVar("T")

OWNERSHIP_TOPIC = "calendar.events.v1"


@pytest.fixture
async def calendar(kafka_bootstrap: str) -> None:
    """The topic whose groups share out the partitions."""
    bus = KafkaBus(kafka_bootstrap, PARTITIONS)
    await bus.start()
    await bus.create_topics([OWNERSHIP_TOPIC])
    await bus.stop()


@pytest.fixture
async def bus(kafka_bootstrap: str, calendar: None) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(kafka_bootstrap, PARTITIONS)
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
async def topic(bus: KafkaBus) -> str:
    name = f"source{uuid4().hex[:12]}.events.v1"
    await bus.create_topics([name])
    return name


class TestKafkaBus(SharedBusBehaviour):
    @pytest.fixture(autouse=True)
    def broker(self, kafka_bootstrap: str, calendar: None) -> None:
        self._bootstrap = kafka_bootstrap

    def connect(self) -> Bus:
        return KafkaBus(self._bootstrap, PARTITIONS)


async def test_a_poll_that_does_not_wait_lets_others_run(bus: KafkaBus, topic: str) -> None:
    reader = await bus.reader(0, {topic: 0})
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    for _ in range(50):
        await reader.poll([topic], 10, 0.0)
    running.cancel()
    await reader.close()

    assert turns >= 50


async def stranger(bootstrap: str, **options: object) -> AIOKafkaProducer:
    """Return a started producer of somebody else."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **options)
    await producer.start()
    return producer


async def test_aborted_and_open_transactions_of_a_source_are_not_seen(
    kafka_bootstrap: str, bus: KafkaBus, topic: str
) -> None:
    source = await stranger(kafka_bootstrap, transactional_id=f"source-{uuid4().hex}")
    await source.begin_transaction()
    await source.send_and_wait(topic, b"taken back", partition=0)
    await source.abort_transaction()
    await bus.publish([outgoing(topic, 0, "good")])
    await source.begin_transaction()
    await source.send_and_wait(topic, b"not yet", partition=0)
    await bus.publish([outgoing(topic, 0, "behind the open one")])
    reader = await bus.reader(0, {topic: 0})

    before = await until(reader, [topic], lambda polled: bool(polled.records))
    held_back = await reader.poll([topic], 10, 0.6)
    end = (await bus.ends([topic]))[topic, 0]
    await source.commit_transaction()
    after = await until(reader, [topic], lambda polled: bool(polled.records))
    last = await until(reader, [topic], lambda polled: topic in polled.ended)

    assert values(before.records[topic]) == ["good"]
    assert not held_back.records
    assert held_back.next_offsets[topic] == 3
    assert end == 5
    assert topic in held_back.ended
    assert values(after.records[topic]) == ["not yet", "behind the open one"]
    assert last.next_offsets[topic] == (await bus.ends([topic]))[topic, 0] == 6
    await reader.close()
    await source.stop()


async def test_a_topic_that_ends_in_markers_alone_is_found_ended_at_once(
    kafka_bootstrap: str, bus: KafkaBus, topic: str
) -> None:
    source = await stranger(kafka_bootstrap, transactional_id=f"source-{uuid4().hex}")
    for _ in range(3):
        await source.begin_transaction()
        await source.send_and_wait(topic, b"taken back", partition=0)
        await source.abort_transaction()
    reader = await bus.reader(0, {topic: 0})
    begun = time.monotonic()

    polled = await reader.poll([topic], 10, 20.0)

    assert not polled.records
    assert polled.ended == {topic}
    assert polled.next_offsets == {topic: 6}
    assert time.monotonic() - begun < 5.0
    await reader.close()
    await source.stop()


class BytesAsName(str):
    """A header's name that goes out as bytes that are no text; no client writes one willingly."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return "ключ".encode() + b"\xff"


@pytest.mark.parametrize("codec", [0, 1], ids=["plain", "gzip"])
async def test_headers_whose_names_are_no_text_do_not_stop_a_reader(
    kafka_bootstrap: str, bus: KafkaBus, topic: str, codec: int
) -> None:
    source = await stranger(kafka_bootstrap)
    batch = source.create_batch()
    batch._builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 100_000)
    batch.append(timestamp=None, key=None, value=b"before")
    hostile = [(BytesAsName("name"), b"\xfe"), ("good", b"1")]
    batch.append(timestamp=None, key=b"k", value=b"hostile", headers=hostile)
    batch.append(timestamp=None, key=None, value=b"after")
    await (await source.send_batch(batch, topic, partition=0))
    await bus.publish([outgoing(topic, 0, "later")])

    records = await read(bus, 0, topic, count=4)

    assert values(records) == ["before", "hostile", "after", "later"]
    assert records[1].headers == (("ключ\\xff", b"\xfe"), ("good", b"1"))
    await source.stop()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_of_a_source_is_read(
    kafka_bootstrap: str, bus: KafkaBus, topic: str, codec: str
) -> None:
    source = await stranger(kafka_bootstrap, compression_type=codec)

    await source.send_and_wait(topic, b"x" * 10_000, partition=1)

    assert values(await read(bus, 1, topic, count=1)) == ["x" * 10_000]
    await source.stop()


async def test_a_record_that_is_small_only_while_it_is_compressed_is_not_taken(
    kafka_bootstrap: str, bus: KafkaBus, topic: str
) -> None:
    source = await stranger(
        kafka_bootstrap, compression_type="gzip", max_request_size=10 * 1024 * 1024
    )

    with pytest.raises(MessageSizeTooLargeError):
        await source.send_and_wait(topic, bytes(5 * 1024 * 1024), partition=0)

    assert await bus.ends([topic]) == {(topic, number): 0 for number in range(PARTITIONS)}
    await source.stop()


async def test_a_record_is_seen_while_other_topics_are_idle(bus: KafkaBus) -> None:
    names = [f"quiet{number}x{uuid4().hex[:8]}.events.v1" for number in range(5)]
    await bus.create_topics(names)
    reader = await bus.reader(0, dict.fromkeys(names, 0))

    async def usual_wait() -> float:
        waits = []
        for number in range(12):
            await asyncio.sleep(0.03 * (number % 4))
            begun = time.monotonic()
            await bus.publish([outgoing(names[number % 2], 0, str(number))])
            polled = await until(reader, names, lambda polled: bool(polled.records))
            waits.append(time.monotonic() - begun)
            assert polled.ended == frozenset(names)
        return median(waits)

    # Who waits for the idle ones waits for half of FETCH_WAIT_MS. A machine that does other things
    # may be slow once, but not each time.
    assert min([await usual_wait() for _ in range(3)]) < 0.1
    await reader.close()


async def test_reading_a_long_backlog_in_small_polls_keeps_order_and_bounds(
    bus: KafkaBus, topic: str
) -> None:
    body = "x" * 2_000
    for start in range(0, 4_000, 500):
        await bus.publish(
            [outgoing(topic, 0, f"{at:05}{body}") for at in range(start, start + 500)]
        )
    reader = await bus.reader(0, {topic: 0})
    seen: list[str] = []

    await asyncio.sleep(0.5)  # more than enough to fetch all of it, if nobody held back
    while len(seen) < 4_000:
        polled = await reader.poll([topic], 500, 10.0)
        seen += [value[:5] for value in values(polled.records[topic])]
        assert (topic in polled.ended) == (len(seen) == 4_000)
        assert reader._bytes[topic] < 4 * 1024 * 1024

    assert seen == [f"{at:05}" for at in range(4_000)]
    await reader.close()


async def test_a_closed_reader_leaves_no_garbage_behind(bus: KafkaBus, topic: str) -> None:
    await bus.publish([outgoing(topic, 0, f"{at}") for at in range(500)])
    reader = await bus.reader(0, {topic: 0})
    assert (await reader.poll([topic], 1, 10.0)).records[topic]
    left = [weakref.ref(each) for each in (reader, reader._consumer)]

    gc.disable()
    try:
        await reader.close()
        del reader
        await asyncio.sleep(0.1)
        alive = [each() for each in left]
    finally:
        gc.enable()

    assert alive == [None, None]


async def test_after_the_heir_is_open_nothing_of_the_older_writer_is_appended(
    bus: KafkaBus, topic: str
) -> None:
    service = f"service{uuid4().hex[:8]}"
    older = await bus.writer(service, 0)
    rounds = asyncio.create_task(append_until_fenced(older, topic))
    # Three offsets are a round with its marker: at the fourth the first one was acknowledged.
    while (await bus.ends([topic]))[topic, 0] < 4 and not rounds.done():
        await asyncio.sleep(0.01)

    heir = await bus.writer(service, 0)
    ended_at = (await bus.ends([topic]))[topic, 0]
    stood = await rounds
    (last,) = await heir.append([outgoing(topic, 0, "heir")])
    reader = await bus.reader(0, {topic: 0})
    seen: list[Record] = []
    while not seen or seen[-1].offset < last.offset:
        seen += (await reader.poll([topic], 1_000, 5.0)).records.get(topic, ())

    # The last round of the older one was cut: it stands as a whole or not at all.
    assert values(seen)[:-1] in (["a", "b"] * stood, ["a", "b"] * (stood + 1))
    assert stood > 0
    assert all(record.offset < ended_at for record in seen[:-1])
    await reader.close()


async def append_until_fenced(writer: Writer, topic: str) -> int:
    """Append rounds of two and return how many were acknowledged before the fence.

    A broker that is asked for a fence while it ends a transaction may also answer nothing useful.
    """
    stood = 0
    try:
        while True:
            await writer.append([outgoing(topic, 0, "a"), outgoing(topic, 0, "b")])
            stood += 1
    except (FencedError, BusUnavailableError):
        return stood


async def test_a_writer_that_failed_appends_no_more(bus: KafkaBus, topic: str) -> None:
    writer = await bus.writer(f"service{uuid4().hex[:8]}", 0)

    with pytest.raises(HaltError, match="larger than Kafka takes"):
        await writer.append([Outgoing(topic, 0, b"key", b"x" * 2_000_000)])
    with pytest.raises(BusUnavailableError, match="has failed before"):
        await writer.append([outgoing(topic, 0, "fact")])

    assert await read(bus, 0, topic, count=0) == []


async def test_a_record_of_a_source_that_is_too_large_is_a_mistake_of_the_caller(
    bus: KafkaBus, topic: str
) -> None:
    with pytest.raises(ValueError, match="larger than the bus takes"):
        await bus.publish([Outgoing(topic, 0, b"key", b"x" * 2_000_000)])

    assert len(await bus.publish([outgoing(topic, 0, "small")])) == 1


async def test_a_position_behind_the_end_halts(bus: KafkaBus, topic: str) -> None:
    reader = await bus.reader(0, {topic: 1_000})

    with pytest.raises(HaltError, match="not kept, or the topic was made anew"):
        await until(reader, [topic], lambda polled: bool(polled.records))

    await reader.close()


async def test_topics_are_made_with_the_settings_that_keep_every_record(
    kafka_bootstrap: str, calendar: None
) -> None:
    plain, dead = (f"{kind}{uuid4().hex[:8]}.events.v1" for kind in ("plain", "dead"))
    bus = KafkaBus(
        kafka_bootstrap, PARTITIONS, topics={dead: topic_settings(1, retention_ms="34560000000")}
    )
    await bus.start()
    await bus.create_topics([plain, dead])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()

    answers = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in (plain, dead)]
    )

    found = {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }
    assert found[plain]["message.timestamp.type"] == "LogAppendTime"
    assert found[plain]["retention.ms"] == "-1"
    assert found[plain]["unclean.leader.election.enable"] == "false"
    assert found[dead]["retention.ms"] == "34560000000"
    assert found[dead]["message.timestamp.type"] == "LogAppendTime"
    await admin.close()
    await bus.stop()


async def test_a_start_with_another_number_of_partitions_is_refused(
    kafka_bootstrap: str, calendar: None
) -> None:
    bus = KafkaBus(kafka_bootstrap, PARTITIONS + 1)

    with pytest.raises(SettingError, match=f"set PFDO_PARTITIONS={PARTITIONS}"):
        await bus.start()


async def test_records_of_the_ownership_topic_do_not_disturb_the_sharing(
    kafka_bootstrap: str, bus: KafkaBus
) -> None:
    ownership = await bus.ownership(f"service{uuid4().hex[:8]}")
    changes = ownership.changes()
    assert await asyncio.wait_for(anext(changes), 30) == frozenset(range(PARTITIONS))
    source = await stranger(kafka_bootstrap)
    elsewhere = f"elsewhere{uuid4().hex[:12]}.events.v1"
    await bus.create_topics([elsewhere])

    for partition in range(PARTITIONS):
        await source.send_and_wait(
            OWNERSHIP_TOPIC,
            b"\xff\x00",
            partition=partition,
            headers=[("reply_to", elsewhere.encode()), ("content-type", b"\xff")],
        )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(changes), 1.5)

    await ownership.close()
    await source.stop()
    # Who answers to a topic that a stranger names tells him what was returned here.
    assert set((await bus.ends([elsewhere])).values()) == {0}


async def test_a_member_that_keeps_its_name_gets_the_same_partitions_again(
    kafka_bootstrap: str, bus: KafkaBus
) -> None:
    service = f"service{uuid4().hex[:8]}"
    for _ in range(2):
        replica = KafkaBus(kafka_bootstrap, PARTITIONS, group_instance_id="replica-1")
        await replica.start()
        ownership = await replica.ownership(service)

        owned = await asyncio.wait_for(anext(ownership.changes()), 10)

        assert owned == frozenset(range(PARTITIONS))
        await replica.stop()


async def test_partitions_are_shared_out_though_the_first_address_is_nobody_s(
    kafka_bootstrap: str, calendar: None
) -> None:
    bus = KafkaBus(f"127.0.0.1:{free_port()},{kafka_bootstrap}", PARTITIONS)
    await bus.start()
    ownership = await bus.ownership(f"service{uuid4().hex[:8]}")

    owned = await asyncio.wait_for(anext(ownership.changes()), 10)

    assert owned == frozenset(range(PARTITIONS))
    await bus.stop()


@pytest.mark.slow
async def test_a_broker_that_stops_answering_is_noticed_and_forgiven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_docker()
    topic = "source.events.v1"
    with ApacheKafka() as broker:
        bus = KafkaBus(broker.bootstrap, PARTITIONS)
        await bus.start()
        await bus.create_topics([topic, OWNERSHIP_TOPIC])
        writer = await bus.writer("billing", 0)
        await writer.append([outgoing(topic, 0, "before")])
        await bus.publish([outgoing(topic, 1, "before")])
        reader = await bus.reader(0, {topic: 0})
        await until(reader, [topic], lambda polled: topic in polled.ended)

        for limit in ("APPEND", "PUBLISH", "OPEN", "ANSWER", "ENDED", "STOP"):
            monkeypatch.setattr(kafka, f"{limit}_SECONDS_MAX", 1.5)
        monkeypatch.setattr(kafka, "SILENCE_SECONDS_MAX", 3.0)
        broker.get_wrapped_container().pause()
        begun = time.monotonic()
        await asyncio.sleep(kafka.ENDED_SECONDS_MAX + 0.6)
        stale = await reader.poll([topic], 10, 0.0)
        with monkeypatch.context() as clock:
            set_back = time.time() - 3_600
            clock.setattr(time, "time", lambda: set_back)
            stale_by_a_wrong_clock = await reader.poll([topic], 10, 0.0)
        with pytest.raises(BusUnavailableError, match="in doubt"):
            await writer.append([outgoing(topic, 0, "in doubt")])
        with pytest.raises(BusUnavailableError, match="publishing"):
            await bus.publish([outgoing(topic, 1, "in doubt")])
        with pytest.raises(BusUnavailableError, match="opening the writer"):
            await bus.writer("billing", 0)
        with pytest.raises(BusUnavailableError, match="ends of topics"):
            await bus.ends([topic])
        with pytest.raises(BusUnavailableError, match="no answer about"):
            await until(reader, [topic], lambda polled: bool(polled.records))
        await reader.close()
        await writer.close()
        seconds = time.monotonic() - begun
        broker.get_wrapped_container().unpause()

        monkeypatch.undo()
        heir = await eventually(lambda: bus.writer("billing", 0))
        await heir.append([outgoing(topic, 0, "after")])
        await eventually(lambda: bus.publish([outgoing(topic, 1, "published")]))
        again = await bus.reader(0, {topic: 1})
        polled = await until(again, [topic], lambda polled: bool(polled.records))

        assert stale == stale_by_a_wrong_clock == Polled({}, {topic: 2}, frozenset())
        assert seconds < 20
        assert values(polled.records[topic]) == ["after"]
        await bus.stop()


async def test_a_broker_that_names_no_broker_yet_is_waited_for(
    bus: KafkaBus, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup, asked = AIOKafkaClient.coordinator_lookup, count(1)

    async def names_none_at_first(client: AIOKafkaClient, *about: object) -> object:
        with monkeypatch.context() as patched:
            if next(asked) <= 2:
                patched.setattr(client, "get_random_node", lambda: None)
            return await lookup(client, *about)

    monkeypatch.setattr(AIOKafkaClient, "coordinator_lookup", names_none_at_first)

    for _ in range(2):
        with pytest.raises(BusUnavailableError, match="opening the writer"):
            await bus.writer("billing", 0)
    writer = await bus.writer("billing", 0)

    assert len(await writer.append([outgoing(topic, 0, "after")])) == 1


async def test_rounds_that_are_given_up_leave_no_complaint_behind(
    bus: KafkaBus, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    given_up = 0
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: complaints.append(told))

    for seconds_max in (0.001, 0.002, 0.004, 0.008, 0.016):
        writer = await bus.writer("billing", 0)
        with monkeypatch.context() as patched:
            patched.setattr(kafka, "APPEND_SECONDS_MAX", seconds_max)
            try:
                await writer.append([outgoing(topic, 0, "in doubt")] * 50)
            except BusUnavailableError:
                given_up += 1
        await writer.close()
    del writer
    gc.collect()
    await asyncio.sleep(0)

    assert given_up >= 1
    assert complaints == []


async def eventually(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat an attempt while the bus is not there, within a limit."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await attempt()
            except BusUnavailableError:
                await asyncio.sleep(0.1)


async def test_no_broker_is_said_within_the_limit() -> None:
    bus = KafkaBus(f"127.0.0.1:{free_port()}", PARTITIONS)

    with pytest.raises(BusUnavailableError, match="Kafka at"):
        await asyncio.wait_for(bus.start(), 35)


async def test_of_one_copy_none_is_missing(kafka_bootstrap: str, bus: KafkaBus) -> None:
    topic = f"copied{uuid4().hex[:8]}.events.v1"
    await bus.create_topics([topic])

    assert await kafka.copies_missing(kafka_bootstrap, [topic]) == 0


async def test_copies_out_of_step_or_without_a_broker_are_missing() -> None:
    def partition(replicas: list[int], isr: list[int]) -> dict[str, list[int]]:
        return {"replicas": replicas, "isr": isr}

    described = [
        {"partitions": [partition([1, 2, 3], [1, 2, 3]), partition([1, 2, 3], [3, 1])]},
        {"partitions": [partition([2, 3, 1], [1])]},
    ]

    assert kafka._copies_missing(described) == 3
