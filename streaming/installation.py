"""One process's way to an installation: its bus and the stores of its services, by the settings."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from contracts.sources import SHIPPED_PATH, Sources, SourcesError, load_sources
from contracts.topics import CALENDAR, all_topics
from streaming.bus import Bus
from streaming.embedded import EmbeddedBus
from streaming.errors import SettingError
from streaming.redis_client import Login
from streaming.redis_store import RedisStore
from streaming.settings import Settings
from streaming.store import Store
from streaming.valkey import EmbeddedValkey


class Installation:
    """An open installation. `stores` are opened on demand, one connection pool each."""

    def __init__(self, settings: Settings, sources: Sources, bus: Bus) -> None:
        self.settings = settings
        self.sources = sources
        self.bus = bus
        self._stores: dict[str, Store] = {}
        self._opening = asyncio.Lock()

    async def store(self, service: str) -> Store:
        """Return the started store of a service. Raises StoreUnavailableError, SettingError."""
        async with self._opening:
            if service not in self._stores:
                url = self.settings.redis_url_of(service)
                server = url or EmbeddedValkey(self.settings.data / "state")
                login = Login(
                    username=self.settings.redis_username,
                    password=self.settings.redis_password,
                    ca=self.settings.redis_ca,
                )
                store = RedisStore(
                    server, service=service, login=login, allow_unsafe=self.settings.sandbox
                )
                await store.start()
                self._stores[service] = store
            return self._stores[service]

    @property
    def topics(self) -> Collection[str]:
        """Return the names of all topics of the installation."""
        return [topic.name for topic in all_topics(self.sources)]

    async def make_topics(self) -> None:
        """Make the topics that are not there yet, where everybody may.

        Where Kafka knows its users, who administers it makes them: `pfdo topics create`.
        """
        if self.settings.kafka_username is None:
            await self.bus.create_topics(self.topics)

    async def close(self) -> None:
        """Let go of everything. Never hangs."""
        for store in self._stores.values():
            await store.stop()
        await self.bus.stop()


@asynccontextmanager
async def open_installation(settings: Settings) -> AsyncIterator[Installation]:
    """Open the installation the settings name; on the embedded bus its topics are made.

    Raises BusUnavailableError, StoreUnavailableError, SettingError.
    """
    try:
        sources = load_sources(settings.sources or SHIPPED_PATH)
    except SourcesError as error:
        raise SettingError(str(error)) from error
    bus = _bus(settings, sources)
    await bus.start()
    installation = Installation(settings, sources, bus)
    try:
        if not settings.uses_kafka:
            await bus.create_topics(installation.topics)
        yield installation
    finally:
        await installation.close()


def _bus(settings: Settings, sources: Sources) -> Bus:
    partitions = settings.partitions_or_default
    if not settings.uses_kafka:
        return EmbeddedBus(EmbeddedValkey(settings.data / "bus"), partitions)
    # Here, not above: a third of a second of each command, and the embedded bus needs none of it.
    from streaming.kafka import KafkaBus, topic_settings  # noqa: PLC0415
    from streaming.kafka_security import security_of  # noqa: PLC0415

    factor = settings.kafka_replication_factor
    return KafkaBus(
        str(settings.kafka_bootstrap),
        partitions,
        topics={
            topic.name: {**topic_settings(factor), **topic.config} for topic in all_topics(sources)
        },
        replication_factor=factor,
        ownership_topic=CALENDAR.name,
        group_instance_id=settings.instance,
        security=security_of(settings),
    )
