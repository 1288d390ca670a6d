"""The event loop of our processes: uvloop, where there is one."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from streaming.task_dump import dump_on_quit

Result = TypeVar("Result")

if sys.platform == "win32":
    run = asyncio.run
else:
    import uvloop

    def run(main: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine to its end, as `asyncio.run` does; SIGQUIT tells where its tasks wait."""

        async def watched() -> Result:
            dump_on_quit()
            return await main

        return uvloop.run(watched())
