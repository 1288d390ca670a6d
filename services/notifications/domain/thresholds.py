"""What follows from facts and days: money that runs out or stays, answers that do not come.

`docs/rules.md`, section 9. A day that was never opened counts on the next one that is.
"""

from datetime import date, timedelta

from contracts.vocabulary import Kopecks

BALANCE_LOW = "billing.balance-low"
ENDS_SOON = "certificates.period-ends-soon"
OVERDUE = "enrollment.application-overdue"
"""What the routing table calls them."""

REMINDER_DAYS = (30, 7)
"""So many days before its money ends a certificate that has some left is worth a word."""
ANSWER_DAYS = 5
"""So many days an application may wait for the provider's answer."""


def is_low(nominal_kopecks: Kopecks, balance_kopecks: Kopecks, price_kopecks: Kopecks) -> bool:
    """Return whether what is free would not pay for one more lesson of that price.

    A certificate without money has nothing that could run low.
    """
    return nominal_kopecks > 0 and balance_kopecks < price_kopecks


def reminders(valid_until: date, today: date) -> tuple[tuple[date, int], ...]:
    """Return the days to look whether money is left, each with how many days before the end.

    Only days to come: a certificate that is issued later than that was just told of.
    """
    days = ((valid_until - timedelta(days=before), before) for before in REMINDER_DAYS)
    return tuple((day, before) for day, before in days if day > today)


def reminder_at(valid_until: date, today: date) -> int:
    """Return which reminder, by its days before the end, speaks on a day from the first one on."""
    left = (valid_until - today).days
    return min((days for days in REMINDER_DAYS if days >= left), default=REMINDER_DAYS[-1])


def is_reminded(
    before: int, valid_until: date | None, balance_kopecks: Kopecks, today: date
) -> bool:
    """Return whether the reminder of so many days before the end is given today.

    Not when the money has ended, and not when days were passed over and a later one is due too.
    """
    if valid_until is None or balance_kopecks == 0 or today > valid_until:
        return False
    return reminder_at(valid_until, today) == before


def answer_overdue_on(held_on: date) -> date:
    """Return the first day on which an application without an answer is overdue."""
    return held_on + timedelta(days=ANSWER_DAYS)
