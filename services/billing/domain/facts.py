"""What can happen to the money of a payer. Facts are never edited, only added.

Names and order of the fields are those of `contracts/billing.py` (docs/events.md, section 4).
All sums are whole kopecks; `purse` is the certificate's after the fact.
"""

from collections.abc import Mapping
from datetime import date
from typing import TypeAlias

from msgspec import Struct

from contracts.vocabulary import (
    AnsweredBy,
    CertificateNumber,
    ChildId,
    DebitBasis,
    DisputeGround,
    DisputeOutcome,
    EnrollmentId,
    Evidence,
    FundsRefusal,
    InvoiceId,
    Kopecks,
    LessonId,
    LineReference,
    Mark,
    Month,
    NominalCause,
    NotCharged,
    PeriodId,
    ProviderId,
    Revision,
    SignedKopecks,
)
from services.billing.domain.purse import Purse

Why: TypeAlias = Mapping[str, str]
"""Which rule led here: table, from, row, basis where a table decided, and a text for a parent."""


class AccountOpened(Struct, frozen=True, kw_only=True):
    """A certificate has a purse in a period."""

    child_id: ChildId
    certificate_number: CertificateNumber
    period: PeriodId
    purse: Purse


class NominalApplied(Struct, frozen=True, kw_only=True):
    """A purse follows a new nominal, by the difference."""

    child_id: ChildId
    certificate_number: CertificateNumber
    period: PeriodId
    previous_kopecks: Kopecks
    nominal_kopecks: Kopecks
    cause: NominalCause
    purse: Purse


class PeriodExpired(Struct, frozen=True, kw_only=True):
    """The balance left at the period's end went back to the budget."""

    child_id: ChildId
    certificate_number: CertificateNumber
    period: PeriodId
    expired_kopecks: Kopecks
    purse: Purse


class FundsReserved(Struct, frozen=True, kw_only=True):
    """Money was set aside for an enrollment."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    debit_basis: DebitBasis
    starts_on: date
    ends_on: date
    total_kopecks: Kopecks
    certificate_share_kopecks: Kopecks
    parent_share_kopecks: Kopecks
    lessons: int
    lesson_share_kopecks: Kopecks
    first_lesson_extra_kopecks: Kopecks
    purse: Purse
    why: Why


class FundsRefused(Struct, frozen=True, kw_only=True):
    """No money was set aside for an enrollment."""

    child_id: ChildId
    certificate_number: CertificateNumber | None = None
    enrollment_id: EnrollmentId
    reason: FundsRefusal
    certificate_share_kopecks: Kopecks | None = None
    parent_share_kopecks: Kopecks | None = None
    parent_share_max_kopecks: Kopecks
    why: Why


class LessonCharged(Struct, frozen=True, kw_only=True):
    """A lesson was charged to the certificate."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    lesson_id: LessonId
    lesson_date: date
    mark: Mark
    revision: Revision
    amount_kopecks: Kopecks
    lessons_charged: int
    lessons_left: int
    purse: Purse
    why: Why


class LessonNotCharged(Struct, frozen=True, kw_only=True):
    """A mark was heard and moves no money."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    lesson_id: LessonId
    lesson_date: date
    mark: Mark
    revision: Revision
    reason: NotCharged
    why: Why


class ChargeReversed(Struct, frozen=True, kw_only=True):
    """A charge of a lesson was taken back by the very amount."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    lesson_id: LessonId
    lesson_date: date
    mark: Mark
    revision: Revision
    amount_kopecks: Kopecks
    lessons_charged: int
    lessons_left: int
    purse: Purse
    why: Why


class MonthCharged(Struct, frozen=True, kw_only=True):
    """A month of an agreement was charged."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    month: Month
    amount_kopecks: Kopecks
    purse: Purse
    why: Why


class MonthReversed(Struct, frozen=True, kw_only=True):
    """The charge of a month was taken back."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    month: Month
    amount_kopecks: Kopecks
    purse: Purse
    why: Why


class MonthAdjusted(Struct, frozen=True, kw_only=True):
    """What the provider cancelled in a charged month went back; 0 where it cancelled nothing."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    month: Month
    amount_kopecks: Kopecks
    marked: int
    cancelled: int
    purse: Purse
    why: Why


class ReserveReleased(Struct, frozen=True, kw_only=True):
    """What was set aside and not charged returned to the balance."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    amount_kopecks: Kopecks
    cause: str
    purse: Purse


class InvoiceLine(Struct, frozen=True, kw_only=True):
    """What one enrollment adds to an invoice; negative if more went back than was charged."""

    line_reference: LineReference
    enrollment_id: EnrollmentId
    certificate_number: CertificateNumber
    lessons: int
    amount_kopecks: SignedKopecks


class InvoiceIssued(Struct, frozen=True, kw_only=True):
    """What the payer owes a provider for a month; `amount_kopecks` is of the whole invoice."""

    invoice_id: InvoiceId
    provider_id: ProviderId
    month: Month
    amount_kopecks: Kopecks
    lines: tuple[InvoiceLine, ...]
    part: int | None = None
    parts: int | None = None


class InvoiceSettled(Struct, frozen=True, kw_only=True):
    """The payer paid an invoice."""

    invoice_id: InvoiceId
    provider_id: ProviderId
    paid_on: date
    payment_reference: str
    amount_kopecks: Kopecks


class DisputeOpened(Struct, frozen=True, kw_only=True):
    """A family disputes the debit of a lesson; `amount_kopecks` is what was charged."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    lesson_id: LessonId
    lesson_date: date
    ground: DisputeGround
    amount_kopecks: Kopecks
    why: Why


class DisputeSettled(Struct, frozen=True, kw_only=True):
    """The debit was taken back, or it stands; `by` and `evidence` are those of an answer."""

    child_id: ChildId
    certificate_number: CertificateNumber
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    lesson_id: LessonId
    lesson_date: date
    outcome: DisputeOutcome
    by: AnsweredBy | None = None
    evidence: Evidence | None = None
    amount_kopecks: Kopecks
    why: Why


AccountFact: TypeAlias = AccountOpened | NominalApplied | PeriodExpired
"""Names child and period."""

Movement: TypeAlias = LessonCharged | ChargeReversed | MonthCharged | MonthReversed | MonthAdjusted
"""Changes what is owed to a provider."""

Fact: TypeAlias = (
    AccountFact
    | FundsReserved
    | FundsRefused
    | Movement
    | LessonNotCharged
    | ReserveReleased
    | InvoiceIssued
    | InvoiceSettled
    | DisputeOpened
    | DisputeSettled
)
