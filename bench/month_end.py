"""The end of a month: all marks of a month are sent in, then its invoices fall due.

`python -m bench month_end [quick|hour]`. All services are one process, on a real Kafka and Redis.
Marks come at a pace; how long each debit took is measured as everywhere. Then a day is opened on
which every provider is invoiced. Afterwards the journal is counted another way: all invoices
together are all debits together.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from rich.console import Console

from bench import load, measure
from bench.figures import promises
from bench.machine import about
from bench.surroundings import (
    Surroundings,
    cpu_seconds,
    installed,
    memory_mib,
    services,
    surroundings,
    verified,
)
from streaming.event_loop import run

SERVICES = "enrollment,certificates,billing,notifications"
INVOICED = "billing.invoice-issued.v1"
PARTITIONS = 4
PORT = 18_044
MONTH_ENDS_ON, INVOICED_ON = "2020-09-30", "2020-10-06"
LESSONS_MAX = load.LESSONS_MAX // 4 - 1
INVOICES_SECONDS_MAX = 1_800.0


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is to do: children of each provider, lessons of each child."""

    providers: int
    children: int
    lessons: int
    seconds: int

    @property
    def marks(self) -> int:
        """How many marks are sent."""
        return self.providers * self.children * self.lessons


FULL = Amount(providers=300, children=50, lessons=20, seconds=600)
HOUR = replace(FULL, seconds=3_600)
QUICK = Amount(providers=12, children=10, lessons=10, seconds=12)
PAYERS = load.payers_of_all(PARTITIONS)


def beginning(amount: Amount) -> list[list[dict[str, Any]]]:
    """Return segments after which all agreements are active on the last day of the month."""
    providers = amount.providers // PARTITIONS
    *before, _ = load.beginning(providers * amount.children, PAYERS, providers=providers)
    return [*before, [load.day(MONTH_ENDS_ON)]]


def marks(amount: Amount) -> Iterator[dict[str, Any]]:
    """Yield the marks of September: lesson after lesson, all children in turn."""
    if amount.lessons > LESSONS_MAX:
        raise ValueError(f"at most {LESSONS_MAX} lessons of one month")
    for lesson in range(1, amount.lessons + 1):
        for number in range(amount.providers // PARTITIONS * amount.children):
            for payer in PAYERS:
                # Each fourth lesson of the load is in September.
                yield load.mark(number, 4 * lesson, payer)


@dataclass(slots=True)
class Books:
    """What a journal of billing says of a month."""

    debits: int = 0
    charged_kopecks: int = 0
    invoices: int = 0
    invoiced_kopecks: int = 0
    lines_kopecks: int = 0
    """The lines of all invoices, counted one by one."""


async def counted(journal: AsyncIterator[Mapping[str, Any]]) -> Books:
    """Count a journal of billing, in any order; an invoice in parts counts once."""
    books, seen = Books(), set()
    async for record in journal:
        data = record["data"]
        if record["type"] == measure.CHARGED:
            books.debits += 1
            books.charged_kopecks += data["amount_kopecks"]
        elif record["type"] == INVOICED:
            books.lines_kopecks += sum(line["amount_kopecks"] for line in data["lines"])
            if data["invoice_id"] not in seen:
                seen.add(data["invoice_id"])
                books.invoiced_kopecks += data["amount_kopecks"]
    books.invoices = len(seen)
    return books


async def invoiced(around: Surroundings, providers: int) -> list[float]:
    """Open the day of invoices; return after how many seconds each was readable."""
    consumer = await measure.consumer_at_end(around.bootstrap, measure.JOURNAL, PARTITIONS)
    at: dict[str, float] = {}
    try:
        opened = measure.records([load.day(INVOICED_ON)], PARTITIONS)
        begun = time.perf_counter()
        await measure.send(around.bootstrap, opened)
        async with asyncio.timeout(INVOICES_SECONDS_MAX):
            while len(at) < providers:
                batches = await consumer.getmany(timeout_ms=1000)
                now = time.perf_counter()
                for batch in batches.values():
                    for record in batch:
                        envelope = orjson.loads(record.value)
                        if envelope["type"] == INVOICED:
                            at.setdefault(envelope["subject"], now)
    finally:
        await consumer.stop()
    await measure.at_rest(around, PARTITIONS)
    return sorted(one - begun for one in at.values())


async def month_end(around: Surroundings, amount: Amount) -> dict[str, Any]:
    """Let it happen; the services run already, and all agreements are active."""
    rate = amount.marks // amount.seconds
    sent = measure.records(marks(amount), PARTITIONS)
    latency = await measure.paced(around.bootstrap, sent, rate, partitions=PARTITIONS)
    await measure.at_rest(around, PARTITIONS)
    waits = await invoiced(around, amount.providers)
    journal = measure.published(around, measure.JOURNAL, PARTITIONS)
    return {
        **asdict(latency),
        "first_invoice_seconds": waits[0],
        "last_invoice_seconds": waits[-1],
        "books": asdict(await counted(journal)),
    }


def measured(amount: Amount, console: Console) -> dict[str, Any]:
    """Make everything ready, let the month end and count what came of it."""
    with surroundings() as around, installed(around, PARTITIONS):
        told = about(around)
        with services(SERVICES, PARTITIONS, PORT, around.settings()) as pid:
            console.print(f"{amount.providers * amount.children:,} agreements are made …")
            segments = [measure.records(one, PARTITIONS) for one in beginning(amount)]
            run(measure.play(around, segments, PARTITIONS))
            console.print(f"{amount.marks:,} marks in {amount.seconds} s, then invoices …")
            used = cpu_seconds(pid)
            result = run(month_end(around, amount))
            used = cpu_seconds(pid) - used
            memory = memory_mib(pid)
        result |= {"verify": verified(around, PARTITIONS)}
    return told | asdict(amount) | result | {"cpu_seconds": used, "memory_mib": memory}


def shown(result: Mapping[str, Any], console: Console) -> bool:
    """Print the table; return whether all was as promised."""
    books = result["books"]
    rows = [
        ("from mark to debit, ms: p50", f"{result['p50']:,.0f}", ""),
        ("  p99", f"{result['p99']:,.0f}", ""),
        ("  p99.9", f"{result['p999']:,.0f}", ""),
        ("from the day of invoices to the first, s", f"{result['first_invoice_seconds']:.2f}", ""),
        ("  to the last", f"{result['last_invoice_seconds']:.2f}", ""),
        ("all debits, rubles", f"{books['charged_kopecks'] / 100:,.2f}", ""),
        ("all invoices", f"{books['invoiced_kopecks'] / 100:,.2f}", "the same"),
        ("all their lines", f"{books['lines_kopecks'] / 100:,.2f}", "the same"),
        ("violations found by pfdo verify", str(result["verify"]["violations"]), "0"),
        (
            "CPU seconds, memory in MiB",
            f"{result['cpu_seconds']:.0f}, {result['memory_mib']:.0f}",
            "",
        ),
    ]
    title = (
        f"{books['debits']:,} debits in {result['seconds']:,} s,"
        f" then {books['invoices']:,} invoices"
    )
    console.print(promises(title, rows))
    return kept(result)


def kept(result: Mapping[str, Any]) -> bool:
    """Return whether all was as promised: each mark debited, each debit invoiced, once."""
    books = result["books"]
    return bool(
        result["verify"]["ok"]
        and books["debits"] == result["providers"] * result["children"] * result["lessons"]
        and books["invoices"] == result["providers"]
        and books["charged_kopecks"] == books["invoiced_kopecks"] == books["lines_kopecks"]
    )
