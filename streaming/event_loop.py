"""The event loop of our processes: the standard one.

uvloop was tried: debits were seen a third later with it (200 marks a second), and clients of Kafka
and Redis do not know the errors with which it answers a connection that has just been closed.
"""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from streaming.task_dump import dump_on_quit

Result = TypeVar("Result")

if sys.platform == "win32":
    run = asyncio.run
else:

    def run(main: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine to its end, as `asyncio.run` does; SIGQUIT tells where its tasks wait."""

        async def watched() -> Result:
            dump_on_quit()
            return await main

        return asyncio.run(watched())


def heed_cancellation() -> None:
    """Raise CancelledError if this task was cancelled and somebody swallowed it.

    `asyncio.wait_for` of Python 3.11 does where what it waits for is done in the same moment, and
    clients of Kafka and Redis use it. For loops that would go on for minutes.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
