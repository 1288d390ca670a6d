"""A real Kafka and a real Redis for the bench: given by address, or started in containers."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]
from redis.asyncio import Redis

from streaming.event_loop import run
from streaming.installation import open_installation
from streaming.settings import Settings, load_settings

START_SECONDS_MAX = 60
GONE_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30
SHARED_SECONDS_MAX = 30


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the broker and the store are."""

    bootstrap: str
    redis_url: str
    kafka: str
    """Which Kafka it is."""

    def settings(self) -> dict[str, str]:
        """Return what a process has to be told to work here."""
        return {"PFDO_KAFKA_BOOTSTRAP": self.bootstrap, "PFDO_REDIS_URL": self.redis_url}

    def installation_settings(self, partitions: int) -> Settings:
        """Return the settings of an installation here."""
        return load_settings(
            {
                "kafka_bootstrap": self.bootstrap,
                "redis_url": self.redis_url,
                "partitions": partitions,
            },
            {},
        )


@contextlib.contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Yield a broker and a Redis with durable settings.

    BENCH_KAFKA and BENCH_REDIS name running ones that hold nothing: what the bench makes there it
    throws away. Without them containers are started for this run.
    """
    with contextlib.ExitStack() as stack:
        bootstrap, redis_url = os.environ.get("BENCH_KAFKA"), os.environ.get("BENCH_REDIS")
        kafka = "the one at BENCH_KAFKA"
        if bootstrap is None or redis_url is None:
            from tests.support.containers import KAFKA_IMAGE, ApacheKafka
            from tests.support.containers import Redis as RedisContainer

            if bootstrap is None:
                bootstrap, kafka = stack.enter_context(ApacheKafka()).bootstrap, KAFKA_IMAGE
            if redis_url is None:
                redis_url = stack.enter_context(RedisContainer()).url
        yield Surroundings(bootstrap, redis_url, kafka)


@contextlib.contextmanager
def installed(around: Surroundings, partitions: int, more: Sequence[str] = ()) -> Iterator[None]:
    """Make an installation, and `more` topics; throw all of it away at the end."""
    run(_install(around, partitions, more))
    try:
        yield
    finally:
        run(_clear(around))


async def _install(around: Surroundings, partitions: int, more: Sequence[str]) -> None:
    redis = Redis.from_url(around.redis_url)
    keys = await redis.dbsize()
    await redis.aclose()
    there = await _topics(around.bootstrap)
    if there or keys:
        raise SystemExit(
            f"The bench throws away what it works on. Kafka at {around.bootstrap} has"
            f" {len(there)} topics, Redis {keys} keys: give it empty ones."
        )
    async with open_installation(around.installation_settings(partitions)) as installation:
        await installation.bus.create_topics(installation.topics)
    await make_topics(around.bootstrap, more, partitions)


async def make_topics(bootstrap: str, names: Sequence[str], partitions: int) -> None:
    """Make topics of the bench's own."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
    finally:
        await admin.close()


async def _topics(bootstrap: str) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return [name for name in await admin.list_topics() if not name.startswith("__")]
    finally:
        await admin.close()


async def _clear(around: Surroundings) -> None:
    redis = Redis.from_url(around.redis_url)
    await redis.flushdb()
    await redis.aclose()
    admin = AIOKafkaAdminClient(bootstrap_servers=around.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(GONE_SECONDS_MAX):
            while names := await _topics(around.bootstrap):
                await admin.delete_topics(names)
                await asyncio.sleep(0.5)
    finally:
        await admin.close()


@contextlib.contextmanager
def service_twice(
    name: str, partitions: int, port: int, settings: Mapping[str, str], bootstrap: str
) -> Iterator[tuple[int, int]]:
    """Run two processes of a service; yield their pids when each has half of the partitions."""
    with (
        services(name, partitions, port, settings) as first,
        services(name, partitions, port + 1, settings) as second,
    ):
        run(_shared(bootstrap, f"pfdo-{name}"))
        for each in (port, port + 1):
            wait_ready(None, each, None)
        yield first, second


async def _shared(bootstrap: str, group: str) -> None:
    """Wait until a group has two members that have settled, and a moment for who takes over."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(SHARED_SECONDS_MAX):
            while True:
                (answer,) = await admin.describe_consumer_groups([group])
                (told,) = answer.to_object()["groups"]
                if told["state"] == "Stable" and len(told["members"]) == 2:
                    break
                await asyncio.sleep(0.2)
    finally:
        await admin.close()
    await asyncio.sleep(2)


@contextlib.contextmanager
def started(command: Sequence[str], word: str) -> Iterator[int]:
    """Run a program; yield its pid when it has said a word on a line of its own."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS_MAX
            while word.encode() not in os.pread(log.fileno(), 1_000_000, 0).splitlines():
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.stderr.buffer.write(os.pread(log.fileno(), 5_000, 0))
                    raise SystemExit(f"{command[0]} did not say {word!r}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            process.wait(STOP_SECONDS_MAX)


@contextlib.contextmanager
def services(names: str, partitions: int, port: int, settings: Mapping[str, str]) -> Iterator[int]:
    """Run services as a process of their own; yield its pid when they are ready."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PFDO_")},
        "PFDO_PARTITIONS": str(partitions),
        "PFDO_HEALTH_PORT": str(port),
        "PFDO_SANDBOX": "1",
        **settings,
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pfdo", "run", "--services", names],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_ready(process, port, log)
            yield process.pid
        finally:
            process.terminate()
            process.wait(STOP_SECONDS_MAX)


def wait_ready(process: subprocess.Popen[bytes] | None, port: int, log: BinaryIO | None) -> None:
    """Wait until a process is ready; tell its last words if it is not."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.1)
    if log is not None:
        log.seek(0)
        sys.stderr.buffer.write(log.read()[-5000:])
    raise SystemExit("the services did not become ready")


def verified(around: Surroundings, partitions: int) -> dict[str, Any]:
    """Return what `pfdo verify` says."""
    environment = {
        **os.environ,
        **around.settings(),
        "PFDO_PARTITIONS": str(partitions),
        "PFDO_SANDBOX": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pfdo", "verify", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr[-2000:])
    said: dict[str, Any] = json.loads(done.stdout)
    return {"ok": said["ok"], "violations": said["violations_in_all"]}


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2
