"""Letting go of a Kafka client, which can hang there."""

import asyncio
from collections.abc import Coroutine
from typing import Any

STOP_SECONDS_MAX = 3.0


async def stopped(stopping: Coroutine[Any, Any, Any]) -> None:
    """Wait for a client to stop, but not longer; what goes wrong then no longer matters.

    In a task of its own: aiokafka lets the cancellation of its inner tasks come out to the caller,
    who would take it for his own.
    """
    task = asyncio.create_task(stopping)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    _, unfinished = await asyncio.wait([task], timeout=STOP_SECONDS_MAX)
    for hanging in unfinished:
        hanging.cancel()
