"""A town and its post: messages to send, a sender that may die at any point, clocks by hand."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from services.notifications.senders.delivery import Delivery, Outcome, Provider, Sent
from services.notifications.senders.facts import JournalFacts
from services.notifications.senders.lines import Line, RateLimit
from services.notifications.senders.sender import Attempts, Sender
from streaming.memory import MemoryBus
from streaming.memory_store import MemoryStore
from streaming.telemetry import Telemetry
from tests.support.town import Town, lesson, open_town, preferences

BUSY_ROUNDS_MAX = 10_000


class Box:
    """A provider that keeps what it gets, and answers as it is told; by itself it takes all."""

    def __init__(self, name: str = "box") -> None:
        self.name = name
        self.got: list[Delivery] = []
        self.answers: list[Outcome] = []
        self.always: Outcome | None = None
        self.gate: asyncio.Event | None = None

    async def send(self, delivery: Delivery) -> Outcome:
        """Keep it and answer."""
        self.got.append(delivery)
        if self.gate is not None:
            await self.gate.wait()
        if self.answers:
            return self.answers.pop(0)
        return self.always or Sent(self.name)

    async def close(self) -> None:
        """There is nothing to let go of."""

    @property
    def ids(self) -> list[str]:
        """Return the ids of what it got, in order."""
        return [delivery.message.message_id for delivery in self.got]


class Post:
    """A town and the sender beside it."""

    def __init__(self, town: Town, providers: Mapping[str, Provider] | None = None) -> None:
        self.town = town
        self.store = MemoryStore()
        self.now = datetime(2020, 9, 2, 12, 0, tzinfo=UTC)
        self.seconds = 0.0
        self.box = Box()
        self.attempts = Attempts()
        self.log: list[dict[str, Any]] = []
        self.telemetry = Telemetry()
        self.telemetry.log = structlog.wrap_logger(
            None, processors=[self._take], wrapper_class=structlog.BoundLogger
        )
        self.lines = {
            name: self.line(name, provider)
            for name, provider in (providers or {"email": self.box, "sms": self.box}).items()
        }

    def _take(self, _logger: Any, _method: str, line: Any) -> Any:
        self.log.append(dict(line))
        raise structlog.DropEvent

    def line(self, name: str, provider: Provider, **more: Any) -> Line:
        """Return a line for a channel, by the clock of this post."""
        return Line(
            name=name,
            provider=provider,
            takes=lambda channel, _recipient: channel == name,
            rate=RateLimit(1_000_000, self.clock),
            clock=self.clock,
            log=self.telemetry.log,
            **more,
        )

    def clock(self) -> float:
        """Return seconds that pass when told to."""
        return self.seconds

    def passes(self, **more: float) -> None:
        """Let time pass."""
        span = timedelta(**more)
        self.now += span
        self.seconds += span.total_seconds()

    async def sender(self, bus: MemoryBus | None = None) -> Sender:
        """Return a sender that has taken over."""
        bus = bus or self.town.world.bus
        sender = Sender(
            0,
            bus,
            self.store,
            self.telemetry,
            lines=self.lines,
            facts=JournalFacts(bus),
            attempts=self.attempts,
            now=lambda: self.now,
            poll_seconds=0.0,
        )
        await sender.take_over()
        return sender

    async def works(self, sender: Sender) -> None:
        """Let a sender work until nothing more can be done now."""
        quiet = 0
        for _ in range(BUSY_ROUNDS_MAX):
            worked = await sender.step()
            await asyncio.sleep(0)
            quiet = 0 if worked or self.attempts.tasks or self.attempts.ended else quiet + 1
            if quiet == 2:
                return
        raise AssertionError("the sender does not come to rest")

    async def runs(self, bus: MemoryBus | None = None) -> None:
        """Let a new sender work until nothing more can be done now, then notifications."""
        sender = await self.sender(bus)
        await self.works(sender)
        await sender.close()
        await self.town.world.settle()

    def dies(self) -> None:
        """The process vanishes: what it had in memory is gone."""
        for task in self.attempts.tasks.values():
            task.cancel()
        self.attempts = Attempts()

    def became(self, fact: str = "message-sent") -> list[str]:
        """Return the ids of the messages the journal says this of, in its order."""
        return [
            d["message_id"] for kind, d in self.town.world.facts("notifications") if kind == fact
        ]

    def details(self) -> list[str]:
        """Return what the journal says about the messages that were sent."""
        facts = self.town.world.facts("notifications")
        return [data["detail"] for kind, data in facts if kind == "message-sent"]

    def outward(self) -> list[str]:
        """Return the ids of the messages that are due and not for the cabinet."""
        return [m["message_id"] for m in self.town.due() if m["channel"] != "cabinet"]

    def doubts(self) -> float:
        """Return how many messages were sent again although they may have arrived."""
        samples = next(iter(self.telemetry.perhaps_twice.collect())).samples
        return sum(sample.value for sample in samples if sample.name.endswith("_total"))


async def open_post(
    lessons: int = 3,
    channels: Sequence[str] = ("cabinet", "sms", "email"),
    change: Callable[[Town], Any] | None = None,
) -> Post:
    """Return a post with a guardian who is told of so many lessons."""
    town = await open_town()
    await town.hears(preferences({"debit": list(channels)}))
    if change is not None:
        await change(town)
    await town.hears(*[lesson(number, 902 - number) for number in range(lessons)])
    return Post(town)
