"""The dates of children and agreements. `docs/rules.md`, sections 1 and 3."""

from calendar import monthrange
from datetime import date, timedelta

from msgspec import Struct

from contracts.vocabulary import DebitBasis
from services.enrollment.domain.terms import Terms

DAY = timedelta(days=1)
GROWN_UP_YEARS = 18


class Span(Struct, frozen=True, kw_only=True):
    """The first and the last day of an agreement, both within it."""

    starts_on: date
    ends_on: date


def age_on(birth_date: date, day: date) -> int:
    """Return the age in full years on a day; below 0 before birth."""
    before_birthday = (day.month, day.day) < (birth_date.month, birth_date.day)
    return day.year - birth_date.year - int(before_birthday)


def birthday(birth_date: date, years: int) -> date:
    """Return the day a child becomes so old; 29 February counts as 1 March in other years."""
    try:
        return birth_date.replace(year=birth_date.year + years)
    except ValueError:
        return date(birth_date.year + years, 3, 1)


def first_day(terms: Terms, day: date) -> date:
    """Return the first day of an agreement that is made on `day`."""
    return max(terms.starts_on, day + DAY)


def last_day(terms: Terms, period_ends_on: date, birth_date: date) -> date:
    """Return the last day of an agreement; before its first one means that there can be none."""
    still_a_child = birthday(birth_date, GROWN_UP_YEARS) - DAY
    return min(terms.ends_on, period_ends_on, still_a_child)


def end_by_notice(
    span: Span, *, notice_on: date, day: date, grace_days: int, basis: DebitBasis
) -> date:
    """Return the last day of an agreement that is given up before its time.

    No notice reaches back more than `grace_days` before the business day; under MONTHLY_CONTRACT
    the month is finished; the day before the first day means that the agreement never began.
    """
    ended_on = max(notice_on, day - timedelta(days=grace_days))
    if basis is DebitBasis.MONTHLY_CONTRACT:
        ended_on = ended_on.replace(day=monthrange(ended_on.year, ended_on.month)[1])
    return max(min(ended_on, span.ends_on), span.starts_on - DAY)
