"""A store in memory: for tests and the simulator, deterministic, with faults on demand.

What it cannot do: outlive its process, or be shared by two of them.
"""

from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from streaming.store import (
    Answer,
    Behind,
    Commit,
    Committed,
    Count,
    Fenced,
    Loaded,
    Looked,
    Outbox,
    Range,
    Room,
    Standing,
)

Point: TypeAlias = Literal[
    "take_over",
    "standing",
    "load",
    "outbox",
    "room",
    "dump",
    "commit.before",
    "commit.after",
    "clear.before",
    "clear.after",
]
"""Where a fault may strike. At `….after` the effect stands and only the reply is lost."""

Fault: TypeAlias = Callable[[Point], Awaitable[None] | None]
"""Called at each point: it may raise StoreUnavailableError, or wait to let others go first."""


@dataclass
class _Kept:
    """What one version of one partition holds. Members of indexes are kept sorted."""

    seq: int = 0
    fields: dict[str, bytes] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    indexes: dict[str, list[str]] = field(default_factory=dict)
    outbox: list[bytes] = field(default_factory=list)
    is_whole: bool = True


@dataclass
class Snapshot:
    """A copy of everything a memory store held at one moment."""

    epochs: dict[int, int] = field(default_factory=dict)
    kept: dict[tuple[int, int], _Kept] = field(default_factory=dict)


class MemoryStore:
    """A store in memory. Set `fault` to make it fail."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self._now = Snapshot()
        # Outlives a wipe, as the clock does that the Redis form takes its epochs from.
        self._epochs_given = 0

    def snapshot(self) -> Snapshot:
        """Return a copy of what is held, to be restored later."""
        return deepcopy(self._now)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to an older copy of itself, as a Redis does that failed over."""
        self._now = deepcopy(snapshot)

    def wipe(self) -> None:
        """Forget everything."""
        self._now = Snapshot()

    async def start(self) -> None:
        """Do nothing: there is nobody to connect to."""

    async def stop(self) -> None:
        """Do nothing: what is held stays, as it would in Redis."""

    async def take_over(self, partition: int, version: int) -> Standing:
        """Raise the epoch of the partition and return its standing."""
        await self._at("take_over")
        self._epochs_given = max(self._epochs_given, self._now.epochs.get(partition, 0)) + 1
        self._now.epochs[partition] = self._epochs_given
        return self._standing(partition, version)

    async def standing(self, partition: int, version: int) -> Standing:
        """Return the standing without changing anything."""
        await self._at("standing")
        return self._standing(partition, version)

    async def load(
        self,
        partition: int,
        version: int,
        keys: Sequence[str] = (),
        ranges: Sequence[Range] = (),
        counts: Sequence[Count] = (),
    ) -> Loaded:
        """Answer all questions of an owner at once."""
        looked = await self.look(partition, version, keys, ranges, counts)
        return Loaded(
            looked.values,
            looked.ranges,
            looked.counts,
            epoch=self._now.epochs.get(partition, 0),
            seq=self._kept(partition, version).seq,
        )

    async def look(
        self,
        partition: int,
        version: int,
        keys: Sequence[str] = (),
        ranges: Sequence[Range] = (),
        counts: Sequence[Count] = (),
    ) -> Looked:
        """Answer all questions of somebody who shows and decides nothing, at once."""
        await self._at("load")
        kept = self._kept(partition, version)
        return Looked(
            values=[kept.values.get(key) for key in keys],
            ranges=[
                _between(kept, each.index, each.start, each.end)[: each.members_max]
                for each in ranges
            ],
            counts=[len(_between(kept, each.index, each.start, each.end)) for each in counts],
        )

    async def commit(self, partition: int, version: int, epoch: int, commit: Commit) -> Answer:
        """Apply a commit if `epoch` owns the partition and stands at `expected_seq`."""
        commit.check()
        await self._at("commit.before")
        kept = self._kept(partition, version)
        refusal = self._refusal(partition, epoch, kept.seq)
        if refusal is not None:
            return refusal
        if kept.seq != commit.expected_seq or not kept.is_whole:
            return Behind(kept.seq)
        if commit.trim > len(kept.outbox):
            raise ValueError(f"cannot trim {commit.trim} of {len(kept.outbox)} entries")

        _apply(kept, commit)
        self._now.kept[partition, version] = kept
        answer = Committed(kept.seq)
        await self._at("commit.after")
        return answer

    async def outbox(self, partition: int, version: int, entries_max: int) -> Outbox:
        """Return the oldest entries of the outbox, in order."""
        await self._at("outbox")
        kept = self._kept(partition, version)
        epoch = self._now.epochs.get(partition, 0)
        return Outbox(kept.outbox[:entries_max], epoch, kept.seq)

    async def clear(self, partition: int, version: int, epoch: int) -> Answer:
        """Drop all state of this version of the partition, keeping the epoch."""
        await self._at("clear.before")
        refusal = self._refusal(partition, epoch, self._kept(partition, version).seq)
        if refusal is not None:
            return refusal
        self._now.kept.pop((partition, version), None)
        await self._at("clear.after")
        return Committed(0)

    async def room(self) -> Room:
        """Return how many bytes of values are held; nothing limits them."""
        await self._at("room")
        values = (each for kept in self._now.kept.values() for each in kept.values.values())
        return Room(sum(map(len, values)), 0)

    async def dump(self, partition: int, version: int) -> AsyncIterator[Mapping[str, bytes]]:
        """Yield everything a fold must give again, in one step."""
        await self._at("dump")
        kept = self._kept(partition, version)
        values = {f"key/{key}": value for key, value in kept.values.items()}
        members = {
            f"index/{index}/{member}": b""
            for index, members in kept.indexes.items()
            for member in members
        }
        yield values | members

    async def _at(self, point: Point) -> None:
        if self.fault is not None:
            waiting = self.fault(point)
            if waiting is not None:
                await waiting

    def _kept(self, partition: int, version: int) -> _Kept:
        return self._now.kept.get((partition, version)) or _Kept()

    def _standing(self, partition: int, version: int) -> Standing:
        kept = self._kept(partition, version)
        return Standing(
            epoch=self._now.epochs.get(partition, 0),
            seq=kept.seq,
            fields=dict(kept.fields),
            outbox=len(kept.outbox),
            is_whole=kept.is_whole,
        )

    def _refusal(self, partition: int, epoch: int, seq: int) -> Behind | Fenced | None:
        stored = self._now.epochs.get(partition, 0)
        if stored > epoch:
            return Fenced(stored)
        if stored < epoch:
            return Behind(seq)
        return None


def _apply(kept: _Kept, commit: Commit) -> None:
    kept.seq += 1
    kept.fields |= commit.fields
    for key in commit.deletes:
        kept.values.pop(key, None)
    kept.values |= commit.writes
    for index, member in commit.index_removes:
        members = kept.indexes.get(index, [])
        at = bisect_left(members, member)
        if at < len(members) and members[at] == member:
            del members[at]
    for index, member in commit.index_adds:
        members = kept.indexes.setdefault(index, [])
        at = bisect_left(members, member)
        if at == len(members) or members[at] != member:
            insort(members, member)
    del kept.outbox[: commit.trim]
    kept.outbox.extend(commit.outbox)


def _between(kept: _Kept, index: str, start: str, end: str | None) -> list[str]:
    """Return the members from `start` to before `end`; text and its UTF-8 bytes sort alike."""
    members = kept.indexes.get(index, [])
    first = bisect_left(members, start)
    last = len(members) if end is None else bisect_left(members, end)
    return members[first:last]
