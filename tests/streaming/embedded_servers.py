"""How tests find, hurt and clean away the embedded servers of their directories."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def pid_of(directory: Path) -> int:
    """Return the process of the server of a directory."""
    return int((directory / "valkey.pid").read_text())


def kill_server(directory: Path) -> None:
    """Kill the server of a directory without a warning."""
    os.kill(pid_of(directory), signal.SIGKILL)


@contextmanager
def nothing_left_in(directory: Path) -> Iterator[None]:
    """Fail if a server of any directory below outlives the test, and kill it all the same."""
    yield
    left = [lock.parent for lock in directory.rglob("server.lock") if _lives(lock)]
    for place in left:
        with suppress(OSError, ValueError):
            kill_server(place)
    assert not left


async def start_is_waited_for(directory: Path) -> None:
    """Return when somebody holds the lock under which a server is started or shut down."""
    async with asyncio.timeout(30):
        while not _lives(directory / "start.lock"):
            await asyncio.sleep(0.01)


def server_lives(directory: Path) -> bool:
    """Tell whether the server of a directory lives: it holds a lock as long as it does."""
    return _lives(directory / "server.lock")


def _lives(lock: Path) -> bool:
    try:
        with lock.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
