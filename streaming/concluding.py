"""What follows from what a service says about an input, or about work that is due.

Facts and commands, a refusal, a wait, the answer to a copy, a dead letter, a record sent on to the
right partition: each is made into the steps of one decision and written into the batch.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from contracts.decisions import DeadLetterReason, Decision, InputRefusal, decision_type
from contracts.envelope import HEADERS_BYTES_MAX, EventData
from streaming import journal
from streaming.applying import Applying
from streaming.batch import Batch, Step
from streaming.bus import Headers, Record
from streaming.decoding import Decoded, Defect, headers_bytes
from streaming.due import DueCause
from streaming.parking import (
    BY_SOURCE,
    PARKED_PER_KEY_MAX,
    PARKED_PER_SOURCE_MAX,
    WAITING,
    Parked,
    source_bounds,
    waiting_bounds,
)
from streaming.reading import FORWARDED_FROM, Kind, Read
from streaming.service import Effects, Later, Outcome, Refuse, Send, Service, Wait, WaitForDay
from streaming.store import Count
from streaming.view import Cause

HEADERS_DROPPED, KEY_DROPPED = "pfdo-headers-dropped", "pfdo-key-dropped"
"""Headers of a dead letter whose record came with too much around its value: how many headers it
had, how many bytes its key had."""
UNKNOWN_DAY = date(1900, 1, 1)
"""The day of what changes no state, before the first business day."""


class Arrived(Struct, frozen=True, kw_only=True):
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

    @classmethod
    def fresh(cls, read: Read, decoded: Decoded) -> "Arrived":
        """Return the input that a record holds."""
        envelope = decoded.envelope
        return cls(
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

    @classmethod
    def woken(cls, parked: Parked, event: EventData) -> "Arrived":
        """Return an input that was parked."""
        return cls(
            topic=parked.topic,
            offset=parked.offset,
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
            event=event,
            foreign=parked.foreign,
            parked=parked,
        )

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


class Concluding:
    """Makes what is said in one partition into records of the batch."""

    def __init__(self, service: Service, number: int, applying: Applying, batch: Batch) -> None:
        self._service = service
        self._number = number
        self._applying = applying
        self._memory = applying.memory
        self._batch = batch
        self._required = {
            model.type: {
                (info.alias or name)
                for name, info in model.model_fields.items()
                if info.is_required()
            }
            for model in (*service.facts.values(), *service.commands.values())
        }

    # --- inputs ----------------------------------------------------------------------------

    def conclude_copy(self, arrived: Arrived, answer: Decision, today: date) -> None:
        """Answer a copy (DUPLICATE), or other data under a known key (REFUSED)."""
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

    def conclude(
        self, arrived: Arrived, outcome: Outcome, today: date, *, decides: bool = True
    ) -> None:
        """Write what is said about an input; without `decides` another service decides it."""
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
                self._batch.write(
                    steps,
                    self._cause(arrived),
                    arrived.payer,
                    today,
                    later=arrived.parked is not None,
                )
                self._batch.decisions.append((arrived.topic, "applied", ""))

    def _within_limits(self, arrived: Arrived, outcome: Wait | WaitForDay) -> Outcome:
        if arrived.foreign or arrived.parked is not None:
            return outcome
        by_source = Count(BY_SOURCE, *source_bounds(arrived.source))
        full = self._memory.count(by_source) >= PARKED_PER_SOURCE_MAX
        if isinstance(outcome, Wait) and not full:
            here = self._memory.count(Count(WAITING, *waiting_bounds(arrived.payer, outcome.key)))
            full = here >= PARKED_PER_KEY_MAX
        if not full:
            return outcome
        return Refuse(
            InputRefusal.PARK_LIMIT,
            f"От {arrived.source} уже ждёт слишком много сообщений: пришлите его позже ещё раз.",
        )

    def _decision_noted(self, arrived: Arrived, today: date, commands: Sequence[Step] = ()) -> None:
        data = {"input": arrived.to_input(with_data=True)}
        self._decision(arrived, Decision.NOTED, data, today, "", commands)

    def _decision(
        self,
        arrived: Arrived,
        decision: Decision,
        data: dict[str, Any],
        today: date,
        reason: str,
        commands: Sequence[Step] = (),
    ) -> None:
        step = Step(
            type=decision_type(self._service.name, decision), subject=arrived.subject, data=data
        )
        step.event = arrived.event
        self._batch.write(
            [step, *commands],
            self._cause(arrived),
            arrived.payer,
            today,
            later=arrived.parked is not None,
        )
        self._batch.decisions.append((arrived.topic, decision.value, reason))

    def _cause(self, arrived: Arrived) -> Cause:
        return Cause(
            topic=arrived.topic,
            partition=self._number,
            offset=arrived.offset,
            time=arrived.time,
            traceparent=arrived.traceparent,
        )

    # --- records that are no inputs here ----------------------------------------------------

    def dead_letter(self, record: Record, defect: Defect) -> None:
        """Keep a record that cannot be decided, with the reason."""
        value = record.value or b""
        checksum = sha256(value).hexdigest()
        step = Step(
            type=decision_type(self._service.name, Decision.DEAD_LETTERED),
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
        self._batch.write([step], cause, "", UNKNOWN_DAY if day is None else day.date, later=False)
        key, headers = _kept(record)
        self._batch.send(
            f"{self._service.name}.dead-letters.v1",
            self._number,
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
        self._batch.decisions.append(
            (record.topic, Decision.DEAD_LETTERED.value, defect.reason.value)
        )

    def forward(self, read: Read, decoded: Decoded, right: int) -> None:
        """Send a record on to the right partition, as it is; a second time it is a dead letter."""
        record, listened = read.record, read.listened
        if listened.forward_to is None:
            self.dead_letter(
                record,
                Defect(DeadLetterReason.BAD_ENVELOPE, "a forwarded record is in a wrong partition"),
            )
            return
        arrived = Arrived.fresh(read, decoded)
        step = Step(
            type=decision_type(self._service.name, Decision.FORWARDED),
            subject=arrived.subject,
            data={"input": arrived.to_input(with_data=False), "to_partition": right},
        )
        day = self._applying.day
        today = UNKNOWN_DAY if day is None else day.date
        self._batch.write([step], self._cause(arrived), arrived.payer, today, later=False)
        origin = f"{record.topic}/{record.partition}/{record.offset}"
        self._batch.send(
            listened.forward_to,
            right,
            arrived.payer.encode(),
            record.value,
            (*record.headers, (FORWARDED_FROM, origin.encode())),
        )
        self._batch.decisions.append((record.topic, Decision.FORWARDED.value, ""))

    # --- due work --------------------------------------------------------------------------

    def conclude_due(
        self, index: str, member: str, outcome: Effects | Later, due: DueCause
    ) -> None:
        """Write what is said about a piece of due work."""
        steps = [] if isinstance(outcome, Later) else self._steps(outcome)
        # Commands alone leave no fact that settles the item.
        if all(step.is_command for step in steps):
            data: dict[str, Any] = {"input": due.input, "item": f"{index}|{member}"}
            if isinstance(outcome, Later):
                data["later"] = outcome.day.isoformat()
            noted = decision_type(self._service.name, Decision.NOTED)
            steps.insert(0, Step(type=noted, subject=str(due.input["subject"]), data=data))
        self._batch.write(steps, self._due_cause(due), _payer_of(member), due.day, later=True)

    def _due_cause(self, due: DueCause) -> Cause:
        return Cause(
            topic=due.topic,
            partition=self._number,
            offset=due.offset,
            time=due.time,
            traceparent=due.traceparent,
        )

    # --- rehearsing ------------------------------------------------------------------------

    def rehearse(self, arrived: Arrived, effects: Effects, today: date) -> None:
        """Change state by what is said about an input. Nothing is written; to be discarded."""
        steps = self._steps_about(arrived, effects)
        self._batch.apply(steps, self._cause(arrived), arrived.payer, today, later=False)

    def rehearse_due(self, member: str, effects: Effects, due: DueCause) -> None:
        """Change state by what is said about due work. Nothing is written; to be discarded."""
        steps, cause = self._steps(effects), self._due_cause(due)
        self._batch.apply(steps, cause, _payer_of(member), due.day, later=True)

    # --- steps -----------------------------------------------------------------------------

    def _steps(self, effects: Effects) -> list[Step]:
        steps = []
        for effect in effects:
            if isinstance(effect, Send):
                model = self._service.commands[type(effect.command)]
                step = Step(
                    type=model.type,
                    subject="",
                    data=self._data(effect.command, model),
                    payer=effect.payer,
                )
            else:
                model = self._service.facts[type(effect)]
                step = Step(type=model.type, subject="", data=self._data(effect, model))
                step.fact = effect
            step.subject = _subject(step.data, model.subject_field)
            steps.append(step)
        return steps

    def _steps_about(self, arrived: Arrived, effects: Effects) -> list[Step]:
        """Return the steps that follow from an input; the first fact carries it."""
        steps = self._steps(effects)
        first = next((step for step in steps if not step.is_command), None)
        if first is not None:
            first.data["input"] = arrived.to_input(with_data=True)
            first.event = arrived.event
        return steps

    def _data(self, value: object, model: type[EventData]) -> dict[str, Any]:
        data: dict[str, Any] = msgspec.to_builtins(value)
        required = self._required[model.type]
        return {k: v for k, v in data.items() if v is not None or k in required}


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


def _subject(data: Mapping[str, Any], path: str) -> str:
    value: Any = data
    for name in path.split("."):
        value = value[name]
    return str(value)


def _written(appended_at_ms: int) -> str:
    """Return a time of the log as RFC 3339 in UTC."""
    return datetime.fromtimestamp(appended_at_ms / 1000, UTC).isoformat(timespec="milliseconds")
