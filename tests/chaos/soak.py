"""A soak: all services for a long while under a steady load, and what memory they hold.

    python -m tests.chaos.soak --minutes 20 --rate 50

In each quarter of the run one source floods for a while and the Redis of billing is slow for a
while, so that quarters are alike; the first one, in which caches fill, is not compared. It ends
with 1 if a process holds more in the last quarter than in the second, if anything is undecided,
if somebody died or logged a defect, or if `pfdo verify` finds a violation.
"""

import argparse
import asyncio
import json
import logging
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import PAYER, beginning, marks
from pfdo.playing import HEADERS
from pfdo.settling import lag, left_to_do, settled
from streaming.bus import Outgoing
from streaming.routing import partition_of
from streaming.telemetry import configure_logs
from tests.chaos import report as reports
from tests.chaos.installation import Struck, running
from tests.chaos.invariants import defects, verified
from tests.chaos.processes import ROOT
from tests.support.containers import KAFKA_IMAGE, REDIS_IMAGE, why_no_docker

REPORT = ROOT / "docs" / "soak-report.md"
TOWNS = tuple(f"257{number:02}000" for number in range(1, 9))
CHILDREN_OF_A_TOWN = 60
CACHED = 2_000
"""Aggregates a partition may keep: few, so that caches are full before the second quarter."""
SAMPLE_SECONDS = 5.0
BACKLOG_SECONDS = 15.0
TICK_SECONDS = 0.1
SETTLE_SECONDS_MAX = 300.0
QUARTERS = 4
FLOOD = (0.2, 0.35)
"""From when to when of a quarter a source floods."""
FLOOD_TIMES = 8
"""How much more a flood sends than all others together."""
SLOW = (0.6, 0.75)
"""From when to when of a quarter the Redis of billing is slow."""
SLOW_SERVICE = "billing"
SLOW_SECONDS = 0.02
"""How long each answer of a slow Redis is held back, and each question."""
GROWTH_MAX = 1.05
GROWTH_BYTES_MAX = 5 * 2**20
MIB = 2**20

_IDS = re.compile(r"\b(child|guard|enr|grp|prov|prog)-(\d+)")

Sample = tuple[float, Mapping[str, int]]
"""Seconds since the load began, and what each process held then, in bytes."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a process held: medians of the second, third and last quarter, in bytes."""

    second: float
    third: float
    last: float
    bytes_an_hour: float
    """The slope of a straight line through all samples of these quarters."""

    @property
    def has_grown(self) -> bool:
        """Return whether it holds more in the end than a process that is at rest may."""
        return self.last > self.second * GROWTH_MAX + GROWTH_BYTES_MAX


@dataclass(slots=True, kw_only=True)
class Soak:
    """What happened."""

    command: str
    commit: str
    seconds: float = 0.0
    steady: int = 0
    flooded: int = 0
    samples: list[Sample] = field(default_factory=list)
    backlogs: list[tuple[float, int]] = field(default_factory=list)
    backlog_at_the_end: Mapping[str, int] = field(default_factory=dict)
    settled_seconds: float = 0.0
    slowed_bytes: int = 0
    verified: Mapping[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Return how many inputs got no decision, or more than one."""
        return sum(each["invariant"] == "I01" for each in self.verified["violations"])

    @property
    def is_clean(self) -> bool:
        """Return whether everything held."""
        return not self.faults

    def judge(self) -> None:
        """Say what does not hold."""
        for name, process in held(self.samples, self.seconds).items():
            if process.has_grown:
                self.faults.append(
                    f"{name} grew from {process.second / MIB:.1f} MiB to {process.last / MIB:.1f}"
                )
        self.faults += [f"{n} has {left} to do" for n, left in self.backlog_at_the_end.items()]
        if not self.flooded or not self.slowed_bytes:
            self.faults.append("no source flooded, or no Redis was slow")
        self.faults += [json.dumps(each)[:500] for each in self.verified["violations"]]

    def to_markdown(self) -> str:
        """Return what a person reads."""
        verdict = "**Memory flat, nothing lost**" if self.is_clean else "**Not clean**"
        events = self.steady + self.flooded
        lines = [
            "# Soak report",
            "",
            f"{verdict}: {self.seconds / 60:.0f} minutes, {events:,} events.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in self._told().items()),
            "",
            f"Resident memory, seen every {SAMPLE_SECONDS:.0f} s: the median of a quarter, in MiB;",
            "the first quarter, in which caches fill, is left out:",
            "",
            "| process | second | third | last | slope, MiB an hour |",
            "|---|---:|---:|---:|---:|",
        ]
        for name, process in held(self.samples, self.seconds).items():
            quarters = (process.second, process.third, process.last)
            shown = " | ".join(f"{quarter / MIB:.1f}" for quarter in quarters)
            lines.append(f"| {name} | {shown} | {process.bytes_an_hour / MIB:+.1f} |")
        lines.append("")
        if self.faults:
            lines += ["## What does not hold", "", *(f"* {fault}" for fault in self.faults), ""]
        return "\n".join(lines)

    def _told(self) -> Mapping[str, str]:
        checked = self.verified.get("checked", {})
        rate = self.steady / self.seconds
        most = max((left for _, left in self.backlogs), default=0)
        left = sum(self.backlog_at_the_end.values())
        flood = "copies, unknown references, data that fits no schema"
        slow = f"{SLOW_SECONDS * 1000:.0f} ms each way"
        return {
            "to repeat it": f"`{self.command}`",
            "commit": self.commit,
            "machine": reports.machine(),
            "servers": f"{KAFKA_IMAGE}, a {REDIS_IMAGE} and a process for each service",
            "cache": f"`PFDO_CACHED_MAX={CACHED}`, so that it is full before the second quarter",
            "steady load": f"{self.steady:,} marks, {rate:.0f} a second, {len(TOWNS)} towns",
            "one source floods": f"{self.flooded:,} records in {QUARTERS} phases: {flood}",
            "a slow Redis": f"of {SLOW_SERVICE}, in {QUARTERS} phases, {slow}",
            "inputs counted by `pfdo verify`": f"{checked.get('inputs'):,}",
            "of these parked": f"{checked.get('parked'):,}",
            "of these dead-lettered": f"{checked.get('dead_letters'):,}",
            "records of journals": f"{checked.get('journal_records'):,}",
            "inputs lost or decided twice": str(self.lost),
            "violations": str(self.verified.get("violations_in_all")),
            "largest backlog": f"{most:,} records, of all readers together",
            "backlog at the end": f"{left:,}, {self.settled_seconds:.1f} s after the last event",
        }


def held(samples: Sequence[Sample], seconds: float) -> dict[str, Held]:
    """Return by process what it held, over a run of so many seconds."""
    found = {}
    for name in sorted({name for _, sizes in samples for name in sizes}):
        points = [(at, sizes[name]) for at, sizes in samples if sizes.get(name)]
        quarters = [
            [size for at, size in points if nth <= at / seconds * QUARTERS < nth + 1]
            for nth in range(1, QUARTERS)
        ]
        second, third, last = (median(quarter) for quarter in quarters)
        after = [point for point in points if point[0] >= seconds / QUARTERS]
        found[name] = Held(second, third, last, _slope(after) * 3600)
    return found


def _slope(points: Sequence[tuple[float, int]]) -> float:
    """Return by how much a straight line through the points rises in a second."""
    middle_at = sum(at for at, _ in points) / len(points)
    middle = sum(size for _, size in points) / len(points)
    wide = sum((at - middle_at) ** 2 for at, _ in points)
    return sum((at - middle_at) * (size - middle) for at, size in points) / wide


# --- the load --------------------------------------------------------------------------------


def towns_beginning() -> Iterator[list[dict[str, Any]]]:
    """Yield segments after which the agreements of all towns are active."""
    for segments in zip(*(beginning(CHILDREN_OF_A_TOWN) for _ in TOWNS), strict=True):
        if segments[0][0]["source"] == "/calendar":
            yield segments[0]
        else:
            yield [
                _of_town(event, town) for town, segment in enumerate(segments) for event in segment
            ]


def towns_marks() -> Iterator[dict[str, Any]]:
    """Yield marks that are each charged, all towns in turn."""
    for together in zip(*(marks(CHILDREN_OF_A_TOWN) for _ in TOWNS), strict=True):
        yield from (_of_town(mark, town) for town, mark in enumerate(together))


def _of_town(event: Mapping[str, Any], town: int) -> dict[str, Any]:
    text = _IDS.sub(rf"\1-{town}-\2", json.dumps(event)).replace(PAYER, TOWNS[town])
    moved: dict[str, Any] = json.loads(text)
    return moved


def flood(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield (town, bytes) of a source that sends whatever it has, again and again."""
    [children, applications] = list(towns_beginning())[2:4]
    sent = [event for event in children if event["partitionkey"] == TOWNS[0]]
    pattern = next(event for event in applications if event["partitionkey"] == TOWNS[0])
    number = 0
    while True:
        number += 1
        match chance.randrange(3):
            case 0:
                told: dict[str, Any] = chance.choice(sent) | {"id": f"copy-{number}"}
            case 1:
                names = {"enrollment_id": f"enr-flood-{number}", "group_id": f"grp-none-{number}"}
                told = pattern | {
                    "id": f"flood-{number}",
                    "subject": names["enrollment_id"],
                    "data": pattern["data"] | names,
                }
            case _:
                told = chance.choice(sent) | {"id": f"broken-{number}", "data": {"n": number}}
        yield TOWNS[0], json.dumps(told).encode()


def _records(events: Sequence[Mapping[str, Any]], partitions: int) -> list[Outgoing]:
    records = []
    for event in events:
        topic = f"{event['source'].removeprefix('/')}.events.v1"
        value = json.dumps(event).encode()
        key = None if "partitionkey" not in event else event["partitionkey"].encode()
        places = range(partitions) if key is None else [partition_of(key, partitions)]
        records += [Outgoing(topic, place, key, value, HEADERS) for place in places]
    return records


# --- the run ---------------------------------------------------------------------------------


class Run:
    """One soak."""

    def __init__(self, struck: Struck, soak: Soak, rate: float, seconds: float) -> None:
        self._struck, self._soak = struck, soak
        self._rate, self._seconds = rate, seconds
        self._readers = struck.readers()
        self._begun = time.monotonic()

    async def play(self) -> None:
        """Play everything, and look at it."""
        bus = self._struck.installation.bus
        for segment in towns_beginning():
            await bus.publish(_records(segment, self._struck.partitions))
            await self._settle()
        self._begun = time.monotonic()
        looking = [asyncio.create_task(self._sample()), asyncio.create_task(self._look())]
        try:
            await asyncio.gather(self._steady(), self._flood(), self._slow())
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
        self._soak.seconds = self._at
        self._soak.backlog_at_the_end = await self._settle()
        self._soak.settled_seconds = self._at - self._soak.seconds

    @property
    def _at(self) -> float:
        return time.monotonic() - self._begun

    def _is_in(self, phase: tuple[float, float]) -> bool:
        of_quarter = self._at / self._seconds * QUARTERS % 1
        return phase[0] <= of_quarter < phase[1]

    async def _settle(self) -> Mapping[str, int]:
        """Wait until everything has settled; return what is left to do, by reader."""
        installation = self._struck.installation
        done, left = await settled(installation, self._readers, SETTLE_SECONDS_MAX)
        if not done:
            told = await left_to_do(installation, self._readers)
            print(f"not settled: {told[:20]}", flush=True)
        return {} if done else left

    async def _steady(self) -> None:
        told = towns_marks()
        while self._at < self._seconds:
            wanted = int(self._rate * self._at) - self._soak.steady
            if wanted > 0:
                await self._publish([next(told) for _ in range(wanted)])
                self._soak.steady += wanted
            await asyncio.sleep(TICK_SECONDS)

    async def _publish(self, events: Sequence[Mapping[str, Any]]) -> None:
        await self._struck.installation.bus.publish(_records(events, self._struck.partitions))

    async def _flood(self) -> None:
        told = flood(random.Random(1))
        each_time = int(self._rate * FLOOD_TIMES * TICK_SECONDS)
        while self._at < self._seconds:
            if self._is_in(FLOOD):
                records = []
                for _ in range(each_time):
                    town, value = next(told)
                    place = partition_of(town.encode(), self._struck.partitions)
                    records.append(
                        Outgoing("navigator.events.v1", place, town.encode(), value, HEADERS)
                    )
                await self._struck.installation.bus.publish(records)
                self._soak.flooded += each_time
            await asyncio.sleep(TICK_SECONDS)

    async def _slow(self) -> None:
        line = self._struck.lines_to_redis[SLOW_SERVICE]
        while self._at < self._seconds:
            line.slow_down(SLOW_SECONDS if self._is_in(SLOW) else 0.0)
            await asyncio.sleep(TICK_SECONDS)
        line.slow_down(0.0)
        self._soak.slowed_bytes = line.delayed_bytes

    async def _sample(self) -> None:
        while True:
            sizes = {each.service: each.memory_bytes() for each in self._struck.replicas}
            self._soak.samples.append((self._at, sizes))
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _look(self) -> None:
        while True:
            left = await lag(self._struck.installation, self._readers)
            self._soak.backlogs.append((self._at, sum(left.values())))
            sizes = self._soak.samples[-1][1] if self._soak.samples else {}
            told = ", ".join(f"{n} {size / MIB:.0f} MiB" for n, size in sizes.items())
            behind = {name: number for name, number in left.items() if number}
            print(
                f"{self._at:6.0f} s  {self._soak.steady} steady, {self._soak.flooded} flooded, "
                f"to do {behind}, {told}",
                flush=True,
            )
            await asyncio.sleep(BACKLOG_SECONDS)


async def run(options: argparse.Namespace, folder: Path) -> Soak:
    """Run a soak; logs go into the folder. Told to stop it leaves nothing behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    soak = Soak(
        command=f"python -m tests.chaos.soak --minutes {options.minutes:g} --rate {options.rate:g}",
        commit=reports.commit(),
    )
    struck = Struck(
        folder,
        partitions=options.partitions,
        brokers=1,
        redis_in_containers=options.redis == "container",
        replicas=1,
        more={"PFDO_CACHED_MAX": str(CACHED)},
    )
    async with running(struck):
        await Run(struck, soak, options.rate, options.minutes * 60).play()
        stubborn = await struck.supervisor.stop()
        soak.faults += [f"{name} had to be killed at the end" for name in stubborn]
        soak.faults += defects(struck)
        soak.verified = await asyncio.to_thread(verified, struck)
    (folder / "samples.json").write_text(json.dumps(soak.samples), encoding="utf-8")
    soak.judge()
    return soak


def main() -> int:
    """Run as the command line says. Return 0 if everything held, 1 if not, 2 if it cannot run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.soak", description="Memory over time; docs/promises.md, I22."
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=50, help="marks a second")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--redis", choices=("container", "valkey"), default="container")
    parser.add_argument("--folder", type=Path, help="where logs go")
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args()
    if (reason := why_no_docker()) is not None:
        print(f"The soak needs Docker: {reason}", file=sys.stderr)
        return 2
    configure_logs(logging.ERROR)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pfdo-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    soak = asyncio.run(run(options, folder))
    options.report.write_text(soak.to_markdown(), encoding="utf-8")
    print(soak.to_markdown())
    print(f"Logs: {folder}; report: {options.report}")
    return 0 if soak.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
