"""Enrollments from application to end, and the groups they are in."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from services.cabinet.certificate_queries import CertificateQueries
from services.cabinet.parts import Answer, Part, iso, last
from services.cabinet.projections.models import (
    APPLICATIONS,
    APPLICATIONS_OF,
    GROUPS,
    Application,
    Child,
    Grant,
    Group,
    Provider,
    Reserve,
    Turn,
    beginning,
    under,
    waiting_list,
)
from services.cabinet.together import together
from streaming.store import Count


class EnrollmentQueries(CertificateQueries):
    """Questions about enrollments and groups, beside those about certificates."""

    async def enrollment(self, id_: str) -> Answer | None:
        """Return an enrollment, from application to end, or None."""
        found = await self._place(APPLICATIONS, id_)
        if found is None:
            return None
        part, payer = found
        return (await self._enrollments(part, [(id_, payer)])).get(id_)

    async def group(self, id_: str) -> Answer | None:
        """Return the places and the waiting list of a group, or None."""
        found = await self._place(GROUPS, id_)
        if found is None:
            return None
        part, home = found
        return (await self._groups(part, [(id_, home)])).get(id_)

    async def _enrollments(
        self, part: Part, places: Sequence[tuple[str, str]]
    ) -> dict[str, Answer]:
        found = await self._applications(part, places)
        return {id_: _enrollment(id_, payer, *models) for (id_, payer), models in found.items()}

    async def _applications(
        self, part: Part, places: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[Application, Reserve | None, Group | None]]:
        applied = await _applied(part, places)
        groups = await self._groups_of([application for application, _ in applied.values()])
        return _with_groups(applied, groups)

    async def _groups_of(
        self, applications: Iterable[Application]
    ) -> dict[tuple[str, str], Group | None]:
        wanted = sorted({(each.group_home, each.group_id) for each in applications})
        by_part = [
            (self._parts[number], list(places))
            for number, places in groupby(
                sorted(wanted, key=lambda place: self.partition_of(place[0])),
                key=lambda place: self.partition_of(place[0]),
            )
        ]
        found = await together(
            *(part.all(Group, [under(*place) for place in places]) for part, places in by_part)
        )
        return {
            place: group
            for (_, places), groups in zip(by_part, found, strict=True)
            for place, group in zip(places, groups, strict=True)
        }

    async def _groups(self, part: Part, places: Sequence[tuple[str, str]]) -> dict[str, Answer]:
        groups = await part.all(Group, [under(home, id_) for id_, home in places])
        found = await together(
            *(
                _group(part, home, id_, group)
                for (id_, home), group in zip(places, groups, strict=True)
                if group is not None
            )
        )
        return {answer["group_id"]: answer for answer in found}

    async def _of_child(self, part: Part, payer: str, child_id: str) -> list[Answer]:
        entries = await part.members(APPLICATIONS_OF, *beginning(payer, child_id))
        applied = await _applied(part, [(last(entry), payer) for entry in entries])
        applications = {id_: application for (id_, _), (application, _) in applied.items()}
        groups, titles, positions, child, grants = await together(
            self._groups_of(applications.values()),
            self._provider_titles(
                {id_: (each.group_home, each.provider_id) for id_, each in applications.items()}
            ),
            together(*(self._waiting_position(id_, each) for id_, each in applications.items())),
            part.find(Child, under(payer, child_id)),
            part.found(Grant, _grants_of(payer, child_id, applications.values())),
        )
        found = _with_groups(applied, groups)
        # Before there is an agreement the group alone says whose it is.
        titles |= await self._provider_titles(
            {
                id_: (each.group_home, group.provider_id)
                for (id_, _), (each, _, group) in found.items()
                if each.provider_id is None and group is not None
            }
        )
        return [
            _enrollment(id_, payer, application, reserve, group)
            | {
                "title": application.title or (group.title if group else None),
                "provider_title": titles.get(id_),
                "guardian_id": application.guardian_id,
                "guardian_ids": () if child is None else child.guardian_ids,
                "submitted_on": iso(application.submitted_on),
                "since": iso(application.since),
                "held_until": iso(application.held_until),
                "text": application.text,
                "debit_basis": reserve.debit_basis if reserve else None,
                "lesson_share_kopecks": reserve.lesson_share_kopecks if reserve else None,
                "group_starts_on": iso(group.starts_on) if group else None,
                "waiting_position": position,
                "valid_until": iso(
                    grants[grant].valid_until
                    if (grant := under(payer, child_id, application.period or "")) in grants
                    else None
                ),
            }
            for ((id_, _), (application, reserve, group)), position in zip(
                found.items(), positions, strict=True
            )
        ]

    async def _provider_titles(
        self, providers: Mapping[str, tuple[str, str | None]]
    ) -> dict[str, str]:
        """Return titles by enrollment, given the group's home, where they are known, and the id."""

        async def title(home: str, provider_id: str | None) -> str | None:
            if provider_id is None:
                return None
            provider = await self._part_of(home).find(Provider, under(home, provider_id))
            return None if provider is None else provider.title

        titles = await together(*(title(*each) for each in providers.values()))
        return {id_: name for id_, name in zip(providers, titles, strict=True) if name is not None}

    async def _waiting_position(self, id_: str, application: Application) -> int | None:
        if application.state != "WAITLISTED":
            return None
        part = self._part_of(application.group_home)
        turn = await part.find(Turn, under(application.group_home, id_))
        if turn is None:
            return None
        line = waiting_list(application.group_home, turn.group_id)
        return (await part.counts([Count(line, "", turn.member)]))[0] + 1


async def _group(part: Part, home: str, id_: str, group: Group) -> Answer:
    line = await part.members(waiting_list(home, id_)) if group.waiting else []
    return {
        "group_id": id_,
        "capacity": group.capacity,
        "taken": group.taken,
        "waiting": [last(entry) for entry in line],
    }


async def _applied(
    part: Part, places: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[Application, Reserve | None]]:
    ids = [under(payer, id_) for id_, payer in places]
    applications, reserves = await together(part.all(Application, ids), part.all(Reserve, ids))
    return {
        place: (application, reserve)
        for place, application, reserve in zip(places, applications, reserves, strict=True)
        if application is not None
    }


def _with_groups(
    applied: Mapping[tuple[str, str], tuple[Application, Reserve | None]],
    groups: Mapping[tuple[str, str], Group | None],
) -> dict[tuple[str, str], tuple[Application, Reserve | None, Group | None]]:
    return {
        place: (application, reserve, groups.get((application.group_home, application.group_id)))
        for place, (application, reserve) in applied.items()
    }


def _grants_of(payer: str, child_id: str, applications: Iterable[Application]) -> list[str]:
    """Return what the periods of a child's agreements stand under."""
    periods = {each.period for each in applications if each.period}
    return [under(payer, child_id, period) for period in sorted(periods)]


def _enrollment(
    id_: str, payer: str, application: Application, reserve: Reserve | None, group: Group | None
) -> Answer:
    provider_id = application.provider_id or (group.provider_id if group else None)
    return {
        "enrollment_id": id_,
        "child_id": application.child_id,
        "payer": payer,
        "state": application.state,
        "group_id": application.group_id,
        "provider_id": provider_id,
        "starts_on": iso(application.starts_on),
        "ends_on": iso(application.ends_on),
        "ended_on": iso(application.ended_on),
        "certificate_share_kopecks": reserve.certificate_share_kopecks if reserve else None,
        "parent_share_kopecks": reserve.parent_share_kopecks if reserve else None,
        "lessons": reserve.lessons if reserve else None,
        "lessons_charged": reserve.lessons_charged if reserve else 0,
        "reserved_kopecks": reserve.reserved_kopecks if reserve else 0,
        "charged_kopecks": reserve.charged_kopecks if reserve else 0,
        "reason": application.reason,
    }
