"""The commit path on real servers: stopped before and after every step, killed at any byte.

The same moments on memory, with the bus besides: `tests/streaming/test_processor.py`.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from itertools import count, cycle
from pathlib import Path
from typing import Any

import pytest
import structlog

from streaming.errors import StoreUnavailableError
from streaming.redis_store import RedisStore
from streaming.store import Store
from streaming.telemetry import configure_logs
from streaming.valkey import EmbeddedValkey
from tests.chaos.protections import NAME, check_journals, story
from tests.chaos.servers import RedisServer
from tests.support.mini_service import mini_service
from tests.support.world import Crash, World, day

POINTS = ("take_over", "load", "outbox", "commit", "clear", "standing")
BYTES = (0, 1, 3, 40, 250, 900, 2_500, 6_000)
"""How many more bytes a server writes before it dies: now one, now some commits."""
_stores = count()


class StruckStore:
    """A store whose every call may not get there, or whose answer may be lost."""

    def __init__(self, store: Store, error: type[BaseException], point: str, side: str) -> None:
        self._store, self._error, self._at = store, error, (point, side)
        self.struck = 0
        self._left = 1

    def __getattr__(self, name: str) -> Any:
        called = getattr(self._store, name)
        if name not in POINTS:
            return called

        async def call(*arguments: Any, **named: Any) -> Any:
            self._visit(name, "before")
            answer = await called(*arguments, **named)
            self._visit(name, "after")
            return answer

        return call

    def _visit(self, point: str, side: str) -> None:
        """Strike at the first visit, then after 2 more, 3 more, …: every moment is met."""
        if (point, side) != self._at:
            return
        self._left -= 1
        if self._left == 0:
            self.struck += 1
            self._left = self.struck + 1
            raise self._error(f"{point} {side}")


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    configure_logs(logging.CRITICAL)
    yield
    structlog.reset_defaults()


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.containers)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RedisStore]:
    server: str | EmbeddedValkey
    if request.param == "embedded":
        server = EmbeddedValkey(tmp_path)
    else:
        server = request.getfixturevalue("redis_url")
    store = RedisStore(server, service=NAME, prefix=f"crash-{next(_stores)}")
    await store.start()
    yield store
    await store.stop()


async def told(world: World) -> tuple[list[Any], Any]:
    """Tell a story of days, copies and what comes early; return the journal and the state."""
    await world.publish(day("2020-08-30"))
    await world.settle()
    for happened in story(1):
        await world.publish(happened)
        await world.settle()
    said = [
        (record["type"], record["causeoffset"], record["data"]) for record in world.journal(NAME)
    ]
    return said, await world.state(NAME)


def calm_world() -> World:
    return World([mini_service()], partitions=2, seed=1)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("point", ["take_over", "load", "outbox", "commit"])
@pytest.mark.parametrize("error", [StoreUnavailableError, Crash])
async def test_a_stop_around_any_call_of_the_store_changes_nothing(
    store: RedisStore, error: type[BaseException], point: str, side: str
) -> None:
    struck = StruckStore(store, error, point, side)
    world = calm_world()
    world.stores[NAME] = struck  # type: ignore[assignment]

    ended = await told(world)

    assert struck.struck
    assert ended == await told(calm_world())
    check_journals(world)


class DyingWorld(World):
    """A world whose one Redis dies in the middle of a write, again and again."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__([mini_service()], partitions=2, seed=1)
        self._server = server
        self._bytes = cycle(BYTES)
        self.deaths = 0

    async def begin(self) -> None:
        await self._server.start()
        store = RedisStore(f"redis://127.0.0.1:{self._server.port}/0", service=NAME)
        await store.start()
        self.stores[NAME] = store  # type: ignore[assignment]
        self._server.limit_file(next(self._bytes))

    async def step(self, name: str, partition: int) -> bool:
        worked = await super().step(name, partition)
        if self._server.is_dead:
            self.deaths += 1
            await self._server.start()
            self._server.limit_file(next(self._bytes))
        return worked


async def test_a_server_that_dies_at_any_byte_it_writes_changes_nothing(tmp_path: Path) -> None:
    server = RedisServer(NAME, tmp_path, in_container=False)
    world = DyingWorld(server)
    try:
        await world.begin()

        ended = await told(world)

        assert world.deaths > len(BYTES)
        assert ended == await told(calm_world())
        check_journals(world)
    finally:
        await world.stores[NAME].stop()
        server.remove()
