"""Ages, days and months (rules.md, sections 1, 3 and 7)."""

import datetime as dt
from collections.abc import Iterator

ONE_DAY = dt.timedelta(days=1)
LAST_MONTH = 12


def birthday(birth: dt.date, years: int) -> dt.date:
    """Return the day on which so many years are full; 29 February counts as 1 March elsewhere."""
    try:
        return birth.replace(year=birth.year + years)
    except ValueError:
        return dt.date(birth.year + years, 3, 1)


def age(birth: dt.date, day: dt.date) -> int:
    """Return the full years on a day."""
    years = day.year - birth.year
    return years if birthday(birth, years) <= day else years - 1


def days_of(first: dt.date, last: dt.date) -> int:
    """Return how many days there are from the first to the last, both included."""
    return (last - first).days + 1


def month_of(day: dt.date) -> str:
    """Return the month of a day, `YYYY-MM`."""
    return f"{day:%Y-%m}"


def first_of(month: str) -> dt.date:
    """Return the first day of a month."""
    return dt.date.fromisoformat(f"{month}-01")


def next_month(month: str) -> str:
    """Return the month after."""
    year, number = map(int, month.split("-"))
    return f"{year + 1}-01" if number == LAST_MONTH else f"{year}-{number + 1:02}"


def last_of_its_month(day: dt.date) -> dt.date:
    """Return the last day of the month of a day."""
    return first_of(next_month(month_of(day))) - ONE_DAY


def month_before(day: dt.date) -> str:
    """Return the month before that of a day."""
    return month_of(day.replace(day=1) - ONE_DAY)


def months_of(first: dt.date, last: dt.date) -> Iterator[str]:
    """Yield the months that the days from the first to the last touch."""
    month = month_of(first)
    while month <= month_of(last):
        yield month
        month = next_month(month)
