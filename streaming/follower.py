"""Following the journals into read models: one partition, no journal of its own, no promises of
its own. All it keeps can be dropped and is read again from the start.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, TypeVar

from contracts.envelope import Envelope, EventData
from streaming.batch import BATCH_CHANGES_MAX
from streaming.bus import Bus, Reader, Record
from streaming.decoding import decode_data, envelope_of, parse_published
from streaming.errors import BehindError, FencedError, HaltError, UnshownError
from streaming.loading import check_standing, load
from streaming.merging import Merge
from streaming.positions import Position, pack_positions, unpack_positions
from streaming.store import (
    Answer,
    Behind,
    Commit,
    Committed,
    Fenced,
    Range,
    Standing,
    Store,
)
from streaming.telemetry import Telemetry
from streaming.view import CACHED_MAX, Codec, Memory, Missing

BATCH_RECORDS_MAX = 500
POLL_SECONDS = 0.5
FAULTS_PER_RECORD_MAX = 1_000

BEHIND = "behind"
"""The field that says whether read models are being read again, or read on after an outage."""

Event = TypeVar("Event", bound=EventData)
Aggregate = TypeVar("Aggregate")


def is_behind(standing: Standing) -> bool:
    """Return whether what the read models show may lack what happened before their owner began."""
    return not standing.fields or standing.fields.get(BEHIND) == b"1"


class Models:
    """The read models of a partition, as a projection may read and change them.

    Keys and indexes are used as they are given: nothing is scoped to a payer here.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def find(self, kind: type[Aggregate], id_: str) -> Aggregate | None:
        """Return a read model, or None."""
        value: Aggregate | None = self._memory.get(f"{self._memory.codec.names[kind]}/{id_}")
        return value

    def put(self, id_: str, value: object) -> None:
        """Set a read model, under the kind of its class."""
        self._memory.put(f"{self._memory.codec.names[type(value)]}/{id_}", value)

    def remove(self, kind: type[Any], id_: str) -> None:
        """Delete a read model."""
        self._memory.put(f"{self._memory.codec.names[kind]}/{id_}", None)

    def add(self, index: str, member: str) -> None:
        """Add a member to an index."""
        self._memory.index(index, member, present=True)

    def discard(self, index: str, member: str) -> None:
        """Take a member off an index."""
        self._memory.index(index, member, present=False)

    def members(
        self, index: str, start: str = "", end: str | None = None, members_max: int = 500
    ) -> list[str]:
        """Return members of an index from `start` (inclusive) to `end`."""
        return self._memory.range(Range(index, start, end, members_max))


Projector = Callable[[Any, Envelope, Models], None]


@dataclass(slots=True, kw_only=True)
class Projection:
    """What a follower makes of journals: tables of projectors, no loop and no I/O.

    `facts` are by type of published fact; `inputs` by (service whose decision counts, type of
    input), called with the data of each input that service applied or noted.
    """

    name: str
    state_version: int
    kinds: Mapping[str, type[Any]]
    events: Mapping[str, type[EventData]]
    topics: tuple[str, ...]
    facts: dict[str, Projector] = field(default_factory=dict)
    inputs: dict[tuple[str, str], Projector] = field(default_factory=dict)

    def of(
        self, event: type[Event]
    ) -> Callable[
        [Callable[[Event, Envelope, Models], None]], Callable[[Event, Envelope, Models], None]
    ]:
        """Register what a published fact changes in the read models."""

        def register(
            projector: Callable[[Event, Envelope, Models], None],
        ) -> Callable[[Event, Envelope, Models], None]:
            if event.type in self.facts:
                raise ValueError(f"{event.type} is projected twice")
            self.facts[event.type] = projector
            return projector

        return register

    def of_input(
        self, service: str, event: type[Event]
    ) -> Callable[
        [Callable[[Event, Envelope, Models], None]], Callable[[Event, Envelope, Models], None]
    ]:
        """Register what an accepted input changes, as decided in the journal of `service`."""

        def register(
            projector: Callable[[Event, Envelope, Models], None],
        ) -> Callable[[Event, Envelope, Models], None]:
            self.inputs[(service, event.type)] = projector
            return projector

        return register

    def told(self, envelope: Envelope) -> Iterator[tuple[Projector, EventData]]:
        """Yield what a journal record tells, each with the projector that hears it."""
        service, _, fact = envelope.type.partition(".")
        told = envelope.data.get("input")
        accepted = not fact.startswith("input-") or (
            fact.startswith("input-noted") and "item" not in envelope.data
        )
        if told is not None and accepted and "data" in told:
            projector = self.inputs.get((service, told["type"]))
            if projector is not None:
                yield projector, self.events[told["type"]].model_validate(told["data"])
        projector = self.facts.get(envelope.type)
        if projector is not None:
            yield projector, decode_data(envelope, self.events[envelope.type])


class Entry:
    """A journal record whose turn comes. Decoded once, however often it is tried."""

    def __init__(self, projection: Projection, record: Record) -> None:
        self.record = record
        self.envelope = envelope_of(parse_published(record))
        self._projection = projection

    @cached_property
    def _told(self) -> tuple[tuple[Projector, EventData], ...]:
        return tuple(self._projection.told(self.envelope))

    def apply(self, models: Models) -> None:
        """Change the read models."""
        for projector, event in self._told:
            projector(event, self.envelope, models)


class Follower:
    """Keeps the read models of one partition up to the journals."""

    def __init__(
        self,
        projection: Projection,
        number: int,
        bus: Bus,
        store: Store,
        telemetry: Telemetry,
        *,
        cached_max: int = CACHED_MAX,
    ) -> None:
        self._projection = projection
        self.number = number
        self._bus = bus
        self._store = store
        self._telemetry = telemetry
        self._memory = Memory(Codec(projection.kinds), cached_max)
        self._models = Models(self._memory)
        self.epoch = 0
        self.seq = 0
        self._identity = ""
        self._positions: dict[str, Position] = {}
        self._day: date | None = None
        self._goal: dict[str, int] = {}
        self._reader: Reader | None = None
        self._merge: Merge | None = None
        self._changed = False

    async def take_over(self) -> None:
        """Become the owner and stand ready; read models of another installation are dropped."""
        await self.close()
        version = self._projection.state_version
        standing = await self._store.take_over(self.number, version)
        self.epoch, self.seq = standing.epoch, standing.seq
        self._identity = await self._bus.identity()
        self._memory.forget()
        is_whole = self._stand_at(standing)
        starts = await self._bus.starts(self._projection.topics)
        ends = await self._bus.ends(self._projection.topics)
        foreign = standing.fields.get("bus", self._identity.encode()) != self._identity.encode()
        ahead = any(
            ends[(topic, self.number)] < position.next
            for topic, position in self._positions.items()
        )
        if foreign or ahead or not is_whole:
            await self._answered(self._store.clear(self.number, version, self.epoch))
            self.seq, self._positions, self._day = 0, {}, None
        positions = {
            topic: max(self._positions.get(topic, Position(0)).next, starts[(topic, self.number)])
            for topic in self._projection.topics
        }
        self._goal = {topic: ends[(topic, self.number)] for topic in self._projection.topics}
        self._reader = await self._bus.reader(self.number, positions)
        self._merge = Merge(self._reader, positions)
        self._changed = not standing.fields or is_behind(standing)
        self._telemetry.took_over(self._projection.name, self.number, self.epoch)

    def _stand_at(self, standing: Standing) -> bool:
        """Read on where the store says. Return False if a part of what it must say is missing."""
        fields = standing.fields
        self._positions, self._day = {}, None
        try:
            self._positions = unpack_positions(fields.get("positions"))
            if "day" in fields:
                self._day = date.fromisoformat(fields["day"].decode())
        except (ValueError, TypeError, AttributeError):
            return False
        has_all = not fields or ("bus" in fields and "positions" in fields)
        return standing.is_whole and has_all

    async def step(self, wait_seconds: float = POLL_SECONDS) -> bool:
        """Project one batch. Return whether there was anything to do."""
        if self._merge is None:
            raise RuntimeError("take over first")
        records = self._merge.take(BATCH_RECORDS_MAX)
        try:
            await self._project_all(records)
        except (UnshownError, HaltError):
            # What came before it is shown. A store that moved meanwhile says so here.
            await self._commit()
            raise
        if records:
            await self._commit()
            return True
        self._step_over(self._merge)
        # What is held back by a topic whose next record is on its way is waited for, all the same.
        commits_first = self._changed and self._merge.is_empty
        await self._merge.fill(0.0 if commits_first else wait_seconds)
        if not self._merge.is_empty:
            return True
        self._step_over(self._merge)
        if self._changed:
            await self._commit()
        return False

    def _step_over(self, merge: Merge) -> None:
        """Move positions over what is no record: with everything read, they stand at the ends."""
        for topic, offset in merge.read_up_to().items():
            position = self._positions.get(topic, Position(0))
            if offset > position.next:
                self._positions[topic] = Position(offset, position.last, "", position.journalseq)
                self._changed = True

    async def _project_all(self, records: Sequence[Record]) -> None:
        waiting: deque[Entry] = deque()
        unreadable: UnshownError | None = None
        for record in records:
            try:
                waiting.append(Entry(self._projection, record))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it is told at its turn
                unreadable = UnshownError(record.place)
                unreadable.__cause__ = error
                break
        while waiting:
            await self._project(waiting.popleft(), waiting)
            if len(self._memory.batch) >= BATCH_CHANGES_MAX:
                await self._commit()
        if unreadable is not None:
            raise unreadable

    async def _project(self, entry: Entry, waiting: Iterable[Entry]) -> None:
        record, envelope = entry.record, entry.envelope
        position = self._positions.get(record.topic, Position(0))
        seq = envelope.journalseq or 0
        position.check_follows(record, seq)
        if seq > position.journalseq:
            await self._apply(entry, waiting)
        self._positions[record.topic] = Position(
            record.offset + 1, record.offset, "", max(seq, position.journalseq)
        )
        if envelope.businessday is not None:
            self._day = max(envelope.businessday, self._day or envelope.businessday)
        self._changed = True

    async def _apply(self, entry: Entry, waiting: Iterable[Entry]) -> None:
        for _ in range(FAULTS_PER_RECORD_MAX):
            try:
                entry.apply(self._models)
            except Missing as missing:
                self._memory.discard()
                loaded = await load(
                    self._memory,
                    self._store,
                    self.number,
                    self._projection.state_version,
                    missing=(missing, *self._missing_later(waiting)),
                )
                check_standing(loaded, self.epoch, self.seq)
            except Exception as error:
                self._memory.discard()
                raise UnshownError(entry.record.place) from error
            else:
                self._memory.keep()
                return
        raise UnshownError(f"{entry.record.place}, which asks for more and more,")

    def _missing_later(self, waiting: Iterable[Entry]) -> Iterator[Missing]:
        """Yield what records that wait will ask for, as far as it can be seen before their turn.

        One round trip then serves them all: on a slow line one for each would take hours.
        """
        for entry in waiting:
            try:
                entry.apply(self._models)
            except Missing as missing:
                yield missing
            except Exception:  # noqa: BLE001, S110 - tried too early; its turn will tell
                pass
            finally:
                self._memory.discard()

    async def _commit(self) -> None:
        batch, codec = self._memory.batch, self._memory.codec
        members = [(i, m, there) for i, ms in batch.members.items() for m, there in ms.items()]
        fields = {
            "bus": self._identity.encode(),
            "positions": pack_positions(self._positions),
            "idle": b"1",
            BEHIND: b"1" if self._is_behind() else b"0",
        }
        if self._day is not None:
            fields["day"] = self._day.isoformat().encode()
        commit = Commit(
            expected_seq=self.seq,
            fields=fields,
            writes={k: codec.encode(k, v) for k, v in batch.values.items() if v is not None},
            deletes=[key for key, value in batch.values.items() if value is None],
            index_adds=[(index, member) for index, member, there in members if there],
            index_removes=[(index, member) for index, member, there in members if not there],
        )
        self.seq = await self._answered(
            self._store.commit(self.number, self._projection.state_version, self.epoch, commit)
        )
        self._memory.committed()
        self._changed = False

    def _is_behind(self) -> bool:
        """Is there anything unread of what the journals held at the take-over?"""
        return any(
            self._positions.get(topic, Position(0)).next < end for topic, end in self._goal.items()
        )

    async def _answered(self, asked: Awaitable[Answer]) -> int:
        match await asked:
            case Behind(seq):
                raise BehindError(f"the read models are at {seq}, not at {self.seq}")
            case Fenced(epoch):
                raise FencedError(f"epoch {epoch} keeps the read models, this was {self.epoch}")
            case Committed(seq):
                return int(seq)
        raise TypeError("the store gave no answer")

    async def still_owner(self) -> bool:
        """Return whether the store stands where this owner left it."""
        standing = await self._store.standing(self.number, self._projection.state_version)
        return standing.is_at(self.epoch, self.seq)

    async def is_fenced(self) -> bool:
        """Return whether a newer owner has the partition."""
        standing = await self._store.standing(self.number, self._projection.state_version)
        return standing.epoch > self.epoch

    async def close(self) -> None:
        """Let go of the reader."""
        if self._reader is not None:
            await self._reader.close()
        self._reader = self._merge = None
