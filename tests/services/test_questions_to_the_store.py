"""How often services ask their store: a few times for a batch, not once for each of its records."""

from collections import Counter
from itertools import islice
from typing import Any

import pytest

from bench import load
from pfdo.system import SERVICES, services_of
from streaming.processor import Processor
from tests.support.world import World

CHILDREN = 200


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return how often each service has asked its store, counted from now on."""
    found: Counter[str] = Counter()
    ask = Processor._load

    async def counted(processor: Processor, *, keys: Any = (), missing: Any = ()) -> None:
        if keys or missing:
            found[processor.service.name] += 1
        await ask(processor, keys=keys, missing=missing)

    monkeypatch.setattr(Processor, "_load", counted)
    return found


def forget(world: World) -> None:
    """Drop what owners have in memory, as if other children had come in between."""
    for name in SERVICES:
        owner = world.owner(name, 0)
        assert owner is not None
        owner.partition.memory.forget()


async def test_marks_of_children_who_are_not_in_memory_are_loaded_together(
    asked: Counter[str],
) -> None:
    world = World(services_of(SERVICES), partitions=1, gaps=False)
    for segment in load.beginning(CHILDREN):
        await world.publish(*segment)
        await world.settle()
    forget(world)
    asked.clear()

    await world.publish(*islice(load.marks(CHILDREN), CHILDREN))
    await world.settle()

    assert len(world.journal("billing", "lesson-charged")) == CHILDREN
    assert max(asked.values()) < CHILDREN / 4, asked


async def test_children_who_are_registered_are_not_asked_about_one_by_one(
    asked: Counter[str],
) -> None:
    world = World(services_of(SERVICES), partitions=1, gaps=False)
    *before, children, applications, _ = load.beginning(CHILDREN)
    for segment in before:
        await world.publish(*segment)
        await world.settle()
    asked.clear()

    await world.publish(*children)
    await world.settle()

    assert max(asked.values()) < CHILDREN / 4, asked
    asked.clear()

    await world.publish(*applications)
    await world.settle()

    assert len(world.journal("billing", "funds-reserved")) == CHILDREN
    # Enrollment asks each applicant's child whether it is in the group already.
    assert asked.pop("enrollment") < CHILDREN * 1.5
    assert max(asked.values()) < CHILDREN / 4, asked
