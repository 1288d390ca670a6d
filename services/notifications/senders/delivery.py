"""What senders say among themselves: a message to be delivered, and what came of one attempt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from services.notifications.senders.templates import Letter


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace a message belongs to, and where in the journal it became due."""

    traceparent: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that is due, and how far its delivery is.

    `lane` is the way it goes; `fact` is the data of what it tells of, where that stood beside it in
    the journal. `since` is when the sender first knew of it; `attempts` were begun; after `doubts`
    of them nobody knows whether they arrived.
    """

    message_id: str
    recipient_id: str
    payer: str
    channel: str
    category: str
    template: str
    lane: str
    not_before: datetime
    since: datetime
    event_ids: tuple[str, ...]
    fact: Mapping[str, Any] | None = None
    attempts: int = 0
    doubts: int = 0
    trace: Trace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt: the message, laid out, and when it is made."""

    message: Message
    letter: Letter
    at: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """The next one on the way took it over. `by` is who: never an address."""

    by: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """It will never be taken: trying again is of no use."""

    why: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """It was not taken this time, for a reason of its own."""

    why: str


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """Nobody answered: others on the same way need not be tried for a while.

    `is_doubtful`: it broke off after the whole message was handed over, so it may have arrived.
    """

    why: str
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class NoAddressesNow:
    """Who knows the addresses is away: nothing was tried, and nothing counts."""


Outcome: TypeAlias = Sent | Rejected | NotNow | OutOfReach | NoAddressesNow


class Provider(Protocol):
    """One way out of here: a relay, a gateway, a folder."""

    name: str

    async def send(self, delivery: Delivery) -> Outcome:
        """Make one attempt; never takes longer than its own limits, and does not raise."""
        ...

    async def close(self) -> None:
        """Let go of connections. Never raises."""
        ...


class Facts(Protocol):
    """Finds the data of facts by the ids of their events."""

    async def find(self, event_ids: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return those that were found, in order. Raises BusUnavailableError."""
        ...
