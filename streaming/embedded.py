"""The bus on an embedded Valkey: a partitioned log of streams, for one host and quick tests.

Each topic's partition is a stream with dense offsets from 0; one function call appends a whole
round, if the writer's epoch is the newest. What it acknowledged is on the disk.

What it lacks, compared to Kafka: copies on other hosts; owners on several hosts (all partitions of
a service belong to one process, others wait until it leaves); retention (nothing is ever dropped,
and the whole log must fit into memory); quotas, access control, transactions of sources.
"""

import asyncio
import os
import socket
import struct
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from streaming.bus import Appended, Headers, Outgoing, Polled, Record
from streaming.errors import BusUnavailableError, FencedError, HaltError, SettingError
from streaming.redis_client import Argument, FunctionLibrary, RedisClient
from streaming.valkey import EmbeddedValkey

LEASE_SECONDS = 5.0
RENEWAL_SECONDS = 1.0
TURN_SECONDS = 0.2
"""How often one who waits for a lease asks again."""

_BLOCK_SECONDS_MAX = 1.0
_CANCEL_SECONDS = 1.0
_FAREWELL_SECONDS_MAX = 2.0
_ENDS = "log:ends"
_CLOCK = "log:clock"
_LENGTH = struct.Struct(">I")


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


class EmbeddedBus:
    """One process's way to the log of an embedded Valkey (or of a server at a URL, for tests).

    A server that was killed is started again by the next call that needs it.
    """

    def __init__(
        self,
        server: EmbeddedValkey | str,
        partitions: int,
        *,
        clock_ms: Callable[[], int] = _clock_ms,
    ) -> None:
        self._client = RedisClient(
            server, FunctionLibrary(Path(__file__).with_name("log.lua")), BusUnavailableError
        )
        self._partitions = partitions
        self._clock_ms = clock_ms
        self._readers: set[EmbeddedReader] = set()
        self._ownerships: set[EmbeddedOwnership] = set()

    @property
    def partitions(self) -> int:
        """How many partitions every topic has."""
        return self._partitions

    async def start(self) -> None:
        """Start or find the server, and make the log if it is new.

        Raises BusUnavailableError; SettingError if the log has another number of partitions.
        """
        await self._client.start()
        try:
            await self._make_log()
        except BaseException:
            await self._client.stop()
            raise

    async def stop(self) -> None:
        """Give back what this process owns and let go of the server. Never hangs."""
        for ownership in list(self._ownerships):
            await ownership.close()
        for reader in list(self._readers):
            await reader.close()
        await self._client.stop()

    async def create_topics(self, topics: Collection[str]) -> Collection[str]:
        """Make the topics that are not there yet and return their names, sorted."""
        asked = sorted(set(topics))
        streams = [_stream(topic, at) for topic in asked for at in range(self._partitions)]
        made = await self._client.call("create", [_ENDS], streams)
        return [topic for topic, new in zip(asked, made[:: self._partitions], strict=True) if new]

    async def identity(self) -> str:
        """Return what was drawn when the log was made."""
        identity: bytes = await self._client.execute("GET", "log:identity")
        return identity.decode()

    async def starts(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """Return 0 for every topic and partition: nothing is ever dropped."""
        return dict.fromkeys(await self.ends(topics), 0)

    async def ends(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """Return the offset after the last record, by (topic, partition)."""
        places = [(topic, at) for topic in topics for at in range(self._partitions)]
        return dict(zip(places, await _ends(self._client, places), strict=True))

    async def reader(self, partition: int, positions: Mapping[str, int]) -> "EmbeddedReader":
        """Return a reader of `partition` of each topic named, standing at the offset given."""
        reader = EmbeddedReader(self._client.sibling(), partition, positions, self._readers)
        self._readers.add(reader)
        return reader

    async def writer(
        self, service: str, partition: int, _places: Collection[tuple[str, int]] = ()
    ) -> "EmbeddedWriter":
        """Return the writer of a service's partition; from here no older one can append."""
        fence = f"log:fence:{service}:{partition}"
        epoch = int(await self._client.execute("INCR", fence))
        return EmbeddedWriter(self._client, fence, epoch, self._clock_ms)

    async def ownership(self, service: str) -> "EmbeddedOwnership":
        """Try to own all partitions of a service; wait while another process has them."""
        ownership = EmbeddedOwnership(
            self._client, f"log:lease:{service}", self._partitions, self._ownerships
        )
        self._ownerships.add(ownership)
        return ownership

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Append records of a source (no fence); durable when it returns."""
        return await _append(self._client, self._clock_ms(), "", "", records)

    async def _make_log(self) -> None:
        await self._client.execute("SET", "log:identity", uuid.uuid4().hex, "NX")
        await self._client.execute("SET", "log:partitions", self._partitions, "NX")
        kept = int(await self._client.execute("GET", "log:partitions"))
        if kept != self._partitions:
            raise SettingError(
                f"PFDO_PARTITIONS is {self._partitions}, but the log has {kept}:"
                f" set PFDO_PARTITIONS={kept}, it is fixed for the life of an installation."
            )


class EmbeddedReader:
    """Reads one partition of several topics, over a connection of its own."""

    def __init__(
        self,
        client: RedisClient,
        partition: int,
        positions: Mapping[str, int],
        open_readers: set["EmbeddedReader"],
    ) -> None:
        self._client = client
        self._partition = partition
        self._positions = dict(positions)
        self._open = open_readers
        self._polls = 0

    async def poll(
        self, topics: Collection[str], records_max: int, timeout_seconds: float
    ) -> Polled:
        """Return what waits; wait only if nothing does (the port says the rest).

        Raises HaltError if a position lies beyond the end: then this is not the log it was read
        from before.
        """
        if self not in self._open:
            raise BusUnavailableError("the reader is closed")
        deadline = time.monotonic() + timeout_seconds
        ordered = sorted(set(topics))
        while True:
            # What follows is answered as of this moment; later records are left for later.
            ends = await self._ends(ordered)
            if any(end > self._positions[topic] for topic, end in ends.items()):
                break
            left = deadline - time.monotonic()
            if left <= 0 or not ordered:
                break
            await self._wait(ordered, min(left, _BLOCK_SECONDS_MAX))
        records = await self._read(self._shared_out(ends, records_max))
        for topic, found in records.items():
            self._positions[topic] = found[-1].offset + 1
        return Polled(
            records=records,
            next_offsets={topic: self._positions[topic] for topic in ordered},
            ended=frozenset(topic for topic in ordered if self._positions[topic] == ends[topic]),
        )

    async def close(self) -> None:
        """Let go of the connection."""
        if self in self._open:
            self._open.discard(self)
            await self._client.stop()

    async def _ends(self, topics: Sequence[str]) -> Mapping[str, int]:
        places = [(topic, self._partition) for topic in topics]
        ends = dict(zip(topics, await _ends(self._client, places), strict=True))
        for topic, end in ends.items():
            if self._positions[topic] > end:
                raise HaltError(
                    f"{topic}-{self._partition} ends at {end}, reading stands at"
                    f" {self._positions[topic]}: the data directory of the bus is another one, or"
                    " was deleted. Bring it back, or delete that of the state too."
                )
        return ends

    async def _wait(self, topics: Sequence[str], seconds: float) -> None:
        """Return when one of the topics has grown. The answer may be of one topic only: drop it."""
        streams = [_stream(topic, self._partition) for topic in topics]
        after = [f"{self._positions[topic]}-0" for topic in topics]
        milliseconds = max(int(seconds * 1_000), 1)
        await self._client.execute(
            "XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", *streams, *after
        )

    def _shared_out(self, ends: Mapping[str, int], records_max: int) -> Mapping[str, int]:
        """Return how many records to read of each topic: equal shares, what one leaves to others.

        Each time another topic comes first, so that none starves when there are fewer records to
        be had than topics.
        """
        waiting = {
            topic: end - self._positions[topic]
            for topic, end in ends.items()
            if end > self._positions[topic]
        }
        turned = list(waiting)
        turn = self._polls % max(len(turned), 1)
        self._polls += 1
        shares = dict.fromkeys(turned[turn:] + turned[:turn], 0)
        left = records_max
        while left > 0 and (hungry := [t for t in shares if shares[t] < waiting[t]]):
            for topic in hungry:
                share = min(waiting[topic] - shares[topic], max(left // len(hungry), 1))
                shares[topic] += min(share, left)
                left -= min(share, left)
        return {topic: share for topic, share in shares.items() if share}

    async def _read(self, shares: Mapping[str, int]) -> dict[str, Sequence[Record]]:
        if not shares:
            return {}
        answers = await self._client.execute_all(
            [
                (
                    "XRANGE",
                    _stream(topic, self._partition),
                    f"{self._positions[topic] + 1}-0",
                    f"{self._positions[topic] + share}-0",
                )
                for topic, share in shares.items()
            ]
        )
        records: dict[str, Sequence[Record]] = {}
        for (topic, share), entries in zip(shares.items(), answers, strict=True):
            if len(entries) != share:
                raise HaltError(
                    f"{topic}-{self._partition} lacks records after {self._positions[topic]}: the"
                    " files of the bus are damaged. Bring back a copy."
                )
            records[topic] = [_record(topic, self._partition, *entry) for entry in entries]
        return records


class EmbeddedWriter:
    """The writer of a service's partition, until a newer one is opened."""

    is_mended = False

    def __init__(
        self, client: RedisClient, fence: str, epoch: int, clock_ms: Callable[[], int]
    ) -> None:
        self._client = client
        self._fence = fence
        self._epoch = epoch
        self._clock_ms = clock_ms
        self._closed = False

    async def append(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Append an atomic round (the port says the rest)."""
        if self._closed:
            raise BusUnavailableError(f"the writer of {self._fence} is closed, or was in doubt")
        try:
            return await _append(
                self._client, self._clock_ms(), self._fence, str(self._epoch), records
            )
        except (BusUnavailableError, asyncio.CancelledError):
            self._closed = True
            raise

    async def ensure_readable(self) -> None:
        """A round stands as a whole, and can be read at once."""

    async def close(self) -> None:
        """Append nothing from here."""
        self._closed = True


class EmbeddedOwnership:
    """One who owns all partitions of a service, or waits for them.

    The lease names its holder: one whose process is gone loses it at once, one that is paused or
    cut off when it ran out. A holder that wakes up too late is fenced by its heir's writers.
    """

    def __init__(
        self,
        client: RedisClient,
        lease: str,
        partitions: int,
        open_ownerships: set["EmbeddedOwnership"],
    ) -> None:
        self._client = client
        self._lease = lease
        self._all = frozenset(range(partitions))
        self._open = open_ownerships
        pid = os.getpid()
        self._token = f"{socket.gethostname()} {pid} {_started(pid)} {uuid.uuid4().hex}"
        self._owned: frozenset[int] | None = None
        self._held_until = 0.0
        self._changed = asyncio.Event()
        self._closed = False
        self._keeping = asyncio.create_task(self._keep())

    async def changes(self) -> AsyncIterator[frozenset[int]]:
        """Yield what is owned now, and again after each change, until `close`."""
        known: frozenset[int] | None = None
        while not self._closed:
            self._changed.clear()
            if self._owned is not None and self._owned != known:
                known = self._owned
                yield known
            elif self._keeping.done():
                # A defect ended it: let it be heard.
                await self._keeping
            else:
                await self._changed.wait()

    async def close(self) -> None:
        """Give everything back."""
        if self._closed:
            return
        self._closed = True
        self._open.discard(self)
        while not self._keeping.done():
            # Again and again: a cancellation that comes together with an answer is lost in it.
            self._keeping.cancel()
            await asyncio.wait([self._keeping], timeout=_CANCEL_SECONDS)
        with suppress(BusUnavailableError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS_MAX):
                await self._client.call("give_lease", [self._lease], [self._token])
        self._changed.set()

    async def _keep(self) -> None:
        try:
            await self._take_and_renew()
        finally:
            self._own(frozenset())

    async def _take_and_renew(self) -> None:
        dead = ""
        while True:
            asked_at = time.monotonic()
            arguments: list[Argument] = [self._token, int(LEASE_SECONDS * 1_000), dead]
            try:
                answer: bytes = await self._client.call("take_lease", [self._lease], arguments)
            except BusUnavailableError:
                if time.monotonic() >= self._held_until:
                    self._own(frozenset())
                await asyncio.sleep(TURN_SECONDS)
                continue
            holder = answer.decode()
            if holder == self._token:
                self._held_until = asked_at + LEASE_SECONDS
                self._own(self._all)
                await asyncio.sleep(RENEWAL_SECONDS)
            else:
                self._own(frozenset())
                if holder != dead and _is_gone(holder):
                    dead = holder
                else:
                    await asyncio.sleep(TURN_SECONDS)

    def _own(self, partitions: frozenset[int]) -> None:
        self._owned = partitions
        self._changed.set()


async def _append(
    client: RedisClient, now_ms: int, fence: str, epoch: str, records: Sequence[Outgoing]
) -> Sequence[Appended]:
    if not records:
        return []
    streams: dict[str, int] = {}
    arguments: list[Argument] = [now_ms, epoch]
    for record in records:
        number = streams.setdefault(_stream(record.topic, record.partition), len(streams) + 1)
        fields: list[Argument] = []
        if record.key is not None:
            fields += ("k", record.key)
        if record.value is not None:
            fields += ("v", record.value)
        if record.headers:
            fields += ("h", _packed(record.headers))
        arguments += (number, len(fields) // 2, *fields)

    kind, *offsets = await client.call("append", [_ENDS, _CLOCK, fence, *streams], arguments)

    if kind == b"fenced":
        raise FencedError(f"{fence}: epoch {offsets[0].decode()} fences {epoch}")
    if kind == b"missing":
        raise BusUnavailableError(f"{offsets[0].decode()} does not exist: create the topic first")
    following = {stream: int(offset) for stream, offset in zip(streams, offsets, strict=True)}
    appended = []
    for record in records:
        stream = _stream(record.topic, record.partition)
        appended.append(Appended(record.topic, record.partition, following[stream]))
        following[stream] += 1
    return appended


async def _ends(client: RedisClient, places: Sequence[tuple[str, int]]) -> Sequence[int]:
    if not places:
        return []
    streams = [_stream(topic, partition) for topic, partition in places]
    ends: list[bytes | None] = await client.execute("HMGET", _ENDS, *streams)
    for stream, end in zip(streams, ends, strict=True):
        if end is None:
            raise BusUnavailableError(f"{stream} does not exist: create the topic first")
    return [int(end) for end in ends if end is not None]


def _stream(topic: str, partition: int) -> str:
    return f"log:topic:{topic}:{partition}"


def _record(topic: str, partition: int, entry_id: bytes, content: Sequence[Any]) -> Record:
    fields = dict(zip(content[::2], content[1::2], strict=True))
    return Record(
        topic=topic,
        partition=partition,
        offset=int(entry_id.partition(b"-")[0]) - 1,
        appended_at_ms=int(fields[b"t"]),
        key=fields.get(b"k"),
        value=fields.get(b"v"),
        headers=_unpacked(fields[b"h"]) if b"h" in fields else (),
    )


def _packed(headers: Headers) -> bytes:
    """Return headers as one value: a name may come twice, and any byte may be in them."""
    parts = [part for name, value in headers for part in (name.encode(), value)]
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


# Most records of a topic carry the same ones.
@lru_cache(maxsize=64)
def _unpacked(packed: bytes) -> Headers:
    parts = []
    at = 0
    while at < len(packed):
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size
        parts.append(packed[at : at + length])
        at += length
    return tuple(
        (name.decode(), value) for name, value in zip(parts[::2], parts[1::2], strict=True)
    )


def _is_gone(holder: str) -> bool:
    """Return whether the holder of a lease ran on this host and does not any more."""
    host, pid, started, _ = holder.rsplit(" ", 3)
    return host == socket.gethostname() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """Return when a process began, in whatever unit tells it from a later one of that number.

    Nothing if there is no such process; a question mark where the system does not say when.
    """
    try:
        # After the name, which may hold spaces and brackets: state, …, the 20th is the start.
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        pass
    else:
        return "" if status[0] in "ZX" else status[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "?"
