"""What is decided and not committed yet: state, records of the journal, what is to be published.

What a decision leads to comes here in steps. They change state through `applying.py` alone, get
their numbers and hashes, and wait for the commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from contracts.envelope import EventData
from streaming import journal
from streaming.applying import Applying
from streaming.bus import Headers, Outgoing
from streaming.journal import Entry, JournalEnd
from streaming.outbox import pack
from streaming.routing import partition_of
from streaming.service import Service
from streaming.view import Cause

BATCH_CHANGES_MAX = 1_000
"""A batch is committed when it changed that much, half of what a commit may hold."""
BATCH_OUTBOX_BYTES_MAX = 2 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Step:
    """One record a decision leads to: of the own journal, or, with a payer, a command."""

    type: str
    subject: str
    data: dict[str, Any]
    payer: str | None = None
    event: EventData | None = None
    fact: object | None = None

    @property
    def is_command(self) -> bool:
        """Return whether it is sent to a payer, and changes nothing here."""
        return self.payer is not None


class Batch:
    """The running batch of a partition, and the end of the journal with all that is in it."""

    def __init__(self, service: Service, number: int, partitions: int, applying: Applying) -> None:
        self._service = service
        self._number = number
        self._partitions = partitions
        self._applying = applying
        self._memory = applying.memory
        self.end = JournalEnd()
        self.outgoing: list[Outgoing] = []
        self.packed: list[bytes] = []
        """The same as entries of the outbox."""
        self._packed_bytes = 0
        self.decisions: list[tuple[str, str, str]] = []
        """(topic, decision, reason) of the batch, for metrics."""

    def drop_outgoing(self) -> None:
        """Forget what is to be published, and what of it was decided."""
        self.outgoing = []
        self.packed = []
        self._packed_bytes = 0
        self.decisions = []

    @property
    def is_full(self) -> bool:
        """Return whether the batch should be committed before more is decided."""
        return (
            len(self._memory.batch) >= BATCH_CHANGES_MAX
            or self._packed_bytes >= BATCH_OUTBOX_BYTES_MAX
        )

    def write(
        self, steps: Sequence[Step], cause: Cause, payer: str, day: date, *, later: bool
    ) -> None:
        """Apply the steps and, if nothing was missing, put them into the journal and the outbox.

        `later` tells a decision that is made after another one was about the same cause.
        """
        entries = self.apply(steps, cause, payer, day, later=later)
        self._applying.keep()
        name, number = self._service.name, self._number
        for step, entry in entries:
            if step.is_command:
                right = partition_of(str(step.payer).encode(), self._partitions)
                value = journal.command(name, number, entry, self.end.seq)
                self.send(f"{name}.commands.v1", right, _key(entry), value, journal.HEADERS)
            else:
                self.end, value = journal.append(name, number, self.end, entry)
                self.send(f"{name}.events.v1", number, _key(entry), value, journal.HEADERS)

    def apply(
        self, steps: Sequence[Step], cause: Cause, payer: str, day: date, *, later: bool
    ) -> list[tuple[Step, Entry]]:
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

    def _opens(self, steps: Sequence[Step]) -> bool:
        return isinstance(steps[0].event, self._service.calendar)

    def send(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        """Put a record into the outbox."""
        outgoing = Outgoing(topic, partition, key, value, headers)
        packed = pack(outgoing)
        self.outgoing.append(outgoing)
        self.packed.append(packed)
        self._packed_bytes += len(packed)


def _key(entry: Entry) -> bytes | None:
    return None if entry.payer is None else entry.payer.encode()
