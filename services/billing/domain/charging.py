"""What a mark of a lesson leads to. `docs/rules.md`, sections 6 and 7."""

from datetime import date, timedelta
from typing import TypeAlias

from msgspec import Struct

from contracts.vocabulary import (
    EnrollmentId,
    InputRefusal,
    Kopecks,
    LessonId,
    Mark,
    NotCharged,
    Revision,
)
from rulebook.evaluate import Decision
from services.billing.domain import texts
from services.billing.domain.facts import ChargeReversed, LessonCharged, LessonNotCharged, Why
from services.billing.domain.lesson import Lesson
from services.billing.domain.purse import Purse
from services.billing.domain.reserve import Reserve, Status
from services.billing.domain.rules import is_charged

AHEAD_DAYS_MAX = 31
"""A lesson so many days ahead waits for its day; what is further off is a mistake."""


class MarkLesson(Struct, frozen=True, kw_only=True):
    """Charge a lesson, or not, by the mark with the highest revision."""

    enrollment_id: EnrollmentId
    lesson_id: LessonId
    lesson_date: date
    mark: Mark
    revision: Revision


class NotYet(Struct, frozen=True):
    """The lesson is on a day that has not come."""

    day: date


LessonFact: TypeAlias = LessonCharged | LessonNotCharged | ChargeReversed


def hindrance(
    command: MarkLesson,
    reserve: Reserve,
    lesson: Lesson | None,
    *,
    today: date,
    is_month_adjusted: bool,
    may_speak: bool,
) -> InputRefusal | NotYet | None:
    """Return the first reason not to decide a mark now, None if there is none.

    `may_speak` says whether the source may speak for the provider of the reserve.
    """
    if reserve.status is Status.CANCELLED:
        return InputRefusal.AGREEMENT_NOT_ACTIVE
    if not reserve.starts_on <= command.lesson_date <= reserve.last_day:
        return InputRefusal.OUTSIDE_AGREEMENT
    if command.lesson_date > today:
        if command.lesson_date > today + timedelta(days=AHEAD_DAYS_MAX):
            return InputRefusal.FUTURE_LESSON
        return NotYet(command.lesson_date)
    if reserve.status is Status.RELEASED or (reserve.is_monthly and is_month_adjusted):
        return InputRefusal.TOO_LATE
    if lesson is not None and lesson.lesson_date != command.lesson_date:
        return InputRefusal.CONFLICT
    if not may_speak:
        return InputRefusal.OUT_OF_SCOPE
    return None


def decide(
    command: MarkLesson, reserve: Reserve, lesson: Lesson | None, purse: Purse, rule: Decision
) -> LessonFact:
    """Return what follows from a mark that nothing hinders. `rule` is `billing.charging`'s word."""
    is_standing = lesson is not None and lesson.charged_kopecks is not None
    counts = is_charged(rule)
    if reserve.is_monthly:
        reason = NotCharged.MARK_UNCHANGED if counts else _of_mark(command.mark)
        text = texts.not_charged_monthly(command.lesson_date, command.mark)
        return _not_charged(command, reserve, reason, texts.by_table(rule, text))
    if counts and not is_standing:
        if reserve.share_kopecks == 0:
            reason = NotCharged.NO_CERTIFICATE_SHARE
        elif reserve.lessons_charged >= reserve.lessons:
            reason = NotCharged.LESSONS_EXHAUSTED
        else:
            return charge(command, reserve, purse, rule)
    elif is_standing and not counts:
        assert lesson is not None
        return reverse(command, reserve, lesson, purse, rule)
    elif is_standing:
        reason = NotCharged.MARK_UNCHANGED
    else:
        reason = _of_mark(command.mark)
    text = texts.not_charged(rule, command.lesson_date, command.mark, reason)
    return _not_charged(command, reserve, reason, texts.by_table(rule, text))


def charge(
    command: MarkLesson,
    reserve: Reserve,
    purse: Purse,
    rule: Decision,
    *,
    is_instead: bool = False,
) -> LessonCharged:
    """Return the charge of a lesson; it takes the extra if no standing charge holds it.

    `is_instead` says that it was exhausted and takes the place of one that became free.
    """
    amount = reserve.lesson_share_kopecks
    if reserve.extra_lesson is None:
        amount = Kopecks(amount + reserve.first_lesson_extra_kopecks)
    charged = reserve.lessons_charged + 1
    left = reserve.lessons - charged
    wording = texts.charged_instead if is_instead else texts.charged
    rest = Kopecks(reserve.reserved_kopecks - amount)
    return LessonCharged(
        child_id=reserve.child_id,
        certificate_number=reserve.certificate_number,
        enrollment_id=command.enrollment_id,
        provider_id=reserve.provider_id,
        lesson_id=command.lesson_id,
        lesson_date=command.lesson_date,
        mark=command.mark,
        revision=command.revision,
        amount_kopecks=amount,
        lessons_charged=charged,
        lessons_left=left,
        purse=purse.charging(amount),
        why=texts.by_table(rule, wording(rule, command.lesson_date, amount, left, rest)),
    )


def reverse(
    command: MarkLesson, reserve: Reserve, lesson: Lesson, purse: Purse, rule: Decision
) -> ChargeReversed:
    """Return what comes back for a lesson whose mark no longer counts: the very amount."""
    amount = standing_charge(lesson)
    text = texts.reversed_(
        command.lesson_date,
        command.mark,
        amount,
        reserve.lessons - reserve.lessons_charged + 1,
        Kopecks(reserve.reserved_kopecks + amount),
    )
    return _reversed(command, reserve, amount, purse, texts.by_table(rule, text))


def reverse_after_end(
    command: MarkLesson, reserve: Reserve, lesson: Lesson, purse: Purse, ended_on: date
) -> ChargeReversed:
    """Return what comes back for a lesson after the end of its agreement."""
    amount = standing_charge(lesson)
    rest = Kopecks(reserve.reserved_kopecks + amount)
    text = texts.reversed_after_end(command.lesson_date, ended_on, amount, rest)
    return _reversed(command, reserve, amount, purse, texts.by_rules(text))


def command_of(enrollment_id: EnrollmentId, lesson_id: LessonId, lesson: Lesson) -> MarkLesson:
    """Return the mark that holds for a lesson, as it was asked."""
    return MarkLesson(
        enrollment_id=enrollment_id,
        lesson_id=lesson_id,
        lesson_date=lesson.lesson_date,
        mark=lesson.mark,
        revision=lesson.revision,
    )


def standing_charge(lesson: Lesson) -> Kopecks:
    """Return what a lesson with a standing charge cost."""
    assert lesson.charged_kopecks is not None
    return lesson.charged_kopecks


def _reversed(
    command: MarkLesson, reserve: Reserve, amount: Kopecks, purse: Purse, why: Why
) -> ChargeReversed:
    charged = reserve.lessons_charged - 1
    return ChargeReversed(
        child_id=reserve.child_id,
        certificate_number=reserve.certificate_number,
        enrollment_id=command.enrollment_id,
        provider_id=reserve.provider_id,
        lesson_id=command.lesson_id,
        lesson_date=command.lesson_date,
        mark=command.mark,
        revision=command.revision,
        amount_kopecks=amount,
        lessons_charged=charged,
        lessons_left=reserve.lessons - charged,
        purse=purse.reversing(amount),
        why=why,
    )


def _not_charged(
    command: MarkLesson, reserve: Reserve, reason: NotCharged, why: Why
) -> LessonNotCharged:
    return LessonNotCharged(
        child_id=reserve.child_id,
        certificate_number=reserve.certificate_number,
        enrollment_id=command.enrollment_id,
        lesson_id=command.lesson_id,
        lesson_date=command.lesson_date,
        mark=command.mark,
        revision=command.revision,
        reason=reason,
        why=why,
    )


_REASON_OF_MARK = {mark: NotCharged(mark.value) for mark in Mark if mark.value in set(NotCharged)}


def _of_mark(mark: Mark) -> NotCharged:
    # A payer may decide not to charge a lesson the child was at; no reason is named after that.
    return _REASON_OF_MARK.get(mark, NotCharged.MARK_UNCHANGED)
