"""What notifications keeps, and what its inputs and facts change in it. Nothing is decided here.

Index (of a payer): `rules`, publications of the routing table, the latest first.
"""

from datetime import date
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from contracts import billing
from contracts.billing import ChargeReversed, LessonCharged
from contracts.calendar import DayOpened
from contracts.certificates import CertificateIssued, CertificateRenewed
from contracts.enrollment import (
    AgreementActivated,
    ApplicationRefused,
    ApplicationRegistered,
    ChildEnrolled,
    PlaceHeld,
)
from contracts.envelope import EventData
from contracts.navigator import ChildRegistered, GroupPublished, PreferencesSet
from contracts.payers import RulesPublished
from contracts.vocabulary import ChildId, EventId, PeriodId, ProviderId
from rulebook.overlay import NO_OVERLAYS, Overlays
from services.notifications import wire
from services.notifications.domain import thresholds
from services.notifications.domain.facts import MessageDue, MessageSuppressed
from services.notifications.domain.hours import A_DAY
from services.notifications.domain.messages import DEBIT, IN_DIGEST
from services.notifications.domain.occasion import is_low
from services.notifications.domain.people import (
    NOTHING,
    About,
    Child,
    Digest,
    Enrollment,
    Group,
    Preferences,
    Purse,
)
from services.notifications.domain.rules import Publication
from services.notifications.domain.texts import DIGEST
from streaming.service import Service
from streaming.view import State, View

STATE_VERSION = 5
EVENTS_OF_DAYS = 2
"""Of so many facts tells what is told because of a day; of one what is told because of that."""
RULES = "rules"
OVERDUE, ENDS_SOON, GATHERED = "overdue", "ends-soon", "gathered"
"""Due work: `<enrollment>`, `<child>/<period>/<days before>`, `<guardian>`."""


KINDS: MappingProxyType[str, type[Any]] = MappingProxyType(
    {
        "child": Child,
        "group": Group,
        "enrollment": Enrollment,
        "preferences": Preferences,
        "purse": Purse,
        "digest": Digest,
        "about": About,
        "publication": Publication,
    }
)

notifications = Service(
    name="notifications",
    state_version=STATE_VERSION,
    kinds=KINDS,
    facts=wire.FACTS,
    calendar=DayOpened,
    opened_day=wire.opened_day,
)


def child_key(child_id: str) -> str:
    """Return the key under which facts wait for a child's guardians."""
    return f"child:{child_id}"


def overlays(view: View, day: date) -> Overlays:
    """Return what the payer published for the routing and what holds on the day, if anything."""
    member = view.first(RULES, _backwards(day))
    if member is None:
        return NO_OVERLAYS
    return Overlays.from_data((view.get(Publication, member).data,))


def _backwards(day: date) -> str:
    # Index members are read upwards: the latest day comes first.
    return f"{date.max.toordinal() - day.toordinal():07d}"


@notifications.learns(ChildRegistered)
def learn_child(event: ChildRegistered, state: State) -> None:
    """Keep who acts for a child."""
    state.put(event.child_id, Child(guardian_ids=event.guardian_ids))
    state.wake(child_key(event.child_id))


@notifications.learns(GroupPublished)
def learn_group(event: GroupPublished, state: State) -> None:
    """Keep whose group it is."""
    state.put(event.group_id, Group(provider_id=event.provider_id))


@notifications.learns(PreferencesSet)
def learn_preferences(event: PreferencesSet, state: State) -> None:
    """Keep how a guardian wants to be told."""
    state.put(event.guardian_id, wire.to_preferences(event))


@notifications.learns(RulesPublished)
def learn_rules(event: RulesPublished, state: State) -> None:
    """Keep a payer's rows."""
    member = f"{_backwards(event.from_)}/{_backwards(event.published)}"
    state.put(member, Publication(data=event.to_data()))
    state.add(RULES, member)


def _keep_provider(state: State, enrollment_id: str, provider_id: ProviderId | None) -> None:
    known = state.find(Enrollment, enrollment_id) or Enrollment()
    if provider_id is not None and known.provider_id != provider_id:
        state.put(enrollment_id, replace(known, provider_id=provider_id))


@notifications.learns(ApplicationRegistered)
def learn_registered(event: ApplicationRegistered, state: State) -> None:
    """Keep the application; its provider too, where the group is of the same municipality."""
    group = state.find(Group, event.group_id)
    _keep_provider(state, event.enrollment_id, None if group is None else group.provider_id)
    known = state.find(Enrollment, event.enrollment_id) or Enrollment()
    state.put(event.enrollment_id, replace(known, registered_by=EventId(state.event_id)))


@notifications.learns(PlaceHeld)
def learn_held(event: PlaceHeld, state: State) -> None:
    """Keep the provider of the place, and that an answer is owed."""
    _keep_provider(state, event.enrollment_id, event.terms.provider_id)
    if event.terms.auto_accept:
        return
    known = state.find(Enrollment, event.enrollment_id) or Enrollment()
    overdue_on, held_by = thresholds.answer_overdue_on(state.day), EventId(state.event_id)
    state.put(event.enrollment_id, replace(known, held_by=held_by, overdue_on=overdue_on))
    state.put(held_by, About(id=event.enrollment_id))
    state.due_on(OVERDUE, overdue_on, event.enrollment_id)


def _answered(state: State, enrollment_id: str) -> Enrollment:
    """Nothing is owed any more. Return the enrollment, changed in the state already."""
    known = state.find(Enrollment, enrollment_id) or Enrollment()
    if known.overdue_on is None or known.held_by is None:
        return known
    state.remove(About, known.held_by)
    state.not_due(OVERDUE, known.overdue_on, enrollment_id)
    answered = replace(known, held_by=None, overdue_on=None)
    state.put(enrollment_id, answered)
    return answered


@notifications.learns(ChildEnrolled)
def learn_enrolled(event: ChildEnrolled, state: State) -> None:
    """The provider has answered; keep whose money pays."""
    known = _answered(state, event.enrollment_id)
    state.put(
        event.enrollment_id,
        replace(known, provider_id=event.terms.provider_id, period=event.period),
    )


@notifications.learns(ApplicationRefused)
def learn_refused(event: ApplicationRefused, state: State) -> None:
    """No answer is owed any more."""
    _answered(state, event.enrollment_id)


@notifications.learns(AgreementActivated)
def learn_activated(event: AgreementActivated, state: State) -> None:
    """Keep the provider of the agreement."""
    _keep_provider(state, event.enrollment_id, event.provider_id)


def _keep_lessons(state: State, enrollment_id: str, lessons_left: int) -> None:
    known = state.find(Enrollment, enrollment_id) or Enrollment()
    if known.lessons_low != is_low(lessons_left):
        state.put(enrollment_id, replace(known, lessons_low=is_low(lessons_left)))


@notifications.learns(LessonCharged)
def learn_charged(event: LessonCharged, state: State) -> None:
    """Keep whether the family was told that lessons run out."""
    _keep_lessons(state, event.enrollment_id, event.lessons_left)
    _keep_purse(event, state)


@notifications.learns(ChargeReversed)
def learn_reversed(event: ChargeReversed, state: State) -> None:
    """A lesson more may be worth a word again later."""
    _keep_lessons(state, event.enrollment_id, event.lessons_left)
    _keep_purse(event, state)


# --- money ---------------------------------------------------------------------------------------


def purse_id(child_id: ChildId, period: PeriodId) -> str:
    """Return the id of a child's money in a period."""
    return f"{child_id}/{period}"


def period_of(event: EventData, known: Enrollment) -> PeriodId | None:
    """Return whose money a fact is about: of the period it names, or of its enrollment."""
    period: PeriodId | None = vars(event).get("period")
    return period or known.period


def _keep_purse(event: EventData, state: State) -> None:
    occasion = wire.to_occasion(event)
    enrollment_id = occasion.enrollment_id
    known = (enrollment_id and state.find(Enrollment, enrollment_id)) or Enrollment()
    period = period_of(event, known)
    if period is None or occasion.child_id is None or occasion.balance_kopecks is None:
        return
    id_ = purse_id(occasion.child_id, period)
    purse = state.find(Purse, id_) or Purse()
    state.put(
        id_,
        replace(
            purse,
            nominal_kopecks=occasion.nominal_kopecks or NOTHING,
            balance_kopecks=occasion.balance_kopecks,
            price_kopecks=occasion.price_kopecks or purse.price_kopecks,
            told_by=EventId(state.event_id),
        ),
    )


for _model in (
    billing.AccountOpened,
    billing.FundsReserved,
    billing.MonthCharged,
    billing.MonthReversed,
    billing.MonthAdjusted,
    billing.ReserveReleased,
    billing.NominalApplied,
):
    notifications.learns(_model)(_keep_purse)


def _keep_end(event: CertificateIssued | CertificateRenewed, state: State) -> None:
    """Keep until when the money is there, and look shortly before whether some is left."""
    id_ = purse_id(event.child_id, event.period)
    purse = state.find(Purse, id_) or Purse()
    certificate_by = EventId(state.event_id)
    state.put(id_, replace(purse, valid_until=event.valid_until, certificate_by=certificate_by))
    state.put(certificate_by, About(id=id_))
    for day, before in thresholds.reminders(event.valid_until, state.day):
        state.due_on(ENDS_SOON, day, f"{id_}/{before}")


notifications.learns(CertificateIssued)(_keep_end)
notifications.learns(CertificateRenewed)(_keep_end)


# --- what was told -------------------------------------------------------------------------------


@notifications.evolves(MessageSuppressed)
def evolve_suppressed(fact: MessageSuppressed, state: State) -> None:
    """Gather what goes into the digest; nobody wants what else is suppressed."""
    if fact.reason != IN_DIGEST:
        _told(fact, state)
        return
    known = state.find(Digest, fact.recipient_id)
    before = () if known is None else known.event_ids
    state.put(fact.recipient_id, Digest(event_ids=(*before, *fact.event_ids)))
    if known is None:
        state.due_on(GATHERED, state.day + A_DAY, fact.recipient_id)


@notifications.evolves(MessageDue)
def evolve_due(fact: MessageDue, state: State) -> None:
    """What was to be told because of a day is told."""
    _told(fact, state)


def _told(fact: MessageDue | MessageSuppressed, state: State) -> None:
    """Settle the due work that a message is about; most messages are about none."""
    is_digest = isinstance(fact, MessageDue) and fact.template == DIGEST
    # Who wants no debits any more gets none told together either. Of what other categories say
    # nothing follows for the debits, even if it is of the same facts: a payer may route them so.
    if is_digest or (isinstance(fact, MessageSuppressed) and fact.category == DEBIT):
        known = state.find(Digest, fact.recipient_id)
        if known is not None and known.event_ids == fact.event_ids:
            state.remove(Digest, fact.recipient_id)
            return
    # By its second channel a digest finds nothing gathered: it is about no day all the same.
    if len(fact.event_ids) == EVENTS_OF_DAYS and not is_digest:
        _told_because_of_a_day(fact.event_ids[0], state)


def _told_because_of_a_day(event_id: EventId, state: State) -> None:
    about = state.find(About, event_id)
    if about is None:
        return
    purse = state.find(Purse, about.id)
    if purse is None:
        _answered(state, about.id)
    elif purse.valid_until is not None:
        reminded = thresholds.reminder_at(purse.valid_until, state.day)
        state.put(about.id, replace(purse, reminded=reminded))
