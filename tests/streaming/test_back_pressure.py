"""Who floods, halts or is slow holds up himself alone; nothing is lost, and memory is bounded.

Only order and completeness are looked at, never how long anything takes.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord  # type: ignore[import-untyped]

from bench.load import beginning, marks
from contracts.attendance import LessonMarked
from contracts.registry import EVENTS
from contracts.sources import Sources, load_sources
from pfdo.system import SERVICES, services_of
from streaming.batch import BATCH_CHANGES_MAX
from streaming.bus import Outgoing
from streaming.host import Host
from streaming.kafka import RECORD_OVERHEAD_BYTES, _size
from streaming.listening import listening_of
from streaming.memory import MemoryBus
from streaming.merging import BUFFERED_PER_TOPIC_MAX
from streaming.parking import PARKED_PER_KEY_MAX
from streaming.processor import BATCH_RECORDS_MAX, Processor
from streaming.quarantine import set_aside
from streaming.redis_store import RedisStore
from streaming.routing import partition_of
from streaming.store import Store
from streaming.telemetry import Telemetry
from tests.chaos.proxy import Proxy
from tests.chaos.servers import RedisServer
from tests.support.containers import free_port
from tests.support.mini_service import mini_service
from tests.support.world import World, day, event

NAME = "certificates"
FLOODED = "25701000"
FLOOD, QUIET = "flood.events.v1", "quiet.events.v1"
RECORDS = 20_000
CACHED_MAX = 300
UNKNOWN_CHILDREN = 40
PARKED = 2_000
HANG_SECONDS_MAX = 60

SOURCES = """
payers: all
sources:
  flood: &one
    sends: [payers.certificate-freeze-set.v1]
    payers: all
    providers: all
    decider: certificates
    readers: [certificates]
  quiet: *one
  navigator:
    sends: ["navigator.*"]
    payers: all
    providers: all
    decider: enrollment
    readers: [enrollment, certificates]
"""


# --- one source floods -------------------------------------------------------------------------


def two_sources(folder: Path) -> Sources:
    """Return sources of which two say the same things, each on a topic of its own."""
    path = folder / "sources.yaml"
    path.write_text(SOURCES, encoding="utf-8")
    return load_sources(path)


def payers_by_partition(partitions: int) -> dict[int, str]:
    """Return a payer for each partition."""
    found: dict[int, str] = {}
    for number in range(1, 500):
        payer = f"257{number:02}000" if number < 100 else f"25{number}000"
        found.setdefault(partition_of(payer.encode(), partitions), payer)
        if len(found) == partitions:
            return found
    raise AssertionError("no payer falls there")


def registered(payer: str, child: str) -> dict[str, Any]:
    data = {
        "child_id": child,
        "birth_date": "2010-01-01",
        "guardian_ids": ["guard-1"],
        "benefits": [],
        "revision": 1,
    }
    return event("navigator.child-registered", payer, child, data)


def request(source: str, payer: str, child: str, revision: int, id_: str) -> bytes:
    data = {"child_id": child, "frozen": True, "reason": "usual", "revision": revision}
    made = event("payers.certificate-freeze-set", payer, child, data, source=f"/{source}", id=id_)
    return json.dumps(made).encode()


def flood(payer: str, records: int, chance: random.Random) -> Iterator[bytes]:
    """Yield new requests, copies, such about children nobody knows, and bytes that are no event."""
    for number in range(records):
        match chance.randrange(4):
            case 0:
                yield request("flood", payer, "child-known", number + 1, f"new-{number}")
            case 1:
                yield request("flood", payer, "child-known", 1, f"copy-{number}")
            case 2:
                child = f"child-nobody-{chance.randrange(UNKNOWN_CHILDREN)}"
                yield request("flood", payer, child, number + 1, f"early-{number}")
            case _:
                yield f"no event {number}".encode()


class Flooded:
    """A world in which one source floods one partition and another one speaks in all of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.world = World(
            [mini_service()], seed=seed, sources=two_sources(folder), cached_max=CACHED_MAX
        )
        self.payers = payers_by_partition(self.world.partitions)
        self.home = partition_of(FLOODED.encode(), self.world.partitions)
        self.payers[self.home] = FLOODED
        self._quiet = 0

    async def begin(self) -> None:
        """Open a day and let everybody know a child."""
        await self.world.publish(day("2020-08-30"))
        await self.world.publish(*(registered(p, "child-known") for p in self.payers.values()))
        await self.world.settle()

    async def say(self, topic: str, partition: int, values: Iterable[bytes]) -> None:
        key = self.payers[partition].encode()
        await self.world.bus.publish([Outgoing(topic, partition, key, v) for v in values])

    async def say_quietly(self, partition: int) -> None:
        """Let the quiet source say one thing."""
        self._quiet += 1
        number = 1_000_000 + self._quiet
        payer = self.payers[partition]
        await self.say(
            QUIET, partition, [request("quiet", payer, "child-known", number, f"q-{number}")]
        )

    def decided(self, topic: str, partition: int) -> list[int]:
        """Return the offsets of a topic that are decided, in the order of their first decisions."""
        records = self.world.log.log(f"{NAME}.events.v1", partition).records
        told = [json.loads(record.value or b"{}") for record in records]
        first = [each for each in told if _is_first(each)]
        return [each["causeoffset"] for each in first if each["causetopic"] == topic]


def _is_first(told: dict[str, Any]) -> bool:
    """Return whether a record of the journal is the first decision about its cause."""
    return int(told["causeindex"]) == 0


async def test_a_flood_delays_no_other_partition(tmp_path: Path) -> None:
    flooded = Flooded(tmp_path, seed=3)
    await flooded.begin()
    world, home = flooded.world, flooded.home
    others = [p for p in range(world.partitions) if p != home]
    await flooded.say(FLOOD, home, flood(FLOODED, RECORDS, random.Random(3)))
    for partition in others:
        await flooded.say_quietly(partition)

    # All partitions in turn, as tasks of one process have it: a batch each.
    turns = 0
    while not all(flooded.decided(QUIET, partition) for partition in others):
        for partition in range(world.partitions):
            await world.step(NAME, partition)
        turns += 1

    assert len(flooded.decided(FLOOD, home)) <= turns * BATCH_RECORDS_MAX
    assert len(flooded.decided(FLOOD, home)) < RECORDS / 4


async def test_in_a_flooded_partition_all_keep_their_place_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.concluding.PARKED_PER_SOURCE_MAX", PARKED)
    flooded = Flooded(tmp_path, seed=4)
    await flooded.begin()
    world, home = flooded.world, flooded.home
    values = list(flood(FLOODED, RECORDS, random.Random(4)))
    for start in range(0, RECORDS, 1_000):
        await flooded.say(FLOOD, home, values[start : start + 1_000])
        await flooded.say_quietly(home)
    await flooded.say(QUIET, home, [request("quiet", FLOODED, "child-late", 1, "early-quiet")])
    sizes = await _settled_within_limits(world, home)

    journal = [
        json.loads(r.value or b"{}") for r in world.log.log(f"{NAME}.events.v1", home).records
    ]
    asked = {
        (topic, record.offset): record.appended_at_ms
        for topic in (FLOOD, QUIET)
        for record in world.log.log(topic, home).records
    }
    first = [(r["causetopic"], r["causeoffset"]) for r in journal if _is_first(r)]
    first = [place for place in first if place in asked]
    assert Counter(first) == Counter(asked.keys())
    assert first == sorted(first, key=lambda place: (asked[place], place))

    counted = Counter(_said(record) for record in journal if record["causetopic"] in (FLOOD, QUIET))
    parked = [r for r in journal if r["type"].startswith(f"{NAME}.input-parked")]
    waiting = Counter((r["data"]["input"]["source"], r["data"]["waits_for"]) for r in parked)
    assert sum(n for (source, _), n in waiting.items() if source == "/flood") == PARKED
    assert max(waiting.values()) <= PARKED_PER_KEY_MAX
    assert waiting["/quiet", "child:child-late"] == 1
    assert counted["input-refused park_limit"] > 0
    letters = world.log.log(f"{NAME}.dead-letters.v1", home).records
    assert [r.value for r in letters] == [v for v in values if v.startswith(b"no event")]
    assert sizes["batches"] > RECORDS / BATCH_RECORDS_MAX


def _said(record: dict[str, Any]) -> str:
    kind = str(record["type"]).removeprefix(f"{NAME}.").removesuffix(".v1")
    reason = record["data"].get("reason")
    return f"{kind} {reason}" if kind == "input-refused" else kind


async def _settled_within_limits(world: World, partition: int) -> Counter[str]:
    """Settle; after each batch look at what the owner of a partition holds."""
    seen: Counter[str] = Counter()
    quiet = 0
    while quiet < 3:
        worked = False
        for each in range(world.partitions):
            worked = await world.step(NAME, each) or worked
        quiet = 0 if worked else quiet + 1
        owner = world.owner(NAME, partition)
        assert owner is not None
        merge = owner._merge
        assert merge is not None
        memory = owner.partition.memory
        for topic, buffer in merge._buffers.items():
            assert len(buffer) < 2 * BUFFERED_PER_TOPIC_MAX, topic
        assert len(owner._reads) <= BATCH_RECORDS_MAX
        assert len(memory._cache) <= CACHED_MAX
        assert len(memory.batch) == 0
        seen["batches"] += int(worked)
        seen["buffered"] = max(seen["buffered"], *map(len, merge._buffers.values()))
        seen["cached"] = max(seen["cached"], len(memory._cache))
    # The limits were reached, or the flood was none.
    assert seen["buffered"] >= BUFFERED_PER_TOPIC_MAX / 2
    assert seen["cached"] == CACHED_MAX
    return seen


async def test_a_batch_is_committed_before_it_changes_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.processor.BATCH_RECORDS_MAX", 3_000)
    flooded = Flooded(tmp_path, seed=5)
    await flooded.begin()
    values = flood(FLOODED, 3_000, random.Random(5))
    await flooded.say(FLOOD, flooded.home, values)
    owner = flooded.world.owner(NAME, flooded.home)
    assert owner is not None
    changed: list[int] = []
    commit = owner.partition.commit

    def counted(*arguments: Any, **options: Any) -> Any:
        changed.append(len(owner.partition.memory.batch))
        return commit(*arguments, **options)

    owner.partition.commit = counted  # type: ignore[method-assign]
    while await owner.step(0.0):
        pass

    assert max(changed) > BATCH_CHANGES_MAX / 2
    assert max(changed) <= BATCH_CHANGES_MAX + 20  # what one more decision may change


# --- a partition halts, a Redis hangs: all services at once ------------------------------------

TOWNS = ("25701000", "25704000")
CHILDREN = 3
MARKS = 5
"""The segment of a town that holds its marks."""


def town(payer: str) -> list[list[dict[str, Any]]]:
    """Return segments after which all agreements of a town are active, and marks."""
    segments = [
        *beginning(CHILDREN),
        [mark for mark, _ in zip(marks(CHILDREN), range(9), strict=False)],
    ]
    number = TOWNS.index(payer)
    text = json.dumps(segments).replace("25701000", payer)
    for name in ("child", "guard", "enr", "grp", "prov"):
        text = text.replace(f'"{name}-', f'"{name}-{number}')
    read: list[list[dict[str, Any]]] = json.loads(text)
    return read


class Hosted:
    """All services in one host, each with a store of its own."""

    def __init__(self, stores: dict[str, Store] | None = None) -> None:
        self.world = World(services_of(SERVICES))
        self.stores: dict[str, Store] = {**self.world.stores, **(stores or {})}
        self.telemetry = Telemetry()
        self.bus = MemoryBus(self.world.partitions, self.world.log)
        owners = {name: self._owners_of(name) for name in self.world.services}
        self.host = Host(self.bus, owners, self.telemetry)
        self.homes = [partition_of(payer.encode(), self.world.partitions) for payer in TOWNS]

    def _owners_of(self, name: str) -> Callable[[int], Processor]:
        service = self.world.services[name]
        listening = listening_of(name, self.world.sources, EVENTS)
        return lambda partition: Processor(
            service, partition, self.bus, self.stores[name], listening, self.telemetry
        )

    async def begin(self) -> None:
        """Let all agreements of all towns become active."""
        for segment in range(MARKS - 1):
            await self.play(segment)
        await self.until("billing", "funds-reserved")
        await self.play(MARKS - 1)
        await self.until("enrollment", "agreement-activated")

    async def until(self, service: str, fact: str) -> None:
        """Wait until a service has published a fact about each child."""
        wanted = Counter(dict.fromkeys(TOWNS, CHILDREN))
        await eventually(
            lambda: Counter(r["partitionkey"] for r in self.world.journal(service, fact)) == wanted
        )

    async def play(self, segment: int) -> None:
        """Publish a segment of all towns, and wait for nothing."""
        self.world.now_ms += 10  # one after the other, also by the clock of the log
        for payer in TOWNS:
            told = town(payer)[segment]
            if "partitionkey" in told[0] or payer == TOWNS[0]:
                await self.world.publish(*told)

    def charged(self, payer: str) -> int:
        """Return how many lessons of a town were charged."""
        return sum(
            r["partitionkey"] == payer for r in self.world.journal("billing", "lesson-charged")
        )


@asynccontextmanager
async def hosted(stores: dict[str, Store] | None = None) -> AsyncIterator[Hosted]:
    running = Hosted(stores)
    assert running.homes[0] != running.homes[1]
    task = asyncio.create_task(running.host.run())
    try:
        yield running
    finally:
        running.host.stop()
        async with asyncio.timeout(HANG_SECONDS_MAX):
            await task


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_SECONDS_MAX):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_halted_partition_stops_itself_alone_and_catches_up_after_quarantine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streaming.host.HALTED_CHECK_SECONDS", 0.02)
    monkeypatch.setattr("streaming.host.LEFT_PARTITION_RETRY_SECONDS", 0.05)
    [billing] = services_of(["billing"])
    usual = billing.reactions[LessonMarked.type]

    def defective(marked: LessonMarked, view: Any) -> Any:
        if marked.lesson_id == "les-0001" and view.payer == TOWNS[0]:
            raise RuntimeError("a defect")
        return usual.handler(marked, view)

    monkeypatch.setitem(billing.reactions, LessonMarked.type, replace(usual, handler=defective))
    async with hosted() as running:
        world, host = running.world, running.host
        ill = running.homes[0]
        await running.begin()
        await running.play(MARKS)
        await eventually(lambda: ("billing", ill) in host.halted)

        # The other town is charged; in this one all other services go on.
        await eventually(lambda: running.charged(TOWNS[1]) == 9)
        await world.publish(registered(TOWNS[0], "child-new"), registered(TOWNS[1], "child-new"))
        for payer in TOWNS:
            await eventually(lambda payer=payer: _notes(running, payer))  # type: ignore[misc]
        assert set(host.halted) == {("billing", ill)}
        assert running.charged(TOWNS[0]) == 0

        # The three children's marks of the first lesson cannot be decided: each is set aside.
        poison = [
            record.offset
            for record in world.log.log("attendance.events.v1", ill).records
            if b"les-0001" in (record.value or b"")
        ]
        assert len(poison) == CHILDREN
        version = billing.state_version
        store = world.stores["billing"]
        for offset in poison:
            await set_aside(store, version, ill, "attendance.events.v1", offset, "Разбирается")
        await eventually(lambda: running.charged(TOWNS[0]) == 9 - CHILDREN and not host.halted)

    letters = world.journal("billing", "input-dead-lettered")
    assert [letter["data"]["reason"] for letter in letters] == ["operator_quarantine"] * CHILDREN
    assert _decided_once(world, "attendance.events.v1")


def _notes(running: Hosted, payer: str) -> bool:
    told = [
        record["data"]["input"]["subject"]
        for name in ("enrollment", "certificates")
        for record in running.world.journal(name)
        if record.get("partitionkey") == payer and "input" in record["data"]
    ]
    return told.count("child-new") >= 1


def _decided_once(world: World, topic: str) -> bool:
    """Return whether each record of a topic has exactly one first decision of its decider."""
    asked = Counter(
        (partition, record.offset)
        for partition in range(world.partitions)
        for record in world.log.log(topic, partition).records
    )
    told = Counter(
        (each["causepartition"], each["causeoffset"])
        for each in world.journal("billing")
        if each["causetopic"] == topic and _is_first(each)
    )
    return asked == told


@pytest.mark.parametrize("how", ["hangs", "slow"])
async def test_a_redis_that_hangs_or_is_slow_holds_up_its_own_service_alone(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.redis_client.SOCKET_TIMEOUT_SECONDS", 0.5)
    server = RedisServer("billing", tmp_path / "billing", in_container=False)
    line = Proxy(free_port(), server.port)
    await server.start()
    await line.start()
    store = RedisStore(f"redis://127.0.0.1:{line.port}/0", service="billing")
    await store.start()
    try:
        async with hosted({"billing": store}) as running:
            await running.begin()
            if how == "hangs":
                line.swallow(True)
            else:
                line.slow_down(0.1)
            await running.play(MARKS)
            await running.world.publish(*(registered(payer, "child-new") for payer in TOWNS))

            for payer in TOWNS:
                await eventually(lambda payer=payer: _notes(running, payer))  # type: ignore[misc]
            if how == "hangs":
                await eventually(lambda: line.swallowed_reads > 0)
                # Its own partitions know, and wait for it.
                await eventually(
                    lambda: {name for name, _ in running.host.in_trouble_since} == {"billing"}
                )
                assert running.charged(TOWNS[0]) == running.charged(TOWNS[1]) == 0
            else:
                await eventually(lambda: line.delayed_bytes > 0)
            line.swallow(False)
            line.slow_down(0.0)

            await eventually(lambda: all(running.charged(payer) == 9 for payer in TOWNS))
            assert running.host.halted == {}
            assert _decided_once(running.world, "attendance.events.v1")
    finally:
        await store.stop()
        await line.stop()
        server.remove()


def test_headers_count_in_what_waits_in_the_process() -> None:
    fetched = ConsumerRecord(
        topic=FLOOD,
        partition=0,
        offset=0,
        timestamp=0,
        timestamp_type=1,
        key=b"key",
        value=b"value",
        checksum=None,
        serialized_key_size=3,
        serialized_value_size=5,
        headers=(("h", bytes(1_000)), ("none", None)),
    )

    assert _size(fetched) == RECORD_OVERHEAD_BYTES + 3 + 5 + 1 + 1_000 + 4
