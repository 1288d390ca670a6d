"""Which event leads to which decision. Nothing is decided here.

Every fact that the routing table knows is told to those its rows name (`docs/rules.md`, section 9).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from contracts import billing, certificates, enrollment
from contracts.envelope import EventData
from contracts.navigator import ChildRegistered, GroupPublished, PreferencesSet
from contracts.notifications import DeliveryReported
from contracts.payers import RulesPublished
from contracts.vocabulary import (
    ChildId,
    DeliveryStatus,
    EnrollmentId,
    EventId,
    InputRefusal,
    RecipientId,
)
from rulebook.errors import RulesInvalidError
from rulebook.loading import Rulebook
from rulebook.model import Row
from rulebook.overlay import publish
from services.notifications import state, wire
from services.notifications.domain import rules, thresholds
from services.notifications.domain.facts import MessageFailed, MessageSent
from services.notifications.domain.hours import moment
from services.notifications.domain.messages import DIGEST_EVENTS_MAX, Told, digest, messages
from services.notifications.domain.occasion import Occasion
from services.notifications.domain.people import (
    USUAL,
    Child,
    Digest,
    Enrollment,
    Group,
    Preferences,
    Purse,
)
from services.notifications.domain.rules import ROUTING
from services.notifications.state import notifications
from streaming.service import Effects, Outcome, Refuse, Wait
from streaming.view import View

__all__ = ["notifications"]

NOTED: tuple[object, ...] = ()
RULES = Rulebook.load("services.notifications")

TOLD: tuple[type[EventData], ...] = (
    enrollment.ApplicationRegistered,
    enrollment.ApplicationWaitlisted,
    enrollment.ApplicationRefused,
    enrollment.PlaceHeld,
    enrollment.ChildEnrolled,
    enrollment.AgreementActivated,
    enrollment.EnrollmentCancelled,
    enrollment.EnrollmentEnded,
    enrollment.GroupChanged,
    certificates.CertificateIssued,
    certificates.CertificateQueued,
    certificates.CertificateFunded,
    certificates.CertificateRefused,
    certificates.CertificateFrozen,
    certificates.CertificateUnfrozen,
    certificates.CertificateRenewed,
    certificates.CertificateClosed,
    certificates.NominalChanged,
    billing.AccountOpened,
    billing.FundsReserved,
    billing.FundsRefused,
    billing.LessonCharged,
    billing.LessonNotCharged,
    billing.ChargeReversed,
    billing.MonthCharged,
    billing.MonthReversed,
    billing.MonthAdjusted,
    billing.ReserveReleased,
    billing.NominalApplied,
    billing.PeriodExpired,
    billing.InvoiceIssued,
    billing.InvoiceSettled,
    billing.DisputeOpened,
    billing.DisputeSettled,
)
"""Facts that someone may be told of: by the routing table, or by a payer's version of it."""


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
    became = MessageSent if event.status is DeliveryStatus.SENT else MessageFailed
    return (
        became(
            message_id=event.message_id,
            channel=event.channel,
            attempts=event.attempts,
            detail=event.detail,
        ),
    )


def _tell(event: EventData, view: View) -> Outcome:
    """Tell those whom the routing names; a fact about a child waits for its guardians."""
    occasion = wire.to_occasion(event)
    known = _enrollment(occasion, view)
    purse = _purse(event, occasion, known, view)
    words = occasion.words(were_low=known.lessons_low, purse=purse, today=view.day)
    rows = _rows(words, view)
    if not rows:
        return NOTED if event.type in notifications.learners else None
    child = None if occasion.child_id is None else view.find(Child, occasion.child_id)
    if occasion.child_id is not None and child is None:
        return Wait(state.child_key(occasion.child_id))
    at = moment(wire.to_moment(view.time), view.day)
    event_ids = (EventId(view.event_id),)
    told = Told(event_ids=event_ids, at=at, is_debit=occasion.is_debit)
    return messages(told, rows, _recipients(occasion, known, child, view))


@notifications.due(state.OVERDUE, rank=4)
def application_overdue(ref: str, view: View) -> Effects:
    """Tell who has to see to it that a provider owes an answer."""
    known = view.get(Enrollment, ref)
    if known.held_by is None or known.registered_by is None:
        return NOTED
    occasion = Occasion(word=thresholds.OVERDUE, enrollment_id=EnrollmentId(ref))
    about = f"{thresholds.OVERDUE}:{known.held_by}"
    event_ids = (known.held_by, known.registered_by)
    told = Told(event_ids=event_ids, at=moment(None, view.day), about=about)
    rows = _rows((occasion.word,), view)
    return messages(told, rows, _recipients(occasion, known, None, view))


@notifications.due(state.ENDS_SOON, rank=5)
def period_ends_soon(ref: str, view: View) -> Effects:
    """Remind a family of money that is left, some days before it ends."""
    id_, _, before = ref.rpartition("/")
    child_id = ChildId(id_.partition("/")[0])
    purse, child = view.find(Purse, id_), view.find(Child, child_id)
    if purse is None or child is None or purse.told_by is None or purse.certificate_by is None:
        return NOTED
    if purse.reminded == int(before) or not thresholds.is_reminded(
        int(before), purse.valid_until, purse.balance_kopecks, view.day
    ):
        return NOTED
    occasion = Occasion(word=thresholds.ENDS_SOON, child_id=child_id)
    told = Told(
        # The later fact speaks of the money, the earlier one of the day.
        event_ids=(purse.certificate_by, purse.told_by),
        at=moment(None, view.day),
        about=f"{thresholds.ENDS_SOON}:{view.payer}/{ref}",
    )
    rows = _rows((occasion.word,), view)
    return messages(told, rows, _recipients(occasion, Enrollment(), child, view))


@notifications.due(state.GATHERED, rank=6)
def debits_of_the_day(ref: str, view: View) -> Effects:
    """Tell a guardian of the debits of the day that is over, of all children together."""
    gathered = view.find(Digest, ref)
    if gathered is None:
        return NOTED
    about = f"digest:{gathered.event_ids[0]}"
    told = Told(event_ids=gathered.event_ids, at=moment(None, view.day), about=about)
    return digest(told, RecipientId(ref), view.find(Preferences, ref) or USUAL)


def _rows(words: Iterable[str], view: View) -> tuple[Row, ...]:
    payer_rules = RULES.for_payer(state.overlays(view, view.day))
    return rules.routing(payer_rules, view.day, words)


def _purse(event: EventData, occasion: Occasion, known: Enrollment, view: View) -> Purse | None:
    period = state.period_of(event, known)
    if period is None or occasion.child_id is None:
        return None
    return view.find(Purse, state.purse_id(occasion.child_id, period))


def _preferences(guardian_id: str, view: View) -> Preferences:
    """Return how a guardian wants to be told; a digest that is full gathers no more."""
    preferences = view.find(Preferences, guardian_id) or USUAL
    if not preferences.digest:
        return preferences
    gathered = view.find(Digest, guardian_id)
    is_full = gathered is not None and len(gathered.event_ids) >= DIGEST_EVENTS_MAX
    return replace(preferences, digest=False) if is_full else preferences


def _recipients(
    occasion: Occasion, known: Enrollment, child: Child | None, view: View
) -> Mapping[str, list[tuple[RecipientId, Preferences]]]:
    guardians = () if child is None else child.guardian_ids
    provider = _provider(occasion, known, view)
    return {
        "guardians": [
            (RecipientId(guardian), _preferences(guardian, view)) for guardian in guardians
        ],
        "provider": [] if provider is None else [(RecipientId(provider), USUAL)],
        "payer": [(RecipientId(view.payer), USUAL)],
    }


def _enrollment(occasion: Occasion, view: View) -> Enrollment:
    if occasion.enrollment_id is None:
        return Enrollment()
    return view.find(Enrollment, occasion.enrollment_id) or Enrollment()


def _provider(occasion: Occasion, known: Enrollment, view: View) -> str | None:
    """Return the provider a fact is about, if it is known here."""
    group = None if occasion.group_id is None else view.find(Group, occasion.group_id)
    of_group = None if group is None else group.provider_id
    return occasion.provider_id or known.provider_id or of_group


_NAMED = ((Child, "child_id"), (Enrollment, "enrollment_id"), (Group, "group_id"))


def _about(event: EventData) -> Iterable[tuple[type[Any], str]]:
    said = vars(event)
    return [(kind, said[name]) for kind, name in _NAMED if said.get(name) is not None]


def _of_family(event: EventData, view: View) -> Iterable[tuple[type[Any], str]]:
    said = vars(event)
    child_id: ChildId | None = said.get("child_id")
    enrollment_id: EnrollmentId | None = said.get("enrollment_id")
    child = None if child_id is None else view.find(Child, child_id)
    if child_id is None or child is None:
        return
    known = None if enrollment_id is None else view.find(Enrollment, enrollment_id)
    period = state.period_of(event, known or Enrollment())
    if period is not None:
        yield Purse, state.purse_id(child_id, period)
    for guardian_id in child.guardian_ids:
        yield Preferences, guardian_id


for _model in TOLD:
    notifications.notes(_model, prefetch=_about, prefetch_next=_of_family)(_tell)
