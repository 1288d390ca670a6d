"""What can happen to applications, agreements and places. Published as `contracts.enrollment`."""

from collections.abc import Mapping
from datetime import date
from typing import TypeAlias

from msgspec import Struct

from contracts.vocabulary import (
    ApplicationRefusal,
    ChildId,
    EndCause,
    EnrollmentId,
    GroupId,
    GuardianId,
    Kopecks,
    PeriodId,
    ProviderId,
)
from services.enrollment.domain.terms import Terms

Why: TypeAlias = Mapping[str, str]
"""Which rule led here: table, from, row and basis where a table decides, and always text."""


class ApplicationRegistered(Struct, frozen=True, kw_only=True):
    """An application was taken; a place is asked for."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    group_id: GroupId
    guardian_id: GuardianId


class ApplicationRefused(Struct, frozen=True, kw_only=True):
    """An application led to no agreement."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    reason: ApplicationRefusal
    why: Why


class ApplicationWaitlisted(Struct, frozen=True, kw_only=True):
    """The group is full and the application waits for a place; position 1 is the next."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    position: int


class PlaceHeld(Struct, frozen=True, kw_only=True):
    """A place is kept for the child until the provider accepts."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    terms: Terms
    held_until: date


class ChildEnrolled(Struct, frozen=True, kw_only=True):
    """A child has a place and an accepted application; money is not settled yet."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    terms: Terms
    starts_on: date
    ends_on: date
    period: PeriodId
    parent_share_max_kopecks: Kopecks
    guardian_id: GuardianId


class AgreementActivated(Struct, frozen=True, kw_only=True):
    """Money is set aside and the agreement is in force."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    provider_id: ProviderId
    starts_on: date
    ends_on: date
    certificate_share_kopecks: Kopecks
    parent_share_kopecks: Kopecks


class EnrollmentCancelled(Struct, frozen=True, kw_only=True):
    """Funds were refused before the agreement became active."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    reason: ApplicationRefusal
    why: Why


class EnrollmentEnded(Struct, frozen=True, kw_only=True):
    """An active agreement came to its end; `ended_on` is its last day."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    ended_on: date
    cause: EndCause


class GroupChanged(Struct, frozen=True, kw_only=True):
    """The numbers of a group after one step.

    Each fact is one step, which a reader can tell from the difference to the fact before: one
    more taken or waiting is the enrollment of the input, one less is the enrollment of the input,
    one more taken and one less waiting is the first of the waiting list.
    """

    group_id: GroupId
    capacity: int
    taken: int
    waiting: int


EnrollmentFact: TypeAlias = (
    ApplicationRegistered
    | ApplicationRefused
    | ApplicationWaitlisted
    | PlaceHeld
    | ChildEnrolled
    | AgreementActivated
    | EnrollmentCancelled
    | EnrollmentEnded
)
Fact: TypeAlias = EnrollmentFact | GroupChanged
