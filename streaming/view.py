"""What decisions see of the state, and what facts change in it.

State is small aggregates (structs) under kind, payer and id, and sorted indexes of text.
A `View` shows the committed state with the changes of the running batch on top. What is not in
memory raises `Missing`; the processor loads it and makes the decision again: decisions are pure.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from streaming.store import Count, Loaded, Range

Aggregate = TypeVar("Aggregate")

CACHED_MAX = 50_000
"""Aggregates in memory, unless told otherwise."""
RANGES_AT_ONCE_MAX = 200
"""So many members are asked for at once where changes are counted."""
WHOLE_MEMBERS_MAX = 1_000
"""As many members of an index that is usually small are kept in memory; see `Memory`."""
AGGREGATE_BYTES_MAX = 16 * 1024
"""No aggregate grows with the number of children, groups or days (ARCHITECTURE.md)."""


class Missing(Exception):  # noqa: N818 - a signal to load and try again, not an error
    """Something the decision asked for is not in memory."""

    def __init__(self, key: str | None = None, *ranges: Range, count: Count | None = None) -> None:
        super().__init__(key or ranges or count)
        self.keys = (key,) if key is not None else ()
        self.ranges = ranges
        self.counts = (count,) if count is not None else ()


class Scope(Protocol):
    """For whom the source of the input may speak."""

    def covers_provider(self, provider_id: str) -> bool:
        """Return whether the source may speak for this provider."""
        ...


class EverybodysScope:
    """The scope of a source that may speak for all, and of records of the system itself."""

    def covers_provider(self, provider_id: str) -> bool:
        """Return True."""
        del provider_id
        return True


EVERYBODY = EverybodysScope()


class Codec:
    """Between aggregates and bytes, by their structs."""

    def __init__(self, kinds: Mapping[str, type[Any]]) -> None:
        self.names = {type_: name for name, type_ in kinds.items()}
        """The name each kind is stored under."""
        self._decoders = {name: msgspec.json.Decoder(type_) for name, type_ in kinds.items()}
        # Fields stand as they are declared, keys of mappings by name: equal values, equal bytes.
        self._encoder = msgspec.json.Encoder(order="deterministic")

    def encode(self, key: str, value: object) -> bytes:
        """Return the bytes of an aggregate. Raises ValueError when it grew too big."""
        data = self._encoder.encode(value)
        if len(data) > AGGREGATE_BYTES_MAX:
            raise ValueError(f"{key} has {len(data)} bytes: split it, no aggregate may grow so big")
        return data

    def decode(self, key: str, data: bytes) -> Any:
        """Return the aggregate under `key`. Raises ValueError for bytes that are none."""
        return self._decoders[key.partition("/")[0]].decode(data)


@dataclass(slots=True)
class Changes:
    """Changes of one decision, or of all decisions of a batch. None stands for a deleted value."""

    values: dict[str, Any]
    members: dict[str, dict[str, bool]]
    """By index and member: whether it is there now."""
    members_changed: int = 0

    @classmethod
    def none(cls) -> "Changes":
        """Return changes that change nothing."""
        return cls({}, {})

    def absorb(self, later: "Changes") -> None:
        """Put later changes on top of these."""
        self.values.update(later.values)
        for index, members in later.members.items():
            here = self.members.setdefault(index, {})
            self.members_changed -= len(here)
            here.update(members)
            self.members_changed += len(here)

    def __len__(self) -> int:
        # Counted as they come: it is asked after every decision.
        return len(self.values) + self.members_changed


class Memory:
    """What is known of a partition's state: a bounded cache, the batch, and the decision on top.

    Indexes named `small` are asked for as a whole, once, and followed from then on: a question
    about one of them costs nothing, most often because there is nothing in it. One that has grown
    beyond `WHOLE_MEMBERS_MAX` is asked for in parts like all others, until all is forgotten.
    """

    def __init__(
        self, codec: Codec, cached_max: int = CACHED_MAX, small: Collection[str] = ()
    ) -> None:
        self.codec = codec
        self._cached_max = cached_max
        self._small = frozenset(small)
        self._whole: dict[str, list[str]] = {}
        self._grown: set[str] = set()
        self._cache: OrderedDict[str, Any] = OrderedDict()
        self._ranges: dict[Range, list[str]] = {}
        self._counts: dict[Count, int] = {}
        self.batch = Changes.none()
        self.current = Changes.none()

    def get(self, key: str) -> Any:
        """Return the value under `key` or None. Raises Missing when that is not known."""
        for changes in (self.current, self.batch):
            if key in changes.values:
                return changes.values[key]
        try:
            value = self._cache[key]
        except KeyError:
            raise Missing(key=key) from None
        self._cache.move_to_end(key)
        return value

    def knows(self, key: str) -> bool:
        """Return whether `get` would answer."""
        return key in self._cache or key in self.batch.values or key in self.current.values

    def put(self, key: str, value: object | None) -> None:
        """Set or (None) delete a value, as part of the current decision."""
        self.current.values[key] = value

    def index(self, name: str, member: str, *, present: bool) -> None:
        """Add or remove a member of an index, as part of the current decision."""
        self.current.members.setdefault(name, {})[member] = present

    def range(self, asked: Range) -> list[str]:
        """Return members of an index with the running changes. Raises Missing."""
        changed = self._changed(asked.index, asked.start, asked.end)
        members, complete = self._kept(asked, changed)
        if changed:
            last = members[-1] if members and not complete else None
            members = [member for member in members if changed.get(member, True)]
            for member, present in changed.items():
                beyond = last is not None and member.encode() > last.encode()
                if present and not beyond:
                    at = bisect_left(members, member.encode(), key=str.encode)
                    if at == len(members) or members[at] != member:
                        members.insert(at, member)
        return members[: asked.members_max]

    def _kept(self, asked: Range, changed: Mapping[str, bool]) -> tuple[list[str], bool]:
        """Return members without the running changes, and whether these are all there are."""
        whole = self._whole.get(asked.index)
        if whole is not None:
            first = bisect_left(whole, asked.start)
            last = len(whole) if asked.end is None else bisect_left(whole, asked.end)
            return whole[first:last], True
        if asked.index in self._small and asked.index not in self._grown:
            raise Missing(None, Range(asked.index, "", None, WHOLE_MEMBERS_MAX))
        removed = sum(1 for present in changed.values() if not present)
        # What the batch removed may hide as many members behind it: ask for more, in round steps.
        wanted = asked.members_max + -(-removed // 512) * 512
        question = Range(asked.index, asked.start, asked.end, wanted)
        if question not in self._ranges:
            raise Missing(None, question)
        return self._ranges[question], len(self._ranges[question]) < wanted

    def _answered(self, question: Range, members: Sequence[str]) -> None:
        """Take in what the store says of an index."""
        is_whole = question == Range(question.index, "", None, WHOLE_MEMBERS_MAX)
        if question.index not in self._small or not is_whole:
            self._ranges[question] = list(members)
        elif len(members) < WHOLE_MEMBERS_MAX:
            self._whole[question.index] = list(members)
        else:
            self._grown.add(question.index)

    def _follow(self, changed: Mapping[str, Mapping[str, bool]]) -> None:
        """Carry changes that stand into the indexes that are known as a whole."""
        for index in self._whole.keys() & changed.keys():
            members = self._whole[index]
            for member, present in changed[index].items():
                at = bisect_left(members, member)
                is_there = at < len(members) and members[at] == member
                if present and not is_there:
                    members.insert(at, member)
                elif is_there and not present:
                    del members[at]
            if len(members) >= WHOLE_MEMBERS_MAX:
                del self._whole[index]
                self._grown.add(index)

    def count(self, asked: Count) -> int:
        """Return how many members an index has, with the running changes. Raises Missing."""
        if asked not in self._counts:
            raise Missing(count=asked)
        changed = self._changed(asked.index, asked.start, asked.end)
        singles = [Range(asked.index, member, member + "\0", 1) for member in changed]
        unknown = [single for single in singles if single not in self._ranges]
        if unknown:
            raise Missing(None, *unknown[:RANGES_AT_ONCE_MAX])
        stored = sum(bool(self._ranges[single]) for single in singles)
        return self._counts[asked] + sum(changed.values()) - stored

    def _changed(self, index: str, start: str, end: str | None) -> dict[str, bool]:
        first, last = start.encode(), None if end is None else end.encode()
        changed: dict[str, bool] = {}
        for changes in (self.batch, self.current):
            for member, present in changes.members.get(index, {}).items():
                encoded = member.encode()
                if first <= encoded and (last is None or encoded < last):
                    changed[member] = present
        return changed

    def remember(
        self,
        keys: Sequence[str],
        ranges: Sequence[Range],
        counts: Sequence[Count],
        loaded: Loaded,
    ) -> None:
        """Take in what the store answered."""
        for key, data in zip(keys, loaded.values, strict=True):
            self._cache[key] = None if data is None else self.codec.decode(key, data)
        for range_, members in zip(ranges, loaded.ranges, strict=True):
            self._answered(range_, members)
        for count, number in zip(counts, loaded.counts, strict=True):
            self._counts[count] = number

    def keep(self) -> None:
        """The current decision stands: make it part of the batch."""
        self.batch.absorb(self.current)
        self.current = Changes.none()

    def discard(self) -> None:
        """The current decision does not stand."""
        self.current = Changes.none()

    def committed(self) -> None:
        """The batch is in the store."""
        self._cache.update(self.batch.values)
        self._follow(self.batch.members)
        self.batch = Changes.none()
        self._ranges.clear()
        self._counts.clear()
        while len(self._cache) > self._cached_max:
            self._cache.popitem(last=False)

    def forget(self) -> None:
        """Drop everything: the store may hold something else."""
        self._cache.clear()
        self._whole.clear()
        self._grown.clear()
        self._ranges.clear()
        self._counts.clear()
        self.batch = Changes.none()
        self.current = Changes.none()


class View:
    """What a decision may look at. All state is the payer's whose record is being decided."""

    __slots__ = (
        "_memory",
        "day",
        "event_id",
        "first_day",
        "given_up",
        "is_patient",
        "payer",
        "scope",
        "time",
        "was_due_on",
    )

    def __init__(
        self,
        memory: Memory,
        *,
        payer: str,
        day: date,
        first_day: date | None = None,
        was_due_on: date | None = None,
        given_up: bool = False,
        is_patient: bool = True,
        scope: Scope = EVERYBODY,
        event_id: str = "",
        time: str = "",
    ) -> None:
        self._memory = memory
        self.event_id = event_id
        """The id of the event that is decided; empty for due work."""
        self.time = time
        """The time that event carries (RFC 3339): data, not a clock."""
        self.payer = payer
        self.day = day
        """The business day of the partition."""
        self.first_day = first_day or day
        """The business day on which this input arrived first (deadlines count from it)."""
        self.was_due_on = was_due_on
        """The day for which due work was put off, which may have gone by; None for anything
        else."""
        self.is_patient = is_patient
        """Due work may still answer `Patience`."""
        self.given_up = given_up
        """The deadline of what this input waited for has passed: decide without it."""
        self.scope = scope

    def key(self, kind: type[Any], id_: str) -> str:
        """Return the key of an aggregate of this payer."""
        return f"{self._memory.codec.names[kind]}/{self.payer}/{id_}"

    def find(self, kind: type[Aggregate], id_: str) -> Aggregate | None:
        """Return an aggregate of this payer, or None."""
        value: Aggregate | None = self._memory.get(self.key(kind, id_))
        return value

    def get(self, kind: type[Aggregate], id_: str) -> Aggregate:
        """Return an aggregate that must be there. Raises LookupError: a defect."""
        value = self.find(kind, id_)
        if value is None:
            raise LookupError(f"{self.key(kind, id_)} is not there")
        return value

    def members(
        self, index: str, start: str = "", end: str | None = None, members_max: int = 500
    ) -> list[str]:
        """Return members of an index of this payer, from `start` (inclusive) to `end`."""
        return self._memory.range(Range(f"{self.payer}/{index}", start, end, members_max))

    def first(self, index: str, start: str = "", end: str | None = None) -> str | None:
        """Return the first member of an index of this payer from `start` on, or None."""
        members = self.members(index, start, end, 1)
        return members[0] if members else None

    def count(self, index: str, start: str = "", end: str | None = None) -> int:
        """Return how many members an index of this payer has, from `start` to `end`."""
        return self._memory.count(Count(f"{self.payer}/{index}", start, end))


class Cause(NamedTuple):
    """The record that led to a fact."""

    topic: str
    partition: int
    offset: int
    time: str
    traceparent: str | None = None


class State(View):
    """What a fact may change. Given to learners and evolvers alone."""

    __slots__ = ("_runtime", "journalseq")

    def __init__(
        self, memory: Memory, runtime: "Runtime", *, payer: str, day: date, journalseq: int
    ) -> None:
        super().__init__(memory, payer=payer, day=day)
        self._runtime = runtime
        self.journalseq = journalseq
        """The number of the journal record being applied; grows, never repeats: an order of
        arrival."""

    def put(self, id_: str, value: object) -> None:
        """Set an aggregate of this payer, under the kind of its class."""
        self._memory.put(self.key(type(value), id_), value)

    def remove(self, kind: type[Any], id_: str) -> None:
        """Delete an aggregate of this payer."""
        self._memory.put(self.key(kind, id_), None)

    def add(self, index: str, member: str) -> None:
        """Add a member to an index of this payer."""
        self._memory.index(f"{self.payer}/{index}", member, present=True)

    def discard(self, index: str, member: str) -> None:
        """Take a member off an index of this payer, if it is there."""
        self._memory.index(f"{self.payer}/{index}", member, present=False)

    def due_on(self, name: str, day: date, ref: str) -> None:
        """Put off work until the first business day ≥ `day`; `ref` tells which and orders it."""
        self._runtime.due_on(self, name, day, ref)

    def not_due(self, name: str, day: date, ref: str) -> None:
        """Take back work that was put off until `day`."""
        self._runtime.not_due(self, name, day, ref)

    def wake(self, key: str) -> None:
        """Let the inputs of this payer that wait for `key` be decided next, in order of arrival."""
        self._runtime.wake(self, key)


class Runtime(Protocol):
    """What the processor does for `State`."""

    def due_on(self, state: State, name: str, day: date, ref: str) -> None:
        """See State.due_on."""
        ...

    def not_due(self, state: State, name: str, day: date, ref: str) -> None:
        """See State.not_due."""
        ...

    def wake(self, state: State, key: str) -> None:
        """See State.wake."""
        ...


__all__ = [
    "EVERYBODY",
    "Cause",
    "Changes",
    "Codec",
    "Memory",
    "Missing",
    "Runtime",
    "Scope",
    "State",
    "View",
]
