"""What a partition would decide about records, without deciding anything.

The decisions are made on the state as it stands in the store and on top of each other, exactly as
the owner would make them; nothing is committed or published. Meanwhile the owner may go on: what
it decides after this looked is not seen, and if it is seen to have gone on it is begun anew.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

import orjson
from msgspec import Struct
from msgspec.structs import replace

from streaming.bus import Bus, Record
from streaming.errors import BehindError, FencedError, HaltError, StreamingError
from streaming.journal import JournalEnd
from streaming.loading import check_standing, load
from streaming.merging import Merge
from streaming.partition import Partition
from streaming.positions import Position, unpack_positions
from streaming.quarantine import wishes
from streaming.reading import Listening
from streaming.service import Service
from streaming.store import Store
from streaming.telemetry import raised
from streaming.view import Missing

BEGUN_MAX = 20
"""How often a rehearsal is begun anew because the owner goes on."""
FAULTS_MAX = 1_000
WORK_MAX = 20_000
"""So many pieces of woken and due work are rehearsed before a record."""
HALTING_RECORDS_MAX = 1_000
HALTING_SECONDS_MAX = 30.0
"""So far and so long the record is looked for at which a partition halts: a batch holds less."""
POLL_SECONDS = 0.5
_NEEDED = ("journal", "positions")
"""Fields of a partition that stands; while it is folded anew they are missing."""

Result = TypeVar("Result")


class Rehearsed(Struct, frozen=True, kw_only=True):
    """What would become of a record: decision, reason, and the types of what would be published.

    Of one at which the partition would halt the reason is the kind of the error.
    """

    decision: str
    reason: str
    published: tuple[str, ...]

    @property
    def halts(self) -> bool:
        """Return whether the partition would halt at it."""
        return self.decision == WOULD_HALT


WOULD_HALT = "would-halt"
NOTHING = Rehearsed(decision="nothing", reason="", published=())
"""The record does not concern the service."""


class NotRehearsedError(StreamingError):
    """The state does not stand still, or not there: what would be decided cannot be told."""


class Stage:
    """A partition as it stands in its store, to decide on without leaving a trace."""

    def __init__(
        self,
        service: Service,
        number: int,
        partitions: int,
        store: Store,
        listening: Iterable[Listening],
    ) -> None:
        self._service = service
        self._number = number
        self._partitions = partitions
        self._store = store
        self._listening = tuple(listening)
        self._asked: list[Missing] = []
        self._at = (0, 0)
        self.partition = self._new_partition()

    def _new_partition(self) -> Partition:
        return Partition(self._service, self._number, self._partitions, self._listening)

    async def rehearsed(self, play: Callable[[], Awaitable[Result]]) -> Result:
        """Return what `play` returns, begun anew whenever the owner has gone on meanwhile.

        Raises NotRehearsedError, StoreUnavailableError, BusUnavailableError.
        """
        for _ in range(BEGUN_MAX):
            try:
                await self._begin()
                return await play()
            except (BehindError, FencedError):
                continue
        raise NotRehearsedError(f"{self.place} decides all the time: ask again when it is quieter.")

    async def _begin(self) -> None:
        """Stand where the store stands, with all in memory that was ever asked for."""
        version = self._service.state_version
        standing = await self._store.standing(self._number, version)
        if not standing.is_whole or any(name not in standing.fields for name in _NEEDED):
            raise NotRehearsedError(
                f"The state of {self.place} is not whole: it was never started, or is folded "
                "anew. Ask again when the service stands (pfdo settle)."
            )
        self._at = (standing.epoch, standing.seq)
        partition = self.partition = self._new_partition()
        partition.resume(
            JournalEnd(*orjson.loads(standing.fields["journal"])),
            unpack_positions(standing.fields["positions"]),
        )
        partition.set_aside = await wishes(self._store, version, self._number)
        if self._asked:
            await self._load(self._asked)

    async def decide(self, record: Record) -> Rehearsed:
        """Return what would become of a record at which the partition stands."""
        partition = self.partition
        # What was published is not kept: it could be all there is.
        partition.batch.drop_outgoing()
        try:
            read = partition.read(record)
            await self._attempt(lambda: partition.decide(read))
        except (HaltError, _FailedError) as error:
            return would_halt(raised(error)["error"])
        if not partition.batch.decisions:
            return NOTHING
        _, decision, reason = partition.batch.decisions[-1]
        types = tuple(
            str(orjson.loads(outgoing.value or b"{}").get("type", outgoing.topic))
            for outgoing in partition.batch.outgoing
            if outgoing.topic == f"{self._service.name}.events.v1"
        )
        return Rehearsed(decision=decision.removeprefix("input-"), reason=reason, published=types)

    async def work(self) -> str:
        """Do what is woken or due, as is done before each record; return the kind of an error."""
        for _ in range(WORK_MAX):
            self.partition.batch.drop_outgoing()
            try:
                if not await self._attempt(self.partition.work):
                    return ""
            except (HaltError, _FailedError) as error:
                return raised(error)["error"]
        raise NotRehearsedError(f"{self.place} has much to do first: ask again after pfdo settle.")

    async def _attempt(self, decide: Callable[[], Result]) -> Result:
        for _ in range(FAULTS_MAX):
            try:
                return decide()
            except Missing as missing:
                self._asked.append(missing)
                await self._load([missing])
            except HaltError:
                raise
            except Exception as error:
                raise _FailedError from error
        raise _FailedError

    async def _load(self, missing: list[Missing]) -> None:
        loaded = await load(
            self.partition.memory,
            self._store,
            self._number,
            self._service.state_version,
            missing=missing,
        )
        check_standing(loaded, *self._at)

    @property
    def place(self) -> str:
        """Return of which service and partition it is."""
        return f"{self._service.name}/{self._number}"


class _FailedError(Exception):
    """A decision failed, or asks for more and more."""


def would_halt(kind: str) -> Rehearsed:
    """Return what becomes of a record at which a partition halts, with this kind of error."""
    return Rehearsed(decision=WOULD_HALT, reason=kind, published=())


async def rehearse(stage: Stage, records: Callable[[], AsyncIterator[Record]]) -> list[Rehearsed]:
    """Return what a partition would decide about records, appended to their topics in this order.

    One that breaks what it wakes halts the partition too. Raises what `Stage.rehearsed` does.
    """

    async def play() -> list[Rehearsed]:
        told = []
        kind = await stage.work()
        async for record in records():
            if not kind:
                at = stage.partition.positions.get(record.topic, Position(0)).next
                number = stage.partition.number
                found = await stage.decide(replace(record, offset=at, partition=number))
                kind = await stage.work()
            told.append(would_halt(kind) if kind else found)
        return told

    return await stage.rehearsed(play)


async def where_it_halts(stage: Stage, bus: Bus) -> tuple[str, str] | None:
    """Return the place at which a partition halts, as its log says it, and the kind of error.

    None if it halts at nothing that waits now. Raises what `Stage.rehearsed` does.
    """

    async def play() -> tuple[str, str] | None:
        partition, number = stage.partition, stage.partition.number
        topics = list(partition.listening)
        starts, ends = await bus.starts(topics), await bus.ends(topics)
        at = {
            topic: max(partition.positions.get(topic, Position(0)).next, starts[topic, number])
            for topic in topics
        }
        reader = await bus.reader(number, at)
        try:
            merge, looked, deadline = Merge(reader, at), 0, time.monotonic() + HALTING_SECONDS_MAX
            while looked < HALTING_RECORDS_MAX and time.monotonic() < deadline:
                for record in merge.take(HALTING_RECORDS_MAX - looked):
                    looked += 1
                    if kind := await stage.work():
                        return f"due work of {stage.place}", kind
                    told = await stage.decide(record)
                    if told.halts:
                        return f"{record.topic} {number}/{record.offset}", told.reason
                is_read = merge.read_up_to()
                if all(is_read.get(topic, -1) >= ends[topic, number] for topic in topics):
                    break
                await merge.fill(POLL_SECONDS)
        finally:
            await reader.close()
        kind = await stage.work()
        return (f"due work of {stage.place}", kind) if kind else None

    return await stage.rehearsed(play)
