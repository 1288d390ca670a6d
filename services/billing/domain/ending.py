"""What an end, a cancellation and the passing of months do to a reserve.

`docs/rules.md`, sections 6 and 7.
"""

from collections.abc import Sequence
from datetime import date

from msgspec import Struct

from contracts.vocabulary import EnrollmentId, Kopecks, LessonId, Month
from services.billing.domain import charging, texts
from services.billing.domain.facts import (
    ChargeReversed,
    MonthAdjusted,
    MonthCharged,
    MonthReversed,
    ReserveReleased,
)
from services.billing.domain.lesson import Lesson
from services.billing.domain.month import MonthBook
from services.billing.domain.months import goes_back
from services.billing.domain.purse import Purse
from services.billing.domain.reserve import CANCELLED, ENDED, Reserve


class Standing(Struct, frozen=True, kw_only=True):
    """A lesson with a standing charge."""

    lesson_id: LessonId
    lesson: Lesson


class StandingMonth(Struct, frozen=True, kw_only=True):
    """A month with a standing charge."""

    month: Month
    book: MonthBook


def reverse_lessons(
    enrollment_id: EnrollmentId,
    reserve: Reserve,
    purse: Purse,
    ended_on: date,
    standing: Sequence[Standing],
) -> tuple[ChargeReversed, ...]:
    """Return the reversals of lessons after an end, in order; no other is charged instead."""
    facts = []
    for one in standing:
        command = charging.command_of(enrollment_id, one.lesson_id, one.lesson)
        fact = charging.reverse_after_end(command, reserve, one.lesson, purse, ended_on)
        reserve, purse = reserve.moving(fact), fact.purse
        facts.append(fact)
    return tuple(facts)


def charge_months(
    enrollment_id: EnrollmentId, reserve: Reserve, purse: Purse, today: date
) -> tuple[MonthCharged, ...]:
    """Return the charges of all months that have opened and were not charged yet."""
    facts = []
    while (month := reserve.next_month) is not None and month.opens_on <= today:
        amount = month.amount_kopecks
        purse = purse.charging(amount)
        rest = Kopecks(reserve.reserved_kopecks - amount)
        fact = MonthCharged(
            child_id=reserve.child_id,
            certificate_number=reserve.certificate_number,
            enrollment_id=enrollment_id,
            provider_id=reserve.provider_id,
            month=month.month,
            amount_kopecks=amount,
            purse=purse,
            why=texts.by_rules(texts.month_charged(month.month, amount, rest)),
        )
        reserve = reserve.moving(fact)
        facts.append(fact)
    return tuple(facts)


def end_months(
    enrollment_id: EnrollmentId,
    reserve: Reserve,
    purse: Purse,
    ended_on: date,
    standing: Sequence[StandingMonth],
) -> tuple[MonthReversed | ReserveReleased, ...]:
    """Return what an end gives back: charged months after it, and what later ones hold.

    `standing` are the charged months that open after `ended_on`, in order.
    """
    back = reverse_months(enrollment_id, reserve, purse, ended_on, standing)
    for fact in back:
        reserve, purse = reserve.moving(fact), fact.purse
    to_come = sum(
        month.amount_kopecks
        for month in reserve.months[reserve.months_charged :]
        if month.opens_on <= ended_on
    )
    rest = Kopecks(reserve.reserved_kopecks - to_come)
    if rest == 0:
        return back
    return (*back, _released(enrollment_id, reserve, purse, rest, ENDED))


def reverse_months(
    enrollment_id: EnrollmentId,
    reserve: Reserve,
    purse: Purse,
    ended_on: date,
    standing: Sequence[StandingMonth],
) -> tuple[MonthReversed, ...]:
    """Return the reversals of charged months after an end, in order."""
    facts = []
    for one in standing:
        amount = one.book.charged_kopecks
        purse = purse.reversing(amount)
        fact = MonthReversed(
            child_id=reserve.child_id,
            certificate_number=reserve.certificate_number,
            enrollment_id=enrollment_id,
            provider_id=reserve.provider_id,
            month=one.month,
            amount_kopecks=amount,
            purse=purse,
            why=texts.by_rules(texts.month_reversed(one.month, amount, ended_on)),
        )
        facts.append(fact)
    return tuple(facts)


def adjust_months(
    enrollment_id: EnrollmentId, reserve: Reserve, purse: Purse, months: Sequence[StandingMonth]
) -> tuple[MonthAdjusted, ...]:
    """Return what of charged months goes back for the lessons their provider cancelled.

    A month without such lessons gives back nothing, and is over too.
    """
    facts = []
    for one in months:
        facts.append(_adjusted(enrollment_id, reserve, purse, one.month, one.book))
        purse = facts[-1].purse
    return tuple(facts)


def _adjusted(
    enrollment_id: EnrollmentId, reserve: Reserve, purse: Purse, month: Month, book: MonthBook
) -> MonthAdjusted:
    amount = goes_back(book.charged_kopecks, book.marked, book.cancelled)
    text = texts.month_adjusted(month, amount, book.marked, book.cancelled)
    return MonthAdjusted(
        child_id=reserve.child_id,
        certificate_number=reserve.certificate_number,
        enrollment_id=enrollment_id,
        provider_id=reserve.provider_id,
        month=month,
        amount_kopecks=amount,
        marked=book.marked,
        cancelled=book.cancelled,
        purse=purse.adjusting(amount),
        why=texts.by_rules(text),
    )


def release(enrollment_id: EnrollmentId, reserve: Reserve, purse: Purse) -> ReserveReleased:
    """Return the release of what is left when the days for corrections are over."""
    return _released(enrollment_id, reserve, purse, reserve.reserved_kopecks, ENDED)


def cancel(enrollment_id: EnrollmentId, reserve: Reserve, purse: Purse) -> ReserveReleased:
    """Return the release of the reserve of an enrollment that never became active."""
    return _released(enrollment_id, reserve, purse, reserve.reserved_kopecks, CANCELLED)


def _released(
    enrollment_id: EnrollmentId, reserve: Reserve, purse: Purse, amount: Kopecks, cause: str
) -> ReserveReleased:
    return ReserveReleased(
        child_id=reserve.child_id,
        certificate_number=reserve.certificate_number,
        enrollment_id=enrollment_id,
        amount_kopecks=amount,
        cause=cause,
        purse=purse.releasing(amount),
    )
