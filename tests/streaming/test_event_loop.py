"""What our processes run on."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest

from streaming.event_loop import heed_cancellation, run

FROZEN = """
import gc
from streaming.process import COLLECTIONS, spare_collections
before = len(gc.get_objects())
spare_collections()
print(gc.get_freeze_count() > before / 2, gc.get_threshold() == COLLECTIONS, gc.isenabled())
"""


def test_it_runs_on_the_standard_loop_and_returns_what_came_of_it() -> None:
    async def loop_of() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(loop_of()).startswith("asyncio.")


def test_an_error_comes_out() -> None:
    async def fails() -> None:
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        run(fails())


def test_a_cancellation_that_was_swallowed_is_heeded_by_who_asks() -> None:
    async def deaf() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        heed_cancellation()

    async def main() -> bool:
        heed_cancellation()
        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main())


def test_what_is_loaded_is_no_longer_looked_through() -> None:
    # In a process of its own: it would stay so.
    told = subprocess.run(
        [sys.executable, "-c", FROZEN], capture_output=True, text=True, check=True, timeout=60
    )

    assert told.stdout.split() == ["True", "True", "True"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGQUIT")
def test_whoever_runs_on_it_tells_where_tasks_wait(capfd: pytest.CaptureFixture[str]) -> None:
    async def asked() -> str:
        os.kill(os.getpid(), signal.SIGQUIT)
        await asyncio.sleep(0.05)
        return "it goes on"

    assert run(asked()) == "it goes on"
    assert (
        "in test_whoever_runs_on_it_tells_where_tasks_wait.<locals>.asked" in capfd.readouterr().err
    )
