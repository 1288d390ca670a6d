"""Disputes about a debit, on `disputes.events.v1`: a family's word and the answer to it.

The cabinet sends them as the source `disputes`. Keyed by the payer of the child. `docs/events.md`,
section 3.
"""

from typing import ClassVar

from pydantic import Field

from contracts.envelope import EventData
from contracts.fields import (
    AnsweredBy,
    DisputeAnswer,
    DisputeGround,
    EnrollmentId,
    Evidence,
    GuardianId,
    LessonId,
)


class LessonDisputed(EventData):
    """A guardian says that a lesson was charged that the child did not have."""

    type: ClassVar[str] = "disputes.lesson-disputed.v1"
    subject_field: ClassVar[str] = "enrollment_id"
    natural_key: ClassVar[tuple[str, ...]] = ("enrollment_id", "lesson_id")

    enrollment_id: EnrollmentId
    lesson_id: LessonId
    guardian_id: GuardianId
    ground: DisputeGround


class DisputeAnswered(EventData):
    """The provider, or the payer, says that the child was at the lesson after all."""

    type: ClassVar[str] = "disputes.dispute-answered.v1"
    subject_field: ClassVar[str] = "enrollment_id"
    natural_key: ClassVar[tuple[str, ...]] = ("enrollment_id", "lesson_id")

    enrollment_id: EnrollmentId
    lesson_id: LessonId
    by: AnsweredBy
    answer: DisputeAnswer = Field(
        description="Who agrees with the family corrects the mark instead"
    )
    evidence: Evidence = Field(description="What the answer rests on")
