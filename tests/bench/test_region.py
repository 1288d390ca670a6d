"""How a region is made up: one large municipality, many small ones, and nobody left out."""

from collections import Counter

import pytest

from bench import load, region
from pfdo.system import SERVICES, services_of
from tests.support.world import World

SMALL = region.Amount(agreements=23, municipalities=5, providers=2)


@pytest.mark.parametrize("agreements", [160, 161, 199, 150_000])
def test_one_municipality_has_a_quarter_and_the_others_the_same_but_for_one(
    agreements: int,
) -> None:
    sizes = region.sizes(region.Amount(agreements, municipalities=40, providers=1))
    first, *others = sizes.values()

    assert len(sizes) == 40
    assert sum(sizes.values()) == agreements
    assert first == agreements // 4
    assert max(others) - min(others) <= 1


def test_no_municipality_is_served_after_the_others() -> None:
    _, _, children, _ = region.beginning(SMALL)

    half = Counter(one["partitionkey"] for one in children[: len(children) // 2 + 1])

    assert set(half) == set(load.payers(5))


async def test_every_agreement_is_made_and_ends_on_its_day() -> None:
    world = World(services_of(SERVICES), partitions=2)
    for segment in region.beginning(SMALL):
        await world.publish(*segment)
        await world.settle()
    before = Counter(record["type"] for record in world.journal("billing"))

    for date in region.DAYS.values():
        await world.publish(load.day(date))
        await world.settle()

    after = Counter(record["type"] for record in world.journal("billing"))
    assert before["billing.funds-reserved.v1"] == SMALL.agreements
    assert before["billing.reserve-released.v1"] == 0
    assert after["billing.reserve-released.v1"] == SMALL.agreements
