"""Where each task of a process stands, told on SIGQUIT, as a Java process tells its threads."""

import asyncio
import gc
import signal
import sys
from collections.abc import Iterator, Mapping
from types import AsyncGeneratorType, CodeType, CoroutineType, GeneratorType
from typing import Any, TextIO

_DEPTH_MAX = 100
"""Two tasks may wait for each other."""
_KINDS: Mapping[type, str] = {CoroutineType: "cr", AsyncGeneratorType: "ag", GeneratorType: "gi"}


def dump_on_quit(to: TextIO | None = None) -> None:
    """Let SIGQUIT write to standard error where every task of this event loop waits, and go on."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGQUIT, lambda: dump(to or sys.stderr))


def dump(to: TextIO) -> None:
    """Write every task of this event loop and the lines it waits at, the innermost last."""
    for task in sorted(asyncio.all_tasks(), key=asyncio.Task.get_name):
        print(f"--- {task.get_name()}", file=to)
        for code, line in _waits_at(task.get_coro()):
            print(f"  {code.co_filename}:{line} in {code.co_qualname}", file=to)
    to.flush()


def _waits_at(awaited: Any) -> Iterator[tuple[CodeType, int]]:
    """Yield a line of each coroutine, generator and task, from the outermost to the innermost."""
    for _ in range(_DEPTH_MAX):
        if awaited is None:
            return
        kind = _KINDS.get(type(awaited))
        if kind is None:
            # What stands between an `async for` and its generator does not name it.
            inner = (r for r in gc.get_referents(awaited) if type(r) in _KINDS)
            awaited = next(inner, None)
            continue
        frame = getattr(awaited, f"{kind}_frame")
        if frame is not None:
            yield frame.f_code, frame.f_lineno
        awaited = getattr(awaited, f"{kind}_yieldfrom" if kind == "gi" else f"{kind}_await")
