"""`python -m bench guard [cpu] [--write]`: whether ours has become slower beside the others.

Figures differ from machine to machine and from day to day; their ratios in one run do so far less.
They are held against `bench/ratios.json`; `--write` writes what was measured there. CPU is
compared too: it changes less where others use the same cores. With `cpu` it alone is compared,
as CI does: neither the disk nor a neighbor makes it fall.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import ways
from bench.figures import ALONE, LIMIT, USUAL
from bench.machine import about
from bench.surroundings import installed, services, surroundings

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
CPU = "CPU of "


def ratios(rates: Mapping[str, float], cpu: Mapping[str, float]) -> dict[str, float]:
    """Return what is guarded, of debits a second and CPU of one, the best of each way."""
    return {
        "ours to limit": rates[ALONE] / rates[LIMIT],
        "ours to usual": rates[ALONE] / rates[USUAL],
        f"{CPU}the limit to that of ours": cpu[LIMIT] / cpu[ALONE],
        f"{CPU}usual to that of ours": cpu[USUAL] / cpu[ALONE],
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
                marks = bench.agree([ways.load.PAYER], 1)
            bench.alone(marks, latency=False)
            bench.limit()
            bench.usual(latency=False)
        told = about(around)
    runs = bench.throughput.items()
    rates = {way: max(one["per_second"] for one in each) for way, each in runs}
    cpu = {way: min(one["cpu_us"] for one in each) for way, each in runs}
    return {"ratios": ratios(rates, cpu), "per_second": rates, "cpu_us": cpu, **told}


def main(*, write: bool, cpu_alone: bool) -> int:
    """Measure, and write or compare; 1 if a ratio fell, 2 if there is nothing to compare with."""
    console, begun = Console(), time.monotonic()
    if write:
        told = measured(console)
        RATIOS.write_text(json.dumps(told, indent=1) + "\n")
        console.print(f"{RATIOS} says now: {told['ratios']}")
        return 0
    if not RATIOS.exists():
        console.print(f"There is no {RATIOS}. Write it on a calm machine: bench guard --write")
        return NOTHING_TO_COMPARE
    known = json.loads(RATIOS.read_text())
    before = {
        name: ratio
        for name, ratio in known["ratios"].items()
        if name.startswith(CPU) or not cpu_alone
    }
    best, found = held(before, lambda: measured(console)["ratios"])
    table = Table(title=f"Ratios, {time.monotonic() - begun:.0f} s")
    for column in ("what", f"before ({known['commit']})", "now"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, now in best.items():
        table.add_row(name, f"{before[name]:.4g}", f"{now:.4g}")
    console.print(table)
    for line in found:
        console.print(line)
    return DIFFERS if found else 0
