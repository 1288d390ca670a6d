"""Events enrollment publishes on `enrollment.events.v1`, keyed by the payer of the child.

`enrollment.group-changed` is keyed by the municipality of the provider.
`docs/events.md`, section 4.
"""

from typing import ClassVar

from pydantic import Field

from contracts.envelope import Part
from contracts.fields import (
    AgeYears,
    ApplicationRefusal,
    ChildId,
    Count,
    CountedDate,
    Date,
    Direction,
    EndCause,
    EnrollmentId,
    GroupId,
    GuardianId,
    Kopecks,
    LessonsTotal,
    PayerCode,
    PeriodId,
    Position,
    ProgrammeId,
    ProviderId,
    Registry,
    Revision,
    Text,
)
from contracts.published import PublishedFact, Why


class Terms(Part):
    """What the group was at the moment of holding, frozen for the life of the agreement."""

    group_id: GroupId
    group_home: PayerCode
    provider_id: ProviderId
    programme_id: ProgrammeId
    title: Text
    registry: Registry
    direction: Direction
    age_min: AgeYears
    age_max: AgeYears
    price_kopecks: Kopecks
    normative_kopecks: Kopecks
    lessons_total: LessonsTotal
    starts_on: CountedDate
    ends_on: CountedDate
    auto_accept: bool
    revision: Revision = Field(description="Of the group")


class _EnrollmentFact(PublishedFact):
    subject_field: ClassVar[str] = "enrollment_id"

    enrollment_id: EnrollmentId
    child_id: ChildId


class ApplicationRegistered(_EnrollmentFact):
    """An application was taken; a place is asked for."""

    type: ClassVar[str] = "enrollment.application-registered.v1"

    group_id: GroupId
    guardian_id: GuardianId


class ApplicationRefused(_EnrollmentFact):
    """An application led to no agreement."""

    type: ClassVar[str] = "enrollment.application-refused.v1"

    reason: ApplicationRefusal
    why: Why


class ApplicationWaitlisted(_EnrollmentFact):
    """The group is full and the application waits for a place."""

    type: ClassVar[str] = "enrollment.application-waitlisted.v1"

    position: Position = Field(description="1 is the next")


class PlaceHeld(_EnrollmentFact):
    """A place is kept for the child until the provider accepts."""

    type: ClassVar[str] = "enrollment.place-held.v1"

    terms: Terms
    held_until: Date


class ChildEnrolled(_EnrollmentFact):
    """A child has a place and an accepted application; money is not settled yet."""

    type: ClassVar[str] = "enrollment.child-enrolled.v1"

    terms: Terms
    starts_on: Date
    ends_on: Date
    period: PeriodId
    parent_share_max_kopecks: Kopecks
    guardian_id: GuardianId


class AgreementActivated(_EnrollmentFact):
    """Money is set aside and the agreement is in force."""

    type: ClassVar[str] = "enrollment.agreement-activated.v1"

    provider_id: ProviderId
    starts_on: Date
    ends_on: Date
    certificate_share_kopecks: Kopecks
    parent_share_kopecks: Kopecks


class EnrollmentCancelled(_EnrollmentFact):
    """Funds were refused, or the enrollment was withdrawn before it became active."""

    type: ClassVar[str] = "enrollment.enrollment-cancelled.v1"

    reason: ApplicationRefusal
    why: Why


class EnrollmentEnded(_EnrollmentFact):
    """An active agreement came to its end."""

    type: ClassVar[str] = "enrollment.enrollment-ended.v1"

    ended_on: Date = Field(description="The last day of the agreement")
    cause: EndCause


class GroupChanged(PublishedFact):
    """Places or waiting list of a group changed."""

    type: ClassVar[str] = "enrollment.group-changed.v1"
    subject_field: ClassVar[str] = "group_id"

    group_id: GroupId
    capacity: Count
    taken: Count
    waiting: Count
