"""Commands between partitions on `enrollment.commands.v1`: the child's and the group's.

Internal, listed since they cross partitions. Their natural key is the cause of the record, not a
field: one enrollment may be waitlisted, then held. `docs/events.md`, section 3.
"""

from typing import ClassVar

from pydantic import Field

from contracts.enrollment import Terms
from contracts.envelope import EventData
from contracts.fields import (
    ApplicationRefusal,
    EnrollmentId,
    GroupId,
    PayerCode,
    PlaceAnswer,
    Position,
    Text,
)


class PlaceRequested(EventData):
    """The child's partition asks the group's partition for a place."""

    type: ClassVar[str] = "enrollment.place-requested.v1"
    subject_field: ClassVar[str] = "enrollment_id"

    enrollment_id: EnrollmentId
    child_payer: PayerCode = Field(description="Where the answer goes")
    group_id: GroupId
    waitlist_ok: bool


class PlaceAnswered(EventData):
    """The group's partition answers."""

    type: ClassVar[str] = "enrollment.place-answered.v1"
    subject_field: ClassVar[str] = "enrollment_id"

    enrollment_id: EnrollmentId
    answer: PlaceAnswer
    reason: ApplicationRefusal | None = Field(default=None, description="If refused")
    position: Position | None = Field(default=None, description="If waitlisted; 1 is the next")
    terms: Terms | None = Field(default=None, description="If held")


class PlaceReturned(EventData):
    """The child's partition gives a place, or a place in the waiting list, back."""

    type: ClassVar[str] = "enrollment.place-returned.v1"
    subject_field: ClassVar[str] = "enrollment_id"

    enrollment_id: EnrollmentId
    group_id: GroupId
    reason: Text
