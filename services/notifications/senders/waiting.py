"""What a partition's sender keeps: messages that wait or are being tried, and changes of them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from services.notifications.senders.delivery import Message, Trace
from streaming.store import Commit

WAITING, BEGUN, LANES = "waiting", "begun", "lanes"
"""Indexes: `<lane>|<time>|<message id>`, `<message id>`, `<lane>`."""
NOT_TOLD = frozenset({"input", "lines"})
"""Fields of facts that no text tells of, and that may be long."""

Place: TypeAlias = tuple[str, str]
"""Index and member under which a message stands."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as it stands in the store."""

    message: Message
    place: Place


@dataclass(slots=True)
class Changes:
    """What one commit changes: messages by id (None: taken off), and lanes that are new."""

    entries: dict[str, Kept | None] = field(default_factory=dict)
    before: dict[str, Place] = field(default_factory=dict)
    lanes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.entries or self.lanes)

    def put(self, message: Message, place: Place, before: Place | None) -> None:
        """Let a message stand at a place; `before` is where the store has it."""
        if before is not None:
            self.before.setdefault(message.message_id, before)
        self.entries[message.message_id] = Kept(message, place)

    def drop(self, kept: Kept) -> None:
        """Take off a message that the store has."""
        self.before.setdefault(kept.message.message_id, kept.place)
        self.entries[kept.message.message_id] = None

    def commit(self, expected_seq: int, fields: Mapping[str, bytes]) -> Commit:
        """Return the commit."""
        now = {id_: kept for id_, kept in self.entries.items() if kept is not None}
        return Commit(
            expected_seq=expected_seq,
            fields=fields,
            writes={key_of(id_): pack(kept) for id_, kept in now.items()},
            deletes=[key_of(id_) for id_, kept in self.entries.items() if kept is None],
            index_adds=[*(kept.place for kept in now.values()), *((LANES, x) for x in self.lanes)],
            index_removes=[self.before[id_] for id_ in self.entries if id_ in self.before],
        )


def key_of(message_id: str) -> str:
    """Return the key a message is kept under."""
    return f"message/{message_id}"


def waiting_place(lane: str, until: datetime, message_id: str) -> Place:
    """Return where a message waits for a time on a lane."""
    return (WAITING, f"{lane}|{stamp(until)}|{message_id}")


def stamp(moment: datetime) -> str:
    """Return a time as text that sorts as the time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def pack(kept: Kept) -> bytes:
    """Return a message as it is stored."""
    data = {**asdict(kept.message), "place": kept.place}
    # Who does not know traces yet can read what is of none.
    if data["trace"] is None:
        del data["trace"]
    return json.dumps(data, default=str, ensure_ascii=False).encode()


def unpack(stored: bytes) -> Kept:
    """Return a stored message."""
    data: dict[str, Any] = json.loads(stored)
    index, member = data.pop("place")
    for name in ("not_before", "since"):
        data[name] = datetime.fromisoformat(data[name])
    data["event_ids"] = tuple(data["event_ids"])
    if "trace" in data:
        data["trace"] = Trace(**data["trace"])
    return Kept(Message(**data), (index, member))


def told_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a text may tell of a fact."""
    return {name: value for name, value in data.items() if name not in NOT_TOLD}
