"""What is known of one lesson of one enrollment. `docs/rules.md`, section 6."""

from datetime import date

from msgspec import Struct

from contracts.vocabulary import EnrollmentId, Kopecks, LessonId, Mark, NotCharged, Revision
from services.billing.domain.facts import ChargeReversed, LessonCharged, LessonNotCharged


class Lesson(Struct, frozen=True, kw_only=True):
    """The mark with the highest revision, and what it cost.

    `charged_kopecks` is None if no charge stands; a standing charge may be of nothing.
    `exhausted_at` orders the lessons that came when all paid ones were used up, by arrival.
    """

    lesson_date: date
    mark: Mark
    revision: Revision
    charged_kopecks: Kopecks | None = None
    exhausted_at: int | None = None


LessonFact = LessonCharged | LessonNotCharged | ChargeReversed


def after(lesson: Lesson | None, fact: LessonFact, arrival: int) -> Lesson:
    """Return the lesson after a fact about it; `arrival` numbers the facts in their order."""
    charged_kopecks = exhausted_at = None
    match fact:
        case LessonCharged():
            charged_kopecks = fact.amount_kopecks
        case LessonNotCharged() if lesson is not None:
            charged_kopecks, exhausted_at = lesson.charged_kopecks, lesson.exhausted_at
    is_exhausted = (
        isinstance(fact, LessonNotCharged) and fact.reason is NotCharged.LESSONS_EXHAUSTED
    )
    return Lesson(
        lesson_date=fact.lesson_date,
        mark=fact.mark,
        revision=fact.revision,
        charged_kopecks=charged_kopecks,
        exhausted_at=(arrival if exhausted_at is None else exhausted_at) if is_exhausted else None,
    )


def lesson_id(enrollment_id: EnrollmentId, id_: LessonId) -> str:
    """Return the id a lesson of an enrollment is kept under."""
    return f"{enrollment_id}/{id_}"
