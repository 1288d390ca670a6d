"""What a payer asks: its budget, how many hold certificates and wait, what was spent, and when.

Dictionaries, as in `parts.py`. Everything of a payer stands in one partition.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from services.cabinet.dispute_queries import DisputeQueries
from services.cabinet.forecast import Forecast, Limits, forecast
from services.cabinet.parts import Answer, Part, last
from services.cabinet.projections.models import (
    CATEGORIES,
    GRANTED_DAYS,
    MONEY_DAYS,
    PAYERS,
    PERIODS,
    Category,
    GrantedDay,
    MoneyDay,
    Period,
    PeriodMoney,
    Policy,
    beginning,
    queue,
    under,
)
from services.cabinet.together import together
from streaming.store import Count

DAYS_MAX = 2_000
"""So many days of a period are looked at; a period of a year has 366."""


class ConsoleQueries(DisputeQueries):
    """Questions of payers and of the operator, beside all others."""

    async def payer_codes(self) -> list[str]:
        """Return the codes of all payers, lowest first."""
        found = await self._everywhere(lambda part: part.members(PAYERS))
        return sorted(code for codes in found for code in codes)

    async def budget(self, payer: str, period: str | None = None) -> Answer | None:
        """Return how a payer's period stands: without one, the one the business day lies in.

        None if there is no such payer or period.
        """
        part = self._part_of(payer)
        standing, periods = await together(part.standing(), periods_of(part, payer))
        today = standing["business_day"]
        chosen = period or present_of(periods, today)
        if chosen not in periods:
            return None
        day = None if today is None else date.fromisoformat(today)
        money, policy, categories, spent = await together(
            part.find(PeriodMoney, under(payer, chosen)),
            part.find(Policy, under(payer, chosen)),
            _categories(part, payer, chosen, periods[chosen], day),
            _spent(part, payer, chosen),
        )
        policy = policy or Policy()
        return {
            "payer": payer,
            "period": chosen,
            "periods": list(periods),
            "starts_on": periods[chosen].starts_on,
            "ends_on": periods[chosen].ends_on,
            "business_day": day,
            "debit_basis": policy.debit_basis,
            "issue_mode": policy.issue_mode,
            "money": money or PeriodMoney(),
            "categories": categories,
            "spent": spent,
        }


async def periods_of(part: Part, payer: str) -> dict[str, Period]:
    """Return the periods of a payer by id, the earliest first."""
    ids = [last(entry) for entry in await part.members(PERIODS, *beginning(payer))]
    known = await part.all(Period, [under(payer, id_) for id_ in ids])
    found = {id_: period for id_, period in zip(ids, known, strict=True) if period is not None}
    return dict(sorted(found.items(), key=lambda each: (each[1].starts_on, each[0])))


def present_of(periods: dict[str, Period], today: str | None) -> str | None:
    """Return the period of a day; else the last that began before it; else the first."""
    if today is not None:
        day = date.fromisoformat(today)
        for id_, period in periods.items():
            if period.starts_on <= day <= period.ends_on:
                return id_
        begun = [id_ for id_, period in periods.items() if period.starts_on <= day]
        if begun:
            return begun[-1]
    return next(iter(periods), None)


async def _categories(
    part: Part, payer: str, period: str, span: Period, today: date | None
) -> list[Answer]:
    entries = await part.members(CATEGORIES, *beginning(payer, period))
    names = [last(entry) for entry in entries]
    known, queued, granted = await together(
        part.all(Category, [under(payer, period, name) for name in names]),
        part.counts([Count(queue(payer, period, name)) for name in names]),
        together(*(_granted_days(part, payer, period, name) for name in names)),
    )
    found = []
    for name, category, waiting, days in zip(names, known, queued, granted, strict=True):
        if category is None:
            continue
        is_over = today is not None and today > span.ends_on
        found.append(
            {
                "category": name,
                "nominal_kopecks": category.nominal_kopecks,
                "places_max": category.places_max,
                "budget_max_kopecks": category.budget_max_kopecks,
                "holders": category.holders,
                "granted_kopecks": category.granted_kopecks,
                "revision": category.revision,
                # The queue ends with the period (docs/rules.md, section 4).
                "queued": 0 if is_over else waiting,
                "days": days,
                "forecast": _expected(category, days, span, today),
            }
        )
    return found


def limits_of(category: Category) -> Limits | None:
    """Return what a category may grant, or None where its payer set nothing."""
    if category.nominal_kopecks is None:
        return None
    return Limits(
        nominal_kopecks=category.nominal_kopecks,
        places_max=category.places_max or 0,
        budget_max_kopecks=category.budget_max_kopecks or 0,
        holders=category.holders,
        granted_kopecks=category.granted_kopecks,
    )


def _expected(
    category: Category, days: Sequence[tuple[date, GrantedDay]], span: Period, today: date | None
) -> Forecast | None:
    if today is None:
        return None
    funded = {day: granted.funded for day, granted in days}
    return forecast(limits_of(category), funded, today, span.ends_on)


async def _granted_days(
    part: Part, payer: str, period: str, category: str
) -> list[tuple[date, GrantedDay]]:
    return await _days(part, GrantedDay, GRANTED_DAYS, payer, period, category)


async def _spent(part: Part, payer: str, period: str) -> list[tuple[date, MoneyDay]]:
    return await _days(part, MoneyDay, MONEY_DAYS, payer, period)


async def _days(part: Part, kind: type[Any], index: str, *place: str) -> list[tuple[date, Any]]:
    entries = await part.first(index, *beginning(*place), DAYS_MAX)
    days = [last(entry) for entry in entries]
    known = await part.all(kind, [under(*place, day) for day in days])
    return [
        (date.fromisoformat(day), each)
        for day, each in zip(days, known, strict=True)
        if each is not None
    ]
