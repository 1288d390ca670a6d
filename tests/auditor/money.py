"""The arithmetic of rules.md, sections 5 and 7, in whole kopecks and exact fractions."""

import datetime as dt
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from tests.auditor.dates import days_of, last_of_its_month, months_of


@dataclass(frozen=True)
class Shares:
    """Who pays what of an agreement."""

    total: int
    certificate: int
    parent: int
    lessons: int
    lesson_share: int
    first_lesson_extra: int


def shares(
    *,
    agreement_days: int,
    group_days: int,
    price: int,
    normative: int,
    lessons_total: int,
    balance: int,
) -> Shares:
    """Return the shares of an agreement of so many days out of those of the group."""
    part = Fraction(agreement_days, group_days)
    total = ceil(part * price)
    certificate = min(total, ceil(part * normative), balance)
    lessons = max(1, floor(part * lessons_total))
    lesson_share = certificate // lessons
    return Shares(
        total=total,
        certificate=certificate,
        parent=total - certificate,
        lessons=lessons,
        lesson_share=lesson_share,
        first_lesson_extra=certificate - lesson_share * lessons,
    )


def monthly(certificate_share: int, starts_on: dt.date, ends_on: dt.date) -> dict[str, int]:
    """Return what each month of an agreement costs under MONTHLY_CONTRACT."""
    months = list(months_of(starts_on, ends_on))
    if len(months) == 1:
        return {months[0]: certificate_share}
    days = days_of(starts_on, ends_on)
    days_first = days_of(starts_on, last_of_its_month(starts_on))
    others = len(months) - 1
    other = floor(Fraction((days - days_first) * certificate_share, days * others))
    return {months[0]: certificate_share - other * others} | dict.fromkeys(months[1:], other)


def adjustment(amount: int, marked: int, cancelled: int) -> int:
    """Return what of a month goes back since the provider cancelled lessons."""
    if not marked:
        return 0
    return amount - floor(Fraction(amount * (marked - cancelled), marked) + Fraction(1, 2))


def certificate_number(payer: str, counter: int) -> str:
    """Return digits 3 to 5 of the payer's code, a counter of six digits and the Luhn digit."""
    digits = f"{payer[2:5]}{counter:06}"
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 == 0 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return f"{digits}{-total % 10}"
