"""The same catalogue on the embedded bus and on a real Kafka and Redis, through real processes."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pfdo.records import decided, story
from streaming.installation import open_installation
from streaming.settings import load_settings
from tests.hostile.catalogue import CATALOGUE
from tests.hostile.test_catalogue import begun, books, differences, send
from tests.pfdo.worlds import SMALL
from tests.support.containers import ApacheKafka, Redis, require_docker
from tests.support.installation import Installation

pytestmark = pytest.mark.slow

EMBEDDED, KAFKA = "embedded", "kafka"


@pytest.fixture(params=[EMBEDDED, pytest.param(KAFKA, marks=pytest.mark.containers)])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """An installation on which the story was played and the services run."""
    if request.param == EMBEDDED:
        yield from _running(Installation(tmp_path / "data"))
        return
    require_docker()
    with ApacheKafka() as kafka, Redis() as redis:
        places = {"PFDO_KAFKA_BOOTSTRAP": kafka.bootstrap, "PFDO_REDIS_URL": redis.url}
        yield from _running(Installation(tmp_path / "data", places | {"PFDO_PARTITIONS": "3"}))


def _running(installation: Installation) -> Iterator[Installation]:
    assert installation.json("play", str(SMALL))["settled"] is True
    services = installation.start("run", "--no-cabinet")
    try:
        yield installation
    finally:
        services.send_signal(signal.SIGTERM)
        output, _ = services.communicate(timeout=60)
    assert services.returncode == 0, output.decode()[-2000:]
    assert b"halted" not in output


async def attacked(installation: Installation) -> tuple[list[Any], list[dict[str, Any]]]:
    """Send the catalogue; return what was sent, and all inputs with their decisions."""
    settings = load_settings(
        {"data": installation.data},
        {k: v for k, v in installation.environment.items() if k.startswith("PFDO_")},
    )
    async with open_installation(settings) as opened:
        sent = await send(opened.bus, CATALOGUE)
        answer = await asyncio.to_thread(installation.json, "settle", "--timeout", "60")
        assert answer["settled"] is True
        return sent, decided(await story(opened), opened)


async def in_memory() -> Any:
    there = await begun()
    await send(there.bus, CATALOGUE)
    await there.settle()
    return await books(there)


@pytest.mark.timeout(300)
def test_the_decisions_and_books_are_the_same_everywhere(installation: Installation) -> None:
    sent, inputs = asyncio.run(attacked(installation))

    wrong = differences(sent, inputs)
    assert not wrong, "\n".join(wrong)
    assert installation.json("export") == asyncio.run(in_memory())
