"""A sender that writes to the log, for every channel but the cabinet (which shows messages itself).

It reads `notifications.events.v1`, writes one log line for each message that is due, reports it as
sent and then keeps its position: killed in between, it writes the line again and reports the same
again, which is a duplicate. Quiet hours are not waited for: a log wakes nobody. On another bus,
or one that begins anew, it reads from the start: rather a message twice than one lost.
"""

import json
from collections.abc import Sequence
from typing import Any

from contracts.envelope import CONTENT_TYPE
from contracts.notifications import MessageDue
from contracts.topics import NOTIFICATIONS, REPORTS
from contracts.vocabulary import Channel
from streaming.bus import Bus, Outgoing, Reader, Record
from streaming.errors import BehindError, FencedError
from streaming.positions import Position, pack_positions, unpack_positions
from streaming.store import Behind, Commit, Fenced, Store
from streaming.telemetry import Telemetry

NAME = "sender-log"
STATE_VERSION = 1
RECORDS_MAX = 100
"""So many messages at most are written again after a kill: the position is kept behind them."""
POLL_SECONDS = 0.5
ATTEMPTS = 1


class LogSender:
    """The owner of one partition of the log channel; run by a `streaming.host.Host`."""

    def __init__(self, number: int, bus: Bus, store: Store, telemetry: Telemetry) -> None:
        self.number = number
        self._bus = bus
        self._store = store
        self._telemetry = telemetry
        self._epoch = 0
        self._seq = 0
        self._next = 0
        self._identity = ""
        self._is_fresh = False
        self._reader: Reader | None = None

    async def take_over(self) -> None:
        """Become the owner and stand ready."""
        await self.close()
        standing = await self._store.take_over(self.number, STATE_VERSION)
        self._epoch, self._seq = standing.epoch, standing.seq
        self._identity = await self._bus.identity()
        place = (NOTIFICATIONS.name, self.number)
        start = (await self._bus.starts([NOTIFICATIONS.name]))[place]
        end = (await self._bus.ends([NOTIFICATIONS.name]))[place]
        positions = unpack_positions(standing.fields.get("positions"))
        kept = positions.get(NOTIFICATIONS.name, Position(0)).next
        foreign = standing.fields.get("bus", self._identity.encode()) != self._identity.encode()
        anew = not standing.fields or foreign or kept > end
        self._next = start if anew else max(start, kept)
        self._is_fresh = anew
        self._reader = await self._bus.reader(self.number, {NOTIFICATIONS.name: self._next})

    async def step(self) -> bool:
        """Carry out what is due. Return whether there was anything to do."""
        if self._reader is None:
            raise RuntimeError("take over first")
        wait = 0.0 if self._is_fresh else POLL_SECONDS
        polled = await self._reader.poll([NOTIFICATIONS.name], RECORDS_MAX, wait)
        records = polled.records.get(NOTIFICATIONS.name, ())
        reports = [report for record in records if (report := self._send(record)) is not None]
        if reports:
            await self._bus.publish(reports)
        if polled.next_offsets[NOTIFICATIONS.name] > self._next or self._is_fresh:
            await self._keep(polled.next_offsets[NOTIFICATIONS.name])
        return bool(records)

    def _send(self, record: Record) -> Outgoing | None:
        envelope: dict[str, Any] = json.loads(record.value or b"{}")
        if envelope["type"] != MessageDue.type:
            return None
        message = envelope["data"]
        if message["channel"] == Channel.CABINET:
            return None
        self._telemetry.log.info(
            "message",
            message_id=message["message_id"],
            channel=message["channel"],
            category=message["category"],
            template=message["template"],
        )
        return _report(envelope, message, self.number)

    async def _keep(self, next_offset: int) -> None:
        positions = {NOTIFICATIONS.name: Position(next_offset)}
        commit = Commit(
            expected_seq=self._seq,
            fields={
                "bus": self._identity.encode(),
                "positions": pack_positions(positions),
                "idle": b"1",
            },
        )
        answer = await self._store.commit(self.number, STATE_VERSION, self._epoch, commit)
        if isinstance(answer, Fenced):
            raise FencedError(f"{NAME}/{self.number}: epoch {answer.epoch} sends now")
        if isinstance(answer, Behind):
            raise BehindError(f"{NAME}/{self.number}: the store is not where it was left")
        self._seq, self._next, self._is_fresh = answer.seq, next_offset, False

    async def still_owner(self) -> bool:
        """Return whether the store stands where this owner left it."""
        standing = await self._store.standing(self.number, STATE_VERSION)
        return (standing.epoch, standing.seq) == (self._epoch, self._seq)

    async def is_fenced(self) -> bool:
        """Return whether a newer owner sends now."""
        standing = await self._store.standing(self.number, STATE_VERSION)
        return standing.epoch > self._epoch

    async def close(self) -> None:
        """Let go of the reader."""
        if self._reader is not None:
            await self._reader.close()
        self._reader = None


def topics() -> Sequence[str]:
    """Return what the sender reads."""
    return (NOTIFICATIONS.name,)


def _report(envelope: dict[str, Any], message: dict[str, Any], partition: int) -> Outgoing:
    message_id = message["message_id"]
    report = {
        "specversion": "1.0",
        "id": f"sent-{message_id}",
        "source": "/senders",
        "type": "notifications.delivery-reported.v1",
        "time": envelope["time"],
        "subject": message_id,
        "partitionkey": envelope["partitionkey"],
        "datacontenttype": "application/json",
        "data": {
            "message_id": message_id,
            "channel": message["channel"],
            "status": "sent",
            "attempts": ATTEMPTS,
        },
    }
    headers = (("content-type", CONTENT_TYPE.encode()),)
    key = envelope["partitionkey"].encode()
    return Outgoing(REPORTS.name, partition, key, json.dumps(report).encode(), headers)
