"""Delivers the messages of one partition: reads what is due, sends it, reports what became of it.

The journal of notifications is the book: what is due and not reported there is still to be sent,
so a store that was lost is made anew from it. In the store stands what waits (until its time, or
for the next attempt) and which attempts have begun.

    read due messages ─► one commit: position, what waits, which attempts begin
    begin those attempts ─► each ends as sent, failed or to be tried again
    report to `notifications.reports.v1` ─► the next commit takes them off

An attempt is committed as begun before it is made, and taken off after its report stands. So who
takes over finds begun attempts whose end nobody noted. First it looks for their reports; what has
none may have arrived or not. It is sent again, rather twice than not at all, and counted:
`pfdo_perhaps_twice`, and in the detail of the report.
"""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.envelope import CONTENT_TYPE
from contracts.notifications import DeliveryReported, MessageDue, MessageFailed, MessageSent
from contracts.topics import NOTIFICATIONS, REPORTS
from contracts.vocabulary import DeliveryStatus
from services.notifications.senders.delivery import (
    Delivery,
    Facts,
    Message,
    NoAddressesNow,
    NotNow,
    Outcome,
    OutOfReach,
    Rejected,
    Sent,
    Trace,
)
from services.notifications.senders.lines import Line
from services.notifications.senders.schedule import PAUSE_MIN, is_given_up, pause_after
from services.notifications.senders.templates import letter
from services.notifications.senders.waiting import (
    BEGUN,
    LANES,
    WAITING,
    Changes,
    Kept,
    key_of,
    stamp,
    told_of,
    unpack,
    waiting_place,
)
from services.notifications.wire import to_moment
from streaming.bus import Bus, Outgoing, Reader, Record
from streaming.errors import BehindError, FencedError, StreamingError
from streaming.positions import Position, pack_positions, unpack_positions
from streaming.store import Behind, Count, Fenced, Range, Store
from streaming.telemetry import Telemetry

NAME = "senders"
STATE_VERSION = 1
RECORDS_MAX = 150
IN_FLIGHT_MAX = 200
"""Records read, and attempts begun and ended, with one commit: together below its limit."""
LANES_MAX = 10_000
POLL_SECONDS = 0.5
BUSY_SECONDS = 0.02
FAREWELL_SECONDS_MAX = 15.0
SWEEP_SECONDS = 30.0
OVERDUE_AFTER = timedelta(minutes=10)
"""What waits so long after its time is shown as overdue."""
EVENT_ID_MAX = 64
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
DOUBT = "perhaps twice: the end of an earlier attempt is not known"


@dataclass(slots=True)
class Attempts:
    """Attempts of one partition in this process: they outlive an owner that has to begin anew.

    `ended` are those of which no report tells yet; `chosen` are on the record as begun, or perhaps
    not, and were not made.
    """

    chosen: set[str] = field(default_factory=set)
    some_ended: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    ended: dict[str, tuple[Message, Outcome]] = field(default_factory=dict)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self.tasks or message_id in self.ended

    def __bool__(self) -> bool:
        return bool(self.tasks or self.ended)


class Sender:
    """The owner of one partition of all channels; run by a `streaming.host.Host`."""

    def __init__(
        self,
        number: int,
        bus: Bus,
        store: Store,
        telemetry: Telemetry,
        *,
        lines: Mapping[str, Line],
        facts: Facts,
        attempts: Attempts,
        now: Callable[[], datetime],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.number = number
        self._bus = bus
        self._store = store
        self._telemetry = telemetry
        self._lines = lines
        self._facts = facts
        self._attempts = attempts
        self._now = now
        self._poll_seconds = poll_seconds
        self._epoch = 0
        self._seq = 0
        self._identity = ""
        self._next = 0
        self._reports_next = 0
        self._last: tuple[str, Mapping[str, Any]] | None = None
        self._catching_up_to = 0
        self._is_caught_up = False
        self._is_idle = False
        self._is_held_back = False
        self._swept_at = 0.0
        self._lanes: dict[str, None] = {}
        self._shown: set[str] = set()
        self._reader: Reader | None = None

    # --- ownership -------------------------------------------------------------------------

    async def take_over(self) -> None:
        """Become the owner and stand ready; what the journal holds is read before all else."""
        standing = await self._store.take_over(self.number, STATE_VERSION)
        self._epoch, self._seq = standing.epoch, standing.seq
        self._identity = await self._bus.identity()
        place = (NOTIFICATIONS.name, self.number)
        start = (await self._bus.starts([NOTIFICATIONS.name]))[place]
        self._catching_up_to = (await self._bus.ends([NOTIFICATIONS.name]))[place]
        fields = standing.fields
        positions = unpack_positions(fields.get("positions"))
        kept = positions.get(NOTIFICATIONS.name, Position(start)).next
        foreign = fields.get("bus", self._identity.encode()) != self._identity.encode()
        if foreign or kept > self._catching_up_to or not standing.is_whole:
            # Of another bus, or of one that was made anew: nothing here is about this one. Or it is
            # half done, and takes no more.
            await self._store.clear(self.number, STATE_VERSION, self._epoch)
            self._seq, fields, kept, positions = 0, {}, start, {}
        self._next = max(start, kept)
        self._reports_next = positions.get(REPORTS.name, Position(0)).next
        self._last = None if "last" not in fields else json.loads(fields["last"])
        loaded = await self._store.load(
            self.number, STATE_VERSION, ranges=[Range(LANES, members_max=LANES_MAX)]
        )
        self._lanes = dict.fromkeys(loaded.ranges[0])
        self._is_caught_up = self._is_idle = False
        self._reader = await self._bus.reader(self.number, {NOTIFICATIONS.name: self._next})

    async def still_owner(self) -> bool:
        """Return whether the store stands where this owner left it."""
        standing = await self._store.standing(self.number, STATE_VERSION)
        return standing.is_at(self._epoch, self._seq)

    async def is_fenced(self) -> bool:
        """Return whether a newer owner sends now."""
        standing = await self._store.standing(self.number, STATE_VERSION)
        return standing.epoch > self._epoch

    async def close(self) -> None:
        """Let attempts end, report them, let go of the reader."""
        # Who takes over shows what waits; what this process showed last would stand for ever.
        for name in self._shown:
            self._telemetry.overdue_messages.labels(name, str(self.number)).set(0)
        self._shown.clear()
        tasks = self._attempts.tasks
        if tasks:
            await asyncio.wait(list(tasks.values()), timeout=FAREWELL_SECONDS_MAX)
        if self._reader is None:
            return
        try:
            if self._attempts.ended and self._is_caught_up:
                changes = Changes()
                await self._note(changes)
                await self._keep(changes)
        except (StreamingError, TimeoutError) as error:
            self._telemetry.log.warning("not noted yet", service=NAME, error=str(error))
        finally:
            await self._reader.close()
            self._reader = None

    # --- one round -------------------------------------------------------------------------

    async def step(self) -> bool:
        """Read, note, begin. Return whether there was anything to do."""
        if self._reader is None:
            raise RuntimeError("take over first")
        if self._is_caught_up:
            # Before anything is read: what it commits must not stand for records yet to be kept.
            await self._sweep()
        wait = self._poll_seconds if self._is_idle else min(self._poll_seconds, BUSY_SECONDS)
        if self._attempts.tasks:
            # An attempt that ends makes room for the next one: no need to wait for a record.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._attempts.some_ended.wait(), wait)
            self._attempts.some_ended.clear()
            wait = 0.0
        polled = await self._reader.poll([NOTIFICATIONS.name], RECORDS_MAX, wait)
        records = polled.records.get(NOTIFICATIONS.name, ())
        changes = Changes()
        await self._read(records, changes)
        moved = polled.next_offsets[NOTIFICATIONS.name] > self._next
        self._next = polled.next_offsets[NOTIFICATIONS.name]
        if not self._is_caught_up:
            await self._keep(changes)
            if self._next >= self._catching_up_to:
                await self._look_for_reports()
                await self._doubt_what_had_begun()
                self._is_caught_up = True
            return True
        noted = await self._note(changes)
        begun = await self._choose(changes)
        was_idle = self._is_idle
        # What was put in order just now may be due: only a round that finds nothing is idle.
        self._is_idle = not (changes or begun or self._attempts or self._is_held_back)
        if moved or changes or self._is_idle != was_idle:
            await self._keep(changes)
        for message in begun:
            self._begin(message)
        return bool(records or begun or noted)

    async def _read(self, records: Sequence[Record], changes: Changes) -> None:
        """Take note of what became due, and of what the journal says became of it."""
        over: list[str] = []
        for record in records:
            envelope: dict[str, Any] = json.loads(record.value or b"{}")
            data = envelope["data"]
            told = data.get("input")
            if told is not None and "data" in told:
                self._last = (told["id"], told_of(told["data"]))
            if envelope.get("causetopic") == REPORTS.name:
                self._reports_next = max(self._reports_next, envelope["causeoffset"] + 1)
            match envelope["type"]:
                case MessageDue.type:
                    self._take(data, envelope["partitionkey"], _trace(record, envelope), changes)
                case MessageSent.type | MessageFailed.type:
                    over.append(data["message_id"])
                case _:
                    pass
        await self._take_off(over, changes)

    def _take(
        self, data: Mapping[str, Any], payer: str, trace: Trace | None, changes: Changes
    ) -> None:
        not_before = to_moment(data["not_before"])
        line = self._line_of(data["channel"], data["recipient_id"])
        if line is None or not_before is None:
            return
        event_ids = tuple(data["event_ids"])
        fact = self._last[1] if self._last and event_ids == (self._last[0],) else None
        message = Message(
            message_id=data["message_id"],
            recipient_id=data["recipient_id"],
            payer=payer,
            channel=data["channel"],
            category=data["category"],
            template=data["template"],
            lane=f"{line.name}/{line.lane_of(data['recipient_id'])}",
            not_before=not_before.astimezone(UTC),
            since=self._now(),
            event_ids=event_ids,
            fact=fact,
            trace=trace,
        )
        self._wait(message, message.not_before, None, changes)

    def _line_of(self, channel: str, recipient_id: str) -> Line | None:
        lines = self._lines.values()
        return next((line for line in lines if line.takes(channel, recipient_id)), None)

    def _wait(
        self, message: Message, until: datetime, before: Kept | None, changes: Changes
    ) -> None:
        if message.lane not in self._lanes:
            self._lanes[message.lane] = None
            changes.lanes.append(message.lane)
        place = waiting_place(message.lane, until, message.message_id)
        changes.put(message, place, None if before is None else before.place)

    async def _take_off(self, message_ids: Sequence[str], changes: Changes) -> None:
        stored = await self._stored(message_ids)
        for id_ in message_ids:
            if id_ in stored:
                changes.drop(stored[id_])
            else:
                changes.entries.pop(id_, None)

    async def _stored(self, message_ids: Sequence[str]) -> Mapping[str, Kept]:
        if not message_ids:
            return {}
        keys = [key_of(id_) for id_ in message_ids]
        loaded = await self._store.load(self.number, STATE_VERSION, keys)
        found = [unpack(value) for value in loaded.values if value is not None]
        return {kept.message.message_id: kept for kept in found}

    # --- what an owner before left -----------------------------------------------------------

    async def _look_for_reports(self) -> None:
        """Take off what was reported and is not in the journal yet."""
        end = (await self._bus.ends([REPORTS.name]))[(REPORTS.name, self.number)]
        if self._reports_next >= end:
            return
        reader = await self._bus.reader(self.number, {REPORTS.name: self._reports_next})
        try:
            at = self._reports_next
            while at < end:
                polled = await reader.poll([REPORTS.name], RECORDS_MAX, POLL_SECONDS)
                records = polled.records.get(REPORTS.name, ())
                changes = Changes()
                await self._take_off([id_ for r in records if (id_ := _reported(r))], changes)
                await self._keep(changes)
                at = polled.next_offsets[REPORTS.name]
        finally:
            await reader.close()

    async def _doubt_what_had_begun(self) -> None:
        """Send again what was begun and has no end on the record: rather twice than never."""
        asked = Range(BEGUN, members_max=IN_FLIGHT_MAX)
        loaded = await self._store.load(self.number, STATE_VERSION, ranges=[asked])
        left = [id_ for id_ in loaded.ranges[0] if id_ not in self._attempts]
        changes = Changes()
        for id_, kept in (await self._stored(left)).items():
            if id_ in self._attempts.chosen:
                message = replace(kept.message, attempts=kept.message.attempts - 1)
            else:
                message = replace(kept.message, doubts=kept.message.doubts + 1)
                self._doubted(message)
            self._wait(message, self._now(), kept, changes)
        if changes:
            await self._keep(changes)
        self._attempts.chosen.clear()

    async def _sweep(self) -> None:
        """Now and then look for what got stuck, and say how much waits past its time."""
        if time.monotonic() - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        await self._doubt_what_had_begun()
        late = stamp(self._now() - OVERDUE_AFTER)
        lanes = list(self._lanes)
        loaded = await self._store.load(
            self.number,
            STATE_VERSION,
            counts=[Count(WAITING, f"{lane}|", f"{lane}|{late}") for lane in lanes],
        )
        overdue = dict.fromkeys(self._lines, 0)
        for lane, count in zip(lanes, loaded.counts, strict=True):
            name = lane.partition("/")[0]
            overdue[name] = overdue.get(name, 0) + count
        for name, count in overdue.items():
            self._telemetry.overdue_messages.labels(name, str(self.number)).set(count)
        self._shown.update(overdue)

    # --- attempts ----------------------------------------------------------------------------

    async def _choose(self, changes: Changes) -> Sequence[Message]:
        """Return the messages whose attempt begins now; that is on the record with this commit."""
        asked: list[tuple[Line, str, int]] = []
        left = IN_FLIGHT_MAX - len(self._attempts.tasks)
        for lane in self._lanes:
            line = self._lines.get(lane.partition("/")[0])
            room = 0 if line is None else min(left, line.room(lane))
            if line is not None and room > 0:
                asked.append((line, lane, room))
                left -= room
        self._is_held_back = False
        if not asked:
            return ()
        now = stamp(self._now())
        ranges = [Range(WAITING, f"{lane}|", f"{lane}|{now}|~", room) for _, lane, room in asked]
        loaded = await self._store.load(self.number, STATE_VERSION, ranges=ranges)
        chosen: dict[str, str] = {}
        for (line, lane, _), members in zip(asked, loaded.ranges, strict=True):
            allowed = line.rate.take(len(members))
            self._is_held_back = self._is_held_back or allowed < len(members)
            chosen |= {member.rpartition("|")[2]: lane for member in members[:allowed]}
            if allowed:
                # Served: the others are asked first the next time.
                self._lanes[lane] = self._lanes.pop(lane)
        begun = []
        for id_, kept in (await self._stored(list(chosen))).items():
            if id_ not in changes.entries and id_ not in self._attempts:
                message = replace(kept.message, attempts=kept.message.attempts + 1)
                changes.put(message, (BEGUN, id_), kept.place)
                self._attempts.chosen.add(id_)
                begun.append(message)
        return begun

    def _begin(self, message: Message) -> None:
        line = self._lines[message.lane.partition("/")[0]]
        line.begins(message.lane)
        self._attempts.chosen.discard(message.message_id)
        task = asyncio.create_task(self._attempt(line, message))
        self._attempts.tasks[message.message_id] = task

    async def _attempt(self, line: Line, message: Message) -> None:
        """Make one attempt; its end is kept until a report tells of it."""
        outcome: Outcome = NotNow("a defect of the sender")
        try:
            outcome = await line.attempt(message.lane, lambda: self._delivery(message))
        except (StreamingError, TimeoutError) as error:
            outcome = NotNow(f"facts: {type(error).__name__}")
        except Exception:
            self._telemetry.log.exception(
                "attempt failed", message_id=message.message_id, channel=message.channel
            )
        finally:
            self._attempts.ended[message.message_id] = (message, outcome)
            self._attempts.some_ended.set()
            self._attempts.tasks.pop(message.message_id, None)

    async def _delivery(self, message: Message) -> Delivery:
        facts = [message.fact] if message.fact else await self._facts.find(message.event_ids)
        laid_out = letter(message.template, [told_of(fact) for fact in facts])
        return Delivery(message=message, letter=laid_out, at=self._now())

    # --- noting ------------------------------------------------------------------------------

    async def _note(self, changes: Changes) -> bool:
        """Report the ends of attempts, or put them off. Return whether there were any."""
        ended = dict(self._attempts.ended)
        stored = await self._stored(list(ended))
        reports: list[Outgoing] = []
        now = self._now()
        for id_, (message, outcome) in ended.items():
            if id_ not in stored or changes.entries.get(id_, stored[id_]) is None:
                # It was noted before: by this process, or by one that took over meanwhile.
                continue
            kept = stored[id_]
            self._telemetry.attempts.labels(message.channel, type(outcome).__name__).inc()
            match _what_follows(message, outcome, now):
                case (DeliveryStatus() as status, str() as said):
                    reports.append(self._report(message, status, said, now))
                    changes.drop(kept)
                case Message() as again:
                    if again.doubts > message.doubts:
                        self._doubted(again)
                    pause = pause_after(again.attempts, id_) if again.attempts else PAUSE_MIN
                    self._wait(again, now + pause, kept, changes)
        if reports:
            await self._bus.publish(reports)
        for id_ in ended:
            del self._attempts.ended[id_]
        return bool(ended)

    def _doubted(self, message: Message) -> None:
        self._telemetry.perhaps_twice.labels(message.channel).inc()
        self._telemetry.log.warning(
            "sent again, perhaps twice",
            message_id=message.message_id,
            channel=message.channel,
            attempt=message.attempts,
        )

    def _report(
        self, message: Message, status: DeliveryStatus, said: str, now: datetime
    ) -> Outgoing:
        self._telemetry.log.info(
            "message",
            message_id=message.message_id,
            channel=message.channel,
            category=message.category,
            template=message.template,
            reason=f"{status.value}: {said}",
            attempt=message.attempts,
        )
        envelope: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{status.value}-{message.attempts}-{message.message_id}"[:EVENT_ID_MAX],
            "source": "/senders",
            "type": DeliveryReported.type,
            "time": now.isoformat(),
            "subject": message.message_id,
            "partitionkey": message.payer,
            "datacontenttype": "application/json",
            "data": {
                "message_id": message.message_id,
                "channel": message.channel,
                "status": status.value,
                "attempts": message.attempts,
                "detail": f"{said}; {DOUBT}" if message.doubts else said,
            },
        }
        if message.trace is not None:
            envelope |= {
                "traceparent": message.trace.traceparent,
                "causetopic": NOTIFICATIONS.name,
                "causepartition": self.number,
                "causeoffset": message.trace.offset,
            }
        headers = (("content-type", CONTENT_TYPE.encode()),)
        value = json.dumps(envelope, ensure_ascii=False).encode()
        return Outgoing(REPORTS.name, self.number, message.payer.encode(), value, headers)

    async def _keep(self, changes: Changes) -> None:
        """Commit. Raises FencedError or BehindError if the store is another one's now."""
        positions = {
            NOTIFICATIONS.name: Position(self._next),
            REPORTS.name: Position(self._reports_next),
        }
        fields = {
            "bus": self._identity.encode(),
            "positions": pack_positions(positions),
            "idle": b"1" if self._is_idle else b"0",
            "last": json.dumps(self._last, ensure_ascii=False).encode(),
        }
        commit = changes.commit(self._seq, fields)
        answer = await self._store.commit(self.number, STATE_VERSION, self._epoch, commit)
        if isinstance(answer, Fenced):
            raise FencedError(f"{NAME}/{self.number}: epoch {answer.epoch} sends now")
        if isinstance(answer, Behind):
            raise BehindError(f"{NAME}/{self.number}: the store is not where it was left")
        self._seq = answer.seq


def _what_follows(
    message: Message, outcome: Outcome, now: datetime
) -> Message | tuple[DeliveryStatus, str]:
    """Return what is reported of an attempt, or the message as it waits for the next one."""
    match outcome:
        case Sent():
            return DeliveryStatus.SENT, outcome.by
        case Rejected():
            return DeliveryStatus.FAILED, outcome.why
        case NoAddressesNow():
            return replace(message, attempts=message.attempts - 1)
        case NotNow() | OutOfReach():
            if is_given_up(message.attempts, message.since, now):
                return DeliveryStatus.FAILED, outcome.why
            doubtful = isinstance(outcome, OutOfReach) and outcome.is_doubtful
            return replace(message, doubts=message.doubts + doubtful)


def _trace(record: Record, envelope: Mapping[str, Any]) -> Trace | None:
    traceparent = envelope.get("traceparent")
    # It becomes a header: what is not as W3C has it goes no further.
    if traceparent is None or not _TRACEPARENT.fullmatch(traceparent):
        return None
    return Trace(traceparent, record.offset)


def _reported(record: Record) -> str | None:
    """Return which message a report is about; None if it cannot be read."""
    try:
        envelope: dict[str, Any] = json.loads(record.value or b"{}")
        return str(envelope["data"]["message_id"])
    except (ValueError, KeyError, TypeError):
        return None


def topics() -> Sequence[str]:
    """Return what the sender follows."""
    return (NOTIFICATIONS.name,)
