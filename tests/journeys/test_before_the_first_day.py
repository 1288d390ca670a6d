"""Before the first business day an input is decided on the day of its time, whatever that says."""

from typing import Any

import pytest

from pfdo.system import SERVICES, services_of
from tests.support.outcome import check_folds
from tests.support.world import World, event

PAYER = "25701000"
MARK = {
    "enrollment_id": "enr-1",
    "lesson_id": "les-1",
    "lesson_date": "2020-09-01",
    "mark": "present",
    "evidence": "journal",
    "revision": 1,
}
CATEGORY = {
    "category": "general",
    "period": "2020",
    "unit": "RUB",
    "nominal_kopecks": 1,
    "places_max": 1,
    "budget_max_kopecks": 1,
    "revision": 1,
}
REQUEST = {"child_id": "child-1", "period": "2020", "revision": 1}
CLOSING = {"period": "2020", "closes_on": "2020-10-10"}


@pytest.mark.parametrize(
    "time", ["9999-12-31T23:59:59+08:00", "0001-01-01T00:00:00+08:00", "2020-08-30T10:00:60z"]
)
@pytest.mark.parametrize(
    ("type_", "subject", "data"),
    [
        ("navigator.application-accepted", "enr-1", {"enrollment_id": "enr-1"}),
        ("attendance.lesson-marked", "enr-1", MARK),
        ("navigator.certificate-requested", "child-1", REQUEST),
        ("payers.category-set", "general", CATEGORY),
        ("payers.enrollment-closed", "2020", CLOSING),
    ],
)
async def test_an_input_from_the_ends_of_the_calendar_is_decided(
    type_: str, subject: str, data: dict[str, Any], time: str
) -> None:
    world = World(services_of(SERVICES), partitions=1)
    one = event(type_, PAYER, subject, data) | {"time": time}

    await world.publish(one)
    await world.settle()

    decided = [said for name in world.services for said in world.decisions(name).get(one["id"], [])]
    assert len(decided) == 1
    await check_folds(world)
