"""Who pays how much of an agreement. `docs/rules.md`, section 5, examples W1 to W4.

All arithmetic is in whole kopecks, rounded on exact fractions.
"""

from datetime import date

from msgspec import Struct

from contracts.vocabulary import Kopecks


class Course(Struct, frozen=True, kw_only=True):
    """The whole course of one child in a group."""

    starts_on: date
    ends_on: date
    lessons_total: int
    price_kopecks: Kopecks
    normative_kopecks: Kopecks


class Shares(Struct, frozen=True, kw_only=True):
    """The two shares of an agreement, and how the certificate's is spread over its lessons."""

    total_kopecks: Kopecks
    certificate_share_kopecks: Kopecks
    parent_share_kopecks: Kopecks
    lessons: int
    lesson_share_kopecks: Kopecks
    first_lesson_extra_kopecks: Kopecks


def shares(course: Course, starts_on: date, ends_on: date, balance_kopecks: Kopecks) -> Shares:
    """Return the shares of an agreement from `starts_on` to `ends_on`, both inclusive."""
    days = _days(starts_on, ends_on)
    group_days = _days(course.starts_on, course.ends_on)
    total = _ceil(days * course.price_kopecks, group_days)
    normative = _ceil(days * course.normative_kopecks, group_days)
    share = min(total, normative, balance_kopecks)
    lessons = max(1, days * course.lessons_total // group_days)
    lesson_share = share // lessons
    return Shares(
        total_kopecks=Kopecks(total),
        certificate_share_kopecks=Kopecks(share),
        parent_share_kopecks=Kopecks(total - share),
        lessons=lessons,
        lesson_share_kopecks=Kopecks(lesson_share),
        first_lesson_extra_kopecks=Kopecks(share - lesson_share * lessons),
    )


def _days(first: date, last: date) -> int:
    return (last - first).days + 1


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
