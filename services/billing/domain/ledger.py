"""The books: every movement of money as a double entry, derived from the facts alone.

`docs/rules.md`, section 8. Accounts are `budget:<payer>:<period>`,
`available:<certificate>:<period>`, `reserved:<enrollment>`, `owed:<provider>`,
`settled:<provider>` and `expired:<payer>:<period>`; all sums are whole kopecks and each entry sums
to zero. An invoice moves nothing: what is in it was owed before.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TypeAlias

from msgspec import Struct, field

from contracts.vocabulary import (
    CertificateNumber,
    EnrollmentId,
    EventId,
    InvoiceId,
    Kopecks,
    PayerCode,
    PeriodId,
    ProviderId,
)
from services.billing.domain.facts import (
    AccountOpened,
    ChargeReversed,
    DisputeOpened,
    DisputeSettled,
    Fact,
    FundsRefused,
    FundsReserved,
    InvoiceIssued,
    InvoiceSettled,
    LessonCharged,
    LessonNotCharged,
    MonthAdjusted,
    MonthCharged,
    MonthReversed,
    NominalApplied,
    PeriodExpired,
    ReserveReleased,
)
from services.billing.domain.purse import Purse

AccountName: TypeAlias = str
TrialBalances: TypeAlias = Mapping[tuple[PayerCode, PeriodId, date], Mapping[str, int]]
"""By payer, period and day: how much each kind of account moved, in kopecks."""


class Booked(Struct, frozen=True, kw_only=True):
    """A fact as it stands in the journal.

    `period` is that of the enrollment; the one `funds-reserved` names it in its input alone.
    """

    event: EventId
    payer: PayerCode
    day: date
    fact: Fact
    period: PeriodId | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """One movement: what leaves `source` comes to `target`. The sum may be negative.

    `event` is the id of the fact it follows from. `certificate` is None for a payment, which
    belongs to an invoice of many certificates.
    """

    event: EventId
    payer: PayerCode
    period: PeriodId
    day: date
    source: AccountName
    target: AccountName
    kopecks: int
    certificate: CertificateNumber | None

    @property
    def postings(self) -> tuple[tuple[AccountName, int], tuple[AccountName, int]]:
        """Return both sides; they sum to zero."""
        return (self.source, -self.kopecks), (self.target, self.kopecks)


def entries(booked: Iterable[Booked]) -> Iterator[Entry]:
    """Yield the entries of a journal, read from its beginning, in its order."""
    book = Book()
    for one in booked:
        yield from book.entries(one)


class Book(Struct):
    """What later facts do not repeat: the period of an enrollment, the periods of an invoice.

    Two payers may give their enrollments the same id.
    """

    periods: dict[tuple[PayerCode, EnrollmentId], PeriodId] = field(default_factory=dict)
    invoices: defaultdict[InvoiceId, Counter[PeriodId]] = field(
        default_factory=lambda: defaultdict(Counter)
    )

    def entries(self, booked: Booked) -> Iterator[Entry]:
        """Yield the entries of the next fact of a journal."""
        match booked.fact:
            case AccountOpened() as fact:
                budget = f"budget:{booked.payer}:{fact.period}"
                nominal = fact.purse.nominal_kopecks
                yield _entry(booked, fact, fact.period, budget, _available(fact), nominal)
            case NominalApplied() as fact:
                budget = f"budget:{booked.payer}:{fact.period}"
                difference = fact.nominal_kopecks - fact.previous_kopecks
                yield _entry(booked, fact, fact.period, budget, _available(fact), difference)
            case PeriodExpired() as fact:
                expired = f"expired:{booked.payer}:{fact.period}"
                left = fact.expired_kopecks
                yield _entry(booked, fact, fact.period, _available(fact), expired, left)
            case FundsReserved() as fact:
                assert booked.period is not None
                self.periods[booked.payer, fact.enrollment_id] = booked.period
                available = self._available_to(booked.payer, fact)
                share = fact.certificate_share_kopecks
                yield self._of_enrollment(booked, fact, available, _reserved(fact), share)
            case LessonCharged() | MonthCharged() as fact:
                owed, amount = _owed(fact.provider_id), fact.amount_kopecks
                yield self._of_enrollment(booked, fact, _reserved(fact), owed, amount)
            case ChargeReversed() | MonthReversed() as fact:
                owed, amount = _owed(fact.provider_id), fact.amount_kopecks
                yield self._of_enrollment(booked, fact, owed, _reserved(fact), amount)
            case MonthAdjusted() as fact:
                owed, available = _owed(fact.provider_id), self._available_to(booked.payer, fact)
                yield self._of_enrollment(booked, fact, owed, available, fact.amount_kopecks)
            case ReserveReleased() as fact:
                available, amount = self._available_to(booked.payer, fact), fact.amount_kopecks
                yield self._of_enrollment(booked, fact, _reserved(fact), available, amount)
            case InvoiceIssued() as fact:
                for line in fact.lines:
                    period = self.periods[booked.payer, line.enrollment_id]
                    self.invoices[fact.invoice_id][period] += line.amount_kopecks
            case InvoiceSettled() as fact:
                for period, of_period in sorted(self.invoices[fact.invoice_id].items()):
                    yield Entry(
                        event=booked.event,
                        payer=booked.payer,
                        period=period,
                        day=booked.day,
                        source=_owed(fact.provider_id),
                        target=f"settled:{fact.provider_id}",
                        kopecks=of_period,
                        certificate=None,
                    )
            case FundsRefused() | LessonNotCharged() | DisputeOpened() | DisputeSettled():
                pass

    def _available_to(self, payer: PayerCode, fact: "_OfEnrollment") -> AccountName:
        return f"available:{fact.certificate_number}:{self.periods[payer, fact.enrollment_id]}"

    def _of_enrollment(
        self,
        booked: Booked,
        fact: "_OfEnrollment",
        source: AccountName,
        target: AccountName,
        kopecks: int,
    ) -> Entry:
        period = self.periods[booked.payer, fact.enrollment_id]
        return _entry(booked, fact, period, source, target, kopecks)


_OfEnrollment: TypeAlias = (
    FundsReserved
    | LessonCharged
    | ChargeReversed
    | MonthCharged
    | MonthReversed
    | MonthAdjusted
    | ReserveReleased
)
_OfAccount: TypeAlias = AccountOpened | NominalApplied | PeriodExpired


def _entry(
    booked: Booked,
    fact: _OfEnrollment | _OfAccount,
    period: PeriodId,
    source: AccountName,
    target: AccountName,
    kopecks: int,
) -> Entry:
    return Entry(
        event=booked.event,
        payer=booked.payer,
        period=period,
        day=booked.day,
        source=source,
        target=target,
        kopecks=kopecks,
        certificate=fact.certificate_number,
    )


def _available(fact: _OfAccount) -> AccountName:
    return f"available:{fact.certificate_number}:{fact.period}"


def _reserved(fact: _OfEnrollment) -> AccountName:
    return f"reserved:{fact.enrollment_id}"


def _owed(provider_id: ProviderId) -> AccountName:
    return f"owed:{provider_id}"


# --- what the books say ------------------------------------------------------------------------


def balances(book: Iterable[Entry]) -> Mapping[AccountName, int]:
    """Return what each account holds; a budget is negative by all that was granted from it."""
    found: Counter[AccountName] = Counter()
    for entry in book:
        for account, kopecks in entry.postings:
            found[account] += kopecks
    return found


def trial_balances(book: Iterable[Entry], before: TrialBalances | None = None) -> TrialBalances:
    """Return, by payer, period and day, how much each kind of account moved; each sums to zero.

    What was counted `before`, if given, is added to.
    """
    found: defaultdict[tuple[PayerCode, PeriodId, date], Counter[str]] = defaultdict(Counter)
    for key, kinds in (before or {}).items():
        found[key].update(kinds)
    for entry in book:
        for account, kopecks in entry.postings:
            kind = account.partition(":")[0]
            found[entry.payer, entry.period, entry.day][kind] += kopecks
    return found


def purses(book: Iterable[Entry]) -> Mapping[tuple[CertificateNumber, PeriodId], Purse]:
    """Return the purses that the entries of certificates add up to."""
    found: defaultdict[tuple[CertificateNumber, PeriodId], Counter[str]] = defaultdict(Counter)
    for entry in book:
        if entry.certificate is not None:
            for account, kopecks in entry.postings:
                kind = account.partition(":")[0]
                found[entry.certificate, entry.period][kind] += kopecks
    return {
        owner: Purse(
            nominal_kopecks=Kopecks(-sums["budget"]),
            balance_kopecks=Kopecks(sums["available"]),
            reserved_kopecks=Kopecks(sums["reserved"]),
            paid_kopecks=Kopecks(sums["owed"]),
            expired_kopecks=Kopecks(sums["expired"]),
        )
        for owner, sums in found.items()
    }
