"""Which messages follow from a fact: one for each fact, person and channel.

`docs/rules.md`, section 9, and `docs/promises.md`, I19.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from contracts.vocabulary import Channel, EventId, MessageId, RecipientId
from rulebook.model import Row
from services.notifications.domain.facts import Fact, MessageDue, MessageSuppressed
from services.notifications.domain.people import Preferences

TEMPLATE_VERSION = 2
"""Raised when a text of `templates/` says something else than before."""

UNWANTED = "unwanted"
"""Reason of a suppression: the guardian wants no message of this category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A fact that is told: its id, and when."""

    event_id: EventId
    at: datetime


def messages(
    told: Told,
    rows: Iterable[Row],
    recipients: Mapping[str, Iterable[tuple[RecipientId, Preferences]]],
) -> tuple[Fact, ...]:
    """Return what follows from the rows of the routing; `recipients` are by the row's word.

    Where two rows reach one person by one channel the first of them speaks.
    """
    due: dict[tuple[RecipientId, Channel], Fact] = {}
    suppressed: dict[tuple[RecipientId, str], Fact] = {}
    for row in rows:
        category = str(row.then["category"])
        for recipient_id, preferences in recipients[str(row.then["recipient"])]:
            channels = preferences.channels_for(category)
            for channel in channels:
                due.setdefault(
                    (recipient_id, channel), _due(told, row, recipient_id, preferences, channel)
                )
            if not channels:
                suppressed.setdefault(
                    (recipient_id, category),
                    MessageSuppressed(
                        recipient_id=recipient_id,
                        category=category,
                        reason=UNWANTED,
                        event_ids=(told.event_id,),
                    ),
                )
    return (*due.values(), *suppressed.values())


def _due(
    told: Told, row: Row, recipient_id: RecipientId, preferences: Preferences, channel: Channel
) -> MessageDue:
    not_before = preferences.not_before(told.at, urgent=row.then["urgent"] is True)
    return MessageDue(
        message_id=message_id(told.event_id, recipient_id, channel),
        recipient_id=recipient_id,
        channel=channel,
        category=str(row.then["category"]),
        template=str(row.then["template"]),
        template_version=TEMPLATE_VERSION,
        not_before=not_before.isoformat(),
        event_ids=(told.event_id,),
    )


def message_id(event_id: EventId, recipient_id: RecipientId, channel: Channel) -> MessageId:
    """Return the id of a message: the same whenever it is decided again."""
    text = f"{event_id}|{recipient_id}|{channel}"
    return MessageId(f"msg-{sha256(text.encode()).hexdigest()[:32]}")
