"""Which messages follow from a fact. `docs/rules.md`, section 9.

Exactly one for each fact, person and channel (and template, where one fact is told of twice).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from contracts.vocabulary import Channel, EventId, MessageId, RecipientId
from rulebook.evaluate import Decision
from services.notifications.domain.facts import Fact, MessageDue, MessageSuppressed
from services.notifications.domain.people import Preferences

ROUTING = "notifications.routing"
TEMPLATE_VERSION = 1
LESSONS_LEFT_LOW = 3
"""So many paid lessons left, or fewer, are worth a word."""

UNWANTED = "unwanted"
"""Reason of a suppression: the guardian wants no message of this category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A fact that is told: its id and its time."""

    event_id: EventId
    at: datetime


def messages(
    told: Told,
    routing: Decision,
    recipients: Mapping[str, Iterable[tuple[RecipientId, Preferences]]],
) -> tuple[Fact, ...]:
    """Return what follows for all rows of the routing; `recipients` are by the row's word."""
    facts: list[Fact] = []
    for row in routing.hits:
        category, template = str(row.then["category"]), str(row.then["template"])
        for recipient_id, preferences in recipients.get(str(row.then["recipient"]), ()):
            channels = preferences.channels_for(category)
            not_before = preferences.not_before(told.at, urgent=row.then["urgent"] is True)
            facts.extend(
                MessageDue(
                    message_id=message_id(told.event_id, template, recipient_id, channel),
                    recipient_id=recipient_id,
                    channel=channel,
                    category=category,
                    template=template,
                    template_version=TEMPLATE_VERSION,
                    not_before=not_before.isoformat(),
                    event_ids=(told.event_id,),
                )
                for channel in channels
            )
            if not channels:
                facts.append(
                    MessageSuppressed(
                        recipient_id=recipient_id,
                        category=category,
                        reason=UNWANTED,
                        event_ids=(told.event_id,),
                    )
                )
    return tuple(facts)


def message_id(
    event_id: EventId, template: str, recipient_id: RecipientId, channel: Channel
) -> MessageId:
    """Return the id of a message: the same whenever it is decided again."""
    text = f"{event_id}|{template}|{recipient_id}|{channel}"
    return MessageId(f"msg-{sha256(text.encode()).hexdigest()[:32]}")


def is_low(lessons_left: int) -> bool:
    """Return whether so few paid lessons are left that the family should know."""
    return lessons_left <= LESSONS_LEFT_LOW
