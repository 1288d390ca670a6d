"""What one partition of a service decides, record by record; no connection, no loop, no clock.

The processor feeds it records and work that is due, loads what it says is `Missing`, and commits
what it collected. Folding a journal goes through the same `_apply` as deciding: state is a
function of the journal alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

import orjson
from pydantic import TypeAdapter

from contracts.decisions import DeadLetterReason, Decision, InputRefusal, decision_type
from contracts.envelope import Envelope, EventData
from streaming import journal
from streaming.bus import Outgoing, Record
from streaming.decoding import Decoded, Defect, decode_data, decode_envelope
from streaming.errors import HaltError
from streaming.journal import Entry, JournalEnd
from streaming.routing import partition_of
from streaming.service import Effects, Outcome, Refuse, Send, Service, Wait, WaitForDay
from streaming.store import Commit, Count, Range
from streaming.view import EVERYBODY, Cause, Codec, Memory, Scope, State, View

PARKED_PER_KEY_MAX = 500
PARKED_PER_SOURCE_MAX = 100_000
DUE_LOADED_MAX = 20_000
"""Of one kind of due work, how much is sorted at a time; more than that falls due in turns."""
REFUSED_REVISIONS_MAX = 100
BATCH_CHANGES_MAX = 1_000
"""A batch is committed when it changed that much, half of what a commit may hold."""
BATCH_OUTBOX_BYTES_MAX = 2 * 1024 * 1024
UNKNOWN_DAY = date(1900, 1, 1)


class Kind(StrEnum):
    """What a topic is to its reader."""

    SOURCE = "source"
    CALENDAR = "calendar"
    COMMANDS = "commands"
    REPORTS = "reports"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """One input topic, as this service reads it.

    `source` is what the attribute `source` of its records must be. `decides_defects`: this service
    answers for records that cannot be read, are misplaced or foreign. `events` are the types that
    may stand there. `forward_to` is where misplaced records go. `scope` returns for whom the source
    may speak with a type and payer, or None.
    """

    topic: str
    kind: Kind
    source: str
    decides_defects: bool
    events: Mapping[str, type[EventData]]
    forward_to: str | None = None
    scope: Callable[[str, str | None], Scope | None] = lambda type_, payer: EVERYBODY


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading of a topic goes on, and how its last applied record is recognized."""

    next: int
    last: int = -1
    hash: str = ""
    journalseq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered of a natural key: revisions with a hash of the data they came with."""

    accepted: int | None = None
    accepted_hash: str = ""
    parked: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def highest(self) -> int | None:
        """Return the highest revision that was not refused; parked ones count."""
        revisions = [int(revision) for revision in self.parked]
        if self.accepted is not None:
            revisions.append(self.accepted)
        return max(revisions, default=None)

    def answer(self, revision: int, hash_: str) -> Decision | None:
        """Return DUPLICATE, REFUSED (a conflict), or None for what must be decided."""
        highest = self.highest
        if highest is not None and revision < highest:
            return Decision.DUPLICATE
        seen = {**self.refused, **self.parked}
        if self.accepted is not None:
            seen[str(self.accepted)] = self.accepted_hash
        before = seen.get(str(revision))
        if before is None:
            return None
        return Decision.DUPLICATE if before == hash_ else Decision.REFUSED

    def after(self, decision: Decision | None, revision: int, hash_: str) -> "Known":
        """Return what is known after a decision; None stands for facts."""
        number = str(revision)
        parked = {key: value for key, value in self.parked.items() if key != number}
        match decision:
            case Decision.PARKED:
                return replace(self, parked={**parked, number: hash_})
            case Decision.REFUSED:
                refused = {**self.refused, number: hash_}
                for oldest in list(refused)[:-REFUSED_REVISIONS_MAX]:
                    del refused[oldest]
                return replace(self, parked=parked, refused=refused)
            case _:
                if self.accepted is not None and revision < self.accepted:
                    return replace(self, parked=parked)
                kept = {key: value for key, value in self.refused.items() if int(key) > revision}
                return Known(accepted=revision, accepted_hash=hash_, parked=parked, refused=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """An input that waits, with all that is needed to decide it later."""

    topic: str
    offset: int
    seq: int
    first_day: date
    waits_for: str
    until: date | None
    foreign: bool
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The business day of the partition."""

    date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class DueCause:
    """The record because of which due work is done now, and the day it is done on."""

    day: date
    topic: str
    offset: int
    time: str
    traceparent: str | None
    input: dict[str, Any]


_INTERNAL: Mapping[str, type[Any]] = {
    "_known": Known,
    "_parked": Parked,
    "_day": Day,
    "_due": DueCause,
}
_DAY, _DUE = "_day/", "_due/"
_WAITING, _READY, _DEADLINE = "_waiting", "_ready", "_deadline"
_OWN_DAY, _FOREIGN_DAY, _BY_SOURCE = "_day-own", "_day-foreign", "_by-source"


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
            member["data"] = self.data
        return member


class _Queue:
    """One kind of due work: what is known to be due, in order, and whether there may be more."""

    def __init__(
        self,
        index: str,
        bound: Callable[[date], str],
        order: Callable[[str], object],
        handler: Callable[[str, View], Effects] | None = None,
    ) -> None:
        self.index = index
        self.bound = bound
        self.order = order
        self.handler = handler
        self.pending: dict[str, None] = {}
        self.maybe_more = True


def _by_seq(member: str) -> object:
    return member.split("|")[1]


def _by_ref(member: str) -> object:
    return tuple(member.split("|", 2)[1:])


class Partition:
    """One partition of a service: decides, applies, and collects what is to be committed."""

    def __init__(
        self,
        service: Service,
        number: int,
        partitions: int,
        listening: Iterable[Listening],
        *,
        cached_max: int = 50_000,
    ) -> None:
        self.service = service
        self.number = number
        self._partitions = partitions
        self.listening = {listened.topic: listened for listened in listening}
        self.memory = Memory(Codec({**_INTERNAL, **service.kinds}), cached_max)
        self.end = JournalEnd()
        self.positions: dict[str, Position] = {}
        self.outgoing: list[Outgoing] = []
        self.outgoing_bytes = 0
        self.decisions: list[tuple[str, str, str]] = []
        """(topic, decision, reason) of the batch, for metrics."""
        self._last_read: dict[str, Record] = {}
        self._fact_types = {model.type: fact for fact, model in service.facts.items()}
        self._adapters: dict[type[Any], TypeAdapter[Any]] = {
            fact: TypeAdapter(fact) for fact in service.facts
        }
        self._command_types = {model.type for model in service.commands.values()}
        self._required = {
            model.type: {
                (info.alias or name)
                for name, info in model.model_fields.items()
                if info.is_required()
            }
            for model in (*service.facts.values(), *service.commands.values())
        }
        self._journal_topic = f"{service.name}.events.v1"
        self._dead_letters_topic = f"{service.name}.dead-letters.v1"
        self._queues: list[tuple[int, str, _Queue]] = []
        self._restart_queues()

    # --- starting over ---------------------------------------------------------------------

    def resume(self, end: JournalEnd, positions: Mapping[str, Position]) -> None:
        """Begin from a store that stands at `end` of the journal and at `positions`."""
        self.memory.forget()
        self.end = end
        self.positions = dict(positions)
        self._drop_batch()
        self._restart_queues()

    def _restart_queues(self) -> None:
        self._ready_maybe = True
        own = _Queue(_OWN_DAY, lambda day: f"{day}|~", _by_seq)
        deadline = _Queue(_DEADLINE, lambda day: f"{day}|", _by_seq)
        foreign = _Queue(_FOREIGN_DAY, lambda day: f"{day}|~", _by_seq)
        self._queues = [(0, "", own), (1, "", deadline), (9, "", foreign)]
        for work in self.service.due_work.values():
            queue = _Queue(_due_index(work.name), lambda day: f"{day}|~", _by_ref, work.handler)
            self._queues.append((work.rank, work.name, queue))
        self._queues.sort(key=lambda ranked: ranked[:2])
        self._by_index = {queue.index: queue for _, _, queue in self._queues}

    def _drop_batch(self) -> None:
        self.outgoing = []
        self.outgoing_bytes = 0
        self.decisions = []
        self._last_read = {}

    # --- reading ---------------------------------------------------------------------------

    def read(self, record: Record) -> "Read":
        """Return a record as far as it can be understood without state."""
        listened = self.listening[record.topic]
        try:
            envelope = decode_envelope(record)
            journalseq = envelope.journalseq
            model = listened.events.get(envelope.type)
            if model is None and not listened.decides_defects:
                return Read(record, listened, journalseq=journalseq)
            if envelope.source != listened.source:
                raise Defect(
                    DeadLetterReason.SOURCE_MISMATCH,
                    f"{record.topic} is written by {listened.source} alone",
                )
            if model is None:
                raise _unknown(envelope, listened.events)
            scope = listened.scope(envelope.type, envelope.partitionkey)
            if scope is None:
                raise Defect(
                    DeadLetterReason.OUT_OF_SCOPE,
                    f"{listened.source} may not send {envelope.type} for this payer",
                )
            misplaced = self._misplaced(envelope, listened)
            if envelope.type not in self.service.reactions and envelope.type != self._calendar:
                if not listened.decides_defects:
                    return Read(record, listened, journalseq=journalseq)
            decoded = Decoded(envelope, decode_data(envelope, model))
        except Defect as defect:
            if listened.kind is Kind.JOURNAL:
                raise HaltError(
                    f"{record.topic} {record.partition}/{record.offset} is a record of a service "
                    f"and cannot be read ({defect}). Do not skip it: look at the service's version."
                ) from defect
            return Read(record, listened, defect=defect if listened.decides_defects else None)
        return Read(record, listened, journalseq, decoded, None, scope, misplaced)

    @property
    def _calendar(self) -> str:
        return self.service.calendar.type

    def _misplaced(self, envelope: Envelope, listened: Listening) -> int | None:
        if listened.kind is not Kind.SOURCE or envelope.partitionkey is None:
            return None
        right = partition_of(envelope.partitionkey.encode(), self._partitions)
        return None if right == self.number else right

    def prefetch(self, reads: Iterable["Read"]) -> list[str]:
        """Return the keys these records will surely ask for and that are not in memory."""
        wanted = dict.fromkeys((_DAY, _DUE))
        for read in reads:
            if read.decoded is None or read.misplaced is not None:
                continue
            envelope, event = read.decoded.envelope, read.decoded.event
            payer = envelope.partitionkey or ""
            reaction = self.service.reactions.get(envelope.type)
            if reaction is None:
                continue
            if read.listened.kind is not Kind.JOURNAL:
                base, _ = _split_key(_natural_key(read.listened.kind, envelope, event))
                wanted[f"_known/{payer}/{base}"] = None
            if reaction.prefetch is not None:
                for kind, id_ in reaction.prefetch(event):
                    wanted[f"{self.memory.codec.name(kind)}/{payer}/{id_}"] = None
        return [key for key in wanted if not self.memory.knows(key)]

    # --- deciding --------------------------------------------------------------------------

    def decide(self, read: "Read") -> None:
        """Decide one record, or make the decision again after `Missing` was loaded."""
        record = read.record
        position = self.positions.get(record.topic, Position(0))
        if record.offset < position.next:
            return
        seen = position.journalseq
        if read.listened.kind is Kind.JOURNAL:
            seen = self._follow(read, position)
            if seen == position.journalseq and seen:
                self._read_up_to(record, seen)
                return
        try:
            self._decide(read)
        except BaseException:
            self.memory.discard()
            raise
        self._read_up_to(record, seen)

    def _read_up_to(self, record: Record, journalseq: int) -> None:
        self.positions[record.topic] = Position(record.offset + 1, record.offset, "", journalseq)
        self._last_read[record.topic] = record

    def skip_to(self, topic: str, offset: int) -> bool:
        """Note that there is no record before `offset`; return whether that is news."""
        position = self.positions.get(topic, Position(0))
        if offset <= position.next:
            return False
        self.positions[topic] = replace(position, next=offset)
        return True

    def _follow(self, read: "Read", position: Position) -> int:
        """Return the number of a journal's record; the one before must have been seen."""
        seq = read.journalseq
        if seq is None:
            raise HaltError(f"{read.record.topic}: a record without journalseq is no journal's")
        if position.journalseq and seq > position.journalseq + 1:
            raise HaltError(
                f"{read.record.topic} {read.record.partition}/{read.record.offset}: number {seq} "
                f"follows {position.journalseq}; records are missing. Restore the topic."
            )
        return max(seq, position.journalseq)

    def _decide(self, read: "Read") -> None:
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
        day: Day | None = self.memory.get(_DAY)
        arrived = self._arrived(read, read.decoded)
        if envelope.type == self._calendar:
            self._open_day(arrived, day)
            return
        reaction = self.service.reactions.get(envelope.type)
        if reaction is None:
            return
        today = day.date if day is not None else envelope.day
        if envelope.businessday is not None and (day is None or envelope.businessday > day.date):
            self._conclude(arrived, WaitForDay(envelope.businessday), today)
            return
        if not arrived.foreign or read.listened.kind is Kind.COMMANDS:
            known = self._known(arrived)
            revision = _split_key(arrived.natural_key)[1]
            answer = known.answer(revision, _short(arrived.data_sha256))
            if answer is not None:
                if reaction.decides:
                    self._conclude_copy(arrived, answer, today)
                return
        view = View(self.memory, payer=arrived.payer, day=today, scope=read.scope or EVERYBODY)
        outcome = reaction.handler(arrived.event, view)
        self._conclude(arrived, outcome, today, decides=reaction.decides)

    def _arrived(self, read: "Read", decoded: Decoded) -> Arrived:
        envelope = decoded.envelope
        return Arrived(
            topic=read.record.topic,
            offset=read.record.offset,
            payer=envelope.partitionkey or "",
            source=envelope.source,
            id=envelope.id,
            type=envelope.type,
            subject=envelope.subject,
            natural_key=_natural_key(read.listened.kind, envelope, decoded.event),
            data_sha256=journal.data_hash(envelope.data),
            time=envelope.time,
            traceparent=envelope.traceparent,
            data=envelope.data,
            event=decoded.event,
            foreign=read.listened.kind in (Kind.JOURNAL, Kind.COMMANDS),
        )

    def _known(self, arrived: Arrived) -> Known:
        base, _ = _split_key(arrived.natural_key)
        known: Known | None = self.memory.get(f"_known/{arrived.payer}/{base}")
        return known or Known()

    def _open_day(self, arrived: Arrived, day: Day | None) -> None:
        opened = self.service.opened_day(arrived.event)
        if day is not None and opened <= day.date:
            self._conclude_copy(arrived, Decision.DUPLICATE, day.date)
        else:
            self._conclude(arrived, (), opened)

    # --- work that waits -------------------------------------------------------------------

    def work(self) -> bool:
        """Do the next piece of woken or due work. Return False when there is none."""
        try:
            return self._wake_next() or self._due_next()
        except BaseException:
            self.memory.discard()
            raise

    def _wake_next(self) -> bool:
        if not self._ready_maybe:
            return False
        members = self.memory.range(Range(_READY))
        if not members:
            self._ready_maybe = False
            return False
        _, topic, offset = members[0].split("|")
        self._decide_parked(topic, int(offset), given_up=False)
        return True

    def _due_next(self) -> bool:
        due: DueCause | None = self.memory.get(_DUE)
        if due is None:
            return False
        for rank, _, queue in self._queues:
            if not queue.pending and queue.maybe_more:
                asked = Range(queue.index, "", queue.bound(due.day), DUE_LOADED_MAX)
                members = self.memory.range(asked)
                queue.pending = dict.fromkeys(sorted(members, key=queue.order))  # type: ignore[arg-type]
                queue.maybe_more = bool(members)
            if queue.pending:
                member = next(iter(queue.pending))
                if queue.handler is None:
                    _, _, topic, offset = member.split("|")
                    self._decide_parked(topic, int(offset), given_up=rank == 1)
                else:
                    self._do_due(queue, queue.handler, member, due)
                queue.pending.pop(member, None)
                return True
        return False

    def _decide_parked(self, topic: str, offset: int, *, given_up: bool) -> None:
        parked: Parked | None = self.memory.get(_parked_key(topic, offset))
        if parked is None:
            raise HaltError(f"an input parked from {topic} {offset} is gone: a defect")
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
        day: Day | None = self.memory.get(_DAY)
        today = day.date if day is not None else date.fromisoformat(parked.time[:10])
        reaction = self.service.reactions[parked.type]
        scope = EVERYBODY if parked.foreign else self._scope(parked)
        view = View(
            self.memory,
            payer=parked.payer,
            day=today,
            first_day=parked.first_day,
            given_up=given_up,
            scope=scope,
        )
        outcome = reaction.handler(arrived.event, view)
        if given_up and isinstance(outcome, Wait):
            raise ValueError(f"{parked.type} was given up and wants to wait for {outcome.key}")
        self._conclude(arrived, outcome, today, decides=reaction.decides)

    def _scope(self, parked: Parked) -> Scope:
        listened = self.listening.get(parked.topic)
        scope = None if listened is None else listened.scope(parked.type, parked.payer)
        return scope or EVERYBODY

    def _do_due(
        self, queue: _Queue, handler: Callable[[str, View], Effects], member: str, due: DueCause
    ) -> None:
        _, payer, ref = member.split("|", 2)
        effects = handler(ref, View(self.memory, payer=payer, day=due.day))
        cause = Cause(
            topic=due.topic,
            partition=self.number,
            offset=due.offset,
            time=due.time,
            traceparent=due.traceparent,
        )
        steps = self._steps(effects)
        if all(step.is_command for step in steps):
            noted = decision_type(self.service.name, Decision.NOTED)
            data = {"input": due.input, "item": f"{queue.index}|{member}"}
            steps.insert(0, _Step(type=noted, subject=str(due.input["subject"]), data=data))
        self._write(steps, cause, payer, due.day, later=True)
        still_there = self.memory.batch.members.get(queue.index, {}).get(member, True)
        queue.maybe_more = queue.maybe_more or still_there

    # --- concluding ------------------------------------------------------------------------

    def _conclude_copy(self, arrived: Arrived, answer: Decision, today: date) -> None:
        data: dict[str, Any] = {"input": arrived.to_input(with_data=False)}
        reason = ""
        if answer is Decision.REFUSED:
            reason = InputRefusal.CONFLICT
            data["input"] = arrived.to_input(with_data=True)
            data["reason"] = reason
            data["detail"] = f"{arrived.natural_key} came before with other data"
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
                data = {
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
                steps = self._steps(outcome)
                facts = [step for step in steps if not step.is_command]
                if not facts:
                    self._decision_noted(arrived, today, [s for s in steps if s.is_command])
                    return
                facts[0].data["input"] = arrived.to_input(with_data=True)
                facts[0].event = arrived.event
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
        by_source = Count(_BY_SOURCE, f"{arrived.source}|", f"{arrived.source}}}")
        full = self.memory.count(by_source) >= PARKED_PER_SOURCE_MAX
        if isinstance(outcome, Wait) and not full:
            prefix = f"{arrived.payer}|{outcome.key}"
            here = self.memory.count(Count(_WAITING, f"{prefix}|", f"{prefix}}}"))
            full = here >= PARKED_PER_KEY_MAX
        if not full:
            return outcome
        return Refuse(
            InputRefusal.PARK_LIMIT,
            f"too much of {arrived.source} waits already; send it again when that was decided",
        )

    def _decision_noted(
        self, arrived: Arrived, today: date, commands: Sequence["_Step"] = ()
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
        commands: Sequence["_Step"] = (),
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
        digest = sha256(value).hexdigest()
        step = _Step(
            type=decision_type(self.service.name, Decision.DEAD_LETTERED),
            subject=record.topic,
            data={
                "topic": record.topic,
                "reason": defect.reason.value,
                "detail": defect.detail,
                "sha256": digest,
            },
        )
        cause = Cause(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            time=_written(record.appended_at_ms),
        )
        day: Day | None = self.memory.get(_DAY)
        self._write([step], cause, "", UNKNOWN_DAY if day is None else day.date, later=False)
        self._send(
            self._dead_letters_topic,
            self.number,
            record.key,
            record.value,
            (
                *record.headers,
                ("pfdo-reason", defect.reason.value.encode()),
                ("pfdo-detail", defect.detail.encode()),
                ("pfdo-topic", record.topic.encode()),
                ("pfdo-partition", str(record.partition).encode()),
                ("pfdo-offset", str(record.offset).encode()),
                ("pfdo-received-at-ms", str(record.appended_at_ms).encode()),
                ("pfdo-sha256", digest.encode()),
            ),
        )
        self.decisions.append((record.topic, Decision.DEAD_LETTERED.value, defect.reason.value))

    def _forward(self, read: "Read", right: int) -> None:
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
        day: Day | None = self.memory.get(_DAY)
        today = UNKNOWN_DAY if day is None else day.date
        self._write([step], self._cause(arrived), arrived.payer, today, later=False)
        origin = f"{record.topic}/{record.partition}/{record.offset}"
        self._send(
            listened.forward_to,
            right,
            arrived.payer.encode(),
            record.value,
            (*record.headers, ("pfdo-forwarded-from", origin.encode())),
        )
        self.decisions.append((record.topic, Decision.FORWARDED.value, ""))

    # --- writing and applying --------------------------------------------------------------

    def _steps(self, effects: Effects) -> list["_Step"]:
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

    def _data(self, value: object, model: type[EventData]) -> dict[str, Any]:
        data: dict[str, Any] = orjson.loads(orjson.dumps(value))
        required = self._required[model.type]
        return {k: v for k, v in data.items() if v is not None or k in required}

    def _write(
        self, steps: Sequence["_Step"], cause: Cause, payer: str, day: date, *, later: bool
    ) -> None:
        """Apply the steps and, if nothing was missing, put them into the journal and the outbox."""
        first = (self.end.seq + 1) * journal.LATER_INDEX_STEP if later else 0
        business_day = None if self.memory.get(_DAY) is None and not self._opens(steps) else day
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
                self._apply(entry, seq, payer, day, step.event, step.fact)
            entries.append((step, entry))
        self._keep()
        for step, entry in entries:
            if step.is_command:
                right = partition_of(str(step.payer).encode(), self._partitions)
                value = journal.command(self.service.name, self.number, entry, self.end.seq)
                self._send(
                    f"{self.service.name}.commands.v1", right, _key(entry), value, journal.HEADERS
                )
            else:
                self.end, value = journal.append(self.service.name, self.number, self.end, entry)
                self._send(self._journal_topic, self.number, _key(entry), value, journal.HEADERS)

    def _keep(self) -> None:
        """Let the decision stand, and let the queues of due work know what it added and removed."""
        changed = self.memory.current.members
        if any(index in self._by_index for index in changed):
            due: DueCause | None = self.memory.get(_DUE)
            for index, members in changed.items():
                queue = self._by_index.get(index)
                if queue is None:
                    continue
                for member, there in members.items():
                    if not there:
                        queue.pending.pop(member, None)
                    elif due is not None and member < queue.bound(due.day):
                        queue.maybe_more = True
        if _DAY in self.memory.current.values:
            for _, _, queue in self._queues:
                queue.maybe_more = True
        self.memory.keep()

    def _opens(self, steps: Sequence["_Step"]) -> bool:
        return isinstance(steps[0].event, self.service.calendar)

    def _send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...],
    ) -> None:
        self.outgoing.append(Outgoing(topic, partition, key, value, headers))
        self.outgoing_bytes += len(value or b"")

    def _apply(
        self,
        entry: Entry,
        seq: int,
        payer: str,
        day: date,
        event: EventData | None,
        fact: object | None,
    ) -> None:
        """Change state by one journal record: when it is written, and whenever it is folded."""
        state = _Applying(self.memory, self, payer=payer, day=day, journalseq=seq)
        state.cause = entry.cause
        state.input = entry.data.get("input")
        decision = _decision_of(self.service.name, entry.type)
        if state.input is not None and "item" not in entry.data:
            state.event_type = str(state.input["type"])
            self._apply_input(state, entry, decision)
        if decision in (Decision.DUPLICATE, Decision.FORWARDED, Decision.DEAD_LETTERED):
            return
        if decision in (Decision.REFUSED, Decision.PARKED):
            return
        if state.input is not None and "item" not in entry.data:
            self._learn(state, event)
        if decision is None:
            fact_type = self._fact_types[entry.type]
            if fact is None:
                fact = self._fact(fact_type, entry)
            evolver = self.service.evolvers.get(fact_type)
            if evolver is not None:
                evolver(fact, state)
        elif "item" in entry.data:
            index, member = str(entry.data["item"]).split("|", 1)
            self._settle_due(index, member)

    def _learn(self, state: "_Applying", event: EventData | None) -> None:
        assert state.input is not None
        type_ = str(state.input["type"])
        if type_ == self._calendar:
            model = self.service.calendar
            event = event or model.model_validate(state.input["data"])
            opened = self.service.opened_day(event)
            self.memory.put(_DAY, Day(date=opened))
            self._due_because(state, opened)
        learner = self.service.learners.get(type_)
        if learner is not None:
            event = event or self.service.events[type_].model_validate(state.input["data"])
            learner(event, state)

    def _due_because(self, state: "_Applying", day: date) -> None:
        due: DueCause | None = self.memory.get(_DUE)
        cause = state.cause
        if due is not None and (due.topic, due.offset, due.day) == (cause.topic, cause.offset, day):
            return
        told = dict(state.input or (due.input if due is not None else {}))
        told.pop("data", None)
        self.memory.put(
            _DUE,
            DueCause(
                day=day,
                topic=cause.topic,
                offset=cause.offset,
                time=cause.time,
                traceparent=cause.traceparent,
                input=told,
            ),
        )

    def _apply_input(self, state: "_Applying", entry: Entry, decision: Decision | None) -> None:
        told = entry.data["input"]
        parked: Parked | None = None
        if entry.cause_index >= journal.LATER_INDEX_STEP:
            parked = self.memory.get(_parked_key(entry.cause.topic, entry.cause.offset))
            if parked is not None:
                self._unpark(parked)
        if decision is Decision.PARKED:
            self._park(state, entry, parked)
        model = self.service.events.get(str(told["type"]))
        if model is None or model.type == self._calendar or decision is Decision.FORWARDED:
            return
        if not model.natural_key and model.type not in self._command_types:
            return
        base, revision = _split_key(str(told["natural_key"]))
        key, hash_ = f"_known/{state.payer}/{base}", _short(told["data_sha256"])
        known: Known = self.memory.get(key) or Known()
        if parked is None and known.answer(revision, hash_) is not None:
            return
        self.memory.put(key, known.after(decision, revision, hash_))

    def _park(self, state: "_Applying", entry: Entry, before: Parked | None) -> None:
        told = entry.data["input"]
        until = entry.data["until"]
        parked = Parked(
            topic=entry.cause.topic,
            offset=entry.cause.offset,
            seq=state.journalseq if before is None else before.seq,
            first_day=state.day if before is None else before.first_day,
            waits_for=entry.data["waits_for"],
            until=None if until is None else date.fromisoformat(until),
            foreign=str(told["source"]).startswith("/services/"),
            payer=state.payer,
            source=told["source"],
            id=told["id"],
            type=told["type"],
            subject=told["subject"],
            natural_key=told["natural_key"],
            data_sha256=told["data_sha256"],
            time=entry.cause.time,
            traceparent=entry.cause.traceparent,
            data=told["data"],
        )
        self.memory.put(_parked_key(parked.topic, parked.offset), parked)
        for index, member in _parked_members(parked):
            self.memory.index(index, member, present=True)

    def _unpark(self, parked: Parked) -> None:
        self.memory.put(_parked_key(parked.topic, parked.offset), None)
        for index, member in _parked_members(parked):
            self.memory.index(index, member, present=False)
        self.memory.index(
            _READY, _ready_member(parked.seq, parked.topic, parked.offset), present=False
        )

    def _fact(self, fact_type: type[Any], entry: Entry) -> object:
        data = {key: value for key, value in entry.data.items() if key != "input"}
        fact: object = self._adapters[fact_type].validate_json(orjson.dumps(data))
        return fact

    # --- what state asks of the runtime ----------------------------------------------------

    def due_on(self, state: State, name: str, day: date, ref: str) -> None:
        """See State.due_on."""
        member = f"{day}|{state.payer}|{ref}"
        index = _due_index(name)
        self.memory.index(index, member, present=True)
        assert isinstance(state, _Applying)
        if day <= state.day:
            self._due_because(state, state.day)

    def not_due(self, state: State, name: str, day: date, ref: str) -> None:
        """See State.not_due."""
        self._settle_due(_due_index(name), f"{day}|{state.payer}|{ref}")

    def _settle_due(self, index: str, member: str) -> None:
        self.memory.index(index, member, present=False)

    def wake(self, state: State, key: str) -> None:
        """See State.wake."""
        prefix = f"{state.payer}|{key}"
        asked = Range(_WAITING, f"{prefix}|", f"{prefix}}}", PARKED_PER_KEY_MAX)
        for member in self.memory.range(asked):
            seq, topic, offset = member[len(prefix) + 1 :].split("|")
            self.memory.index(_WAITING, member, present=False)
            self.memory.index(_READY, _ready_member(int(seq), topic, int(offset)), present=True)
            self._ready_maybe = True

    # --- folding ---------------------------------------------------------------------------

    def fold(self, record: Record) -> None:
        """Apply a record of the own journal. Raises HaltError if it does not follow on."""
        envelope = orjson.loads(record.value or b"{}")
        seq = envelope.get("journalseq")
        if seq != self.end.seq + 1 or envelope.get("prevhash") != self.end.hash:
            raise HaltError(
                f"{record.topic} {record.partition}/{record.offset}: number {seq} does not follow "
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
        applied_on = date.fromisoformat(day or envelope["time"][:10])
        try:
            self._apply(entry, seq, envelope.get("partitionkey") or "", applied_on, None, None)
        except BaseException:
            self.memory.discard()
            raise
        self._keep()
        self.end = JournalEnd(seq, envelope["hash"])
        position = self.positions.get(cause.topic, Position(0))
        if cause.offset >= position.next:
            read = _journal_number(told) if told is not None else 0
            self.positions[cause.topic] = Position(cause.offset + 1, -1, "", read)

    # --- committing ------------------------------------------------------------------------

    @staticmethod
    def is_record(record: Record, digest: str) -> bool:
        """Return whether a record is the one whose digest a position keeps."""
        return _digest(record) == digest

    @property
    def is_full(self) -> bool:
        """Return whether the batch should be committed before more is decided."""
        return (
            len(self.memory.batch) >= BATCH_CHANGES_MAX
            or self.outgoing_bytes >= BATCH_OUTBOX_BYTES_MAX
        )

    def commit(
        self, expected_seq: int, fields: Mapping[str, bytes], trim: int, *, publish: bool = True
    ) -> Commit:
        """Return everything that changed since the last commit."""
        batch, codec = self.memory.batch, self.memory.codec
        for topic, record in self._last_read.items():
            self.positions[topic] = replace(self.positions[topic], hash=_digest(record))
        return Commit(
            expected_seq=expected_seq,
            fields={
                "positions": orjson.dumps({k: _row(p) for k, p in self.positions.items()}),
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
            outbox=[pack(outgoing) for outgoing in self.outgoing] if publish else (),
            trim=trim,
        )

    def committed(self) -> Sequence[Outgoing]:
        """The commit stands: return what is to be published."""
        outgoing = self.outgoing
        self.memory.committed()
        self._drop_batch()
        return outgoing


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


class _Applying(State):
    __slots__ = ("cause", "event_type", "input")

    cause: Cause
    input: Mapping[str, Any] | None
    event_type: str


@dataclass(frozen=True, slots=True)
class Read:
    """A record as far as it can be understood without state; neither member: it does not concern
    the service."""

    record: Record
    listened: Listening
    journalseq: int | None = None
    decoded: Decoded | None = None
    defect: Defect | None = None
    scope: Scope | None = None
    misplaced: int | None = None


def pack(outgoing: Outgoing) -> bytes:
    """Return an entry of the outbox."""
    about = [
        outgoing.topic,
        outgoing.partition,
        None if outgoing.key is None else outgoing.key.hex(),
        None
        if outgoing.headers == journal.HEADERS
        else [(k, v.hex()) for k, v in outgoing.headers],
        outgoing.value is None,
    ]
    return orjson.dumps(about) + b"\n" + (outgoing.value or b"")


def unpack(entry: bytes) -> Outgoing:
    """Return what `pack` packed."""
    about, _, value = entry.partition(b"\n")
    topic, partition, key, headers, is_tombstone = orjson.loads(about)
    return Outgoing(
        topic,
        partition,
        None if key is None else bytes.fromhex(key),
        None if is_tombstone else value,
        journal.HEADERS
        if headers is None
        else tuple((name, bytes.fromhex(content)) for name, content in headers),
    )


def read_positions(stored: bytes | None) -> dict[str, Position]:
    """Return the positions in a position record."""
    if stored is None:
        return {}
    return {topic: Position(*row) for topic, row in orjson.loads(stored).items()}


def read_end(stored: bytes | None) -> JournalEnd:
    """Return the end of the journal in a position record."""
    return JournalEnd() if stored is None else JournalEnd(*orjson.loads(stored))


def _digest(record: Record) -> str:
    return sha256(record.value or b"").hexdigest()[:16]


def _row(position: Position) -> tuple[object, ...]:
    return position.next, position.last, position.hash, position.journalseq


def _natural_key(kind: Kind, envelope: Envelope, event: EventData) -> str:
    stem = envelope.type.rpartition(".")[0]
    if kind is Kind.JOURNAL:
        return envelope.id
    if kind is Kind.COMMANDS:
        cause = (
            envelope.causetopic,
            envelope.causepartition,
            envelope.causeoffset,
            envelope.causeindex,
        )
        return f"{stem}:{':'.join(map(str, cause))}"
    key = f"{stem}:{':'.join(event.natural_key_values)}"
    revision = event.known_revision
    return key if revision is None else f"{key}#{revision}"


def _split_key(natural_key: str) -> tuple[str, int]:
    base, _, revision = natural_key.partition("#")
    return base, int(revision or 0)


def _short(data_sha256: str) -> str:
    return data_sha256[:32]


def _key(entry: Entry) -> bytes | None:
    return None if entry.payer is None else entry.payer.encode()


def _subject(data: Mapping[str, Any], path: str) -> str:
    value: Any = data
    for name in path.split("."):
        value = value[name]
    return str(value)


def _due_index(name: str) -> str:
    return f"_due-{name}"


def _parked_key(topic: str, offset: int) -> str:
    return f"_parked/{topic}/{offset}"


def _ready_member(seq: int, topic: str, offset: int) -> str:
    return f"{seq:015d}|{topic}|{offset}"


def _parked_members(parked: Parked) -> list[tuple[str, str]]:
    place = f"{parked.seq:015d}|{parked.topic}|{parked.offset}"
    members = [(_BY_SOURCE, f"{parked.source}|{place}")]
    if parked.waits_for.startswith("day:"):
        index = _FOREIGN_DAY if parked.foreign else _OWN_DAY
        members.append((index, f"{parked.waits_for.removeprefix('day:')}|{place}"))
    else:
        members.append((_WAITING, f"{parked.payer}|{parked.waits_for}|{place}"))
    if parked.until is not None:
        members.append((_DEADLINE, f"{parked.until}|{place}"))
    return members


_DECISIONS = frozenset(Decision)


def _decision_of(service: str, type_: str) -> Decision | None:
    stem = type_.rpartition(".")[0].removeprefix(f"{service}.")
    return Decision(stem) if stem in _DECISIONS else None


def _unknown(envelope: Envelope, events: Mapping[str, type[EventData]]) -> Defect:
    stem = envelope.type.rpartition(".")[0]
    if any(name.rpartition(".")[0] == stem for name in events):
        return Defect(
            DeadLetterReason.UNKNOWN_VERSION, "this version of the type is not known here"
        )
    return Defect(DeadLetterReason.UNKNOWN_TYPE, "the type may not stand in this topic")


def _written(appended_at_ms: int) -> str:
    """Return a time of the log as RFC 3339 in UTC."""
    return datetime.fromtimestamp(appended_at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _journal_number(told: Mapping[str, Any]) -> int:
    # The id of a journal's record is <service>:<partition>:<journalseq>.
    if not str(told["source"]).startswith("/services/"):
        return 0
    parts = str(told["id"]).split(":")
    return int(parts[2]) if len(parts) == 3 else 0
