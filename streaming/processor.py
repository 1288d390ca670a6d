"""The loop of one partition: take over, then decide, commit and publish, batch by batch.

Committed offsets of a consumer group are never the truth: positions, state and outgoing records
are committed by one call of the store, guarded by epoch and sequence, and published in one fenced
round (ARCHITECTURE.md). Whatever goes wrong, the answer is the same: take over again.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import TypeVar

import orjson

from streaming.ahead import Ahead
from streaming.applying import SMALL_INDEXES, codec_of
from streaming.batch import BATCH_CHANGES_MAX, BATCH_OUTBOX_BYTES_MAX
from streaming.bus import Bus, Outgoing, Reader, Record, Writer
from streaming.errors import BehindError, BusUnavailableError, FencedError, HaltError
from streaming.journal import LATER_INDEX_STEP, JournalEnd
from streaming.loading import check_standing, load
from streaming.merging import Merge
from streaming.outbox import unpack
from streaming.partition import Partition
from streaming.positions import Position, digest, unpack_positions
from streaming.quarantine import wishes
from streaming.reading import Listening, Read
from streaming.service import Service
from streaming.spilled_memory import SpilledMemory
from streaming.store import Behind, Commit, Committed, Fenced, Standing, Store
from streaming.telemetry import Telemetry
from streaming.view import CACHED_MAX, Memory, Missing

Result = TypeVar("Result")
Content = TypeVar("Content", str, bytes)

BATCH_RECORDS_MAX = 500
FOLD_RECORDS_MAX = 500
FAULTS_PER_DECISION_MAX = 1_000
OUTBOX_ENTRIES_MAX = 100_000
POSITION_FIELDS = ("bus", "idle", "journal", "positions", "published")
"""What each commit writes beside the state."""
PATIENCE_SECONDS = 1.0
"""How long due work may ask for patience while nothing comes."""
PATIENCE_SECONDS_MAX = 5
"""How long it may ask for patience, whatever comes."""
HEAD_SECONDS_MAX = 10.0
"""How long taking over tries to read what its own journal holds beyond what is known of it."""
POLL_SECONDS = 0.5
BLOCKED_POLL_SECONDS = 0.02
"""How long to wait at a time where something is known to come, or the end to become known."""
LOOSE_ENDS_SECONDS = 0.005
"""How quiet it must be before the position record is brought up to date by a commit of its own: the
next batch would do it too."""


class UndecidableError(Exception):
    """A decision failed in a way nobody foresaw: a defect. Says at which record."""

    def __init__(self, place: str, what: str = "failed") -> None:
        super().__init__(f"the decision about {place} {what}")
        self.place = place


class UnfitError(UndecidableError):
    """What was decided is more than the store takes: a defect. Says at which record."""

    def __init__(self, place: str) -> None:
        super().__init__(place, "is more than the store takes")


@dataclass(frozen=True, slots=True)
class Published:
    """The last record of the journal that is known to be published, and the offset after it."""

    seq: int = 0
    hash: str = JournalEnd().hash
    next: int = 0


class Processor:
    """The owner of one partition of one service."""

    def __init__(
        self,
        service: Service,
        number: int,
        bus: Bus,
        store: Store,
        listening: Iterable[Listening],
        telemetry: Telemetry,
        *,
        cached_max: int = CACHED_MAX,
        folding: asyncio.Lock | None = None,
    ) -> None:
        """Own a partition; `folding` lets one owner of a process at a time fold a whole journal."""
        self.service = service
        self.number = number
        self._bus = bus
        self._store = store
        self._telemetry = telemetry
        self._cached_max = cached_max
        self._folding = folding or asyncio.Lock()
        self._listening = tuple(listening)
        self.partition = self._new_partition(Memory(codec_of(service), cached_max, SMALL_INDEXES))
        self._ahead = Ahead(self.partition)
        self._journal_topic = f"{service.name}.events.v1"
        self.patience_seconds = PATIENCE_SECONDS
        self.patience_seconds_max: float = PATIENCE_SECONDS_MAX
        self.epoch = 0
        self.seq = 0
        self._published = Published()
        self._untrimmed = 0
        self._identity = ""
        self._idle_stored: bool | None = None
        self._unkept = 0
        """How many times positions have moved since the last commit."""
        self._last_decided: Record | None = None
        self._one_by_one = 0
        """So many decisions are committed each by itself: together they were too much."""
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._merge: Merge | None = None
        self._reads: deque[Read] = deque()
        self._unchecked: dict[str, Position] = {}
        self._quiet_since: float | None = None
        self._holding_since: float | None = None
        """Since when nothing has come while due work asks for patience; and since when it asks."""
        self.is_idle = False
        self.rebuilt = 0
        """How many records of its journal are folded, while it is rebuilt."""

    def _new_partition(self, memory: Memory) -> Partition:
        return Partition(
            self.service, self.number, self._bus.partitions, self._listening, memory=memory
        )

    # --- taking over and healing -----------------------------------------------------------

    async def take_over(self) -> None:
        """Become the owner: fence all others, make store and journal agree, stand ready to read.

        Raises HaltError when a person must look, FencedError when a newer owner came meanwhile,
        BehindError when the store went back meanwhile: to be tried again.
        """
        await self.close()
        version = self.service.state_version
        standing = await self._store.take_over(self.number, version)
        self.epoch = standing.epoch
        self._writer = await self._bus.writer(
            self.service.name, self.number, self.partition.places_written
        )
        self._identity = await self._bus.identity()
        self._check_identity(standing)
        is_whole = self._stand_at(standing)
        outbox = await self._store.outbox(self.number, version, OUTBOX_ENTRIES_MAX)
        check_standing(outbox, self.epoch, self.seq)
        if is_whole:
            await self._agree([unpack(entry) for entry in outbox.entries])
        else:
            self._telemetry.log.warning(
                "the store is not whole, the journal is folded anew",
                service=self.service.name,
                partition=self.number,
            )
            await self.rebuild()
        self.partition.set_aside = await wishes(self._store, version, self.number)
        await self._open_reader()
        self._telemetry.took_over(self.service.name, self.number, self.epoch)

    def _check_identity(self, standing: Standing) -> None:
        before = standing.fields.get("bus", b"").decode()
        if before and before != self._identity:
            raise HaltError(
                f"the store of {self.service.name} belongs to bus {before}, this is "
                f"{self._identity}: positions would mean other records. Connect the right bus, or "
                "give the service an empty store to be folded from this journal."
            )

    def _stand_at(self, standing: Standing) -> bool:
        """Stand where the store says. Return False if a part of what it must say is missing."""
        fields = standing.fields
        has_all = not fields or all(name in fields for name in POSITION_FIELDS)
        is_whole = standing.is_whole and has_all
        try:
            published = Published(*orjson.loads(fields.get("published", b"[]")))
            end = _end(fields.get("journal"))
            positions = unpack_positions(fields.get("positions"))
        except (ValueError, TypeError, AttributeError):
            is_whole, published, end, positions = False, Published(), JournalEnd(), {}
        self.seq = standing.seq
        self._published = published
        self._untrimmed = standing.outbox
        self._idle_stored = None
        self._unkept = 0
        self._reads.clear()
        self.partition.resume(end, positions)
        return is_whole

    async def _agree(self, outbox: Sequence[Outgoing]) -> None:
        """Make the store and the journal tell the same, whichever of them is ahead."""
        waiting = [o for o in outbox if o.topic == self._journal_topic]
        ends = await self._bus.ends([self._journal_topic])
        end = ends[(self._journal_topic, self.number)]
        if end < self._published.next:
            raise HaltError(
                f"{self._journal_topic}/{self.number} ends at {end}, but {self._published.next} "
                "was reached before: the topic was cut or made anew. Restore it from a copy."
            )
        published: list[Record] = []
        if end > self._published.next:
            published = await self._head(self._published.next, end, len(waiting) + 1)
        # A Redis that lost the end of its file may have done a part of a commit when it read it
        # again: then what waits does not go on from where the store says it stands.
        agrees = self._follows(published or waiting) and all(
            record.value == outgoing.value
            for record, outgoing in zip(published, waiting, strict=False)
        )
        # A store that stands at nothing may still hold remains of what it was.
        if not agrees or (published and self.seq == 0):
            await self.rebuild()
            return
        if not published:
            if outbox:
                await self._publish(outbox)
            return
        if len(published) < len(waiting):
            if _is_one_decision(published[-1].value, waiting[len(published)].value):
                raise HaltError(
                    f"{self._journal_topic}/{self.number} holds a part of a round. Rounds are "
                    "atomic: look at the bus before anything else."
                )
            # Of another owner, whose round ended there; the store had gone back to the time before
            # him and took one more from the owner of then. The journal is what was said.
            await self.rebuild()
            return
        # The outbox was published as a whole; what the journal holds beyond it is folded.
        if waiting:
            last = published[len(waiting) - 1]
            end_seq = orjson.loads(last.value or b"{}")
            self._published = Published(end_seq["journalseq"], end_seq["hash"], last.offset + 1)
            if self._writer is not None and self._writer.is_mended:
                # Its other parts may have been given up; who receives them twice knows copies.
                others = [o for o in outbox if o.topic != self._journal_topic]
                await self._writer.append(others)
        if len(published) > len(waiting):
            try:
                await self._fold(self._published.next)
            except UnfitError:
                # Its batches are not those in which it was decided; folded aside, it has none.
                await self.rebuild()

    def _follows(self, records: Sequence[Record] | Sequence[Outgoing]) -> bool:
        return not records or self._is_next(records[0].value)

    def _is_next(self, value: bytes | None) -> bool:
        """Return whether a record of the journal is the one after all that is known of it."""
        record = orjson.loads(value or b"{}")
        expected = (self._published.seq + 1, self._published.hash)
        return (record.get("journalseq"), record.get("prevhash")) == expected

    async def _head(self, start: int, end: int, records_max: int) -> list[Record]:
        """Return the first records of the own journal from `start` on, read up to `end` if need be.

        A reader that says too early that there is nothing more would let a round be published
        twice. Raises BusUnavailableError if it does not get so far.
        """
        topic = self._journal_topic
        reader = await self._bus.reader(self.number, {topic: start})
        found: list[Record] = []
        deadline = time.monotonic() + HEAD_SECONDS_MAX
        try:
            while len(found) < records_max:
                polled = await reader.poll([topic], records_max, BLOCKED_POLL_SECONDS)
                found.extend(polled.records.get(topic, ()))
                if topic in polled.ended and polled.next_offsets[topic] >= end:
                    break
                if time.monotonic() > deadline:
                    raise BusUnavailableError(
                        f"{topic}/{self.number} ends at {end}, and cannot be read up to there"
                    )
        finally:
            await reader.close()
        return found[:records_max]

    async def rebuild(self) -> None:
        """Empty the store and fold the own journal into it; for whoever has taken over.

        The journal is folded aside, in a temporary file, and the state is written when it is whole:
        a debit changes a dozen things, and most of them are changed by the next debit too. Killed
        in between, the store is not whole, and the next owner begins again. Raises FencedError.
        """
        answer = await self._store.clear(self.number, self.service.state_version, self.epoch)
        if isinstance(answer, Fenced):
            raise FencedError(self._place)
        self.seq = 0
        self._published = Published()
        self._untrimmed = 0
        self.partition.resume(JournalEnd(), {})
        starts = await self._bus.starts([self._journal_topic])
        async with self._folding:
            with closing(
                SpilledMemory(codec_of(self.service), self._cached_max, SMALL_INDEXES)
            ) as memory:
                aside = self._new_partition(memory)
                await self._fold_aside(aside, starts[(self._journal_topic, self.number)])
                try:
                    await self._fill(memory)
                except ValueError as error:
                    raise UnfitError(self._at(self._last_decided)) from error
        self.partition.resume(aside.batch.end, aside.positions)
        await self._commit(is_idle=False)

    async def _fold_aside(self, aside: Partition, start: int) -> None:
        async with aclosing(self._own_journal(start)) as journal:
            async for records in journal:
                for record in records:
                    try:
                        aside.fold(aside.read_own(record, is_prefetched=False))
                    except HaltError:
                        raise
                    except Exception as error:
                        raise UndecidableError(self._at(record)) from error
                self._last_decided = records[-1]
                self.rebuilt = aside.batch.end.seq
                self._published = Published(
                    aside.batch.end.seq, aside.batch.end.hash, records[-1].offset + 1
                )
                # Others in this process have their turn.
                await asyncio.sleep(0)

    async def _fill(self, memory: SpilledMemory) -> None:
        """Write a state into the empty store. Until all is there, the store is not whole."""
        fields = {"bus": self._identity.encode()}
        for writes in _portions(memory.aggregates()):
            await self._stored(Commit(expected_seq=self.seq, fields=fields, writes=dict(writes)))
        for adds in _portions(memory.members()):
            await self._stored(Commit(expected_seq=self.seq, fields=fields, index_adds=adds))

    async def _fold(self, start: int) -> None:
        """Fold the own journal from `start` to its end into the store."""
        async with aclosing(self._own_journal(start)) as journal:
            async for records in journal:
                self._last_decided = records[-1]
                owns = [self.partition.read_own(record) for record in records]
                await self._load(keys=self._ahead.prefetch_own(owns))
                for record, own in zip(records, owns, strict=True):
                    await self._attempt(lambda own=own: self.partition.fold(own))  # type: ignore[misc]
                    end = self.partition.batch.end
                    self._published = Published(end.seq, end.hash, record.offset + 1)
                    if self.partition.batch.is_full:
                        await self._commit(is_idle=False)
                await self._commit(is_idle=False)

    async def _own_journal(self, start: int) -> AsyncGenerator[Sequence[Record], None]:
        """Yield the own journal from `start` to its end, in batches that are not empty.

        What was appended and cannot be read yet is waited for: it would be decided again. Raises
        BusUnavailableError if it stays so.
        """
        ends = await self._bus.ends([self._journal_topic])
        end_offset = ends[(self._journal_topic, self.number)]
        if start >= end_offset:
            return
        reader = await self._bus.reader(self.number, {self._journal_topic: start})
        folded = 0
        moved_at = time.monotonic()
        try:
            while True:
                polled = await reader.poll(
                    [self._journal_topic], FOLD_RECORDS_MAX, BLOCKED_POLL_SECONDS
                )
                records = polled.records.get(self._journal_topic, ())
                if records:
                    yield records
                    folded += len(records)
                    moved_at = time.monotonic()
                is_read = polled.next_offsets[self._journal_topic] >= end_offset
                if self._journal_topic in polled.ended and is_read:
                    break
                if time.monotonic() - moved_at > HEAD_SECONDS_MAX:
                    raise BusUnavailableError(
                        f"{self._journal_topic}/{self.number} ends at {end_offset}, and cannot be "
                        "read up to there"
                    )
        finally:
            await reader.close()
        self._telemetry.folded(self.service.name, self.number, folded)

    async def _open_reader(self) -> None:
        """Read on where the positions say; begin with the last applied records, to check them."""
        topics = list(self.partition.listening)
        starts, ends = await self._bus.starts(topics), await self._bus.ends(topics)
        read_from: dict[str, int] = {}
        self._unchecked = {}
        for topic in topics:
            start, end = starts[(topic, self.number)], ends[(topic, self.number)]
            position = self.partition.positions.get(topic)
            if position is None:
                if start > 0 and self.partition.batch.end.seq == 0:
                    raise HaltError(
                        f"{topic}/{self.number} begins at {start}: records before it are gone and "
                        "no journal says what became of them. Set retention.ms=-1; restore them, "
                        "or start with topics that are whole."
                    )
                read_from[topic] = start
                continue
            if end < position.next:
                raise HaltError(
                    f"{topic}/{self.number} ends at {end}, but it was read up to {position.next}. "
                    "The topic was made anew: restore it, or start a new installation."
                )
            read_from[topic] = max(position.next, start)
            if position.hash and position.last >= start:
                # It may also be gone by retention: that is no alarm.
                read_from[topic] = position.last
                self._unchecked[topic] = position
        self._reader = await self._bus.reader(self.number, read_from)
        self._merge = Merge(self._reader, read_from)

    def _check_last(self, record: Record) -> None:
        """Check that the record that was applied last is still what it was."""
        position = self._unchecked.pop(record.topic, None)
        if position is None or record.offset != position.last:
            return
        if digest(record) != position.hash:
            raise HaltError(
                f"{record.topic}/{self.number}: the record at {record.offset} is not the one that "
                "was applied. The topic was made anew: restore it, or start a new installation."
            )

    # --- deciding --------------------------------------------------------------------------

    async def step(self, wait_seconds: float = POLL_SECONDS) -> bool:
        """Decide and publish one batch. Return whether there was anything to do.

        With nothing to do it waits at most `wait_seconds` for a record.
        """
        merge = self._merge
        if merge is None or self._writer is None:
            raise RuntimeError("take over first")
        await self._writer.ensure_readable()
        decided = await self._decide_batch(merge)
        # What only moved positions can be read again: it need not be kept each time.
        if self._outstanding or self._unkept >= BATCH_RECORDS_MAX:
            try:
                await self._commit(is_idle=self.is_idle)
            except UnfitError as error:
                if decided <= 1:
                    raise
                await self._begin_again(decided, error)
                return True
        self._one_by_one = max(0, self._one_by_one - decided)
        if decided:
            self._quiet_since = None
            return True
        self._step_over(merge)
        if self.partition.is_holding:
            wait_seconds = self._keep_patience(wait_seconds)
        if self._has_loose_ends:
            wait_seconds = min(wait_seconds, LOOSE_ENDS_SECONDS)
        await merge.fill(wait_seconds)
        if not merge.is_empty:
            return True
        self._step_over(merge)
        if self._has_loose_ends:
            await self._commit(is_idle=self.is_idle)
        return False

    async def _begin_again(self, decided: int, error: UnfitError) -> None:
        """Forget a batch that the store does not take, and decide it again one by one.

        Then what is too much by itself is told from what only came together.
        """
        self._telemetry.log.warning(
            "a batch is decided again, one by one",
            service=self.service.name,
            partition=self.number,
            error=str(error),
        )
        self._one_by_one = decided
        await self.take_over()

    def _step_over(self, merge: Merge) -> None:
        """Move positions over what is no record: with everything read, they stand at the ends."""
        for topic, offset in merge.read_up_to().items():
            self._unkept += self.partition.skip_to(topic, offset)

    def _keep_patience(self, wait_seconds: float) -> float:
        """Return how long to wait for a record while due work asks for patience."""
        now = time.monotonic()
        if self._quiet_since is None:
            self._quiet_since = now
        left = self._quiet_since + self.patience_seconds - now
        if left <= 0:
            self.partition.lose_patience()
            return 0.0
        return min(wait_seconds, left)

    def _is_out_of_patience(self, read: Read) -> bool:
        """Return whether due work that asks for patience must be done before the next record.

        What it waits for may be long in coming, and records never pause; a day ends with the next.
        """
        if not self.partition.is_holding:
            self._holding_since = None
            return False
        now = time.monotonic()
        if self._holding_since is None:
            self._holding_since = now
        has_waited_long = now - self._holding_since >= self.patience_seconds_max
        return has_waited_long or self.partition.opens_day(read)

    @property
    def _outstanding(self) -> bool:
        return bool(self.partition.batch.outgoing) or len(self.partition.memory.batch) > 0

    @property
    def _has_loose_ends(self) -> bool:
        """Return whether the position record should be brought up to date while it is quiet."""
        return self._untrimmed > 0 or self._unkept > 0 or self._idle_stored is not self.is_idle

    async def _decide_batch(self, merge: Merge) -> int:
        partition = self.partition
        decided = 0
        self.is_idle = False
        decisions_max = 1 if self._one_by_one else BATCH_RECORDS_MAX
        while decided < decisions_max and not partition.batch.is_full:
            if await self._attempt(partition.work):
                self._last_decided = None
                decided += 1
                continue
            if not self._reads:
                await self._read_on(merge, decisions_max - decided)
            if not self._reads:
                self.is_idle = not partition.is_holding
                break
            read = self._reads[0]
            if self._is_out_of_patience(read):
                partition.lose_patience()
                continue
            await self._attempt(lambda read=read: partition.decide(read), read.record)  # type: ignore[misc]
            self._reads.popleft()
            self._last_decided = read.record
            self._unkept += 1
            decided += 1
        return decided

    async def _read_on(self, merge: Merge, records_max: int) -> None:
        records = merge.take(records_max)
        if not records:
            await merge.fill(0.0 if merge.is_empty else BLOCKED_POLL_SECONDS)
            records = merge.take(records_max)
        if not records:
            return
        for record in records if self._unchecked else ():
            self._check_last(record)
        self._reads.extend(self.partition.read(record) for record in records)
        await self._load(keys=self._ahead.prefetch(self._reads))
        await self._load(keys=self._ahead.prefetch_next(self._reads))

    async def _load(self, *, keys: Sequence[str] = (), missing: Sequence[Missing] = ()) -> None:
        if not keys and not missing:
            return
        memory, version = self.partition.memory, self.service.state_version
        try:
            loaded = await load(
                memory, self._store, self.number, version, keys=keys, missing=missing
            )
        except ValueError as error:
            raise HaltError(
                f"the store of {self._place} holds what cannot be read. "
                f"Stop {self.service.name}, then pfdo rebuild {self.service.name}."
            ) from error
        check_standing(loaded, self.epoch, self.seq)

    async def _attempt(self, decide: Callable[[], Result], record: Record | None = None) -> Result:
        """Call a pure decision until everything it asks for is in memory.

        What those after it will ask for comes with what it lacks.
        """
        for _ in range(FAULTS_PER_DECISION_MAX):
            try:
                return decide()
            except Missing as missing:
                ahead = self._ahead.missing(self._reads)
                await self._load(missing=[missing, *ahead])
            except (HaltError, FencedError):
                raise
            except Exception as error:
                # A store that went back under its owner shows a past that does not fit what is
                # in memory: that is no defect of the decision.
                if await self.is_fenced():
                    raise FencedError(f"{self._place}: a newer owner has it") from error
                if not await self.still_owner():
                    raise BehindError(f"{self._place}: the store is not where it was") from error
                raise UndecidableError(self._at(record)) from error
        raise UndecidableError(f"{self._at(record)}: it asks for more and more")

    def _at(self, record: Record | None) -> str:
        if record is None:
            return f"due work of {self._place}"
        return record.place

    # --- committing and publishing ---------------------------------------------------------

    async def _commit(self, *, is_idle: bool) -> None:
        partition = self.partition
        fields = {
            "bus": self._identity.encode(),
            "published": orjson.dumps(
                [self._published.seq, self._published.hash, self._published.next]
            ),
            "idle": b"1" if is_idle else b"0",
        }
        decisions = partition.batch.decisions
        try:
            commit = partition.commit(self.seq, fields, self._untrimmed)
        except Exception as error:
            raise UnfitError(self._at(self._last_decided)) from error
        await self._stored(commit)
        self._untrimmed = 0
        self._idle_stored = is_idle
        self._unkept = 0
        outgoing = partition.committed()
        if outgoing:
            self._untrimmed = len(outgoing)
            await self._publish(outgoing)
        self._telemetry.decided(self.service.name, decisions)

    async def _stored(self, commit: Commit) -> None:
        version = self.service.state_version
        try:
            answer = await self._store.commit(self.number, version, self.epoch, commit)
        except ValueError as error:
            raise UnfitError(self._at(self._last_decided)) from error
        match answer:
            case Behind(seq):
                raise BehindError(f"{self._place}: the store is at {seq}, not at {self.seq}")
            case Fenced(epoch):
                raise FencedError(f"{self._place}: epoch {epoch} owns it, this was {self.epoch}")
            case Committed(seq):
                self.seq = seq

    async def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        if self._writer is None:
            raise RuntimeError("take over first")
        self._check_follows(outgoing)
        appended = await self._writer.append(outgoing)
        last = [a.offset for a in appended if a.topic == self._journal_topic]
        end = self.partition.batch.end
        self._published = Published(end.seq, end.hash, last[-1] + 1)

    def _check_follows(self, outgoing: Sequence[Outgoing]) -> None:
        """Raise BehindError unless a round goes on where the journal ends.

        A store that went back between two questions of a taking over shows an outbox that was
        published before: no number may be given twice.
        """
        first = next(o for o in outgoing if o.topic == self._journal_topic)
        if not self._is_next(first.value):
            raise BehindError(f"{self._place}: the outbox does not follow the end of the journal")

    async def still_owner(self) -> bool:
        """Return whether the store stands where this owner left it; ask while it is quiet."""
        standing = await self._store.standing(self.number, self.service.state_version)
        return standing.is_at(self.epoch, self.seq)

    async def is_fenced(self) -> bool:
        """Return whether a newer owner has the partition."""
        standing = await self._store.standing(self.number, self.service.state_version)
        return standing.epoch > self.epoch

    async def close(self) -> None:
        """Let go of reader and writer. What was decided and not committed is forgotten."""
        for opened in (self._reader, self._writer):
            if opened is not None:
                await opened.close()
        self._reader = self._writer = self._merge = None
        self._reads.clear()

    @property
    def _place(self) -> str:
        return f"{self.service.name}/{self.number}"


def _is_one_decision(value: bytes | None, later: bytes | None) -> bool:
    """Return whether two records of the journal, one after the other, are of one decision."""
    causes = [
        (said["causetopic"], said["causeoffset"], said["causeindex"] // LATER_INDEX_STEP)
        for said in (orjson.loads(value or b"{}"), orjson.loads(later or b"{}"))
    ]
    return causes[0] == causes[1]


def _end(stored: bytes | None) -> JournalEnd:
    return JournalEnd() if stored is None else JournalEnd(*orjson.loads(stored))


def _portions(
    steps: Iterable[Sequence[tuple[str, Content]]],
) -> Iterator[Sequence[tuple[str, Content]]]:
    """Yield all entries, as many at a time as a commit takes."""
    portion: list[tuple[str, Content]] = []
    size = 0
    for step in steps:
        for entry in step:
            portion.append(entry)
            size += len(entry[0]) + len(entry[1])
            if len(portion) >= BATCH_CHANGES_MAX or size >= BATCH_OUTBOX_BYTES_MAX:
                yield portion
                portion, size = [], 0
    if portion:
        yield portion
