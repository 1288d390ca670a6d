"""Where tasks wait is told, down to the innermost line."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator, Generator
from typing import Any

from streaming.task_dump import dump, dump_on_quit


class _Answer:
    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(60).__await__()


async def _numbers() -> AsyncIterator[int]:
    await _Answer()
    yield 1


async def _reads_numbers() -> None:
    async for _ in _numbers():
        pass


async def test_a_task_is_told_with_each_line_it_waits_at() -> None:
    told = io.StringIO()
    dump_on_quit(told)
    task = asyncio.create_task(_reads_numbers(), name="reader of numbers")
    await asyncio.sleep(0)

    os.kill(os.getpid(), signal.SIGQUIT)
    await asyncio.sleep(0.05)
    task.cancel()

    lines = told.getvalue().splitlines()
    at = lines.index("--- reader of numbers")
    names = [line.rpartition(" ")[2] for line in lines[at + 1 : at + 4]]
    assert names == ["_reads_numbers", "_numbers", "_Answer.__await__"]
    assert not task.cancelled(), "it goes on until it is told otherwise"


async def test_a_dump_changes_nothing_for_a_task() -> None:
    dump_on_quit(io.StringIO())
    task = asyncio.create_task(asyncio.sleep(0.05, "done"))

    os.kill(os.getpid(), signal.SIGQUIT)

    assert await task == "done"


async def test_tasks_that_wait_for_each_other_are_told_too() -> None:
    told, tasks = io.StringIO(), list[asyncio.Task[None]]()

    async def waits_for(other: int) -> None:
        await asyncio.wait([tasks[other]])
        await tasks[other]

    tasks += [asyncio.create_task(waits_for(1)), asyncio.create_task(waits_for(0))]
    await asyncio.sleep(0)
    dump(told)
    for task in tasks:
        task.cancel()

    assert told.getvalue().count("waits_for") >= len(tasks)
