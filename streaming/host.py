"""Runs services in this process: owns partitions, one task each, and keeps them going.

Errors of the surroundings (bus, store, time-outs) are waited out with growing pauses, for ever.
Defects halt their partition and nothing else (docs/promises.md, section 3).
"""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from streaming.bus import Bus
from streaming.errors import (
    BehindError,
    BusUnavailableError,
    FencedError,
    HaltError,
    StoreUnavailableError,
    UnreadableError,
    UnshownError,
)
from streaming.processor import UndecidableError
from streaming.telemetry import Telemetry, raised

FAILURES_BEFORE_HALT = 3
FAILURES_FORGOTTEN_SECONDS = 60.0
"""An owner that has gone on for so long has left behind what failed before. It must be longer than
a bus may be silent: until a record was met again nothing is known of it."""
STANDING_CHECK_SECONDS = 1.0
TROUBLE_ALARM_SECONDS = 60.0
LEFT_PARTITION_RETRY_SECONDS = 15.0
HALTED_CHECK_SECONDS = 5.0
"""How often a halted partition looks whether somebody has taken it over meanwhile."""
STOP_SECONDS_MAX = 20.0
STEP_SECONDS_MAX = 60.0
"""A step that takes longer hangs (clients can, after a broker's restart): take over again."""
BACKOFF_SECONDS_MIN = 0.05
BACKOFF_SECONDS_MAX = 5.0
RUNBOOK = "docs/runbooks/partition-halted.md"
_RECORD = re.compile(r"(\S+) (\d+)/(\d+)")


class Owner(Protocol):
    """What the host runs for one partition: a `Processor` or a `Follower`."""

    async def take_over(self) -> None:
        """Become the owner and stand ready."""
        ...

    async def step(self) -> bool:
        """Do one batch. Return whether there was anything to do."""
        ...

    async def still_owner(self) -> bool:
        """Return whether the store stands where this owner left it."""
        ...

    async def is_fenced(self) -> bool:
        """Return whether a newer owner has the partition."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(slots=True)
class Backoff:
    """Growing pauses with jitter, from `BACKOFF_SECONDS_MIN` to `BACKOFF_SECONDS_MAX`."""

    attempts: int = 0

    def next_seconds(self) -> float:
        """Return how long to wait now."""
        ceiling = min(BACKOFF_SECONDS_MIN * 2.0**self.attempts, BACKOFF_SECONDS_MAX)
        self.attempts += 1
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


class Host:
    """The services of one process. `owners` makes the owner of a partition, by service."""

    def __init__(
        self,
        bus: Bus,
        owners: Mapping[str, Callable[[int], Owner]],
        telemetry: Telemetry,
    ) -> None:
        self._bus = bus
        self._owners = owners
        self._telemetry = telemetry
        self._stopping = asyncio.Event()
        self.owned: dict[str, frozenset[int]] = {}
        self.halted: dict[tuple[str, int], str] = {}
        self.in_trouble_since: dict[tuple[str, int], float] = {}
        self.ready: set[tuple[str, int]] = set()

    def stop(self) -> None:
        """Let every partition finish its batch and leave."""
        self._stopping.set()

    @property
    def is_ready(self) -> bool:
        """Return whether every partition owned here stands, and ownership is settled."""
        owned = {(name, p) for name, partitions in self.owned.items() for p in partitions}
        return set(self._owners) == set(self.owned) and owned <= self.ready | set(self.halted)

    async def run(self) -> None:
        """Run until `stop`. Returns when nothing is half done."""
        async with asyncio.TaskGroup() as tasks:
            for name in self._owners:
                tasks.create_task(self._run_service(name))

    # --- ownership -------------------------------------------------------------------------

    async def _run_service(self, name: str) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                await self._share(name)
            except (BusUnavailableError, StoreUnavailableError) as error:
                self._telemetry.log.warning("no ownership", service=name, error=str(error))
                await self._pause(backoff.next_seconds(), self._stopping)

    async def _share(self, name: str) -> None:
        """Follow what this process owns of a service until it stops."""
        ownership = await self._bus.ownership(name)
        running: dict[int, tuple[asyncio.Task[None], asyncio.Event]] = {}
        changes = ownership.changes()
        following: asyncio.Task[frozenset[int]] | None = None
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                following = following or asyncio.ensure_future(_next(changes))
                await asyncio.wait(
                    {following, stopping},
                    timeout=LEFT_PARTITION_RETRY_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if following.done():
                    self.owned[name] = following.result()
                    following = None
                await self._adjust(name, running)
        finally:
            stopping.cancel()
            await self._leave(running.values())
            await ownership.close()
            if following is not None:
                following.cancel()

    async def _adjust(
        self, name: str, running: dict[int, tuple[asyncio.Task[None], asyncio.Event]]
    ) -> None:
        owned = self.owned.get(name, frozenset())
        await self._leave([running.pop(partition) for partition in set(running) - owned])
        for partition in sorted(owned):
            task_and_event = running.get(partition)
            if task_and_event is not None:
                if not task_and_event[0].done():
                    continue
                self._tell_of_end(name, partition, task_and_event[0])
            leaving = asyncio.Event()
            task = asyncio.create_task(self._run_partition(name, partition, leaving))
            running[partition] = (task, leaving)

    def _tell_of_end(self, name: str, partition: int, task: asyncio.Task[None]) -> None:
        """Say so if a partition's task ended by an error that nobody foresaw; it is begun anew."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._telemetry.log.error(
                "partition ended", service=name, partition=partition, error=repr(error)
            )

    async def _leave(self, running: Iterable[tuple[asyncio.Task[None], asyncio.Event]]) -> None:
        """Let owners finish their batches, all at the same time; who takes too long is ended."""
        tasks = []
        for task, leaving in running:
            leaving.set()
            tasks.append(task)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS_MAX)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=STOP_SECONDS_MAX)

    # --- one partition ---------------------------------------------------------------------

    async def _run_partition(self, name: str, partition: int, leaving: asyncio.Event) -> None:
        place = (name, partition)
        try:
            await self._keep_owning(place, leaving)
        finally:
            self._telemetry.owned.labels(name, str(partition)).set(0)
            self._out_of_trouble(place)
            # What the next owner meets is told by its process.
            if not self._stopping.is_set():
                self._no_longer_halted(place)

    async def _keep_owning(self, place: tuple[str, int], leaving: asyncio.Event) -> None:
        name, partition = place
        backoff = Backoff()
        failures: Counter[str] = Counter()
        telemetry = self._telemetry
        while not self._left(leaving):
            owner = self._owners[name](partition)
            try:
                await self._work(place, owner, leaving, backoff, failures)
            except FencedError as error:
                telemetry.log.info("fenced", service=name, partition=partition, error=str(error))
                if await self._is_fenced(owner):
                    break
            except HaltError as error:
                remedy = _remedy(name, error)
                if await self._halt(place, str(error), remedy, owner, leaving):
                    break
            except (UndecidableError, UnshownError) as error:
                failures[error.place] += 1
                telemetry.log.exception(
                    "decision failed", service=name, partition=partition, place=error.place
                )
                kind = ", ".join(raised(error).values())
                why = f"{error}, {failures[error.place]} times: {kind}"
                remedy = _remedy(name, error)
                if failures[error.place] >= FAILURES_BEFORE_HALT and await self._halt(
                    place, why, remedy, owner, leaving
                ):
                    break
            except (BusUnavailableError, StoreUnavailableError, BehindError, TimeoutError) as error:
                self._trouble(place, str(error) or f"no step ended in {STEP_SECONDS_MAX} s")
            except Exception as error:
                # Of a client: no partition may end of it unseen.
                telemetry.log.exception(
                    "step failed", service=name, partition=partition, error=repr(error)
                )
                self._trouble(place, repr(error))
            finally:
                self.ready.discard(place)
                await owner.close()
            if not self._left(leaving):
                await self._pause(backoff.next_seconds(), leaving)

    def _left(self, leaving: asyncio.Event) -> bool:
        return leaving.is_set() or self._stopping.is_set()

    async def _work(
        self,
        place: tuple[str, int],
        owner: Owner,
        leaving: asyncio.Event,
        backoff: Backoff,
        failures: Counter[str],
    ) -> None:
        await owner.take_over()
        self.ready.add(place)
        begun = checked = time.monotonic()
        while not self._left(leaving):
            started = time.monotonic()
            async with asyncio.timeout(STEP_SECONDS_MAX):
                worked = await owner.step()
            self._out_of_trouble(place)
            backoff.attempts = 0
            if failures and time.monotonic() - begun >= FAILURES_FORGOTTEN_SECONDS:
                failures.clear()
            if worked:
                self._telemetry.step_seconds.labels(place[0]).observe(time.monotonic() - started)
            elif time.monotonic() - checked >= STANDING_CHECK_SECONDS:
                if await owner.is_fenced():
                    raise FencedError(f"{place[0]}/{place[1]}: a newer owner has it")
                if not await owner.still_owner():
                    raise BehindError(f"{place[0]}/{place[1]}: the store is not where it was left")
                checked = time.monotonic()

    async def _is_fenced(self, owner: Owner) -> bool:
        """A producer may also be fenced by its own late time-out: then go on, as a new owner."""
        try:
            return await owner.is_fenced()
        except StoreUnavailableError:
            return False
        except Exception as error:
            # Of a client: who is halted goes on being so, and asks again.
            self._telemetry.log.exception("step failed", error=repr(error))
            return False

    def _out_of_trouble(self, place: tuple[str, int]) -> None:
        if self.in_trouble_since.pop(place, None) is not None:
            self._telemetry.unsettled_seconds.labels(place[0], str(place[1])).set(0)

    def _trouble(self, place: tuple[str, int], error: str) -> None:
        since = self.in_trouble_since.setdefault(place, time.monotonic())
        seconds = time.monotonic() - since
        self._telemetry.retries.labels(place[0]).inc()
        self._telemetry.unsettled_seconds.labels(place[0], str(place[1])).set(seconds)
        log = self._telemetry.log
        tell = log.error if seconds >= TROUBLE_ALARM_SECONDS else log.warning
        tell("waiting for the surroundings", service=place[0], partition=place[1], error=error)

    async def _halt(
        self,
        place: tuple[str, int],
        why: str,
        remedy: str,
        owner: Owner,
        leaving: asyncio.Event,
    ) -> bool:
        """Wait for a person. Return whether somebody has taken the partition over meanwhile.

        Then it is no longer halted here. If it still belongs to this process it is begun anew.
        """
        service, partition = place
        self.halted[place] = why
        self._telemetry.halted.labels(service, str(partition)).set(1)
        self._telemetry.log.error(
            "halted", service=service, partition=partition, error=why, remedy=remedy
        )
        while not self._left(leaving):
            await self._pause(HALTED_CHECK_SECONDS, leaving)
            if not self._left(leaving) and await self._is_fenced(owner):
                self._no_longer_halted(place)
                return True
        return False

    def _no_longer_halted(self, place: tuple[str, int]) -> None:
        self.halted.pop(place, None)
        self._telemetry.halted.labels(place[0], str(place[1])).set(0)

    async def _pause(self, seconds: float, until: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(seconds):
                await until.wait()
        except TimeoutError:
            return


def _remedy(service: str, error: HaltError | UndecidableError | UnshownError) -> str:
    """Return what a person can do about what a partition halts at."""
    match error:
        case UnshownError():
            return f"a fix; read models are read again, nothing is lost: {RUNBOOK}"
        case UndecidableError() | UnreadableError():
            record = _RECORD.fullmatch(error.place)
            if record is None or record[1] == f"{service}.events.v1":
                return f"a fix; this is no record that could be set aside: {RUNBOOK}"
            at = " ".join(record.groups())
            return f"pfdo dead-letters quarantine {service} {at} --why TEXT, or a fix"
        case _:
            return f"what the error says; {RUNBOOK}"


async def _next(changes: AsyncIterator[frozenset[int]]) -> frozenset[int]:
    return await anext(changes)
