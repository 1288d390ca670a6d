"""`python -m bench guard [memory] [--write]`: whether ours has become slower beside the others.

Figures differ from machine to machine and from day to day; their ratios in one run do so far less.
They are held against `bench/ratios.json`; `--write` writes what was measured there. CPU is
compared too: it changes less where others use the same cores. With `memory` the CPU of a debit is
held against that of decoding its mark alone, turn by turn in one process without Kafka and Redis:
seconds, and what CI does, for neither a disk nor a neighbor makes it fall.
"""

import json
import logging
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bench import load, measure, ways
from bench.figures import ALONE, LIMIT, USUAL
from bench.machine import about
from bench.surroundings import installed, services, surroundings
from pfdo.system import SERVICES, services_of
from streaming.event_loop import run
from streaming.telemetry import configure_logs

RATIOS = Path("bench/ratios.json")
FALL_MAX = 0.2
"""A ratio may be smaller by this part."""
AMOUNT = ways.Amount(
    repeats=3,
    children=60,
    limit=30_000,
    usual=1_000,
    peer=0,
    peer_warm=0,
    ours=0,
    alone=4_000,
    warm_seconds=0,
    seconds=0,
)
TRIES_MAX = 3
"""Only what fell each time it was measured has fallen."""
DIFFERS, NOTHING_TO_COMPARE = 1, 2
ROUNDS, ROUNDS_WARM, MARKS_A_ROUND, CHILDREN = 15, 3, 250, 60
DECODED_TIMES = 4
IN_MEMORY = "in memory: CPU of the limit to that of ours"


def ratios(rates: Mapping[str, float], cpu: Mapping[str, float]) -> dict[str, float]:
    """Return what is guarded, of debits a second and CPU of one, the best of each way."""
    return {
        "ours to limit": rates[ALONE] / rates[LIMIT],
        "ours to usual": rates[ALONE] / rates[USUAL],
        "CPU of the limit to that of ours": cpu[LIMIT] / cpu[ALONE],
        "CPU of usual to that of ours": cpu[USUAL] / cpu[ALONE],
    }


def fallen(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """Return which ratios fell by more than `FALL_MAX`, from what to what."""
    return [
        f"{name} fell by {1 - now[name] / was:.0%}: from {was:.4g} to {now[name]:.4g}"
        for name, was in before.items()
        if now[name] < was * (1 - FALL_MAX)
    ]


def held(
    before: Mapping[str, float], measure: Callable[[], Mapping[str, float]]
) -> tuple[dict[str, float], list[str]]:
    """Measure until nothing fell, or often enough; return the best of each ratio, and what fell."""
    best = dict.fromkeys(before, 0.0)
    for _ in range(TRIES_MAX):
        now = measure()
        best = {name: max(was, now[name]) for name, was in best.items()}
        found = fallen(before, best)
        if not found:
            break
    return best, found


def measured(console: Console) -> dict[str, Any]:
    """Return best of a few short runs of each way, and where that was."""
    with surroundings() as around:
        bench = ways.Bench(around, AMOUNT, console)
        with installed(around, 1, [ways.READ, ways.USUAL_MARKS, ways.USUAL_DEBITS]):
            with services(ways.SERVICES, 1, ways.PORT, around.settings()):
                marks = bench.agree([load.PAYER], 1)
            bench.alone(marks, latency=False)
            bench.limit()
            bench.usual(latency=False)
        told = about(around)
    runs = bench.throughput.items()
    rates = {way: max(one["per_second"] for one in each) for way, each in runs}
    cpu = {way: min(one["cpu_us"] for one in each) for way, each in runs}
    return {"ratios": ratios(rates, cpu), "per_second": rates, "cpu_us": cpu, **told}


async def measured_in_memory() -> dict[str, float]:
    """Return the CPU of decoding marks beside that of debiting them, the median of some rounds."""
    # Not at the top: what a bench needs of the tests is not there where only figures are read.
    from tests.support.world import World

    configure_logs(logging.WARNING)
    world = World(services_of(SERVICES), partitions=1, gaps=False)
    for segment in load.beginning(CHILDREN):
        await world.publish(*segment)
        await world.settle()
    world.services = {"billing": world.services["billing"]}
    marks = load.marks(CHILDREN)
    ratios = []
    for _ in range(ROUNDS_WARM + ROUNDS):
        some = load.taken(marks, MARKS_A_ROUND)
        values = [orjson.dumps(each) for each in some] * DECODED_TIMES
        begun = time.process_time()
        for value in values:
            measure.decode(value)
        decoding = (time.process_time() - begun) / DECODED_TIMES
        await world.publish(*some)
        begun = time.process_time()
        await world.settle()
        ratios.append(decoding / (time.process_time() - begun))
    return {IN_MEMORY: statistics.median(ratios[ROUNDS_WARM:])}


def main(*, write: bool, memory: bool) -> int:
    """Measure, and write or compare; 1 if a ratio fell, 2 if there is nothing to compare with."""
    console, begun = Console(), time.monotonic()
    known: dict[str, Any] = json.loads(RATIOS.read_text()) if RATIOS.exists() else {"ratios": {}}
    if write:
        told = {} if memory else measured(console)
        ratios = known["ratios"] | told.get("ratios", {}) | run(measured_in_memory())
        RATIOS.write_text(json.dumps(known | told | {"ratios": ratios}, indent=1) + "\n")
        console.print(f"{RATIOS} says now: {ratios}")
        return 0
    before = {
        name: ratio for name, ratio in known["ratios"].items() if (name == IN_MEMORY) is memory
    }
    if not before:
        console.print(f"{RATIOS} does not say it. Write it on a calm machine: bench guard --write")
        return NOTHING_TO_COMPARE
    best, found = held(
        before,
        lambda: run(measured_in_memory()) if memory else measured(console)["ratios"],
    )
    table = Table(title=f"Ratios, {time.monotonic() - begun:.0f} s")
    for column in ("what", f"before ({known['commit']})", "now"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, now in best.items():
        table.add_row(name, f"{before[name]:.4g}", f"{now:.4g}")
    console.print(table)
    for line in found:
        console.print(line)
    return DIFFERS if found else 0
