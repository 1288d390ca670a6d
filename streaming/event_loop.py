"""The event loop of our processes: uvloop, where there is one."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

if sys.platform == "win32":
    run = asyncio.run
else:
    import uvloop

    def run(main: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine to its end, as `asyncio.run` does."""
        return uvloop.run(main)
