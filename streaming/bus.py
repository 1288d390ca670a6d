"""The port of the bus: a partitioned log that is read from positions and appended to under a fence.

Three forms: `kafka.py` (production), `embedded.py` (one host, Valkey streams), `memory.py` (tests).
What each of them must do stands in `tests/streaming/bus_behaviour.py`, which all of them inherit.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

Headers = tuple[tuple[str, bytes], ...]


class Record(Struct, frozen=True):
    """One record as it was read. `offset` grows within a partition but may have holes."""

    topic: str
    partition: int
    offset: int
    appended_at_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def place(self) -> str:
        """Return where it stands, as logs and halts say it: TOPIC PARTITION/OFFSET."""
        return f"{self.topic} {self.partition}/{self.offset}"


class Outgoing(Struct, frozen=True):
    """One record to be appended. The partition is always said, never left to a client's default."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Appended(Struct, frozen=True):
    """Where an outgoing record came to stand."""

    topic: str
    partition: int
    offset: int


class Polled(Struct, frozen=True):
    """What one poll brought.

    `records`: by topic, in order of offset (only topics that were asked for and had some).
    `next_offsets`: for every topic asked for, where reading goes on after these records; it steps
    over what is no record (transaction markers).
    `ended`: topics that, as of this poll, held nothing at `next_offsets` or after it.
    """

    records: Mapping[str, Sequence[Record]]
    next_offsets: Mapping[str, int]
    ended: frozenset[str]


class Reader(Protocol):
    """Reads one partition of several topics. Sees only what was appended for good."""

    async def poll(
        self, topics: Collection[str], records_max: int, timeout_seconds: float
    ) -> Polled:
        """Return what waits in `topics` (a subset of the reader's), at most `records_max` in all.

        Comes back as soon as there is a record or a topic has newly turned out to be at its end,
        or after `timeout_seconds`. Raises BusUnavailableError (close this reader then), and
        HaltError if the records at a position are no longer kept or never were.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Never raises, never hangs."""
        ...


class Writer(Protocol):
    """The one writer of a service's partition."""

    @property
    def is_mended(self) -> bool:
        """Whether opening it ended a round of before that nobody could read.

        Of such a round it is not known whether all its parts stand: one of them may have been
        given up.
        """
        ...

    async def append(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Append all of `records`, to any topics, as one atomic round; durable when it returns.

        Raises FencedError if a newer writer of the same service and partition was opened, and
        BusUnavailableError if it is not known whether the round stands: close this writer then.
        """
        ...

    async def ensure_readable(self) -> None:
        """Look after what was appended, and end rounds that nobody can read on from.

        Costs little: ask often. Raises what `append` does.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Never raises, never hangs."""
        ...


class Ownership(Protocol):
    """Which partitions of a service this process owns, as settled with the others."""

    def changes(self) -> AsyncIterator[frozenset[int]]:
        """Yield the partitions owned now, and again after each change, until `close`."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


class Bus(Protocol):
    """A partitioned log. Every topic has the same number of partitions, fixed for its life."""

    @property
    def partitions(self) -> int:
        """How many partitions every topic has."""
        ...

    async def start(self) -> None:
        """Connect. Raises BusUnavailableError; SettingError if the partitions differ."""
        ...

    async def stop(self) -> None:
        """Let go of everything that was opened. Never hangs."""
        ...

    async def create_topics(self, topics: Collection[str]) -> Collection[str]:
        """Make the topics that are not there yet and return their names."""
        ...

    async def identity(self) -> str:
        """Return what tells this installation of the bus from every other one."""
        ...

    async def starts(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """Return the first offset that is still kept, by (topic, partition)."""
        ...

    async def ends(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """Return the offset after the last record, by (topic, partition).

        Everything appended before the question lies before it, rounds under way too.
        """
        ...

    async def reader(self, partition: int, positions: Mapping[str, int]) -> Reader:
        """Return a reader of `partition` of each topic named, standing at the offset given."""
        ...

    async def writer(
        self, service: str, partition: int, places: Collection[tuple[str, int]] = ()
    ) -> Writer:
        """Return the writer of a service's partition; from here no older one can append.

        `places`: every (topic, partition) that it may append to. What writers before it appended
        there can be read from here on, or soon after.
        """
        ...

    async def ownership(self, service: str) -> Ownership:
        """Take part in sharing out the partitions of a service among its processes."""
        ...

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Append records of a source (no fence, no round); durable when it returns.

        A record may stand twice after an error: sources are protected by natural keys.
        Raises BusUnavailableError.
        """
        ...
