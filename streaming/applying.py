"""Changing state by journal records: when they are written, and whenever they are folded.

State is a function of the journal alone: nothing else changes it.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from contracts.decisions import DeadLetterReason, Decision, decision_type
from contracts.envelope import EventData
from streaming import journal
from streaming.due import (
    DAY,
    DUE,
    Day,
    DueCause,
    Queues,
    because_key,
    due_index,
    now_index,
)
from streaming.journal import Entry, data_hash
from streaming.natural_keys import Known, known_key, short, split_key
from streaming.parking import (
    PARKED_PER_KEY_MAX,
    READY,
    WAITING,
    WAKING,
    Parked,
    members_of,
    parked_key,
    place,
    waiting_bounds,
)
from streaming.quarantine import QUARANTINE, wish_of
from streaming.service import Service
from streaming.store import Range
from streaming.view import Cause, Codec, Memory, State

INTERNAL_KINDS: Mapping[str, type[Any]] = {
    "_known": Known,
    "_parked": Parked,
    "_day": Day,
    "_due": DueCause,
}
_WITHOUT_EFFECT = frozenset(
    {
        Decision.DUPLICATE,
        Decision.FORWARDED,
        Decision.DEAD_LETTERED,
        Decision.REFUSED,
        Decision.PARKED,
    }
)


class Applied(State):
    """The state as one record changes it, with the record's cause and input."""

    __slots__ = ("cause", "input", "told")

    cause: Cause
    input: Mapping[str, Any] | None
    told: Mapping[str, Any]
    """What is known of the input; of a later fact of its decision at least its cause."""


SMALL_INDEXES = frozenset({WAITING, WAKING})
"""What nearly nothing stands in, and each event asks for."""


def codec_of(service: Service) -> Codec:
    """Return how the state of a service is written."""
    return Codec({**INTERNAL_KINDS, **service.kinds})


class Applying:
    """The state of one partition, changed by its journal."""

    def __init__(self, service: Service, memory: Memory) -> None:
        self.service = service
        self.memory = memory
        self.queues = Queues(service.due_work)
        self.maybe_ready = True
        self._calendar = service.calendar.type
        self._fact_types = {model.type: fact for fact, model in service.facts.items()}
        self._command_types = {model.type for model in service.commands.values()}
        self._decisions = {decision_type(service.name, each): each for each in Decision}

    def forget(self) -> None:
        """Drop what is in memory: the store may hold something else."""
        self.memory.forget()
        self.queues = Queues(self.service.due_work)
        self.maybe_ready = True

    @property
    def day(self) -> Day | None:
        """Return the business day of the partition. Raises Missing."""
        day: Day | None = self.memory.get(DAY)
        return day

    @property
    def due(self) -> DueCause | None:
        """Return why due work is done now; None before any was put off. Raises Missing."""
        due: DueCause | None = self.memory.get(DUE)
        return due

    def apply(
        self,
        entry: Entry,
        seq: int,
        payer: str,
        day: date,
        event: EventData | None,
        fact: object | None,
    ) -> None:
        """Change state by one journal record: when it is written, and whenever it is folded."""
        state = Applied(self.memory, self, payer=payer, day=day, journalseq=seq)
        state.cause = entry.cause
        state.input = entry.data.get("input")
        state.told = state.input or _told_by(entry)
        state.event_id = "" if state.input is None else str(state.input["id"])
        decision = self._decisions.get(entry.type)
        if "item" in entry.data:
            index, _, member = str(entry.data["item"]).partition("|")
            self._settle_due(index, member)
            if "later" in entry.data:
                name, rest = index.partition("-")[2], member.partition("|")[2]
                later = f"{entry.data['later']}|{rest}"
                self.memory.index(due_index(name), later, present=True)
            return
        if entry.data.get("reason") == DeadLetterReason.OPERATOR_QUARANTINE:
            wish = wish_of(entry.cause.topic, entry.cause.offset, entry.data["detail"])
            self.memory.index(QUARANTINE, wish, present=False)
        if state.input is not None:
            self._apply_input(state, state.input, entry, decision)
            if decision not in _WITHOUT_EFFECT:
                self._learn(state, state.input, event)
        if decision is None:
            fact_type = self._fact_types[entry.type]
            evolver = self.service.evolvers.get(fact_type)
            if evolver is not None:
                evolver(fact or self._fact(fact_type, entry), state)

    def _learn(self, state: Applied, told: Mapping[str, Any], event: EventData | None) -> None:
        type_ = str(told["type"])
        if type_ == self._calendar:
            event = event or self.service.calendar.model_validate(told["data"])
            opened = self.service.opened_day(event)
            self.memory.put(DAY, Day(date=opened))
            self.memory.put(DUE, self._because(state, opened, told))
        learner = self.service.learners.get(type_)
        if learner is not None:
            event = event or self.service.events[type_].model_validate(told["data"])
            learner(event, state)

    def _because(self, state: Applied, day: date, told: Mapping[str, Any]) -> DueCause:
        cause = state.cause
        return DueCause(
            day=day,
            topic=cause.topic,
            offset=cause.offset,
            time=cause.time,
            traceparent=cause.traceparent,
            input={name: value for name, value in told.items() if name != "data"},
        )

    def _apply_input(
        self, state: Applied, told: Mapping[str, Any], entry: Entry, decision: Decision | None
    ) -> None:
        parked: Parked | None = None
        if entry.cause_index >= journal.LATER_INDEX_STEP:
            parked = self.memory.get(parked_key(entry.cause.topic, entry.cause.offset))
            if parked is not None:
                self._unpark(parked)
        if decision is Decision.PARKED:
            self._park(state, told, entry, parked)
        model = self.service.events.get(str(told["type"]))
        if model is None or model.type == self._calendar or decision is Decision.FORWARDED:
            return
        if not model.natural_key and model.type not in self._command_types:
            return
        base, revision = split_key(told["natural_key"])
        key, hash_ = known_key(state.payer, base), short(told["data_sha256"])
        known: Known = self.memory.get(key) or Known()
        if parked is None and known.answer(revision, hash_) is not None:
            return
        self.memory.put(key, known.after(decision, revision, hash_))

    def _park(
        self, state: Applied, told: Mapping[str, Any], entry: Entry, before: Parked | None
    ) -> None:
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
        self.memory.put(parked_key(parked.topic, parked.offset), parked)
        for index, member in members_of(parked):
            self.memory.index(index, member, present=True)

    def _unpark(self, parked: Parked) -> None:
        self.memory.put(parked_key(parked.topic, parked.offset), None)
        for index, member in members_of(parked):
            self.memory.index(index, member, present=False)
        here = place(parked.seq, parked.topic, parked.offset)
        self.memory.index(READY, here, present=False)
        self._wake_next(parked)

    def _fact(self, fact_type: type[Any], entry: Entry) -> object:
        # What is no field of the fact, as the input it comes from, is left out.
        fact: object = msgspec.convert(entry.data, fact_type)
        return fact

    # --- what a state asks for (streaming.view.Runtime) -------------------------------------

    def due_on(self, state: State, name: str, day: date, ref: str) -> None:
        """See State.due_on."""
        member = f"{day}|{state.payer}|{ref}"
        if day > state.day:
            self.memory.index(due_index(name), member, present=True)
            return
        assert isinstance(state, Applied)
        index = now_index(name)
        self.memory.index(index, member, present=True)
        self.memory.put(because_key(index, member), self._because(state, state.day, state.told))

    def not_due(self, state: State, name: str, day: date, ref: str) -> None:
        """See State.not_due."""
        member = f"{day}|{state.payer}|{ref}"
        self._settle_due(due_index(name), member)
        if day <= state.day:
            self._settle_due(now_index(name), member)

    def _settle_due(self, index: str, member: str) -> None:
        self.memory.index(index, member, present=False)
        if index.startswith("_now-"):
            self.memory.put(because_key(index, member), None)

    def wake(self, state: State, key: str) -> None:
        """See State.wake. What is more than may change at once follows one by one."""
        first, end = waiting_bounds(state.payer, key)
        woken = self.memory.range(Range(WAITING, first, end, PARKED_PER_KEY_MAX))
        for member in woken:
            self._make_ready(member)
        if len(woken) == PARKED_PER_KEY_MAX:
            self._wake_on(first, end, woken[-1])

    def _wake_next(self, parked: Parked) -> None:
        """Wake one more of those that wait for the same, if not all of them were woken at once."""
        first, end = waiting_bounds(parked.payer, parked.waits_for)
        for last in self.memory.range(Range(WAKING, first, end, 1)):
            following = self.memory.range(Range(WAITING, f"{last}\0", end, 1))
            for member in following:
                self._make_ready(member)
            self._wake_on(first, end, *following)

    def _wake_on(self, first: str, end: str, *last: str) -> None:
        """Note which was woken last of those that wait for a key, while others wait after it."""
        for before in self.memory.range(Range(WAKING, first, end, 1)):
            self.memory.index(WAKING, before, present=False)
        for member in last:
            self.memory.index(WAKING, member, present=True)

    def _make_ready(self, member: str) -> None:
        _, seq, topic, offset = member.rsplit("|", 3)
        self.memory.index(WAITING, member, present=False)
        self.memory.index(READY, place(int(seq), topic, int(offset)), present=True)

    def keep(self) -> None:
        """Let the decision stand."""
        changes = self.memory.current
        if any(changes.members.get(READY, {}).values()):
            self.maybe_ready = True
        if not self.queues.indexes.isdisjoint(changes.members):
            self.queues.changed(changes.members, self.due)
        if DAY in changes.values:
            self.queues.day_opened()
        self.memory.keep()


def _told_by(entry: Entry) -> Mapping[str, Any]:
    """Return an input member for a record that carries none: a later fact, or one of due work."""
    return {
        "source": f"/{entry.cause.topic}",
        "id": f"{entry.cause.topic}:{entry.cause.partition}:{entry.cause.offset}"[:64],
        "type": entry.type,
        "subject": entry.subject,
        "natural_key": "",
        "data_sha256": data_hash({}),
    }
