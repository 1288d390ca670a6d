"""What the rule tables say, for the payer whose money it is. `docs/rules.md`, section 2."""

from collections.abc import Mapping
from datetime import date, timedelta

from msgspec import Struct

from contracts.vocabulary import Mark, Month
from rulebook.evaluate import Decision
from rulebook.overlay import PayerRules
from services.billing.domain.months import month_of

CHARGING = "billing.charging"
DAYS = "billing.days"

VERSIONS_MAX = 200
"""So many versions of one table may a payer publish; their list is read for every lesson."""


class Days(Struct, frozen=True, kw_only=True):
    """How long marks wait, how long corrections are taken, and when invoices are made."""

    parking_days: int
    grace_days: int
    invoice_day: int


class Versions(Struct, frozen=True, kw_only=True):
    """Which versions of a table a payer has published: (from, published), in that order."""

    known: tuple[tuple[date, date], ...] = ()

    def with_one_more(self, valid_from: date, published: date) -> "Versions":
        """Return the list with a version more."""
        return Versions(known=tuple(sorted({*self.known, (valid_from, published)})))

    def in_force(self, day: date) -> tuple[date, date] | None:
        """Return the version in force on a day: the latest first day, then the latest paper."""
        return max((one for one in self.known if one[0] <= day), default=None)


class Publication(Struct, frozen=True, kw_only=True):
    """One version as the payer published it, in the rulebook's own form.

    What falls due on a day is done by what was known before it: `noted_on` is an earlier day.
    """

    data: Mapping[str, object]
    noted_on: date


def publication_id(table: str, valid_from: date, published: date) -> str:
    """Return the id of a version of a table."""
    return f"{table}/{valid_from}/{published}"


def days(rules: PayerRules, day: date) -> Days:
    """Return the numbers of days in force on a business day."""
    outputs = _ask(rules, DAYS, day, {}).outputs
    return Days(
        parking_days=_whole(outputs["parking_days"]),
        grace_days=_whole(outputs["grace_days"]),
        invoice_day=_whole(outputs["invoice_day"]),
    )


def is_after_grace(rules: PayerRules, last_day: date, today: date) -> bool:
    """Return whether more days than those of grace have gone by since a day.

    The number is that of today: a payer may change it while the days run.
    """
    return today > last_day + timedelta(days=days(rules, today).grace_days)


def are_invoices_due(rules: PayerRules, month: Month, today: date) -> bool:
    """Return whether the day of invoices of a month has come, by the number of today."""
    if month_of(today) != month:
        return month_of(today) > month
    return today.day >= days(rules, today).invoice_day


def charging(rules: PayerRules, lesson_date: date, mark: Mark) -> Decision:
    """Return whether such a mark is charged; the day asked is that of the lesson."""
    return _ask(rules, CHARGING, lesson_date, {"mark": mark.value})


def is_charged(decision: Decision) -> bool:
    """Return the answer of `charging`."""
    return decision.outputs["charge"] is True


def _ask(rules: PayerRules, table: str, day: date, inputs: Mapping[str, object]) -> Decision:
    # Before the first version the base version holds too: there is no other (section 2).
    return rules.decide(table, max(day, rules.tables[table].versions[0].valid_from), inputs)


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value
