"""Questions that share round trips, where a trip comes to nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from streaming.errors import StoreUnavailableError
from streaming.redis_client import GATHERED_COMMANDS_MAX, Argument, RedisClient


async def test_nobody_waits_for_a_trip_after_one_that_was_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = RedisClient("redis://nobody", None, StoreUnavailableError)

    async def asked(commands: Sequence[Sequence[Argument]]) -> list[Any]:
        del commands
        raise asyncio.CancelledError

    monkeypatch.setattr(client, "_asked", asked)
    too_many_for_one = [("GET", "key")] * (GATHERED_COMMANDS_MAX - 1)
    waiting = [asyncio.create_task(client.gather_all(too_many_for_one)) for _ in range(3)]

    done, left = await asyncio.wait(waiting, timeout=5)

    assert len(done) == 3
    assert not left
    assert all(task.cancelled() for task in done)
