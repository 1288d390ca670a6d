"""Which messages follow from a fact: one for each fact, person and channel.

`docs/rules.md`, section 9, and `docs/promises.md`, I19.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256

from msgspec import Struct

from contracts.vocabulary import Channel, EventId, MessageId, RecipientId
from rulebook.model import Row
from services.notifications.domain.facts import Fact, MessageDue, MessageSuppressed
from services.notifications.domain.people import Preferences
from services.notifications.domain.texts import DIGEST

TEMPLATE_VERSION = 5
"""Raised when a text of `templates/` says something else than before."""

UNWANTED = "unwanted"
"""Reason of a suppression: the guardian wants no message of this category."""
IN_DIGEST = "in_digest"
"""Reason of a suppression: the guardian is told of it in the digest of the day."""

DEBIT = "debit"
"""The category that a digest gathers."""
DIGEST_EVENTS_MAX = 400
"""So many facts a digest gathers; what comes after them on that day is told at once."""


class Told(Struct, frozen=True, kw_only=True):
    """What is told: its facts, and when. `about` names it where that is not its one fact.

    `is_debit`: a digest may gather it.
    """

    event_ids: tuple[EventId, ...]
    at: datetime
    about: str = ""
    is_debit: bool = False

    @property
    def name(self) -> str:
        """Return what tells it from everything else that is told."""
        return self.about or self.event_ids[0]


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
    gathered: set[tuple[RecipientId, Channel]] = set()
    for row in rows:
        category, urgent = str(row.then["category"]), row.then["urgent"] is True
        for recipient_id, preferences in recipients[str(row.then["recipient"])]:
            for channel in preferences.channels_for(category):
                place = (recipient_id, channel)
                if place in due or place in gathered:
                    continue
                if _is_gathered(told, preferences, category, channel) and not urgent:
                    gathered.add(place)
                    suppressed[recipient_id, IN_DIGEST] = _suppressed(
                        told, recipient_id, category, IN_DIGEST
                    )
                else:
                    due[place] = _due(told, row, recipient_id, preferences, channel)
            if not preferences.channels_for(category):
                suppressed.setdefault(
                    (recipient_id, category), _suppressed(told, recipient_id, category, UNWANTED)
                )
    return (*due.values(), *suppressed.values())


def digest(
    told: Told, recipient_id: RecipientId, preferences: Preferences
) -> tuple[MessageDue | MessageSuppressed, ...]:
    """Return the messages that tell a guardian of the debits of a day."""
    channels = [c for c in preferences.channels_for(DEBIT) if c is not Channel.CABINET]
    if not channels:
        return (_suppressed(told, recipient_id, DEBIT, UNWANTED),)
    return tuple(
        MessageDue(
            message_id=message_id(told.name, recipient_id, channel),
            recipient_id=recipient_id,
            channel=channel,
            category=DEBIT,
            template=DIGEST,
            template_version=TEMPLATE_VERSION,
            not_before=preferences.not_before(told.at, urgent=False).isoformat(),
            event_ids=told.event_ids,
        )
        for channel in channels
    )


def _is_gathered(told: Told, preferences: Preferences, category: str, channel: Channel) -> bool:
    wants_one = preferences.digest and channel is not Channel.CABINET
    return wants_one and told.is_debit and category == DEBIT


def _suppressed(
    told: Told, recipient_id: RecipientId, category: str, reason: str
) -> MessageSuppressed:
    return MessageSuppressed(
        recipient_id=recipient_id, category=category, reason=reason, event_ids=told.event_ids
    )


def _due(
    told: Told, row: Row, recipient_id: RecipientId, preferences: Preferences, channel: Channel
) -> MessageDue:
    not_before = preferences.not_before(told.at, urgent=row.then["urgent"] is True)
    return MessageDue(
        message_id=message_id(told.name, recipient_id, channel),
        recipient_id=recipient_id,
        channel=channel,
        category=str(row.then["category"]),
        template=str(row.then["template"]),
        template_version=TEMPLATE_VERSION,
        not_before=not_before.isoformat(),
        event_ids=told.event_ids,
    )


def message_id(name: str, recipient_id: RecipientId, channel: Channel) -> MessageId:
    """Return the id of a message: the same whenever it is decided again."""
    text = f"{name}|{recipient_id}|{channel}"
    return MessageId(f"msg-{sha256(text.encode()).hexdigest()[:32]}")
