"""All services in memory on one bus, stepped by a seed: the whole system as a test sees it."""

import json
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from contracts.registry import EVENTS
from contracts.sources import Sources, load_sources
from contracts.topics import all_topics
from streaming.bus import Appended, Outgoing, Polled
from streaming.errors import BehindError, BusUnavailableError, FencedError, StoreUnavailableError
from streaming.listening import listening_of
from streaming.memory import MemoryBus, MemoryLog, MemoryReader
from streaming.memory_store import MemoryStore
from streaming.processor import Processor
from streaming.routing import partition_of
from streaming.service import Service
from streaming.telemetry import Telemetry
from tests.support.dumped import dumped

STEPS_MAX = 100_000
SURROUNDINGS = (StoreUnavailableError, BusUnavailableError, BehindError, FencedError)


class Crash(BaseException):
    """The process of a partition dies here."""


class _StillReader(MemoryReader):
    """Waits for nothing: while one owner takes its step nobody else does anything."""

    async def poll(
        self, topics: Collection[str], records_max: int, timeout_seconds: float
    ) -> Polled:
        return await super().poll(topics, records_max, 0.0)


class _StillBus(MemoryBus):
    """The bus of one owner."""

    async def reader(self, partition: int, positions: Mapping[str, int]) -> MemoryReader:
        return _StillReader(self.log, partition, positions, self._fault)


class World:
    """A seeded world. Publish events, settle, look at the journals."""

    def __init__(
        self,
        services: Iterable[Service],
        *,
        partitions: int = 3,
        seed: int = 0,
        sources: Sources | None = None,
        gaps: bool = True,
        cached_max: int = 50_000,
    ) -> None:
        self.random = random.Random(seed)
        self.sources = sources or load_sources()
        self.now_ms = 1_598_745_600_000
        self.log = MemoryLog(partitions, clock_ms=self._tick, gaps=gaps)
        self.log.create([topic.name for topic in all_topics(self.sources)])
        self.bus = MemoryBus(partitions, self.log)
        self.services = {service.name: service for service in services}
        self.stores = {name: MemoryStore() for name in self.services}
        self.partitions = partitions
        self.cached_max = cached_max
        self.steps_max = STEPS_MAX
        self.bus_fault: Callable[[str, str], None] | None = None
        self._owners: dict[tuple[str, int], Processor] = {}

    def copy(self) -> "World":
        """Return a world of its own in which the same has happened; its owners take over anew."""
        copied = World(
            self.services.values(),
            partitions=self.partitions,
            sources=self.sources,
            gaps=self.log.gaps,
            cached_max=self.cached_max,
        )
        copied.random.setstate(self.random.getstate())
        copied.now_ms = self.now_ms
        for topic, logs in self.log._logs.items():
            for old, new in zip(logs, copied.log._logs[topic], strict=True):
                new.records, new.start, new.end = [*old.records], old.start, old.end
        for name, store in self.stores.items():
            copied.stores[name].restore(store.snapshot())
        return copied

    def _tick(self) -> int:
        self.now_ms += self.random.choice((0, 1, 1, 3))
        return self.now_ms

    # --- publishing ------------------------------------------------------------------------

    async def publish(self, *events: Mapping[str, Any]) -> Sequence[Appended]:
        """Publish events to the topics of their sources; a calendar event to each partition."""
        records = []
        for event in events:
            topic = f"{event['source'].removeprefix('/')}.events.v1"
            value = json.dumps(event, ensure_ascii=False).encode()
            key = event.get("partitionkey")
            if key is None:
                records += [Outgoing(topic, p, None, value) for p in range(self.partitions)]
            else:
                right = partition_of(key.encode(), self.partitions)
                records.append(Outgoing(topic, right, key.encode(), value))
        return await self.bus.publish(records)

    async def publish_raw(self, topic: str, partition: int, value: bytes | None) -> None:
        """Publish bytes as they are."""
        await self.bus.publish([Outgoing(topic, partition, b"key", value)])

    # --- running ---------------------------------------------------------------------------

    def owner(self, name: str, partition: int) -> Processor | None:
        """Return the running owner of a partition, if there is one."""
        return self._owners.get((name, partition))

    def start_owner(self, name: str, partition: int) -> Processor:
        """Return a new owner that has not taken over yet."""
        bus = _StillBus(self.partitions, self.log, fault=self._fault)
        service = self.services[name]
        processor = Processor(
            service,
            partition,
            bus,
            self.stores[name],
            listening_of(name, self.sources, EVENTS),
            Telemetry(),
            cached_max=self.cached_max,
        )
        # No clock: patience ends when the world is at rest.
        processor.patience_seconds = processor.patience_seconds_max = float("inf")
        return processor

    def _fault(self, point: str, subject: str) -> None:
        if self.bus_fault is not None:
            self.bus_fault(point, subject)

    def kill(self, name: str, partition: int) -> None:
        """Let an owner vanish without a word."""
        self._owners.pop((name, partition), None)

    async def step(self, name: str, partition: int) -> bool:
        """Let one partition do one batch; a dead or troubled owner is started again."""
        place = (name, partition)
        try:
            owner = self._owners.get(place)
            if owner is None:
                owner = self._owners[place] = self.start_owner(name, partition)
                await owner.take_over()
                return True
            return await owner.step(wait_seconds=0.0)
        except (Crash, *SURROUNDINGS):
            self.kill(name, partition)
            return True

    async def settle(self) -> None:
        """Step all partitions in random order until nothing is left to do anywhere."""
        places = [(name, p) for name in self.services for p in range(self.partitions)]
        quiet = 0
        for _ in range(self.steps_max):
            self.random.shuffle(places)
            worked = False
            for name, partition in places:
                worked = await self.step(name, partition) or worked
            quiet = 0 if worked else quiet + 1
            if quiet == 1 and any(owner.partition.is_holding for owner in self._owners.values()):
                self._lose_patience()
            # Twice: what the last of them published may have been read by none yet.
            if quiet == 2 and all(owner.is_idle for owner in self._owners.values()):
                return
        raise AssertionError("the world does not come to rest")

    def _lose_patience(self) -> None:
        """Nothing more is on its way: what asked for patience goes on without it."""
        for owner in self._owners.values():
            owner.partition.lose_patience()

    # --- looking ---------------------------------------------------------------------------

    def records(self, topic: str) -> list[dict[str, Any]]:
        """Return the events of a topic, partition by partition."""
        return [
            json.loads(record.value or b"{}")
            for partition in range(self.partitions)
            for record in self.log.log(topic, partition).records
        ]

    def journal(self, name: str, type_: str | None = None) -> list[dict[str, Any]]:
        """Return a service's journal, or only the facts of one type (`lesson-charged`)."""
        wanted = f"{name}.{type_}.v1"
        return [
            record
            for record in self.records(f"{name}.events.v1")
            if type_ is None or record["type"] == wanted
        ]

    def facts(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Return (fact, data without `input`) of a service's journal, decisions left out."""
        found = []
        for record in self.journal(name):
            fact = record["type"].removeprefix(f"{name}.").removesuffix(".v1")
            if not fact.startswith("input-"):
                data = {key: value for key, value in record["data"].items() if key != "input"}
                found.append((fact, data))
        return found

    def decisions(self, name: str) -> dict[str, list[str]]:
        """Return by the id of each input what a service decided, in order (`refused:reason`)."""
        found: dict[str, list[str]] = {}
        for record in self.journal(name):
            told = record["data"].get("input")
            if told is None or "item" in record["data"]:
                continue
            kind = record["type"].removeprefix(f"{name}.input-").removesuffix(".v1")
            reason = record["data"].get("reason") or record["data"].get("waits_for")
            if record["type"].startswith(f"{name}.input-"):
                shown = f"{kind}:{reason}" if reason else kind
            else:
                shown = "applied"
            found.setdefault(told["id"], []).append(shown)
        return found

    async def state(self, name: str) -> dict[int, Mapping[str, bytes]]:
        """Return what the store of a service holds, by partition."""
        version = self.services[name].state_version
        return {p: await dumped(self.stores[name], p, version) for p in range(self.partitions)}


def event(
    type_: str, payer: str | None, subject: str, data: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """Return a CloudEvent of a source: `type_` without version, the source from its stream."""
    stream = type_.partition(".")[0]
    made: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{type_.partition('.')[2]}-{subject}-{data.get('revision', 1)}",
        "source": f"/{stream}",
        "type": f"{type_}.v1",
        "time": "2020-08-30T10:00:00+08:00",
        "subject": subject,
        "data": dict(data),
    }
    if payer is not None:
        made["partitionkey"] = payer
    return made | more


def day(date: str) -> dict[str, Any]:
    """Return the calendar event that opens a day."""
    return event("calendar.day-opened", None, date, {"date": date}, id=f"day-{date}")
