"""What falls due on one day for hundreds is loaded together, in a few round trips."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bench import load
from pfdo.system import SERVICES, services_of
from tests.support.outcome import check_folds
from tests.support.world import World

CHILDREN = 300
LOADS_MAX = 60
"""Of one service on the last day; one by one it would be a thousand."""


def counting(
    loads: Counter[str], name: str, load_: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    async def counted(*arguments: Any, **more: Any) -> Any:
        loads[name] += 1
        return await load_(*arguments, **more)

    return counted


@pytest.mark.slow
async def test_a_day_on_which_all_agreements_end_takes_a_few_round_trips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(services_of(SERVICES), partitions=1)
    for segment in load.beginning(CHILDREN):
        await world.publish(*segment)
        await world.settle()
    # New owners know nothing.
    for name in world.services:
        world.kill(name, 0)
    loads: Counter[str] = Counter()
    for name, store in world.stores.items():
        monkeypatch.setattr(store, "load", counting(loads, name, store.load))

    await world.publish(load.day("2021-01-11"))
    await world.settle()

    released = world.journal("billing", "reserve-released")
    expired = world.journal("billing", "period-expired")
    assert (len(released), len(expired)) == (CHILDREN, CHILDREN)
    assert max(loads.values()) < LOADS_MAX, loads
    await check_folds(world)
