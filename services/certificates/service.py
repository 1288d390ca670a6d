"""What certificates does about each event it listens to. No decisions are made here."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from contracts.billing import NominalApplied
from contracts.enrollment import ChildEnrolled, EnrollmentCancelled, EnrollmentEnded
from contracts.navigator import CertificateRequested, ChildRegistered
from contracts.payers import (
    CategorySet,
    CertificateFreezeSet,
    PeriodOpened,
    PolicySet,
    RulesPublished,
)
from contracts.vocabulary import (
    CategoryId,
    ChildId,
    InputRefusal,
    NominalCause,
    PayerCode,
    PeriodId,
)
from rulebook.errors import RulesInvalidError
from rulebook.loading import Rulebook
from rulebook.overlay import PUBLISHED_BYTES_MAX, PayerRules, publish
from services.certificates import state, wire
from services.certificates.domain import decisions, rules
from services.certificates.domain.category import Category
from services.certificates.domain.certificate import Certificate, Grant
from services.certificates.domain.child import Child
from services.certificates.domain.decisions import Answer, Case
from services.certificates.domain.number import Counter
from services.certificates.domain.period import DEFAULT_POLICY, Period, Policy, parked_until
from services.certificates.state import BIRTHDAY, QUEUE, RAISE, certificates
from streaming.service import Effects, Outcome, Refuse, Wait
from streaming.view import View

__all__ = ["certificates"]

MOVED_AT_ONCE_MAX = 100
"""So many certificates are funded or raised in one step."""

TABLES = {
    **Rulebook.load("services.certificates").tables,
    rules.DAYS: Rulebook.load("services.billing").table(rules.DAYS),
}

DETAILS = {
    InputRefusal.PERIOD_CLOSED: "Период закрыт: категории и номиналы больше не меняются.",
    InputRefusal.WOULD_EXCEED_BUDGET: (
        "Если поднять номинал всем владельцам, бюджет категории будет превышен. "
        "Увеличьте бюджет или укажите меньший номинал."
    ),
    InputRefusal.UNKNOWN_CERTIFICATE: "У ребёнка нет сертификата этого муниципалитета.",
    InputRefusal.HAS_ACTIVE_AGREEMENT: (
        "Ребёнок сейчас учится по сертификату. Сначала завершите его договоры."
    ),
}
"""What a payer is told who asked for something that cannot be."""
UNKNOWN_IN_TIME = {
    InputRefusal.UNKNOWN_CHILD: "Ребёнка этого муниципалитета с таким номером нет.",
    InputRefusal.UNKNOWN_PERIOD: "Такого периода муниципалитет не открыл.",
}
"""What a source is told when something did not become known in time."""


def _about_child_and_period(
    event: ChildEnrolled | CertificateRequested,
) -> Iterable[tuple[type[Any], str]]:
    return (
        (Child, event.child_id),
        (Certificate, event.child_id),
        (Grant, state.grant_id(event.child_id, event.period)),
        (Period, event.period),
        (Policy, event.period),
        (Counter, state.COUNTER_ID),
    )


# --- what certificates only notes --------------------------------------------------------------


@certificates.notes(
    ChildRegistered,
    prefetch=lambda event: [(Child, event.child_id), (Certificate, event.child_id)],
)
def child_registered(event: ChildRegistered, view: View) -> Outcome:
    """Know the child."""
    del event, view
    return ()


@certificates.notes(PeriodOpened)
def period_opened(event: PeriodOpened, view: View) -> Outcome:
    """Know the period."""
    del event, view
    return ()


@certificates.notes(PolicySet)
def policy_set(event: PolicySet, view: View) -> Outcome:
    """Know when certificates of a period are funded."""
    del event, view
    return ()


@certificates.notes(EnrollmentEnded)
def enrollment_ended(event: EnrollmentEnded, view: View) -> Outcome:
    """Know that an enrollment of the child is over."""
    return () if state.is_open(view, event.child_id, event.enrollment_id) else None


@certificates.notes(EnrollmentCancelled)
def enrollment_cancelled(event: EnrollmentCancelled, view: View) -> Outcome:
    """Know that an enrollment of the child came to nothing."""
    return () if state.is_open(view, event.child_id, event.enrollment_id) else None


# --- what it decides ---------------------------------------------------------------------------


@certificates.notes(ChildEnrolled, prefetch=_about_child_and_period)
def child_enrolled(event: ChildEnrolled, view: View) -> Outcome:
    """Give the child a certificate, or say why not. Enrollment knew child and period: wait."""
    child = view.find(Child, event.child_id)
    if child is None:
        return Wait(state.child_key(event.child_id))
    period = view.find(Period, event.period)
    if period is None:
        return Wait(state.period_key(event.period))
    policy = view.find(Policy, event.period) or DEFAULT_POLICY
    case = _case(view, event.child_id, child, event.period, period)
    return decisions.answer_enrollment(case, policy, event.enrollment_id)


@certificates.decides(CertificateRequested, prefetch=_about_child_and_period)
def certificate_requested(event: CertificateRequested, view: View) -> Outcome:
    """Give the child a certificate, or money or a turn to the one it has, or say why not."""
    child = view.find(Child, event.child_id)
    if child is None:
        return _wait(view, state.child_key(event.child_id), InputRefusal.UNKNOWN_CHILD)
    period = view.find(Period, event.period)
    if period is None:
        return _wait(view, state.period_key(event.period), InputRefusal.UNKNOWN_PERIOD)
    case = _case(view, event.child_id, child, event.period, period)
    return _outcome(decisions.answer_request(case))


@certificates.decides(CategorySet)
def category_set(event: CategorySet, view: View) -> Outcome:
    """Take nominal, places and budget of a category, unless a raise would exceed the budget."""
    period = view.find(Period, event.period)
    if period is None:
        return _wait(view, state.period_key(event.period), InputRefusal.UNKNOWN_PERIOD)
    limits = wire.to_limits(event)
    id_ = state.category_id(event.period, event.category)
    answer = decisions.set_category(
        period,
        state.find_category(view, event.period, event.category),
        limits,
        state.held_below(view, id_, limits.nominal_kopecks),
        day=view.day,
        grace=rules.grace(_rules(view, rules.DAYS), view.day),
    )
    return _outcome(answer)


@certificates.decides(CertificateFreezeSet)
def certificate_freeze_set(event: CertificateFreezeSet, view: View) -> Outcome:
    """Freeze a certificate, or free it."""
    answer = decisions.freeze(
        event.child_id,
        view.find(Certificate, event.child_id),
        frozen=event.frozen,
        reason=event.reason,
        has_agreement=state.has_agreement(view, event.child_id),
    )
    return _outcome(answer)


@certificates.decides(RulesPublished, when=lambda event: event.table in rules.OWN_TABLES)
def rules_published(event: RulesPublished, view: View) -> Outcome:
    """Take a payer's rows of our tables if they are whole; note billing's days.

    Whether those are whole is billing's to say: they do not hold here unless they are.
    """
    del view
    data = event.to_data()
    if event.table == rules.DAYS:
        return () if len(orjson.dumps(data)) <= PUBLISHED_BYTES_MAX else None
    if event.table not in TABLES:
        return None
    try:
        publish(TABLES[event.table], data)
    except RulesInvalidError as error:
        return Refuse(InputRefusal.RULES_INVALID, error.russian)
    return ()


@certificates.notes(NominalApplied)
def nominal_applied(event: NominalApplied, view: View) -> Outcome:
    """Follow a nominal that was corrected by hand; other causes answer facts of our own."""
    if event.cause is not NominalCause.CORRECTED:
        return None
    return decisions.follow_correction(
        event.child_id,
        view.get(Certificate, event.child_id).number,
        event.period,
        view.get(Grant, state.grant_id(event.child_id, event.period)),
        event.nominal_kopecks - event.previous_kopecks,
    )


# --- what falls due ----------------------------------------------------------------------------


@certificates.due(BIRTHDAY, rank=3)
def birthday(ref: str, view: View) -> Effects:
    """Close the certificate of a child that turned 18."""
    child_id = ChildId(ref.partition("/")[2])
    return decisions.close_grown_up(child_id, view.get(Certificate, child_id))


@certificates.due(RAISE, rank=6)
def nominals_raised(ref: str, view: View) -> Effects:
    """Raise the next nominals. Before the queue: what a raise needs is no longer vacant."""
    category = view.get(Category, ref)
    holders = state.holders_below(view, ref, category, MOVED_AT_ONCE_MAX)
    return decisions.raise_nominals(PeriodId(ref.partition("/")[0]), category, holders)


@certificates.due(QUEUE, rank=7)
def queue_moves(ref: str, view: View) -> Effects:
    """Fund the next who wait, while there is a vacancy."""
    period_id, _, category_id = ref.partition("/")
    return decisions.move_queue(
        CategoryId(category_id),
        view.get(Category, ref),
        PeriodId(period_id),
        state.waiting(view, ref, MOVED_AT_ONCE_MAX),
    )


# --- asking ------------------------------------------------------------------------------------


def _case(view: View, child_id: ChildId, child: Child, period_id: PeriodId, period: Period) -> Case:
    kind = rules.category(_rules(view, rules.CATEGORY), view.day, child)
    return Case(
        payer=PayerCode(view.payer),
        day=view.day,
        child_id=child_id,
        child=child,
        period_id=period_id,
        period=period,
        certificate=view.find(Certificate, child_id),
        grant=view.find(Grant, state.grant_id(child_id, period_id)),
        age=rules.age(_rules(view, rules.AGE), view.day, child),
        kind=kind,
        category=state.find_category(view, period_id, decisions.category_of(kind)),
        counter=view.find(Counter, state.COUNTER_ID) or Counter(),
    )


def _rules(view: View, table: str) -> PayerRules:
    return PayerRules(TABLES, state.overlays(view, table, view.day, is_whole))


def is_whole(table: str, data: Mapping[str, object]) -> bool:
    """Return whether what a payer published for a table holds."""
    if table in rules.OWN_TABLES:
        return True  # It was asked when it came.
    try:
        publish(TABLES[table], data)
    except RulesInvalidError:
        return False
    return True


def _wait(view: View, key: str, unless: InputRefusal) -> Outcome:
    if view.given_up:
        return Refuse(unless, UNKNOWN_IN_TIME[unless])
    return Wait(key, parked_until(view.first_day))


def _outcome(answer: Answer) -> Outcome:
    return Refuse(answer, DETAILS[answer]) if isinstance(answer, InputRefusal) else answer
