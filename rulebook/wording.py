"""How numbers and dates are written for people in Russian. Pure.

Used by every service that explains a decision to a family (docs/rules.md, section 9).
"""

from datetime import date

NO_BREAK_SPACE = "\u00a0"

MONTHS = (
    "январь",
    "февраль",
    "март",
    "апрель",
    "май",
    "июнь",
    "июль",
    "август",
    "сентябрь",
    "октябрь",
    "ноябрь",
    "декабрь",
)
"""Months as they are called, January first."""

_MONTHS_OF = (
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
)


def rubles(kopecks: int) -> str:
    """Return a sum in kopecks as people write it: ``7 792,47 ₽`` with no-break spaces."""
    sign = "−" if kopecks < 0 else ""
    whole, part = divmod(abs(kopecks), 100)
    grouped = f"{whole:,}".replace(",", NO_BREAK_SPACE)
    return f"{sign}{grouped},{part:02d}{NO_BREAK_SPACE}₽"


def day_and_month(day: date) -> str:
    """Return a date within the year at hand: ``3 сентября``."""
    return f"{day.day}{NO_BREAK_SPACE}{_MONTHS_OF[day.month - 1]}"


def full_date(day: date) -> str:
    """Return a date with its year: ``3 сентября 2020 года``."""
    return f"{day_and_month(day)} {day.year}{NO_BREAK_SPACE}года"


def month_and_year(first: date) -> str:
    """Return the month of a date with its year, as it is called: ``сентябрь 2020 года``."""
    return f"{MONTHS[first.month - 1]} {first.year}{NO_BREAK_SPACE}года"


def counted(number: int, one: str, few: str, many: str) -> str:
    """Return a number with its noun: ``1 занятие``, ``2 занятия``, ``5 занятий``."""
    last_two, last = abs(number) % 100, abs(number) % 10
    if last == 1 and last_two != 11:
        noun = one
    elif 2 <= last <= 4 and not 12 <= last_two <= 14:
        noun = few
    else:
        noun = many
    return f"{number}{NO_BREAK_SPACE}{noun}"
