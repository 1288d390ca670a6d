"""A thousand marks a second, for ten minutes: `python -m bench steady [quick|hour]`.

Billing alone, one partition, on a real Kafka and Redis; agreements were made by all services, which
have stopped. A debit counts from when its mark was due to be sent until it can be read. Whether
it holds out shows in the last minute beside the first, and in memory.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import load, measure
from bench.figures import percentiles
from bench.machine import about
from bench.surroundings import (
    cpu_seconds,
    installed,
    memory_mib,
    services,
    surroundings,
    verified,
)
from streaming.event_loop import run

RATE = 1_000
SECONDS, HOUR_SECONDS, QUICK_SECONDS = 600, 3_600, 10
WARM_SECONDS, QUICK_WARM_SECONDS = 10, 2
CHILDREN = 2_000
SERVICES = "enrollment,certificates,billing,notifications"
PORT = 18_047
SLOW_SECONDS = 0.1
SLOW_SHARE_MAX = 0.01
"""At most so many of the debits may take longer."""


@dataclass(frozen=True, slots=True)
class Minute:
    """How long debits of a minute (or of less, at the end) took, and how many took too long."""

    p50_ms: float
    p99_ms: float
    slow_share: float


def minutes(seconds: Sequence[float], rate: int) -> list[Minute]:
    """Return how long debits took, minute by minute; they are given in the order of their marks."""
    found = []
    for first in range(0, len(seconds), 60 * rate):
        some = seconds[first : first + 60 * rate]
        told = percentiles(rate, some)
        found.append(Minute(told.p50, told.p99, slow_share(some)))
    return found


def slow_share(seconds: Sequence[float]) -> float:
    """Return which part of debits took longer than `SLOW_SECONDS`."""
    return sum(each > SLOW_SECONDS for each in seconds) / len(seconds)


def measured(seconds: int, *, quick: bool, console: Console) -> dict[str, Any]:
    """Send marks for so many seconds; return the figures."""
    children = CHILDREN // 20 if quick else CHILDREN
    warm_seconds = QUICK_WARM_SECONDS if quick else WARM_SECONDS
    with surroundings() as around, installed(around, 1):
        with services(SERVICES, 1, PORT, around.settings()):
            console.print("Making the agreements …")
            segments = [measure.records(one) for one in load.beginning(children)]
            run(measure.play(around, segments, 1))
        marks = load.marks(children)
        with services("billing", 1, PORT, around.settings()) as pid:
            warm = measure.records(load.taken(marks, RATE * warm_seconds))
            run(measure.paced(around.bootstrap, warm, RATE))
            before = memory_mib(pid)
            sent = measure.records(load.taken(marks, RATE * seconds))
            console.print(f"{len(sent):,} marks in {seconds} s …")
            used, begun = cpu_seconds(pid), time.monotonic()
            took = run(measure.latencies(around.bootstrap, sent, RATE))
            cpu = (cpu_seconds(pid) - used) / (time.monotonic() - begun)
            after = memory_mib(pid)
        return {
            **about(around),
            "rate": RATE,
            "seconds": seconds,
            "whole": asdict(percentiles(RATE, took)),
            "slow_share": slow_share(took),
            "minutes": [asdict(each) for each in minutes(took, RATE)],
            "cpu": cpu,
            "memory_mib": [before, after],
            "verify": verified(around, 1),
        }


def shown(result: dict[str, Any], console: Console) -> bool:
    """Print the table; return whether as few debits were slow as may be, and nothing was broken."""
    table = Table(title=f"{result['rate']:,} marks a second for {result['seconds']} s, ms")
    for column in ("minute", "p50", "p99", f"above {SLOW_SECONDS * 1000:.0f} ms"):
        table.add_column(column, justify="right")
    for number, each in enumerate(result["minutes"], 1):
        table.add_row(
            str(number),
            f"{each['p50_ms']:.0f}",
            f"{each['p99_ms']:.0f}",
            f"{each['slow_share']:.1%}",
        )
    whole = result["whole"]
    table.add_row(
        "all", f"{whole['p50']:.0f}", f"{whole['p99']:.0f}", f"{result['slow_share']:.1%}"
    )
    console.print(table)
    before, after = result["memory_mib"]
    console.print(f"Memory of billing: {before:.0f} MiB, {after:.0f} at the end")
    console.print(f"CPU of billing: {result['cpu']:.0%} of a core")
    console.print(f"Violations found by pfdo verify: {result['verify']['violations']}")
    return bool(result["slow_share"] <= SLOW_SHARE_MAX and result["verify"]["ok"])
