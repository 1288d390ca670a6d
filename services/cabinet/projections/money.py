"""Purses, reserves, what providers are owed, and invoices, from the journal of billing.

Each fact carries the purse after it, so what an enrollment has reserved moves by the difference to
the purse before: the books are read here, not kept a second time.
"""

from msgspec.structs import replace

from contracts import billing
from contracts.enrollment import ChildEnrolled
from contracts.envelope import Envelope
from contracts.payers import InvoicePaid, NominalCorrected
from contracts.vocabulary import DebitBasis, NominalCause, Service
from rulebook.wording import rubles
from services.cabinet.projections.models import (
    ACCOUNTS,
    INVOICES,
    INVOICES_BY,
    INVOICES_OF,
    LINES_PER_PAGE,
    MONEY_DAYS,
    PROVIDERS_OF,
    Account,
    Invoice,
    InvoiceLine,
    InvoicePage,
    MoneyDay,
    PeriodMoney,
    Purse,
    Reserve,
    member,
    under,
)
from services.cabinet.projections.projection import (
    About,
    cabinet,
    day_of,
    decides,
    payer_of,
    tell,
)
from streaming.follower import Models

_CAUSES = {
    NominalCause.CORRECTED: "Муниципалитет исправил номинал сертификата",
    NominalCause.CHANGED: "Муниципалитет изменил номинал сертификата",
    NominalCause.FUNDED: "На сертификат поступили деньги",
    NominalCause.RENEWED: "Сертификат продлён на новый период",
}

decides(Service.BILLING, NominalCorrected)
decides(Service.BILLING, InvoicePaid)


# --- the purse ---------------------------------------------------------------------------------


@cabinet.of(billing.AccountOpened)
def account_opened(fact: billing.AccountOpened, envelope: Envelope, models: Models) -> None:
    """A certificate has a purse in a period."""
    _put_purse(fact.child_id, fact.period, fact.purse, envelope, models)
    nominal = fact.purse.nominal_kopecks
    text = f"На сертификат зачислено {rubles(nominal)}."
    about = About(amount_kopecks=nominal, balance_kopecks=fact.purse.balance_kopecks)
    tell(envelope, models, fact.child_id, text, about)


@cabinet.of(billing.NominalApplied)
def nominal_applied(fact: billing.NominalApplied, envelope: Envelope, models: Models) -> None:
    """The purse follows a new nominal."""
    corrected = fact.cause is NominalCause.CORRECTED
    _put_purse(fact.child_id, fact.period, fact.purse, envelope, models, corrected=corrected)
    text = (
        f"{_CAUSES[fact.cause]}: было {rubles(fact.previous_kopecks)}, "
        f"стало {rubles(fact.nominal_kopecks)}."
    )
    about = About(
        amount_kopecks=fact.nominal_kopecks - fact.previous_kopecks,
        balance_kopecks=fact.purse.balance_kopecks,
        cause=fact.cause.value,
    )
    tell(envelope, models, fact.child_id, text, about)


@cabinet.of(billing.PeriodExpired)
def period_expired(fact: billing.PeriodExpired, envelope: Envelope, models: Models) -> None:
    """What was left at the period's end went back to the budget."""
    _put_purse(fact.child_id, fact.period, fact.purse, envelope, models)
    text = (
        f"Период {fact.period} закончился. Остаток {rubles(fact.expired_kopecks)} вернулся "
        "в бюджет: на следующий период деньги не переносятся."
    )
    about = About(amount_kopecks=fact.expired_kopecks, balance_kopecks=fact.purse.balance_kopecks)
    tell(envelope, models, fact.child_id, text, about)


def _put_purse(
    child_id: str,
    period: str,
    purse: billing.Purse,
    envelope: Envelope,
    models: Models,
    *,
    corrected: bool = False,
) -> None:
    id_ = under(payer_of(envelope), child_id, period)
    before = models.find(Purse, id_)
    after = Purse(
        nominal_kopecks=purse.nominal_kopecks,
        balance_kopecks=purse.balance_kopecks,
        reserved_kopecks=purse.reserved_kopecks,
        paid_kopecks=purse.paid_kopecks,
        expired_kopecks=purse.expired_kopecks,
        corrected=corrected or (before is not None and before.corrected),
    )
    models.put(id_, after)
    _add_up(before, after, period, envelope, models)


_NO_PURSE = Purse(
    nominal_kopecks=0, balance_kopecks=0, reserved_kopecks=0, paid_kopecks=0, expired_kopecks=0
)


def _add_up(
    before: Purse | None, after: Purse, period: str, envelope: Envelope, models: Models
) -> None:
    """Move the sums of the payer's period by what a purse moved."""
    was, payer, day = before or _NO_PURSE, payer_of(envelope), day_of(envelope)
    reserved = after.reserved_kopecks - was.reserved_kopecks
    paid = after.paid_kopecks - was.paid_kopecks
    known = models.find(PeriodMoney, under(payer, period)) or PeriodMoney()
    moved = PeriodMoney(
        purses=known.purses + (before is None),
        used=known.used + (after.paid_kopecks > 0) - (was.paid_kopecks > 0),
        nominal_kopecks=known.nominal_kopecks + after.nominal_kopecks - was.nominal_kopecks,
        balance_kopecks=known.balance_kopecks + after.balance_kopecks - was.balance_kopecks,
        reserved_kopecks=known.reserved_kopecks + reserved,
        paid_kopecks=known.paid_kopecks + paid,
        expired_kopecks=known.expired_kopecks + after.expired_kopecks - was.expired_kopecks,
    )
    models.put(under(payer, period), moved)
    if reserved or paid:
        id_ = under(payer, period, day)
        of_day = models.find(MoneyDay, id_) or MoneyDay()
        models.put(
            id_,
            MoneyDay(
                reserved_kopecks=of_day.reserved_kopecks + reserved,
                paid_kopecks=of_day.paid_kopecks + paid,
            ),
        )
        models.add(MONEY_DAYS, member(payer, period, day))


# --- the reserve of an enrollment --------------------------------------------------------------


@cabinet.of_input(Service.BILLING, ChildEnrolled)
def child_enrolled(event: ChildEnrolled, envelope: Envelope, models: Models) -> None:
    """Keep from which period the enrollment is paid: the facts about its money do not say."""
    models.put(
        under(payer_of(envelope), event.enrollment_id),
        Reserve(child_id=event.child_id, period=event.period),
    )


@cabinet.of(billing.FundsReserved)
def funds_reserved(fact: billing.FundsReserved, envelope: Envelope, models: Models) -> None:
    """Money was set aside."""
    known = _reserve(fact.enrollment_id, envelope, models)
    known = replace(
        known,
        debit_basis=fact.debit_basis.value,
        total_kopecks=fact.total_kopecks,
        certificate_share_kopecks=fact.certificate_share_kopecks,
        parent_share_kopecks=fact.parent_share_kopecks,
        lessons=fact.lessons,
        lesson_share_kopecks=fact.lesson_share_kopecks,
        provider_id=fact.provider_id,
    )
    _move(fact, known, envelope, models)
    account = _account(fact.provider_id, envelope, models)
    promised = fact.lessons if fact.debit_basis is DebitBasis.ATTENDED_LESSONS else 0
    promised += account.lessons
    account = replace(account, agreements=account.agreements + 1, lessons=promised)
    _keep_account(fact.provider_id, account, envelope, models)
    _tell_moved(fact, fact.certificate_share_kopecks, fact.why.text, envelope, models)


@cabinet.of(billing.FundsRefused)
def funds_refused(fact: billing.FundsRefused, envelope: Envelope, models: Models) -> None:
    """No money was set aside; the family reads why."""
    about = About(enrollment_id=fact.enrollment_id)
    tell(envelope, models, fact.child_id, fact.why.text, about)


@cabinet.of(billing.LessonCharged)
def lesson_charged(fact: billing.LessonCharged, envelope: Envelope, models: Models) -> None:
    """A lesson was charged."""
    known = _reserve(fact.enrollment_id, envelope, models)
    charged = known.charged_kopecks + fact.amount_kopecks
    known = replace(known, charged_kopecks=charged, lessons_charged=fact.lessons_charged)
    _move(fact, known, envelope, models)
    _owe(fact.provider_id, fact.amount_kopecks, envelope, models, lessons=1)
    _tell_lesson(fact, fact.amount_kopecks, fact.purse.balance_kopecks, envelope, models)


@cabinet.of(billing.ChargeReversed)
def charge_reversed(fact: billing.ChargeReversed, envelope: Envelope, models: Models) -> None:
    """The charge of a lesson was taken back."""
    known = _reserve(fact.enrollment_id, envelope, models)
    charged = known.charged_kopecks - fact.amount_kopecks
    known = replace(known, charged_kopecks=charged, lessons_charged=fact.lessons_charged)
    _move(fact, known, envelope, models)
    _owe(fact.provider_id, -fact.amount_kopecks, envelope, models, lessons=-1)
    _tell_lesson(fact, fact.amount_kopecks, fact.purse.balance_kopecks, envelope, models)


@cabinet.of(billing.LessonNotCharged)
def lesson_not_charged(fact: billing.LessonNotCharged, envelope: Envelope, models: Models) -> None:
    """A mark moved no money; the family reads why."""
    _tell_lesson(fact, None, None, envelope, models)


@cabinet.of(billing.MonthCharged)
def month_charged(fact: billing.MonthCharged, envelope: Envelope, models: Models) -> None:
    """A month was charged."""
    _month(fact, fact.amount_kopecks, envelope, models)


@cabinet.of(billing.MonthReversed)
def month_reversed(fact: billing.MonthReversed, envelope: Envelope, models: Models) -> None:
    """The charge of a month was taken back."""
    _month(fact, -fact.amount_kopecks, envelope, models)


@cabinet.of(billing.MonthAdjusted)
def month_adjusted(fact: billing.MonthAdjusted, envelope: Envelope, models: Models) -> None:
    """The share of lessons the provider cancelled went back."""
    _month(fact, -fact.amount_kopecks, envelope, models)


def _month(
    fact: billing.MonthCharged | billing.MonthReversed | billing.MonthAdjusted,
    owed: int,
    envelope: Envelope,
    models: Models,
) -> None:
    known = _reserve(fact.enrollment_id, envelope, models)
    known = replace(known, charged_kopecks=known.charged_kopecks + owed)
    _move(fact, known, envelope, models)
    _owe(fact.provider_id, owed, envelope, models)
    _tell_moved(fact, fact.amount_kopecks, fact.why.text, envelope, models)


@cabinet.of(billing.ReserveReleased)
def reserve_released(fact: billing.ReserveReleased, envelope: Envelope, models: Models) -> None:
    """What was not charged is free again."""
    _move(fact, _reserve(fact.enrollment_id, envelope, models), envelope, models)
    text = f"{rubles(fact.amount_kopecks)} больше не забронировано и вернулось на баланс."
    _tell_moved(fact, fact.amount_kopecks, text, envelope, models)


_Moved = (
    billing.FundsReserved
    | billing.LessonCharged
    | billing.ChargeReversed
    | billing.MonthCharged
    | billing.MonthReversed
    | billing.MonthAdjusted
    | billing.ReserveReleased
)


def _reserve(enrollment_id: str, envelope: Envelope, models: Models) -> Reserve:
    known = models.find(Reserve, under(payer_of(envelope), enrollment_id))
    if known is None:
        raise LookupError(f"{envelope.type} {envelope.id}: {enrollment_id} was never enrolled")
    return known


def _move(fact: _Moved, known: Reserve, envelope: Envelope, models: Models) -> None:
    """Keep the purse after a fact, and what it says of the reserve."""
    payer = payer_of(envelope)
    before = models.find(Purse, under(payer, fact.child_id, known.period))
    moved = fact.purse.reserved_kopecks - (before.reserved_kopecks if before else 0)
    models.put(
        under(payer, fact.enrollment_id),
        replace(known, reserved_kopecks=known.reserved_kopecks + moved),
    )
    _put_purse(fact.child_id, known.period, fact.purse, envelope, models)


def _tell_moved(
    fact: _Moved, amount_kopecks: int, text: str, envelope: Envelope, models: Models
) -> None:
    about = About(
        enrollment_id=fact.enrollment_id,
        amount_kopecks=amount_kopecks,
        balance_kopecks=fact.purse.balance_kopecks,
    )
    tell(envelope, models, fact.child_id, text, about)


def _tell_lesson(
    fact: billing.LessonCharged | billing.LessonNotCharged | billing.ChargeReversed,
    amount_kopecks: int | None,
    balance_kopecks: int | None,
    envelope: Envelope,
    models: Models,
) -> None:
    about = About(
        enrollment_id=fact.enrollment_id,
        lesson_id=fact.lesson_id,
        lesson_date=fact.lesson_date,
        amount_kopecks=amount_kopecks,
        balance_kopecks=balance_kopecks,
    )
    tell(envelope, models, fact.child_id, fact.why.text, about)


# --- providers and invoices --------------------------------------------------------------------


def _owe(
    provider_id: str, amount_kopecks: int, envelope: Envelope, models: Models, *, lessons: int = 0
) -> None:
    account = _account(provider_id, envelope, models)
    charged = account.charged_kopecks + amount_kopecks
    lessons += account.lessons_charged
    account = replace(account, charged_kopecks=charged, lessons_charged=lessons)
    _put_account(provider_id, account, envelope, models)


@cabinet.of(billing.InvoiceIssued)
def invoice_issued(fact: billing.InvoiceIssued, envelope: Envelope, models: Models) -> None:
    """A payer owes a provider for a month; a long invoice comes in parts."""
    payer = payer_of(envelope)
    id_ = under(payer, fact.invoice_id)
    known = models.find(Invoice, id_)
    if known is None:
        known = Invoice(
            provider_id=fact.provider_id, month=fact.month, amount_kopecks=fact.amount_kopecks
        )
        models.add(INVOICES, member(fact.invoice_id, payer))
        models.add(INVOICES_OF, member(fact.provider_id, fact.month, payer, fact.invoice_id))
        models.add(INVOICES_BY, member(payer, fact.month, fact.invoice_id))
        account = _account(fact.provider_id, envelope, models)
        invoiced = account.invoiced_kopecks + fact.amount_kopecks
        _put_account(
            fact.provider_id, replace(account, invoiced_kopecks=invoiced), envelope, models
        )
    lines = [
        InvoiceLine(
            line_reference=line.line_reference,
            enrollment_id=line.enrollment_id,
            certificate_number=line.certificate_number,
            lessons=line.lessons,
            amount_kopecks=line.amount_kopecks,
        )
        for line in fact.lines
    ]
    pages = known.pages
    for first in range(0, len(lines), LINES_PER_PAGE):
        page = InvoicePage(lines=tuple(lines[first : first + LINES_PER_PAGE]))
        models.put(under(payer, fact.invoice_id, str(pages)), page)
        pages += 1
    models.put(id_, replace(known, pages=pages))


@cabinet.of(billing.InvoiceSettled)
def invoice_settled(fact: billing.InvoiceSettled, envelope: Envelope, models: Models) -> None:
    """A payer paid an invoice."""
    id_ = under(payer_of(envelope), fact.invoice_id)
    known = models.find(Invoice, id_)
    if known is None:
        raise LookupError(f"{envelope.id}: {fact.invoice_id} was never issued")
    reference = fact.payment_reference
    known = replace(known, settled=True, paid_on=fact.paid_on, payment_reference=reference)
    models.put(id_, known)
    account = _account(fact.provider_id, envelope, models)
    settled = account.settled_kopecks + fact.amount_kopecks
    _put_account(fact.provider_id, replace(account, settled_kopecks=settled), envelope, models)


def _account(provider_id: str, envelope: Envelope, models: Models) -> Account:
    return models.find(Account, under(payer_of(envelope), provider_id)) or Account()


def _put_account(provider_id: str, account: Account, envelope: Envelope, models: Models) -> None:
    """Keep an account that money moved on: it is listed from now on."""
    _keep_account(provider_id, account, envelope, models)
    models.add(ACCOUNTS, member(provider_id, payer_of(envelope)))


def _keep_account(provider_id: str, account: Account, envelope: Envelope, models: Models) -> None:
    payer = payer_of(envelope)
    models.put(under(payer, provider_id), account)
    models.add(PROVIDERS_OF, member(payer, provider_id))
