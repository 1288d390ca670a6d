"""The port of state: small values under keys and sorted indexes, changed by one conditional commit.

Two forms: `redis_store.py` (Redis or Valkey, by the functions of `commit.lua`) and
`memory_store.py`. What both must do stands in `tests/streaming/store_behaviour.py`.
A store holds one service's partitions; all it holds can be folded again from the journal.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct, field

WRITES_MAX = 2_000
COMMIT_BYTES_MAX = 4 * 1024 * 1024
"""What one commit may hold; checked before the first write (promises.md, section 5)."""


class Standing(Struct, frozen=True):
    """The position record of a partition.

    `epoch` grows with every taking over, `seq` with every commit. `fields` are the owner's own
    (positions, end of the journal, fingerprint, …), opaque here. `outbox` is how many entries wait.
    Not `is_whole` says that a part of a commit was done: it takes no more until it is cleared.
    """

    epoch: int
    seq: int
    fields: Mapping[str, bytes]
    outbox: int
    is_whole: bool

    def is_at(self, epoch: int, seq: int) -> bool:
        """Return whether the partition is where its owner left it, and takes his next commit."""
        return self.is_whole and (self.epoch, self.seq) == (epoch, seq)


class Room(Struct, frozen=True):
    """How much memory a server holds, and at how much it takes no more writes; 0: it sets none."""

    used_bytes: int
    max_bytes: int


class Range(Struct, frozen=True):
    """A question to a sorted index: members from `start` to before `end` (None: to the last)."""

    index: str
    start: str = ""
    end: str | None = None
    members_max: int = 500


class Count(Struct, frozen=True):
    """A question to a sorted index: how many members from `start` to before `end`."""

    index: str
    start: str = ""
    end: str | None = None


class Looked(Struct, frozen=True):
    """Answers in the order of the questions; a key that is not there answers None."""

    values: Sequence[bytes | None]
    ranges: Sequence[Sequence[str]]
    counts: Sequence[int]


class Loaded(Looked, frozen=True):
    """Answers, and where the partition stood when it gave them.

    What an owner reads elsewhere than where it stands itself is not its state.
    """

    epoch: int
    seq: int


class Outbox(Struct, frozen=True):
    """The oldest entries of the outbox, in order, and where the partition stood at the answer."""

    entries: Sequence[bytes]
    epoch: int
    seq: int


class Commit(Struct, frozen=True, kw_only=True):
    """All effects of a batch. Applied as a whole or not at all.

    `fields` are set in the position record. `outbox` entries are appended in order; `trim` entries
    are taken off its front first. Members of indexes are UTF-8 text, sorted by their bytes.
    Deletes and removals come first: what is both removed and added is there afterwards.
    """

    expected_seq: int
    fields: Mapping[str, bytes] = field(default_factory=dict)
    writes: Mapping[str, bytes] = field(default_factory=dict)
    deletes: Collection[str] = ()
    index_adds: Collection[tuple[str, str]] = ()
    index_removes: Collection[tuple[str, str]] = ()
    outbox: Sequence[bytes] = ()
    trim: int = 0

    @property
    def changes(self) -> int:
        """How many of `WRITES_MAX` this commit takes: writes, deletes and changes of indexes."""
        return len(self.writes) + len(self.deletes) + len(self.index_adds) + len(self.index_removes)

    @property
    def size_bytes(self) -> int:
        """How many of `COMMIT_BYTES_MAX` this commit takes: all its names, values and entries."""
        return (
            sum(len(name.encode()) + len(value) for name, value in self.fields.items())
            + sum(len(key.encode()) + len(value) for key, value in self.writes.items())
            + sum(len(key.encode()) for key in self.deletes)
            + sum(len(index.encode()) + len(member.encode()) for index, member in self.index_adds)
            + sum(
                len(index.encode()) + len(member.encode()) for index, member in self.index_removes
            )
            + sum(len(entry) for entry in self.outbox)
        )

    def check(self) -> None:
        """Raise ValueError if the commit is above a limit: no store may begin with such a one."""
        if self.changes > WRITES_MAX:
            raise ValueError(f"a commit of {self.changes} changes is above {WRITES_MAX}: split it")
        if self.size_bytes > COMMIT_BYTES_MAX:
            raise ValueError(
                f"a commit of {self.size_bytes} bytes is above {COMMIT_BYTES_MAX}: split it"
            )
        if self.trim < 0:
            raise ValueError(f"a commit cannot trim {self.trim} entries")


class Committed(Struct, frozen=True):
    """The commit stands; the partition is now at `seq`."""

    seq: int


class Behind(Struct, frozen=True):
    """Nothing was written: the store is not where its owner left it, the partition is at `seq`.

    Also the answer of a store that forgot the owner's epoch (wiped, or an older copy of itself),
    and of one that is not whole.
    """

    seq: int


class Fenced(Struct, frozen=True):
    """Nothing was written: a newer `epoch` owns the partition."""

    epoch: int


Answer: TypeAlias = Committed | Behind | Fenced


class Store(Protocol):
    """State of one service. Every method raises StoreUnavailableError when there is no answer.

    `version` is the service's STATE_VERSION: each version has its own keys, the epoch is shared.
    """

    async def start(self) -> None:
        """Connect and load the functions. Raises StoreUnavailableError, SettingError."""
        ...

    async def stop(self) -> None:
        """Let go of connections. Never hangs."""
        ...

    async def take_over(self, partition: int, version: int) -> Standing:
        """Raise the epoch of the partition and return its standing: older owners are fenced.

        No epoch is given twice, not even after the store was wiped.
        """
        ...

    async def standing(self, partition: int, version: int) -> Standing:
        """Return the standing without changing anything."""
        ...

    async def load(
        self,
        partition: int,
        version: int,
        keys: Sequence[str] = (),
        ranges: Sequence[Range] = (),
        counts: Sequence[Count] = (),
    ) -> Loaded:
        """Answer all questions of an owner in one round trip."""
        ...

    async def look(
        self,
        partition: int,
        version: int,
        keys: Sequence[str] = (),
        ranges: Sequence[Range] = (),
        counts: Sequence[Count] = (),
    ) -> Looked:
        """Answer all questions of somebody who shows and decides nothing, in one round trip."""
        ...

    async def commit(self, partition: int, version: int, epoch: int, commit: Commit) -> Answer:
        """Apply a commit if `epoch` owns the partition and stands at `expected_seq`.

        Never repeated by the store itself: after StoreUnavailableError it may stand or not.
        Raises ValueError for a commit above the limits or one that trims more than there is,
        before anything is written.
        """
        ...

    async def outbox(self, partition: int, version: int, entries_max: int) -> Outbox:
        """Return the oldest entries of the outbox, in order."""
        ...

    async def clear(self, partition: int, version: int, epoch: int) -> Answer:
        """Drop all state of this version of the partition, its outbox too: seq 0, no fields.

        The epoch stays. Answers Committed(0), or Fenced, or Behind if the epoch was forgotten.
        """
        ...

    async def room(self) -> Room:
        """Return how full the server is, of whatever else lies on it too."""
        ...

    def dump(self, partition: int, version: int) -> AsyncIterator[Mapping[str, bytes]]:
        """Yield everything a fold must give again, in steps, for comparison.

        Values by `key/<key>`, empty values by `index/<name>/<member>`. While others write, a step
        may repeat or miss what they touch.
        """
        ...
