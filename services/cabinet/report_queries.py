"""What the reports of a payer's period are made of, counted in the read models.

A child counts once, however many applications and agreements it has.
"""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

from contracts.vocabulary import ApplicationRefusal
from services.cabinet.holder_queries import HolderQueries
from services.cabinet.parts import Answer, Part
from services.cabinet.projections.models import (
    AGREED,
    BORN,
    COVERED,
    GROUPS_IN,
    PROVIDERS_OF,
    REFUSED,
    SUBMITTED,
    Account,
    Group,
    beginning,
    member,
    under,
)
from services.cabinet.together import together
from streaming.store import Count

AGE_MIN, AGE_BELOW = 5, 18
"""Whole years of those a certificate is for (docs/rules.md, section 2: certificates.age)."""


class ReportQueries(HolderQueries):
    """Questions of reports, beside all others."""

    async def report(self, payer: str, period: str | None = None) -> Answer | None:
        """Return what reports on a payer's period tell; None if there is no such."""
        budget = await self.budget(payer, period)
        if budget is None:
            return None
        part, chosen = self._part_of(payer), budget["period"]
        span = (budget["starts_on"], budget["ends_on"])
        # Of a period that is over, or has not begun, its own last or first day counts.
        day = min(max(budget["business_day"] or span[0], span[0]), span[1])
        as_of, coverage, (refused, submitted), (days, groups, delivered) = await together(
            part.standing(),
            _coverage(part, payer, chosen, day),
            together(
                _refused(part, payer, *span), part.counts([_between(SUBMITTED, *span, payer)])
            ),
            together(
                _days_to_agreement(part, payer, chosen),
                _groups(part, payer, *span),
                _accounts(part, payer),
            ),
        )
        children, covered = coverage
        titles = await self.provider_titles({each["provider_id"] for each in (*groups, *delivered)})
        return budget | {
            "as_of": as_of["journals"],
            "children": children,
            "covered": covered,
            "submitted": submitted[0],
            "refused": refused,
            "days": days,
            "groups": groups,
            "delivered": delivered,
            "titles": titles,
        }


def _between(index: str, first: date, last: date, *place: str) -> Count:
    """Return the question how many entries of a place lie between two days, both included."""
    after = last + timedelta(days=1)
    return Count(index, member(*place, first.isoformat()), member(*place, after.isoformat()))


def years_before(day: date, years: int) -> date:
    """Return the last day of birth of those who are so many years old today.

    Who was born on 29 February has its birthday on 1 March in other years (docs/rules.md).
    """
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return date(day.year - years, 2, 28)


async def _coverage(part: Part, payer: str, period: str, day: date) -> tuple[int, int]:
    """Return how many children are of the age for a certificate on a day, and who learns by one.

    Who learns by one counts if an agreement of the period ever came into force.
    """
    youngest = years_before(day, AGE_MIN)
    too_old = years_before(day, AGE_BELOW)
    counted = await part.counts(
        [
            _between(BORN, too_old + timedelta(days=1), youngest, payer),
            Count(COVERED, *beginning(payer, period)),
        ]
    )
    return counted[0], counted[1]


async def _refused(part: Part, payer: str, first: date, last: date) -> dict[str, int]:
    """Return how many applications led to nothing, by reason, on days of the period."""
    reasons = [reason.value for reason in ApplicationRefusal]
    counted = await part.counts(
        [_between(REFUSED, first, last, payer, reason) for reason in reasons]
    )
    return {reason: number for reason, number in zip(reasons, counted, strict=True) if number}


async def _days_to_agreement(part: Part, payer: str, period: str) -> Counter[int]:
    """Return how many agreements came into force after how many days, 0 being the same day."""
    days: Counter[int] = Counter()
    async for page in _pages(part, AGREED, payer, period):
        days.update(int(entry.split("|")[2]) for entry in page)
    return days


def _pages(part: Part, index: str, *place: str) -> AsyncIterator[list[str]]:
    return part.pages(index, *beginning(*place))


async def _groups(part: Part, payer: str, first: date, last: date) -> list[dict[str, Any]]:
    """Return the groups of a municipality's providers that run on some day of a period."""
    ids = [entry.rpartition("|")[2] for entry in await part.members(GROUPS_IN, *beginning(payer))]
    known = await part.all(Group, [under(payer, id_) for id_ in ids])
    return [
        {
            "group_id": id_,
            "provider_id": group.provider_id,
            "title": group.title,
            "starts_on": group.starts_on,
            "ends_on": group.ends_on,
            "capacity": group.capacity,
            "taken": group.taken,
            "waiting": group.waiting,
        }
        for id_, group in zip(ids, known, strict=True)
        if group is not None and group.starts_on <= last and group.ends_on >= first
    ]


async def _accounts(part: Part, payer: str) -> list[dict[str, Any]]:
    """Return what each provider promised and delivered to a payer's children, since the start."""
    entries = await part.members(PROVIDERS_OF, *beginning(payer))
    ids = [entry.rpartition("|")[2] for entry in entries]
    known = await part.all(Account, [under(payer, id_) for id_ in ids])
    return [
        {
            "provider_id": id_,
            "agreements": account.agreements,
            "lessons": account.lessons,
            "lessons_charged": account.lessons_charged,
            "charged_kopecks": account.charged_kopecks,
            "invoiced_kopecks": account.invoiced_kopecks,
            "settled_kopecks": account.settled_kopecks,
        }
        for id_, account in zip(ids, known, strict=True)
        if account is not None
    ]
