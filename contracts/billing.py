"""Events billing publishes on `billing.events.v1`, keyed by the payer.

`docs/events.md`, section 4.
"""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from contracts.envelope import Part
from contracts.fields import (
    AnsweredBy,
    CertificateNumber,
    ChildId,
    Count,
    Date,
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
    Many,
    Mark,
    Month,
    NominalCause,
    NotCharged,
    PeriodId,
    Position,
    ProviderId,
    Revision,
    SignedCount,
    SignedKopecks,
    Text,
    Word,
)
from contracts.published import PublishedFact, Why


class Purse(Part):
    """The money of a certificate in a period after the fact; nominal is the sum of the others."""

    nominal_kopecks: Kopecks
    balance_kopecks: Kopecks
    reserved_kopecks: Kopecks
    paid_kopecks: Kopecks
    expired_kopecks: Kopecks

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        held = self.balance_kopecks + self.reserved_kopecks
        gone = self.paid_kopecks + self.expired_kopecks
        if self.nominal_kopecks != held + gone:
            raise ValueError("nominal must be balance + reserved + paid + expired")
        return self


class _BillingFact(PublishedFact):
    subject_field: ClassVar[str] = "enrollment_id"

    child_id: ChildId
    certificate_number: CertificateNumber


class AccountOpened(_BillingFact):
    """A certificate has a purse in a period."""

    type: ClassVar[str] = "billing.account-opened.v1"
    subject_field: ClassVar[str] = "child_id"

    period: PeriodId
    purse: Purse


class FundsReserved(_BillingFact):
    """Money was set aside for an enrollment."""

    type: ClassVar[str] = "billing.funds-reserved.v1"

    enrollment_id: EnrollmentId
    provider_id: ProviderId
    debit_basis: DebitBasis = Field(description="Frozen for the life of the agreement")
    starts_on: Date
    ends_on: Date
    total_kopecks: Kopecks
    certificate_share_kopecks: Kopecks
    parent_share_kopecks: Kopecks
    lessons: Count = Field(description="How many lessons the certificate share is charged in")
    lesson_share_kopecks: Kopecks
    first_lesson_extra_kopecks: Kopecks = Field(
        description="What the division leaves over; the first charge holds it"
    )
    purse: Purse
    why: Why


class FundsRefused(PublishedFact):
    """No money was set aside for an enrollment."""

    type: ClassVar[str] = "billing.funds-refused.v1"
    subject_field: ClassVar[str] = "enrollment_id"

    child_id: ChildId
    certificate_number: CertificateNumber | None = Field(
        default=None, description="Absent where there is no certificate"
    )
    enrollment_id: EnrollmentId
    reason: FundsRefusal
    certificate_share_kopecks: Kopecks | None = None
    parent_share_kopecks: Kopecks | None = None
    parent_share_max_kopecks: Kopecks
    why: Why


class LessonCharged(_BillingFact):
    """A lesson was charged to the certificate."""

    type: ClassVar[str] = "billing.lesson-charged.v1"

    enrollment_id: EnrollmentId
    provider_id: ProviderId
    lesson_id: LessonId
    lesson_date: Date
    mark: Mark
    revision: Revision = Field(description="Of the mark")
    amount_kopecks: Kopecks
    lessons_charged: Count
    lessons_left: Count
    purse: Purse
    why: Why


class LessonNotCharged(_BillingFact):
    """A mark was heard and moves no money."""

    type: ClassVar[str] = "billing.lesson-not-charged.v1"

    enrollment_id: EnrollmentId
    lesson_id: LessonId
    lesson_date: Date
    mark: Mark
    revision: Revision = Field(description="Of the mark")
    reason: NotCharged
    why: Why


class ChargeReversed(_BillingFact):
    """A charge of a lesson was taken back by the very amount."""

    type: ClassVar[str] = "billing.charge-reversed.v1"

    enrollment_id: EnrollmentId
    provider_id: ProviderId
    lesson_id: LessonId
    lesson_date: Date
    mark: Mark
    revision: Revision = Field(description="Of the mark")
    amount_kopecks: Kopecks = Field(description="What goes back")
    lessons_charged: Count
    lessons_left: Count
    purse: Purse
    why: Why


class _MonthFact(_BillingFact):
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    month: Month
    amount_kopecks: Kopecks
    purse: Purse
    why: Why


class MonthCharged(_MonthFact):
    """A month of an agreement was charged (basis MONTHLY_CONTRACT)."""

    type: ClassVar[str] = "billing.month-charged.v1"


class MonthReversed(_MonthFact):
    """The charge of a month was taken back."""

    type: ClassVar[str] = "billing.month-reversed.v1"


class MonthAdjusted(_BillingFact):
    """The provider cancelled lessons of a charged month, and that share goes back."""

    type: ClassVar[str] = "billing.month-adjusted.v1"

    enrollment_id: EnrollmentId
    provider_id: ProviderId
    month: Month
    amount_kopecks: Kopecks = Field(description="What goes back")
    marked: Count = Field(description="Lessons of the month with a mark")
    cancelled: Count = Field(description="Those of them the provider cancelled")
    purse: Purse
    why: Why


class ReserveReleased(_BillingFact):
    """What was set aside and not charged returns to the balance."""

    type: ClassVar[str] = "billing.reserve-released.v1"

    enrollment_id: EnrollmentId
    amount_kopecks: Kopecks
    cause: Word = Field(description="What ended the reserve, e.g. `ended`, `cancelled`")
    purse: Purse


class NominalApplied(_BillingFact):
    """A purse follows a new nominal, by the difference."""

    type: ClassVar[str] = "billing.nominal-applied.v1"
    subject_field: ClassVar[str] = "child_id"

    period: PeriodId
    previous_kopecks: Kopecks
    nominal_kopecks: Kopecks
    cause: NominalCause
    purse: Purse


class PeriodExpired(_BillingFact):
    """The balance left at the period's end went back to the budget."""

    type: ClassVar[str] = "billing.period-expired.v1"
    subject_field: ClassVar[str] = "child_id"

    period: PeriodId
    expired_kopecks: Kopecks
    purse: Purse


class InvoiceLine(Part):
    """What one enrollment adds to an invoice; negative if more went back than was charged."""

    line_reference: LineReference = Field(description="`<invoice_id>/<n>`")
    enrollment_id: EnrollmentId
    certificate_number: CertificateNumber
    lessons: SignedCount
    amount_kopecks: SignedKopecks


class InvoiceIssued(PublishedFact):
    """What a payer owes a provider for a month."""

    type: ClassVar[str] = "billing.invoice-issued.v1"
    subject_field: ClassVar[str] = "invoice_id"

    invoice_id: InvoiceId = Field(description="`inv-<payer>-<provider_id>-<YYYY-MM>`")
    provider_id: ProviderId
    month: Month
    amount_kopecks: Kopecks = Field(description="Of the whole invoice")
    lines: Many[InvoiceLine] = Field(description="Sorted by enrollment id")
    part: Position | None = Field(default=None, description="Which part of a long invoice")
    parts: Position | None = Field(default=None, description="How many parts there are")


class InvoiceSettled(PublishedFact):
    """A payer paid an invoice."""

    type: ClassVar[str] = "billing.invoice-settled.v1"
    subject_field: ClassVar[str] = "invoice_id"

    invoice_id: InvoiceId
    provider_id: ProviderId
    paid_on: Date
    payment_reference: Text
    amount_kopecks: Kopecks


class _DisputeFact(_BillingFact):
    enrollment_id: EnrollmentId
    provider_id: ProviderId
    lesson_id: LessonId
    lesson_date: Date


class DisputeOpened(_DisputeFact):
    """A family disputes the debit of a lesson; no money moves until the mark is corrected."""

    type: ClassVar[str] = "billing.dispute-opened.v1"

    ground: DisputeGround
    amount_kopecks: Kopecks = Field(description="What the lesson was charged")
    why: Why


class DisputeSettled(_DisputeFact):
    """A dispute is over: the debit was taken back, or it stands."""

    type: ClassVar[str] = "billing.dispute-settled.v1"

    outcome: DisputeOutcome = Field(
        description="`corrected` follows `charge-reversed` in its decision, `upheld` an answer"
    )
    by: AnsweredBy | None = Field(default=None, description="Who answered; only if `upheld`")
    evidence: Evidence | None = Field(
        default=None, description="What the answer rests on; only if `upheld`"
    )
    amount_kopecks: Kopecks = Field(description="What the lesson was charged when it was disputed")
    why: Why
