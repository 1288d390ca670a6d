"""Which event leads to which decision. Nothing is decided here.

Every fact that the routing table knows is told to those its rows name (`docs/rules.md`, section 9).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts import billing, certificates, enrollment
from contracts.envelope import EventData
from contracts.navigator import ChildRegistered, GroupPublished, PreferencesSet
from contracts.notifications import DeliveryReported
from contracts.payers import RulesPublished
from contracts.vocabulary import DeliveryStatus, EventId, InputRefusal, RecipientId
from rulebook.errors import RulesInvalidError
from rulebook.loading import Rulebook
from rulebook.overlay import publish
from services.notifications import state, wire
from services.notifications.domain import messages
from services.notifications.domain.facts import Fact, MessageFailed, MessageSent
from services.notifications.domain.messages import ROUTING, Told
from services.notifications.domain.people import USUAL, Child, Enrollment, Group, Preferences
from services.notifications.state import notifications
from streaming.service import Outcome, Refuse, Wait
from streaming.view import View

__all__ = ["notifications"]

NOTED: tuple[object, ...] = ()
RULES = Rulebook.load("services.notifications")

TOLD: tuple[type[EventData], ...] = (
    enrollment.ApplicationRegistered,
    enrollment.ApplicationWaitlisted,
    enrollment.ApplicationRefused,
    enrollment.PlaceHeld,
    enrollment.AgreementActivated,
    enrollment.EnrollmentCancelled,
    enrollment.EnrollmentEnded,
    certificates.CertificateIssued,
    certificates.CertificateQueued,
    certificates.CertificateFunded,
    certificates.CertificateRefused,
    certificates.CertificateFrozen,
    certificates.CertificateUnfrozen,
    certificates.CertificateRenewed,
    certificates.CertificateClosed,
    certificates.NominalChanged,
    billing.FundsReserved,
    billing.LessonCharged,
    billing.ChargeReversed,
    billing.MonthCharged,
    billing.MonthReversed,
    billing.MonthAdjusted,
    billing.InvoiceIssued,
    billing.InvoiceSettled,
)
"""Facts that someone may be told of, by the routing table or a payer's version of it."""


@notifications.notes(ChildRegistered)
def child_registered(event: ChildRegistered, view: View) -> Outcome:
    """Note who acts for a child."""
    del event, view
    return NOTED


@notifications.notes(GroupPublished)
def group_published(event: GroupPublished, view: View) -> Outcome:
    """Note whose group it is."""
    del event, view
    return NOTED


@notifications.decides(PreferencesSet)
def preferences_set(event: PreferencesSet, view: View) -> Outcome:
    """Keep how a guardian wants to be told."""
    del event, view
    return NOTED


@notifications.decides(RulesPublished, when=lambda event: event.table == ROUTING)
def rules_published(event: RulesPublished, view: View) -> Outcome:
    """Take a payer's routing if it is whole."""
    del view
    if event.table != ROUTING:
        return None
    try:
        publish(RULES.table(ROUTING), event.to_data())
    except RulesInvalidError as error:
        return Refuse(InputRefusal.RULES_INVALID, error.russian)
    return NOTED


@notifications.decides(DeliveryReported)
def delivery_reported(event: DeliveryReported, view: View) -> Outcome:
    """Put on the record what became of a message."""
    del view
    fact = MessageSent if event.status is DeliveryStatus.SENT else MessageFailed
    return (
        fact(
            message_id=event.message_id,
            channel=event.channel,
            attempts=event.attempts,
            detail=event.detail,
        ),
    )


def _tell(event: EventData, view: View) -> Outcome:
    """Tell those whom the routing names."""
    child_id = getattr(event, "child_id", None)
    child = None if child_id is None else view.find(Child, child_id)
    if child_id is not None and child is None:
        return Wait(state.child_key(child_id))
    recipients = _recipients(event, child, view)
    told = Told(event_id=EventId(view.event_id), at=datetime.fromisoformat(view.time))
    facts: list[Fact] = []
    for word in _words(event, view):
        routing = RULES.for_payer(state.overlays(view, view.day)).decide(
            ROUTING, max(view.day, RULES.table(ROUTING).versions[0].valid_from), {"event": word}
        )
        facts += messages.messages(told, routing, recipients)
    return tuple(facts)


def _words(event: EventData, view: View) -> tuple[str, ...]:
    """Return what is told: the fact itself, and that lessons run out, once."""
    word = wire.word_of(event)
    if isinstance(event, billing.LessonCharged) and messages.is_low(event.lessons_left):
        known = view.find(Enrollment, event.enrollment_id)
        if known is None or not known.lessons_low:
            return word, "billing.lessons-left-low"
    return (word,)


def _recipients(
    event: EventData, child: Child | None, view: View
) -> Mapping[str, list[tuple[RecipientId, Preferences]]]:
    guardians = () if child is None else child.guardian_ids
    provider = _provider(event, view)
    return {
        "guardians": [
            (RecipientId(guardian), view.find(Preferences, guardian) or USUAL)
            for guardian in guardians
        ],
        "provider": [] if provider is None else [(RecipientId(provider), USUAL)],
        "payer": [(RecipientId(view.payer), USUAL)],
    }


def _provider(event: Any, view: View) -> str | None:
    """Return the provider a fact is about, if it is known here."""
    provider: str | None = getattr(event, "provider_id", None)
    if provider is not None:
        return provider
    if isinstance(event, enrollment.PlaceHeld):
        return event.terms.provider_id
    if isinstance(event, enrollment.ApplicationRegistered):
        group = view.find(Group, event.group_id)
        return None if group is None else group.provider_id
    enrollment_id = getattr(event, "enrollment_id", None)
    known = None if enrollment_id is None else view.find(Enrollment, enrollment_id)
    return None if known is None else known.provider_id


for _model in TOLD:
    notifications.notes(_model)(_tell)
