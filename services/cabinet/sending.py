"""What a page sends: through the intake of the API, and with what became of it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from services.cabinet.api.intake import Intake
from services.cabinet.queries import Answer, Queries
from streaming.bus import Appended

DECIDED_SECONDS_MAX = 2.0
"""So long the answer to a form waits for the decisions: the page that follows shows them then."""
DECIDED_PAUSE_SECONDS = 0.05


class Sending:
    """Sends events that pages make. Who may send what was settled where the form came in."""

    def __init__(self, intake: Intake, queries: Queries) -> None:
        self._intake = intake
        self._queries = queries

    async def send(self, events: Sequence[Mapping[str, Any]]) -> list[Answer | None]:
        """Publish, all or none, and wait a little; return what was decided, None: not yet.

        Raises ProblemError, BusUnavailableError, StoreUnavailableError. Sent again they are copies.
        """
        async with self._intake.admitted():
            values = [orjson.dumps(event) for event in events]
            taken = await self._intake.publish(values, _as_any)
        told: list[Answer | None] = [None] * len(taken)
        try:
            async with asyncio.timeout(DECIDED_SECONDS_MAX):
                for number, (_, place) in enumerate(taken):
                    told[number] = await self._until_decided(place)
        except TimeoutError:
            # It is on the bus; pages show it a little later.
            pass
        return told

    async def _until_decided(self, place: Appended) -> Answer:
        while True:
            known = await self._queries.decided(place.topic, place.partition, place.offset)
            if known is not None:
                return known
            await asyncio.sleep(DECIDED_PAUSE_SECONDS)


def _as_any(source: str) -> bool:
    del source
    return True
