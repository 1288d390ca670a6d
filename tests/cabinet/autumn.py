"""The autumn of `make run`, played in memory, and a console of it. Played once for all tests."""

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from services.billing.service import billing
from services.cabinet.app import make_app
from services.cabinet.projections import cabinet
from services.cabinet.proposal_queries import ProposalQueries
from services.certificates.service import certificates
from services.enrollment.service import enrollment
from services.notifications.service import notifications
from streaming.follower import Follower
from streaming.host import Host
from streaming.memory import MemoryBus
from streaming.memory_store import MemoryStore
from streaming.telemetry import Telemetry
from tests.support.outcome import AUTUMN, segments
from tests.support.world import World

PAYERS = ("25701000", "25703000", "25714000", "25738000")
PERIOD = "2020"


@dataclass(frozen=True, kw_only=True)
class Town:
    """A played world and the read models of its cabinet."""

    world: World
    store: MemoryStore

    @property
    def queries(self) -> ProposalQueries:
        """Return what the console asks."""
        return ProposalQueries(self.store, self.world.partitions)

    def app(self, **more: Any) -> FastAPI:
        """Return the cabinet, in the sandbox."""
        bus = MemoryBus(self.world.partitions, self.world.log)
        host = Host(bus, {}, Telemetry())
        sources = self.world.sources
        return make_app(self.store, bus, sources, host, Telemetry(), sandbox=True, **more)

    async def follow(self) -> None:
        """Let the services and then the cabinet come to rest."""
        await self.world.settle()
        bus = MemoryBus(self.world.partitions, self.world.log)
        for partition in range(self.world.partitions):
            follower = Follower(cabinet, partition, bus, self.store, Telemetry())
            await follower.take_over()
            while await follower.step(0.0):
                pass

    def facts(self, *types: str, payer: str | None = None) -> list[dict[str, Any]]:
        """Return the data of facts by type (`billing.lesson-charged`), with payer and day."""
        found = []
        for name in self.world.services:
            for record in self.world.journal(name):
                kind = record["type"].removesuffix(".v1")
                if kind in types and payer in (None, record.get("partitionkey")):
                    about = {"_type": kind, "_payer": record.get("partitionkey")}
                    found.append(record["data"] | about | {"_day": record.get("businessday")})
        return found


async def _played() -> Town:
    world = World([enrollment, certificates, billing, notifications], seed=3)
    for segment in segments(AUTUMN.read_text(encoding="utf-8").splitlines()):
        await world.publish(*segment)
        await world.settle()
    town = Town(world=world, store=MemoryStore())
    await town.follow()
    return town


_shared: list[Town] = []


async def the_town() -> Town:
    """Return the town that tests share; who changes it takes one of his own."""
    if not _shared:
        _shared.append(await _played())
    return _shared[0]


async def own_town() -> Town:
    """Return a copy of the town, on the loop of the test that asks."""
    town = await the_town()
    store = MemoryStore()
    store.restore(town.store.snapshot())
    return Town(world=town.world.copy(), store=store)
