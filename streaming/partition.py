"""What one partition of a service decides, record by record; no connection, no loop, no clock.

The processor feeds it records and work that is due, loads what it says is `Missing`, and commits
what it collected. State is changed through `applying.py` alone.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Any

import orjson

from contracts.decisions import DeadLetterReason, Decision, InputRefusal, decision_type
from contracts.envelope import HEADERS_BYTES_MAX, EventData, day_of
from streaming import journal
from streaming.applying import SMALL_INDEXES, Applying, codec_of
from streaming.bus import Headers, Outgoing, Record
from streaming.decoding import Decoded, Defect, headers_bytes
from streaming.due import (
    DAY,
    DEADLINE_RANK,
    DUE,
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
from streaming.outbox import pack
from streaming.parking import (
    BY_SOURCE,
    PARKED_PER_KEY_MAX,
    PARKED_PER_SOURCE_MAX,
    READY,
    WAITING,
    Parked,
    parked_key,
    source_bounds,
    waiting_bounds,
)
from streaming.positions import Position, digest, pack_positions
from streaming.reading import FORWARDED_FROM, Kind, Listening, Read, Reading
from streaming.routing import partition_of
from streaming.service import (
    DueHandler,
    Effects,
    Later,
    NotToday,
    Outcome,
    Patience,
    Reaction,
    Refuse,
    Send,
    Service,
    Wait,
    WaitForDay,
)
from streaming.store import Commit, Count, Range
from streaming.view import EVERYBODY, Cause, Memory, Missing, Scope, View

BATCH_CHANGES_MAX = 1_000
"""A batch is committed when it changed that much, half of what a commit may hold."""
BATCH_OUTBOX_BYTES_MAX = 2 * 1024 * 1024
WORK_AHEAD_MAX = 200
"""So many pieces of work that waits are asked at once what they lack: about a batch of them."""
HEADERS_DROPPED, KEY_DROPPED = "pfdo-headers-dropped", "pfdo-key-dropped"
"""Headers of a dead letter whose record came with too much around its value: how many headers it
had, how many bytes its key had."""
UNKNOWN_DAY = date(1900, 1, 1)
"""The day of what changes no state, before the first business day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An input as it is decided: fresh from a record, or after it was parked."""

    topic: str
    offset: int
    payer: str
    source: str
    id: str
    type: str
    subject: str
    natural_key: str
    data_sha256: str
    time: str
    traceparent: str | None
    data: dict[str, Any]
    event: EventData
    foreign: bool
    parked: Parked | None = None

    def to_input(self, *, with_data: bool) -> dict[str, Any]:
        """Return the member `input` of the first record of the decision."""
        member: dict[str, Any] = {
            "source": self.source,
            "id": self.id,
            "type": self.type,
            "subject": self.subject,
            "natural_key": self.natural_key,
            "data_sha256": self.data_sha256,
        }
        if with_data:
            # A fact of another journal comes without its own input: that stands in that journal.
            member["data"] = {k: v for k, v in self.data.items() if k != "input"}
        return member


@dataclass(slots=True, kw_only=True)
class _Step:
    type: str
    subject: str
    data: dict[str, Any]
    payer: str | None = None
    event: EventData | None = None
    fact: object | None = None

    @property
    def is_command(self) -> bool:
        return self.payer is not None


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
        self._applying = Applying(service, self.memory)
        self.end = JournalEnd()
        self.positions: dict[str, Position] = {}
        self.outgoing: list[Outgoing] = []
        self._packed: list[bytes] = []
        """The same as entries of the outbox."""
        self._packed_bytes = 0
        self.decisions: list[tuple[str, str, str]] = []
        """(topic, decision, reason) of the batch, for metrics."""
        self._portions = ("", 0)
        self._is_patient = True
        self.set_aside: Mapping[tuple[str, int], str] = {}
        """Why an operator set records aside, by (topic, offset)."""
        self._last_read: dict[str, Record] = {}
        self._rehearsed: set[tuple[str, str]] = set()
        """Work that lacks nothing, as far as is known: index and member."""
        self._required = {
            model.type: {
                (info.alias or name)
                for name, info in model.model_fields.items()
                if info.is_required()
            }
            for model in (*service.facts.values(), *service.commands.values())
        }

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
        self._applying.forget()
        self._is_patient = True
        self.end = end
        self.positions = dict(positions)
        self._drop_batch()

    def drop_outgoing(self) -> None:
        """Forget what is to be published, and what of it was decided."""
        self.outgoing = []
        self._packed = []
        self._packed_bytes = 0
        self.decisions = []

    def _drop_batch(self) -> None:
        self.drop_outgoing()
        self._last_read = {}
        # What is kept in memory of ranges and numbers goes with the batch.
        self._rehearsed = set()

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

    def prefetch(self, reads: Iterable[Read]) -> list[str]:
        """Return the keys these records will surely ask for and that are not in memory."""
        wanted = dict.fromkeys((DAY, DUE))
        for read, decoded, _ in self._reacting(reads):
            payer = decoded.envelope.partitionkey or ""
            if read.listened.kind is not Kind.JOURNAL:
                wanted[known_key(payer, read.natural_key)] = None
            wanted |= self._aggregates(payer, decoded.event)
        return [key for key in wanted if not self.memory.knows(key)]

    def prefetch_next(self, reads: Iterable[Read]) -> list[str]:
        """Return the keys to which leads what `prefetch` named, and that are not in memory."""
        names = self.memory.codec.names
        wanted: dict[str, None] = {}
        for _, decoded, reaction in self._reacting(reads):
            if reaction.prefetch_next is None:
                continue
            payer = decoded.envelope.partitionkey or ""
            view = View(self.memory, payer=payer, day=decoded.envelope.day)
            with suppress(Missing):
                for kind, id_ in reaction.prefetch_next(decoded.event, view):
                    wanted[f"{names[kind]}/{payer}/{id_}"] = None
        return [key for key in wanted if not self.memory.knows(key)]

    def _reacting(self, reads: Iterable[Read]) -> Iterator[tuple[Read, Decoded, Reaction]]:
        """Yield those records about which something will be done here."""
        for read in reads:
            if read.decoded is not None and read.misplaced is None:
                reaction = self.service.reactions.get(read.decoded.envelope.type)
                if reaction is not None:
                    yield read, read.decoded, reaction

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
        self._applying.queues.ask_again()

    def skip_to(self, topic: str, offset: int) -> bool:
        """Note that there is no record before `offset`; return whether that is news."""
        position = self.positions.get(topic, Position(0))
        if offset <= position.next:
            return False
        self.positions[topic] = position._replace(next=offset)
        return True

    def _follow(self, read: Read, position: Position) -> tuple[int, int, bool]:
        """Return the last number seen, how many after it are set aside, and if a record is new.

        The number before a record's own must have been seen, or may have been that of a record
        which was set aside.
        """
        record = read.record
        seen, set_aside = position.journalseq, position.set_aside
        if (record.topic, record.offset) in self.set_aside:
            # It may have stood for the next number, or have been a stray one that stood for none.
            return seen, set_aside + _may_be_after(seen, record), True
        seq = read.journalseq
        if seq is None:
            raise HaltError(f"{record.topic}: a record without journalseq is no journal's")
        if seen and seq > seen + 1 + set_aside:
            raise HaltError(
                f"{record.place}: number {seq} "
                f"follows {seen}; records are missing. Restore the topic."
            )
        if seen and seq <= seen:
            return seen, set_aside, False
        return seq, 0, True

    def _decide(self, read: Read) -> None:
        if read.defect is not None:
            self._dead_letter(read.record, read.defect)
            return
        if read.decoded is None:
            return
        envelope = read.decoded.envelope
        if read.misplaced is not None:
            if read.listened.decides_defects:
                self._forward(read, read.misplaced)
            return
        if envelope.type == self.service.calendar.type:
            self._open_day(self._arrived(read, read.decoded), self._applying.day)
            return
        reaction = self.service.reactions.get(envelope.type)
        if reaction is None:
            return
        arrived, said, today = self._said(read, read.decoded, reaction)
        if not isinstance(said, Decision):
            self._conclude(arrived, said, today, decides=reaction.decides(arrived.event))
        elif reaction.decides(arrived.event):
            self._conclude_copy(arrived, said, today)

    def _said(
        self, read: Read, decoded: Decoded, reaction: Reaction
    ) -> tuple[Arrived, Outcome | Decision, date]:
        """Return an input, what is said about it, and on which day; a Decision about a copy."""
        envelope = decoded.envelope
        day = self._applying.day
        arrived = self._arrived(read, decoded)
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

    def _arrived(self, read: Read, decoded: Decoded) -> Arrived:
        envelope = decoded.envelope
        return Arrived(
            topic=read.record.topic,
            offset=read.record.offset,
            payer=envelope.partitionkey or "",
            source=envelope.source,
            id=envelope.id,
            type=envelope.type,
            subject=envelope.subject,
            natural_key=read.natural_key,
            data_sha256=journal.data_hash(envelope.data),
            time=envelope.time,
            traceparent=envelope.traceparent,
            data=envelope.data,
            event=decoded.event,
            foreign=read.listened.kind in (Kind.JOURNAL, Kind.COMMANDS),
        )

    def _known(self, arrived: Arrived) -> Known:
        known: Known | None = self.memory.get(known_key(arrived.payer, arrived.natural_key))
        return known or Known()

    def _open_day(self, arrived: Arrived, day: Day | None) -> None:
        opened = self.service.opened_day(arrived.event)
        if day is not None and opened <= day.date:
            self._conclude_copy(arrived, Decision.DUPLICATE, day.date)
        else:
            self._conclude(arrived, (), opened)

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
        if not self._applying.maybe_ready:
            return False
        members = self.memory.range(Range(READY))
        if not members:
            self._applying.maybe_ready = False
            return False
        _, topic, offset = members[0].split("|")
        self._decide_parked(topic, int(offset), given_up=False)
        return True

    def _due_next(self) -> bool:
        due = self._applying.due
        for queue in self._applying.queues:
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
        return self._applying.queues.is_holding

    def opens_day(self, read: Read) -> bool:
        """Return whether a record opens a business day, or is a copy of one that did."""
        return read.decoded is not None and (
            read.decoded.envelope.type == self.service.calendar.type
        )

    def lose_patience(self) -> None:
        """Let due work that asked for patience be done without it, until the next record."""
        self._is_patient = False
        self._applying.queues.ask_again()

    def _decide_parked(self, topic: str, offset: int, *, given_up: bool) -> None:
        arrived, reaction, outcome, today = self._woken(topic, offset, given_up=given_up)
        if given_up and isinstance(outcome, Wait):
            raise ValueError(f"{arrived.type} was given up and wants to wait for {outcome.key}")
        self._conclude(arrived, outcome, today, decides=reaction.decides(arrived.event))

    def _woken(
        self, topic: str, offset: int, *, given_up: bool
    ) -> tuple[Arrived, Reaction, Outcome, date]:
        """Return a parked input, and what is said about it now."""
        parked: Parked | None = self.memory.get(parked_key(topic, offset))
        if parked is None:
            raise LookupError(f"the input parked from {topic} {offset} is gone")
        model = self.service.events[parked.type]
        arrived = Arrived(
            topic=topic,
            offset=offset,
            payer=parked.payer,
            source=parked.source,
            id=parked.id,
            type=parked.type,
            subject=parked.subject,
            natural_key=parked.natural_key,
            data_sha256=parked.data_sha256,
            time=parked.time,
            traceparent=parked.traceparent,
            data=parked.data,
            event=model.model_validate(parked.data),
            foreign=parked.foreign,
            parked=parked,
        )
        day = self._applying.day
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
        due = self._because(queue, member, due)
        outcome = self._due_outcome(handler, member, due)
        if isinstance(outcome, NotToday):
            queue.not_today[member] = None
            return True
        if isinstance(outcome, Patience):
            if not self._is_patient:
                raise ValueError(f"{member} of {queue.index} asks for patience when there is none")
            return False
        if isinstance(outcome, Later) and outcome.day <= due.day:
            raise ValueError(
                f"{member} of {queue.index} is put off to {outcome.day}, a day gone by"
            )
        steps = [] if isinstance(outcome, Later) else self._steps(outcome)
        # Commands alone leave no fact that settles the item.
        if all(step.is_command for step in steps):
            data: dict[str, Any] = {"input": due.input, "item": f"{queue.index}|{member}"}
            if isinstance(outcome, Later):
                data["later"] = outcome.day.isoformat()
            noted = decision_type(self.service.name, Decision.NOTED)
            steps.insert(0, _Step(type=noted, subject=str(due.input["subject"]), data=data))
        self._write(steps, self._due_cause(due), _payer_of(member), due.day, later=True)
        still_there = self.memory.batch.members.get(queue.index, {}).get(member, True)
        if still_there:
            queue.look_again()
        self._portions = (member, self._portions[1] + 1 if self._portions[0] == member else 1)
        if self._portions[1] > DUE_PORTIONS_MAX:
            raise ValueError(f"{member} of {queue.index} is never done: its facts must settle it")
        return True

    def _because(self, queue: Queue, member: str, due: DueCause | None) -> DueCause:
        if queue.bound is None:
            because: DueCause | None = self.memory.get(because_key(queue.index, member))
            # What was too early on the day it fell due is done because of a later day.
            if because is None or due is None or because.day == due.day:
                due = because
        if due is None:
            raise LookupError(f"why {member} of {queue.index} is due is gone")
        return due

    def _due_outcome(
        self, handler: DueHandler, member: str, due: DueCause
    ) -> Effects | Later | NotToday | Patience:
        due_on, payer, ref = member.split("|", 2)
        view = View(
            self.memory,
            payer=payer,
            day=due.day,
            was_due_on=date.fromisoformat(due_on),
            is_patient=self._is_patient,
        )
        return handler(ref, view)

    def _due_cause(self, due: DueCause) -> Cause:
        return Cause(
            topic=due.topic,
            partition=self.number,
            offset=due.offset,
            time=due.time,
            traceparent=due.traceparent,
        )

    def missing_ahead(self, reads: Iterable[Read]) -> list[Missing]:
        """Return what the next pieces of work, and then records, lack; as far as can be told.

        Thousands fall due on one day: asked for one by one, each would cost a few round trips.
        They are rehearsed on what is in memory, and nothing of it stays; decisions are pure.
        """
        lacking = []
        with suppress(Missing):
            for piece, rehearse in islice(self._ahead(reads), WORK_AHEAD_MAX):
                if piece not in self._rehearsed:
                    lacking.append(self._lacking(piece, rehearse))
        return [missing for missing in lacking if missing is not None]

    def _ahead(
        self, reads: Iterable[Read]
    ) -> Iterator[tuple[tuple[str, str], Callable[[], object]]]:
        """Yield what is decided next, and how it is rehearsed."""
        if self._applying.maybe_ready:
            for member in self.memory.range(Range(READY)):
                _, topic, offset = member.split("|")
                yield (READY, member), partial(self._woken, topic, int(offset), given_up=False)
        due = self._applying.due
        for queue in self._applying.queues:
            for member in queue.pending:
                rehearse: Callable[[], object]
                if queue.handler is not None:
                    rehearse = partial(self._rehearse_due, queue, queue.handler, member, due)
                else:
                    _, _, topic, offset = member.split("|")
                    given_up = queue.rank == DEADLINE_RANK
                    rehearse = partial(self._woken, topic, int(offset), given_up=given_up)
                yield (queue.index, member), rehearse
        for read, decoded, reaction in self._reacting(reads):
            here = (read.record.topic, str(read.record.offset))
            yield here, partial(self._rehearse_read, read, decoded, reaction)

    def _lacking(self, piece: tuple[str, str], rehearse: Callable[[], object]) -> Missing | None:
        try:
            rehearse()
        except Missing as missing:
            return missing
        except Exception:  # noqa: BLE001, S110 - it fails when its turn comes, and is told then
            pass
        finally:
            self.memory.discard()
        self._rehearsed.add(piece)
        return None

    def _rehearse_due(
        self, queue: Queue, handler: DueHandler, member: str, due: DueCause | None
    ) -> None:
        due = self._because(queue, member, due)
        outcome = self._due_outcome(handler, member, due)
        if not isinstance(outcome, Later | NotToday | Patience):
            steps, cause = self._steps(outcome), self._due_cause(due)
            self._apply(steps, cause, _payer_of(member), due.day, later=True)

    def _rehearse_read(self, read: Read, decoded: Decoded, reaction: Reaction) -> None:
        arrived, said, today = self._said(read, decoded, reaction)
        if said and not isinstance(said, Decision | Refuse | Wait | WaitForDay):
            steps = self._steps_about(arrived, said)
            self._apply(steps, self._cause(arrived), arrived.payer, today, later=False)

    # --- concluding ------------------------------------------------------------------------

    def _conclude_copy(self, arrived: Arrived, answer: Decision, today: date) -> None:
        data: dict[str, Any] = {"input": arrived.to_input(with_data=False)}
        reason = ""
        if answer is Decision.REFUSED:
            reason = InputRefusal.CONFLICT
            data["input"] = arrived.to_input(with_data=True)
            data["reason"] = reason
            data["detail"] = (
                f"По ключу {arrived.natural_key} раньше пришли другие данные: действуют они."
            )
        self._decision(arrived, answer, data, today, reason)

    def _conclude(
        self, arrived: Arrived, outcome: Outcome, today: date, *, decides: bool = True
    ) -> None:
        if isinstance(outcome, Wait | WaitForDay) and decides:
            outcome = self._within_limits(arrived, outcome)
        match outcome:
            case None:
                if arrived.parked is not None:
                    self._decision_noted(arrived, today)
            case Refuse():
                if not decides:
                    raise ValueError(f"{arrived.type} is not decided here and cannot be refused")
                data: dict[str, Any] = {
                    "input": arrived.to_input(with_data=True),
                    "reason": InputRefusal(outcome.reason).value,
                    "detail": outcome.detail or outcome.reason.replace("_", " "),
                }
                self._decision(arrived, Decision.REFUSED, data, today, outcome.reason)
            case Wait() | WaitForDay():
                key = f"day:{outcome.day}" if isinstance(outcome, WaitForDay) else outcome.key
                until = None if isinstance(outcome, WaitForDay) else outcome.until
                data = {
                    "input": arrived.to_input(with_data=True),
                    "waits_for": key,
                    "until": None if until is None else until.isoformat(),
                }
                self._decision(arrived, Decision.PARKED, data, today, key)
            case _:
                steps = self._steps_about(arrived, outcome)
                if all(step.is_command for step in steps):
                    self._decision_noted(arrived, today, steps)
                    return
                self._write(
                    steps,
                    self._cause(arrived),
                    arrived.payer,
                    today,
                    later=arrived.parked is not None,
                )
                self.decisions.append((arrived.topic, "applied", ""))

    def _within_limits(self, arrived: Arrived, outcome: Wait | WaitForDay) -> Outcome:
        if arrived.foreign or arrived.parked is not None:
            return outcome
        by_source = Count(BY_SOURCE, *source_bounds(arrived.source))
        full = self.memory.count(by_source) >= PARKED_PER_SOURCE_MAX
        if isinstance(outcome, Wait) and not full:
            here = self.memory.count(Count(WAITING, *waiting_bounds(arrived.payer, outcome.key)))
            full = here >= PARKED_PER_KEY_MAX
        if not full:
            return outcome
        return Refuse(
            InputRefusal.PARK_LIMIT,
            f"От {arrived.source} уже ждёт слишком много сообщений: пришлите его позже ещё раз.",
        )

    def _decision_noted(
        self, arrived: Arrived, today: date, commands: Sequence[_Step] = ()
    ) -> None:
        data = {"input": arrived.to_input(with_data=True)}
        self._decision(arrived, Decision.NOTED, data, today, "", commands)

    def _decision(
        self,
        arrived: Arrived,
        decision: Decision,
        data: dict[str, Any],
        today: date,
        reason: str,
        commands: Sequence[_Step] = (),
    ) -> None:
        step = _Step(
            type=decision_type(self.service.name, decision), subject=arrived.subject, data=data
        )
        step.event = arrived.event
        self._write(
            [step, *commands],
            self._cause(arrived),
            arrived.payer,
            today,
            later=arrived.parked is not None,
        )
        self.decisions.append((arrived.topic, decision.value, reason))

    def _cause(self, arrived: Arrived) -> Cause:
        return Cause(
            topic=arrived.topic,
            partition=self.number,
            offset=arrived.offset,
            time=arrived.time,
            traceparent=arrived.traceparent,
        )

    def _dead_letter(self, record: Record, defect: Defect) -> None:
        value = record.value or b""
        checksum = sha256(value).hexdigest()
        step = _Step(
            type=decision_type(self.service.name, Decision.DEAD_LETTERED),
            subject=record.topic,
            data={
                "topic": record.topic,
                "reason": defect.reason.value,
                "detail": defect.detail,
                "sha256": checksum,
            },
        )
        cause = Cause(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            time=_written(record.appended_at_ms),
        )
        day = self._applying.day
        self._write([step], cause, "", UNKNOWN_DAY if day is None else day.date, later=False)
        key, headers = _kept(record)
        self._send(
            f"{self.service.name}.dead-letters.v1",
            self.number,
            key,
            record.value,
            (
                *headers,
                ("pfdo-reason", defect.reason.value.encode()),
                ("pfdo-detail", defect.detail.encode()),
                ("pfdo-topic", record.topic.encode()),
                ("pfdo-partition", str(record.partition).encode()),
                ("pfdo-offset", str(record.offset).encode()),
                ("pfdo-received-at-ms", str(record.appended_at_ms).encode()),
                ("pfdo-sha256", checksum.encode()),
            ),
        )
        self.decisions.append((record.topic, Decision.DEAD_LETTERED.value, defect.reason.value))

    def _forward(self, read: Read, right: int) -> None:
        record, listened = read.record, read.listened
        assert read.decoded is not None
        if listened.forward_to is None:
            self._dead_letter(
                record,
                Defect(DeadLetterReason.BAD_ENVELOPE, "a forwarded record is in a wrong partition"),
            )
            return
        arrived = self._arrived(read, read.decoded)
        step = _Step(
            type=decision_type(self.service.name, Decision.FORWARDED),
            subject=arrived.subject,
            data={"input": arrived.to_input(with_data=False), "to_partition": right},
        )
        day = self._applying.day
        today = UNKNOWN_DAY if day is None else day.date
        self._write([step], self._cause(arrived), arrived.payer, today, later=False)
        origin = f"{record.topic}/{record.partition}/{record.offset}"
        self._send(
            listened.forward_to,
            right,
            arrived.payer.encode(),
            record.value,
            (*record.headers, (FORWARDED_FROM, origin.encode())),
        )
        self.decisions.append((record.topic, Decision.FORWARDED.value, ""))

    # --- writing and applying --------------------------------------------------------------

    def _steps(self, effects: Effects) -> list[_Step]:
        steps = []
        for effect in effects:
            if isinstance(effect, Send):
                model = self.service.commands[type(effect.command)]
                step = _Step(
                    type=model.type,
                    subject="",
                    data=self._data(effect.command, model),
                    payer=effect.payer,
                )
            else:
                model = self.service.facts[type(effect)]
                step = _Step(type=model.type, subject="", data=self._data(effect, model))
                step.fact = effect
            step.subject = _subject(step.data, model.subject_field)
            steps.append(step)
        return steps

    def _steps_about(self, arrived: Arrived, effects: Effects) -> list[_Step]:
        """Return the steps that follow from an input; the first fact carries it."""
        steps = self._steps(effects)
        first = next((step for step in steps if not step.is_command), None)
        if first is not None:
            first.data["input"] = arrived.to_input(with_data=True)
            first.event = arrived.event
        return steps

    def _data(self, value: object, model: type[EventData]) -> dict[str, Any]:
        data: dict[str, Any] = orjson.loads(orjson.dumps(value))
        required = self._required[model.type]
        return {k: v for k, v in data.items() if v is not None or k in required}

    def _write(
        self, steps: Sequence[_Step], cause: Cause, payer: str, day: date, *, later: bool
    ) -> None:
        """Apply the steps and, if nothing was missing, put them into the journal and the outbox."""
        entries = self._apply(steps, cause, payer, day, later=later)
        self._applying.keep()
        for step, entry in entries:
            if step.is_command:
                right = partition_of(str(step.payer).encode(), self._partitions)
                value = journal.command(self.service.name, self.number, entry, self.end.seq)
                self._send(
                    f"{self.service.name}.commands.v1", right, _key(entry), value, journal.HEADERS
                )
            else:
                self.end, value = journal.append(self.service.name, self.number, self.end, entry)
                self._send(
                    f"{self.service.name}.events.v1",
                    self.number,
                    _key(entry),
                    value,
                    journal.HEADERS,
                )

    def _apply(
        self, steps: Sequence[_Step], cause: Cause, payer: str, day: date, *, later: bool
    ) -> list[tuple[_Step, Entry]]:
        """Change state by the steps, as part of the current decision; return their records."""
        first = (self.end.seq + 1) * journal.LATER_INDEX_STEP if later else 0
        business_day = None if self._applying.day is None and not self._opens(steps) else day
        seq = self.end.seq
        entries = []
        for index, step in enumerate(steps):
            entry = Entry(
                type=step.type,
                subject=step.subject,
                payer=step.payer or payer or None,
                business_day=None if business_day is None else business_day.isoformat(),
                cause=cause,
                cause_index=first + index,
                data=step.data,
            )
            if not step.is_command:
                seq += 1
                self._applying.apply(entry, seq, payer, day, step.event, step.fact)
            entries.append((step, entry))
        return entries

    def _opens(self, steps: Sequence[_Step]) -> bool:
        return isinstance(steps[0].event, self.service.calendar)

    def _send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...],
    ) -> None:
        outgoing = Outgoing(topic, partition, key, value, headers)
        packed = pack(outgoing)
        self.outgoing.append(outgoing)
        self._packed.append(packed)
        self._packed_bytes += len(packed)

    # --- folding ---------------------------------------------------------------------------

    def read_own(self, record: Record, *, is_prefetched: bool = True) -> Own:
        """Return a record of the own journal, read to be folded. Raises HaltError.

        The event of its input is read for `prefetch_own`; who needs it later can read it then.
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

    def prefetch_own(self, owns: Iterable[Own]) -> list[str]:
        """Return the keys these records will surely ask for and that are not in memory."""
        wanted = dict.fromkeys((DAY, DUE))
        for own in owns:
            if own.event is None:
                continue
            payer = own.envelope.get("partitionkey") or ""
            key = own.envelope["data"]["input"]["natural_key"]
            if own.event.natural_key:
                wanted[known_key(payer, key)] = None
            wanted |= self._aggregates(payer, own.event)
        return [key for key in wanted if not self.memory.knows(key)]

    def _aggregates(self, payer: str, event: EventData) -> dict[str, None]:
        """Return the keys of the aggregates a decision about an event surely looks at."""
        reaction = self.service.reactions.get(event.type)
        if reaction is None or reaction.prefetch is None:
            return {}
        names = self.memory.codec.names
        return {f"{names[kind]}/{payer}/{id_}": None for kind, id_ in reaction.prefetch(event)}

    def fold(self, own: Own) -> None:
        """Apply a record of the own journal. Raises HaltError if it does not follow on."""
        record, envelope = own.record, own.envelope
        seq = envelope.get("journalseq")
        if seq != self.end.seq + 1 or envelope.get("prevhash") != self.end.hash:
            raise HaltError(
                f"{record.place}: number {seq} does not follow "
                f"{self.end.seq}. The journal is damaged: restore it, do not go on."
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
            self._applying.apply(entry, seq, payer, applied_on, own.event, None)
            self._applying.keep()
        except BaseException:
            self.memory.discard()
            raise
        self.end = JournalEnd(seq, envelope["hash"])
        position = self.positions.get(cause.topic, Position(0))
        if cause.offset >= position.next:
            read = _journal_number(told) if told is not None else 0
            self.positions[cause.topic] = Position(cause.offset + 1, -1, "", read)

    # --- committing ------------------------------------------------------------------------

    @staticmethod
    def is_record(record: Record, hash_: str) -> bool:
        """Return whether a record is the one whose hash a position keeps."""
        return digest(record) == hash_

    @property
    def is_full(self) -> bool:
        """Return whether the batch should be committed before more is decided."""
        return (
            len(self.memory.batch) >= BATCH_CHANGES_MAX
            or self._packed_bytes >= BATCH_OUTBOX_BYTES_MAX
        )

    def commit(
        self, expected_seq: int, fields: Mapping[str, bytes], trim: int, *, publish: bool = True
    ) -> Commit:
        """Return everything that changed since the last commit."""
        batch, codec = self.memory.batch, self.memory.codec
        for topic, record in self._last_read.items():
            self.positions[topic] = self.positions[topic]._replace(hash=digest(record))
        return Commit(
            expected_seq=expected_seq,
            fields={
                "positions": pack_positions(self.positions),
                "journal": orjson.dumps([self.end.seq, self.end.hash]),
                **fields,
            },
            writes={k: codec.encode(k, v) for k, v in batch.values.items() if v is not None},
            deletes=[key for key, value in batch.values.items() if value is None],
            index_adds=[
                (i, m) for i, ms in batch.members.items() for m, there in ms.items() if there
            ],
            index_removes=[
                (i, m) for i, ms in batch.members.items() for m, there in ms.items() if not there
            ],
            outbox=self._packed if publish else (),
            trim=trim,
        )

    def committed(self) -> Sequence[Outgoing]:
        """The commit stands: return what is to be published."""
        outgoing = self.outgoing
        self.memory.committed()
        self._drop_batch()
        return outgoing


def _kept(record: Record) -> tuple[bytes | None, Headers]:
    """Return what a dead letter keeps of key and headers, and which of them it does not."""
    key, headers = record.key, record.headers
    if headers_bytes(headers) > HEADERS_BYTES_MAX:
        headers = ((HEADERS_DROPPED, str(len(headers)).encode()),)
    key_bytes = len(key or b"")
    if key_bytes > HEADERS_BYTES_MAX:
        key, headers = None, (*headers, (KEY_DROPPED, str(key_bytes).encode()))
    return key, headers


def _payer_of(member: str) -> str:
    return member.split("|", 2)[1]


def _key(entry: Entry) -> bytes | None:
    return None if entry.payer is None else entry.payer.encode()


def _subject(data: Mapping[str, Any], path: str) -> str:
    value: Any = data
    for name in path.split("."):
        value = value[name]
    return str(value)


def _written(appended_at_ms: int) -> str:
    """Return a time of the log as RFC 3339 in UTC."""
    return datetime.fromtimestamp(appended_at_ms / 1000, UTC).isoformat(timespec="milliseconds")


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
