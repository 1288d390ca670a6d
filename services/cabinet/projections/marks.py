"""Marks of lessons, as the journal of billing answers them: for the teacher's journal.

Known is every revision that was sent, refused and parked ones too: under a number that was used
once another mark would be refused as a conflict (docs/events.md, section 3).
"""

from msgspec.structs import replace

from contracts.attendance import LessonMarked
from contracts.envelope import Envelope
from contracts.vocabulary import Service
from services.cabinet.projections.models import MARKS, LessonMark, member, under
from services.cabinet.projections.projection import accepts, payer_of, unsettled
from streaming.follower import Models


@accepts(Service.BILLING, LessonMarked)
def lesson_marked(event: LessonMarked, envelope: Envelope, models: Models) -> None:
    """The highest revision counts; of what was decided late, an older one changes nothing."""
    known = _known(event, envelope, models)
    if event.revision >= known.revision:
        known = replace(known, mark=event.mark.value, revision=event.revision, trouble=None)
        _keep(replace(known, waits=False), event, envelope, models)


@unsettled(Service.BILLING, LessonMarked)
def lesson_not_marked(
    event: LessonMarked, envelope: Envelope, models: Models, trouble: str | None
) -> None:
    """The mark waits, or was refused; the one before counts on."""
    known = _known(event, envelope, models)
    if event.revision >= known.revision:
        waits = trouble is None
        known = replace(known, revision=event.revision, trouble=trouble, waits=waits)
        _keep(known, event, envelope, models)


def _known(event: LessonMarked, envelope: Envelope, models: Models) -> LessonMark:
    known = models.find(LessonMark, _id(event, envelope))
    return known or LessonMark(lesson_date=event.lesson_date, revision=0)


def _keep(mark: LessonMark, event: LessonMarked, envelope: Envelope, models: Models) -> None:
    models.put(_id(event, envelope), mark)
    day = mark.lesson_date.isoformat()
    models.add(MARKS, member(payer_of(envelope), event.enrollment_id, day, event.lesson_id))


def _id(event: LessonMarked, envelope: Envelope) -> str:
    return under(payer_of(envelope), event.enrollment_id, event.lesson_id)
