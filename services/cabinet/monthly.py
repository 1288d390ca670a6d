"""What an agreement that is paid by the month takes next, and for how long. Pure.

Counted as billing counts it (`docs/rules.md`, section 7), from what the read models know; tests
hold this against billing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidMonth:
    """A month of an agreement: from when on it is charged, and what."""

    opens_on: date
    amount_kopecks: int


def months_of(starts_on: date, ends_on: date, share_kopecks: int) -> list[PaidMonth]:
    """Return the months an agreement touches; the first takes what the division leaves over."""
    opens = [starts_on]
    while (first := (opens[-1].replace(day=1) + timedelta(days=31)).replace(day=1)) <= ends_on:
        opens.append(first)
    others, other = len(opens) - 1, 0
    if others:
        days, days_after = (ends_on - starts_on).days + 1, (ends_on - opens[1]).days + 1
        other = days_after * share_kopecks // (days * others)
    amounts = [share_kopecks - other * others] + [other] * others
    return [
        PaidMonth(opens_on=day, amount_kopecks=amount)
        for day, amount in zip(opens, amounts, strict=True)
    ]


def months_left(
    months: Sequence[PaidMonth], last_day: date, reserved_kopecks: int
) -> list[PaidMonth] | None:
    """Return the months that are not charged yet: those that what is reserved is for.

    None where the sums do not say it. What was charged once is not reserved, whatever went back.
    """
    left: list[PaidMonth] = []
    total = 0
    for month in reversed([each for each in months if each.opens_on <= last_day]):
        if total == reserved_kopecks:
            break
        left.insert(0, month)
        total += month.amount_kopecks
    return left if total == reserved_kopecks else None
