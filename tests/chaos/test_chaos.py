"""A short mix of everything: real processes, a real Kafka, a real Redis for each service."""

from pathlib import Path

import pytest

from tests.chaos.run import Plan, run
from tests.support.containers import require_docker

PLAN = Plan(seed=3, events=500, faults=12, minutes=2.5, partitions=4)


@pytest.mark.containers
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_whatever_strikes_the_promises_hold(tmp_path: Path) -> None:
    require_docker()

    report = await run(PLAN, tmp_path)

    assert list(report.violations) == []
    assert not report.is_void, report.course.missed
    assert report.course.blows
