"""What is told of records of anybody: whatever stands on a topic, all else is told as before."""

import json
from typing import Any

import pytest

from pfdo.records import decided, story
from pfdo.stories import story_of
from streaming.bus import Outgoing
from streaming.routing import partition_of
from tests.hostile.catalogue import CATALOGUE
from tests.hostile.test_catalogue import begun
from tests.pfdo.worlds import installation_of
from tests.support.world import World


async def published_raw(world: World, topic: str, value: bytes) -> None:
    """Let somebody write bytes to a topic, and everybody decide about them."""
    await world.bus.publish([Outgoing(topic, 0, None, value)])
    await world.settle()


BIRTH = json.dumps(
    {
        "specversion": "1.0",
        "id": "birth-1",
        "source": "/navigator",
        "type": "navigator.child-registered.v1",
        "time": "2020-09-01T09:00:00+08:00",
        "subject": "child-777",
        "partitionkey": "25701000",
        "data": {
            "child_id": "child-777",
            "birth_date": "2010-05-05",
            "guardian_ids": ["guard-777"],
            "benefits": [],
            "revision": 1,
        },
    }
).encode()
RULES = "payers.rules-published.v1"


@pytest.mark.parametrize(
    ("value", "id_", "type_"),
    [
        pytest.param({"id": "h1", "type": RULES, "data": "x"}, "h1", RULES, id="data is a text"),
        pytest.param({"id": "h1", "type": RULES, "data": []}, "h1", RULES, id="data is a list"),
        pytest.param({"id": "h1", "type": RULES}, "h1", RULES, id="no data"),
        pytest.param({"id": {"a": 1}, "type": "x"}, None, "x", id="the id is an object"),
        pytest.param({"id": [], "type": 7}, None, None, id="the id is a list, the type a number"),
        pytest.param([1], None, None, id="no object"),
    ],
)
async def test_a_record_that_is_no_event_is_listed_and_hinders_nobody(
    value: Any, id_: str | None, type_: str | None
) -> None:
    world = await begun()
    installation = installation_of(world)
    before = decided(await story(installation), installation)

    await published_raw(world, "payers.events.v1", json.dumps(value).encode())

    listed = decided(await story(installation), installation)
    (added,) = [each for each in listed if each not in before]
    assert len(listed) == len(before) + 1
    assert (added["id"], added["type"], added["decision"]) == (id_, type_, "dead-lettered")
    told = await story_of(installation, before[-1]["id"])
    assert told is not None
    assert told["event"]["type"] == before[-1]["type"]


async def test_what_came_to_a_wrong_partition_is_told_on_to_where_it_was_decided() -> None:
    world = await begun()
    installation = installation_of(world)
    event = json.loads(BIRTH)
    right = partition_of(event["partitionkey"].encode(), world.partitions)
    wrong = (right + 1) % world.partitions
    await world.bus.publish([Outgoing("navigator.events.v1", wrong, b"key", BIRTH)])
    await world.settle()

    told = await story_of(installation, event["id"])

    assert told is not None
    followed = [(each["depth"], each["type"]) for each in told["followed"]]
    assert followed[:2] == [
        (1, "enrollment.input-forwarded.v1"),
        (1, "navigator.child-registered.v1"),
    ]
    assert (2, "enrollment.input-noted.v1") in followed[2:]


async def test_whatever_is_in_the_catalogue_can_be_listed_and_told() -> None:
    world = await begun()
    installation = installation_of(world)
    await world.bus.publish(
        [Outgoing(one.topic, 0, one.key, one.value, one.headers) for one in CATALOGUE]
    )
    await world.settle()
    told = await story(installation)

    listed = decided(told, installation)
    letters = [fact for fact in told.facts if fact["type"].endswith(".input-dead-lettered.v1")]
    stories = [await story_of(installation, letter["id"]) for letter in letters]

    assert len(listed) == len(told.inputs)
    assert len(letters) > 50
    assert all(each is not None and each["event"]["id"] for each in stories)
    assert any(each is not None and each["cause"] is None for each in stories), "some are no JSON"
    assert any(each is not None and each["cause"] for each in stories), "and some are"
