"""Which event leads to which decision. Nothing is decided here.

Marks wait for their reserve, enrollments for what certificates answers (`docs/rules.md`,
sections 5 to 8, 11).
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

from contracts.attendance import LessonMarked
from contracts.certificates import (
    CertificateClosed,
    CertificateFrozen,
    CertificateFunded,
    CertificateIssued,
    CertificateRefused,
    CertificateRenewed,
    CertificateUnfrozen,
    NominalChanged,
)
from contracts.disputes import DisputeAnswered, LessonDisputed
from contracts.enrollment import (
    ApplicationRefused,
    ChildEnrolled,
    EnrollmentCancelled,
    EnrollmentEnded,
)
from contracts.payers import (
    FrameAgreementSet,
    InvoicePaid,
    NominalCorrected,
    PeriodOpened,
    PolicySet,
    RulesPublished,
)
from contracts.vocabulary import (
    ChildId,
    DebitBasis,
    EnrollmentId,
    InputRefusal,
    Kopecks,
    LessonId,
    Month,
    NominalCause,
    PayerCode,
    PeriodId,
    ProviderId,
)
from rulebook.errors import RulesInvalidError
from rulebook.evaluate import Decision
from rulebook.loading import Rulebook
from rulebook.overlay import NO_OVERLAYS, Overlays, PayerRules, publish
from services.billing import state, wire
from services.billing.domain import account as accounts
from services.billing.domain import charging, ending, reserving, rules, texts
from services.billing.domain import dispute as disputes
from services.billing.domain import provider as providers
from services.billing.domain.account import (
    Account,
    Certificate,
    NoAgreement,
    NoCertificate,
    Period,
    account_id,
)
from services.billing.domain.charging import MarkLesson, NotYet
from services.billing.domain.dispute import Dispute
from services.billing.domain.ending import Standing, StandingMonth
from services.billing.domain.facts import ChargeReversed, MonthReversed
from services.billing.domain.frame import Frame, frame_id
from services.billing.domain.lesson import Lesson, lesson_id
from services.billing.domain.month import MonthBook, book_id
from services.billing.domain.months import before, first_day, following, month_of, next_first
from services.billing.domain.provider import LINES_PER_PART_MAX, Invoice, Owed, Provider
from services.billing.domain.purse import Purse
from services.billing.domain.reserve import Reserve, Status
from services.billing.domain.rules import Publication, Versions, publication_id
from services.billing.state import (
    ADJUST,
    DAY,
    END,
    EXPIRY,
    INVOICE,
    LESSONS_AT_ONCE_MAX,
    MONTH,
    RELEASE,
    Policy,
    billing,
)
from streaming.service import Effects, Later, NotToday, Outcome, Refuse, Wait, WaitForDay
from streaming.view import View

__all__ = ["billing"]

NOTED: tuple[object, ...] = ()
RULES = Rulebook.load("services.billing")
_OWN = ("billing.charging", "billing.days")


def _rules(view: View, table: str, day: date | None = None) -> PayerRules:
    """Return the rules of the payer with its own versions of a table: all, or that of a day."""
    versions = view.find(Versions, table)
    if versions is None:
        return RULES.for_payer(NO_OVERLAYS)
    known = versions.known
    if day is not None:
        latest = versions.in_force(day)
        known = () if latest is None else (latest,)
    data = [view.get(Publication, publication_id(table, *one)).data for one in known]
    return RULES.for_payer(Overlays.from_data(data))


def _days_of_the_morning(view: View) -> PayerRules:
    """Return the payer's numbers of days as they were known when the day began.

    Due work goes by them: whether it is asked once or, after an owner was lost, once more later on
    the day, it is done on the same day.
    """
    versions = view.find(Versions, rules.DAYS) or Versions()
    found = [view.get(Publication, publication_id(rules.DAYS, *one)) for one in versions.known]
    return RULES.for_payer(
        Overlays.from_data([each.data for each in found if each.noted_on < view.day])
    )


def _days(view: View, day: date) -> rules.Days:
    return rules.days(_rules(view, rules.DAYS, day), day)


def _is_closed(view: View, last_day: date) -> bool:
    """Return whether corrections are not taken any more today."""
    return rules.is_after_grace(_rules(view, rules.DAYS), last_day, view.day)


def _is_after_grace(view: View, last_day: date) -> bool:
    """Return whether what is put off until no correction is taken is to be done today."""
    return rules.is_after_grace(_days_of_the_morning(view), last_day, view.day)


# --- payers ------------------------------------------------------------------------------------


@billing.notes(PeriodOpened)
def period_opened(event: PeriodOpened, view: View) -> Outcome:
    """Note a period."""
    del event, view
    return NOTED


@billing.notes(PolicySet)
def policy_set(event: PolicySet, view: View) -> Outcome:
    """Note how agreements are charged."""
    del event, view
    return NOTED


@billing.notes(FrameAgreementSet)
def frame_agreement_set(event: FrameAgreementSet, view: View) -> Outcome:
    """Note a limit."""
    del event, view
    return NOTED


@billing.decides(RulesPublished, when=lambda event: event.table in _OWN)
def rules_published(event: RulesPublished, view: View) -> Outcome:
    """Take a payer's rows of our tables if they are whole."""
    if event.table not in _OWN:
        return None
    versions = view.find(Versions, event.table) or Versions()
    if len(versions.known) >= rules.VERSIONS_MAX:
        told = texts.refused_versions(event.table, rules.VERSIONS_MAX)
        return Refuse(InputRefusal.RULES_INVALID, told)
    try:
        publish(RULES.table(event.table), event.to_data())
    except RulesInvalidError as error:
        return Refuse(InputRefusal.RULES_INVALID, error.russian)
    return NOTED


@billing.decides(NominalCorrected)
def nominal_corrected(event: NominalCorrected, view: View) -> Outcome:
    """Set a nominal by hand, or say why not."""
    account = view.find(Account, account_id(event.child_id, event.period))
    period = view.find(Period, event.period)
    fact = accounts.correct_nominal(
        event.child_id,
        event.period,
        account,
        is_closed=period is not None and _is_closed(view, period.ends_on),
        nominal_kopecks=event.nominal_kopecks,
    )
    if not isinstance(fact, InputRefusal):
        return (fact,)
    spent = None
    if account is not None:
        spent = Kopecks(account.purse.nominal_kopecks - account.purse.balance_kopecks)
    return Refuse(fact, texts.refused_nominal(fact, event.nominal_kopecks, spent))


@billing.decides(InvoicePaid)
def invoice_paid(event: InvoicePaid, view: View) -> Outcome:
    """Settle an invoice."""
    invoice = view.find(Invoice, event.invoice_id)
    if invoice is None:
        told = texts.refused_unknown_invoice(event.invoice_id)
        return Refuse(InputRefusal.UNKNOWN_INVOICE, told)
    return (providers.settle(event.invoice_id, invoice, event.paid_on, event.payment_reference),)


# --- certificates ------------------------------------------------------------------------------


def _open(event: CertificateIssued | CertificateRenewed, view: View) -> Outcome:
    if view.find(Period, event.period) is None:
        return Wait(state.period_key(event.period))
    if view.find(Account, account_id(event.child_id, event.period)) is not None:
        return None
    return (
        accounts.open_account(
            event.child_id, event.certificate_number, event.period, event.nominal_kopecks
        ),
    )


@billing.notes(CertificateIssued)
def certificate_issued(event: CertificateIssued, view: View) -> Outcome:
    """Open the account of a certificate."""
    return _open(event, view)


@billing.notes(CertificateRenewed)
def certificate_renewed(event: CertificateRenewed, view: View) -> Outcome:
    """Open the account of a further period."""
    return _open(event, view)


@billing.notes(CertificateFunded)
def certificate_funded(event: CertificateFunded, view: View) -> Outcome:
    """Give an account its nominal."""
    account = view.find(Account, account_id(event.child_id, event.period))
    if account is None:
        return Wait(state.certificate_key(event.child_id))
    difference = event.nominal_kopecks - account.purse.nominal_kopecks
    return (
        accounts.move_nominal(
            event.child_id, event.period, account, difference, NominalCause.FUNDED
        ),
    )


@billing.notes(NominalChanged)
def nominal_changed(event: NominalChanged, view: View) -> Outcome:
    """Follow a raise; what only repeats a correction made here is noted."""
    account = view.find(Account, account_id(event.child_id, event.period))
    if account is None:
        return Wait(state.certificate_key(event.child_id))
    difference = event.nominal_kopecks - event.previous_kopecks
    if difference == 0 or difference in account.echoes:
        return NOTED
    return (
        accounts.move_nominal(
            event.child_id, event.period, account, difference, NominalCause.CHANGED
        ),
    )


@billing.notes(CertificateFrozen)
def certificate_frozen(event: CertificateFrozen, view: View) -> Outcome:
    """Note that it may not be used."""
    return _note_certificate(event.child_id, view)


@billing.notes(CertificateUnfrozen)
def certificate_unfrozen(event: CertificateUnfrozen, view: View) -> Outcome:
    """Note that it may be used again."""
    return _note_certificate(event.child_id, view)


@billing.notes(CertificateClosed)
def certificate_closed(event: CertificateClosed, view: View) -> Outcome:
    """Note that it may not be used any more."""
    return _note_certificate(event.child_id, view)


def _note_certificate(child_id: ChildId, view: View) -> Outcome:
    """A certificate that waits for its period lets what happened to it wait too."""
    if view.find(Certificate, child_id) is None:
        return Wait(state.certificate_key(child_id))
    return NOTED


@billing.notes(CertificateRefused)
def certificate_refused(event: CertificateRefused, view: View) -> Outcome:
    """Note the answer for an enrollment."""
    del view
    return None if event.enrollment_id is None else NOTED


# --- enrollment --------------------------------------------------------------------------------


@billing.notes(
    ChildEnrolled,
    prefetch=lambda event: [
        (NoAgreement, event.enrollment_id),
        (NoCertificate, event.enrollment_id),
        (Certificate, event.child_id),
        (Account, account_id(event.child_id, event.period)),
    ],
)
def child_enrolled(event: ChildEnrolled, view: View) -> Outcome:
    """Set money aside, or say why not, once certificates has answered."""
    if view.find(NoAgreement, event.enrollment_id) is not None:
        return None
    command = wire.to_reserve(event)
    no_certificate = view.find(NoCertificate, event.enrollment_id)
    if no_certificate is not None:
        return (reserving.refuse_without_certificate(command, no_certificate),)
    account = view.find(Account, account_id(event.child_id, event.period))
    if account is None:
        return Wait(state.certificate_key(event.child_id))
    policy = view.find(Policy, event.period)
    fact = reserving.decide(
        command,
        view.get(Certificate, event.child_id),
        account,
        view.find(Frame, frame_id(command.provider_id, event.period)) or Frame(),
        DebitBasis.ATTENDED_LESSONS if policy is None else policy.debit_basis,
    )
    return (fact,)


@billing.notes(ApplicationRefused)
def application_refused(event: ApplicationRefused, view: View) -> Outcome:
    """Note that there will be no marks."""
    del event, view
    return NOTED


@billing.notes(EnrollmentCancelled)
def enrollment_cancelled(event: EnrollmentCancelled, view: View) -> Outcome:
    """Give back at once what was set aside."""
    reserve = view.find(Reserve, event.enrollment_id)
    if reserve is None or reserve.status is not Status.HELD:
        return NOTED
    enrollment_id, before_it = event.enrollment_id, reserve.starts_on - DAY
    back: tuple[MonthReversed | ChargeReversed, ...]
    if reserve.is_monthly:
        months = tuple(_months_after(enrollment_id, before_it, reserve, view))
        back = ending.reverse_months(
            enrollment_id, reserve, _purse(view, reserve), before_it, months
        )
    else:
        back = _reverse_lessons(enrollment_id, reserve, before_it, view)
    for fact in back:
        reserve = reserve.moving(fact)
    purse = back[-1].purse if back else _purse(view, reserve)
    return (*_with_disputes(back, view), ending.cancel(enrollment_id, reserve, purse))


@billing.notes(EnrollmentEnded)
def enrollment_ended(event: EnrollmentEnded, view: View) -> Outcome:
    """Take back what was charged for days after the end."""
    enrollment_id, ended_on = event.enrollment_id, event.ended_on
    reserve = view.find(Reserve, enrollment_id)
    if reserve is None or reserve.status is not Status.HELD or ended_on >= reserve.last_day:
        return None
    if reserve.is_monthly:
        months = tuple(_months_after(enrollment_id, ended_on, reserve, view))
        return ending.end_months(enrollment_id, reserve, _purse(view, reserve), ended_on, months)
    return _with_disputes(_reverse_lessons(enrollment_id, reserve, ended_on, view), view)


def _reverse_lessons(
    enrollment_id: EnrollmentId, reserve: Reserve, ended_on: date, view: View
) -> tuple[ChargeReversed, ...]:
    """Take back the first charges of lessons after an end; what remains is due work."""
    members = view.members(
        state.charged_index(enrollment_id),
        state.charged_after(ended_on),
        members_max=LESSONS_AT_ONCE_MAX,
    )
    ids = [LessonId(member.partition("|")[2]) for member in members]
    standing = [
        Standing(lesson_id=id_, lesson=view.get(Lesson, lesson_id(enrollment_id, id_)))
        for id_ in ids
    ]
    return ending.reverse_lessons(enrollment_id, reserve, _purse(view, reserve), ended_on, standing)


def _months_after(
    enrollment_id: EnrollmentId, ended_on: date, reserve: Reserve, view: View
) -> Iterator[StandingMonth]:
    for month in reserve.months[: reserve.months_charged]:
        if month.opens_on > ended_on:
            book = view.get(MonthBook, book_id(enrollment_id, month.month))
            yield StandingMonth(month=month.month, book=book)


def _purse(view: View, reserve: Reserve) -> Purse:
    return view.get(Account, account_id(reserve.child_id, reserve.period)).purse


# --- attendance --------------------------------------------------------------------------------


def _of_mark(event: LessonMarked) -> Iterable[tuple[type[Any], str]]:
    return (
        (Reserve, event.enrollment_id),
        (Lesson, lesson_id(event.enrollment_id, event.lesson_id)),
        (Versions, rules.CHARGING),
    )


def _of_reserve(event: LessonMarked, view: View) -> Iterable[tuple[type[Any], str]]:
    reserve = view.find(Reserve, event.enrollment_id)
    if reserve is None:
        return ()
    account = (Account, account_id(reserve.child_id, reserve.period))
    return (account, (Provider, reserve.provider_id))


@billing.decides(LessonMarked, prefetch=_of_mark, prefetch_next=_of_reserve)
def lesson_marked(event: LessonMarked, view: View) -> Outcome:
    """Charge a lesson, or not, or take a charge back."""
    reserve = view.find(Reserve, event.enrollment_id)
    if reserve is None:
        return _without_reserve(event, view)
    command = wire.to_mark(event)
    lesson = view.find(Lesson, lesson_id(event.enrollment_id, event.lesson_id))
    book = None
    if reserve.is_monthly:
        book = view.find(MonthBook, book_id(event.enrollment_id, month_of(event.lesson_date)))
    hindrance = charging.hindrance(
        command,
        reserve,
        lesson,
        today=view.day,
        is_month_adjusted=book is not None and book.adjusted,
        may_speak=view.scope.covers_provider(reserve.provider_id),
    )
    if isinstance(hindrance, NotYet):
        return WaitForDay(hindrance.day)
    if hindrance is not None:
        told = texts.refused_mark(
            hindrance, command.lesson_date, reserve.starts_on, reserve.last_day, view.day
        )
        return Refuse(hindrance, told)
    rule = _charging(view, command)
    fact = charging.decide(command, reserve, lesson, _purse(view, reserve), rule)
    if not isinstance(fact, ChargeReversed):
        return (fact,)
    taken_back = _with_disputes((fact,), view)
    if reserve.exhausted == 0:
        return taken_back
    return (*taken_back, *_instead(event.enrollment_id, reserve.moving(fact), fact.purse, view))


def _without_reserve(event: LessonMarked, view: View) -> Outcome:
    if view.find(NoAgreement, event.enrollment_id) is not None:
        told = texts.refused_without_agreement(event.enrollment_id)
        return Refuse(InputRefusal.AGREEMENT_NOT_ACTIVE, told)
    if view.given_up:
        told = texts.refused_unknown_enrollment(event.enrollment_id)
        return Refuse(InputRefusal.UNKNOWN_ENROLLMENT, told)
    until = view.first_day + timedelta(days=_days(view, view.first_day).parking_days)
    return Wait(state.reserve_key(event.enrollment_id), until)


def _charging(view: View, command: MarkLesson) -> Decision:
    day = command.lesson_date
    return rules.charging(_rules(view, rules.CHARGING, day), day, command.mark)


def _instead(
    enrollment_id: EnrollmentId, reserve: Reserve, purse: Purse, view: View
) -> Iterator[object]:
    """The first lesson that found all paid ones used up takes the place that became free."""
    for member in _all_members(view, state.exhausted_index(enrollment_id)):
        id_ = LessonId(member.partition("|")[2])
        lesson = view.get(Lesson, lesson_id(enrollment_id, id_))
        command = charging.command_of(enrollment_id, id_, lesson)
        rule = _charging(view, command)
        if lesson.lesson_date <= reserve.last_day and rules.is_charged(rule):
            yield charging.charge(command, reserve, purse, rule, is_instead=True)
            return


# --- disputes ----------------------------------------------------------------------------------


def _of_dispute(event: LessonDisputed | DisputeAnswered) -> Iterable[tuple[type[Any], str]]:
    id_ = lesson_id(event.enrollment_id, event.lesson_id)
    return ((Reserve, event.enrollment_id), (Lesson, id_), (Dispute, id_))


@billing.decides(LessonDisputed, prefetch=_of_dispute)
def lesson_disputed(event: LessonDisputed, view: View) -> Outcome:
    """Take down that a family disputes a debit, or say why not."""
    reserve = view.find(Reserve, event.enrollment_id)
    if reserve is None:
        reason = _why_no_reserve(event.enrollment_id, view)
        return Refuse(reason, texts.refused_dispute(reason))
    lesson = view.find(Lesson, lesson_id(event.enrollment_id, event.lesson_id))
    may_speak = view.scope.covers_provider(reserve.provider_id)
    fact = disputes.open_(wire.to_dispute(event), reserve, lesson, may_speak=may_speak)
    if isinstance(fact, InputRefusal):
        return Refuse(fact, texts.refused_dispute(fact))
    return (fact,)


@billing.decides(DisputeAnswered, prefetch=_of_dispute)
def dispute_answered(event: DisputeAnswered, view: View) -> Outcome:
    """Let a disputed debit stand, or say why not."""
    reserve = view.find(Reserve, event.enrollment_id)
    if reserve is None:
        reason = _why_no_reserve(event.enrollment_id, view)
        return Refuse(reason, texts.refused_answer(reason))
    known = view.find(Dispute, lesson_id(event.enrollment_id, event.lesson_id))
    may_speak = view.scope.covers_provider(reserve.provider_id)
    fact = disputes.answer(wire.to_answer(event), reserve, known, may_speak=may_speak)
    if isinstance(fact, InputRefusal):
        return Refuse(fact, texts.refused_answer(fact))
    return (fact,)


def _why_no_reserve(enrollment_id: EnrollmentId, view: View) -> InputRefusal:
    """Nothing waits here: who disputes a debit has seen it, so all of it is known."""
    if view.find(NoAgreement, enrollment_id) is not None:
        return InputRefusal.AGREEMENT_NOT_ACTIVE
    return InputRefusal.UNKNOWN_ENROLLMENT


def _with_disputes(
    facts: Iterable[ChargeReversed | MonthReversed], view: View
) -> tuple[object, ...]:
    """Return facts that take charges back, each followed by the end of a dispute about it."""
    found: list[object] = []
    for fact in facts:
        found.append(fact)
        if isinstance(fact, ChargeReversed):
            id_ = lesson_id(fact.enrollment_id, fact.lesson_id)
            found += disputes.correct(fact, view.find(Dispute, id_))
    return tuple(found)


# --- days --------------------------------------------------------------------------------------


@billing.due(END, rank=3)
def end(ref: str, view: View) -> Effects:
    """Take back further charges of lessons after an end."""
    reserve = view.get(Reserve, ref)
    return _with_disputes(
        _reverse_lessons(EnrollmentId(ref), reserve, reserve.last_day, view), view
    )


@billing.due(MONTH, rank=4)
def charge_month(ref: str, view: View) -> Effects:
    """Charge the months that have opened."""
    reserve = view.get(Reserve, ref)
    enrollment_id = EnrollmentId(ref)
    return ending.charge_months(enrollment_id, reserve, _purse(view, reserve), view.day)


@billing.due(RELEASE, rank=5)
def release(ref: str, view: View) -> Effects | NotToday:
    """Release what is left when the days for corrections are over."""
    # Due on the day after the last one: asked so, thousands that wait need not be loaded.
    if not _is_after_grace(view, _was_due_on(view) - DAY):
        return NotToday()
    reserve = view.get(Reserve, ref)
    if reserve.status is not Status.HELD:
        return NOTED
    return (ending.release(EnrollmentId(ref), reserve, _purse(view, reserve)),)


@billing.due(EXPIRY, rank=6)
def expire(ref: str, view: View) -> Effects | NotToday:
    """Let expire what a period leaves over."""
    _, child_id, period_id = ref.split("/", 2)
    if not _is_after_grace(view, view.get(Period, period_id).ends_on):
        return NotToday()
    account = view.get(Account, f"{child_id}/{period_id}")
    if not account.purse.may_expire:
        return NOTED
    return (accounts.expire(ChildId(child_id), PeriodId(period_id), account),)


@billing.due(ADJUST, rank=7)
def adjust(ref: str, view: View) -> Effects | Later | NotToday:
    """Give back what a provider cancelled in charged months, just before the invoices."""
    enrollment_id, planned_on = ref.split("/")
    due = _months_of_invoices(planned_on, view)
    if not due:
        return _until_invoices(planned_on, view)
    reserve = view.get(Reserve, enrollment_id)
    if reserve.status is Status.CANCELLED:
        return NOTED
    months = _months_to_adjust(EnrollmentId(enrollment_id), reserve, view)
    last = before(due[-1])
    facts = ending.adjust_months(
        EnrollmentId(enrollment_id),
        reserve,
        _purse(view, reserve),
        [one for one in months if one.month <= last],
    )
    if facts or (not months and reserve.next_month is None):
        return facts
    return _after_invoices(due[-1], view)


def _months_to_adjust(
    enrollment_id: EnrollmentId, reserve: Reserve, view: View
) -> list[StandingMonth]:
    charged = [
        StandingMonth(
            month=month.month, book=view.get(MonthBook, book_id(enrollment_id, month.month))
        )
        for month in reserve.months[: reserve.months_charged]
        if month.opens_on <= reserve.last_day
    ]
    return [one for one in charged if not one.book.adjusted]


@billing.due(INVOICE, rank=8)
def invoice(ref: str, view: View) -> Effects | Later | NotToday:
    """Make the invoices of a provider for all up to the month before, part by part.

    One for each month whose day of invoices has come since: days may be skipped, invoices not.
    """
    provider_id, planned_on = ref.split("/")
    due = _months_of_invoices(planned_on, view)
    if not due:
        return _until_invoices(planned_on, view)
    for month in map(before, due):
        id_ = providers.invoice_id(PayerCode(view.payer), ProviderId(provider_id), month)
        begun = view.find(Invoice, id_)
        if begun is None:
            provider = view.get(Provider, provider_id)
            index = state.uninvoiced_index(provider_id)
            lines = sum(1 for _ in _all_members(view, index, state.up_to(month)))
            begun = providers.begin(ProviderId(provider_id), provider, month, lines)
        if begun is not None and not begun.is_complete:
            return (providers.issue_next(id_, begun, _next_owed(provider_id, month, view)),)
    return _after_invoices(due[-1], view)


def _next_owed(provider_id: str, month: Month, view: View) -> tuple[Owed, ...]:
    """Return the next lines of an invoice, sorted by enrollment.

    Those of its earlier parts are off the index; that is sorted by month, so the first of each
    month are merged.
    """
    index, start, end = state.uninvoiced_index(provider_id), "", state.up_to(month)
    found: list[str] = []
    while (first := view.first(index, start, end)) is not None:
        since = first.partition("|")[0]
        start = f"{since}}}"
        members = view.members(index, f"{since}|", start, LINES_PER_PART_MAX)
        found += [member.partition("|")[2] for member in members]
    return tuple(
        providers.owed(EnrollmentId(id_), view.get(Reserve, id_), month)
        for id_ in sorted(found)[:LINES_PER_PART_MAX]
    )


def _all_members(view: View, index: str, end: str | None = None) -> Iterator[str]:
    """Yield the members of an index up to `end`, page by page."""
    start = ""
    while members := view.members(index, start, end):
        yield from members
        start = f"{members[-1]}\0"


def _months_of_invoices(planned_on: str, view: View) -> list[Month]:
    """Return the months since the work was put off whose invoices are due, the earliest first.

    Reserves are made after the invoices of their day: what was planned today comes too late for
    them.
    """
    if planned_on == view.day.isoformat():
        return []
    payer_rules = _days_of_the_morning(view)
    month, found = month_of(_was_due_on(view)), []
    while rules.are_invoices_due(payer_rules, month, view.day):
        found.append(month)
        month = following(month)
    return found


def _until_invoices(planned_on: str, view: View) -> Later | NotToday:
    """Put work off that is too early, on the day it was planned out of the work of that day."""
    if planned_on != view.day.isoformat():
        return NotToday()
    if rules.are_invoices_due(_days_of_the_morning(view), month_of(view.day), view.day):
        return Later(next_first(view.day))
    return Later(view.day + DAY)


def _after_invoices(month: Month, view: View) -> Later:
    """Put work off to the month after one whose invoices were made."""
    first = first_day(following(month))
    # The first day has come where it is too early for the invoices of its month.
    return Later(max(first, view.day + DAY))


def _was_due_on(view: View) -> date:
    if view.was_due_on is None:
        raise LookupError("only due work has a day it was put off to")
    return view.was_due_on
