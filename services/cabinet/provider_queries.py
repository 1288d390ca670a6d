"""What a provider asks: its groups, who is in them, what was marked, what it is paid.

Dictionaries, as in `parts.py`. Enrollments stand with their child's payer, groups with the
provider's municipality: what belongs together is joined here.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from services.cabinet.parts import Answer, Part
from services.cabinet.projections.models import (
    ENROLLMENTS_OF,
    GROUPS_OF,
    INVOICES_OF,
    MARKS,
    PROVIDERS,
    Application,
    Child,
    Group,
    Invoice,
    InvoicePage,
    LessonMark,
    Reserve,
    beginning,
    under,
)
from services.cabinet.queries import Queries
from services.cabinet.together import together

PROVIDERS_LISTED_MAX = 60
GROUP_MEMBERS_MAX = 2_000
"""So many enrollments of a group are looked at, those that are over included."""
INVOICES_MAX = 1_000
LESSONS_BACK = timedelta(weeks=4)
"""So far back it is looked on which days a group met, …"""
LESSONS_LOOKED_MEMBERS = 3
"""… by the marks of so many of its children: a lesson has a mark for each child, there or not."""
LESSONS_LOOKED_MAX = 100

_IN_FORCE = frozenset({"ACTIVE", "ENDED"})


class ProviderQueries(Queries):
    """Questions of providers, beside all others."""

    async def providers(self, beginning_with: str = "") -> list[Answer]:
        """Return providers with their titles, by the beginning of their id."""
        end = f"{beginning_with}\U0010ffff" if beginning_with else None
        found = await self._everywhere(
            lambda part: part.first(PROVIDERS, beginning_with, end, PROVIDERS_LISTED_MAX)
        )
        ids = sorted({entry.partition("|")[0] for entries in found for entry in entries})
        titles = await self.provider_titles(ids[:PROVIDERS_LISTED_MAX])
        return [{"provider_id": id_, "title": title} for id_, title in titles.items()]

    async def journal(self, provider_id: str) -> Answer | None:
        """Return a provider's groups with those who wait for its answer; None if it is unknown."""
        titles, today, places = await together(
            self.provider_titles([provider_id]),
            self.business_day(),
            self._groups_of_provider(provider_id),
        )
        if not titles:
            return None
        groups = await together(*(self._with_those_who_wait(*place, today) for place in places))
        return {
            "provider_id": provider_id,
            "title": titles[provider_id],
            "business_day": today,
            "groups": groups,
        }

    async def group_of(self, provider_id: str, home: str, group_id: str) -> Answer | None:
        """Return a group if it is the provider's."""
        group = await self._part_of(home).find(Group, under(home, group_id))
        if group is None or group.provider_id != provider_id:
            return None
        return {"home": home, "group_id": group_id, "title": group.title}

    async def lesson_day(
        self, provider_id: str, home: str, group_id: str, day: str | None
    ) -> Answer | None:
        """Return the children whose agreements are in force on a day, and their marks of it.

        Without a day, of the business day. None if the group is not the provider's.
        """
        group, today = await together(
            self.group_of(provider_id, home, group_id), self.business_day()
        )
        if group is None:
            return None
        day = day or today
        members = [
            each for each in await self._members(home, group_id) if _is_in_force(each, day or "")
        ]
        marks = await self._marks(members, day or "")
        return group | {
            "provider_id": provider_id,
            "business_day": today,
            "day": day,
            "children": [
                each | {"marks": marks[each["enrollment_id"], each["payer"]]} for each in members
            ],
        }

    async def member(self, provider_id: str, payer: str, enrollment_id: str) -> Answer | None:
        """Return an enrollment if it is in a group of the provider."""
        application = await self._part_of(payer).find(Application, under(payer, enrollment_id))
        if application is None:
            return None
        home, group_id = application.group_home, application.group_id
        if await self.group_of(provider_id, home, group_id) is None:
            return None
        return {"home": home, "group_id": group_id, "state": application.state}

    async def invoices_of(self, provider_id: str) -> list[Answer]:
        """Return the invoices of a provider with their lines, the latest month first."""
        parts = await self._everywhere(lambda part: _invoices_of(part, provider_id))
        found = [each for invoices in parts for each in invoices]
        return sorted(found, key=lambda each: (each["month"], each["payer"]), reverse=True)

    async def charged(self, provider_id: str) -> list[Answer]:
        """Return what each enrollment of a provider was charged so far, net of what went back."""
        found = await together(
            *(self._charged_in(*place) for place in await self._groups_of_provider(provider_id))
        )
        return [each for of_group in found for each in of_group]

    async def _charged_in(self, home: str, group_id: str, group: Group) -> list[Answer]:
        members = await self._members(home, group_id)
        reserves = await together(*(self._reserve(each) for each in members))
        return [
            {
                "enrollment_id": each["enrollment_id"],
                "payer": each["payer"],
                "title": group.title,
                "charged_kopecks": reserve.charged_kopecks,
            }
            for each, reserve in zip(members, reserves, strict=True)
            if reserve is not None and reserve.charged_kopecks
        ]

    async def business_day(self) -> str | None:
        """Return the latest business day of all payers, or None before the first."""
        days = [standing["business_day"] for standing in await self.as_of()]
        return max((day for day in days if day), default=None)

    # --- parts ---------------------------------------------------------------------------------

    async def _groups_of_provider(self, provider_id: str) -> list[tuple[str, str, Group]]:
        parts = await self._everywhere(lambda part: _groups_in(part, provider_id))
        found = [place for places in parts for place in places]
        return sorted(found, key=lambda each: (each[2].title, each[1]))

    async def _members(self, home: str, group_id: str) -> list[Answer]:
        """Return the enrollments of a group, from all payers, over or not."""
        found = await self._everywhere(lambda part: _members_of(part, home, group_id))
        return sorted(
            (each for members in found for each in members),
            key=lambda each: (each["child_id"], each["payer"], each["enrollment_id"]),
        )

    async def _with_those_who_wait(
        self, home: str, group_id: str, group: Group, today: str | None
    ) -> Answer:
        members = await self._members(home, group_id)
        active = [each for each in members if _is_not_over(each, today or "")]
        return {
            "home": home,
            "group_id": group_id,
            "title": group.title,
            "starts_on": group.starts_on.isoformat(),
            "ends_on": group.ends_on.isoformat(),
            "capacity": group.capacity,
            "taken": group.taken,
            "waiting": group.waiting,
            "active": len(active),
            "lessons_on": await self._lessons_on(active, today),
            "held": [each for each in members if each["state"] == "PLACE_HELD"],
        }

    async def _lessons_on(
        self, active: Sequence[Mapping[str, Any]], today: str | None
    ) -> list[str]:
        """Return the days of the last weeks on which lessons of a group were marked."""
        if today is None:
            return []
        since = (date.fromisoformat(today) - LESSONS_BACK).isoformat()
        places = [(each["payer"], each["enrollment_id"]) for each in active]
        found = await together(
            *(
                self._part_of(payer).first(
                    MARKS,
                    beginning(payer, id_, since)[0],
                    beginning(payer, id_, today)[1],
                    LESSONS_LOOKED_MAX,
                )
                for payer, id_ in places[:LESSONS_LOOKED_MEMBERS]
            )
        )
        return sorted({entry.split("|")[2] for entries in found for entry in entries})

    async def _reserve(self, member: Mapping[str, Any]) -> Reserve | None:
        payer = str(member["payer"])
        return await self._part_of(payer).find(Reserve, under(payer, member["enrollment_id"]))

    async def _marks(
        self, members: Sequence[Mapping[str, Any]], day: str
    ) -> dict[tuple[str, str], dict[str, Answer]]:
        """Return the marks of a day by lesson, for each enrollment and payer."""
        places = [(each["enrollment_id"], each["payer"]) for each in members]
        found = await together(
            *(_marks_of(self._part_of(payer), payer, id_, day) for id_, payer in places)
        )
        return dict(zip(places, found, strict=True))


async def _groups_in(part: Part, provider_id: str) -> list[tuple[str, str, Group]]:
    entries = await part.members(GROUPS_OF, *beginning(provider_id))
    places = [entry.split("|")[1:] for entry in entries]
    groups = await part.all(Group, [under(*place) for place in places])
    return [
        (home, group_id, group)
        for (home, group_id), group in zip(places, groups, strict=True)
        if group is not None
    ]


async def _invoices_of(part: Part, provider_id: str) -> list[Answer]:
    entries = await part.first(INVOICES_OF, *beginning(provider_id), INVOICES_MAX)
    places = [entry.split("|")[2:] for entry in entries]
    known = await part.all(Invoice, [under(*place) for place in places])
    answers = await together(
        *(
            invoice_with_lines(part, payer, invoice_id, invoice)
            for (payer, invoice_id), invoice in zip(places, known, strict=True)
            if invoice is not None
        )
    )
    return list(answers)


async def _marks_of(part: Part, payer: str, enrollment_id: str, day: str) -> dict[str, Answer]:
    entries = await part.members(MARKS, *beginning(payer, enrollment_id, day))
    lessons = [entry.rpartition("|")[2] for entry in entries]
    known = await part.all(LessonMark, [under(payer, enrollment_id, lesson) for lesson in lessons])
    return {
        lesson: {
            "mark": mark.mark,
            "revision": mark.revision,
            "trouble": mark.trouble,
            "waits": mark.waits,
        }
        for lesson, mark in zip(lessons, known, strict=True)
        if mark is not None
    }


def _is_in_force(member: Mapping[str, Any], day: str) -> bool:
    return _is_not_over(member, day) and bool(member["starts_on"] <= day)


def _is_not_over(member: Mapping[str, Any], day: str) -> bool:
    """Return whether an agreement is in force on a day, or will be: one may be ended ahead."""
    if member["state"] not in _IN_FORCE or member["starts_on"] is None:
        return False
    last = member["ended_on"] or member["ends_on"]
    return bool(member["starts_on"] <= last and day <= last)


async def _members_of(part: Part, home: str, group_id: str) -> list[Answer]:
    entries = await part.first(ENROLLMENTS_OF, *beginning(home, group_id), GROUP_MEMBERS_MAX)
    places = [entry.split("|")[2:] for entry in entries]
    applications = await part.all(Application, [under(*place) for place in places])
    children = await part.all(
        Child,
        [
            under(payer, application.child_id if application else "")
            for (payer, _), application in zip(places, applications, strict=True)
        ],
    )
    return [
        {
            "payer": payer,
            "enrollment_id": enrollment_id,
            "child_id": application.child_id,
            "guardian_id": child.guardian_ids[0] if child else application.guardian_id,
            "birth_date": child.birth_date.isoformat() if child else None,
            "state": application.state,
            "held_until": _iso(application.held_until),
            "starts_on": _iso(application.starts_on),
            "ends_on": _iso(application.ends_on),
            "ended_on": _iso(application.ended_on),
        }
        for (payer, enrollment_id), application, child in zip(
            places, applications, children, strict=True
        )
        if application is not None
    ]


async def invoice_with_lines(part: Part, payer: str, invoice_id: str, invoice: Invoice) -> Answer:
    """Return an invoice with all its lines."""
    ids = [under(payer, invoice_id, str(page)) for page in range(invoice.pages)]
    pages = await part.all(InvoicePage, ids)
    return {
        "invoice_id": invoice_id,
        "payer": payer,
        "provider_id": invoice.provider_id,
        "month": invoice.month,
        "amount_kopecks": invoice.amount_kopecks,
        "settled": invoice.settled,
        "paid_on": _iso(invoice.paid_on),
        "payment_reference": invoice.payment_reference,
        "lines": [
            {
                "line_reference": line.line_reference,
                "enrollment_id": line.enrollment_id,
                "certificate_number": line.certificate_number,
                "lessons": line.lessons,
                "amount_kopecks": line.amount_kopecks,
            }
            for page in pages
            if page is not None
            for line in page.lines
        ],
    }


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
