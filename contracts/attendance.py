"""Events of providers' journals on `attendance.events.v1` and the topics of other journals.

Keyed by the payer of the child. `docs/events.md`, section 3.
"""

from typing import ClassVar

from pydantic import Field

from contracts.envelope import EventData
from contracts.fields import Date, EnrollmentId, Evidence, LessonId, Mark, Revision


class LessonMarked(EventData):
    """A journal says whether a child was at a lesson; a higher revision corrects the mark."""

    type: ClassVar[str] = "attendance.lesson-marked.v1"
    subject_field: ClassVar[str] = "enrollment_id"
    natural_key: ClassVar[tuple[str, ...]] = ("enrollment_id", "lesson_id")
    revision_field: ClassVar[str | None] = "revision"

    enrollment_id: EnrollmentId
    lesson_id: LessonId
    lesson_date: Date
    mark: Mark
    evidence: Evidence
    revision: Revision = Field(
        description="2 and up correct the mark; they may arrive in any order, the highest counts"
    )
