"""Who holds the certificates of a category, and who waits for one: line by line, by ids alone.

Dictionaries, as in `parts.py`.
"""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum

from services.cabinet.certificate_queries import is_over, unopened
from services.cabinet.console_queries import ConsoleQueries, periods_of, present_of
from services.cabinet.parts import Answer, Part, last
from services.cabinet.projections.models import (
    CATEGORIES,
    HOLDERS,
    Certificate,
    Grant,
    Purse,
    beginning,
    queue,
    under,
)
from services.cabinet.together import together


class Roll(StrEnum):
    """Which list is asked for."""

    HOLDERS = "holders"
    """Who has a certificate with money, not closed."""
    QUEUE = "queue"
    """Who waits for one, whose turn is first at the top."""


class HolderQueries(ConsoleQueries):
    """Questions about those who hold a payer's certificates, beside all others."""

    async def roll(
        self, roll: Roll, payer: str, period: str | None = None, category: str | None = None
    ) -> Answer | None:
        """Return who holds certificates of a payer's category in a period, or waits for one.

        Without a period, of the present one; without a category, of the first. None if there is no
        such payer, period or category. Holders come in the order of their children's ids.
        """
        part = self._part_of(payer)
        standing, periods = await together(part.standing(), periods_of(part, payer))
        today = standing["business_day"]
        chosen = period or present_of(periods, today)
        if chosen not in periods:
            return None
        entries = await part.members(CATEGORIES, *beginning(payer, chosen))
        categories = [last(entry) for entry in entries]
        picked = category or next(iter(categories), None)
        if picked not in categories:
            return None
        place = (payer, chosen, picked)
        if roll is Roll.HOLDERS:
            rows = await _holders(part, *place)
        else:
            # The queue ends with the period (docs/rules.md, section 4).
            rows = [] if is_over(periods[chosen], today) else await _queue(part, *place)
        return {
            "roll": roll,
            "payer": payer,
            "period": chosen,
            "category": picked,
            "categories": categories,
            "business_day": None if today is None else date.fromisoformat(today),
            "as_of": standing["journals"],
            "rows": rows,
        }


async def _holders(part: Part, payer: str, period: str, category: str) -> list[Answer]:
    entries = await part.members(HOLDERS, *beginning(payer, period, category))
    children = [last(entry) for entry in entries]
    (certificates, grants), purses = await together(
        _certificates(part, payer, period, children),
        part.found(Purse, [under(payer, child_id, period) for child_id in children]),
    )
    found = []
    for child_id in children:
        id_ = under(payer, child_id, period)
        certificate, grant = certificates.get(under(payer, child_id)), grants.get(id_)
        if certificate is not None and grant is not None:
            purse = purses.get(id_) or unopened(grant)
            found.append(
                _line(child_id, certificate, grant)
                | {
                    "nominal_kopecks": purse.nominal_kopecks,
                    "paid_kopecks": purse.paid_kopecks,
                    "reserved_kopecks": purse.reserved_kopecks,
                    "balance_kopecks": purse.balance_kopecks,
                }
            )
    return found


async def _queue(part: Part, payer: str, period: str, category: str) -> list[Answer]:
    children = [last(entry) for entry in await part.members(queue(payer, period, category))]
    certificates, grants = await _certificates(part, payer, period, children)
    found = []
    for position, child_id in enumerate(children, 1):
        certificate = certificates.get(under(payer, child_id))
        grant = grants.get(under(payer, child_id, period))
        if certificate is not None and grant is not None:
            found.append(_line(child_id, certificate, grant) | {"position": position})
    return found


async def _certificates(
    part: Part, payer: str, period: str, children: Sequence[str]
) -> tuple[dict[str, Certificate], dict[str, Grant]]:
    return await together(
        part.found(Certificate, [under(payer, child_id) for child_id in children]),
        part.found(Grant, [under(payer, child_id, period) for child_id in children]),
    )


def _line(child_id: str, certificate: Certificate, grant: Grant) -> Answer:
    return {
        "child_id": child_id,
        "certificate_number": certificate.number,
        "is_frozen": certificate.frozen,
        "since": grant.since,
    }
