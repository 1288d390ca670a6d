"""What billing keeps, and what its inputs and facts change in it. Nothing is decided here.

Indexes (of a payer): `charged/<enrollment>` lessons with a standing charge by date,
`exhausted/<enrollment>` lessons that wait for one to become free by arrival,
`uninvoiced/<provider>` enrollments with movements that are in no invoice yet, by the month of the
first one.
"""

from datetime import date, timedelta
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from contracts.calendar import DayOpened
from contracts.certificates import (
    CertificateClosed,
    CertificateFrozen,
    CertificateIssued,
    CertificateRefused,
    CertificateRenewed,
    CertificateUnfrozen,
    NominalChanged,
)
from contracts.enrollment import (
    ApplicationRefused,
    ChildEnrolled,
    EnrollmentCancelled,
    EnrollmentEnded,
)
from contracts.payers import FrameAgreementSet, PeriodOpened, PolicySet, RulesPublished
from contracts.vocabulary import (
    CertificateNumber,
    CertificateState,
    ChildId,
    DebitBasis,
    EnrollmentId,
    FrameAgreementState,
    Month,
    PeriodId,
)
from services.billing import wire
from services.billing.domain import dispute as disputes
from services.billing.domain import lesson as lessons
from services.billing.domain import provider as providers
from services.billing.domain.account import (
    Account,
    Certificate,
    NoAgreement,
    NoCertificate,
    Period,
    account_id,
)
from services.billing.domain.dispute import Dispute
from services.billing.domain.facts import (
    AccountOpened,
    ChargeReversed,
    DisputeOpened,
    DisputeSettled,
    FundsRefused,
    FundsReserved,
    InvoiceIssued,
    InvoiceSettled,
    LessonCharged,
    LessonNotCharged,
    MonthAdjusted,
    MonthCharged,
    MonthReversed,
    Movement,
    NominalApplied,
    PeriodExpired,
    ReserveReleased,
)
from services.billing.domain.frame import Frame, frame_id
from services.billing.domain.lesson import Lesson, lesson_id
from services.billing.domain.month import MonthBook, book_id
from services.billing.domain.months import following, month_of, next_first
from services.billing.domain.provider import Invoice, Provider
from services.billing.domain.purse import Purse
from services.billing.domain.reserve import Asked, Reserve, moved_by, opened
from services.billing.domain.rules import Publication, Versions, publication_id
from streaming.service import Service
from streaming.view import State

STATE_VERSION = 3
DAY = timedelta(days=1)

END = "end"
MONTH = "month"
RELEASE = "release"
EXPIRY = "expiry"
ADJUST = "adjust"
INVOICE = "invoice"
"""Due work: lessons after an end to reverse, a month to charge, a reserve to release, a balance to
expire, months to adjust, invoices to make."""

LESSONS_AT_ONCE_MAX = 100
"""So many lessons after an end are reversed in one decision; the rest follows at once."""


class Policy(Struct, frozen=True, kw_only=True):
    """How the agreements of a period are charged."""

    debit_basis: DebitBasis


KINDS: MappingProxyType[str, type[Any]] = MappingProxyType(
    {
        "period": Period,
        "policy": Policy,
        "frame": Frame,
        "certificate": Certificate,
        "no-certificate": NoCertificate,
        "account": Account,
        "asked": Asked,
        "reserve": Reserve,
        "no-agreement": NoAgreement,
        "lesson": Lesson,
        "dispute": Dispute,
        "month": MonthBook,
        "provider": Provider,
        "invoice": Invoice,
        "versions": Versions,
        "publication": Publication,
    }
)

billing = Service(
    name="billing",
    state_version=STATE_VERSION,
    kinds=KINDS,
    facts=wire.FACTS,
    calendar=DayOpened,
    opened_day=wire.opened_day,
)


# --- names -------------------------------------------------------------------------------------


def certificate_key(child_id: str) -> str:
    """Return the key under which an enrollment waits for what certificates answers."""
    return f"certificate:{child_id}"


def period_key(period: str) -> str:
    """Return the key under which inputs wait for a period."""
    return f"period:{period}"


def reserve_key(enrollment_id: str) -> str:
    """Return the key under which marks wait until billing knows their enrollment."""
    return f"reserve:{enrollment_id}"


def charged_index(enrollment_id: str) -> str:
    """Return the index of the lessons with a standing charge: `<date>|<lesson>`."""
    return f"charged/{enrollment_id}"


def exhausted_index(enrollment_id: str) -> str:
    """Return the index of lessons that wait for one to become free: `<arrival>|<lesson>`."""
    return f"exhausted/{enrollment_id}"


def uninvoiced_index(provider_id: str) -> str:
    """Return the index of what is in no invoice yet: `<month of the first movement>|<enrollment>`.

    All of it up to a month stands before `up_to(month)`.
    """
    return f"uninvoiced/{provider_id}"


def up_to(month: Month) -> str:
    """Return where what began to move after a month begins in the index of what is uninvoiced."""
    return f"{following(month)}|"


def charged_after(ended_on: date) -> str:
    """Return where lessons after a day begin in the index of charged ones."""
    return f"{ended_on + DAY}|"


def expiry_ref(number: CertificateNumber, child_id: ChildId, period: PeriodId) -> str:
    """Return the due work of an account; accounts expire in order of number."""
    return f"{number}/{child_id}/{period}"


def _exhausted_member(arrival: int, id_: str) -> str:
    return f"{arrival:015d}|{id_}"


# --- what payers say ---------------------------------------------------------------------------


@billing.learns(PeriodOpened)
def learn_period(event: PeriodOpened, state: State) -> None:
    """Keep the days of a period."""
    state.put(event.period, Period(starts_on=event.starts_on, ends_on=event.ends_on))
    state.wake(period_key(event.period))


@billing.learns(PolicySet)
def learn_policy(event: PolicySet, state: State) -> None:
    """Keep how agreements are charged from now on."""
    state.put(event.period, Policy(debit_basis=event.debit_basis))


@billing.learns(FrameAgreementSet)
def learn_frame(event: FrameAgreementSet, state: State) -> None:
    """Keep the limit of a frame agreement; what is bound stays."""
    id_ = frame_id(event.provider_id, event.period)
    frame = state.find(Frame, id_) or Frame()
    limit = (
        event.limit_kopecks if event.state is FrameAgreementState.SIGNED else frame.limit_kopecks
    )
    state.put(id_, frame.limited(limit))


@billing.learns(RulesPublished)
def learn_rules(event: RulesPublished, state: State) -> None:
    """Keep a version of one of our tables."""
    versions = state.find(Versions, event.table) or Versions()
    state.put(event.table, versions.with_one_more(event.from_, event.published))
    id_ = publication_id(event.table, event.from_, event.published)
    state.put(id_, Publication(data=event.to_data(), noted_on=state.day))


# --- what certificates says --------------------------------------------------------------------


def _learn_certificate(event: CertificateIssued | CertificateRenewed, state: State) -> None:
    known = state.find(Certificate, event.child_id)
    if known is None:
        state.put(event.child_id, Certificate(number=event.certificate_number))
    account = Account(
        certificate_number=event.certificate_number,
        funded=event.state is CertificateState.FUNDED,
    )
    state.put(account_id(event.child_id, event.period), account)


@billing.learns(CertificateIssued)
def learn_issued(event: CertificateIssued, state: State) -> None:
    """Keep a certificate; its account is opened by the fact that follows."""
    _learn_certificate(event, state)


@billing.learns(CertificateRenewed)
def learn_renewed(event: CertificateRenewed, state: State) -> None:
    """Keep a certificate of a further period."""
    _learn_certificate(event, state)


@billing.learns(CertificateFrozen)
def learn_frozen(event: CertificateFrozen, state: State) -> None:
    """A frozen certificate gets no reserve."""
    state.put(event.child_id, replace(state.get(Certificate, event.child_id), frozen=True))


@billing.learns(CertificateUnfrozen)
def learn_unfrozen(event: CertificateUnfrozen, state: State) -> None:
    """It may be used again."""
    state.put(event.child_id, replace(state.get(Certificate, event.child_id), frozen=False))


@billing.learns(CertificateClosed)
def learn_closed(event: CertificateClosed, state: State) -> None:
    """A closed certificate gets no reserve."""
    state.put(event.child_id, replace(state.get(Certificate, event.child_id), closed=True))


@billing.learns(CertificateRefused)
def learn_no_certificate(event: CertificateRefused, state: State) -> None:
    """Keep the answer for the enrollment that waits for it."""
    if event.enrollment_id is not None:
        state.put(event.enrollment_id, wire.to_no_certificate(event))
        state.wake(certificate_key(event.child_id))


@billing.learns(NominalChanged)
def learn_nominal(event: NominalChanged, state: State) -> None:
    """Strike out what only repeats a correction made here."""
    id_ = account_id(event.child_id, event.period)
    difference = event.nominal_kopecks - event.previous_kopecks
    state.put(id_, state.get(Account, id_).hearing(difference))


# --- what enrollment says ----------------------------------------------------------------------


@billing.learns(ChildEnrolled)
def learn_enrolled(event: ChildEnrolled, state: State) -> None:
    """Keep what the answer does not repeat."""
    asked = Asked(enrollment_id=event.enrollment_id, period=event.period)
    state.put(event.enrollment_id, asked)


def _no_agreement(enrollment_id: EnrollmentId, state: State) -> None:
    state.put(enrollment_id, NoAgreement(enrollment_id=enrollment_id))
    state.wake(reserve_key(enrollment_id))


@billing.learns(ApplicationRefused)
def learn_refused(event: ApplicationRefused, state: State) -> None:
    """An application that led to nothing takes no marks."""
    _no_agreement(event.enrollment_id, state)


@billing.learns(EnrollmentCancelled)
def learn_cancelled(event: EnrollmentCancelled, state: State) -> None:
    """An enrollment that never became active takes no marks."""
    if state.find(Reserve, event.enrollment_id) is None:
        _no_agreement(event.enrollment_id, state)


@billing.learns(EnrollmentEnded)
def learn_ended(event: EnrollmentEnded, state: State) -> None:
    """Keep the end of an agreement; an early one brings its release forward."""
    reserve = state.find(Reserve, event.enrollment_id)
    if reserve is None:
        return
    ended = reserve.ending(event.ended_on)
    state.put(event.enrollment_id, ended)
    if reserve.is_monthly:
        _plan_month(state, event.enrollment_id, reserve, ended)
        return
    state.not_due(RELEASE, reserve.ends_on + DAY, event.enrollment_id)
    state.due_on(RELEASE, event.ended_on + DAY, event.enrollment_id)
    later = state.members(
        charged_index(event.enrollment_id),
        charged_after(event.ended_on),
        members_max=LESSONS_AT_ONCE_MAX + 1,
    )
    if len(later) > LESSONS_AT_ONCE_MAX:
        state.due_on(END, state.day, event.enrollment_id)


# --- accounts ----------------------------------------------------------------------------------


@billing.evolves(AccountOpened)
def account_opened(fact: AccountOpened, state: State) -> None:
    """Fill the account; it expires after its period."""
    id_ = account_id(fact.child_id, fact.period)
    state.put(id_, state.get(Account, id_).after(fact))
    ends_on = state.get(Period, fact.period).ends_on
    ref = expiry_ref(fact.certificate_number, fact.child_id, fact.period)
    state.due_on(EXPIRY, ends_on + DAY, ref)
    state.wake(certificate_key(fact.child_id))


@billing.evolves(NominalApplied)
def nominal_applied(fact: NominalApplied, state: State) -> None:
    """Move the nominal."""
    id_ = account_id(fact.child_id, fact.period)
    account = state.get(Account, id_).after(fact)
    state.put(id_, account)
    _money_came_back(state, fact.child_id, fact.period, account)


@billing.evolves(PeriodExpired)
def period_expired(fact: PeriodExpired, state: State) -> None:
    """The balance is gone."""
    id_ = account_id(fact.child_id, fact.period)
    state.put(id_, state.get(Account, id_).after(fact))


def _put_purse(state: State, reserve: Reserve, purse: Purse) -> Account:
    id_ = account_id(reserve.child_id, reserve.period)
    account = replace(state.get(Account, id_), purse=purse)
    state.put(id_, account)
    return account


def _money_came_back(state: State, child_id: ChildId, period: PeriodId, account: Account) -> None:
    """What comes back after the period's end expires too."""
    if state.day > state.get(Period, period).ends_on and account.purse.may_expire:
        ref = expiry_ref(account.certificate_number, child_id, period)
        state.due_on(EXPIRY, state.day, ref)


def _bind(state: State, reserve: Reserve, amount: int) -> None:
    id_ = frame_id(reserve.provider_id, reserve.period)
    state.put(id_, (state.find(Frame, id_) or Frame()).binding(amount))


# --- reserves ----------------------------------------------------------------------------------


@billing.evolves(FundsReserved)
def funds_reserved(fact: FundsReserved, state: State) -> None:
    """Open the reserve."""
    asked = state.get(Asked, fact.enrollment_id)
    reserve = opened(fact, asked.period, state.day)
    state.remove(Asked, fact.enrollment_id)
    state.put(fact.enrollment_id, reserve)
    _put_purse(state, reserve, fact.purse)
    _bind(state, reserve, fact.certificate_share_kopecks)
    _plan(state, fact.enrollment_id, reserve)
    state.wake(reserve_key(fact.enrollment_id))


def _plan(state: State, enrollment_id: EnrollmentId, reserve: Reserve) -> None:
    """Put what will become of a reserve on its days.

    Invoices and adjustments are due on a day that rules tell, once a month. Their work is planned
    with the reserve, before anything moves, and puts itself off from month to month: only so is
    it known whether those of this month are over (`service.py`).
    """
    if reserve.is_monthly:
        if reserve.next_charge_on is not None:
            state.due_on(MONTH, reserve.next_charge_on, enrollment_id)
        first = max(state.day, next_first(reserve.starts_on))
        state.due_on(ADJUST, first, f"{enrollment_id}/{state.day}")
    else:
        state.due_on(RELEASE, reserve.ends_on + DAY, enrollment_id)
    if state.find(Provider, reserve.provider_id) is None:
        state.put(reserve.provider_id, Provider())
        state.due_on(INVOICE, state.day, f"{reserve.provider_id}/{state.day}")


@billing.evolves(FundsRefused)
def funds_refused(fact: FundsRefused, state: State) -> None:
    """The enrollment takes no marks."""
    state.remove(Asked, fact.enrollment_id)
    state.remove(NoCertificate, fact.enrollment_id)
    _no_agreement(fact.enrollment_id, state)


@billing.evolves(ReserveReleased)
def reserve_released(fact: ReserveReleased, state: State) -> None:
    """What was left returns to the balance."""
    reserve = state.get(Reserve, fact.enrollment_id)
    released = reserve.releasing(fact)
    state.put(fact.enrollment_id, released)
    account = _put_purse(state, reserve, fact.purse)
    _bind(state, reserve, -fact.amount_kopecks)
    _plan_month(state, fact.enrollment_id, reserve, released)
    _money_came_back(state, reserve.child_id, reserve.period, account)


def _plan_month(state: State, enrollment_id: EnrollmentId, before: Reserve, after: Reserve) -> None:
    """Put the charge of the next month on its day."""
    if before.next_charge_on == after.next_charge_on:
        return
    if before.next_charge_on is not None:
        state.not_due(MONTH, before.next_charge_on, enrollment_id)
    if after.next_charge_on is not None:
        state.due_on(MONTH, after.next_charge_on, enrollment_id)


# --- movements ---------------------------------------------------------------------------------


def _move(state: State, fact: Movement) -> tuple[Reserve, Reserve]:
    """Apply a movement to reserve, purse and provider; return the reserve before and after."""
    reserve = state.get(Reserve, fact.enrollment_id)
    moved = moved_by(fact)
    after = reserve.moving(fact, moved)
    state.put(fact.enrollment_id, after)
    _put_purse(state, reserve, fact.purse)
    provider = state.get(Provider, fact.provider_id)
    state.put(fact.provider_id, provider.moving(*moved))
    _index_uninvoiced(state, fact.enrollment_id, reserve, after)
    return reserve, after


def _index_uninvoiced(
    state: State, enrollment_id: EnrollmentId, before: Reserve, after: Reserve
) -> None:
    was, since = before.uninvoiced.since, after.uninvoiced.since
    if was == since:
        return
    index = uninvoiced_index(after.provider_id)
    if was is not None:
        state.discard(index, f"{was}|{enrollment_id}")
    if since is not None:
        state.add(index, f"{since}|{enrollment_id}")


@billing.evolves(LessonCharged)
def lesson_charged(fact: LessonCharged, state: State) -> None:
    """A lesson is paid."""
    _move(state, fact)
    _keep_lesson(state, fact)
    state.add(charged_index(fact.enrollment_id), f"{fact.lesson_date}|{fact.lesson_id}")


@billing.evolves(ChargeReversed)
def charge_reversed(fact: ChargeReversed, state: State) -> None:
    """A lesson is not paid any more."""
    _move(state, fact)
    _keep_lesson(state, fact)
    state.discard(charged_index(fact.enrollment_id), f"{fact.lesson_date}|{fact.lesson_id}")


@billing.evolves(LessonNotCharged)
def lesson_not_charged(fact: LessonNotCharged, state: State) -> None:
    """A mark is kept."""
    before = _keep_lesson(state, fact)
    reserve = state.get(Reserve, fact.enrollment_id)
    if reserve.is_monthly:
        id_ = book_id(fact.enrollment_id, month_of(fact.lesson_date))
        book = state.find(MonthBook, id_) or MonthBook()
        state.put(id_, book.marking(None if before is None else before.mark, fact.mark))


def _keep_lesson(
    state: State, fact: LessonCharged | ChargeReversed | LessonNotCharged
) -> Lesson | None:
    """Keep what is known of a lesson; return what was known before."""
    id_ = lesson_id(fact.enrollment_id, fact.lesson_id)
    before = state.find(Lesson, id_)
    after = lessons.after(before, fact, state.journalseq)
    state.put(id_, after)
    was = None if before is None else before.exhausted_at
    if was == after.exhausted_at:
        return before
    index = exhausted_index(fact.enrollment_id)
    if was is not None:
        state.discard(index, _exhausted_member(was, fact.lesson_id))
    if after.exhausted_at is not None:
        state.add(index, _exhausted_member(after.exhausted_at, fact.lesson_id))
    difference = (after.exhausted_at is not None) - (was is not None)
    reserve = state.get(Reserve, fact.enrollment_id)
    state.put(fact.enrollment_id, reserve.exhausting(difference))
    return before


@billing.evolves(MonthCharged)
def month_charged(fact: MonthCharged, state: State) -> None:
    """A month is paid."""
    before, after = _move(state, fact)
    _keep_month(state, fact.enrollment_id, fact.month, fact.amount_kopecks)
    _plan_month(state, fact.enrollment_id, before, after)


@billing.evolves(MonthReversed)
def month_reversed(fact: MonthReversed, state: State) -> None:
    """A month is not paid any more."""
    _move(state, fact)
    _keep_month(state, fact.enrollment_id, fact.month, -fact.amount_kopecks)


@billing.evolves(MonthAdjusted)
def month_adjusted(fact: MonthAdjusted, state: State) -> None:
    """What the provider cancelled is back on the balance."""
    reserve, _ = _move(state, fact)
    id_ = book_id(fact.enrollment_id, fact.month)
    state.put(id_, state.get(MonthBook, id_).adjusting(fact.amount_kopecks))
    _bind(state, reserve, -fact.amount_kopecks)
    account = state.get(Account, account_id(reserve.child_id, reserve.period))
    _money_came_back(state, reserve.child_id, reserve.period, account)


def _keep_month(state: State, enrollment_id: EnrollmentId, month: Month, amount: int) -> None:
    id_ = book_id(enrollment_id, month)
    state.put(id_, (state.find(MonthBook, id_) or MonthBook()).charging(amount))


# --- disputes ----------------------------------------------------------------------------------


@billing.evolves(DisputeOpened)
def dispute_opened(fact: DisputeOpened, state: State) -> None:
    """A debit is disputed."""
    state.put(lesson_id(fact.enrollment_id, fact.lesson_id), disputes.opened(fact))


@billing.evolves(DisputeSettled)
def dispute_settled(fact: DisputeSettled, state: State) -> None:
    """It is disputed no more. Kept: a lesson is disputed once."""
    id_ = lesson_id(fact.enrollment_id, fact.lesson_id)
    state.put(id_, disputes.settled(state.get(Dispute, id_), fact))


# --- invoices ----------------------------------------------------------------------------------


@billing.evolves(InvoiceIssued)
def invoice_issued(fact: InvoiceIssued, state: State) -> None:
    """What stands in an invoice is owed by it."""
    invoice = providers.issued(fact)
    state.put(fact.invoice_id, invoice)
    for line in fact.lines:
        reserve = state.get(Reserve, line.enrollment_id)
        invoiced = reserve.invoiced(fact.month)
        state.put(line.enrollment_id, invoiced)
        _index_uninvoiced(state, line.enrollment_id, reserve, invoiced)
    if invoice.is_complete:
        provider = state.get(Provider, fact.provider_id)
        state.put(fact.provider_id, provider.invoiced(fact.month))


@billing.evolves(InvoiceSettled)
def invoice_settled(fact: InvoiceSettled, state: State) -> None:
    """The payer paid."""
    state.put(fact.invoice_id, providers.settled(state.get(Invoice, fact.invoice_id)))
