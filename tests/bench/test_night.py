"""What a journal says about places: who was overtaken, and what was given beyond capacity."""

from typing import Any

import pytest

from bench import night
from pfdo.system import services_of
from tests.support.world import World


def registered(enrollment_id: str, offset: int, group_id: str = "g") -> dict[str, Any]:
    """Return the fact that somebody has come, at a place in the source topic."""
    data = {"enrollment_id": enrollment_id, "group_id": group_id}
    type_ = "enrollment.application-registered.v1"
    return {"type": type_, "causeoffset": offset, "data": data}


def fact(name: str, **data: Any) -> dict[str, Any]:
    """Return another fact of the journal."""
    return {"type": f"enrollment.{name}.v1", "causeoffset": 0, "data": data}


def held(enrollment_id: str) -> dict[str, Any]:
    """Return the fact that somebody has got a place."""
    return fact("place-held", enrollment_id=enrollment_id)


@pytest.mark.parametrize(
    ("journal", "overtaken"),
    [
        pytest.param(
            [registered("a", 1), registered("b", 2), held("a"), held("b")], [], id="in order"
        ),
        pytest.param(
            [registered("a", 1), registered("b", 2), held("b"), held("a")],
            ["b"],
            id="the second before the first",
        ),
        pytest.param(
            [registered("b", 2), registered("a", 1), held("b"), held("a")],
            ["b"],
            id="arrival is the place in the source, not in the journal",
        ),
        pytest.param(
            [registered("a", 1), registered("b", 2, "other"), held("b"), held("a")],
            [],
            id="groups do not wait for each other",
        ),
        pytest.param(
            [
                registered("a", 1),
                registered("b", 2),
                fact("application-refused", enrollment_id="a"),
                held("b"),
            ],
            [],
            id="who was refused or has withdrawn does not wait",
        ),
        pytest.param(
            [*(registered(name, at) for at, name in enumerate("abc")), held("c"), held("b")],
            ["c", "b"],
            id="each who overtook is counted",
        ),
    ],
)
def test_who_came_earlier_is_served_earlier(
    journal: list[dict[str, Any]], overtaken: list[str]
) -> None:
    assert night.counted(journal).overtaken == overtaken


@pytest.mark.parametrize(("taken", "above"), [(2, []), (3, ["g"])])
def test_more_taken_than_there_are_places_is_counted(taken: int, above: list[str]) -> None:
    changed = fact("group-changed", group_id="g", capacity=2, taken=taken, waiting=0)

    assert night.counted([changed]).above_capacity == above


async def test_a_small_night_in_memory_keeps_what_is_promised() -> None:
    amount = night.Amount(applications=120, seconds=1, groups=2, capacity=10)
    world = World(services_of(["enrollment"]), partitions=1)
    for segment in night.setting(amount):
        await world.publish(*segment)
        await world.settle()

    await world.publish(*night.applications(amount))
    await world.settle()

    books = night.counted(world.journal("enrollment"))
    withdrawn = [
        one["data"]["enrollment_id"]
        for one in night.applications(amount)
        if "withdrawn" in one["type"]
    ]
    wanted = {one["subject"] for one in night.applications(amount)}
    answered = {
        record["subject"]
        for record in world.journal("enrollment")
        if record["type"] in night.ANSWERS
    }
    assert books.overtaken == []
    assert books.above_capacity == []
    assert books.held >= amount.groups * amount.capacity
    assert withdrawn
    assert len(wanted) == amount.applications
    assert wanted <= answered


def test_a_night_with_one_violation_is_not_as_promised() -> None:
    good: dict[str, Any] = {
        "settled": True,
        "verify": {"ok": True},
        "slowest": 2_000.0,
        "overtaken": [],
        "above_capacity": [],
        "answers": {"place held": 2, "waitlisted": 1},
        "applications": 3,
    }
    bad: list[dict[str, Any]] = [
        {"settled": False},
        {"verify": {"ok": False}},
        {"slowest": 2_000.1},
        {"overtaken": ["a"]},
        {"above_capacity": ["g"]},
        {"applications": 4},
    ]

    assert night.kept(good)
    assert [night.kept(good | one) for one in bad] == [False] * len(bad)
