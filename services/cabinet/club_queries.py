"""What a family asks where there is no Navigator: groups, its children, what a place would cost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from rulebook.overlay import Overlays
from services.cabinet import preview
from services.cabinet.offer import Course, Span, age_on, offer, span_of
from services.cabinet.parts import Answer, Part, last
from services.cabinet.preference_queries import PreferenceQueries
from services.cabinet.projections.models import (
    APPLICATIONS_OF,
    CHILDREN_OF,
    GROUPS_IN,
    PERIODS,
    Application,
    Category,
    Certificate,
    Child,
    FrameAgreement,
    Grant,
    Group,
    Period,
    Policy,
    Provider,
    Purse,
    beginning,
    under,
)
from services.cabinet.together import together

GROUPS_READ_MAX = 20_000
"""So many groups of a municipality are looked through; the page says so where there are more."""
ELIGIBLE = "eligible"
ON_REQUEST = "ON_REQUEST"
SIGNED = "signed"


class ClubQueries(PreferenceQueries):
    """Questions of families that look for a group, beside all others."""

    async def own_children(self, guardian_id: str) -> list[Answer]:
        """Return the children of a guardian, as their payers know them."""
        found = await self._everywhere(lambda part: _children(part, guardian_id))
        return sorted(
            (child for children in found for child in children),
            key=lambda child: (child["child_id"], child["payer"]),
        )

    async def own_enrollment(
        self, guardian_id: str, payer: str, enrollment_id: str
    ) -> Answer | None:
        """Return an enrollment that is a guardian's to give up, or None."""
        part = self._part_of(payer)
        application = await part.find(Application, under(payer, enrollment_id))
        if application is None:
            return None
        every = await self._of_child(part, payer, application.child_id)
        found = next((each for each in every if each["enrollment_id"] == enrollment_id), None)
        return found if found is not None and is_theirs(found, guardian_id) else None

    async def business_day(self, payer: str | None = None) -> str | None:
        """Return the business day of a payer, or the latest of all partitions."""
        if payer is not None:
            day: str | None = (await self._part_of(payer).standing())["business_day"]
            return day
        days = [standing["business_day"] for standing in await self.as_of()]
        return max((day for day in days if day), default=None)

    async def homes(self) -> list[str]:
        """Return the municipalities that have groups, lowest code first."""
        found = await self._everywhere(_homes)
        return sorted(home for homes in found for home in homes)

    async def groups_in(self, home: str) -> list[Answer]:
        """Return the groups of a municipality with their providers, so many at most."""
        part = self._part_of(home)
        providers: dict[str, Provider | None] = {}
        found: list[Answer] = []
        async for page in part.pages(GROUPS_IN, *beginning(home)):
            ids = [entry.partition("|")[2] for entry in page]
            groups = await part.all(Group, [under(home, id_) for id_ in ids])
            owners = {group.provider_id for group in groups if group is not None}
            new = sorted(owners - providers.keys())
            known = await part.all(Provider, [under(home, id_) for id_ in new])
            providers |= dict(zip(new, known, strict=True))
            found += [
                _group(home, id_, group, providers[group.provider_id])
                for id_, group in zip(ids, groups, strict=True)
                if group is not None
            ]
            if len(found) >= GROUPS_READ_MAX:
                break
        return found[:GROUPS_READ_MAX]

    async def group_at(self, home: str, group_id: str) -> Answer | None:
        """Return one group with its provider, or None."""
        part = self._part_of(home)
        group = await part.find(Group, under(home, group_id))
        if group is None:
            return None
        provider = await part.find(Provider, under(home, group.provider_id))
        return _group(home, group_id, group, provider)

    async def applied(self, child: Mapping[str, Any], group: Mapping[str, Any]) -> list[Answer]:
        """Return the applications of a child to a group, with what became of each."""
        payer, child_id = child["payer"], child["child_id"]
        part = self._part_of(payer)
        entries = await part.members(APPLICATIONS_OF, *beginning(payer, child_id))
        ids = [last(entry) for entry in entries]
        found = await part.all(Application, [under(payer, id_) for id_ in ids])
        wanted = {
            id_
            for id_, application in zip(ids, found, strict=True)
            if application is not None
            and (application.group_home, application.group_id) == (group["home"], group["group_id"])
        }
        every = await self._of_child(part, payer, child_id) if wanted else []
        return [each for each in every if each["enrollment_id"] in wanted]

    async def offer(self, child: Mapping[str, Any], group: Mapping[str, Any]) -> Answer:
        """Return what a place would cost the family of a child, or why there can be none.

        `hindrance` is a reason that enrollment or billing would give, or None.
        """
        payer = str(child["payer"])
        part, overlays = self._part_of(payer), await self.overlays(payer)
        today = (await part.standing())["business_day"]
        birth_date = date.fromisoformat(child["birth_date"])
        if today is None:
            return {"hindrance": "outside_period", "offer": None, "money": None}
        day = date.fromisoformat(today)
        course = Course(
            starts_on=date.fromisoformat(group["starts_on"]),
            ends_on=date.fromisoformat(group["ends_on"]),
            lessons_total=group["lessons_total"],
            price_kopecks=group["price_kopecks"],
            normative_kopecks=group["normative_kopecks"],
        )
        span = span_of(course, await _periods(part, payer), birth_date, day)
        hindrance = _hindrance(child, group, span, overlays, day)
        if hindrance is not None or span is None:
            return {"hindrance": hindrance, "offer": None, "money": None}
        frame = await part.find(FrameAgreement, under(payer, span.period, group["provider_id"]))
        if frame is None or frame.state != SIGNED:
            return {"hindrance": "no_frame_agreement", "offer": None, "money": None}
        money, balance = await _money(part, child, span, overlays, day)
        if balance is None:
            return {"hindrance": money, "offer": None, "money": None}
        later = 0 if group["auto_accept"] else _hold_days(overlays, day)
        counted = offer(course, span, balance, later)
        return {"hindrance": None, "offer": asdict(counted), "money": money}


async def _homes(part: Part) -> list[str]:
    """Return the municipalities with groups: from one to the next, whatever number each has."""
    homes: list[str] = []
    start = ""
    while entries := await part.first(GROUPS_IN, start, None, 1):
        homes.append(entries[0].partition("|")[0])
        _, start = beginning(homes[-1])
    return homes


async def _children(part: Part, guardian_id: str) -> list[Answer]:
    entries = await part.members(CHILDREN_OF, *beginning(guardian_id))
    places = [entry.split("|")[1:] for entry in entries]
    children = await part.all(Child, [under(*place) for place in places])
    return [
        {
            "child_id": child_id,
            "payer": payer,
            "guardian_id": guardian_id,
            "birth_date": child.birth_date.isoformat(),
            "benefits": list(child.benefits),
        }
        for (payer, child_id), child in zip(places, children, strict=True)
        if child is not None
    ]


def _group(home: str, group_id: str, group: Group, provider: Provider | None) -> Answer:
    return {
        "home": home,
        "group_id": group_id,
        "title": group.title,
        "provider_id": group.provider_id,
        "provider": provider.title if provider else "",
        "registry": group.registry,
        "direction": group.direction,
        "age_min": group.age_min,
        "age_max": group.age_max,
        "starts_on": group.starts_on.isoformat(),
        "ends_on": group.ends_on.isoformat(),
        "lessons_total": group.lessons_total,
        "price_kopecks": group.price_kopecks,
        "normative_kopecks": group.normative_kopecks,
        "auto_accept": group.auto_accept,
        "is_open": group.enrollment_open,
        "is_suspended": provider is None or provider.suspended,
        "free": max(0, group.capacity - group.taken),
        "capacity": group.capacity,
        "waiting": group.waiting,
    }


def _hindrance(
    child: Mapping[str, Any],
    group: Mapping[str, Any],
    span: Span | None,
    overlays: Overlays,
    day: date,
) -> str | None:
    years = age_on(date.fromisoformat(child["birth_date"]), day)
    verdict = preview.decided("enrollment.age", overlays, day, {"age_years": years})["verdict"]
    if verdict != ELIGIBLE:
        return str(verdict)
    if group["is_suspended"]:
        return "provider_suspended"
    if not group["is_open"]:
        return "group_closed"
    asked = {"registry": group["registry"]}
    verdict = preview.decided("enrollment.registry", overlays, day, asked)["verdict"]
    if verdict != ELIGIBLE:
        return str(verdict)
    if span is None:
        return "outside_period"
    return None if group["age_min"] <= years <= group["age_max"] else "age_outside_group"


def _hold_days(overlays: Overlays, day: date) -> int:
    days = preview.decided("enrollment.days", overlays, day, {})["hold_days"]
    assert isinstance(days, int)
    return days


async def _periods(part: Part, payer: str) -> dict[str, tuple[date, date]]:
    names = [last(entry) for entry in await part.members(PERIODS, *beginning(payer))]
    found = await part.all(Period, [under(payer, name) for name in names])
    return {
        name: (period.starts_on, period.ends_on)
        for name, period in zip(names, found, strict=True)
        if period is not None
    }


async def _money(
    part: Part, child: Mapping[str, Any], span: Span, overlays: Overlays, day: date
) -> tuple[str, int | None]:
    """Return where the money is, and how much; without any sum, why there can be none.

    `certificate`: it is there; `expected`: a certificate would be issued; `spent`: all of it was;
    `none`.
    """
    payer, child_id = child["payer"], child["child_id"]
    certificate, grant, purse = await together(
        part.find(Certificate, under(payer, child_id)),
        part.find(Grant, under(payer, child_id, span.period)),
        part.find(Purse, under(payer, child_id, span.period)),
    )
    if certificate is not None and (certificate.frozen or certificate.closed):
        return "certificate_frozen" if certificate.frozen else "certificate_closed", None
    if purse is not None:
        if purse.balance_kopecks:
            return "certificate", purse.balance_kopecks
        return "spent" if purse.nominal_kopecks else "none", 0
    if grant is not None:
        return "certificate" if grant.nominal_kopecks else "none", grant.nominal_kopecks
    policy = await part.find(Policy, under(payer, span.period))
    if policy is not None and policy.issue_mode == ON_REQUEST:
        return "none", 0
    expected = await _expected(part, child, span, overlays, day)
    return "expected" if expected else "none", expected


async def _expected(
    part: Part, child: Mapping[str, Any], span: Span, overlays: Overlays, day: date
) -> int:
    """Return the nominal that a certificate issued now would have; 0 where it would wait."""
    years = age_on(date.fromisoformat(child["birth_date"]), day)
    asked: dict[str, object] = {"age_years": years, "benefits": list(child["benefits"])}
    name = str(preview.decided("certificates.category", overlays, day, asked)["category"])
    category = await part.find(Category, under(child["payer"], span.period, name))
    return 0 if category is None else _nominal(category)


def _nominal(category: Category) -> int:
    nominal, places, budget = (
        category.nominal_kopecks,
        category.places_max,
        category.budget_max_kopecks,
    )
    if nominal is None or places is None or budget is None or category.holders >= places:
        return 0
    return nominal if category.granted_kopecks + nominal <= budget else 0


def is_theirs(enrollment: Mapping[str, Any], guardian_id: str) -> bool:
    """Return whether a place is a guardian's to give up: theirs who applied, nobody else's.

    Of a child whose guardian that is no more, it is any guardian's, or nobody could leave at all.
    """
    guardians = enrollment["guardian_ids"]
    applied = enrollment["guardian_id"]
    return guardian_id in guardians and (applied == guardian_id or applied not in guardians)


def of_age(groups: Sequence[Answer], birth_date: str, today: str | None) -> list[Answer]:
    """Return the groups that take a child of that age today."""
    if today is None:
        return list(groups)
    years = age_on(date.fromisoformat(birth_date), date.fromisoformat(today))
    return [each for each in groups if each["age_min"] <= years <= each["age_max"]]
