"""Events of the Navigator portal on `navigator.events.v1`.

Keyed by the payer of the child's residence, or by the municipality of the provider.
`docs/events.md`, section 3.
"""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from contracts.envelope import EventData
from contracts.fields import (
    AgeYears,
    BenefitCode,
    Channel,
    ChildId,
    ClockTime,
    Consent,
    Count,
    CountedDate,
    Date,
    Direction,
    EnrollmentId,
    GroupId,
    GuardianId,
    Kopecks,
    LessonsTotal,
    Many,
    PayerCode,
    PeriodId,
    ProgrammeId,
    ProviderId,
    ProviderState,
    Registry,
    Revision,
    TerminatedBy,
    Text,
    UtcOffset,
    Word,
)


class ProviderRegistered(EventData):
    """A provider is known in its municipality, or its state has changed."""

    type: ClassVar[str] = "navigator.provider-registered.v1"
    subject_field: ClassVar[str] = "provider_id"
    natural_key: ClassVar[tuple[str, ...]] = ("provider_id",)
    revision_field: ClassVar[str | None] = "revision"

    provider_id: ProviderId
    title: Text
    state: ProviderState
    revision: Revision


class GroupPublished(EventData):
    """A group of a program is offered, or its terms have changed."""

    type: ClassVar[str] = "navigator.group-published.v1"
    subject_field: ClassVar[str] = "group_id"
    natural_key: ClassVar[tuple[str, ...]] = ("group_id",)
    revision_field: ClassVar[str | None] = "revision"

    group_id: GroupId
    provider_id: ProviderId
    programme_id: ProgrammeId
    title: Text
    registry: Registry
    direction: Direction
    age_min: AgeYears = Field(description="Whole years, inclusive")
    age_max: AgeYears = Field(description="Whole years, inclusive")
    capacity: Count
    starts_on: CountedDate
    ends_on: CountedDate
    lessons_total: LessonsTotal
    price_kopecks: Kopecks = Field(description="Of the whole course of one child")
    normative_kopecks: Kopecks = Field(
        description="Of the whole course of one child; the budget never pays above it"
    )
    enrollment_open: bool
    auto_accept: bool = Field(description="Whether a held place is accepted without the provider")
    revision: Revision

    @model_validator(mode="after")
    def _spans_run_forward(self) -> Self:
        if self.age_min > self.age_max:
            raise ValueError("age_min must not exceed age_max")
        if self.starts_on > self.ends_on:
            raise ValueError("starts_on must not be after ends_on")
        return self


class ChildRegistered(EventData):
    """A child is known to its payer, under an id that says nothing about it."""

    type: ClassVar[str] = "navigator.child-registered.v1"
    subject_field: ClassVar[str] = "child_id"
    natural_key: ClassVar[tuple[str, ...]] = ("child_id",)
    revision_field: ClassVar[str | None] = "revision"

    child_id: ChildId
    birth_date: CountedDate
    guardian_ids: Many[GuardianId] = Field(min_length=1, max_length=4)
    benefits: Many[BenefitCode] = Field(
        max_length=5, description="Codes of the region's own list; their meaning stays off the bus"
    )
    revision: Revision


class ApplicationSubmitted(EventData):
    """A guardian applies for a place in a group."""

    type: ClassVar[str] = "navigator.application-submitted.v1"
    subject_field: ClassVar[str] = "enrollment_id"
    natural_key: ClassVar[tuple[str, ...]] = ("enrollment_id",)

    enrollment_id: EnrollmentId = Field(
        description="Given by the Navigator; names application, agreement and reserve"
    )
    child_id: ChildId
    guardian_id: GuardianId
    group_id: GroupId
    group_home: PayerCode = Field(description="OKTMO code of the provider's municipality")
    parent_share_max_kopecks: Kopecks = Field(
        description="What the parent agreed to pay at most; 0 is nothing"
    )
    consents: Many[Consent] = Field(max_length=16)
    waitlist_ok: bool = Field(description="Whether to wait where the group is full")


class ApplicationAccepted(EventData):
    """The provider accepts an application."""

    type: ClassVar[str] = "navigator.application-accepted.v1"
    subject_field: ClassVar[str] = "enrollment_id"
    natural_key: ClassVar[tuple[str, ...]] = ("enrollment_id",)

    enrollment_id: EnrollmentId


class ApplicationRejected(EventData):
    """The provider rejects an application."""

    type: ClassVar[str] = "navigator.application-rejected.v1"
    subject_field: ClassVar[str] = "enrollment_id"
    natural_key: ClassVar[tuple[str, ...]] = ("enrollment_id",)

    enrollment_id: EnrollmentId
    reason: Text


class ApplicationWithdrawn(EventData):
    """The guardian withdraws an application."""

    type: ClassVar[str] = "navigator.application-withdrawn.v1"
    subject_field: ClassVar[str] = "enrollment_id"
    natural_key: ClassVar[tuple[str, ...]] = ("enrollment_id",)

    enrollment_id: EnrollmentId
    reason: Text | None = None


class EnrollmentTerminated(EventData):
    """An agreement is given up before its time."""

    type: ClassVar[str] = "navigator.enrollment-terminated.v1"
    subject_field: ClassVar[str] = "enrollment_id"
    natural_key: ClassVar[tuple[str, ...]] = ("enrollment_id",)

    enrollment_id: EnrollmentId
    by: TerminatedBy
    notice_on: Date
    reason: Text


class CertificateRequested(EventData):
    """A guardian asks for the child's certificate of a period."""

    type: ClassVar[str] = "navigator.certificate-requested.v1"
    subject_field: ClassVar[str] = "child_id"
    natural_key: ClassVar[tuple[str, ...]] = ("child_id", "period")
    revision_field: ClassVar[str | None] = "revision"

    child_id: ChildId
    period: PeriodId
    revision: Revision


class PreferencesSet(EventData):
    """A guardian says how and when to be told what."""

    type: ClassVar[str] = "navigator.preferences-set.v1"
    subject_field: ClassVar[str] = "guardian_id"
    natural_key: ClassVar[tuple[str, ...]] = ("guardian_id",)
    revision_field: ClassVar[str | None] = "revision"

    guardian_id: GuardianId
    channels: dict[Word, Many[Channel]] = Field(
        max_length=32, description="By category of message, the channels to use"
    )
    quiet_from: ClockTime | None = Field(default=None, description="`HH:MM`")
    quiet_until: ClockTime | None = Field(default=None, description="`HH:MM`")
    utc_offset: UtcOffset | None = Field(
        default=None,
        description="Of the zone in which hours are quiet, `+HH:MM`; without it `+08:00`, Irkutsk",
    )
    digest: bool = Field(description="Whether the debits of a day come as one message")
    revision: Revision
