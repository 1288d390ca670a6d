"""A family: its children with all a parent may know, and its messages."""

from collections.abc import Sequence

from services.cabinet.certificate_queries import certificates_on
from services.cabinet.child_history import entry_answer, family_history, open_disputes
from services.cabinet.money_queries import MoneyQueries
from services.cabinet.parts import PAGE_MEMBERS, Answer, Part, iso, split
from services.cabinet.projections.models import (
    CHILDREN_OF,
    GUARDIANS,
    MESSAGES,
    Child,
    Entry,
    Message,
    beginning,
    under,
)
from services.cabinet.together import together
from streaming.store import Count, Range

GUARDIANS_LISTED_MAX = 60
MESSAGES_LISTED_MAX = 60


class FamilyQueries(MoneyQueries):
    """Questions about families, beside all before."""

    async def family(
        self,
        guardian_id: str,
        *,
        child_id: str | None = None,
        entries_max: int | None = None,
        messages_max: int = MESSAGES_LISTED_MAX,
    ) -> Answer | None:
        """Return the children of a guardian with all a parent may know, or None if there is none.

        Beside what `certificate` and `enrollment` say, without the movements: each child's history,
        the latest first, at most `entries_max` of it, and the guardian's latest messages. With a
        `child_id`, of the children that one alone.
        """
        # What is asked in the same moment travels together, here and below.
        of_guardian = beginning(guardian_id)
        progress, entries = await together(
            self._everywhere(lambda part: part.progress()),
            self._everywhere(
                lambda part: part.ranges(
                    [
                        Range(CHILDREN_OF, *of_guardian, PAGE_MEMBERS),
                        Range(MESSAGES, *of_guardian, messages_max),
                    ]
                )
            ),
        )
        places_of = [
            [
                (id_, payer)
                for _, payer, id_ in map(split, await part.rest(CHILDREN_OF, children, of_guardian))
                if child_id in (None, id_)
            ]
            for part, (children, _) in zip(self._parts, entries, strict=True)
        ]
        if not any(places_of):
            return None
        parts, messages = await together(
            together(
                *(
                    self._children(part, places, guardian_id, standing["business_day"], entries_max)
                    for part, places, (standing, _) in zip(
                        self._parts, places_of, progress, strict=True
                    )
                    if places
                )
            ),
            together(
                *(
                    _messages(part, messages)
                    for part, (_, messages) in zip(self._parts, entries, strict=True)
                    if messages
                )
            ),
        )
        children = [child for found in parts for child in found]
        partitions = sorted({self.partition_of(child["payer"]) for child in children})
        days = [progress[number][0]["business_day"] for number in partitions]
        return {
            "guardian_id": guardian_id,
            "business_day": max((day for day in days if day), default=None),
            "partitions": partitions,
            "is_behind": any(progress[number][1] for number in partitions),
            "children": sorted(children, key=lambda child: (child["child_id"], child["payer"])),
            "messages": sorted(
                (message for found in messages for message in found),
                key=lambda message: (message["day"] or "", message["not_before"]),
                reverse=True,
            )[:messages_max],
        }

    async def guardians(
        self, beginning_with: str = "", guardians_max: int = GUARDIANS_LISTED_MAX
    ) -> list[Answer]:
        """Return guardians by the beginning of their id, with how many children each has."""
        end = f"{beginning_with}\U0010ffff" if beginning_with else None
        found = await self._everywhere(
            lambda part: part.first(GUARDIANS, beginning_with, end, guardians_max)
        )
        ids = sorted({guardian_id for ids in found for guardian_id in ids})[:guardians_max]
        asked = [Count(CHILDREN_OF, *beginning(guardian_id)) for guardian_id in ids]
        counted = await self._everywhere(lambda part: part.counts(asked))
        return [
            {"guardian_id": guardian_id, "children": sum(numbers)}
            for guardian_id, numbers in zip(ids, zip(*counted, strict=True), strict=True)
        ]

    async def _children(
        self,
        part: Part,
        places: Sequence[tuple[str, str]],
        guardian_id: str,
        day: str | None,
        entries_max: int | None,
    ) -> list[Answer]:
        children, certificates, enrollments, histories, disputes = await together(
            part.all(Child, [under(payer, id_) for id_, payer in places]),
            certificates_on(part, places, day),
            together(*(self._of_child(part, payer, id_) for id_, payer in places)),
            together(
                *(
                    family_history(part, payer, id_, guardian_id, entries_max)
                    for id_, payer in places
                )
            ),
            together(*(open_disputes(part, payer, id_) for id_, payer in places)),
        )
        return [
            {
                "child_id": child_id,
                "payer": payer,
                "birth_date": None if child is None else child.birth_date.isoformat(),
                "certificate": certificate,
                "enrollments": enrolled,
                "history": history,
                "disputes": disputed,
            }
            for (child_id, payer), child, certificate, enrolled, history, disputed in zip(
                places, children, certificates, enrollments, histories, disputes, strict=True
            )
        ]


async def _messages(part: Part, entries: Sequence[str]) -> list[Answer]:
    places = [(payer, message_id) for _, _, payer, message_id in map(split, entries)]
    known = await part.all(Message, [under(*place) for place in places])
    messages = [
        (payer, each) for (payer, _), each in zip(places, known, strict=True) if each is not None
    ]
    facts = sorted({id_ for _, message in messages for id_ in message.event_ids})
    told = dict(zip(facts, await part.all(Entry, facts), strict=True))
    return [
        {
            "payer": payer,
            "at": message.at,
            "day": iso(message.day),
            "not_before": message.not_before,
            "channel": message.channel,
            "category": message.category,
            "template": message.template,
            "state": message.state,
            "facts": message.facts,
            "entries": [
                entry_answer(entry) | {"child_id": entry.child_id}
                for id_ in message.event_ids
                if (entry := told[id_]) is not None
            ],
            "event_ids": list(message.event_ids),
        }
        for payer, message in messages
    ]
