"""A whole region: so many agreements of 40 municipalities, one of which has a quarter of them.

`python -m bench region [quick]`. Each service is a process of its own, on a real Kafka and Redis.
Measured: how long it takes until all agreements are active, the memory of each service, how long
one takes to be ready again after a restart, and how long a new day takes: one on which nothing
falls due, and one on which every agreement has ended, its days of grace are over and all money
is freed and expires.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import load, measure
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
from pfdo.system import SERVICES
from streaming.event_loop import run

PARTITIONS = 8
PORT = 18_050
DAYS = {"nothing falls due": "2020-09-02", "all agreements end": "2021-01-11"}


@dataclass(frozen=True, slots=True)
class Amount:
    """How large the region is; providers are those of each municipality."""

    agreements: int
    municipalities: int
    providers: int


FULL = Amount(agreements=150_000, municipalities=40, providers=8)
QUICK = Amount(agreements=600, municipalities=40, providers=2)


def sizes(amount: Amount) -> dict[str, int]:
    """Return how many agreements each municipality has; the first has a quarter of all."""
    first, *others = load.payers(amount.municipalities)
    quarter = amount.agreements // 4
    each, more = divmod(amount.agreements - quarter, len(others))
    return {first: quarter} | {payer: each + (number < more) for number, payer in enumerate(others)}


def beginning(amount: Amount) -> list[list[dict[str, Any]]]:
    """Return segments after which all agreements are active; municipalities are mixed."""
    by_payer = [
        load.beginning(size, [payer], providers=amount.providers)[:-1]
        for payer, size in sizes(amount).items()
    ]
    days, *segments = zip(*by_payer, strict=True)
    return [days[0], *(_in_turn(segment) for segment in segments)]


def _in_turn(lists: tuple[list[dict[str, Any]], ...]) -> list[dict[str, Any]]:
    """Return all events, each list's spread evenly over the whole."""
    placed = [
        ((number + 0.5) / len(one), index, event)
        for index, one in enumerate(lists)
        for number, event in enumerate(one)
    ]
    return [event for _, _, event in sorted(placed, key=lambda each: each[:2])]


def _run(
    around: Surroundings, stack: contextlib.ExitStack, name: str, number: int
) -> tuple[int, float]:
    """Start a service; return its pid and after how many seconds it was ready."""
    begun = time.perf_counter()
    pid = stack.enter_context(services(name, PARTITIONS, PORT + number, around.settings()))
    return pid, time.perf_counter() - begun


def _day(around: Surroundings, date: str) -> float:
    """Open a day; return after how many seconds everything that falls due was done."""
    begun = time.perf_counter()
    run(measure.play(around, [measure.records([load.day(date)], PARTITIONS)], PARTITIONS))
    return time.perf_counter() - begun


def measured(amount: Amount, console: Console) -> dict[str, Any]:
    """Make the region, look at its services, and let days pass."""
    with surroundings() as around, installed(around, PARTITIONS):
        told = about(around)
        with contextlib.ExitStack() as stack:
            pids = {
                name: _run(around, stack, name, number)[0] for number, name in enumerate(SERVICES)
            }
            console.print(f"{amount.agreements:,} agreements are made …")
            begun = time.perf_counter()
            segments = [measure.records(one, PARTITIONS) for one in beginning(amount)]
            run(measure.play(around, segments, PARTITIONS))
            seconds = time.perf_counter() - begun
            made = {
                name: {"memory_mib": memory_mib(pid), "cpu_seconds": cpu_seconds(pid)}
                for name, pid in pids.items()
            }
        with contextlib.ExitStack() as stack:
            console.print("Services are started again …")
            again = {
                name: _run(around, stack, name, number) for number, name in enumerate(SERVICES)
            }
            days = {}
            for what, date in DAYS.items():
                console.print(f"{date}: {what} …")
                days[what] = _day(around, date)
            for name, (pid, start_seconds) in again.items():
                made[name] |= {"start_seconds": start_seconds, "memory_later_mib": memory_mib(pid)}
        verify = verified(around, PARTITIONS)
    return (
        told
        | asdict(amount)
        | {
            "seconds": seconds,
            "services": made,
            "day_seconds": days,
            "verify": verify,
        }
    )


def shown(result: Mapping[str, Any], console: Console) -> bool:
    """Print the tables; return whether the auditor found nothing."""
    agreements, seconds = result["agreements"], result["seconds"]
    table = Table(
        title=f"{agreements:,} agreements of {result['municipalities']} municipalities,"
        f" made in {seconds:,.0f} s: {agreements / seconds:,.0f} a second"
    )
    columns = ("service", "memory, MiB", "after restart and two days", "CPU, s", "start, s")
    for column in columns:
        table.add_column(column, justify="left" if column == "service" else "right")
    for name, one in result["services"].items():
        table.add_row(
            name,
            f"{one['memory_mib']:.0f}",
            f"{one['memory_later_mib']:.0f}",
            f"{one['cpu_seconds']:.0f}",
            f"{one['start_seconds']:.1f}",
        )
    console.print(table)
    for what, took in result["day_seconds"].items():
        console.print(f"A day on which {what}: {took:.1f} s")
    console.print(f"Violations found by pfdo verify: {result['verify']['violations']}")
    return bool(result["verify"]["ok"])
