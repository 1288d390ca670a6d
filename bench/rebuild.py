"""How fast a state is folded anew from a long journal, and that the fold is the live state.

The journal is made by the services themselves, in memory; then it is laid on an embedded bus, where
`Processor` heals an empty store from it (one process), `pfdo rebuild billing --dry-run` folds it
again and compares, and `pfdo rebuild billing` replaces the state (a process for each core).
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench import load
from contracts.registry import EVENTS
from pfdo.system import SERVICES, services_of
from streaming.bus import Outgoing
from streaming.event_loop import run
from streaming.installation import Installation, open_installation
from streaming.listening import listening_of
from streaming.processor import Processor
from streaming.settings import load_settings
from streaming.telemetry import Telemetry, configure_logs

NAME = "billing"
JOURNAL = f"{NAME}.events.v1"
FACTS, QUICK_FACTS = 1_000_000, 50_000
CHILDREN = 1_100
PARTITIONS = 2
PAYERS = load.payers_of_all(PARTITIONS)
CHUNK = 5_000
ROUND_RECORDS = 500
GOAL_PER_SECOND = 20_000
WATCHER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""Between us and what is watched: a child would inherit our own highest memory."""


def _chunks(facts: int) -> Iterator[list[dict[str, Any]]]:
    marks = islice(load.marks(CHILDREN, PAYERS), facts)
    while chunk := list(islice(marks, CHUNK * len(PAYERS))):
        yield chunk


async def _lay_journal(installation: Installation, facts: int) -> int:
    """Let the services decide in memory, and append all records to the bus; billing's facts."""
    from tests.support.world import World

    world = World(services_of(SERVICES), partitions=PARTITIONS, gaps=False)
    laid = 0
    with Progress(transient=True) as progress:
        task = progress.add_task("making the journal", total=facts)
        for segment in load.beginning(CHILDREN, PAYERS):
            await world.publish(*segment)
            await world.settle()
        # From here on, marks are what it is about.
        world.services = {NAME: world.services[NAME]}
        for chunk in _chunks(facts):
            await world.publish(*chunk)
            await world.settle()
            laid += await _moved(world, installation, kept=1)
            _forget(world, installation.topics)
            progress.update(task, completed=laid)
    return laid + await _moved(world, installation, kept=0)


async def _moved(world: Any, installation: Installation, *, kept: int) -> int:
    """Append what is in memory to the bus, but for the last records of each topic."""
    moved = [
        Outgoing(topic, partition, record.key, record.value, record.headers)
        for topic in installation.topics
        for partition in range(PARTITIONS)
        for records in [world.log.log(topic, partition).records]
        for record in records[: len(records) - kept]
    ]
    for start in range(0, len(moved), ROUND_RECORDS):
        await installation.bus.publish(moved[start : start + ROUND_RECORDS])
    return sum(each.topic == JOURNAL for each in moved)


def _forget(world: Any, topics: Iterable[str]) -> None:
    """Drop what all have read, but for the last record of each topic, which owners check."""
    for topic in topics:
        for partition in range(PARTITIONS):
            world.log.trim(topic, partition, world.log.log(topic, partition).end - 1)


async def _healed(installation: Installation) -> None:
    """Let owners of an empty store take over, as after a loss."""
    (service,) = services_of([NAME])
    for partition in range(PARTITIONS):
        processor = Processor(
            service,
            partition,
            installation.bus,
            await installation.store(NAME),
            listening_of(NAME, installation.sources, EVENTS),
            Telemetry(),
            cached_max=installation.settings.cached_max,
        )
        await processor.take_over()
        await processor.close()


async def _measured(folder: Path, facts: int) -> dict[str, Any]:
    values = {"data": str(folder), "partitions": PARTITIONS, "sandbox": True}
    settings = load_settings(values, {})
    async with open_installation(settings) as installation:
        await installation.make_topics()
        laid = await _lay_journal(installation, facts)
        begun = time.perf_counter()
        await _healed(installation)
        healing = time.perf_counter() - begun
        command = [sys.executable, "-c", WATCHER]
        command += [sys.executable, "-m", "pfdo", "rebuild", NAME, "--dry-run", "--json"]
        command += ["--data", str(folder)]
        environment = os.environ | {"PFDO_PARTITIONS": str(PARTITIONS), "PFDO_SANDBOX": "1"}
        begun = time.perf_counter()
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, capture_output=True, text=True, env=environment
        )
        comparing = time.perf_counter() - begun
        begun = time.perf_counter()
        replaced = await asyncio.to_thread(
            subprocess.run,
            [part for part in command[3:] if part != "--dry-run"],
            check=True,
            capture_output=True,
            env=environment,
        )
        replacing = time.perf_counter() - begun
        assert json.loads(replaced.stdout) == json.loads(done.stdout), replaced.stdout
    if done.returncode != 0:
        raise SystemExit(f"{done.stdout}\n{done.stderr}")
    return {
        "facts": laid,
        "healed_per_second": laid / healing,
        "compared_per_second": laid / comparing,
        "rebuilt_per_second": laid / replacing,
        "rebuild_memory_mib": int(done.stderr.split()[-1]) / 1024,
        "said": json.loads(done.stdout),
    }


def measured(*, quick: bool) -> dict[str, Any]:
    """Return how many facts a second are folded, and the memory of the largest process."""
    configure_logs(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, Any] = run(_measured(Path(folder), QUICK_FACTS if quick else FACTS))
    return result


def shown(result: dict[str, Any], console: Console) -> bool:
    """Print the table; return whether the goal is reached."""
    table = Table(title=f"A state folded from {result['facts']:,} facts, {os.cpu_count()} cores")
    for column in ("how", "facts a second"):
        table.add_column(column, justify="right")
    table.add_row("healed by its owner, one process", f"{result['healed_per_second']:,.0f}")
    table.add_row("rebuild --dry-run, start to end", f"{result['compared_per_second']:,.0f}")
    table.add_row("rebuild, start to end", f"{result['rebuilt_per_second']:,.0f}")
    console.print(table)
    console.print(f"Memory of the largest process: {result['rebuild_memory_mib']:.0f} MiB")
    console.print(f"The fold is the live state: {result['said']}")
    slowest = min(result["compared_per_second"], result["rebuilt_per_second"])
    return bool(slowest >= GOAL_PER_SECOND)
