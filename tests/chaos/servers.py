"""The servers that are struck: Kafka brokers and Redis, in containers, or Valkey as a process."""

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import docker  # type: ignore[import-untyped]
from redis import Redis, RedisError

from streaming.valkey import find_server
from tests.support.containers import KAFKA_IMAGE, REDIS_IMAGE, free_port

START_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.05
DOCKER_SECONDS_MAX = 60
SAFE = [
    *("--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "no"),
    *("--maxmemory-policy", "noeviction", "--save", ""),
]


class Runner(Protocol):
    """How a server runs."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    @property
    def pid(self) -> int | None: ...
    def remove(self) -> None: ...


class Container:
    """A server in a container of its own on the host's network; killed and started as it is."""

    def __init__(self, image: str, name: str, **options: Any) -> None:
        client = docker.from_env(timeout=DOCKER_SECONDS_MAX)
        self._container = client.containers.create(image, name=name, network_mode="host", **options)

    def start(self) -> None:
        self._container.start()

    def kill(self) -> None:
        self._container.kill()
        self._container.wait(timeout=DOCKER_SECONDS_MAX)

    def pause(self) -> None:
        self._container.pause()

    def resume(self) -> None:
        self._container.unpause()

    @property
    def state(self) -> str:
        """What Docker calls it: running, paused, exited."""
        self._container.reload()
        return str(self._container.status)

    @property
    def pid(self) -> int | None:
        self._container.reload()
        return int(self._container.attrs["State"]["Pid"]) or None

    def remove(self) -> None:
        self._container.remove(force=True, v=True)


class Process:
    """A server as a process of this one."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command, self._log = command, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)

    def pause(self) -> None:
        os.kill(self._running.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._running.pid, signal.SIGCONT)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def remove(self) -> None:
        if self.pid is not None:
            self.kill()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


class RedisServer:
    """The Redis of one service: an append-only file in `directory`, an address of its own."""

    def __init__(self, service: str, directory: Path, *, in_container: bool) -> None:
        self.service = service
        self.directory = directory / "data"
        self.copy = directory / "copy"
        self.port = free_port()
        self.directory.mkdir(parents=True)
        arguments = ["--port", str(self.port), "--dir", str(self.directory), *SAFE]
        self._runner: Runner
        if in_container:
            user = f"{os.getuid()}:{os.getgid()}"
            self._runner = Container(
                REDIS_IMAGE,
                f"pfdo-chaos-{os.getpid()}-{service}",
                entrypoint=["redis-server"],  # the image's own would become somebody else
                command=arguments,
                user=user,
                volumes=[f"{self.directory}:{self.directory}"],
            )
        else:
            self._runner = Process([str(find_server()), *arguments], directory / "log")

    @property
    def direct(self) -> Redis:
        """Return a client that goes past the proxy."""
        return Redis(port=self.port, socket_timeout=3)

    @property
    def append_only_file(self) -> Path:
        """Return the file that is written now."""
        files = self.directory.glob("appendonlydir/*.incr.aof")
        return max(files, key=lambda file: int(file.name.split(".")[-3]))

    async def start(self) -> None:
        await asyncio.to_thread(self._runner.start)
        await self._until_it_answers()

    async def _until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                if await asyncio.to_thread(self.direct.ping):
                    return
            except RedisError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(LOOK_SECONDS)

    async def kill(self) -> bool:
        """Kill it without a warning. Return whether it is dead."""
        await asyncio.to_thread(self._runner.kill)
        return self._runner.pid is None

    async def pause(self) -> bool:
        """Stop its process in the middle of what it does. Return whether it no longer answers."""
        await asyncio.to_thread(self._runner.pause)
        try:
            await asyncio.to_thread(Redis(port=self.port, socket_timeout=0.3).ping)
        except RedisError:
            return True
        return False

    async def resume(self) -> None:
        await asyncio.to_thread(self._runner.resume)

    def keep_copy(self) -> None:
        """Copy its files as they are now, in the middle of whatever is written."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.directory, self.copy)

    def forget_everything(self) -> None:
        """Delete its files; it must be dead."""
        shutil.rmtree(self.directory / "appendonlydir")

    def go_back(self) -> None:
        """Put the copy in the place of its files; it must be dead."""
        self.forget_everything()
        shutil.copytree(self.copy, self.directory, dirs_exist_ok=True)

    def cut_file(self, share: float) -> int:
        """Cut a share off the end of its file; it must be dead. Return how many bytes went."""
        file = self.append_only_file
        before = file.stat().st_size
        os.truncate(file, int(before * (1 - share)))
        return before - file.stat().st_size

    def limit_file(self, more_bytes: int) -> None:
        """Let its file grow by so much and no more: the write that does kills it half done."""
        limit = self.append_only_file.stat().st_size + more_bytes
        assert self._runner.pid is not None
        resource.prlimit(self._runner.pid, resource.RLIMIT_FSIZE, (limit, limit))

    @property
    def is_dead(self) -> bool:
        """Return whether its process is gone."""
        return self._runner.pid is None

    async def has_died(self, seconds_max: float) -> bool:
        """Wait for it to die of itself."""
        deadline = time.monotonic() + seconds_max
        while not self.is_dead:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def commits(self) -> int:
        """Return how many commits it remembers, over all partitions."""
        client = self.direct
        return sum(int(client.hget(key, "seq") or 0) for key in client.scan_iter("pfdo:*:position"))

    def epochs(self) -> dict[str, int]:
        """Return the epoch of each partition."""
        client = self.direct
        return {key.decode(): int(client.get(key) or 0) for key in client.scan_iter("pfdo:*:epoch")}

    def waiting(self) -> int:
        """Return how many entries wait in outboxes."""
        client = self.direct
        return sum(client.llen(key) for key in client.scan_iter("pfdo:*:outbox"))

    def remove(self) -> None:
        self._runner.remove()


class Broker:
    """One Kafka broker of some. Clients are told the address of a proxy; tests go past it."""

    def __init__(self, number: int, controllers: Sequence[int], brokers: Sequence[int]) -> None:
        self.number = number
        self.port, self.proxied_port = brokers[number - 1], free_port()
        self.direct_port, inner_port = free_port(), free_port()
        replicas = min(3, len(brokers))
        listeners = {
            "CLIENT": (self.port, self.proxied_port),
            "DIRECT": (self.direct_port, self.direct_port),
            "INTERNAL": (inner_port, inner_port),
        }
        self._container = Container(
            KAFKA_IMAGE,
            f"pfdo-chaos-{os.getpid()}-kafka-{number}",
            environment={
                "KAFKA_NODE_ID": str(number),
                "KAFKA_PROCESS_ROLES": "broker,controller",
                "KAFKA_LISTENERS": ",".join(
                    [f"{name}://127.0.0.1:{port}" for name, (port, _) in listeners.items()]
                    + [f"CONTROLLER://127.0.0.1:{controllers[number - 1]}"]
                ),
                "KAFKA_ADVERTISED_LISTENERS": ",".join(
                    f"{name}://127.0.0.1:{told}" for name, (_, told) in listeners.items()
                ),
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": ",".join(
                    f"{name}:PLAINTEXT" for name in (*listeners, "CONTROLLER")
                ),
                "KAFKA_INTER_BROKER_LISTENER_NAME": "INTERNAL",
                "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
                "KAFKA_CONTROLLER_QUORUM_VOTERS": ",".join(
                    f"{n}@127.0.0.1:{port}" for n, port in enumerate(controllers, start=1)
                ),
                "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
                "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "8",
                "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": str(replicas),
                "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "8",
                "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": str(replicas),
                "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": str(max(1, replicas - 1)),
                "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
                "KAFKA_BROKER_SESSION_TIMEOUT_MS": "3000",
                "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "500",
                "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
            },
        )

    @property
    def state(self) -> str:
        return self._container.state

    async def start(self) -> None:
        await asyncio.to_thread(self._container.start)

    async def kill(self) -> bool:
        await asyncio.to_thread(self._container.kill)
        return self.state == "exited"

    async def pause(self) -> bool:
        await asyncio.to_thread(self._container.pause)
        return self.state == "paused"

    async def resume(self) -> None:
        await asyncio.to_thread(self._container.resume)

    def remove(self) -> None:
        self._container.remove()
