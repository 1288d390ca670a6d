"""The same journey on the embedded bus and on a real Kafka and Redis, also through a kill -9."""

import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import ApacheKafka, Redis, require_docker
from tests.support.installation import Installation
from tests.support.outcome import AUTUMN

pytestmark = pytest.mark.slow

BARRIERS_PLAYED = 45


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the autumn, up to the first lessons."""
    file = tmp_path_factory.mktemp("story") / "beginning.jsonl"
    lines = AUTUMN.read_text(encoding="utf-8").splitlines(keepends=True)
    barriers = itertools.accumulate(not line.strip() for line in lines)
    file.write_text(
        "".join(line for line, n in zip(lines, barriers, strict=True) if n < BARRIERS_PLAYED),
        encoding="utf-8",
    )
    return file


@pytest.fixture(scope="module")
def embedded(story: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The story on the embedded bus."""
    installation = Installation(tmp_path_factory.mktemp("embedded"))
    assert installation.json("play", str(story))["settled"] is True
    return installation


@pytest.fixture
def on_kafka(tmp_path: Path) -> Iterator[Installation]:
    """An installation on a Kafka and a Redis of its own."""
    require_docker()
    with ApacheKafka() as kafka, Redis() as redis:
        yield Installation(
            tmp_path / "data",
            {
                "PFDO_KAFKA_BOOTSTRAP": kafka.bootstrap,
                "PFDO_REDIS_URL": redis.url,
                "PFDO_PARTITIONS": "5",
            },
        )


def books(installation: Installation) -> tuple[Any, Any]:
    return installation.json("export"), installation.decisions()


@pytest.mark.containers
@pytest.mark.timeout(300)
def test_a_real_kafka_and_redis_give_the_same_books(
    story: Path, embedded: Installation, on_kafka: Installation
) -> None:
    assert on_kafka.json("play", str(story))["settled"] is True

    assert books(on_kafka) == books(embedded)


@pytest.mark.containers
@pytest.mark.timeout(300)
def test_services_killed_while_playing_give_the_same_books(
    story: Path, embedded: Installation, on_kafka: Installation
) -> None:
    assert on_kafka.pfdo("topics", "create").returncode == 0
    services = on_kafka.start("run", "--no-cabinet")
    time.sleep(6)
    playing = on_kafka.start("play", str(story), "--json")
    time.sleep(6)
    services.send_signal(signal.SIGKILL)
    services.wait()

    # Who plays starts the services as soon as nobody runs them any more.
    output, _ = playing.communicate(timeout=200)

    assert playing.returncode == 0, output.decode()[-2000:]
    assert books(on_kafka) == books(embedded)
