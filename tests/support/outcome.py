"""What came of it: the read models of a world, and what must hold in its journals."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from services.cabinet.projections import cabinet
from services.cabinet.queries import Queries
from streaming.follower import Follower
from streaming.journal import record_hash
from streaming.memory import MemoryBus
from streaming.memory_store import MemoryStore
from streaming.telemetry import Telemetry
from tests.support.world import World

AUTUMN = Path(__file__).parents[2] / "examples" / "autumn.jsonl"

Segment = list[dict[str, Any]]


def segments(lines: Iterable[str]) -> Iterator[Segment]:
    """Yield the runs of events between barriers; a calendar event is a run of its own."""
    run: Segment = []
    for line in lines:
        event = json.loads(line) if line.strip() else None
        is_barrier = event is None or event["source"] == "/calendar"
        if is_barrier and run:
            yield run
            run = []
        if event is not None:
            run.append(event)
        if is_barrier and run:
            yield run
            run = []
    if run:
        yield run


async def outcome(world: World) -> dict[str, Any]:
    """Return everything `pfdo export` would show of a world."""
    store = MemoryStore()
    bus = MemoryBus(world.partitions, world.log)
    for partition in range(world.partitions):
        follower = Follower(cabinet, partition, bus, store, Telemetry())
        await follower.take_over()
        while await follower.step(0.0):
            pass
    exported: dict[str, Any] = await Queries(store, world.partitions).export()
    return exported


def check_journals(world: World) -> None:
    """Dense numbers, a valid chain, at most one decision for each cause, purses that add up."""
    for name in world.services:
        for partition in range(world.partitions):
            previous = "0" * 64
            decided: set[tuple[str, int, int]] = set()
            records = world.log.log(f"{name}.events.v1", partition).records
            for seq, record in enumerate(records, start=1):
                envelope = json.loads(record.value or b"")
                assert envelope["journalseq"] == seq
                assert envelope["prevhash"] == previous
                assert envelope["hash"] == record_hash(envelope)
                previous = envelope["hash"]
                _check_decided_once(envelope, decided)
                _check_purse(envelope["data"].get("purse"))


def _check_decided_once(envelope: Mapping[str, Any], decided: set[tuple[str, int, int]]) -> None:
    data = envelope["data"]
    if "input" not in data or "item" in data or envelope["type"].endswith("input-parked.v1"):
        return
    cause = (envelope["causetopic"], envelope["causepartition"], envelope["causeoffset"])
    assert cause not in decided, f"{cause} was decided twice: {envelope['id']}"
    decided.add(cause)


def _check_purse(purse: Mapping[str, int] | None) -> None:
    if purse is None:
        return
    assert all(value >= 0 for value in purse.values()), purse
    parts = ("balance_kopecks", "reserved_kopecks", "paid_kopecks", "expired_kopecks")
    assert purse["nominal_kopecks"] == sum(purse[part] for part in parts), purse


async def check_folds(world: World) -> None:
    """Each store, wiped and healed from its journal, holds what it held, byte for byte."""
    before = {name: await world.state(name) for name in world.services}
    for name in world.services:
        world.stores[name].wipe()
        for partition in range(world.partitions):
            world.kill(name, partition)
    await world.settle()
    for name, kept in before.items():
        assert await world.state(name) == kept, f"{name}: the fold is not the live state"
