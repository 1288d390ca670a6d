"""Events notifications publishes on `notifications.events.v1`, and what senders report to it.

Keyed by the payer whose fact is told. `docs/events.md`, section 4.
"""

from typing import ClassVar

from pydantic import Field

from contracts.envelope import EventData
from contracts.fields import (
    Channel,
    DeliveryStatus,
    EventId,
    Many,
    MessageId,
    Position,
    RecipientId,
    Text,
    Timestamp,
    Word,
)
from contracts.published import PublishedFact

EVENT_IDS_MAX = 500
"""How many facts one message may tell of; a digest gathers a day."""


class MessageDue(PublishedFact):
    """Someone is to be told something by one channel."""

    type: ClassVar[str] = "notifications.message-due.v1"
    subject_field: ClassVar[str] = "message_id"

    message_id: MessageId = Field(description="One per fact, person and channel")
    recipient_id: RecipientId = Field(description="A guardian, a provider or a payer")
    channel: Channel
    category: Word
    template: Word
    template_version: Position
    not_before: Timestamp = Field(description="Quiet hours delay what is not urgent")
    event_ids: Many[EventId] = Field(
        min_length=1, max_length=EVENT_IDS_MAX, description="The facts the message tells of"
    )


class MessageSuppressed(PublishedFact):
    """Someone is not told, and why."""

    type: ClassVar[str] = "notifications.message-suppressed.v1"
    subject_field: ClassVar[str] = "recipient_id"

    recipient_id: RecipientId
    category: Word
    reason: Word
    event_ids: Many[EventId] = Field(min_length=1, max_length=EVENT_IDS_MAX)


class _Delivery(PublishedFact):
    subject_field: ClassVar[str] = "message_id"

    message_id: MessageId
    channel: Channel
    attempts: Position
    detail: Text | None = None


class MessageSent(_Delivery):
    """A message left by its channel."""

    type: ClassVar[str] = "notifications.message-sent.v1"


class MessageFailed(_Delivery):
    """A message could not be delivered."""

    type: ClassVar[str] = "notifications.message-failed.v1"


class DeliveryReported(EventData):
    """A sender reports what became of a message, on `notifications.reports.v1`."""

    type: ClassVar[str] = "notifications.delivery-reported.v1"
    subject_field: ClassVar[str] = "message_id"
    natural_key: ClassVar[tuple[str, ...]] = ("message_id", "channel")
    revision_field: ClassVar[str | None] = "attempts"

    message_id: MessageId
    channel: Channel
    status: DeliveryStatus
    attempts: Position = Field(
        description="How often it was tried; a later report has a higher one"
    )
    detail: Text | None = None
