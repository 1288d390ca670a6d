"""What can happen to a message. Names and order of fields are those of the contracts."""

from typing import TypeAlias

from msgspec import Struct

from contracts.vocabulary import Channel, EventId, MessageId, RecipientId


class MessageDue(Struct, frozen=True, kw_only=True):
    """Someone is to be told something by one channel, not before a time (RFC 3339)."""

    message_id: MessageId
    recipient_id: RecipientId
    channel: Channel
    category: str
    template: str
    template_version: int
    not_before: str
    event_ids: tuple[EventId, ...]


class MessageSuppressed(Struct, frozen=True, kw_only=True):
    """Someone is not told, and why."""

    recipient_id: RecipientId
    category: str
    reason: str
    event_ids: tuple[EventId, ...]


class MessageSent(Struct, frozen=True, kw_only=True):
    """A message left by its channel."""

    message_id: MessageId
    channel: Channel
    attempts: int
    detail: str | None = None


class MessageFailed(Struct, frozen=True, kw_only=True):
    """A message could not be delivered."""

    message_id: MessageId
    channel: Channel
    attempts: int
    detail: str | None = None


Fact: TypeAlias = MessageDue | MessageSuppressed | MessageSent | MessageFailed
