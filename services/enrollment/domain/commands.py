"""What the partitions of a child and of a group ask each other, by `enrollment.commands.v1`."""

from typing import TypeAlias

from msgspec import Struct

from contracts.vocabulary import (
    ApplicationRefusal,
    EnrollmentId,
    GroupId,
    PayerCode,
    PlaceAnswer,
)
from services.enrollment.domain.terms import Terms


class PlaceRequested(Struct, frozen=True, kw_only=True):
    """Give this enrollment a place."""

    enrollment_id: EnrollmentId
    child_payer: PayerCode
    group_id: GroupId
    waitlist_ok: bool


class PlaceAnswered(Struct, frozen=True, kw_only=True):
    """The place is held (on these terms), waited for (in this position) or refused (why)."""

    enrollment_id: EnrollmentId
    answer: PlaceAnswer
    reason: ApplicationRefusal | None = None
    position: int | None = None
    terms: Terms | None = None


class PlaceReturned(Struct, frozen=True, kw_only=True):
    """The enrollment gives back its place, or its turn in the waiting list."""

    enrollment_id: EnrollmentId
    group_id: GroupId
    reason: str


Command: TypeAlias = PlaceRequested | PlaceAnswered | PlaceReturned


class To(Struct, frozen=True):
    """A command and the payer in whose partition it is decided."""

    payer: PayerCode
    command: Command
