"""Who is told what, from the journal of notifications."""

from collections.abc import Sequence

from msgspec.structs import replace

from contracts.envelope import Envelope
from contracts.notifications import MessageDue, MessageFailed, MessageSent, MessageSuppressed
from contracts.vocabulary import Service
from services.cabinet.projections.models import (
    LISTED_FACTS_MAX,
    MESSAGES,
    Message,
    Told,
    member,
    numbered_backwards,
    under,
)
from services.cabinet.projections.projection import cabinet, payer_of, seq_of
from streaming.follower import Models

_BILLING = f"{Service.BILLING}:"
"""How the ids of billing's facts begin: a family sees of each whether it was told of it."""


@cabinet.of(MessageDue)
def message_due(fact: MessageDue, envelope: Envelope, models: Models) -> None:
    """Someone is to be told something."""
    models.put(
        under(payer_of(envelope), fact.message_id),
        Message(
            recipient_id=fact.recipient_id,
            channel=fact.channel.value,
            category=fact.category,
            template=fact.template,
            not_before=fact.not_before,
            at=envelope.time,
            day=envelope.businessday,
            event_ids=tuple(fact.event_ids[:LISTED_FACTS_MAX]),
            facts=len(fact.event_ids),
        ),
    )
    turn = numbered_backwards(seq_of(envelope))
    key = member(fact.recipient_id, turn, payer_of(envelope), fact.message_id)
    models.add(MESSAGES, key)
    for id_ in _told_ids(fact.recipient_id, fact.event_ids, envelope):
        known = models.find(Told, id_) or Told()
        message_ids = (*known.message_ids, fact.message_id)
        models.put(id_, replace(known, message_ids=message_ids))


@cabinet.of(MessageSuppressed)
def message_suppressed(fact: MessageSuppressed, envelope: Envelope, models: Models) -> None:
    """Someone is not told of something, or not yet."""
    for id_ in _told_ids(fact.recipient_id, fact.event_ids, envelope):
        known = models.find(Told, id_) or Told()
        models.put(id_, replace(known, untold=fact.reason))


def _told_ids(recipient_id: str, event_ids: Sequence[str], envelope: Envelope) -> list[str]:
    return [
        under(payer_of(envelope), recipient_id, event_id)
        for event_id in event_ids
        if event_id.startswith(_BILLING)
    ]


@cabinet.of(MessageSent)
def message_sent(fact: MessageSent, envelope: Envelope, models: Models) -> None:
    """The message left by its channel."""
    _became(fact.message_id, "sent", envelope, models)


@cabinet.of(MessageFailed)
def message_failed(fact: MessageFailed, envelope: Envelope, models: Models) -> None:
    """The message could not be delivered."""
    _became(fact.message_id, "failed", envelope, models)


def _became(message_id: str, state: str, envelope: Envelope, models: Models) -> None:
    id_ = under(payer_of(envelope), message_id)
    known = models.find(Message, id_)
    if known is not None:
        models.put(id_, replace(known, state=state, became_at=envelope.time))
