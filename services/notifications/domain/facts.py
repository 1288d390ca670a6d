"""What can happen to a message. Names and order of fields are those of the contracts."""

from dataclasses import dataclass
from typing import TypeAlias

from contracts.vocabulary import Channel, EventId, MessageId, RecipientId


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDue:
    """Someone is to be told something by one channel, not before a time (RFC 3339)."""

    message_id: MessageId
    recipient_id: RecipientId
    channel: Channel
    category: str
    template: str
    template_version: int
    not_before: str
    event_ids: tuple[EventId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSuppressed:
    """Someone is not told, and why."""

    recipient_id: RecipientId
    category: str
    reason: str
    event_ids: tuple[EventId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSent:
    """A message left by its channel."""

    message_id: MessageId
    channel: Channel
    attempts: int
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailed:
    """A message could not be delivered."""

    message_id: MessageId
    channel: Channel
    attempts: int
    detail: str | None = None


Fact: TypeAlias = MessageDue | MessageSuppressed | MessageSent | MessageFailed
