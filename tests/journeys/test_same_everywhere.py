"""The same journey on the embedded bus and on a real Kafka and Redis, also through a kill -9."""

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pfdo.system import SERVICES
from tests.pfdo.test_running import wait_for
from tests.support.containers import ApacheKafka, Redis, free_port, require_docker
from tests.support.installation import OWNED, Installation, metrics_of
from tests.support.outcome import AUTUMN

pytestmark = pytest.mark.slow

BARRIERS_PLAYED = 45
PARTITIONS = 5
OWNED_MIN = PARTITIONS * len(SERVICES)
DECIDED = r"^pfdo_decisions_total\{[^}]*\} ([0-9.]+)"
DECIDED_MIN = 100


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
                "PFDO_PARTITIONS": str(PARTITIONS),
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
    port = free_port()
    services = on_kafka.start("run", "--no-cabinet", PFDO_HEALTH_PORT=str(port))
    wait_for(lambda: len(metrics_of(services, port, OWNED)) >= OWNED_MIN, "owning")
    playing = on_kafka.start("play", str(story), "--json")
    wait_for(
        lambda: sum(map(float, metrics_of(services, port, DECIDED))) >= DECIDED_MIN, "deciding"
    )
    assert playing.poll() is None, "it ended before the kill"
    services.send_signal(signal.SIGKILL)
    services.wait()

    # Who plays starts the services as soon as nobody runs them any more.
    output, _ = playing.communicate(timeout=200)

    assert playing.returncode == 0, output.decode()[-2000:]
    assert books(on_kafka) == books(embedded)
