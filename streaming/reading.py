"""Reading a record as far as it can be understood without state: who, what, for whom, where."""

from collections.abc import Callable, Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from contracts.decisions import DeadLetterReason
from contracts.envelope import Envelope, EventData
from streaming.bus import Record
from streaming.decoding import (
    Decoded,
    Defect,
    check_source,
    decode_data,
    decode_envelope,
    envelope_of,
    model_of,
    parse_published,
)
from streaming.errors import UnreadableError
from streaming.natural_keys import command_key, natural_key
from streaming.routing import partition_of
from streaming.service import Service
from streaming.view import EVERYBODY, Scope

FORWARDED_FROM = "pfdo-forwarded-from"
"""The last header of a forwarded record: topic, partition and offset it came in at."""


class Kind(StrEnum):
    """What a topic is to its reader."""

    SOURCE = "source"
    CALENDAR = "calendar"
    COMMANDS = "commands"
    REPORTS = "reports"
    JOURNAL = "journal"


_OF_SOURCES = frozenset({Kind.SOURCE, Kind.CALENDAR})


class Listening(Struct, frozen=True, kw_only=True):
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
    scope: Callable[[str, str | None], Scope | None] = lambda _type, _payer: EVERYBODY


class Read(Struct, frozen=True):
    """A record as far as it can be understood without state; neither member: it does not concern
    the service.
    """

    record: Record
    listened: Listening
    journalseq: int | None = None
    decoded: Decoded | None = None
    defect: Defect | None = None
    scope: Scope | None = None
    misplaced: int | None = None
    natural_key: str = ""
    """What the event is a copy by; a journal's record is known by its id."""


class Reading:
    """How one partition of a service reads its input topics."""

    def __init__(
        self, service: Service, number: int, partitions: int, listening: Mapping[str, Listening]
    ) -> None:
        self._service = service
        self._number = number
        self._partitions = partitions
        self._listening = listening

    def read(self, record: Record) -> Read:
        """Return a record with its event, its defect, or neither.

        Raises UnreadableError for a record of a service's journal that cannot be read.
        """
        listened = self._listening[record.topic]
        try:
            return self._read(record, listened)
        except Defect as defect:
            if listened.kind is Kind.JOURNAL:
                raise UnreadableError(
                    f"{record.place} is a record of a service and cannot be read ({defect}). "
                    "Look at the service's version before it is set aside.",
                    record.place,
                ) from defect
            return Read(record, listened, defect=defect if listened.decides_defects else None)

    def _read(self, record: Record, listened: Listening) -> Read:
        if listened.kind is Kind.JOURNAL:
            published = parse_published(record)
            if published.get("source") == listened.source and not self._concerns(
                str(published.get("type"))
            ):
                return Read(record, listened, published.get("journalseq"))
            envelope = envelope_of(published)
        else:
            envelope = decode_envelope(_as_sent(record, listened))
            if listened.kind in _OF_SOURCES:
                check_source(envelope)
        journalseq = envelope.journalseq
        nothing = Read(record, listened, journalseq)
        if envelope.type not in listened.events and not listened.decides_defects:
            return nothing
        if envelope.source != listened.source:
            raise Defect(
                DeadLetterReason.SOURCE_MISMATCH,
                f"{record.topic} is written by {listened.source} alone",
            )
        model = model_of(envelope, listened.events)
        scope = listened.scope(envelope.type, envelope.partitionkey)
        if scope is None:
            raise Defect(
                DeadLetterReason.OUT_OF_SCOPE,
                f"{listened.source} may not send {envelope.type} for this payer",
            )
        if not self._concerns(envelope.type) and not listened.decides_defects:
            return nothing
        decoded = Decoded(envelope, decode_data(envelope, model))
        misplaced = self._misplaced(envelope, listened)
        key = _natural_key(listened.kind, decoded)
        return Read(record, listened, journalseq, decoded, None, scope, misplaced, key)

    def _concerns(self, type_: str) -> bool:
        return type_ in self._service.reactions or type_ == self._service.calendar.type

    def _misplaced(self, envelope: Envelope, listened: Listening) -> int | None:
        if listened.kind is not Kind.SOURCE or envelope.partitionkey is None:
            return None
        right = partition_of(envelope.partitionkey.encode(), self._partitions)
        return None if right == self._number else right


def _as_sent(record: Record, listened: Listening) -> Record:
    """Return a record without the header that forwarding it added: it counts as none of its own."""
    if listened.kind is Kind.SOURCE and listened.forward_to is None:
        return replace(record, headers=record.headers[:-1])
    return record


def _natural_key(kind: Kind, decoded: Decoded) -> str:
    match kind:
        case Kind.JOURNAL:
            return decoded.envelope.id
        case Kind.COMMANDS:
            return command_key(decoded.envelope)
        case _:
            return natural_key(decoded.envelope, decoded.event)
