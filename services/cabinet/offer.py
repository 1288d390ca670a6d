"""What a place in a group would cost a family, before it applies. Pure.

Counted as enrollment and billing count it (`docs/rules.md`, sections 3 to 5), from what the read
models know; they decide, and tests hold this against what they decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

A_DAY = timedelta(days=1)
GROWN_UP_YEARS = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The whole course of one child in a group."""

    starts_on: date
    ends_on: date
    lessons_total: int
    price_kopecks: int
    normative_kopecks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The days of an agreement, and the period they lie in."""

    period: str
    starts_on: date
    ends_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What an agreement would cost; the shares are those of the day that costs the family most."""

    span: Span
    lessons: int
    total_kopecks: int
    certificate_kopecks: int
    parent_kopecks: int


def age_on(birth_date: date, day: date) -> int:
    """Return the age in full years on a day; below 0 before birth."""
    before_birthday = (day.month, day.day) < (birth_date.month, birth_date.day)
    return day.year - birth_date.year - int(before_birthday)


def span_of(
    course: Course, periods: Mapping[str, tuple[date, date]], birth_date: date, day: date
) -> Span | None:
    """Return the days of an agreement that is made on a day; None where no period has any."""
    starts_on = max(course.starts_on, day + A_DAY)
    holding = [
        (first, name) for name, (first, last) in periods.items() if first <= starts_on <= last
    ]
    if not holding:
        return None
    _, period = max(holding)
    ends_on = min(course.ends_on, periods[period][1], _grown_up(birth_date) - A_DAY)
    if ends_on < starts_on:
        return None
    return Span(period=period, starts_on=starts_on, ends_on=ends_on)


def _grown_up(birth_date: date) -> date:
    try:
        return birth_date.replace(year=birth_date.year + GROWN_UP_YEARS)
    except ValueError:
        return date(birth_date.year + GROWN_UP_YEARS, 3, 1)


def offer(course: Course, span: Span, balance_kopecks: int, days_later_max: int) -> Offer:
    """Return what an agreement costs that is made on its first possible day, or some days later.

    Each day that passes leaves fewer lessons to pay for; rounding may still add a kopeck to what
    the family pays, and nobody shall be refused for one kopeck above what was agreed to.
    """
    days = min(days_later_max, (span.ends_on - span.starts_on).days)
    starts = [span.starts_on + timedelta(days=later) for later in range(days + 1)]
    total, certificate = _shares(course, span.starts_on, span.ends_on, balance_kopecks)
    parent = 0
    for starts_on in starts:
        whole, share = _shares(course, starts_on, span.ends_on, balance_kopecks)
        parent = max(parent, whole - share)
    whole_days = _days(course.starts_on, course.ends_on)
    lessons = _days(span.starts_on, span.ends_on) * course.lessons_total // whole_days
    return Offer(
        span=span,
        lessons=max(1, lessons),
        total_kopecks=total,
        certificate_kopecks=certificate,
        parent_kopecks=parent,
    )


def _shares(course: Course, first: date, last: date, balance_kopecks: int) -> tuple[int, int]:
    """Return what an agreement costs in whole, and what of it the certificate pays."""
    days, whole_days = _days(first, last), _days(course.starts_on, course.ends_on)
    total = -(-days * course.price_kopecks // whole_days)
    normative = -(-days * course.normative_kopecks // whole_days)
    return total, min(total, normative, balance_kopecks)


def _days(first: date, last: date) -> int:
    return (last - first).days + 1
