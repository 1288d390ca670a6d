"""What is asked about disputes of debits: by the provider, and by the payer.

Dictionaries, as in `parts.py`.
"""

from collections.abc import Sequence

from services.cabinet.child_history import dispute_answer
from services.cabinet.parts import Answer, Part
from services.cabinet.projections.models import (
    DISPUTES_AT,
    DISPUTES_BY,
    UPHELD_BY,
    Child,
    Dispute,
    beginning,
    under,
)
from services.cabinet.provider_queries import ProviderQueries
from services.cabinet.together import together
from streaming.store import Count, Range

DISPUTES_LISTED_MAX = 200
"""So many open disputes stand on a page, the oldest; how many there are is counted."""
UPHELD_LISTED_MAX = 50
"""So many of those after which a debit stands are listed, the latest."""

Lesson = tuple[str, str, str]
"""Payer, enrollment and lesson."""


class DisputeQueries(ProviderQueries):
    """Questions about disputes, beside all others."""

    async def disputes_at(self, provider_id: str) -> list[Answer]:
        """Return the open disputes of a provider, from all payers, the oldest first."""
        parts = await self._everywhere(lambda part: self._disputes_at(part, provider_id))
        found = [each for disputes in parts for each in disputes]
        oldest = sorted(found, key=lambda each: (each["opened_on"], each["enrollment_id"]))
        return oldest[:DISPUTES_LISTED_MAX]

    async def _disputes_at(self, part: Part, provider_id: str) -> list[Answer]:
        entries = await part.first(DISPUTES_AT, *beginning(provider_id), DISPUTES_LISTED_MAX)
        return await self._disputes(part, [_place(entry.split("|")[2:]) for entry in entries])

    async def disputes_by(self, payer: str) -> Answer:
        """Return a payer's open disputes, the oldest first, and those after which a debit stands.

        `open_in_all` and `upheld_in_all` count them, also those that are not listed.
        """
        part = self._part_of(payer)
        standing, listed, counts = await together(
            part.standing(),
            part.ranges(
                [
                    Range(DISPUTES_BY, *beginning(payer), DISPUTES_LISTED_MAX),
                    Range(UPHELD_BY, *beginning(payer), UPHELD_LISTED_MAX),
                ]
            ),
            part.counts(
                [Count(DISPUTES_BY, *beginning(payer)), Count(UPHELD_BY, *beginning(payer))]
            ),
        )
        lists = await together(
            *(
                self._disputes(part, [_place([payer, *entry.split("|")[2:]]) for entry in some])
                for some in listed
            )
        )
        return {
            "payer": payer,
            "business_day": standing["business_day"],
            "open": lists[0],
            "open_in_all": counts[0],
            "upheld": lists[1],
            "upheld_in_all": counts[1],
        }

    async def dispute(self, payer: str, enrollment_id: str, lesson_id: str) -> Answer | None:
        """Return the dispute of a lesson, open or settled."""
        part = self._part_of(payer)
        found = await part.find(Dispute, under(payer, enrollment_id, lesson_id))
        return None if found is None else dispute_answer(found)

    async def _disputes(self, part: Part, places: Sequence[Lesson]) -> list[Answer]:
        """Return disputes with the group each is about, and whom to ask for the child's name."""
        disputes = await part.all(Dispute, [under(*place) for place in places])
        found = {p: each for p, each in zip(places, disputes, strict=True) if each is not None}
        enrolled, children = await together(
            self._applications(part, [(id_, payer) for payer, id_, _ in found]),
            part.all(Child, [under(place[0], each.child_id) for place, each in found.items()]),
        )
        answers = []
        for ((payer, id_, lesson_id), each), child in zip(found.items(), children, strict=True):
            application, _, group = enrolled.get((id_, payer), (None, None, None))
            guardians = child.guardian_ids if child is not None else ()
            answers.append(
                dispute_answer(each)
                | {
                    "payer": payer,
                    "enrollment_id": id_,
                    "lesson_id": lesson_id,
                    "guardian_id": guardians[0] if guardians else each.child_id,
                    "home": application.group_home if application else payer,
                    "group_id": application.group_id if application else "",
                    "title": group.title if group else "",
                }
            )
        return answers


def _place(parts: Sequence[str]) -> Lesson:
    payer, enrollment_id, lesson_id = parts
    return payer, enrollment_id, lesson_id
