"""Calendar months, and how the certificate share of an agreement is spread over them.

`docs/rules.md`, section 7. All sums in whole kopecks.
"""

from datetime import date, timedelta
from functools import lru_cache

from msgspec import Struct

from contracts.vocabulary import Kopecks, Month


class PaidMonth(Struct, frozen=True, kw_only=True):
    """A month of an agreement: when it opens and what is charged for it."""

    month: Month
    opens_on: date
    amount_kopecks: Kopecks


@lru_cache(maxsize=4_096)
def month_of(day: date) -> Month:
    """Return the month a day lies in, `YYYY-MM`."""
    return Month(day.isoformat()[:7])


def first_day(month: Month) -> date:
    """Return the first day of a month."""
    return date.fromisoformat(f"{month}-01")


def next_first(day: date) -> date:
    """Return the first day of the month after the one this day lies in."""
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


def before(month: Month) -> Month:
    """Return the month before this one."""
    return month_of(first_day(month) - timedelta(days=1))


def following(month: Month) -> Month:
    """Return the month after this one."""
    return month_of(next_first(first_day(month)))


def schedule(starts_on: date, ends_on: date, share_kopecks: Kopecks) -> tuple[PaidMonth, ...]:
    """Return the calendar months an agreement touches; their amounts add up to the share.

    The first month takes what the division leaves over.
    """
    opens: list[date] = [starts_on]
    while (opening := next_first(opens[-1])) <= ends_on:
        opens.append(opening)
    others = len(opens) - 1
    if others == 0:
        other = 0
    else:
        days = (ends_on - starts_on).days + 1
        days_first = (opens[1] - starts_on).days
        other = (days - days_first) * share_kopecks // (days * others)
    amounts = [share_kopecks - other * others] + [other] * others
    return tuple(
        PaidMonth(month=month_of(opening), opens_on=opening, amount_kopecks=Kopecks(amount))
        for opening, amount in zip(opens, amounts, strict=True)
    )


def goes_back(amount_kopecks: Kopecks, marked: int, cancelled: int) -> Kopecks:
    """Return what of a month's charge goes back for lessons the provider cancelled.

    What was held is rounded half up: a month without marks was held as agreed.
    """
    if marked == 0:
        return Kopecks(0)
    kept = (2 * amount_kopecks * (marked - cancelled) + marked) // (2 * marked)
    return Kopecks(amount_kopecks - kept)
