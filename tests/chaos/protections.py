"""Each protection of the runtime taken out, on purpose: then runs go wrong, and it is seen.

    python -m tests.chaos.protections --seeds 400

prints how many of so many seeded runs go wrong with each protection of `docs/promises.md`, section
2, removed. A run is one small service with three input topics in memory; copies, contradictions and
what comes too early; crashes at any point of bus and store, lost replies, paused owners that wake
up, stores that go back under their owner, lose everything or do the front half of a commit once
more when they are read from their file; inputs gone by retention. It is wrong if it ends otherwise
than on a calm day, or if its journal is broken.
"""

import argparse
import asyncio
import datetime as dt
import itertools
import json
import logging
import random
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from contracts.decisions import Decision
from streaming import journal, reading
from streaming.applying import Applying
from streaming.bus import Record
from streaming.due import Day
from streaming.errors import BusUnavailableError, HaltError, StoreUnavailableError
from streaming.journal import JournalEnd, record_hash
from streaming.memory import MemoryWriter
from streaming.memory_store import MemoryStore
from streaming.natural_keys import Known
from streaming.processor import Processor
from streaming.store import Answer, Commit
from streaming.telemetry import configure_logs
from tests.support.mini_service import mini_service
from tests.support.world import SURROUNDINGS, Crash, World, day, event

NAME = "certificates"
PAYERS = ("25701000", "25703000")
INPUTS = ("navigator.events.v1", "payers.events.v1", "calendar.events.v1")
EVENTS = 24
FAULT = 0.04
STEPS_MAX = 12
ASLEEP = 0.1
WAKING = 0.3
SETTLING_STEPS_MAX = 1_000
TAKEN_OVER_MAX = 20
GONE_BACK = 0.08
BETWEEN_QUESTIONS = frozenset({"outbox", "load"})
"""Where a store may go back in the middle of what an owner asks it."""

Event = dict[str, Any]


def how_it_goes_wrong(seed: int, removed: str) -> str | None:
    """Return in words how a run without a protection differs from a calm day, or None."""
    calm = _calm(seed)
    run = _Run(
        seed,
        story(seed),
        faults=True,
        compares_while_idle=removed != COMPARING_WHILE_IDLE,
        tells_halves=removed != TELLING_HALVES,
    )
    try:
        with REMOVED[removed]():
            ended = asyncio.run(run.ended())
    except (Exception, Crash) as error:  # noqa: BLE001 - whatever it is, it is wrong
        return f"{type(error).__name__}: {error}"
    for what, expected in calm.items():
        if ended[what] != expected:
            return f"other {what} than on a calm day"
    return None


@cache
def _calm(seed: int) -> dict[str, Any]:
    """Return how a run ends in which nothing strikes and no protection is taken out."""
    return asyncio.run(_Run(seed, story(seed), faults=False).ended())


class _TearingStore(MemoryStore):
    """A store that may do the front half of a commit again, as a Redis of a cut file does."""

    def __init__(self, *, tells: bool) -> None:
        super().__init__()
        self._tells = tells
        self._attempted: dict[tuple[int, int], Commit] = {}

    async def commit(self, partition: int, version: int, epoch: int, commit: Commit) -> Answer:
        self._attempted[partition, version] = commit
        return await super().commit(partition, version, epoch, commit)

    def tear(self, chance: random.Random) -> None:
        """Do again what the last commit that was tried for some partition began with."""
        for place, commit in self._attempted.items():
            kept = self._now.kept.get(place)
            if kept is None or chance.random() < 0.5:
                continue
            kept.values |= dict(itertools.islice(commit.writes.items(), chance.randrange(4)))
            kept.outbox += commit.outbox[: chance.randrange(4)]
            kept.is_whole = not self._tells


class _Run:
    def __init__(
        self,
        seed: int,
        story: list[Event],
        *,
        faults: bool,
        compares_while_idle: bool = True,
        tells_halves: bool = True,
    ) -> None:
        self._story = story
        self._chance = random.Random(f"faults {seed}")
        self._compares_while_idle = compares_while_idle
        self._zombies: list[Processor] = []
        self._sleepers: list[tuple[asyncio.Task[bool], asyncio.Event]] = []
        self._bed: asyncio.Event | None = None
        self._may_sleep = False
        self._faults = faults
        self.world = World([mini_service()], partitions=2, seed=seed)
        self.world.steps_max = SETTLING_STEPS_MAX
        self._store = _TearingStore(tells=tells_halves)
        self.world.stores[NAME] = self._store
        self._copy = self._store.snapshot()

    async def ended(self) -> dict[str, Any]:
        """Tell the story, and return what there is at its end."""
        await self.world.publish(day("2020-08-30"))
        await self._settle()
        for happened in self._story:
            await self.world.publish(happened)
            if self._faults:
                await self._strike()
            await self._settle()
            if self._faults:
                self._trim_inputs()
        await self._wake(1.0)
        await self._settle()
        visible = {
            "journal": [_told(record) for record in self.world.journal(NAME)],
            "state": await self.world.state(NAME),
        }
        check_journals(self.world)
        self._store.wipe()
        self._forget_owners()
        await self._settle()
        if await self.world.state(NAME) != visible["state"]:
            raise AssertionError("the fold of the journal is not the live state")
        return visible

    async def _settle(self) -> None:
        await self.world.settle()
        if not self._compares_while_idle:
            return
        for _ in range(TAKEN_OVER_MAX):
            back = [p for p in range(2) if not await self._still_owner(p)]
            if not back:
                return
            for number in back:
                self.world.kill(NAME, number)
            await self.world.settle()
        raise AssertionError("an owner that has just taken over does not own")

    async def _still_owner(self, number: int) -> bool:
        owner = self.world.owner(NAME, number)
        return owner is None or await owner.still_owner()

    def _forget_owners(self) -> None:
        for number in range(2):
            self.world.kill(NAME, number)

    # --- faults ----------------------------------------------------------------------------

    async def _strike(self) -> None:
        """Take some steps, at any of which something may go wrong."""
        chance = self._chance
        self._store.fault = self._at_store
        self.world.bus_fault = lambda point, _subject: self._at(f"bus {point}", BusUnavailableError)
        for _ in range(chance.randrange(STEPS_MAX)):
            await self._step(chance.randrange(2))
            self._hurt_store()
            self._pause_owner()
            await self._wake(WAKING)
        self._store.fault = None
        self.world.bus_fault = None
        await self._wake(WAKING)
        self._hurt_store()

    async def _step(self, number: int) -> None:
        """Let an owner do one batch. It may fall asleep around its commit, and wakes up later."""
        self._may_sleep = True
        step = asyncio.create_task(self.world.step(NAME, number))
        while not step.done() and self._bed is None:
            await asyncio.sleep(0)
        self._may_sleep = False
        if self._bed is None:
            await step
        else:
            self._sleepers.append((step, self._bed))
            self._bed = None
            self.world.kill(NAME, number)

    def _at_store(self, point: str) -> Awaitable[None] | None:
        self._at(f"store {point}", StoreUnavailableError)
        if point in BETWEEN_QUESTIONS and self._chance.random() < GONE_BACK:
            self._store.restore(self._copy)
        if point.startswith("commit.") and self._may_sleep and self._chance.random() < ASLEEP:
            self._bed = asyncio.Event()
            return _asleep(self._bed)
        return None

    def _at(self, point: str, trouble: type[Exception]) -> None:
        if self._chance.random() < FAULT:
            raise self._chance.choice((trouble, Crash))(point)

    def _hurt_store(self) -> None:
        what = self._chance.random()
        if what < 0.03:
            self._store.wipe()
        elif what < 0.08:
            self._store.restore(self._copy)
        elif what < 0.3:
            self._copy = self._store.snapshot()
        elif what < 0.35:
            self._store.tear(self._chance)

    def _pause_owner(self) -> None:
        number = self._chance.randrange(2)
        owner = self.world.owner(NAME, number)
        if owner is not None and owner._merge is not None and self._chance.random() < 0.08:
            self._zombies.append(owner)
            self.world.kill(NAME, number)

    async def _wake(self, share: float) -> None:
        """Let some of those go on who stood still and do not know what happened meanwhile."""
        for step, bed in list(self._sleepers):
            if self._chance.random() < share:
                self._sleepers.remove((step, bed))
                bed.set()
                await _unless_told_off(step)
        for zombie in list(self._zombies):
            if self._chance.random() < share and not await _unless_told_off(zombie.step(0.0)):
                self._zombies.remove(zombie)

    def _trim_inputs(self) -> None:
        """Let retention take inputs that the journal holds."""
        if self._chance.random() > 0.2:
            return
        for number in range(2):
            held: dict[str, int] = {}
            for record in self.world.log.log(f"{NAME}.events.v1", number).records:
                said = json.loads(record.value or b"")
                held[said["causetopic"]] = max(
                    held.get(said["causetopic"], 0), said["causeoffset"] + 1
                )
            for topic in INPUTS:
                self.world.log.trim(topic, number, held.get(topic, 0))


async def _asleep(bed: asyncio.Event) -> None:
    await bed.wait()


async def _unless_told_off(step: Awaitable[bool]) -> bool:
    """Let a step of a paused owner be done; return whether it is still in the belief to own."""
    try:
        await step
    except (Crash, HaltError, *SURROUNDINGS):
        # What it would read next may be gone by now: it need not go on.
        return False
    return True


def story(seed: int) -> list[Event]:
    """Return events of two payers: early, copied, contradicted, revised, over some days."""
    chance = random.Random(f"story {seed}")
    said: list[Event] = []
    today = dt.date(2020, 8, 30)
    for number in range(EVENTS):
        payer = chance.choice(PAYERS)
        child = f"child-{payer[3]}{chance.randrange(3)}"
        revision = chance.choice((1, 1, 2, 3))
        what = chance.random()
        if what < 0.15:
            today += dt.timedelta(chance.choice((1, 1, 2)))
            said.append(day(str(today)))
        elif what < 0.4 and said:
            copied = chance.choice(said)
            said.append(copied | {"id": chance.choice((copied["id"], f"copy-{number}"))})
        elif what < 0.6:
            known = {
                "child_id": child,
                "birth_date": "2010-01-01",
                "guardian_ids": ["guard-1"],
                "benefits": [],
                "revision": revision,
            }
            said.append(event("navigator.child-registered", payer, child, known))
        else:
            asked = {
                "child_id": child,
                "frozen": True,
                "reason": chance.choice(("usual", "usual", "closed", "tomorrow")),
                "revision": revision,
            }
            said.append(event("payers.certificate-freeze-set", payer, child, asked))
    return said


def _told(record: Event) -> tuple[Any, ...]:
    data = {name: value for name, value in record["data"].items() if name != "input"}
    return (record["type"], record["causetopic"], record["causepartition"], str(data))


def check_journals(world: World) -> None:
    """Raise AssertionError if numbers have gaps, or the chain of hashes is broken."""
    for number in range(world.partitions):
        end = JournalEnd()
        for record in world.log.log(f"{NAME}.events.v1", number).records:
            said = json.loads(record.value or b"")
            if (said["journalseq"], said["prevhash"]) != (end.seq + 1, end.hash):
                raise AssertionError(f"{said['id']} does not follow number {end.seq}")
            if said["hash"] != record_hash(said):
                raise AssertionError(f"the hash of {said['id']} is wrong")
            end = JournalEnd(said["journalseq"], said["hash"])


# --- taking protections out -------------------------------------------------------------------


@contextmanager
def _no_compare_and_set() -> Iterator[None]:
    commit = MemoryStore.commit

    async def anywhere(
        self: MemoryStore, number: int, version: int, epoch: int, changes: Commit
    ) -> Any:
        stands = self._kept(number, version)
        trim = min(changes.trim, len(stands.outbox))
        changes = replace(changes, expected_seq=stands.seq, trim=trim)
        return await commit(self, number, version, epoch, changes)

    with patch.object(MemoryStore, "commit", anywhere):
        yield


def _event_id_for_natural_key() -> AbstractContextManager[Any]:
    return patch.object(
        reading,
        "natural_key",
        lambda said, _event: (
            f"{said.type}:{said.id}#{said.data['revision']}"
            if "revision" in said.data
            else f"{said.type}:{said.id}"
        ),
    )


@contextmanager
def _forgotten_refusals() -> Iterator[None]:
    after = Known.after

    def forgetful(self: Known, decision: Decision | None, revision: int, hash_: str) -> Known:
        known = after(self, decision, revision, hash_)
        return replace(known, refused={}) if decision is Decision.REFUSED else known

    with patch.object(Known, "after", forgetful):
        yield


@contextmanager
def _wall_clock() -> Iterator[None]:
    """The day is that of the process: it goes on with what is done, not with what was said."""
    opened, ticks = Applying.day, itertools.count()

    def by_the_clock(self: Applying) -> Day | None:
        said = opened.fget(self)  # type: ignore[attr-defined]
        return said and Day(date=dt.date(2020, 8, 30) + dt.timedelta(next(ticks) // 60))

    with patch.object(Applying, "day", property(by_the_clock)):
        yield


@contextmanager
def _numbers_of_a_counter() -> Iterator[None]:
    append, numbers = journal.append, itertools.count(1)

    def numbered(service: str, number: int, end: JournalEnd, entry: Any) -> Any:
        return append(service, number, JournalEnd(next(numbers), end.hash), entry)

    with patch.object(journal, "append", numbered):
        yield


@contextmanager
def _outbox_apart() -> Iterator[None]:
    commit = MemoryStore.commit

    async def without(
        self: MemoryStore, number: int, version: int, epoch: int, changes: Commit
    ) -> Any:
        changes = replace(changes, outbox=(), trim=0)
        return await commit(self, number, version, epoch, changes)

    with patch.object(MemoryStore, "commit", without):
        yield


@contextmanager
def _trim_before_publish() -> Iterator[None]:
    publish = Processor._publish

    async def trimmed(self: Processor, outgoing: Any) -> None:
        kept = self._store._now.kept[self.number, self.service.state_version]  # type: ignore[attr-defined]
        kept.outbox.clear()
        self._untrimmed = 0
        await publish(self, outgoing)

    with patch.object(Processor, "_publish", trimmed):
        yield


@contextmanager
def _no_journal_to_fold() -> Iterator[None]:
    async def nothing(self: Processor, start: int) -> AsyncGenerator[Sequence[Record], None]:
        del self, start
        for records in list[Sequence[Record]]():
            yield records

    with patch.object(Processor, "_own_journal", nothing):
        yield


def _no_fence_on_the_journal() -> AbstractContextManager[Any]:
    return patch.object(MemoryWriter, "_check", lambda _self: None)


def _no_look_at_where_an_answer_stands() -> AbstractContextManager[Any]:
    return patch("streaming.processor.check_standing", lambda *_: None)


def _no_epoch_in_the_store() -> AbstractContextManager[Any]:
    return patch.object(MemoryStore, "_refusal", lambda *_: None)


def _no_comparison_with_the_journal() -> AbstractContextManager[Any]:
    async def publish_what_waits(self: Processor, outbox: Any) -> None:
        if outbox:
            await self._publish(outbox)

    return patch.object(Processor, "_agree", publish_what_waits)


COMPARING_WHILE_IDLE = "comparing the store's position while idle"
TELLING_HALVES = "a store tells that it did half a commit"
NOTHING = "nothing"
REMOVED: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    NOTHING: nullcontext,
    "compare-and-set on the position": _no_compare_and_set,
    "natural key kept for ever (event id instead)": _event_id_for_natural_key,
    "sticky refusals": _forgotten_refusals,
    "time from the log (wall clock instead)": _wall_clock,
    "deterministic journal sequence and ids": _numbers_of_a_counter,
    "outbox in the same atomic call": _outbox_apart,
    "publish before trim": _trim_before_publish,
    COMPARING_WHILE_IDLE: nullcontext,
    "the journal (inputs expire)": _no_journal_to_fold,
    "fence on the journal": _no_fence_on_the_journal,
    "epoch in the store": _no_epoch_in_the_store,
    "an answer of the store says where it stands": _no_look_at_where_an_answer_stands,
    TELLING_HALVES: nullcontext,
    "store and journal made to agree": _no_comparison_with_the_journal,
}
"""The protections of `docs/promises.md`, section 2, and how each is taken out."""


def wrong_runs(removed: str, seeds: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Yield which runs go wrong with a protection removed, and how."""
    for seed in seeds:
        wrong = how_it_goes_wrong(seed, removed)
        if wrong is not None:
            yield seed, wrong


def main() -> int:
    """Print the table. Return 1 if the whole design was wrong, or a removal was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.protections")
    parser.add_argument("--seeds", type=int, default=100)
    seeds = range(parser.parse_args().seeds)
    configure_logs(logging.CRITICAL)
    failed = 0
    print(f"| removed | wrong runs of {len(seeds):,} |\n|---|---|")
    for removed in REMOVED:
        wrong = [*wrong_runs(removed, seeds)]
        failed += bool(wrong) is (removed == NOTHING)
        print(f"| {removed} | {len(wrong):,} |", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
