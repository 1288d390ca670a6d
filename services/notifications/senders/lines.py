"""The lines of a process: one for each channel, shared by all partitions it works on.

A line has lanes, which fail apart: one for a relay, one for each system that gets webhooks. A lane
holds so many attempts at a time, rests when nobody answers, and then tries one alone first.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from services.notifications.senders.delivery import (
    Delivery,
    NoAddressesNow,
    NotNow,
    Outcome,
    OutOfReach,
    Provider,
)
from services.notifications.senders.schedule import lane_pause_seconds

SECOND_PER_MINUTE = 60.0
NOT_NOW_MAX = 3
"""So many messages in a row that were not taken tell of their way, not of themselves."""
NO_ADDRESSES = "no addresses: who knows them is away"


class RateLimit:
    """So many attempts a minute at most, a second's worth of them at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / SECOND_PER_MINUTE
        self._burst = max(1.0, self._per_second)
        self._clock = clock
        self._tokens = self._burst
        self._filled_at = clock()

    def take(self, wanted: int) -> int:
        """Return how many of the wanted may go now."""
        now = self._clock()
        self._tokens += (now - self._filled_at) * self._per_second
        self._tokens, self._filled_at = min(self._tokens, self._burst), now
        taken = min(wanted, int(self._tokens))
        self._tokens -= taken
        return taken

    def give_back(self, unused: int) -> None:
        """Take back what was not used."""
        self._tokens += unused


@dataclass(slots=True)
class Lane:
    """How a way is doing."""

    in_flight: int = 0
    failures: int = 0
    rests_until: float = 0.0
    not_now: int = 0
    is_in_trouble: bool = False
    """It is said that nothing gets through here."""

    def failed(self, now: float) -> None:
        """Nobody answered: rest. Attempts that were under way together count once."""
        if self.rests_until <= now:
            self.failures += 1
            self.rests_until = now + lane_pause_seconds(self.failures)

    def turned(self, outcome: Outcome) -> bool:
        """Return whether trouble begins with this outcome, or ends with it."""
        was = self.is_in_trouble
        match outcome:
            case OutOfReach() | NoAddressesNow():
                self.is_in_trouble = True
            case NotNow():
                self.not_now += 1
                self.is_in_trouble = was or self.not_now >= NOT_NOW_MAX
            case _:
                self.not_now, self.is_in_trouble = 0, False
        return self.is_in_trouble is not was


def _say(log: Any, lane: Lane, outcome: Outcome, **where: str) -> None:
    """Say once that nothing gets through any more, and once that it does again.

    What is not taken is tried for days before its end is on the record.
    """
    if not lane.turned(outcome):
        return
    if not lane.is_in_trouble:
        log.info("messages get through again", **where)
        return
    why = NO_ADDRESSES if isinstance(outcome, NoAddressesNow) else getattr(outcome, "why", "")
    log.warning("messages do not get through", **where, reason=why)


class Failover:
    """Two or more providers of one channel: the first that is not resting, then the next."""

    def __init__(
        self,
        providers: tuple[Provider, ...],
        clock: Callable[[], float] = time.monotonic,
        log: Any = None,
    ) -> None:
        self.name = providers[0].name
        self._log = log or structlog.get_logger()
        self._clock = clock
        self._ways = [(provider, Lane()) for provider in providers]

    async def send(self, delivery: Delivery) -> Outcome:
        """Try one after the other until somebody answers.

        Not after one that may have it: twice through one relay is recognized, through two is not.
        """
        outcome: Outcome = OutOfReach("every provider rests")
        for provider, lane in self._ways:
            if lane.rests_until > self._clock():
                continue
            outcome = await provider.send(delivery)
            if not isinstance(outcome, NoAddressesNow):
                # That no addresses are known says nothing about who carries messages there.
                _say(
                    self._log, lane, outcome, channel=delivery.message.channel, place=provider.name
                )
            if not isinstance(outcome, OutOfReach):
                lane.failures = 0
                return outcome
            lane.failed(self._clock())
            if outcome.is_doubtful:
                return outcome
        return outcome

    async def close(self) -> None:
        """Close all of them."""
        for provider, _ in self._ways:
            await provider.close()


@dataclass(slots=True, kw_only=True)
class Line:
    """A channel in this process. `lane_slots` is how many attempts a lane makes at a time."""

    name: str
    provider: Provider
    takes: Callable[[str, str], bool]
    """Whether a message of this channel to this recipient goes out here."""
    lane_of: Callable[[str], str] = lambda _recipient_id: "all"
    lane_slots: int = 16
    rate: RateLimit
    seconds_max: float = 60.0
    """A hard end for one attempt, whatever its provider promises."""
    clock: Callable[[], float] = time.monotonic
    lanes: dict[str, Lane] = field(default_factory=dict)
    log: Any = field(default_factory=structlog.get_logger)

    def room(self, name: str) -> int:
        """Return how many attempts may begin on a lane now."""
        lane = self.lanes.setdefault(name, Lane())
        if lane.rests_until > self.clock():
            return 0
        # After a rest one alone shows whether anybody answers again.
        slots = 1 if lane.failures else self.lane_slots
        return max(0, slots - lane.in_flight)

    def begins(self, name: str) -> None:
        """An attempt has been decided on."""
        self.lanes.setdefault(name, Lane()).in_flight += 1

    async def attempt(self, name: str, delivery: Callable[[], Awaitable[Delivery]]) -> Outcome:
        """Make the attempt, and note how its lane does.

        Raises what `delivery` raises, and TimeoutError where that does not end.
        """
        lane = self.lanes[name]
        try:
            async with asyncio.timeout(self.seconds_max):
                made = await delivery()
            outcome = await self._within_limits(made)
        finally:
            lane.in_flight -= 1
        match outcome:
            case OutOfReach() | NoAddressesNow():
                lane.failed(self.clock())
            case _:
                lane.failures = 0
        _say(self.log, lane, outcome, channel=self.name, place=f"{name}, {self.provider.name}")
        return outcome

    async def _within_limits(self, delivery: Delivery) -> Outcome:
        try:
            async with asyncio.timeout(self.seconds_max):
                return await self.provider.send(delivery)
        except TimeoutError:
            return OutOfReach(f"no end in {self.seconds_max:.0f} s", is_doubtful=True)
