"""An installation of processes and servers of its own, to be struck.

Services reach Kafka and Redis through proxies; the suite itself goes past them.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from pfdo.settling import Reader, cabinet_reader, readers_of
from pfdo.system import SERVICES
from streaming.errors import StreamingError
from streaming.installation import Installation, open_installation
from streaming.settings import Settings, load_settings
from tests.chaos.processes import Replica, Supervisor
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Broker, RedisServer
from tests.support.containers import free_port

EVERYBODY = (*SERVICES, "cabinet")
OPEN_SECONDS_MAX = 120.0
RETRY_SECONDS = 0.5


class Struck:
    """Everything that runs: brokers, Redis, processes and the lines between them."""

    def __init__(
        self,
        home: Path,
        *,
        partitions: int,
        brokers: int,
        redis_in_containers: bool,
        replicas: int,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`more` are settings of all processes, besides those that follow from the servers."""
        self.home = home
        self.partitions = partitions
        self.given_kafka = os.environ.get("TEST_KAFKA_BOOTSTRAP")
        controllers = [free_port() for _ in range(brokers)]
        ports = [free_port() for _ in range(brokers)]
        self.brokers = (
            []
            if self.given_kafka
            else [Broker(n, controllers, ports) for n in range(1, brokers + 1)]
        )
        self.lines_to_kafka = [Proxy(b.proxied_port, b.port) for b in self.brokers]
        self.redis = {
            name: RedisServer(name, home / name, in_container=redis_in_containers)
            for name in EVERYBODY
        }
        self.lines_to_redis = {
            name: Proxy(free_port(), server.port) for name, server in self.redis.items()
        }
        kafka = self._kafka([broker.proxied_port for broker in self.brokers])
        self.replicas = [
            Replica(name, number, home, {**self._settings_of(name, kafka), **more})
            for number in range(1, replicas + 1)
            for name in EVERYBODY
        ]
        self.supervisor = Supervisor(self.replicas)
        self.installation: Installation

    def _kafka(self, ports: list[int]) -> str:
        return self.given_kafka or ",".join(f"127.0.0.1:{port}" for port in ports)

    def _settings_of(self, name: str, kafka: str) -> Mapping[str, str]:
        port = self.lines_to_redis[name].port
        settings = {
            "PFDO_KAFKA_BOOTSTRAP": kafka,
            "PFDO_PARTITIONS": str(self.partitions),
            "PFDO_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        }
        if name == "cabinet":
            # Its pages are open in the sandbox alone; the settings of Redis are safe all the same.
            settings |= {"PFDO_PORT": "0", "PFDO_SANDBOX": "1"}
        return settings

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the settings for who goes past the proxies: the suite, and `pfdo`."""
        return {
            "PFDO_KAFKA_BOOTSTRAP": self._kafka([broker.direct_port for broker in self.brokers]),
            "PFDO_KAFKA_REPLICATION_FACTOR": str(min(3, max(1, len(self.brokers)))),
            "PFDO_PARTITIONS": str(self.partitions),
            **{
                f"PFDO_{name.upper()}_REDIS_URL": f"redis://127.0.0.1:{server.port}/0"
                for name, server in self.redis.items()
            },
        }

    @property
    def settings(self) -> Settings:
        """Return the same as settings."""
        return load_settings(environment=self.environment)

    def readers(self) -> list[Reader]:
        """Return whose progress is looked at."""
        return [*readers_of(self.installation, cabinet=False), cabinet_reader()]

    def replicas_of(self, service: str) -> list[Replica]:
        """Return the processes of a service."""
        return [replica for replica in self.replicas if replica.service == service]


@asynccontextmanager
async def running(struck: Struck) -> AsyncIterator[Struck]:
    """Run everything while the block runs; nothing is left of it afterwards but its files."""
    async with AsyncExitStack() as stack:
        servers: list[Broker | RedisServer] = [*struck.brokers, *struck.redis.values()]
        for server in servers:
            stack.callback(server.remove)
        await asyncio.gather(*(server.start() for server in servers))
        for line in (*struck.lines_to_kafka, *struck.lines_to_redis.values()):
            await line.start()
            stack.push_async_callback(line.stop)
        struck.installation = await stack.enter_async_context(_opened(struck.settings))
        await _with_topics(struck.installation)
        stack.push_async_callback(struck.supervisor.stop)
        struck.supervisor.start()
        yield struck


async def _with_topics(installation: Installation) -> None:
    """Make the topics; a broker that has just been started may take its time."""
    deadline = time.monotonic() + OPEN_SECONDS_MAX
    while True:
        try:
            await installation.bus.create_topics(installation.topics)
        except StreamingError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Installation]:
    """Open an installation as soon as Kafka answers."""
    deadline = time.monotonic() + OPEN_SECONDS_MAX
    async with AsyncExitStack() as stack:
        while True:
            try:
                installation = await stack.enter_async_context(open_installation(settings))
                break
            except StreamingError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
        yield installation
