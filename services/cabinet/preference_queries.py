"""What a guardian asks about messages: which there are, and what was said about them."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from rulebook.model import Row
from rulebook.overlay import version_in_force
from services.cabinet import preview
from services.cabinet.parts import Answer
from services.cabinet.projections.models import CHILDREN_OF, Preferences, beginning, under
from services.cabinet.proposal_queries import ProposalQueries
from services.cabinet.together import together

ROUTING = "notifications.routing"
GUARDIANS = "guardians"
"""The routing's word for parents."""


class PreferenceQueries(ProposalQueries):
    """Questions about messages to guardians, beside all others."""

    async def preferences(self, guardian_id: str) -> Answer | None:
        """Return what a guardian said, payer by payer, and of what each payer's rules tell.

        None for a guardian without children.
        """
        standings, payers = await together(self.as_of(), self._payers_of(guardian_id))
        if not payers:
            return None
        days = {each["partition"]: each["business_day"] for each in standings}
        said, told = await together(
            together(
                *(
                    self._part_of(payer).find(Preferences, under(payer, guardian_id))
                    for payer in payers
                )
            ),
            together(*(self._told(payer, days[self.partition_of(payer)]) for payer in payers)),
        )
        return {
            "guardian_id": guardian_id,
            "said": [
                _said(payer, known or Preferences())
                for payer, known in zip(payers, said, strict=True)
            ],
            "told": [each for of_payer in told for each in of_payer],
        }

    async def _payers_of(self, guardian_id: str) -> list[str]:
        found = await self._everywhere(
            lambda part: part.members(CHILDREN_OF, *beginning(guardian_id))
        )
        return sorted({entry.split("|")[1] for entries in found for entry in entries})

    async def _told(self, payer: str, today: str | None) -> list[dict[str, Any]]:
        base = preview.tables()[ROUTING]
        # Before the first version the first holds, as it does for the service that tells.
        day = max(date.fromisoformat(today) if today else date.min, base.versions[0].valid_from)
        return _rows(version_in_force(base, await self.overlays(payer), day).rows)


def _rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            "category": str(row.then["category"]),
            "urgent": row.then["urgent"] is True,
            "says": row.says,
        }
        for row in rows
        if row.then["recipient"] == GUARDIANS
    ]


def _said(payer: str, known: Preferences) -> Answer:
    return {
        "payer": payer,
        "revision": known.revision,
        "is_set": known.is_set,
        "channels": {category: list(channels) for category, channels in known.channels.items()},
        "quiet_from": known.quiet_from,
        "quiet_until": known.quiet_until,
        "utc_offset": known.utc_offset,
        "digest": known.digest,
    }
