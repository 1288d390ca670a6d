"""What every test of the commands may ask for."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.containers import ApacheKafka, Redis, require_docker
from tests.support.installation import Installation


@pytest.fixture
def on_kafka(tmp_path: Path) -> Iterator[Installation]:
    """An installation on a Kafka and a Redis of its own."""
    require_docker()
    with ApacheKafka() as kafka, Redis() as redis:
        settings: Mapping[str, str] = {
            "PFDO_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "PFDO_REDIS_URL": redis.url,
            "PFDO_PARTITIONS": "3",
        }
        yield Installation(tmp_path / "data", settings)
