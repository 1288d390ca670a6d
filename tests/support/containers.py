"""A real Kafka and a real Redis in containers, one of each for a whole test run."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# The reaper is one more image; the fixtures stop what they start.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

import docker  # type: ignore[import-untyped]
import pytest
from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

KAFKA_IMAGE = "apache/kafka:4.3.1"
REDIS_IMAGE = "redis:8"
START_SECONDS_MAX = 90
DOCKER_SECONDS_MAX = 10


class ApacheKafka(DockerContainer):
    """One broker on a port chosen beforehand, so that it keeps its address over a restart.

    The library's own class knows another image only.
    """

    def __init__(self, image: str = KAFKA_IMAGE) -> None:
        super().__init__(image)
        port = free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self.with_bind_ports(9092, port)
        self.with_envs(
            KAFKA_NODE_ID="1",
            KAFKA_PROCESS_ROLES="broker,controller",
            KAFKA_LISTENERS="INTERNAL://:19092,CONTROLLER://:9093,CLIENT://:9092",
            KAFKA_ADVERTISED_LISTENERS=f"INTERNAL://localhost:19092,CLIENT://{self.bootstrap}",
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=(
                "INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT"
            ),
            KAFKA_INTER_BROKER_LISTENER_NAME="INTERNAL",
            KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
            KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
            KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
            KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS="8",
            KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
            KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS="8",
            KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
            KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
            KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
            KAFKA_BROKER_SESSION_TIMEOUT_MS="3000",
            KAFKA_BROKER_HEARTBEAT_INTERVAL_MS="500",
            KAFKA_HEAP_OPTS="-Xms256m -Xmx512m",
        )
        self.waiting_for(
            LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(START_SECONDS_MAX)
        )


class Redis(DockerContainer):
    """One Redis with the settings that a ledger needs (deploy/redis.conf)."""

    def __init__(self, image: str = REDIS_IMAGE) -> None:
        super().__init__(image)
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.with_bind_ports(6379, port)
        self.with_command(
            "redis-server --appendonly yes --appendfsync always"
            " --no-appendfsync-on-rewrite no --save '' --maxmemory-policy noeviction"
        )
        self.waiting_for(
            LogMessageWaitStrategy("Ready to accept connections").with_startup_timeout(
                START_SECONDS_MAX
            )
        )


def free_port() -> int:
    """Return a port of this host that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def why_no_docker() -> str | None:
    """Return why containers cannot run here, or None if they can."""
    try:
        docker.from_env(timeout=DOCKER_SECONDS_MAX).ping()
    except DockerException as error:
        return f"Docker does not answer: {error}"
    return None


def require_docker() -> None:
    """Skip the test if Docker does not answer; fail if PFDO_REQUIRE_CONTAINERS=1 wants it to."""
    reason = why_no_docker()
    if reason is None:
        return
    if os.environ.get("PFDO_REQUIRE_CONTAINERS") == "1":
        pytest.fail(f"PFDO_REQUIRE_CONTAINERS=1, but: {reason}")
    pytest.skip(reason)


@contextmanager
def running_kafka() -> Iterator[str]:
    """Run a broker and give its bootstrap address; TEST_KAFKA_BOOTSTRAP names one that runs."""
    given = os.environ.get("TEST_KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    require_docker()
    with ApacheKafka() as kafka:
        yield kafka.bootstrap


@contextmanager
def running_redis() -> Iterator[str]:
    """Run a Redis and give its address; TEST_REDIS_URL names one that runs."""
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield given
        return
    require_docker()
    with Redis() as redis:
        yield redis.url
