"""The bus in production: Apache Kafka.

FastStream hosts the sharing out of partitions (`KafkaOwnership`) and its life cycle; what it cannot
do is done with aiokafka directly: reading several topics from given positions, appending under a
transaction, publishing bytes with their own key, partition and headers (FastStream adds headers of
its own and cannot send two equal names). Each setting that differs from a default avoids a trap
that `docs/promises.md`, section 5, names.
"""

import asyncio
import time
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from itertools import chain
from typing import Any

import structlog
from aiokafka import (  # type: ignore[import-untyped]
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]
from aiokafka.admin.config_resource import (  # type: ignore[import-untyped]
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.coordinator.assignors.roundrobin import (  # type: ignore[import-untyped]
    RoundRobinPartitionAssignor,
)
from aiokafka.errors import (  # type: ignore[import-untyped]
    GroupCoordinatorNotAvailableError,
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    ProducerFenced,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAlreadyExistsError,
    for_code,
)
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.message import FAKE_CONSUMER

from streaming import kafka_headers
from streaming.bus import Appended, Outgoing, Polled, Record
from streaming.errors import BusUnavailableError, FencedError, HaltError, SettingError
from streaming.kafka_security import PLAIN_TEXT, KafkaSecurity
from streaming.kafka_stopping import STOP_SECONDS_MAX, stopped

log: Any = structlog.get_logger()

REQUEST_TIMEOUT_MS = 10_000
OPEN_SECONDS_MAX = 30.0
"""Opening a connection, a reader or a writer."""
ANSWER_SECONDS_MAX = 15.0
"""A question to the cluster: starts, ends, identity, topics."""
APPEND_SECONDS_MAX = 15.0
"""One round. The broker gives a transaction up after TRANSACTION_TIMEOUT_MS anyway."""
PUBLISH_SECONDS_MAX = 15.0
METADATA_AGE_MS_MAX = 30_000
"""How long a reader believes in a leader without asking. Errors make it ask at once."""
WRITER_METADATA_AGE_MS_MAX = 300_000
"""A writer that has not written yet asks for all topics each time, which is slow to parse."""

TRANSACTION_TIMEOUT_MS = 10_000
TRANSACTION_BACKOFF_MS = 2
ROUND_PAUSE_SECONDS = 0.005
"""From one round to the next: the broker is still writing markers, and who comes earlier is sent
away for 20 ms."""
HANGING_SECONDS_MIN = 2.0
"""How long after a round it is looked whether it can be read. Markers take milliseconds."""
BATCH_BYTES_MAX = 1_000_000
PUBLISH_LINGER_MS = 2
SETTINGS_PAUSE_SECONDS = 0.05

FETCH_WAIT_MS = 500
FETCHER_WAKE_MS = 1_000
"""How often aiokafka looks for work unasked; it is told of all work there is."""
FETCH_BYTES_MAX = 8 * 1024 * 1024
PARTITION_FETCH_BYTES_MAX = 1024 * 1024
BUFFER_BYTES_MAX = 1024 * 1024
"""A topic that has as much waiting in the process is not fetched from until half is taken."""
RECORD_OVERHEAD_BYTES = 200
ENDED_SECONDS_MAX = 2.0
"""How old a fetch may be that says that a topic is at its end."""
SILENCE_SECONDS_MAX = 30.0
"""How long a topic may go without any answer to a fetch before its reader is given up."""
CATCHING_UP_SECONDS = 0.01
"""How often a waiting poll looks whether a topic has come to its end by markers alone."""

SESSION_TIMEOUT_MS = 15_000
HEARTBEAT_INTERVAL_MS = 1_000
OWNERSHIP_POLL_MS = 1_000
TOPIC_CONFIG_SOURCE = 1
"""What Kafka calls DYNAMIC_TOPIC_CONFIG: set for this topic, neither inherited nor a default."""
MARKERS_SECONDS = 0.25
MARKERS_POLL_SECONDS = 0.01
"""How long after records, and how often, it is looked whether a marker was stepped over."""
OWNERSHIP_RETRY_SECONDS = 1.0
JOIN_SECONDS_SPARED = 1.0
"""How long a member that leaves while it still joins may go on connecting."""

_TROUBLE = (KafkaError, OSError, TimeoutError, AssertionError)
"""What aiokafka raises when Kafka is away. It asserts that it knows a broker, and one that has just
been started does not name any yet."""
_FENCED = (ProducerFenced, InvalidProducerEpoch)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError)


def topic_settings(replication_factor: int, **changed: str) -> Mapping[str, str]:
    """Return the settings every topic needs (`docs/promises.md`, section 5), with some changed.

    Names are Kafka's with `_` for `.`: `topic_settings(3, retention_ms="34560000000")`.
    """
    settings = {
        "cleanup.policy": "delete",
        # A record is as large as it is once it is read: a source may compress, up to that.
        "compression.type": "uncompressed",
        "max.message.bytes": "1048588",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(max(1, replication_factor - 1)),
        "retention.bytes": "-1",
        "retention.ms": "-1",
        "unclean.leader.election.enable": "false",
    }
    return settings | {name.replace("_", "."): value for name, value in changed.items()}


class KafkaBus:
    """A process's connection to Kafka.

    `topics`: settings of topics that differ from `topic_settings`, by name. `ownership_topic`: the
    topic whose consumer groups share out the partitions. `group_instance_id`: a name that this
    replica keeps over restarts, so that a quick restart moves no partition.
    """

    def __init__(
        self,
        bootstrap: str,
        partitions: int,
        *,
        topics: Mapping[str, Mapping[str, str]] | None = None,
        replication_factor: int = 1,
        ownership_topic: str = "calendar.events.v1",
        group_instance_id: str | None = None,
        client_id: str = "pfdo",
        security: KafkaSecurity = PLAIN_TEXT,
    ) -> None:
        kafka_headers.install()
        self._bootstrap = bootstrap
        self._security = security.options
        self._partitions = partitions
        self._topics = dict(topics or {})
        self._replication_factor = replication_factor
        self._ownership_topic = ownership_topic
        self._group_instance_id = group_instance_id
        self._client_id = client_id
        self._admin: Any = None
        self._offsets: Any = None
        self._stable_offsets: Any = None
        self._publisher: Any = None
        self._publisher_opening = asyncio.Lock()
        self._known: set[str] = set()
        self._opened: set[KafkaReader | KafkaWriter | KafkaOwnership] = set()
        self.broker = KafkaBroker(
            # FastStream takes a text for one address.
            bootstrap.split(","),
            client_id=client_id,
            security=security.of_broker,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_AGE_MS_MAX,
            consumer_only=True,
            allow_auto_create_topics=False,
            graceful_timeout=STOP_SECONDS_MAX,
            logger=None,
        )

    @property
    def partitions(self) -> int:
        """How many partitions every topic has."""
        return self._partitions

    async def start(self) -> None:
        """Connect. Raises BusUnavailableError; SettingError if topics have other partitions."""
        async with _opening(f"Kafka at {self._bootstrap}", self.stop):
            self._admin = AIOKafkaAdminClient(
                bootstrap_servers=self._bootstrap,
                **self._security,
                client_id=self._client_id,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                metadata_max_age_ms=METADATA_AGE_MS_MAX,
            )
            await self._admin.start()
            self._offsets = self._consumer(isolation_level="read_uncommitted")
            await self._offsets.start()
            self._stable_offsets = self._consumer(isolation_level="read_committed")
            await self._stable_offsets.start()
            await self.broker.start()
            await self._existing()

    async def stop(self) -> None:
        """Let go of everything that was opened."""
        await asyncio.gather(*(opened.close() for opened in list(self._opened)))
        await stopped(self.broker.stop())
        publisher, self._publisher = self._publisher, None
        offsets, self._offsets = self._offsets, None
        stable, self._stable_offsets = self._stable_offsets, None
        admin, self._admin = self._admin, None
        if publisher is not None:
            await _stop_producer(publisher)
        for client in (offsets and offsets.stop, stable and stable.stop, admin and admin.close):
            if client is not None:
                await stopped(client())

    async def create_topics(self, topics: Collection[str]) -> Collection[str]:
        """Make the topics that are not there yet, wait for their leaders, and return their names.

        Raises SettingError if one that is there has another number of partitions.
        """
        async with self._asking("creating topics"):
            missing = sorted(set(topics) - await self._existing(topics))
            if missing:
                answer = await self._admin.create_topics(
                    [self._new_topic(name) for name in missing]
                )
                for name, code, *_message in answer.topic_errors:
                    error = for_code(code)
                    if code and error is not TopicAlreadyExistsError:
                        raise BusUnavailableError(f"creating {name}: {error.__name__} {_message}")
            # Asks each leader, and again until it answers: metadata alone speaks too soon.
            await self._offsets.end_offsets(self._every(topics))
        return missing

    async def wrong_settings(self, topics: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """Return by topic what is set otherwise than it must be: the value that stands there."""
        async with self._asking("settings of topics"):
            found = await self._settings(topics)
        wrong = {
            topic: {
                name: str(standing.get(name, ("", False))[0])
                for name, wanted in self._wanted(topic).items()
                if standing.get(name, ("", False))[0] != wanted
            }
            for topic, standing in found.items()
        }
        return {topic: values for topic, values in wrong.items() if values}

    async def correct_settings(self, topics: Collection[str]) -> Collection[str]:
        """Set topics as they must be and return the names of those that were not.

        What an operator set beside that is kept.
        """
        wrong = sorted(await self.wrong_settings(topics))
        if not wrong:
            return wrong
        async with self._asking("correcting settings of topics"):
            found = await self._settings(wrong)
            # Kafka takes a whole set of settings here: what is left out would go back to defaults.
            answers = await self._admin.alter_configs(
                [
                    ConfigResource(
                        ConfigResourceType.TOPIC,
                        topic,
                        {
                            **{n: v for n, (v, is_own) in found[topic].items() if is_own},
                            **self._wanted(topic),
                        },
                    )
                    for topic in wrong
                ]
            )
            for answer in answers:
                for code, message, _kind, name in answer.resources:
                    _check_settings(name, code, message)
        async with self._asking("seeing the settings of topics corrected"):
            # Kafka says yes before its brokers go by them.
            while await self.wrong_settings(wrong):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(SETTINGS_PAUSE_SECONDS)
        return wrong

    async def _settings(
        self, topics: Collection[str]
    ) -> Mapping[str, Mapping[str, tuple[str, bool]]]:
        """Return by topic and name what is set, and whether it is set for that topic alone."""
        answers = await self._admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        )
        found = {}
        for answer in answers:
            for code, message, _kind, topic, entries in answer.resources:
                _check_settings(topic, code, message)
                found[topic] = {e[0]: (e[1], e[3] == TOPIC_CONFIG_SOURCE) for e in entries}
        return found

    def _wanted(self, topic: str) -> Mapping[str, str]:
        return self._topics.get(topic) or topic_settings(self._replication_factor)

    async def identity(self) -> str:
        """Return the id of the cluster."""
        async with self._asking("the cluster id"):
            return str((await self._admin.describe_cluster())["cluster_id"])

    async def starts(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """Return the first offset that is still kept, by (topic, partition)."""
        await self._require(topics)
        async with self._asking("starts of topics"):
            found = await self._offsets.beginning_offsets(self._every(topics))
            return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def ends(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """Return the offset after the last record, by (topic, partition).

        Rounds under way are counted: the broker writes their markers some milliseconds after
        `append` has returned, and what was appended before this question must not be missed.
        """
        await self._require(topics)
        async with self._asking("ends of topics"):
            found = await self._offsets.end_offsets(self._every(topics))
            return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def reader(self, partition: int, positions: Mapping[str, int]) -> "KafkaReader":
        """Return a reader of `partition` of each topic named, standing at the offset given."""
        await self._require(list(positions))
        places = {TopicPartition(topic, partition): at for topic, at in positions.items()}
        consumer = self._consumer(isolation_level="read_committed")
        async with _opening(f"opening a reader of {partition}", lambda: stopped(consumer.stop())):
            ends = await self._offsets.end_offsets(list(places))
            await consumer.start()
            # Without a pause in between: nothing is fetched from a place nobody asked for.
            consumer.assign(list(places))
            for place, offset in places.items():
                consumer.seek(place, offset)
        reader = KafkaReader(consumer, ends, self._opened.discard)
        self._opened.add(reader)
        return reader

    async def writer(
        self, service: str, partition: int, places: Collection[tuple[str, int]] = ()
    ) -> "KafkaWriter":
        """Return the writer of a service's partition; from here no older one can append."""
        name = f"{service}-{partition}"
        await self._require({topic for topic, _ in places})
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            **self._security,
            client_id=f"{self._client_id}-{name}",
            transactional_id=name,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            retry_backoff_ms=TRANSACTION_BACKOFF_MS,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=PARTITION_FETCH_BYTES_MAX,
            linger_ms=0,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=WRITER_METADATA_AGE_MS_MAX,
        )
        async with _opening(f"opening the writer of {name}", lambda: _stop_producer(producer)):
            await producer.start()  # asks for the producer's epoch: `init_transactions`
        writer = KafkaWriter(producer, name, self._stable_ends, self._opened.discard)
        self._opened.add(writer)
        try:
            ends = await self.ends({topic for topic, _ in places})
            await writer.end_rounds_before({place: ends[place] for place in places})
        except BaseException:
            await writer.close()
            raise
        return writer

    async def _stable_ends(
        self, places: Collection[tuple[str, int]]
    ) -> Mapping[tuple[str, int], int]:
        """Return up to where what was appended can be read, by (topic, partition)."""
        async with self._asking("ends of what can be read"):
            found = await self._stable_offsets.end_offsets([TopicPartition(*at) for at in places])
            return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def ownership(self, service: str) -> "KafkaOwnership":
        """Take part in sharing out the partitions of a service among its processes."""
        await self._require([self._ownership_topic])
        ownership = KafkaOwnership(
            self.broker,
            service,
            self._ownership_topic,
            self._group_instance_id,
            self._opened.discard,
        )
        self._opened.add(ownership)
        return ownership

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Append records of a source; durable when it returns. Raises BusUnavailableError."""
        await self._require({record.topic for record in records})
        producer = await self._open_publisher()
        try:
            async with asyncio.timeout(PUBLISH_SECONDS_MAX):
                return await _send(producer, records)
        except _TOO_LARGE as error:
            raise ValueError(f"a record is larger than the bus takes: {error!r}") from error
        except _TROUBLE as error:
            # It would go on trying for ever: a new one knows nothing of what is in doubt.
            if self._publisher is producer:
                self._publisher = None
            await _stop_producer(producer)
            raise BusUnavailableError(f"publishing {len(records)} records: {error!r}") from error

    def _consumer(self, isolation_level: str) -> Any:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            **self._security,
            client_id=self._client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=isolation_level,
            consumer_timeout_ms=FETCHER_WAKE_MS,
            fetch_min_bytes=1,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_AGE_MS_MAX,
            retry_backoff_ms=100,
        )

    async def _open_publisher(self) -> Any:
        async with self._publisher_opening:
            if self._publisher is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    **self._security,
                    client_id=f"{self._client_id}-publisher",
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=PUBLISH_LINGER_MS,
                    max_batch_size=BATCH_BYTES_MAX,
                    max_request_size=PARTITION_FETCH_BYTES_MAX,
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                    metadata_max_age_ms=METADATA_AGE_MS_MAX,
                )
                async with _opening("opening a publisher", lambda: _stop_producer(producer)):
                    await producer.start()
                self._publisher = producer
            return self._publisher

    def _new_topic(self, name: str) -> Any:
        return NewTopic(
            name=name,
            num_partitions=self._partitions,
            replication_factor=self._replication_factor,
            topic_configs=dict(self._wanted(name)),
        )

    async def _existing(self, topics: Collection[str] = ()) -> set[str]:
        """Return all topics of the cluster. Raises SettingError if ours have other partitions."""
        ours = {*topics, *self._topics, self._ownership_topic}
        found = {entry["topic"]: entry for entry in await self._admin.describe_topics()}
        for name in sorted(ours & set(found)):
            there = len(found[name]["partitions"])
            if there != self._partitions:
                raise SettingError(
                    f"PFDO_PARTITIONS is {self._partitions}, but {name} has {there} partitions:"
                    f" set PFDO_PARTITIONS={there}, the number is fixed for an installation's life"
                )
        return set(found)

    async def _require(self, topics: Collection[str]) -> None:
        """Raise BusUnavailableError if a topic is not there.

        Many brokers make a topic when its name is first asked for, with their own number of
        partitions and a retention that loses records: then it is there for good, and wrong.
        """
        if self._known.issuperset(topics):
            return
        async with self._asking("which topics there are"):
            self._known |= await self._existing(topics)
        missing = sorted(set(topics) - self._known)
        if missing:
            user = self._security.get("sasl_plain_username")
            or_hidden = f"; or {user} may not see them: pfdo topics acls" if user else ""
            raise BusUnavailableError(
                f"{missing[0]} is not there, {len(missing)} of {len(topics)} topics are missing."
                f" Make them: pfdo topics create{or_hidden}"
            )

    def _every(self, topics: Collection[str]) -> list[Any]:
        return [TopicPartition(topic, at) for topic in topics for at in range(self._partitions)]

    @asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[None]:
        """Give a question to the cluster its limit, and its failure the port's name."""
        if self._admin is None:
            raise BusUnavailableError(f"{what}: the bus is not started")
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                yield
        except _TROUBLE as error:
            raise BusUnavailableError(f"{what}: {error!r}") from error


@asynccontextmanager
async def _opening(what: str, let_go: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Give an opening its limit, and its failure the port's name; let go of what failed to open."""
    try:
        async with asyncio.timeout(OPEN_SECONDS_MAX):
            yield
    except _TROUBLE as error:
        await let_go()
        raise BusUnavailableError(f"{what}: {error!r}") from error
    except BaseException:
        await let_go()
        raise


class KafkaReader:
    """Reads one partition of several topics with a consumer of its own that belongs to no group.

    A task empties the consumer into buffers all the time: a topic of which aiokafka has held
    something for more than 100 ms is left out of its next long fetch, and would be half a second
    late.
    """

    def __init__(
        self, consumer: Any, ends: Mapping[Any, int], closed: Callable[["KafkaReader"], None]
    ) -> None:
        self._consumer = consumer
        self._closed = closed
        self._places = {place.topic: place for place in ends}
        self._buffers: dict[str, deque[Any]] = {topic: deque() for topic in self._places}
        self._bytes = dict.fromkeys(self._places, 0)
        self._paused: set[str] = set()
        # Where the topics ended when the reader was opened, until the first fetch says more.
        self._ends = dict(ends)
        self._opened_at = time.monotonic()
        never: tuple[int | None, float] = (None, self._opened_at)
        self._answers = dict.fromkeys(self._places, never)
        self._polls = 0
        self._fetched_at = 0.0
        self._news = asyncio.Event()
        self._pump = asyncio.create_task(self._empty_consumer())

    async def poll(
        self, topics: Collection[str], records_max: int, timeout_seconds: float
    ) -> Polled:
        """Return what waits (the port says the rest).

        Raises HaltError if the records at a position are no longer kept or never were, and
        BusUnavailableError if Kafka has not answered for SILENCE_SECONDS_MAX.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        # Nothing below waits if there is no time for it: then nobody could fetch.
        await asyncio.sleep(0)
        ended_before: frozenset[str] | None = None
        stood: Mapping[str, int] | None = None
        while True:
            self._news.clear()
            self._check(topics)
            records = self._take(topics, records_max)
            polled = await self._polled(topics, records)
            ended_before = polled.ended if ended_before is None else ended_before
            stood = polled.next_offsets if stood is None else stood
            left = deadline - loop.time()
            if records or polled.ended - ended_before or polled.next_offsets != stood or left <= 0:
                return polled
            if time.monotonic() - self._fetched_at < MARKERS_SECONDS:
                # The marker of a transaction follows its records and wakes nobody.
                left = min(left, MARKERS_POLL_SECONDS)
            if len(polled.ended) < len(topics):
                left = min(left, CATCHING_UP_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()

    async def close(self) -> None:
        """Let go of the consumer."""
        self._closed(self)
        self._pump.cancel()
        await asyncio.wait([self._pump], timeout=STOP_SECONDS_MAX)
        # A cancelled task keeps its error until it is asked for it. The error knows this reader and
        # all that waits in it, megabytes, which would stay until garbage is looked for.
        with suppress(asyncio.CancelledError, asyncio.InvalidStateError):
            self._pump.exception()
        await stopped(self._consumer.stop())

    async def _empty_consumer(self) -> None:
        try:
            while True:
                fetched = await self._consumer.getmany(timeout_ms=FETCH_WAIT_MS * 10)
                for place, records in fetched.items():
                    topic = place.topic
                    self._buffers[topic].extend(records)
                    self._bytes[topic] += sum(map(_size, records))
                    if self._bytes[topic] >= BUFFER_BYTES_MAX:
                        self._paused.add(topic)
                        self._consumer.pause(place)
                if fetched:
                    self._fetched_at = time.monotonic()
                    self._news.set()
        finally:
            self._news.set()

    def _take(self, topics: Collection[str], records_max: int) -> dict[str, Sequence[Record]]:
        """Take records of each topic in turn, so that a full one does not starve the others."""
        waiting = sorted(topic for topic in topics if self._buffers[topic])
        taken: dict[str, Sequence[Record]] = {}
        if not waiting:
            return taken
        left = records_max
        turn = self._polls % len(waiting)
        self._polls += 1
        for place, topic in enumerate(waiting[turn:] + waiting[:turn]):
            share = -(-left // (len(waiting) - place))
            buffer = self._buffers[topic]
            raw = [buffer.popleft() for _ in range(min(share, len(buffer)))]
            if not raw:
                continue
            left -= len(raw)
            taken[topic] = [_record(one) for one in raw]
            self._bytes[topic] -= sum(map(_size, raw))
            if topic in self._paused and self._bytes[topic] <= BUFFER_BYTES_MAX // 2:
                self._paused.discard(topic)
                self._consumer.resume(self._places[topic])
        return taken

    async def _polled(
        self, topics: Collection[str], records: Mapping[str, Sequence[Record]]
    ) -> Polled:
        next_offsets = {}
        ended = set()
        now = time.monotonic()
        for topic in topics:
            place = self._places[topic]
            if self._buffers[topic]:
                next_offsets[topic] = self._buffers[topic][0].offset
                continue
            # Never waits: the position was set by `seek`.
            at = next_offsets[topic] = await self._consumer.position(place)
            fetched_ms = self._consumer.last_poll_timestamp(place)
            if fetched_ms is None:
                end: int | None = self._ends[place]
                age_seconds = now - self._opened_at
            else:
                end = self._consumer.last_stable_offset(place)
                age_seconds = time.time() - fetched_ms / 1000
            # A fetch of the future says that the clock was put back: nobody knows how old it is.
            if end is not None and at >= end and 0 <= age_seconds <= ENDED_SECONDS_MAX:
                ended.add(topic)
        return Polled(records=records, next_offsets=next_offsets, ended=frozenset(ended))

    def _check(self, topics: Collection[str]) -> None:
        """Raise if reading has failed, or if Kafka is silent."""
        if self._pump.done():
            error = None if self._pump.cancelled() else self._pump.exception()
            if isinstance(error, OffsetOutOfRangeError):
                raise HaltError(
                    f"{error}: the records at this position are not kept, or the topic was made"
                    " anew; nothing may be skipped unseen"
                ) from error
            raise BusUnavailableError(f"the reader has failed: {error!r}") from error
        now = time.monotonic()
        for topic in topics:
            answer = self._consumer.last_poll_timestamp(self._places[topic])
            known, since = self._answers[topic]
            if answer != known or self._buffers[topic]:
                self._answers[topic] = (answer, now)
            elif now - since > SILENCE_SECONDS_MAX:
                raise BusUnavailableError(f"no answer about {topic} for {now - since:.0f} s")


class KafkaWriter:
    """The transactional producer of a service's partition; opening a newer one fences it.

    The broker also fences a producer whose transaction took longer than TRANSACTION_TIMEOUT_MS, and
    does not say which of the two it was. So whoever gets FencedError and still owns the partition,
    by its ownership, takes over again.

    A broker that stood still longer than its session may lose the markers that end a transaction
    it has acknowledged: nobody can read on from there, whoever asks for the producer's epoch. The
    markers of the next transaction in the same partition end both; so one without records does
    (docs/adr/0015).
    """

    def __init__(
        self,
        producer: Any,
        name: str,
        stable_ends: Callable[[Collection[tuple[str, int]]], Awaitable[Mapping[Any, int]]],
        closed: Callable[["KafkaWriter"], None],
    ) -> None:
        self._producer = producer
        self._name = name
        self._stable_ends = stable_ends
        self._closed = closed
        self._failed = False
        self._pause_until = 0.0
        self._unread: dict[tuple[str, int], tuple[int, float]] = {}
        """The end of what was appended and not yet seen to be readable, and since when."""
        self.is_mended = False

    async def append(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Append an atomic round (the port says the rest). HaltError: a record is too large."""
        if not records:
            return ()
        async with self._transaction():
            for topic in sorted({record.topic for record in records}):
                await self._producer.partitions_for(topic)
            appended = await _send(self._producer, records)
        now = time.monotonic()
        for record in appended:
            self._unread[record.topic, record.partition] = (record.offset + 1, now)
        return appended

    async def end_rounds_before(self, ends: Mapping[tuple[str, int], int]) -> None:
        """End what writers before this one have left open in the places, which end at `ends`."""
        self._unread = {place: (end, -HANGING_SECONDS_MIN) for place, end in ends.items()}
        self.is_mended = await self._end_hanging()

    async def ensure_readable(self) -> None:
        """End rounds whose markers were lost (the port says the rest)."""
        await self._end_hanging()

    async def _end_hanging(self) -> bool:
        now = time.monotonic()
        old = {
            place: end
            for place, (end, since) in self._unread.items()
            if now - since >= HANGING_SECONDS_MIN
        }
        if not old:
            return False
        stable = await self._stable_ends(old)
        # On a topic with several writers it may also be a round of another one, under way or
        # hanging: then a marker changes nothing.
        hanging = sorted(place for place, end in old.items() if stable[place] < end)
        for place in old:
            del self._unread[place]
        if not hanging:
            return False
        log.warning("ending what cannot be read on", service=self._name, place=str(hanging))
        async with self._transaction():
            for place in hanging:
                self._producer._txn_manager.maybe_add_partition_to_txn(  # noqa: SLF001
                    TopicPartition(*place)
                )
        self._unread |= {place: (old[place], now) for place in hanging}
        return True

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Commit what is done inside, or raise what the port says: then open another writer."""
        if self._failed:
            raise BusUnavailableError(f"the writer of {self._name} has failed before: open another")
        await asyncio.sleep(max(0.0, self._pause_until - time.monotonic()))
        self._failed = True
        try:
            async with asyncio.timeout(APPEND_SECONDS_MAX):
                await self._producer.begin_transaction()
                yield
                await self._producer.commit_transaction()
        except _FENCED as error:
            raise FencedError(f"{self._name}: a newer writer was opened") from error
        except _TOO_LARGE as error:
            raise HaltError(f"{self._name}: a record is larger than Kafka takes") from error
        except (*_TROUBLE, IllegalOperation) as error:
            if isinstance(_end_of_sender(self._producer), _FENCED):
                raise FencedError(f"{self._name}: a newer writer was opened") from error
            raise BusUnavailableError(f"{self._name}: the round is in doubt: {error!r}") from error
        self._failed = False
        self._pause_until = time.monotonic() + ROUND_PAUSE_SECONDS

    async def close(self) -> None:
        """Let go of the producer. A round that is still open is given up."""
        self._failed = True
        self._closed(self)
        await _stop_producer(self._producer)


class KafkaOwnership:
    """One member of the consumer group of a service.

    The group only shares out partition numbers: nothing is read, so nothing is committed.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        service: str,
        topic: str,
        group_instance_id: str | None,
        closed: Callable[["KafkaOwnership"], None],
    ) -> None:
        self._service = service
        self._closed = closed
        self._owned: frozenset[int] | None = None
        self._changed = asyncio.Event()
        self._over = False
        self._subscriber: Any = broker.subscriber(
            topic,
            batch=True,
            group_id=f"pfdo-{service}",
            group_instance_id=group_instance_id,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            auto_offset_reset="latest",
            isolation_level="read_committed",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            batch_timeout_ms=OWNERSHIP_POLL_MS,
            max_records=1,
            listener=_Listener(self),
            parser=_parse_anything,
            decoder=_decode_nothing,
        )
        self._subscriber(_discard)
        self._joining = asyncio.create_task(self._join())
        self._joining.add_done_callback(lambda _joined: self._changed.set())

    async def changes(self) -> AsyncIterator[frozenset[int]]:
        """Yield the partitions owned now, and again after each change, until `close`.

        Between giving up and getting anew, in a rebalance, nothing is yielded: who keeps a
        partition works on, who lost it is fenced by the next owner. Raises what nobody foresaw and
        kept it from joining.
        """
        known: frozenset[int] | None = None
        while not self._over:
            self._changed.clear()
            if self._joining.done():
                self._joining.result()
            if self._owned is not None and self._owned != known:
                known = self._owned
                yield known
            else:
                await self._changed.wait()

    async def close(self) -> None:
        """Leave the group."""
        self._over = True
        self._changed.set()
        self._closed(self)
        # Not cancelled at once: aiokafka forgets a connection that it is just opening.
        await asyncio.wait([self._joining], timeout=JOIN_SECONDS_SPARED)
        self._joining.cancel()
        await asyncio.wait([self._joining], timeout=STOP_SECONDS_MAX)
        await stopped(self._subscriber.stop())

    def note(self, partitions: frozenset[int]) -> None:
        """Take down what the group has assigned. Must not fail: aiokafka would only log it."""
        if self._subscriber.consumer is not None:
            self._subscriber.consumer.pause(*self._subscriber.consumer.assignment())
        self._owned = partitions
        self._changed.set()

    async def _join(self) -> None:
        """Start the subscriber, which waits until the group has an assignment for it."""
        while True:
            try:
                await self._subscriber.start()
            except _TROUBLE as error:
                log.warning("joining the group", service=self._service, error=repr(error))
                await stopped(self._subscriber.stop())
                await asyncio.sleep(OWNERSHIP_RETRY_SECONDS)
            else:
                return


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, ownership: KafkaOwnership) -> None:
        self._ownership = ownership

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Leave things as they are: the next assignment says what is lost."""

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Note what is owned now."""
        self._ownership.note(frozenset(place.partition for place in assigned))


async def _parse_anything(records: tuple[Any, ...]) -> KafkaMessage:
    """Look at nothing: FastStream's own parser fails at headers that are no text."""
    return KafkaMessage(raw_message=records, body=b"", consumer=FAKE_CONSUMER)


async def _decode_nothing(_message: Any) -> bytes:
    return b""


async def _discard(_body: Any) -> None:
    """Records of the ownership topic are read by the owners themselves, with readers."""


async def _send(producer: Any, records: Sequence[Outgoing]) -> Sequence[Appended]:
    """Send `records` in batches and wait until all stand; places in the order of the records."""
    batches: list[tuple[Any, Any, list[int]]] = []
    filling: dict[tuple[str, int], tuple[Any, Any, list[int]]] = {}
    for index, record in enumerate(records):
        place = (record.topic, record.partition)
        batch = filling.get(place)
        if batch is None or not _put(batch[0], record):
            batch = filling[place] = (producer.create_batch(), place, [])
            batches.append(batch)
            if not _put(batch[0], record):
                raise RecordTooLargeError(f"{record.topic}: {len(record.value or b'')} bytes")
        batch[2].append(index)
    places: list[Appended | None] = [None] * len(records)
    sent = []
    for builder, (topic, partition), _ in batches:
        builder.close()
        sent.append(await producer.send_batch(builder, topic, partition=partition))
    answers = await asyncio.gather(*sent, return_exceptions=True)
    for (_, (topic, partition), indexes), answer in zip(batches, answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        if answer.offset < 0:
            raise KafkaError(f"{topic}-{partition} stands, but its offset is not known")
        for distance, index in enumerate(indexes):
            places[index] = Appended(topic, partition, answer.offset + distance)
    return [place for place in places if place is not None]


def _put(builder: Any, record: Outgoing) -> bool:
    """Append to a batch; aiokafka answers None when it is full, and raises nothing."""
    return (
        builder.append(
            timestamp=None, key=record.key, value=record.value, headers=list(record.headers)
        )
        is not None
    )


def _record(fetched: Any) -> Record:
    headers = fetched.headers
    return Record(
        topic=fetched.topic,
        partition=fetched.partition,
        offset=fetched.offset,
        appended_at_ms=fetched.timestamp,
        key=fetched.key,
        value=fetched.value,
        headers=tuple((name, value or b"") for name, value in headers) if headers else (),
    )


def _check_settings(topic: str, code: int, message: str | None) -> None:
    """Raise what the port says where an answer about the settings of a topic is an error."""
    if code:
        told = f"settings of {topic}: {for_code(code).__name__} {message or ''}"
        raise BusUnavailableError(told)


def _size(fetched: Any) -> int:
    return int(
        RECORD_OVERHEAD_BYTES
        + max(0, fetched.serialized_key_size)
        + max(0, fetched.serialized_value_size)
        + sum(len(name) + len(value or b"") for name, value in fetched.headers or ())
    )


def _end_of_sender(producer: Any) -> BaseException | None:
    """Return what ended the task that talks to the broker; calls made after it hide the reason."""
    task = producer._sender.sender_task  # noqa: SLF001
    return None if task is None or not task.done() or task.cancelled() else task.exception()


def _retrieve(awaited: Any) -> None:
    """Look at how a future has ended, so that nobody complains that nobody did."""
    if not awaited.cancelled():
        awaited.exception()


async def _stop_producer(producer: Any) -> None:
    """End a producer at once: its own `stop` first sends what waits, for ever if need be."""
    sender, waiting = producer._sender, producer._message_accumulator  # noqa: SLF001
    waiting.fail_all(KafkaError("the producer was closed"))
    batches = {*chain.from_iterable(waiting._batches.values()), *waiting._pending_batches}  # noqa: SLF001
    # What waits for its next try is not among them, and looked for there when it has failed.
    waiting._pending_batches.update(batches)  # noqa: SLF001
    for batch in batches:
        # Nobody may be waiting for them any more: then asyncio would complain.
        for awaited in (batch.future, batch._drain_waiter):  # noqa: SLF001
            _retrieve(awaited)
    if (transactions := producer._txn_manager) is not None:  # noqa: SLF001
        ended = transactions._transaction_waiter  # noqa: SLF001
        if ended is not None:
            ended.add_done_callback(_retrieve)
    if sender.sender_task is not None:
        sender.sender_task.cancel()
    # The client first: what its sender still waits for then fails instead of timing out.
    await stopped(producer.client.close())
    await stopped(producer.stop())


async def group_members(
    bootstrap: str, groups: Sequence[str], security: KafkaSecurity = PLAIN_TEXT
) -> Mapping[str, int]:
    """Return how many members each consumer group has. Raises BusUnavailableError."""
    async with _administering(bootstrap, security) as admin:
        return {group: await _members(admin, group) for group in groups}


async def copies_missing(
    bootstrap: str, topics: Collection[str], security: KafkaSecurity = PLAIN_TEXT
) -> int:
    """Return how many copies of partitions are not in step. Raises BusUnavailableError."""
    async with _administering(bootstrap, security) as admin:
        # All there are: a topic that is named would be made, where Kafka makes topics by itself.
        described = await admin.describe_topics()
    return _copies_missing(topic for topic in described if topic["topic"] in topics)


def _copies_missing(described: Iterable[Mapping[str, Any]]) -> int:
    """Return that of what Kafka tells of topics."""
    return sum(
        len(partition["replicas"]) - len(partition["isr"])
        for topic in described
        for partition in topic["partitions"]
    )


@asynccontextmanager
async def _administering(bootstrap: str, security: KafkaSecurity) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS, **security.options
    )
    try:
        async with asyncio.timeout(OPEN_SECONDS_MAX):
            await admin.start()
            yield admin
    except _TROUBLE as error:
        raise BusUnavailableError(f"Kafka at {bootstrap}: {error!r}") from error
    finally:
        await stopped(admin.close())


async def _members(admin: Any, group: str) -> int:
    try:
        # One at a time: aiokafka reads answers about several groups with a wrong schema.
        (answer,) = await admin.describe_consumer_groups([group])
    except GroupCoordinatorNotAvailableError:
        return 0  # No group was ever made on this cluster.
    # (error code, group, state, protocol type, protocol, members, …)
    return sum(len(described[5]) for described in answer.groups)
