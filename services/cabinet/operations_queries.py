"""What the operator asks: what waits, what was not decided yet, how far the read models are.

All of it is counted from the journals that the cabinet follows, and the ends of topics.
"""

from collections import Counter
from typing import Any

from contracts.sources import Sources
from contracts.topics import JOURNALS, forwarded_topics, source_topics
from contracts.vocabulary import Service
from services.cabinet.invoice_queries import InvoiceQueries
from services.cabinet.parts import Answer, Part
from services.cabinet.projections.models import PARKED, Parked, Progress, under
from streaming.bus import Bus

PARKED_SHOWN_MAX = 300


class OperationsQueries(InvoiceQueries):
    """Questions of the operator, beside all others."""

    async def flow(self, bus: Bus, sources: Sources) -> list[Answer]:
        """Return for each input topic how many records there are after the last decided one.

        And for each journal, how many the read models have not followed yet.
        """
        inputs = [each.name for each in (*source_topics(sources), *forwarded_topics(sources))]
        journals = [each.name for each in JOURNALS]
        # Stores are looked at before the ends: nothing is told as left that was never there.
        reached = await self._everywhere(lambda part: _reached(part, inputs))
        standings = await self.as_of()
        ends = await bus.ends([*inputs, *journals])
        left: Counter[str] = Counter()
        there: Counter[str] = Counter()
        for (topic, partition), end in ends.items():
            there[topic] += end
            if topic in journals:
                continue
            left[topic] += max(0, end - reached[partition][topic])
        followed = {
            topic: sum(standing["journals"][topic] for standing in standings) for topic in journals
        }
        return [
            {"topic": topic, "kind": "input", "records": there[topic], "left": left[topic]}
            for topic in inputs
        ] + [
            {"topic": topic, "kind": "journal", "records": followed[topic], "left": None}
            for topic in journals
        ]

    async def parked(self) -> tuple[list[Answer], int]:
        """Return inputs that wait, by the day they wait until, and how many there are in all."""
        parts = await self._everywhere(_parked_in)
        found = [each for waiting, _ in parts for each in waiting]
        total = sum(number for _, number in parts)
        found.sort(key=lambda each: (each["until"] or "9999", each["place"]))
        return found[:PARKED_SHOWN_MAX], total


async def _parked_in(part: Part) -> tuple[list[Answer], int]:
    """Return inputs of a partition that wait, so many at most, and how many there are in all."""
    entries = await part.members(PARKED)
    places = [entry.split("|")[1:] for entry in entries[:PARKED_SHOWN_MAX]]
    known = await part.all(Parked, [under(*place) for place in places])
    found = [
        _parked(place, parked)
        for place, parked in zip(places, known, strict=True)
        if parked is not None
    ]
    return found, len(entries)


def _parked(place: list[str], parked: Parked) -> dict[str, Any]:
    return {
        "place": "/".join(place),
        "service": parked.service,
        "type": parked.type,
        "subject": parked.subject,
        "waits_for": parked.waits_for,
        "since": None if parked.since is None else parked.since.isoformat(),
        "until": None if parked.until is None else parked.until.isoformat(),
    }


async def _reached(part: Part, topics: list[str]) -> dict[str, int]:
    """Return by topic where the next record stands that nobody has decided yet."""
    places = [(topic, service.value) for topic in topics for service in Service]
    known = await part.all(
        Progress, [under(service, topic, str(part.number)) for topic, service in places]
    )
    reached = dict.fromkeys(topics, 0)
    for (topic, _), progress in zip(places, known, strict=True):
        if progress is not None:
            reached[topic] = max(reached[topic], progress.next)
    return reached
