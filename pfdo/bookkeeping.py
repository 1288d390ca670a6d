"""The ledger of billing, read from its journal: every entry, and the trial balances."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from contracts.topics import BILLING
from contracts.vocabulary import PayerCode, PeriodId
from pfdo.options import Advance
from services.billing import wire
from services.billing.domain.ledger import Book, Entry, TrialBalances
from streaming.installation import Installation
from streaming.whole import up_to

KINDS = ("budget", "available", "reserved", "owed", "settled", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Whose entries: None is everybody's, of all periods, of all days."""

    payer: str | None = None
    period: str | None = None
    until: date | None = None

    def holds(self, entry: Entry) -> bool:
        """Return whether an entry is asked for."""
        return (
            self.payer in (None, entry.payer)
            and self.period in (None, entry.period)
            and (self.until is None or entry.day <= self.until)
        )


async def records(installation: Installation) -> int:
    """Return about how many records billing's journal holds."""
    topics = [BILLING.name]
    starts, ends = await installation.bus.starts(topics), await installation.bus.ends(topics)
    return sum(ends.values()) - sum(starts.values())


async def entries(
    installation: Installation, chosen: Chosen, advance: Advance = lambda _count: None
) -> AsyncIterator[list[Entry]]:
    """Yield the entries of billing's journal, batch by batch, in its order by partition."""
    bus, topic = installation.bus, BILLING.name
    starts, ends = await bus.starts([topic]), await bus.ends([topic])
    for partition in range(bus.partitions):
        book, at = Book(), starts[topic, partition]
        async for polled in up_to(bus, partition, {topic: at}, ends):
            found: list[Entry] = []
            for record in polled.records.get(topic, ()):
                booked = wire.to_booked(orjson.loads(record.value or b"{}"))
                if booked is not None:
                    found += filter(chosen.holds, book.entries(booked))
            yield found
            advance(polled.next_offsets[topic] - at)
            at = polled.next_offsets[topic]


def balance_sheet(trial: TrialBalances) -> list[dict[str, Any]]:
    """Return the trial balances by payer and period, each day and all of them together."""
    by_owner: defaultdict[tuple[PayerCode, PeriodId], list[tuple[date, Mapping[str, int]]]]
    by_owner = defaultdict(list)
    for (payer, period, day), kinds in sorted(trial.items()):
        by_owner[payer, period].append((day, kinds))
    sheet = []
    for (payer, period), days in by_owner.items():
        total: Counter[str] = Counter()
        for _, kinds in days:
            total.update(kinds)
        sheet.append(
            {
                "payer": payer,
                "period": period,
                "balances_kopecks": _row(total),
                "sum_kopecks": sum(total.values()),
                "days": [
                    {
                        "day": day.isoformat(),
                        "moved_kopecks": _row(kinds),
                        "sum_kopecks": sum(kinds.values()),
                    }
                    for day, kinds in days
                ],
            }
        )
    return sheet


def _row(kinds: Mapping[str, int]) -> dict[str, int]:
    return {kind: kinds.get(kind, 0) for kind in KINDS}


def posting_rows(entry: Entry) -> dict[str, Any]:
    """Return an entry as `pfdo ledger --entries --json` prints it."""
    return {
        "event": entry.event,
        "payer": entry.payer,
        "period": entry.period,
        "day": entry.day.isoformat(),
        "postings": [
            {"account": account, "kopecks": kopecks} for account, kopecks in entry.postings
        ],
    }
