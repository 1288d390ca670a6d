"""What every test may ask for."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.containers import running_kafka, running_redis

# How long one example takes says how busy the machine is; whatever fails can be tried again.
settings.register_profile("pfdo", deadline=None, print_blob=True)
settings.load_profile("pfdo")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files that hold something slow: at the end one worker would be alone with it."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The address of the run's one Kafka broker (mark the test `containers`)."""
    with running_kafka() as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of the run's one Redis (mark the test `containers`)."""
    with running_redis() as url:
        yield url
