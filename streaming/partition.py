"""What one partition of a service decides, record by record; no connection, no loop, no clock.

The processor feeds it records and work that is due, loads what it says is `Missing`, and commits
what it collected. What the service says becomes records in `concluding.py`, state is changed
through `applying.py` alone.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from contracts.decisions import DeadLetterReason, Decision
from contracts.envelope import EventData, day_of
from streaming.applying import SMALL_INDEXES, Applying, codec_of
from streaming.batch import Batch
from streaming.bus import Outgoing, Record
from streaming.concluding import Arrived, Concluding
from streaming.decoding import Decoded, Defect
from streaming.due import (
    DEADLINE_RANK,
    DUE_LOADED_MAX,
    DUE_PORTIONS_MAX,
    Day,
    DueCause,
    Queue,
    because_key,
)
from streaming.errors import HaltError
from streaming.journal import Entry, JournalEnd
from streaming.natural_keys import Known, known_key, short, split_key
from streaming.parking import READY, Parked, parked_key
from streaming.positions import Position, digest, pack_positions
from streaming.reading import Kind, Listening, Read, Reading
from streaming.service import (
    DueHandler,
    Effects,
    Later,
    NotToday,
    Outcome,
    Patience,
    Reaction,
    Service,
    Wait,
    WaitForDay,
)
from streaming.store import Commit, Range
from streaming.view import EVERYBODY, Cause, Memory, Scope, View


@dataclass(frozen=True, slots=True)
class Own:
    """A record of the own journal: parsed, and with the event of its input if it holds one."""

    record: Record
    envelope: dict[str, Any]
    event: EventData | None


class Partition:
    """One partition of a service: decides, applies, and collects what is to be committed."""

    def __init__(
        self,
        service: Service,
        number: int,
        partitions: int,
        listening: Iterable[Listening],
        *,
        memory: Memory | None = None,
    ) -> None:
        self.service = service
        self.number = number
        self._partitions = partitions
        self.listening = {listened.topic: listened for listened in listening}
        self._reading = Reading(service, number, partitions, self.listening)
        self.memory = memory or Memory(codec_of(service), small=SMALL_INDEXES)
        self.applying = Applying(service, self.memory)
        self.batch = Batch(service, number, partitions, self.applying)
        self.concluding = Concluding(service, number, self.applying, self.batch)
        self.positions: dict[str, Position] = {}
        self._portions = ("", 0)
        self._is_patient = True
        self.set_aside: Mapping[tuple[str, int], str] = {}
        """Why an operator set records aside, by (topic, offset)."""
        self._last_read: dict[str, Record] = {}

    @property
    def places_written(self) -> Collection[tuple[str, int]]:
        """Return every (topic, partition) that something may be sent to from here."""
        name = self.service.name
        shared = {listened.forward_to for listened in self.listening.values()} - {None}
        if self.service.commands:
            shared.add(f"{name}.commands.v1")
        own = (f"{name}.events.v1", f"{name}.dead-letters.v1")
        return {(topic, self.number) for topic in own} | {
            (str(topic), number) for topic in shared for number in range(self._partitions)
        }

    # --- starting over ---------------------------------------------------------------------

    def resume(self, end: JournalEnd, positions: Mapping[str, Position]) -> None:
        """Begin from a store that stands at `end` of the journal and at `positions`."""
        self.applying.forget()
        self._is_patient = True
        self.batch.end = end
        self.positions = dict(positions)
        self._drop_batch()

    def _drop_batch(self) -> None:
        self.batch.drop_outgoing()
        self._last_read = {}

    # --- reading ---------------------------------------------------------------------------

    def read(self, record: Record) -> Read:
        """Return a record as far as it can be understood without state. Raises HaltError."""
        if record.offset < self.positions.get(record.topic, Position(0)).next:
            # The last that was decided, to be compared: it may have been set aside.
            return Read(record, self.listening[record.topic])
        why = self.set_aside.get((record.topic, record.offset))
        if why is None:
            return self._reading.read(record)
        defect = Defect(DeadLetterReason.OPERATOR_QUARANTINE, why)
        return Read(record, self.listening[record.topic], defect=defect)

    # --- deciding --------------------------------------------------------------------------

    def decide(self, read: Read) -> None:
        """Decide one record, or make the decision again after `Missing` was loaded."""
        record = read.record
        position = self.positions.get(record.topic, Position(0))
        if record.offset < position.next:
            return
        seen, set_aside = 0, 0
        is_new = True
        if read.listened.kind is Kind.JOURNAL:
            seen, set_aside, is_new = self._follow(read, position)
        if is_new:
            try:
                self._decide(read)
            except BaseException:
                self.memory.discard()
                raise
        self._read_up_to(record, seen, set_aside)

    def _read_up_to(self, record: Record, journalseq: int, set_aside: int) -> None:
        offset = record.offset
        self.positions[record.topic] = Position(offset + 1, offset, "", journalseq, set_aside)
        self._last_read[record.topic] = record
        self._is_patient = True
        self.applying.queues.ask_again()

    def skip_to(self, topic: str, offset: int) -> bool:
        """Note that there is no record before `offset`; return whether that is news."""
        position = self.positions.get(topic, Position(0))
        if offset <= position.next:
            return False
        self.positions[topic] = position._replace(next=offset)
        return True

    def _follow(self, read: Read, position: Position) -> tuple[int, int, bool]:
        """Return the last number seen, how many after it are set aside, and if a record is new."""
        record = read.record
        seen, set_aside = position.journalseq, position.set_aside
        if (record.topic, record.offset) in self.set_aside:
            # It may have stood for the next number, or have been a stray one that stood for none.
            return seen, set_aside + _may_be_after(seen, record), True
        seq = read.journalseq
        if seq is None:
            raise HaltError(f"{record.topic}: a record without journalseq is no journal's")
        position.check_follows(record, seq)
        if seen and seq <= seen:
            return seen, set_aside, False
        return seq, 0, True

    def _decide(self, read: Read) -> None:
        if read.defect is not None:
            self.concluding.dead_letter(read.record, read.defect)
            return
        if read.decoded is None:
            return
        envelope = read.decoded.envelope
        if read.misplaced is not None:
            if read.listened.decides_defects:
                self.concluding.forward(read, read.decoded, read.misplaced)
            return
        if envelope.type == self.service.calendar.type:
            self._open_day(Arrived.fresh(read, read.decoded), self.applying.day)
            return
        reaction = self.service.reactions.get(envelope.type)
        if reaction is None:
            return
        arrived, said, today = self.said(read, read.decoded, reaction)
        if not isinstance(said, Decision):
            self.concluding.conclude(arrived, said, today, decides=reaction.decides(arrived.event))
        elif reaction.decides(arrived.event):
            self.concluding.conclude_copy(arrived, said, today)

    def said(
        self, read: Read, decoded: Decoded, reaction: Reaction
    ) -> tuple[Arrived, Outcome | Decision, date]:
        """Return an input, what is said about it, and on which day; a Decision about a copy."""
        envelope = decoded.envelope
        day = self.applying.day
        arrived = Arrived.fresh(read, decoded)
        today = day.date if day is not None else envelope.day
        if envelope.businessday is not None and (day is None or envelope.businessday > day.date):
            return arrived, WaitForDay(envelope.businessday), today
        if not arrived.foreign or read.listened.kind is Kind.COMMANDS:
            known = self._known(arrived)
            revision = split_key(arrived.natural_key)[1]
            answer = known.answer(revision, short(arrived.data_sha256))
            if answer is not None:
                return arrived, answer, today
        view = View(
            self.memory,
            payer=arrived.payer,
            day=today,
            scope=read.scope or EVERYBODY,
            event_id=arrived.id,
            time=arrived.time,
        )
        return arrived, reaction.handler(arrived.event, view), today

    def _known(self, arrived: Arrived) -> Known:
        known: Known | None = self.memory.get(known_key(arrived.payer, arrived.natural_key))
        return known or Known()

    def _open_day(self, arrived: Arrived, day: Day | None) -> None:
        opened = self.service.opened_day(arrived.event)
        if day is not None and opened <= day.date:
            self.concluding.conclude_copy(arrived, Decision.DUPLICATE, day.date)
        else:
            self.concluding.conclude(arrived, (), opened)

    # --- work that waits -------------------------------------------------------------------

    def work(self) -> bool:
        """Do the next piece of woken or due work. Return False when there is none.

        What asked for patience is no work until a record was decided or `lose_patience` came.
        """
        try:
            return self._wake_next() or self._due_next()
        except BaseException:
            self.memory.discard()
            raise

    def _wake_next(self) -> bool:
        if not self.applying.maybe_ready:
            return False
        members = self.memory.range(Range(READY))
        if not members:
            self.applying.maybe_ready = False
            return False
        _, topic, offset = members[0].split("|")
        self._decide_parked(topic, int(offset), given_up=False)
        return True

    def _due_next(self) -> bool:
        due = self.applying.due
        for queue in self.applying.queues:
            if due is None and queue.bound is not None:
                continue
            while not queue.pending and queue.maybe_more:
                end = None if queue.bound is None or due is None else queue.bound(due.day)
                queue.take(self.memory.range(Range(queue.index, queue.start, end, DUE_LOADED_MAX)))
            while queue.pending:
                member = next(iter(queue.pending))
                if queue.handler is None:
                    _, _, topic, offset = member.split("|")
                    self._decide_parked(topic, int(offset), given_up=queue.rank == DEADLINE_RANK)
                elif not self._do_due(queue, queue.handler, member, due):
                    queue.held[member] = queue.pending.pop(member)
                    continue
                queue.pending.pop(member, None)
                return True
        return False

    @property
    def is_holding(self) -> bool:
        """Return whether due work asked for patience."""
        return self.applying.queues.is_holding

    def opens_day(self, read: Read) -> bool:
        """Return whether a record opens a business day, or is a copy of one that did."""
        return read.decoded is not None and (
            read.decoded.envelope.type == self.service.calendar.type
        )

    def lose_patience(self) -> None:
        """Let due work that asked for patience be done without it, until the next record."""
        self._is_patient = False
        self.applying.queues.ask_again()

    def _decide_parked(self, topic: str, offset: int, *, given_up: bool) -> None:
        arrived, reaction, outcome, today = self.woken(topic, offset, given_up=given_up)
        if given_up and isinstance(outcome, Wait):
            raise ValueError(f"{arrived.type} was given up and wants to wait for {outcome.key}")
        self.concluding.conclude(arrived, outcome, today, decides=reaction.decides(arrived.event))

    def woken(
        self, topic: str, offset: int, *, given_up: bool
    ) -> tuple[Arrived, Reaction, Outcome, date]:
        """Return a parked input, and what is said about it now."""
        parked: Parked | None = self.memory.get(parked_key(topic, offset))
        if parked is None:
            raise LookupError(f"the input parked from {topic} {offset} is gone")
        event = self.service.events[parked.type].model_validate(parked.data)
        arrived = Arrived.woken(parked, event)
        day = self.applying.day
        today = day.date if day is not None else day_of(parked.time)
        reaction = self.service.reactions[parked.type]
        scope = EVERYBODY if parked.foreign else self._scope(parked)
        view = View(
            self.memory,
            payer=parked.payer,
            day=today,
            first_day=parked.first_day,
            given_up=given_up,
            scope=scope,
            event_id=arrived.id,
            time=arrived.time,
        )
        return arrived, reaction, reaction.handler(arrived.event, view), today

    def _scope(self, parked: Parked) -> Scope:
        listened = self.listening.get(parked.topic)
        scope = None if listened is None else listened.scope(parked.type, parked.payer)
        return scope or EVERYBODY

    def _do_due(self, queue: Queue, handler: DueHandler, member: str, due: DueCause | None) -> bool:
        """Do a piece of due work, or note that it is too early. Return False for patience."""
        outcome, because = self.said_due(queue, handler, member, due)
        if isinstance(outcome, NotToday):
            queue.not_today[member] = None
            return True
        if isinstance(outcome, Patience):
            if not self._is_patient:
                raise ValueError(f"{member} of {queue.index} asks for patience when there is none")
            return False
        if isinstance(outcome, Later) and outcome.day <= because.day:
            raise ValueError(
                f"{member} of {queue.index} is put off to {outcome.day}, a day gone by"
            )
        self.concluding.conclude_due(queue.index, member, outcome, because)
        still_there = self.memory.batch.members.get(queue.index, {}).get(member, True)
        if still_there:
            queue.look_again()
        self._portions = (member, self._portions[1] + 1 if self._portions[0] == member else 1)
        if self._portions[1] > DUE_PORTIONS_MAX:
            raise ValueError(f"{member} of {queue.index} is never done: its facts must settle it")
        return True

    def said_due(
        self, queue: Queue, handler: DueHandler, member: str, due: DueCause | None
    ) -> tuple[Effects | Later | NotToday | Patience, DueCause]:
        """Return what is said about a piece of due work, and because of what it is done."""
        because = self._because(queue, member, due)
        due_on, payer, ref = member.split("|", 2)
        view = View(
            self.memory,
            payer=payer,
            day=because.day,
            was_due_on=date.fromisoformat(due_on),
            is_patient=self._is_patient,
        )
        return handler(ref, view), because

    def _because(self, queue: Queue, member: str, due: DueCause | None) -> DueCause:
        if queue.bound is None:
            because: DueCause | None = self.memory.get(because_key(queue.index, member))
            # What was too early on the day it fell due is done because of a later day.
            if because is None or due is None or because.day == due.day:
                due = because
        if due is None:
            raise LookupError(f"why {member} of {queue.index} is due is gone")
        return due

    # --- folding ---------------------------------------------------------------------------

    def read_own(self, record: Record, *, is_prefetched: bool = True) -> Own:
        """Return a record of the own journal, read to be folded. Raises HaltError.

        The event of its input is read for `prefetch_own` (ahead.py); later it can be read then.
        """
        try:
            envelope = orjson.loads(record.value or b"")
            told: Any = envelope["data"].get("input") if is_prefetched else None
            model = self.service.events.get(told["type"]) if told and "data" in told else None
            event = None if model is None else model.model_validate(told["data"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise HaltError(
                f"{record.place} cannot be read. The journal is damaged: restore it, do not go on."
            ) from error
        return Own(record, envelope, event)

    def fold(self, own: Own) -> None:
        """Apply a record of the own journal. Raises HaltError if it does not follow on."""
        record, envelope = own.record, own.envelope
        seq = envelope.get("journalseq")
        if seq != self.batch.end.seq + 1 or envelope.get("prevhash") != self.batch.end.hash:
            raise HaltError(
                f"{record.place}: number {seq} does not follow "
                f"{self.batch.end.seq}. The journal is damaged: restore it, do not go on."
            )
        cause = Cause(
            topic=envelope["causetopic"],
            partition=envelope["causepartition"],
            offset=envelope["causeoffset"],
            time=envelope["time"],
            traceparent=envelope.get("traceparent"),
        )
        day = envelope.get("businessday")
        told = envelope["data"].get("input")
        entry = Entry(
            type=envelope["type"],
            subject=envelope["subject"],
            payer=envelope.get("partitionkey"),
            business_day=day,
            cause=cause,
            cause_index=envelope["causeindex"],
            data=envelope["data"],
        )
        # Before the first business day a decision is made on the day of its input.
        applied_on = date.fromisoformat(day) if day else day_of(envelope["time"])
        payer = envelope.get("partitionkey") or ""
        try:
            self.applying.apply(entry, seq, payer, applied_on, own.event, None)
            self.applying.keep()
        except BaseException:
            self.memory.discard()
            raise
        self.batch.end = JournalEnd(seq, envelope["hash"])
        position = self.positions.get(cause.topic, Position(0))
        if cause.offset >= position.next:
            read = _journal_number(told) if told is not None else 0
            self.positions[cause.topic] = Position(cause.offset + 1, -1, "", read)

    # --- committing ------------------------------------------------------------------------

    def commit(self, expected_seq: int, fields: Mapping[str, bytes], trim: int) -> Commit:
        """Return everything that changed since the last commit."""
        changes, codec, end = self.memory.batch, self.memory.codec, self.batch.end
        for topic, record in self._last_read.items():
            self.positions[topic] = self.positions[topic]._replace(hash=digest(record))
        return Commit(
            expected_seq=expected_seq,
            fields={
                "positions": pack_positions(self.positions),
                "journal": orjson.dumps([end.seq, end.hash]),
                **fields,
            },
            writes={k: codec.encode(k, v) for k, v in changes.values.items() if v is not None},
            deletes=[key for key, value in changes.values.items() if value is None],
            index_adds=[
                (i, m) for i, ms in changes.members.items() for m, there in ms.items() if there
            ],
            index_removes=[
                (i, m) for i, ms in changes.members.items() for m, there in ms.items() if not there
            ],
            outbox=self.batch.packed,
            trim=trim,
        )

    def committed(self) -> Sequence[Outgoing]:
        """The commit stands: return what is to be published."""
        outgoing = self.batch.outgoing
        self.memory.committed()
        self._drop_batch()
        return outgoing


def _may_be_after(seen: int, record: Record) -> bool:
    """Return whether a record may be one of a journal after the number seen, as far as it tells."""
    try:
        number = orjson.loads(record.value or b"")["journalseq"]
    except (KeyError, TypeError):
        return False
    except ValueError:
        return True
    return not isinstance(number, int) or number > seen


def _journal_number(told: Mapping[str, Any]) -> int:
    # The id of a journal's record is <service>:<partition>:<journalseq>.
    if not str(told["source"]).startswith("/services/"):
        return 0
    parts = str(told["id"]).split(":")
    return int(parts[2]) if len(parts) == 3 else 0
