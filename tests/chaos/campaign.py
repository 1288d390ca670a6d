"""Plays a story into a running installation while faults strike, and times how it recovers."""

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, cycle

from pfdo.playing import HEADERS
from pfdo.settling import lag, left_to_do
from streaming.bus import Outgoing
from streaming.errors import StreamingError
from tests.chaos.faults import Fault, NotStoppedError, NotStruckError, aimed
from tests.chaos.installation import Struck
from tests.chaos.story import Line, Segment

LINE_HEADER = "chaos-line"
"""Of each record: the number of the line it carries, so that one which was written twice, since
Kafka's answer was lost, is known as such."""
LOOK_SECONDS = 0.03
SLOW_LOOK_SECONDS = 0.25
RETRY_SECONDS = 0.3
OUTBOX_SECONDS_MAX = 90.0
OUTBOX_LOOKS = 20
LAG_SECONDS_MAX = 120.0
STUCK_SECONDS_MAX = 240.0
STRIKE_SECONDS_MAX = 1.5
SEGMENTS_A_ROUND_MIN = 2
SEGMENTS_TOLD = 20
SEGMENTS_AGAIN = 50
"""So many of the last are told again while faults that were not seen are struck again."""
COPY = 0.3
"""How often a copy is taken of a Redis before a round, for it to go back to later."""


class StuckError(Exception):
    """It did not settle: says what is left."""


@dataclass(slots=True)
class Blow:
    """One fault that struck."""

    kind: str
    seen: str
    begun_at: float
    lifted_at: float
    recovery_seconds: float | None = None
    """From when all faults of its round were lifted until everything had settled."""


@dataclass(slots=True)
class Course:
    """What happened."""

    published: int = 0
    segments: int = 0
    blows: list[Blow] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Faults that nobody saw strike; each is struck again."""
    unseen: list[str] = field(default_factory=list)
    """Of those, kinds that were never seen to strike after all."""
    violations: list[str] = field(default_factory=list)
    memory_bytes: list[tuple[float, dict[str, int]]] = field(default_factory=list)


class Campaign:
    """A story and rounds of faults for it. `seconds_max`: nothing new begins after that."""

    def __init__(
        self,
        struck: Struck,
        story: Sequence[Segment],
        rounds: Sequence[Sequence[str]],
        chance: random.Random,
        seconds_max: float,
    ) -> None:
        self._struck = struck
        self._story = story
        self._rounds = rounds
        self._chance = chance
        self._seconds_max = seconds_max
        self._settled = asyncio.Condition()
        self._settled_at = 0.0
        self._done = 0
        self._is_told = False
        self._readers = struck.readers()
        self.course = Course()

    async def run(self) -> Course:
        """Play everything, strike, wait until all has settled. Raises StuckError."""
        self._begun = time.monotonic()
        striking = asyncio.create_task(self._strike())
        playing = asyncio.create_task(self._play(striking))
        watching = asyncio.create_task(self._watch_memory())
        try:
            await asyncio.gather(playing, striking)
        finally:
            for task in (playing, striking, watching):
                task.cancel()
            await asyncio.gather(playing, striking, watching, return_exceptions=True)
        return self.course

    def finish(self) -> None:
        """Begin nothing new from now on."""
        self._seconds_max = 0.0

    @property
    def _is_over(self) -> bool:
        return time.monotonic() - self._begun > self._seconds_max

    # --- playing ---------------------------------------------------------------------------

    async def _play(self, striking: "asyncio.Task[None]") -> None:
        await self._settle()
        number = 0
        for segment in self._story:
            if self._is_over and striking.done():
                break
            await self._publish(segment, number)
            number += len(segment)
            await self._settle()
            self.course.segments += 1
            self.course.published = number
            if self.course.segments % SEGMENTS_TOLD == 0:
                self._tell(f"{number} lines")
            await self._wait_for_faults(striking)
        self._is_told = True
        # Many faults are only seen by what goes on: the end is told again, as copies of itself.
        told = list(zip(accumulate(map(len, self._story), initial=0), self._story, strict=False))
        for first, segment in cycle(told[-SEGMENTS_AGAIN:]):
            if striking.done():
                break
            await self._publish(segment, first)
            await self._settle()
            await asyncio.sleep(SLOW_LOOK_SECONDS)
        await self._settle()

    async def _wait_for_faults(self, striking: "asyncio.Task[None]") -> None:
        """Do not run ahead: the faults are meant for the whole story."""
        ahead = self._segments_a_round * (self._done + 2)
        if self.course.segments > ahead and not striking.done():
            await asyncio.sleep(SLOW_LOOK_SECONDS)

    @property
    def _segments_a_round(self) -> float:
        return max(SEGMENTS_A_ROUND_MIN, len(self._story) / max(1, len(self._rounds)))

    async def _publish(self, segment: Segment, first: int) -> None:
        records = [
            record
            for number, line in enumerate(segment, start=first)
            for record in _records(line, number, self._struck.partitions)
        ]
        while True:
            try:
                await self._struck.installation.bus.publish(records)
            except StreamingError:
                # They may be there or not: said again they are copies of themselves.
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _settle(self) -> None:
        """Wait until everything is decided and published and read. Raises StuckError."""
        asked = everybody = self._readers
        since = time.monotonic()
        while True:
            try:
                left = await lag(self._struck.installation, asked)
            except StreamingError as error:
                left = {str(error): 1}
            behind = [reader for reader in asked if left.get(reader.name, 1)]
            if not behind and asked is everybody:
                break
            waited = time.monotonic() - max(since, self._quiet_since)
            if waited > STUCK_SECONDS_MAX:
                raise StuckError(f"not settled after {waited:.0f} s: {await self._left(left)}")
            asked = behind[-1:] if behind and len(behind) < len(asked) else everybody
            await asyncio.sleep(LOOK_SECONDS if waited < 2 else SLOW_LOOK_SECONDS)
        async with self._settled:
            self._settled_at = time.monotonic()
            self._settled.notify_all()

    async def _left(self, lag: Mapping[str, int]) -> str:
        try:
            left = await left_to_do(self._struck.installation, self._readers)
        except StreamingError as error:
            return f"{dict(lag)}, then {error}"
        return ", ".join(f"{one.reader}/{one.partition}: {one.number} {one.what}" for one in left)

    # --- striking --------------------------------------------------------------------------

    _quiet_since = float("inf")
    """When the last fault was lifted; while one strikes nothing has to settle."""

    async def _strike(self) -> None:
        self._quiet_since = time.monotonic()
        again: list[str] = []
        async with self._settled:
            await self._settled.wait_for(lambda: self._settled_at > 0)
        for server in self._struck.redis.values():
            server.keep_copy()
        for nth, kinds in enumerate(self._rounds):
            while not self._is_told and self.course.segments < nth * self._segments_a_round:
                await asyncio.sleep(LOOK_SECONDS)
                if self._is_over:
                    return
            again = await self._round([*again, *kinds])
            self._done = nth + 1
        while again and not self._is_over:
            again = await self._round(again)

    async def _round(self, kinds: Sequence[str]) -> list[str]:
        """Let faults strike at about the same time; return kinds that have to strike again."""
        for server in self._struck.redis.values():
            if self._chance.random() < COPY:
                await asyncio.to_thread(server.keep_copy)
        faults = aimed(self._struck, kinds, self._chance)
        delays = [self._chance.uniform(0.0, STRIKE_SECONDS_MAX) for _ in faults]
        self._quiet_since = float("inf")
        blows = await asyncio.gather(*map(self._blow, faults, delays))
        lifted = self._quiet_since = time.monotonic()
        struck = [blow for blow in blows if isinstance(blow, Blow)]
        looking = asyncio.create_task(self._look_at_outboxes(kinds))
        try:
            async with self._settled:
                await self._settled.wait_for(lambda: self._settled_at > lifted)
        finally:
            looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        seconds = self._settled_at - lifted
        if seconds > LAG_SECONDS_MAX:
            self.course.violations.append(f"I12 settled after {seconds:.0f} s: {kinds}")
        for blow in struck:
            blow.recovery_seconds = seconds
        self.course.blows += struck
        told = "; ".join(f"{blow.kind} ({blow.seen})" for blow in struck)
        self._tell(f"{len(self.course.blows)} faults, settled {seconds:.1f} s after: {told}")
        self.course.unseen = [blow for blow in blows if isinstance(blow, str)]
        left_out = list(kinds)
        for fault in faults:
            left_out.remove(fault.kind)
        return [*self.course.unseen, *left_out]

    async def _look_at_outboxes(self, kinds: Sequence[str]) -> None:
        """I11: say so when outboxes are not empty in time. One in use is, between two looks."""
        await asyncio.sleep(OUTBOX_SECONDS_MAX)
        for name, server in self._struck.redis.items():
            looks: list[int] = []
            while 0 not in looks and len(looks) < OUTBOX_LOOKS:
                looks.append(await asyncio.to_thread(server.waiting))
                await asyncio.sleep(SLOW_LOOK_SECONDS)
            if 0 not in looks:
                late = f"I11 late: {name} still has {looks[-1]} to publish"
                self.course.violations.append(f"{late} after {OUTBOX_SECONDS_MAX:.0f} s: {kinds}")

    async def _blow(self, fault: Fault, delay_seconds: float) -> Blow | str:
        await asyncio.sleep(delay_seconds)
        begun = time.monotonic()
        try:
            seen = await fault.strikes()
        except NotStruckError as error:
            self.course.missed.append(f"{fault.kind} at {sorted(fault.at)}: {error}")
            return fault.kind
        except NotStoppedError as error:
            self.course.violations.append(f"{fault.kind}: {error}")
            seen = str(error)
        return Blow(fault.kind, seen, begun - self._begun, time.monotonic() - self._begun)

    def _tell(self, what: str) -> None:
        at = f"segment {self.course.segments} of {len(self._story)}"
        print(f"{time.monotonic() - self._begun:6.0f} s  {at}, {what}", flush=True)

    async def _watch_memory(self) -> None:
        while True:
            sizes = {replica.name: replica.memory_bytes() for replica in self._struck.replicas}
            self.course.memory_bytes.append((time.monotonic() - self._begun, sizes))
            await asyncio.sleep(5.0)


def _records(line: Line, number: int, partitions: int) -> list[Outgoing]:
    headers = (*HEADERS, (LINE_HEADER, str(number).encode()))
    places = range(partitions) if line.partition is None else [line.partition]
    return [Outgoing(line.topic, place, line.key, line.value, headers) for place in places]


def spoken(story: Sequence[Segment]) -> list[str]:
    """Return the play file of a story, for the auditor."""
    return [
        text
        for segment in story
        for text in (*(json.dumps(line.event) for line in segment if line.event), "")
    ]
