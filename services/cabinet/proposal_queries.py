"""What can be changed of a payer, and what a proposal would change."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from rulebook.overlay import Overlays
from services.cabinet import preview
from services.cabinet.operations_queries import OperationsQueries
from services.cabinet.parts import PAGE_MEMBERS, Answer, Part, last
from services.cabinet.preview import CaseChange, CategoryChange, Holder, Limits
from services.cabinet.projections.models import (
    BORN,
    COVERED,
    FRAME_AGREEMENTS,
    HOLDERS,
    OWN_RULES,
    Category,
    Certificate,
    Child,
    FrameAgreement,
    OwnRules,
    Period,
    Policy,
    Purse,
    beginning,
    queue,
    under,
)
from services.cabinet.together import together
from streaming.store import Count

DAYS = "billing.days"


class UnknownPeriodError(Exception):
    """The payer opened no such period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a proposal changes: what stands now, and what would follow at once.

    `revision` is the one its event takes; None for rules, which have none.
    """

    before: Mapping[str, Any]
    revision: int | None = None
    is_closed: bool = False
    category: CategoryChange | None = None
    covered: int = 0
    cases: tuple[CaseChange, ...] = ()


class ProposalQueries(OperationsQueries):
    """Questions about what a payer may change, beside all others."""

    async def settings(self, payer: str, period: str | None = None) -> Answer | None:
        """Return what a payer set for a period, and its rules; None if there is no such."""
        budget = await self.budget(payer, period)
        if budget is None:
            return None
        part = self._part_of(payer)
        entries = await part.members(FRAME_AGREEMENTS, *beginning(payer, budget["period"]))
        ids = [last(entry) for entry in entries]
        frames, titles, overlays = await together(
            part.all(FrameAgreement, [under(payer, budget["period"], id_) for id_ in ids]),
            self.provider_titles(ids),
            self.overlays(payer),
        )
        return budget | {
            "frames": [
                {
                    "provider_id": id_,
                    "title": titles.get(id_, id_),
                    "state": frame.state,
                    "limit_kopecks": frame.limit_kopecks,
                }
                for id_, frame in zip(ids, frames, strict=True)
                if frame is not None
            ],
            "overlays": overlays.to_data(),
        }

    async def overlays(self, payer: str) -> Overlays:
        """Return the rules a payer published and that were accepted."""
        part = self._part_of(payer)
        places = [entry.split("|") for entry in await part.members(OWN_RULES, *beginning(payer))]
        known = await part.all(OwnRules, [under(*place) for place in places])
        return Overlays.from_data(
            {
                "table": table,
                "from": first,
                "published": published,
                "basis": rules.basis,
                "rows": list(rules.rows),
            }
            for (_, table, first, published), rules in zip(places, known, strict=True)
            if rules is not None
        )

    async def preview(self, payer: str, fact: str, data: Mapping[str, Any]) -> Preview:
        """Return what a proposal would change now.

        Raises UnknownPeriodError, RulesInvalidError.
        """
        part = self._part_of(payer)
        if fact == "rules-published":
            return await self._rules(part, payer, data)
        period = await part.find(Period, under(payer, data["period"]))
        if period is None:
            raise UnknownPeriodError(data["period"])
        if fact == "category-set":
            return await self._category(part, payer, data, period)
        covered = (await part.counts([Count(COVERED, *beginning(payer, data["period"]))]))[0]
        if fact == "policy-set":
            known = await part.find(Policy, under(payer, data["period"])) or Policy()
            before = {"debit_basis": known.debit_basis, "issue_mode": known.issue_mode}
            return Preview(before=before, revision=known.revision + 1, covered=covered)
        id_ = under(payer, data["period"], data["provider_id"])
        frame = await part.find(FrameAgreement, id_) or FrameAgreement()
        stands = {"state": frame.state, "limit_kopecks": frame.limit_kopecks}
        return Preview(before=stands, revision=frame.revision + 1)

    async def _category(
        self, part: Part, payer: str, data: Mapping[str, Any], period: Period
    ) -> Preview:
        place = (payer, data["period"], data["category"])
        known = await part.find(Category, under(*place)) or Category()
        today = (await part.standing())["business_day"]
        day = period.ends_on if today is None else date.fromisoformat(today)
        grace = preview.decided(DAYS, await self.overlays(payer), day, {})["grace_days"]
        assert isinstance(grace, int)
        change = preview.category_change(
            Limits(
                nominal_kopecks=data["nominal_kopecks"],
                places_max=data["places_max"],
                budget_max_kopecks=data["budget_max_kopecks"],
            ),
            await _holders(part, *place),
            known.holders,
            known.granted_kopecks,
            # The queue ends with the period.
            [] if day > period.ends_on else await _queue(part, *place),
        )
        return Preview(
            before={
                "nominal_kopecks": known.nominal_kopecks,
                "places_max": known.places_max,
                "budget_max_kopecks": known.budget_max_kopecks,
            },
            revision=known.revision + 1,
            is_closed=preview.is_closed(period.ends_on, grace, day),
            category=change,
        )

    async def _rules(self, part: Part, payer: str, data: Mapping[str, Any]) -> Preview:
        children: Counter[preview.Child] = Counter()
        if preview.asks_children(data["table"]):
            async for page in part.pages(BORN, *beginning(payer)):
                found = await part.all(Child, [under(payer, last(each)) for each in page])
                children.update(
                    (child.birth_date, tuple(sorted(child.benefits)))
                    for child in found
                    if child is not None
                )
        overlays = await self.overlays(payer)
        first = date.fromisoformat(data["from"])
        cases = preview.rule_changes(data["table"], overlays, data, children, first)
        return Preview(before={}, cases=tuple(cases))


async def _holders(part: Part, payer: str, period: str, category: str) -> list[Holder]:
    found = []
    async for page in part.pages(HOLDERS, *beginning(payer, period, category)):
        ids = [under(payer, last(entry), period) for entry in page]
        found += [
            Holder(nominal_kopecks=purse.nominal_kopecks, is_corrected=purse.corrected)
            for purse in await part.all(Purse, ids)
            if purse is not None
        ]
    return found


async def _queue(part: Part, payer: str, period: str, category: str) -> list[bool]:
    found: list[bool] = []
    async for page in part.pages(queue(payer, period, category), members_max=PAGE_MEMBERS):
        ids = [under(payer, last(entry)) for entry in page]
        found += [
            certificate.frozen
            for certificate in await part.all(Certificate, ids)
            if certificate is not None
        ]
    return found
