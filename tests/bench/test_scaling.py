"""What billing is told of many children is what the services say of one, and marks are charged."""

from itertools import islice

import pytest

from bench import load, scaling
from pfdo.system import services_of
from streaming.bus import Outgoing
from tests.support.world import World, day


@pytest.mark.parametrize(
    ("values", "flat"),
    [
        pytest.param([100.0, 110.0, 90.0], True, id="a tenth more or less is flat"),
        pytest.param([100.0, 110.1], False, id="more"),
        pytest.param([100.0, 89.9], False, id="less: then something else differs"),
        pytest.param([100.0, 109.0, 119.0], False, id="all are held against the first"),
    ],
)
def test_flat_is_within_a_tenth_of_the_first(values: list[float], flat: bool) -> None:
    assert scaling.is_flat(values) is flat


async def test_every_child_told_of_can_be_charged_and_each_is_told_once() -> None:
    payers = load.payers(3)
    world = World(services_of(["billing"]), partitions=1)
    words = scaling.Words(await scaling.examples())
    told = [
        *scaling.payers_records(payers),
        *scaling.children_records(words, 7, payers),
    ]
    await world.bus.publish([Outgoing(one.topic, 0, one.key, one.value) for one in told])
    await world.publish(day("2020-12-31"))
    await world.settle()

    await world.publish(*islice(scaling.marks(7, payers), 14))
    await world.settle()

    opened = world.journal("billing", "account-opened")
    assert len({one["data"]["certificate_number"] for one in opened}) == len(opened) == 7
    assert len(world.journal("billing", "lesson-charged")) == 14
    assert {one["partitionkey"] for one in opened} == set(payers)
