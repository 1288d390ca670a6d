"""Which event leads to which decision. Nothing is decided here.

What is not known yet is waited for under a key of `state.py`; what arrives about an enrollment
while an answer is outstanding waits for the answer (`docs/rules.md`, section 3).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, assert_never

import orjson

from contracts.billing import FundsRefused, FundsReserved
from contracts.commands import PlaceAnswered, PlaceRequested, PlaceReturned
from contracts.navigator import (
    ApplicationAccepted,
    ApplicationRejected,
    ApplicationSubmitted,
    ApplicationWithdrawn,
    ChildRegistered,
    EnrollmentTerminated,
    GroupPublished,
    ProviderRegistered,
)
from contracts.payers import (
    EnrollmentClosed,
    FrameAgreementSet,
    PeriodOpened,
    PolicySet,
    RulesPublished,
)
from contracts.vocabulary import (
    ApplicationRefusal,
    FrameAgreementState,
    InputRefusal,
    PayerCode,
    TerminatedBy,
)
from rulebook.errors import RulesInvalidError
from rulebook.loading import Rulebook
from rulebook.overlay import Overlays, PayerRules, publish
from services.enrollment import state, wire
from services.enrollment.domain import agreement, application, dates, places, rules, wording
from services.enrollment.domain.application import (
    Admission,
    Enrollment,
    Hindrance,
    Status,
    Waiting,
)
from services.enrollment.domain.child import Child
from services.enrollment.domain.commands import To
from services.enrollment.domain.payer import (
    Closing,
    FrameAgreement,
    containing,
    hindrance_to_closing,
)
from services.enrollment.domain.places import Group, Place, Provider
from services.enrollment.domain.terms import Terms
from services.enrollment.state import enrollment
from streaming.service import Effects, Outcome, Patience, Refuse, Send, Wait
from streaming.view import View

__all__ = ["enrollment"]

SERVED_AT_ONCE_MAX = 50
"""So many of a waiting list are served in one decision; the rest follows in further ones."""

NOTED: tuple[object, ...] = ()

# The number of days a notice reaches back is billing's to say, in a table both must read alike.
_TABLES = {
    **Rulebook.load("services.enrollment").tables,
    rules.GRACE: Rulebook.load("services.billing").table(rules.GRACE),
}
_OWN = "enrollment."
_OTHERS = frozenset(
    {
        "certificates.age",
        "certificates.category",
        "billing.charging",
        "billing.days",
        "notifications.routing",
    }
)
"""Tables that other services decide about."""


# --- the Navigator: who there is ---------------------------------------------------------------


@enrollment.decides(ProviderRegistered)
def provider_registered(event: ProviderRegistered, view: View) -> Outcome:
    """Note the provider; an active one serves those who wait."""
    del event, view
    return NOTED


@enrollment.decides(GroupPublished, prefetch=lambda event: [(Group, event.group_id)])
def group_published(event: GroupPublished, view: View) -> Outcome:
    """Publish how many places there are now."""
    group = wire.to_group(event, PayerCode(view.payer))
    known = view.find(Group, event.group_id)
    return places.publish(known, places.revised(known, group))


@enrollment.decides(ChildRegistered)
def child_registered(event: ChildRegistered, view: View) -> Outcome:
    """Note the child; applications may wait for it."""
    del event, view
    return NOTED


# --- the Navigator: applications ---------------------------------------------------------------


@enrollment.decides(ApplicationSubmitted, prefetch=lambda event: [(Child, event.child_id)])
def application_submitted(event: ApplicationSubmitted, view: View) -> Outcome:
    """Register an application and ask for a place, or refuse it."""
    child = view.find(Child, event.child_id)
    if child is None:
        refused = Refuse(InputRefusal.UNKNOWN_CHILD, wording.UNKNOWN_CHILD)
        return _wait_or(refused, state.child_key(event.child_id), view)
    return _effects(
        application.submit(
            wire.to_application(event),
            child,
            payer=PayerCode(view.payer),
            day=view.day,
            rules=_rules(view, rules.AGE),
            already_enrolled=state.has_open_enrollment(
                view, event.child_id, event.group_home, event.group_id
            ),
        )
    )


def _enrollment(event: Any) -> Iterable[tuple[type[Any], str]]:
    return [(Enrollment, event.enrollment_id)]


@enrollment.decides(ApplicationAccepted, prefetch=_enrollment)
def application_accepted(event: ApplicationAccepted, view: View) -> Outcome:
    """Enroll the child on its held place."""
    known = view.find(Enrollment, event.enrollment_id)
    if known is None:
        return _unknown(event.enrollment_id, view)
    hindrance = application.hindrance_to_accepting(known)
    return _accept(known, view) if hindrance is None else _hindered(known, hindrance)


@enrollment.decides(ApplicationRejected, prefetch=_enrollment)
def application_rejected(event: ApplicationRejected, view: View) -> Outcome:
    """Refuse an application, as the provider wants."""
    known = view.find(Enrollment, event.enrollment_id)
    if known is None:
        return _unknown(event.enrollment_id, view)
    hindrance = application.hindrance_to_giving_up(known)
    if hindrance is not None:
        return _hindered(known, hindrance)
    return _effects(application.reject(known, event.reason, TerminatedBy.PROVIDER))


@enrollment.decides(ApplicationWithdrawn, prefetch=_enrollment)
def application_withdrawn(event: ApplicationWithdrawn, view: View) -> Outcome:
    """Take an application back, as the guardian wants."""
    known = view.find(Enrollment, event.enrollment_id)
    if known is None:
        return _unknown(event.enrollment_id, view)
    hindrance = application.hindrance_to_giving_up(known)
    return (
        _effects(application.withdraw(known)) if hindrance is None else _hindered(known, hindrance)
    )


@enrollment.decides(EnrollmentTerminated, prefetch=_enrollment)
def enrollment_terminated(event: EnrollmentTerminated, view: View) -> Outcome:
    """End an agreement, or give up what is not one yet."""
    known = view.find(Enrollment, event.enrollment_id)
    if known is None:
        return _unknown(event.enrollment_id, view)
    hindrance = application.hindrance_to_terminating(known)
    if hindrance is not None:
        return _hindered(known, hindrance)
    return _effects(
        agreement.terminate(
            known,
            by=event.by,
            notice_on=event.notice_on,
            reason=event.reason,
            day=view.day,
            payer_rules=_rules(view, rules.GRACE),
        )
    )


# --- places: in the partition of the group -----------------------------------------------------


def _place(event: Any) -> Iterable[tuple[type[Any], str]]:
    id_ = state.place_id(event.group_id, event.enrollment_id)
    return [(Group, event.group_id), (Place, id_)]


@enrollment.decides(
    PlaceRequested,
    prefetch=_place,
)
def place_requested(event: PlaceRequested, view: View) -> Outcome:
    """Answer whether there is a place."""
    group = view.find(Group, event.group_id)
    if group is None and not view.given_up:
        return Wait(state.group_key(event.group_id), _parked_until(view))
    provider = None if group is None else view.find(Provider, group.terms.provider_id)
    place = view.find(Place, state.place_id(event.group_id, event.enrollment_id))
    return _effects(places.request(group, provider, place, wire.to_place_requested(event)))


@enrollment.decides(
    PlaceReturned,
    prefetch=_place,
)
def place_returned(event: PlaceReturned, view: View) -> Outcome:
    """Free a place, or a turn, and serve the first who waits."""
    place = view.find(Place, state.place_id(event.group_id, event.enrollment_id))
    if place is None:
        return NOTED
    group = view.get(Group, place.group_id)
    provider = view.find(Provider, group.terms.provider_id)
    first = next(iter(state.first_in_line(view, group, 1)), None)
    return _effects(places.give_back(group, provider, place, first))


@enrollment.due(state.SERVE, rank=6)
def serve_waiting_list(ref: str, view: View) -> Effects:
    """Give free places of a provider (`ref`) to those who wait, group by group."""
    group = state.first_group_that_owes(view, ref)
    if group is None:
        return NOTED
    line = state.first_in_line(view, group, min(group.vacant, SERVED_AT_ONCE_MAX))
    return _effects(places.serve(group, view.find(Provider, ref), line))


# --- places: in the partition of the child -----------------------------------------------------


@enrollment.decides(PlaceAnswered, prefetch=_enrollment)
def place_answered(event: PlaceAnswered, view: View) -> Outcome:
    """Hold the place for the child, or say why not, or that it waits."""
    known = view.get(Enrollment, event.enrollment_id)
    answer = wire.to_place_answered(event)
    return _effects(
        application.answered(known, answer, lambda terms: _admission(known, terms, view))
    )


@enrollment.due(state.ACCEPT, rank=2)
def accept_by_itself(ref: str, view: View) -> Effects | Patience:
    """Accept a held place that nobody has to accept, after all that waited for it.

    Who asked earlier goes first, even if the other municipality that holds that place is slower:
    certificates and money are given in this order.
    """
    earlier = view.first(state.ASKED)
    if earlier is not None and earlier < ref and view.is_patient:
        return Patience()
    return _accept(view.get(Enrollment, ref.partition("/")[2]), view)


@enrollment.due(state.HOLD, rank=4)
def hold_expired(ref: str, view: View) -> Effects:
    """Give up a place that nobody accepted in time."""
    return _effects(application.expire(view.get(Enrollment, ref)))


# --- agreements --------------------------------------------------------------------------------


@enrollment.notes(FundsReserved, prefetch=_enrollment)
def funds_reserved(event: FundsReserved, view: View) -> Outcome:
    """Bring the agreement into force."""
    known = view.find(Enrollment, event.enrollment_id)
    if known is None or known.status is not Status.ENROLLED:
        return None
    return _effects(
        agreement.activate(
            known,
            certificate_share_kopecks=event.certificate_share_kopecks,
            parent_share_kopecks=event.parent_share_kopecks,
        )
    )


@enrollment.notes(FundsRefused, prefetch=_enrollment)
def funds_refused(event: FundsRefused, view: View) -> Outcome:
    """Cancel the enrollment and give the place back."""
    known = view.find(Enrollment, event.enrollment_id)
    if known is None or known.status is not Status.ENROLLED:
        return None
    reason = ApplicationRefusal(event.reason.value)
    return _effects(agreement.cancel(known, reason, wire.to_why(event)))


@enrollment.due(state.END, rank=5)
def agreement_completed(ref: str, view: View) -> Effects:
    """End an agreement that has run its time."""
    return _effects(agreement.complete(view.get(Enrollment, ref)))


@enrollment.due(state.RETURN, rank=6)
def place_comes_back(ref: str, view: View) -> Effects:
    """Give back the place of an agreement whose last day is over."""
    return _effects((application.give_back(view.get(Enrollment, ref), Status.ENDED.value),))


# --- payers ------------------------------------------------------------------------------------


@enrollment.decides(PeriodOpened)
def period_opened(event: PeriodOpened, view: View) -> Outcome:
    """Note the period."""
    del event, view
    return NOTED


@enrollment.decides(EnrollmentClosed)
def enrollment_closed(event: EnrollmentClosed, view: View) -> Outcome:
    """Note from when on no places are held, if families are told early enough."""
    refusal = hindrance_to_closing(event.closes_on, view.day)
    if refusal is None:
        return NOTED
    return Refuse(refusal, wording.closed_too_late(event.closes_on, view.day))


@enrollment.decides(FrameAgreementSet)
def frame_agreement_set(event: FrameAgreementSet, view: View) -> Outcome:
    """Note how payer and provider stand."""
    del event, view
    return NOTED


@enrollment.decides(PolicySet)
def policy_set(event: PolicySet, view: View) -> Outcome:
    """Note the policy: billing and certificates go by it, here it changes nothing."""
    del event, view
    return NOTED


@enrollment.decides(RulesPublished, when=lambda event: event.table not in _OTHERS)
def rules_published(event: RulesPublished, view: View) -> Outcome:
    """Check what a payer publishes for one of our tables; unknown tables are refused here."""
    del view
    publication = wire.to_publication(event)
    if event.table == rules.GRACE:
        # Whether it is valid is billing's to say; until it is used nothing hangs on it.
        fits = len(orjson.dumps(publication.data)) <= state.PUBLICATION_BYTES_MAX
        return NOTED if fits else None
    if event.table in _OTHERS:
        return None
    table = _TABLES.get(event.table)
    if table is None:
        known = ", ".join(sorted(_TABLES.keys() | _OTHERS))
        return Refuse(InputRefusal.RULES_INVALID, wording.no_such_table(event.table, known))
    try:
        publish(table, publication.data)
    except RulesInvalidError as error:
        return Refuse(InputRefusal.RULES_INVALID, error.russian)
    return NOTED


# --- what handlers share -----------------------------------------------------------------------


def _accept(known: Enrollment, view: View) -> Sequence[object]:
    assert known.terms is not None
    return _effects(application.accept(known, _admission(known, known.terms, view)))


def _admission(known: Enrollment, terms: Terms, view: View) -> Admission:
    starts_on = dates.first_day(terms, view.day)
    period = containing(state.periods_begun(view, starts_on), starts_on)
    closing = frame = None
    if period is not None:
        closing = view.find(Closing, period.period)
        frame = view.find(
            FrameAgreement, state.frame_agreement_id(terms.provider_id, period.period)
        )
    return Admission(
        day=view.day,
        rules=_rules(view, rules.AGE, rules.REGISTRY, rules.DAYS),
        child=view.get(Child, known.child_id),
        period=period,
        closes_on=None if closing is None else closing.closes_on,
        frame_signed=frame is not None and frame.state is FrameAgreementState.SIGNED,
    )


def _unknown(enrollment_id: str, view: View) -> Outcome:
    refused = Refuse(InputRefusal.UNKNOWN_ENROLLMENT, wording.UNKNOWN_ENROLLMENT)
    return _wait_or(refused, state.enrollment_key(enrollment_id), view)


def _wait_or(refused: Refuse, key: str, view: View) -> Outcome:
    return refused if view.given_up else Wait(key, _parked_until(view))


def _parked_until(view: View) -> date:
    return rules.parked_until(_rules(view, rules.DAYS), view.first_day)


def _hindered(known: Enrollment, hindrance: Hindrance) -> Outcome:
    match hindrance:
        case Waiting.ANSWER:
            return Wait(state.answer_key(known.enrollment_id))
        case Waiting.PLACE:
            return Wait(state.place_key(known.enrollment_id))
        case InputRefusal():
            return Refuse(hindrance, wording.REFUSED_STEPS[hindrance])
        case _:
            assert_never(hindrance)


def _rules(view: View, *tables: str) -> PayerRules:
    """Return the tables with the payer's own versions that hold on the business day."""
    held = (_publication_in_force(view, table) for table in tables)
    return PayerRules(_TABLES, Overlays(tuple(data for data in held if data is not None)))


def _publication_in_force(view: View, table: str) -> Mapping[str, object] | None:
    for publication in reversed(state.publications(view, table, view.day)):
        # Only billing's table is kept unchecked: what billing refused does not hold here either.
        if table != rules.GRACE or _is_valid(table, publication.data):
            return publication.data
    return None


def _is_valid(table: str, data: Mapping[str, object]) -> bool:
    try:
        publish(_TABLES[table], data)
    except RulesInvalidError:
        return False
    return True


def _effects(decided: Iterable[object]) -> tuple[object, ...]:
    return tuple(
        Send(effect.payer, effect.command) if isinstance(effect, To) else effect
        for effect in decided
    )
