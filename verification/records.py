"""Records as they stand on the bus, and the records of journals as parsed JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import orjson

Place: TypeAlias = tuple[str, int, int]
"""Topic, partition and offset of a record."""

COMMANDS = "enrollment.commands.v1"
REPORTS = "notifications.reports.v1"
CALENDAR = "calendar.events.v1"

DEAD_LETTERED = "input-dead-lettered"
FORWARDED = "input-forwarded"
PARKED = "input-parked"
NOTED = "input-noted"


class Record(Protocol):
    """One record of the bus."""

    @property
    def topic(self) -> str:
        """Where it stands."""
        ...

    @property
    def partition(self) -> int:
        """In which partition of the topic."""
        ...

    @property
    def offset(self) -> int:
        """Its number there; numbers may be left out."""
        ...

    @property
    def key(self) -> bytes | None:
        """Its key."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its bytes."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Its headers."""
        ...


def place_of(record: Record) -> Place:
    """Return where a record stands."""
    return record.topic, record.partition, record.offset


def shown(place: Place) -> str:
    """Return a place as people write it."""
    return "/".join(map(str, place))


def headers_of(record: Record) -> dict[str, str]:
    """Return the headers of a record as text."""
    return {name: value.decode("utf-8", "replace") for name, value in record.headers}


def parsed(value: bytes | None) -> dict[str, Any] | None:
    """Return the JSON object in a record, None where there is none."""
    try:
        event = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


@dataclass(frozen=True, slots=True)
class Fact:
    """A record of a journal. `event` is its JSON, `value` its bytes as published."""

    service: str
    partition: int
    offset: int
    value: bytes
    event: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Return the id of the event."""
        return str(self.event["id"])

    @property
    def seq(self) -> int:
        """Return its number in the journal's partition."""
        return int(self.event["journalseq"])

    @property
    def kind(self) -> str:
        """Return what happened, without service and version: `lesson-charged`, `input-noted`."""
        return str(self.event["type"]).partition(".")[2].rpartition(".")[0]

    @property
    def data(self) -> Mapping[str, Any]:
        """Return the data of the event."""
        data: Mapping[str, Any] = self.event["data"]
        return data

    @property
    def payer(self) -> str:
        """Return whose it is; empty for what is nobody's, as a business day."""
        return str(self.event.get("partitionkey", ""))

    @property
    def day(self) -> str:
        """Return the business day; before the first one that of the cause."""
        return str(self.event.get("businessday") or self.event["time"][:10])

    @property
    def place(self) -> Place:
        """Return where it stands."""
        return f"{self.service}.events.v1", self.partition, self.offset

    @property
    def cause(self) -> Place:
        """Return where the record stands that this follows from."""
        event = self.event
        return str(event["causetopic"]), int(event["causepartition"]), int(event["causeoffset"])

    @property
    def input(self) -> Mapping[str, Any] | None:
        """Return the input this is the decision about; None for what only follows from one."""
        told: Mapping[str, Any] | None = self.data.get("input")
        return None if "item" in self.data else told

    @property
    def is_applied(self) -> bool:
        """Return whether this is a decision that took its input in."""
        return self.input is not None and (not self.kind.startswith("input-") or self.kind == NOTED)


def fact_of(service: str, record: Record) -> Fact | None:
    """Return a record of a journal, None for one that is no published event."""
    event = parsed(record.value)
    if event is None or not all(isinstance(event.get(n), kind) for n, kind in _NEEDED.items()):
        return None
    return Fact(service, record.partition, record.offset, record.value or b"", event)


_NEEDED = {
    "id": str,
    "type": str,
    "time": str,
    "data": dict,
    "journalseq": int,
    "causetopic": str,
    "causepartition": int,
    "causeoffset": int,
    "prevhash": str,
    "hash": str,
}
