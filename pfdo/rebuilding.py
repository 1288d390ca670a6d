"""A service's state, folded anew from its journal: to compare with the live one, or to replace it.

`fold(journal) = live state` (docs/promises.md, I08). Comparing folds one partition into memory and
touches nothing. Replacing takes the partition over, as an owner does who heals: everybody older is
fenced, what was decided and not published is published first, then the store is emptied and the
journal folded; killed in between, the service folds it again by itself.
"""

import asyncio
import gc
import logging
import multiprocessing
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from contracts.registry import EVENTS
from contracts.topics import journal_of
from pfdo.comparing import Comparison, Digests, Side, States
from pfdo.options import Advance
from pfdo.system import services_of
from streaming.applying import SMALL_INDEXES, codec_of
from streaming.bus import Record
from streaming.event_loop import run
from streaming.installation import Installation, open_installation
from streaming.listening import listening_of
from streaming.outbox import unpack
from streaming.partition import Partition
from streaming.processor import OUTBOX_ENTRIES_MAX, Processor
from streaming.quarantine import QUARANTINE
from streaming.service import Service
from streaming.settings import Settings
from streaming.spilled_memory import SpilledMemory
from streaming.store import Standing, Store
from streaming.telemetry import Telemetry, configure_logs
from streaming.whole import up_to

LOOKS_MAX = 20
"""How often a state that moves is looked at, until one look sees it stand still."""
LOOK_PAUSE_SECONDS = 0.25
DIFFERENCES_SHOWN_MAX = 5
IGNORED = (f"index/{QUARANTINE}/",)
"""What an operator wished to set aside is in no journal."""
WORKER_BYTES = 256 * 1024 * 1024
"""What a worker takes, however long the journal is, and a little more."""
MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where a container's limit stands, by version of cgroups."""
OF_OUTBOX = -1
"""The offset of what is decided and has no place on the bus yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What the fold of a partition's journal gives, held against the live state.

    `equal` is None where the state did not stand still. `differences` name the first keys, but for
    what was replaced.
    """

    partition: int
    facts: int
    equal: bool | None
    differences: tuple[str, ...] = ()
    last_event: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as `pfdo rebuild --json` prints it."""
        return {"partition": self.partition, "facts": self.facts, "equal": self.equal}


@dataclass(frozen=True, slots=True)
class _Live:
    """The number of its journal a state stood at, and what of that is not published yet."""

    seq: int
    unpublished: tuple[Record, ...]


class Rebuilding:
    """The partitions of one service."""

    def __init__(self, installation: Installation, service: Service, store: Store) -> None:
        self._installation = installation
        self._bus = installation.bus
        self._service = service
        self._store = store
        self._topic = journal_of(service.name).name
        self._listening = listening_of(service.name, installation.sources, EVENTS)

    async def facts(self, partition: int) -> int:
        """Return about how many records the journal of a partition holds."""
        starts, ends = await self._bus.starts([self._topic]), await self._bus.ends([self._topic])
        return ends[self._topic, partition] - starts[self._topic, partition]

    async def fold(
        self, partition: int, advance: Advance = lambda _count: None, *, dry_run: bool
    ) -> Rebuilt:
        """Compare, if it is a dry run, or replace. Raises what these raise."""
        return await (self.compare if dry_run else self.replace)(partition, advance)

    async def compare(self, partition: int, advance: Advance = lambda _count: None) -> Rebuilt:
        """Fold a journal in memory and hold it against the live state; nothing is changed.

        Raises HaltError for a journal whose records do not follow one another.
        """
        rebuilt = await self._compared(Digests(IGNORED), partition, advance)
        if rebuilt.equal is not False:
            return rebuilt
        with Comparison(IGNORED) as states:
            return await self._compared(states, partition, lambda _count: None)

    async def _compared(self, states: States, partition: int, advance: Advance) -> Rebuilt:
        with closing(SpilledMemory(codec_of(self._service), small=SMALL_INDEXES)) as memory:
            fold = Partition(
                self._service, partition, self._bus.partitions, self._listening, memory=memory
            )
            return await self._folded(states, memory, fold, advance)

    async def _folded(
        self, states: States, memory: SpilledMemory, fold: Partition, advance: Advance
    ) -> Rebuilt:
        partition = fold.number
        ends = await self._bus.ends([self._topic])
        live = await self._live(partition, states)
        if live is None:
            return Rebuilt(partition=partition, facts=0, equal=None)
        last_event = ""
        async for records in self._journal(partition):
            # What was published since is folded as far as the live state has it.
            known = [r for r in records if r.offset < ends[self._topic, partition]]
            later = records[len(known) :]
            known += later[: max(0, live.seq - fold.batch.end.seq - len(known))]
            last_event = _fold(fold, known) or last_event
            advance(len(known))
            if len(known) < len(records):
                break
        unpublished = [r for r in live.unpublished if _number(r) > fold.batch.end.seq]
        last_event = _fold(fold, unpublished) or last_event
        for step in memory.dump():
            states.fill(Side.FOLDED, step)
        differences = states.differences(DIFFERENCES_SHOWN_MAX)
        if fold.batch.end.seq != live.seq:
            differences = [
                f"it stands at {live.seq}, the journal at {fold.batch.end.seq}",
                *differences,
            ]
        return Rebuilt(
            partition=partition,
            facts=fold.batch.end.seq,
            equal=not differences,
            differences=tuple(differences[:DIFFERENCES_SHOWN_MAX]),
            last_event=last_event,
        )

    async def replace(self, partition: int, advance: Advance = lambda _count: None) -> Rebuilt:
        """Empty the store of a partition and fold its journal into it.

        Raises HaltError when a person must look, FencedError if an owner came in between.
        """
        processor = Processor(
            self._service,
            partition,
            self._bus,
            self._store,
            self._listening,
            Telemetry(),
            cached_max=self._installation.settings.cached_max,
        )
        # Which keys differ is what a dry run tells.
        states = Digests(IGNORED)
        try:
            await processor.take_over()
            await self._look(partition, states, Side.LIVE)
            await _watched(processor, advance)
        finally:
            await processor.close()
        await self._look(partition, states, Side.FOLDED)
        differences = states.differences(DIFFERENCES_SHOWN_MAX)
        return Rebuilt(
            partition=partition,
            facts=processor.partition.batch.end.seq,
            equal=not differences,
            differences=tuple(differences),
        )

    async def _look(self, partition: int, states: States, side: Side) -> None:
        states.empty(side)
        async for step in self._store.dump(partition, self._service.state_version):
            states.fill(side, step)

    async def _live(self, partition: int, states: States) -> _Live | None:
        """Look at the state until its position was the same before and after."""
        version = self._service.state_version
        for _ in range(LOOKS_MAX):
            before = await self._store.standing(partition, version)
            await self._look(partition, states, Side.LIVE)
            outbox = await self._store.outbox(partition, version, OUTBOX_ENTRIES_MAX)
            after = await self._store.standing(partition, version)
            if (before.seq, before.epoch) == (after.seq, after.epoch):
                return _Live(_seq(after), self._unpublished(partition, outbox.entries))
            await asyncio.sleep(LOOK_PAUSE_SECONDS)
        return None

    def _unpublished(self, partition: int, outbox: Iterable[bytes]) -> tuple[Record, ...]:
        outgoing = (unpack(entry) for entry in outbox)
        return tuple(
            Record(self._topic, partition, OF_OUTBOX, 0, one.key, one.value, one.headers)
            for one in outgoing
            if one.topic == self._topic
        )

    async def _journal(self, partition: int) -> AsyncIterator[Sequence[Record]]:
        topic = self._topic
        starts, ends = await self._bus.starts([topic]), await self._bus.ends([topic])
        async for polled in up_to(self._bus, partition, {topic: starts[topic, partition]}, ends):
            yield polled.records.get(topic, ())


async def _watched(processor: Processor, advance: Advance) -> None:
    """Rebuild, and tell meanwhile how far it is."""
    folding = asyncio.create_task(processor.rebuild())
    told = 0
    try:
        while not folding.done():
            await asyncio.wait([folding], timeout=LOOK_PAUSE_SECONDS)
            at = processor.rebuilt
            advance(max(0, at - told))
            told = at
        await folding
    finally:
        folding.cancel()


def _fold(partition: Partition, records: Iterable[Record]) -> str:
    """Fold the next records; return the id of the last event."""
    last_event = ""
    for record in records:
        own = partition.read_own(record, is_prefetched=False)
        partition.fold(own)
        last_event = str(own.envelope["id"])
    return last_event


def _number(record: Record) -> int:
    return int(orjson.loads(record.value or b"{}")["journalseq"])


def _seq(standing: Standing) -> int:
    stored = standing.fields.get("journal")
    return 0 if stored is None else int(orjson.loads(stored)[0])


# --- one process for each core -----------------------------------------------------------------

_told: "Any" = None
"""In a worker: the queue that takes how many records were folded."""


async def in_processes(
    settings: Settings,
    service: str,
    partitions: Sequence[int],
    advance: Advance,
    *,
    dry_run: bool,
) -> list[Rebuilt]:
    """Compare or replace partitions, as many at a time as there are cores and memory for.

    Raises what `compare` and `replace` raise.
    """
    workers_max = min(len(partitions), _workers_max())
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(workers_max, context, _begin_worker, (told,)) as pool:
        folding = asyncio.gather(
            *(
                loop.run_in_executor(pool, _fold_partition, settings, service, one, dry_run)
                for one in partitions
            )
        )
        try:
            while not folding.done():
                await asyncio.wait([folding], timeout=LOOK_PAUSE_SECONDS)
                while not told.empty():
                    advance(told.get())
            return await folding
        finally:
            pool.shutdown(cancel_futures=True)


def _workers_max() -> int:
    """Return how many workers there are cores for, and memory within a container's limit."""
    workers_max = os.cpu_count() or 1
    for file in MEMORY_LIMITS:
        with suppress(OSError, ValueError):
            workers_max = min(workers_max, int(file.read_text()) // WORKER_BYTES)
    return max(1, workers_max)


def _begin_worker(told: "multiprocessing.Queue[int]") -> None:
    global _told  # noqa: PLW0603 - the only way into a worker
    _told = told
    configure_logs(logging.WARNING)
    # What is made here lies in no circles: looking for them finds nothing and takes 5 %.
    gc.disable()


def _fold_partition(settings: Settings, service: str, partition: int, dry_run: bool) -> Rebuilt:
    return run(_folded(settings, service, partition, dry_run=dry_run))


async def _folded(settings: Settings, service: str, partition: int, *, dry_run: bool) -> Rebuilt:
    async with open_installation(settings) as installation:
        rebuilding = await rebuilding_of(installation, service)
        return await rebuilding.fold(partition, _told.put, dry_run=dry_run)


async def rebuilding_of(installation: Installation, name: str) -> Rebuilding:
    """Return the rebuilding of a service by name. Raises StoreUnavailableError, SettingError."""
    (service,) = services_of([name])
    return Rebuilding(installation, service, await installation.store(name))
