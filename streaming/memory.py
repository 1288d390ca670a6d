"""The bus in memory: for unit tests and the simulator. Deterministic, and with faults to order.

What it cannot do: it forgets everything with the process, and nothing is ever slow: a poll that
does not wait lets nobody else run. Transactions, crashes in between and a second owner are played
on request: `gaps`, `fault`, `MemoryOwnership.force`.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import TypeAlias

from streaming.bus import Appended, Outgoing, Polled, Record
from streaming.errors import BusUnavailableError, FencedError, HaltError, SettingError

Fault: TypeAlias = Callable[[str, str], None]
"""Called with a point and its subject; raising there is the fault.

Points with the subject `<service>-<partition>`: `append:before` (nothing stands), `append:inside`
(the round is aborted and leaves holes if there are `gaps`), `append:markers` (the round, or of an
aborted one the part in the first topic, hangs: nobody can read on from it until the writer or its
heir ends it, and then it stands), `append:after` (the round stands, its reply is lost),
`writer:before` and `writer:after` (the fence is raised). With the topic: `publish:before`,
`publish:after`. With the partition: `poll`. With nothing: `ends`.
"""


def _no_fault(_point: str, _subject: str) -> None:
    """Let everything succeed."""


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class _Log:
    """One partition of one topic."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.start = 0
        self.end = 0
        self.hanging: dict[str, int] = {}
        """The first offset of what hangs, by writer."""

    @property
    def stable(self) -> int:
        """Up to where it can be read."""
        return min(self.hanging.values(), default=self.end)

    def read(self, offset: int, records_max: int) -> Sequence[Record]:
        first = bisect_left(self.records, offset, key=attrgetter("offset"))
        last = bisect_left(self.records, self.stable, key=attrgetter("offset"))
        return self.records[first : min(first + records_max, last)]


class MemoryLog:
    """What the processes of one installation share: give it to a `MemoryBus` for each of them.

    `identity` tells it from others, `clock_ms` says the time of appending (never runs backwards
    in the log), `gaps` lets every atomic round take one more offset in each of its partitions, as
    the markers of Kafka's transactions do.
    """

    def __init__(
        self,
        partitions: int,
        *,
        identity: str = "memory",
        clock_ms: Callable[[], int] = _wall_clock_ms,
        gaps: bool = False,
    ) -> None:
        self.partitions = partitions
        self.identity = identity
        self.gaps = gaps
        self._clock_ms = clock_ms
        self._now_ms = 0
        self._logs: dict[str, list[_Log]] = {}
        self._epochs: dict[tuple[str, int], int] = {}
        self._members: dict[str, list[MemoryOwnership]] = {}
        self._grown = asyncio.Event()

    def create(self, topics: Collection[str]) -> Sequence[str]:
        """Make the topics that are not there yet and return their names, sorted."""
        made = sorted(set(topics) - set(self._logs))
        for topic in made:
            self._logs[topic] = [_Log() for _ in range(self.partitions)]
        return made

    def log(self, topic: str, partition: int) -> _Log:
        """Return a partition. Raises BusUnavailableError if there is none."""
        logs = self._logs.get(topic)
        if logs is None or not 0 <= partition < self.partitions:
            raise BusUnavailableError(f"{topic}-{partition} does not exist: create the topic first")
        return logs[partition]

    def append(
        self, records: Sequence[Outgoing], *, writer: str | None = None, is_hanging: bool = False
    ) -> Sequence[Appended]:
        """Append all of `records`, of a `writer` as a round.

        With `gaps` a round ends in a hole in each of its partitions.
        """
        logs = [self.log(record.topic, record.partition) for record in records]
        if writer is not None:
            for log in logs:
                # The end of this round also ends those before it that hang.
                first = log.hanging.pop(writer, log.end)
                if is_hanging:
                    log.hanging[writer] = first
        self._now_ms = max(self._now_ms, self._clock_ms())
        appended = []
        for log, record in zip(logs, records, strict=True):
            log.records.append(
                Record(
                    topic=record.topic,
                    partition=record.partition,
                    offset=log.end,
                    appended_at_ms=self._now_ms,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                )
            )
            appended.append(Appended(record.topic, record.partition, log.end))
            log.end += 1
        if writer is not None:
            self._mark(logs)
        self._grow()
        return appended

    def end_hanging(self, writer: str) -> Sequence[tuple[str, int]]:
        """End the rounds of a writer that hang and return where they did."""
        places = [
            (topic, partition)
            for topic, logs in self._logs.items()
            for partition, log in enumerate(logs)
            if log.hanging.pop(writer, None) is not None
        ]
        self._mark([self.log(*place) for place in places])
        self._grow()
        return places

    def _grow(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def abort(self, records: Sequence[Outgoing]) -> None:
        """Leave of a round only the holes that its records and its markers would have filled."""
        if not self.gaps:
            return
        logs = [self.log(record.topic, record.partition) for record in records]
        for log in logs:
            log.end += 1
        self._mark(logs)

    def trim(self, topic: str, partition: int, start: int) -> None:
        """Forget the records before `start`, as retention does."""
        log = self.log(topic, partition)
        log.start = max(log.start, min(start, log.end))
        del log.records[: bisect_left(log.records, log.start, key=attrgetter("offset"))]

    async def wait_for_growth(self, timeout_seconds: float) -> None:
        """Return after the next append, or after the time given."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._grown.wait()

    def next_epoch(self, service: str, partition: int) -> int:
        """Fence every writer of the service's partition that is there, and return a newer epoch."""
        epoch = self.epoch(service, partition) + 1
        self._epochs[service, partition] = epoch
        return epoch

    def epoch(self, service: str, partition: int) -> int:
        """Return the epoch of the newest writer, 0 if there was none."""
        return self._epochs.get((service, partition), 0)

    def join(self, service: str, member: "MemoryOwnership") -> None:
        """Count `member` among the owners of the service and share anew."""
        self._members.setdefault(service, []).append(member)
        self._share(service)

    def leave(self, service: str, member: "MemoryOwnership") -> None:
        """Count `member` no longer and share anew."""
        members = self._members.get(service, [])
        if member in members:
            members.remove(member)
            self._share(service)

    def _share(self, service: str) -> None:
        members = self._members[service]
        for place, member in enumerate(members):
            member.assign(frozenset(range(place, self.partitions, len(members))))

    def _mark(self, logs: Sequence[_Log]) -> None:
        if self.gaps:
            for log in {id(log): log for log in logs}.values():
                log.end += 1


class MemoryReader:
    """Reads one partition of several topics."""

    def __init__(
        self, log: MemoryLog, partition: int, positions: Mapping[str, int], fault: Fault
    ) -> None:
        self._log = log
        self._partition = partition
        self._positions = dict(positions)
        self._fault = fault
        self._polls = 0

    async def poll(
        self, topics: Collection[str], records_max: int, timeout_seconds: float
    ) -> Polled:
        """Return what waits; wait only if nothing does (the port says the rest)."""
        self._fault("poll", str(self._partition))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        records = self._take(topics, records_max)
        while not records and (left := deadline - loop.time()) > 0:
            await self._log.wait_for_growth(left)
            records = self._take(topics, records_max)
        return Polled(
            records=records,
            next_offsets={topic: self._positions[topic] for topic in topics},
            ended=frozenset(
                topic
                for topic in topics
                if self._positions[topic] >= self._log.log(topic, self._partition).stable
            ),
        )

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _take(self, topics: Collection[str], records_max: int) -> dict[str, Sequence[Record]]:
        """Take records of each topic in turn, so that a full one does not starve the others."""
        taken: dict[str, Sequence[Record]] = {}
        left = records_max
        ordered = sorted(topics)
        turn = self._polls % len(ordered) if ordered else 0
        self._polls += 1
        for place, topic in enumerate(ordered[turn:] + ordered[:turn]):
            log = self._log.log(topic, self._partition)
            position = self._positions[topic]
            if not log.start <= position <= log.end:
                raise HaltError(
                    f"{topic}-{self._partition} holds {log.start} to {log.end}, reading stands at"
                    f" {position}: records were lost, or the topic was made anew"
                )
            share = -(-left // (len(ordered) - place))
            records = log.read(position, share)
            if records:
                taken[topic] = records
                left -= len(records)
                self._positions[topic] = records[-1].offset + 1
            if not log.read(self._positions[topic], 1):
                self._positions[topic] = max(self._positions[topic], log.stable)
        return taken


class MemoryWriter:
    """The writer of a service's partition, until a newer one is opened."""

    def __init__(self, log: MemoryLog, service: str, partition: int, fault: Fault) -> None:
        self._log = log
        self._service = service
        self._partition = partition
        self._name = f"{service}-{partition}"
        self._fault = fault
        self._epoch = log.next_epoch(service, partition)
        self._closed = False
        self.is_mended = bool(log.end_hanging(self._name))

    async def append(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Append an atomic round (the port says the rest)."""
        self._fault("append:before", self._name)
        self._check()
        try:
            self._fault("append:inside", self._name)
            self._check()
        except BaseException:
            if self._loses_markers():
                first = [record for record in records if record.topic == records[0].topic]
                self._log.append(first, writer=self._name, is_hanging=True)
                records = [record for record in records if record.topic != records[0].topic]
            self._log.abort(records)
            raise
        is_hanging = self._loses_markers()
        appended = self._log.append(records, writer=self._name, is_hanging=is_hanging)
        self._fault("append:after", self._name)
        return appended

    async def ensure_readable(self) -> None:
        """End the rounds of this writer that hang."""
        if self._log.epoch(self._service, self._partition) == self._epoch:
            self._log.end_hanging(self._name)

    def _loses_markers(self) -> bool:
        try:
            self._fault("append:markers", self._name)
        except BusUnavailableError:
            return True
        return False

    async def close(self) -> None:
        """Append nothing from here."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise BusUnavailableError(f"the writer of {self._name} is closed")
        newest = self._log.epoch(self._service, self._partition)
        if newest != self._epoch:
            raise FencedError(f"{self._name}: epoch {newest} fences {self._epoch}")


class MemoryOwnership:
    """One member among those who share out the partitions of a service."""

    def __init__(self, log: MemoryLog, service: str) -> None:
        self._log = log
        self._service = service
        self._assigned: frozenset[int] = frozenset()
        self._forced: frozenset[int] | None = None
        self._changed = asyncio.Event()
        self._closed = False
        log.join(service, self)

    async def changes(self) -> AsyncIterator[frozenset[int]]:
        """Yield what is owned now, and again after each change, until `close`."""
        known: frozenset[int] | None = None
        while not self._closed:
            self._changed.clear()
            owned = self._assigned if self._forced is None else self._forced
            if owned != known:
                known = owned
                yield owned
            else:
                await self._changed.wait()

    async def close(self) -> None:
        """Give everything back to the other members."""
        self._closed = True
        self._log.leave(self._service, self)
        self._changed.set()

    def assign(self, partitions: frozenset[int]) -> None:
        """Take note of what the sharing gave this member."""
        self._assigned = partitions
        self._changed.set()

    def force(self, partitions: Collection[int] | None) -> None:
        """Own these, whoever else does too (a paused owner that wakes up); None: share again."""
        self._forced = None if partitions is None else frozenset(partitions)
        self._changed.set()


class MemoryBus:
    """One process's way to a `MemoryLog` (its own one, if none is given)."""

    def __init__(
        self, partitions: int, log: MemoryLog | None = None, *, fault: Fault = _no_fault
    ) -> None:
        self._partitions = partitions
        self.log = MemoryLog(partitions) if log is None else log
        self._fault = fault
        self._ownerships: list[MemoryOwnership] = []

    @property
    def partitions(self) -> int:
        """How many partitions every topic has."""
        return self._partitions

    async def start(self) -> None:
        """Check that the log has the partitions expected. Raises SettingError."""
        if self.log.partitions != self._partitions:
            raise SettingError(
                f"PFDO_PARTITIONS is {self._partitions}, but the log has {self.log.partitions}:"
                f" set PFDO_PARTITIONS={self.log.partitions}, it is fixed for ever"
            )

    async def stop(self) -> None:
        """Give back what this process owns."""
        for ownership in self._ownerships:
            await ownership.close()
        self._ownerships.clear()

    async def create_topics(self, topics: Collection[str]) -> Collection[str]:
        """Make the topics that are not there yet and return their names."""
        return self.log.create(topics)

    async def identity(self) -> str:
        """Return the name the log was given."""
        return self.log.identity

    async def starts(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """Return the first offset that is still kept, by (topic, partition)."""
        self._fault("ends", "")
        return {
            (topic, partition): self.log.log(topic, partition).start
            for topic in topics
            for partition in range(self._partitions)
        }

    async def ends(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """Return the offset after the last record or hole, by (topic, partition)."""
        self._fault("ends", "")
        return {
            (topic, partition): self.log.log(topic, partition).end
            for topic in topics
            for partition in range(self._partitions)
        }

    async def reader(self, partition: int, positions: Mapping[str, int]) -> MemoryReader:
        """Return a reader of `partition` of each topic named, standing at the offset given."""
        return MemoryReader(self.log, partition, positions, self._fault)

    async def writer(
        self, service: str, partition: int, _places: Collection[tuple[str, int]] = ()
    ) -> MemoryWriter:
        """Return the writer of a service's partition; from here no older one can append."""
        self._fault("writer:before", f"{service}-{partition}")
        writer = MemoryWriter(self.log, service, partition, self._fault)
        self._fault("writer:after", f"{service}-{partition}")
        return writer

    async def ownership(self, service: str) -> MemoryOwnership:
        """Take part in sharing out the partitions of a service."""
        ownership = MemoryOwnership(self.log, service)
        self._ownerships.append(ownership)
        return ownership

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Append records of a source (no fence, no round)."""
        for topic in sorted({record.topic for record in records}):
            self._fault("publish:before", topic)
        appended = self.log.append(records)
        for topic in sorted({record.topic for record in records}):
            self._fault("publish:after", topic)
        return appended
