"""Events of the municipalities' and the operator's back office on `payers.events.v1`.

Keyed by the payer, which is part of the natural key. `docs/events.md`, section 3.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from contracts.envelope import EventData
from contracts.fields import (
    CategoryId,
    ChildId,
    Count,
    CountedDate,
    Date,
    DebitBasis,
    FrameAgreementState,
    InvoiceId,
    IssueMode,
    Kopecks,
    Many,
    PeriodId,
    ProviderId,
    Revision,
    TableName,
    Text,
)


class PeriodOpened(EventData):
    """A payer opens an accounting period."""

    type: ClassVar[str] = "payers.period-opened.v1"
    subject_field: ClassVar[str] = "period"
    natural_key: ClassVar[tuple[str, ...]] = ("period",)
    keyed_by_payer: ClassVar[bool] = True

    period: PeriodId
    starts_on: CountedDate
    ends_on: CountedDate
    basis: Text

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.starts_on > self.ends_on:
            raise ValueError("starts_on must not be after ends_on")
        return self


class EnrollmentClosed(EventData):
    """A payer takes no more applications for a period from a day on."""

    type: ClassVar[str] = "payers.enrollment-closed.v1"
    subject_field: ClassVar[str] = "period"
    natural_key: ClassVar[tuple[str, ...]] = ("period", "closes_on")
    keyed_by_payer: ClassVar[bool] = True

    period: PeriodId
    closes_on: Date = Field(description="At least 2 days after the business day")


class CategorySet(EventData):
    """A payer sets nominal, places and budget of a category in a period."""

    type: ClassVar[str] = "payers.category-set.v1"
    subject_field: ClassVar[str] = "category"
    natural_key: ClassVar[tuple[str, ...]] = ("category", "period")
    revision_field: ClassVar[str | None] = "revision"
    keyed_by_payer: ClassVar[bool] = True

    category: CategoryId
    period: PeriodId
    unit: Literal["RUB"]
    nominal_kopecks: Kopecks
    places_max: Count
    budget_max_kopecks: Kopecks
    revision: Revision


class FrameAgreementSet(EventData):
    """Payer and provider signed or ended their frame agreement for a period."""

    type: ClassVar[str] = "payers.frame-agreement-set.v1"
    subject_field: ClassVar[str] = "provider_id"
    natural_key: ClassVar[tuple[str, ...]] = ("provider_id", "period")
    revision_field: ClassVar[str | None] = "revision"
    keyed_by_payer: ClassVar[bool] = True

    provider_id: ProviderId
    period: PeriodId
    state: FrameAgreementState
    limit_kopecks: Kopecks | None = Field(description="null is no limit")
    revision: Revision


class PolicySet(EventData):
    """A payer chooses what is charged by and when certificates are issued in a period."""

    type: ClassVar[str] = "payers.policy-set.v1"
    subject_field: ClassVar[str] = "period"
    natural_key: ClassVar[tuple[str, ...]] = ("period",)
    revision_field: ClassVar[str | None] = "revision"
    keyed_by_payer: ClassVar[bool] = True

    period: PeriodId
    debit_basis: DebitBasis = Field(description="ATTENDED_LESSONS without a policy")
    issue_mode: IssueMode = Field(description="ON_ENROLLMENT without a policy")
    revision: Revision


class RulesPublished(EventData):
    """A payer publishes its own rows of a rule table."""

    type: ClassVar[str] = "payers.rules-published.v1"
    subject_field: ClassVar[str] = "table"
    natural_key: ClassVar[tuple[str, ...]] = ("table", "from", "published")
    keyed_by_payer: ClassVar[bool] = True

    table: TableName
    from_: Annotated[Date, Field(alias="from", description="First day in force")]
    published: Date = Field(description="Day it could be known")
    basis: Text = Field(description="The paper it rests on")
    rows: Many[dict[str, Any]] = Field(description="In the rulebook's own form")


class CertificateFreezeSet(EventData):
    """A payer freezes a certificate, or lifts the freeze."""

    type: ClassVar[str] = "payers.certificate-freeze-set.v1"
    subject_field: ClassVar[str] = "child_id"
    natural_key: ClassVar[tuple[str, ...]] = ("child_id",)
    revision_field: ClassVar[str | None] = "revision"
    keyed_by_payer: ClassVar[bool] = True

    child_id: ChildId
    frozen: bool
    reason: Text
    revision: Revision


class NominalCorrected(EventData):
    """A payer corrects the nominal of one certificate by hand."""

    type: ClassVar[str] = "payers.nominal-corrected.v1"
    subject_field: ClassVar[str] = "child_id"
    natural_key: ClassVar[tuple[str, ...]] = ("child_id", "period")
    revision_field: ClassVar[str | None] = "revision"
    keyed_by_payer: ClassVar[bool] = True

    child_id: ChildId
    period: PeriodId
    nominal_kopecks: Kopecks
    reason: Text
    revision: Revision


class InvoicePaid(EventData):
    """A payer paid an invoice of a provider."""

    type: ClassVar[str] = "payers.invoice-paid.v1"
    subject_field: ClassVar[str] = "invoice_id"
    natural_key: ClassVar[tuple[str, ...]] = ("invoice_id",)
    keyed_by_payer: ClassVar[bool] = True

    invoice_id: InvoiceId
    paid_on: Date
    payment_reference: Text
